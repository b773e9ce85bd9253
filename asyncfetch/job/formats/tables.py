"""CSV (RFC 4180) and TSV: rows of cells under a header that names the columns.

Cells may stand in double quotes, and then hold separators, line breaks and doubled quotes. A row is a URL and what
else the header knows of `id`, `name`, `sha256` and `max_time`; other columns are left alone, blank rows skipped.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from asyncfetch.errors import shown
from asyncfetch.job.formats.rows import FIELDS, TOO_LONG, Row, bad_row, checked_row
from asyncfetch.job.lines import LONGEST_LINE, Line, LineSplitter
from asyncfetch.job.packing import Unreadable

__all__ = ["Table"]

_COLUMNS = tuple(field for field in FIELDS if field != "headers")
_NAMED_AT_MOST = 12
_BETWEEN = "\x1f"
_SEPARATORS = re.compile(r"[,;|\t]")


class _Text(NamedTuple):
    """One line of the file, with its end."""

    number: int
    text: str


class _NeedMore(Exception):
    """The row goes on in the next block."""


class _TooLong(Exception):
    """The row has more than it may have; `in_quotes` tells that it is cut inside of quotes."""

    def __init__(self, *, in_quotes: bool) -> None:
        super().__init__()
        self.in_quotes = in_quotes


class _Lines:
    """Gives the lines to the reader of rows, one by one, and takes them back where a row is not complete.

    Attributes:
        waiting: lines that have not been read.
        used: those of the row that is being read.
        has_ended: no more lines come.
        is_torn: the last row ended inside of quotes.
    """

    def __init__(self, longest: int) -> None:
        self.waiting: deque[_Text] = deque()
        self.used: list[_Text] = []
        self.has_ended = self.is_torn = False
        self._longest = longest
        self._size = 0
        self._before = ""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        """Give the next line of a row.

        Raises:
            _NeedMore: there is none yet.
            _TooLong: the row has too much.
        """
        if not self.waiting:
            if self.has_ended:
                self.is_torn = bool(self.used)
                raise StopIteration
            raise _NeedMore
        if self._size > self._longest:
            raise _TooLong(in_quotes=True)
        line = self.waiting.popleft()
        self.used.append(line)
        self._size += len(line.text)
        if len(line.text) > self._longest + 2:
            raise _TooLong(in_quotes=False)
        before, self._before = self._before, ""
        return before + line.text

    def begin(self, *, in_quotes: bool) -> None:
        """Begin with the next row, or go on inside the quotes of one that was too long."""
        self.used = []
        self._size = 0
        self._before = '"' if in_quotes else ""

    def take_back(self) -> None:
        """Read the row from its beginning when more has come."""
        self.waiting.extendleft(reversed(self.used))


class Table(LineSplitter):
    """Cut blocks of bytes into the rows of a table: `feed` it all blocks, then call `finish`.

    A row over the limit is one entry that cannot be fetched; no more of it is kept.

    Raises:
        Unreadable: from `feed` and `finish`: the header has no column for the URL.
    """

    def __init__(self, delimiter: str = ",", url_field: str = "url", longest: int = LONGEST_LINE) -> None:
        """Start at the beginning of a file."""
        super().__init__(longest)
        self._lines = _Lines(longest)
        self._rows = csv.reader(self._lines, delimiter=delimiter)
        self._url_field = url_field
        self._url_at = 0
        self._columns: dict[str, int] = {}
        self._width = 0
        self._skips = False

    def finish(self) -> list[Line]:
        """Return the entry of a last line without an end, if there is one."""
        self._lines.has_ended = True
        return super().finish()

    def _entries(self, lines: list[bytes]) -> list[Line]:
        """Read the rows that are complete with these lines."""
        for number, raw in enumerate(lines, self._number + 1):
            self._lines.waiting.append(_Text(number, raw.decode("utf-8", "surrogateescape") + "\n"))
        self._number += len(lines)
        entries: list[Line] = []
        while self._lines.waiting:
            number = self._lines.waiting[0].number
            self._lines.begin(in_quotes=self._skips)
            try:
                entry = self._next(number)
            except _NeedMore:
                self._lines.take_back()
                break
            if entry is not None:
                entries.append(entry)
        return entries

    def _next(self, number: int) -> Row | None:
        """Read one row; None if it is the header, blank, or the rest of one that was too long."""
        skips, self._skips = self._skips, False
        try:
            cells = next(self._rows)
        except _NeedMore:
            self._skips = skips
            raise
        except _TooLong as error:
            self._skips = error.in_quotes
            hint = "; is a quote in it never closed?" if error.in_quotes else ""
            return None if skips else bad_row(number, self._raw(), TOO_LONG + hint)
        except csv.Error as error:
            return None if skips else bad_row(number, self._raw(), f"the row cannot be read: {error}")
        if skips or not any(cells):
            return None
        if self._lines.is_torn:
            return bad_row(number, self._raw(), "the row ends inside of quotes: a quote in it is never closed")
        if not self._width:
            self._take_header(cells)
            return None
        return self._row(number, cells)

    def _raw(self) -> str:
        return "".join(line.text for line in self._lines.used)[: self._longest]

    def _take_header(self, cells: Sequence[str]) -> None:
        """Find the columns: by their names as they stand, else in any case.

        Raises:
            Unreadable: none is for the URL, or two columns have the same name.
        """
        names = [cell.strip() for cell in cells]
        self._width = len(cells)
        url_at = _find(self._url_field, names)
        if url_at is None:
            raise Unreadable(_why_no_column(self._url_field, names))
        self._url_at = url_at
        for field in _COLUMNS:
            at = _find(field, names)
            if at is not None and at != url_at:
                self._columns[field] = at

    def _row(self, number: int, cells: list[str]) -> Row:
        if any(cells[self._width :]):
            more = f"the row has {len(cells)} cells, the header {self._width}"
            return bad_row(number, _BETWEEN.join(cells), f"{more}: is a cell with a separator not quoted?")
        cells += [""] * (self._width - len(cells))
        url = cells[self._url_at].strip()
        fields = {field: value for field, at in self._columns.items() if (value := cells[at].strip())}
        raw = _BETWEEN.join((url, *(fields.get(field, "") for field in _COLUMNS)))
        if not raw.isascii() and not _is_unicode(raw):
            shown_url = url.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            return bad_row(number, raw, "the row is not UTF-8", shown_url)
        seconds: float | None = None
        if (given := fields.get("max_time")) and (seconds := _number(given)) is None:
            return Row(
                number, url, f"the max_time {shown(given)} is not a number of seconds", raw, fields.get("id")
            )
        get = fields.get
        return checked_row(Row(number, url, "", raw, get("id"), get("name"), None, get("sha256"), seconds))


def _find(name: str, names: list[str]) -> int | None:
    """Return where a column is.

    Raises:
        Unreadable: there are two of the name.
    """
    for wanted, given in ((name, names), (name.lower(), [n.lower() for n in names])):
        if given.count(wanted) > 1:
            raise Unreadable(f"has two columns {shown(name)}")
        if wanted in given:
            return given.index(wanted)
    return None


def _why_no_column(name: str, names: list[str]) -> str:
    if any("://" in given for given in names):
        return (
            "has no header: its first row holds a URL, but has to name the columns, one of them "
            f"{shown(name)} (a file with one URL a line is read with --input-format lines)"
        )
    if len(names) == 1 and (other := _SEPARATORS.search(names[0])):
        return (
            f"has no column {shown(name)}: its header has one column, {shown(names[0])}; is {shown(other[0])} the "
            "separator? csv has commas, tsv has tabs"
        )
    listed = ", ".join(shown(given) for given in names[:_NAMED_AT_MOST])
    more = ", ..." if len(names) > _NAMED_AT_MOST else ""
    return f"has no column {shown(name)}: name the one with the URLs by --url-field; there are {listed}{more}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
