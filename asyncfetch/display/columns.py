"""The columns of the live view: what stands in them, and which of them a terminal has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style

from asyncfetch.display import units
from asyncfetch.display.colors import BAD, BOLD, DIM, GOOD, PLAIN, UNSURE
from asyncfetch.display.marks import Marks
from asyncfetch.display.roster import Row, host_name
from asyncfetch.display.states import is_broken, is_pausing, state_words
from asyncfetch.display.text import harmless
from asyncfetch.stats import HostState

__all__ = ["Columns", "heading", "line"]

Cell = tuple[str, Style]
"""A text and its own style; a plain one takes the style of its line."""

_HOST_LEAST, _HOST_GOOD, _HOST_MOST = 12, 24, 60
_STATE_LEAST, _STATE_GOOD, _STATE_MOST = 17, 25, 50
_SPARE = 24
"""Cells that hosts and states should have beyond their least before rarely wanted columns are added."""


class _Number(msgspec.Struct, frozen=True):
    """A column of numbers.

    Attributes:
        title: its heading.
        width: cells, the title's at least.
        cell: writes the number of a row; an empty text where there is none.
    """

    title: str
    width: int
    cell: Callable[[Row], Cell]


class Columns(msgspec.Struct, frozen=True):
    """The columns for one width and the hosts on the screen; 0 cells wide is left out.

    Attributes:
        host, state, error: widths in cells of the columns with words.
        numbers: the columns with numbers between `host` and `state`.
    """

    host: int
    numbers: tuple[_Number, ...]
    state: int
    error: int

    @classmethod
    def fitting(cls, width: int, longest_host: int) -> Columns:
        """Choose columns for a terminal `width` cells wide; hosts and states share what is left."""
        numbers, has_state, error, left = _chosen(width)
        host, state = min(_HOST_LEAST, max(0, width - 2)), _STATE_LEAST if has_state else 0
        host, left = _widened(host, min(longest_host, _HOST_GOOD), left)
        state, left = _widened(state, _STATE_GOOD if has_state else 0, left)
        host, left = _widened(host, min(longest_host, _HOST_MOST), left)
        state, left = _widened(state, _STATE_MOST if has_state else 0, left)
        return cls(host, numbers, state, error)


def heading(columns: Columns) -> list[Segment]:
    """Write the line above the hosts."""
    cells = [("  ", BOLD), (set_cell_size("host", columns.host), BOLD)]
    cells += [(f" {number.title:>{number.width}}", BOLD) for number in columns.numbers]
    cells += [("  state".ljust(2 + columns.state), BOLD)] if columns.state else []
    cells += [("  last error", BOLD)] if columns.error else []
    return _joined(cells)


def line(row: Row, columns: Columns, now: float, marks: Marks) -> list[Segment]:
    """Write the line of one host."""
    base = PLAIN if row.is_active(now) or is_pausing(row.host, now) else DIM
    sign, style = _sign(row, now, marks)
    name = host_name(row.host.key, columns.host, ascii_only=marks.ascii_only)
    cells = [(f"{sign} ", style), (set_cell_size(name, columns.host), base)]
    for number in columns.numbers:
        text, own = number.cell(row)
        cells.append((f" {text:>{number.width}}", own or base))
    if columns.state:
        text, own = _state(row, columns, now, marks)
        cells.append((f"  {set_cell_size(text, columns.state)}", own or base))
    if columns.error:
        error = harmless(row.host.last_error, columns.error, ascii_only=marks.ascii_only)
        cells.append((f"  {error}", DIM))
    return _joined(cells)


def _widened(width: int, wanted: int, left: int) -> tuple[int, int]:
    """Give a column more of the cells that are left, up to what it wants."""
    more = min(left, max(0, wanted - width))
    return width + more, left - more


def _joined(cells: Sequence[Cell]) -> list[Segment]:
    """Make pieces of cells: as few as possible, and no blanks at the end."""
    pieces: list[Segment] = []
    text, style = "", PLAIN
    for more, its in cells:
        if its is style or not more.strip():
            text += more
        else:
            if text:
                pieces.append(Segment(text, style))
            text, style = more, its
    pieces.append(Segment(text.rstrip(), style))
    return pieces


def _sign(row: Row, now: float, marks: Marks) -> Cell:
    if is_broken(row.host):
        return marks.broken, BAD
    if is_pausing(row.host, now):
        waits = row.host.state is HostState.WAITING
        return marks.waiting if waits else marks.backing_off, UNSURE
    return (marks.active, GOOD) if row.is_active(now) else (marks.idle, DIM)


def _state(row: Row, columns: Columns, now: float, marks: Marks) -> Cell:
    """The longest words that fit; without any, and without a column for it, the last error."""
    host = row.host
    words = state_words(host, now, ascii_only=marks.ascii_only)
    if words:
        fitting = next((each for each in words if cell_len(each) <= columns.state), words[-1])
        return harmless(fitting, columns.state, ascii_only=marks.ascii_only), BAD if is_broken(host) else UNSURE
    if host.last_error and not columns.error:
        return harmless(host.last_error, columns.state, ascii_only=marks.ascii_only), DIM
    return ("ok", GOOD) if row.is_active(now) else ("idle", PLAIN)


def _in_flight(row: Row) -> Cell:
    """With the limit, where there is one and it fits."""
    in_flight, limit = f"{row.host.in_flight}", f"/{row.host.limit or ''}".removesuffix("/")
    return in_flight + limit if len(in_flight + limit) <= _IN_FLIGHT.width else in_flight, PLAIN


def _done(row: Row) -> Cell:
    return units.short_count(row.host.done), PLAIN


def _failed(row: Row) -> Cell:
    failed = row.host.failed
    return units.short_count(failed, _FAILED.width), BAD if failed else PLAIN


def _bytes_rate(row: Row) -> Cell:
    return units.size(row.bytes_rate) if row.bytes_rate >= 0.5 else "", PLAIN


def _p50(row: Row) -> Cell:
    return "" if row.p50 is None else units.latency(row.p50), PLAIN


def _p95(row: Row) -> Cell:
    return "" if row.p95 is None else units.latency(row.p95), PLAIN


def _bytes(row: Row) -> Cell:
    return units.size(row.host.bytes), PLAIN


def _retries(row: Row) -> Cell:
    retries = row.host.retries
    return units.short_count(retries), UNSURE if retries else PLAIN


_IN_FLIGHT = _Number("flight", 6, _in_flight)
_DONE = _Number("done", 7, _done)
_FAILED = _Number("failed", 6, _failed)
_RETRIES = _Number("retries", 7, _retries)
_BYTES = _Number("bytes", 6, _bytes)
_BYTES_RATE = _Number("bytes/s", 7, _bytes_rate)
_P50 = _Number("p50", 6, _p50)
_P95 = _Number("p95", 6, _p95)

_ORDER = (_IN_FLIGHT, _DONE, _FAILED, _RETRIES, _BYTES, _BYTES_RATE, _P50, _P95)
_IMPORTANCE = (_DONE, _FAILED, _IN_FLIGHT, "state", _BYTES_RATE, _P95, _P50, "error", _BYTES, _RETRIES)
_RARELY_WANTED = (_BYTES, _RETRIES)
_WORDS = {"state": _STATE_LEAST, "error": 19}


@lru_cache(maxsize=64)
def _chosen(width: int) -> tuple[tuple[_Number, ...], bool, int, int]:
    """The columns of numbers, whether there is one of states, the width of errors, and the cells left over."""
    left = width - 2 - _HOST_LEAST
    taken: set[object] = set()
    for column in _IMPORTANCE:
        needed = 1 + column.width if isinstance(column, _Number) else 2 + _WORDS[column]
        if needed + (_SPARE if column in _RARELY_WANTED else 0) > left:
            break
        taken.add(column)
        left -= needed
    numbers = tuple(column for column in _ORDER if column in taken)
    return numbers, "state" in taken, _WORDS["error"] if "error" in taken else 0, max(0, left)
