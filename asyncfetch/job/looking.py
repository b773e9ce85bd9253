"""Every source is looked at before the first request: what cannot be a list is refused while nothing is lost.

Files are opened and their beginning is read; nothing is taken from pipes and stdin; a sitemap is fetched.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from asyncfetch.errors import shown
from asyncfetch.job.errors import SourceError, reason_of
from asyncfetch.job.formats import Format, format_of, make_reader, why_not
from asyncfetch.job.inputs import InputSettings
from asyncfetch.job.lines import BLOCK
from asyncfetch.job.packing import Unreadable, take_head, unpacked
from asyncfetch.job.sitemaps import SitemapFetcher
from asyncfetch.url import redacted

__all__ = ["Look", "Source"]

_LIKE_A_HOST = re.compile(
    r"(?:(?:[a-z0-9-]+\.)+[a-z]{2,}|(?:\d{1,3}\.){3}\d{1,3}|localhost)(?::\d+)?(?:/.*)?", re.IGNORECASE
)
_LIKE_A_FILE = re.compile(r"[^/]*\.(?:txt|te?xt|csv|tsv|jsonl?|gz|zst|xml|li?st|urls?|dat|log)", re.IGNORECASE)


class Source(msgspec.Struct, frozen=True):
    """One source that has been looked at.

    Attributes:
        name: as it was given, printable, without credentials.
        url: the URL, if it is one: an entry by itself, or the address of a sitemap.
        path: the file to open, if it is one.
        stream: stdin, or None.
        regular: a file of a known length, whose reading never waits long.
        format: what it is written in.
    """

    name: str
    url: str = ""
    path: str = ""
    stream: BinaryIO | None = None
    regular: bool = False
    format: Format = "lines"

    @property
    def is_entry(self) -> bool:
        """Whether it is a URL to be fetched."""
        return bool(self.url) and self.format != "sitemap"


class Look:
    """Looks at the sources of one input, in their order.

    Attributes:
        files: (device, inode) of every regular file so far.
    """

    def __init__(self, stdin: BinaryIO | None, settings: InputSettings, fetcher: SitemapFetcher) -> None:
        self.files: list[tuple[int, int]] = []
        self._stdin = stdin
        self._settings = settings
        self._fetcher = fetcher
        self._has_stdin = False

    def at(self, spec: str, chosen: Format | None = None) -> Source:
        """Look at one source.

        Args:
            spec: a URL (with `://`), the name of a file, or `-`.
            chosen: its format; None leaves that to the settings.

        Raises:
            SourceError: it cannot be used.
        """
        chosen = chosen or self._settings.format
        if spec == "-":
            return self._at_stdin(chosen or "lines")
        if "://" in spec:
            return self._at_sitemap(spec) if chosen == "sitemap" else Source(spec, url=spec)
        return self._at_file(spec, chosen or format_of(spec))

    def _at_stdin(self, chosen: Format) -> Source:
        if self._stdin is None:
            raise SourceError("-", "is not open")
        if self._has_stdin:
            raise SourceError("-", "can be read only once, but is named twice")
        self._has_stdin = True
        try:
            mode = os.fstat(self._stdin.fileno()).st_mode
        except (OSError, ValueError, AttributeError):
            mode = 0
        return Source("-", stream=self._stdin, regular=stat.S_ISREG(mode), format=chosen)

    def _at_sitemap(self, url: str) -> Source:
        name = redacted(url)
        try:
            self._fetcher.look_at(url)
        except Unreadable as error:
            raise SourceError(name, error.detail) from error
        return Source(name, url=url, format="sitemap")

    def _at_file(self, spec: str, chosen: Format) -> Source:
        name = spec.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        try:
            found = Path(spec).stat()
        except (OSError, ValueError) as error:
            raise SourceError(_without_password(name), _why_not_found(spec, error)) from error
        kind = stat.S_IFMT(found.st_mode)
        if kind in _NO_FILES:
            raise SourceError(name, _NO_FILES[kind])
        if kind != stat.S_IFREG:
            if not os.access(spec, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
                raise SourceError(name, "cannot be read: permission denied")
            return Source(name, path=spec, format=chosen)
        self._look_inside(name, spec, chosen)
        self.files.append((found.st_dev, found.st_ino))
        return Source(name, path=spec, regular=True, format=chosen)

    def _look_inside(self, name: str, path: str, chosen: Format) -> None:
        """Read the beginning of a regular file.

        Raises:
            SourceError: it cannot be read, or is no list of URLs.
        """
        try:
            head, is_all = _beginning(path, chosen)
            reader = make_reader(chosen, self._settings.url_field)
            reader.feed(head)
            if is_all:
                reader.finish()
        except OSError as error:
            raise SourceError(name, f"cannot be read: {reason_of(error)}") from error
        except Unreadable as error:
            raise SourceError(name, error.detail) from error


def _beginning(path: str, chosen: Format) -> tuple[bytes, bool]:
    """Return what a regular file begins with, decompressed, and whether that is all of it.

    Raises:
        OSError: it cannot be read.
        Unreadable: it cannot be a list in the format.
    """
    with Path(path).open("rb") as file:
        plain = unpacked(iter(lambda: file.read(BLOCK), b""))
        head = take_head(plain)
        is_empty = file.tell() == 0
        is_all = is_empty or _is_at_end(plain)
    for ending, packing in _PACKINGS.items():
        if is_empty and path.endswith(ending):
            raise Unreadable(f"ends too early: its {packing} data was cut short")
    if why := why_not(head, chosen):
        raise Unreadable(why)
    return head, is_all


def _is_at_end(pieces: Iterator[bytes]) -> bool:
    """Whether nothing follows; what is cut later gives its entries up to there."""
    try:
        return next(pieces, None) is None
    except Unreadable:
        return False


_PACKINGS = {".gz": "gzip", ".zst": "Zstandard"}
_NO_FILES = {
    stat.S_IFDIR: "is a directory; name the files in it",
    stat.S_IFSOCK: "is a socket, not a file of URLs",
    stat.S_IFBLK: "is a block device, not a file of URLs",
}


def _without_password(name: str) -> str:
    """Return a name as it may be shown: what is no file may be a URL that lacks its scheme."""
    return redacted(name) if ":" in name.partition("@")[0] else name


def _why_not_found(spec: str, error: Exception) -> str:
    if not isinstance(error, OSError):
        return "is not the name of a file"
    if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
        return f"cannot be read: {reason_of(error)}"
    if _LIKE_A_HOST.fullmatch(spec) and not _LIKE_A_FILE.fullmatch(spec):
        return f"does not exist; if it is a URL, write {shown('https://' + spec)}"
    return "does not exist"
