"""From bytes to entries: lines out of blocks, and what is no list of URLs at all.

Pure: fed with bytes that somebody else has read, in whatever pieces they came. Who reads is `sources`,
who decompresses is `packing`, and what else a line can be than a URL is in `formats`.
"""

from __future__ import annotations

import re
from itertools import count, repeat

import msgspec

from asyncfetch.errors import shown

__all__ = ["BLOCK", "GZIP_MAGIC", "LONGEST_LINE", "ZSTD_MAGIC", "Line", "LineSplitter", "why_not_lines", "why_odd"]

BLOCK = 65536
"""Bytes that are read, or decompressed, at once: about a thousand lines."""

LONGEST_LINE = 65536
"""Bytes of a line, its end not counted. A longer one is an entry that cannot be fetched."""

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

_SHOWN_OF_LONG_LINE = 200
_BOM = b"\xef\xbb\xbf"
_HASH = ord("#")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_MAGICS = (
    (b"\x00\x00\xfe\xff", "is text in UTF-32; convert it to UTF-8 first"),
    (b"\xff\xfe\x00\x00", "is text in UTF-32; convert it to UTF-8 first"),
    (b"\xff\xfe", "is text in UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)"),
    (b"\xfe\xff", "is text in UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)"),
    (GZIP_MAGIC, "is compressed with gzip twice; decompress it once"),
    (ZSTD_MAGIC, "is compressed twice, with Zstandard inside; decompress it once"),
    (b"\xfd7zXZ\x00", "is compressed with xz; decompress it first (xz -d)"),
    (b"BZh", "is compressed with bzip2; decompress it first (bzip2 -d)"),
    (b"\x7fELF", "is a program, not a list of URLs"),
    (b"\x89PNG", "is a PNG image, not a list of URLs"),
    (b"\xff\xd8\xff", "is a JPEG image, not a list of URLs"),
    (b"%PDF-", "is a PDF document, not a list of URLs"),
    (b"PK\x03\x04", "is a ZIP archive (or a spreadsheet), not a list of URLs"),
    (b"SQLite format 3\x00", "is an SQLite database, not a list of URLs"),
)


def why_not_lines(head: bytes) -> str:
    """Return why a file that begins with `head` is no list of URLs, or an empty string.

    A file with a NUL byte in its first block is binary. Later ones spoil their line only.
    """
    for magic, why in _MAGICS:
        if head.startswith(magic):
            return why
    return "is a binary file, not a list of URLs: it contains NUL bytes" if b"\0" in head else ""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One entry.

    Attributes:
        number: of the line in its file, from 1, blank lines and comments counted.
        text: the line without blanks at both ends; what is not UTF-8 is escaped, what is too long cut.
        fault: why it cannot be a URL, or an empty string.
    """

    number: int
    text: str
    fault: str


class LineSplitter:
    """Cut blocks of bytes into entries: `feed` it all blocks, then call `finish`.

    Lines end with LF or CRLF. Blank lines, lines whose first character is `#`, and a UTF-8 byte order mark are
    dropped. What a line has beyond `LONGEST_LINE` bytes is not kept.
    """

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        """Start at the beginning of a file; `longest` is the bytes of a line that may be a URL."""
        self._longest = longest
        self._tail = b""
        self._number = 0
        self._at_start = True

    def feed(self, block: bytes) -> list[Line]:
        """Return the entries that end in this block."""
        data = self._tail + block
        if self._at_start:
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._tail = data
                return []
            data = data.removeprefix(_BOM)
            self._at_start = False
        lines = data.split(b"\n")
        self._tail = lines.pop()[: self._longest + 2]  # more cannot make it any better
        return self._entries(lines)

    def finish(self) -> list[Line]:
        """Return the entry of a last line without an end, if there is one."""
        lines, self._tail = [self._tail], b""
        return self._entries(lines)

    def _entries(self, lines: list[bytes]) -> list[Line]:
        first = self._number + 1
        self._number += len(lines)
        text = self._plain(lines)
        if text is None:
            return self._each(lines, first)
        texts = text.split("\n")
        between = f"\n{text}\n"
        if "\n\n" not in between and "\n#" not in between:
            return list(map(Line, count(first), texts, repeat("")))
        return [Line(number, text, "") for number, text in enumerate(texts, first) if text and text[0] != "#"]

    def _plain(self, lines: list[bytes]) -> str | None:
        """Return the text of lines among which none is odd, which is the usual case and quickly seen; else None."""
        if not lines or max(map(len, lines)) > self._longest:
            return None
        try:
            text = b"\n".join(map(bytes.strip, lines)).decode()
        except UnicodeDecodeError:
            return None
        return text if text.replace("\n", "").isprintable() else None

    def _each(self, lines: list[bytes], first: int) -> list[Line]:
        entries: list[Line] = []
        for number, raw in enumerate(lines, first):
            line = raw.strip()
            if len(raw) > self._longest and len(raw.removesuffix(b"\r")) > self._longest:
                if not line.startswith(b"#"):
                    entries.append(self._long_line(number, line))
                continue
            if not line or line[0] == _HASH:
                continue
            try:
                text = line.decode()
            except UnicodeDecodeError:
                entries.append(Line(number, line.decode("utf-8", "backslashreplace"), "the line is not UTF-8"))
                continue
            entries.append(Line(number, text, "" if text.isprintable() else why_odd(text)))
        return entries

    def _long_line(self, number: int, line: bytes) -> Line:
        start = line[:_SHOWN_OF_LONG_LINE].decode("utf-8", "backslashreplace")
        return Line(number, f"{start}...", f"the line is longer than {self._longest // 1024} KiB")


def why_odd(text: str, what: str = "line") -> str:
    """Return why text with unprintable characters cannot be a URL, or an empty string: some are harmless."""
    control = _CONTROL.search(text)
    if control is None:
        return ""
    hint = "; is this a table? One URL a line is expected" if control[0] == "\t" and what == "line" else ""
    return f"the {what} contains the control character {shown(control[0])}{hint}"
