"""What a list can be written in: each format has a reader that is fed with blocks and gives entries.

A reader is loaded when one is made. `rows` is what an entry can say besides its URL. Plain lines, the format that
costs least, are in `job/lines.py`.
"""

from __future__ import annotations

import re
from typing import Literal, Protocol

from asyncfetch.job.formats.rows import Row
from asyncfetch.job.lines import Line, LineSplitter, why_not_lines

__all__ = ["Format", "Reader", "Row", "format_of", "make_reader", "why_not"]

Format = Literal["lines", "jsonl", "csv", "tsv", "sitemap"]

_PACKED = re.compile(r"\.(?:gz|zst|zstd)\Z", re.IGNORECASE)
_BY_ENDING: dict[str, Format] = {
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "csv": "csv",
    "tsv": "tsv",
    "tab": "tsv",
    "xml": "sitemap",
}
_JSON = re.compile(rb'\s*\{\s*"')
_XML = re.compile(rb"\s*<(?:\?xml|urlset|sitemapindex)\b")


class Reader(Protocol):
    """Cuts blocks of bytes into entries.

    Raises:
        Unreadable: it is not in this format at all.
    """

    def feed(self, block: bytes) -> list[Line]:
        """Return the entries that end in this block."""
        ...

    def finish(self) -> list[Line]:
        """Return what is left when there are no more blocks."""
        ...


def format_of(name: str) -> Format:
    """Choose the format by the ending of a file's name, that of its compression left out; without one, lines."""
    _, dot, ending = _PACKED.sub("", name).rpartition("/")[2].rpartition(".")
    return _BY_ENDING.get(ending.lower(), "lines") if dot else "lines"


def make_reader(chosen: Format, url_field: str = "url") -> Reader:
    """Make what reads one file of a format; in tables and JSON Lines the URL is in the field of this name."""
    if chosen == "lines":
        return LineSplitter()
    if chosen == "jsonl":
        from asyncfetch.job.formats.jsonl import JsonLines

        return JsonLines(url_field)
    if chosen == "sitemap":
        from asyncfetch.job.formats.sitemap import Sitemap

        return Sitemap()
    from asyncfetch.job.formats.tables import Table

    return Table("," if chosen == "csv" else "\t", url_field)


def why_not(head: bytes, chosen: Format) -> str:
    """Return why a source that begins with these bytes cannot be in a format, or an empty string."""
    if why := why_not_lines(head):
        return why
    if chosen == "lines" and _JSON.match(head):
        return "holds JSON, not URLs: name it .jsonl, or say --input-format jsonl"
    if chosen == "lines" and _XML.match(head):
        return "is XML, not a list of URLs: a sitemap is read with --input-format sitemap"
    return ""
