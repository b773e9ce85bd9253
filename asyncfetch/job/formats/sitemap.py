"""Sitemaps (sitemaps.org, protocol 0.9): the `loc` of each `url` of a `urlset`, or of each `sitemap` of an index.

Read as it comes, never as a tree. Strangers write sitemaps, so nothing in one can make it swell: a document type
declaration, which is what entities are declared in, is refused; what holds no end of anything for 1 MiB is too.
Whose sitemaps an index names, and how these are fetched, is in `sitemaps`.
"""

from __future__ import annotations

from typing import NoReturn
from xml.parsers import expat

from asyncfetch.errors import shown
from asyncfetch.job.lines import LONGEST_LINE, Line, why_odd
from asyncfetch.job.packing import Unreadable

__all__ = ["Sitemap"]

_ENTRY_OF = {"urlset": "url", "sitemapindex": "sitemap"}
_DEPTH = 3  # urlset, url, loc
_SILENT_AT_MOST = 1 << 20


class Sitemap:
    """Cut blocks of bytes into entries: `feed` it all blocks, then call `finish`.

    Attributes:
        is_index: whether the entries are sitemaps; known when there is one.

    Raises:
        Unreadable: from both: it is not well-formed, no sitemap, or has what none needs.
    """

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        """Start at the beginning of a document; `longest` is the characters of a URL."""
        self.is_index = False
        self._longest = longest
        self._path: list[str] = []
        self._wanted: list[str] = []
        self._entries: list[Line] = []
        self._pieces: list[str] | None = None
        self._size = self._number = 0
        self._silent = 0
        self._is_alive = False
        self._has_root = False
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._refuse
        parser.DefaultHandler = self._other
        self._parser = parser

    def feed(self, block: bytes) -> list[Line]:
        """Return the entries that end in this block."""
        self._is_alive = False
        self._parse(block, is_last=False)
        self._silent = 0 if self._is_alive else self._silent + len(block)
        if self._silent > _SILENT_AT_MOST:
            raise Unreadable("is not a sitemap: it holds something without an end")
        return self._taken()

    def finish(self) -> list[Line]:
        """See that the document is complete, and return what the parser has held back until it knew that."""
        self._parse(b"", is_last=True)
        return self._taken()

    def _taken(self) -> list[Line]:
        entries, self._entries = self._entries, []
        return entries

    def _parse(self, block: bytes, *, is_last: bool) -> None:
        try:
            self._parser.Parse(block, is_last)
        except expat.ExpatError as error:
            if not self._has_root:
                raise Unreadable("is not a sitemap: it is not XML") from error
            why = "it ends too early" if is_last else expat.ErrorString(error.code)
            raise Unreadable(f"is not well-formed XML: {why} in line {error.lineno}") from error
        except (ValueError, LookupError) as error:  # raised for encodings that expat does not know
            raise Unreadable(f"is in an encoding that cannot be read: {error}") from error

    def _start(self, name: str, _: dict[str, str]) -> None:
        self._is_alive = True
        if not self._path:
            self._begin(name)
        if len(self._path) <= _DEPTH:
            self._path.append(name)
        else:
            self._path.append("")
        if self._path == self._wanted:
            self._pieces, self._size = [], 0
            self._number = self._parser.CurrentLineNumber

    def _begin(self, root: str) -> None:
        prefix, colon, local = root.rpartition(":")
        if local not in _ENTRY_OF:
            raise Unreadable(f"is not a sitemap: its root element is {shown(root)}, not urlset or sitemapindex")
        self._has_root = True
        self.is_index = local == "sitemapindex"
        self._wanted = [root, f"{prefix}{colon}{_ENTRY_OF[local]}", f"{prefix}{colon}loc"]

    def _end(self, _: str) -> None:
        self._is_alive = True
        if self._pieces is not None and len(self._path) == _DEPTH:
            self._entries.append(self._entry("".join(self._pieces).strip()))
            self._pieces = None
        self._path.pop()

    def _entry(self, url: str) -> Line:
        if self._size > self._longest:
            return Line(self._number, f"{url[:200]}...", f"the URL is longer than {self._longest // 1024} KiB")
        return Line(self._number, url, "" if url.isprintable() else why_odd(url, "URL"))

    def _text(self, text: str) -> None:
        self._is_alive = True
        if self._pieces is not None and self._size <= self._longest:
            self._pieces.append(text)
            self._size += len(text)

    def _other(self, _: str) -> None:
        self._is_alive = True

    def _refuse(self, *_: object) -> NoReturn:
        raise Unreadable("has a document type declaration, which no sitemap needs: it is not read")
