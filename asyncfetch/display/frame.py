"""One picture of the live view: a bar, the totals, and a line for each host, cut to the size of the terminal.

Lines are laid out by hand, as pieces of text with a style: rich's tables measure every cell twice, which at 8
pictures a second is more than the whole display may cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from asyncfetch.display import columns, units
from asyncfetch.display.colors import BAD, BOLD, DIM, GOOD, PLAIN
from asyncfetch.display.marks import Marks
from asyncfetch.display.roster import Row
from asyncfetch.display.totals import Totals

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

__all__ = ["Frame", "host_lines", "more_line", "total_lines"]

_WIDEST_BAR = 100
_NARROWEST_BAR = 8
_NEWLINE = Segment.line()

Line = list[Segment]


class Frame:
    """Lines for rich, written as they are: each one fits the width that it was made for."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for line in self.lines:
            yield from line
            yield _NEWLINE

    def height_at(self, width: int) -> int:
        """How many lines a terminal of another width makes of it, if it wraps what it has shown."""
        lengths = (sum(cell_len(piece.text) for piece in line) for line in self.lines)
        return sum(max(1, -(-length // width)) for length in lengths)


def total_lines(totals: Totals, width: int, marks: Marks) -> list[Line]:
    """Draw the bar and, below it, the totals in as many lines as they need."""
    return [_bar(totals, width, marks), *_flowing(_facts(totals), width, marks.between)]


def host_lines(rows: list[Row], chosen: columns.Columns, now: float, marks: Marks) -> list[Line]:
    """Draw a heading, and a line for each host."""
    lines = [columns.heading(chosen)]
    return lines + [columns.line(row, chosen, now, marks) for row in rows]


def more_line(hosts: int, in_flight: int, width: int) -> Line:
    """Say how many hosts are not shown, and what they have in flight."""
    more = units.counted(hosts, "more host", "more hosts")
    return [Segment(f"and {more}, {units.count(in_flight)} in flight"[:width], DIM)]


def _bar(totals: Totals, width: int, marks: Marks) -> Line:
    """`━━━━━━━──────── 12 %  12,345 of 100,000`; the share of failures is the end of the full part."""
    done, total = totals.done, totals.total
    if not total:
        words = f"{units.count(done)} done" + (", total not known yet" if total is None else "")
        return [Segment(words[:width], BOLD)]
    total = max(total, done)
    words = f"{units.percent(done, total)}  {units.count(done)} of {units.count(total)}"
    cells = min(width - len(words) - 2, _WIDEST_BAR)
    if cells < _NARROWEST_BAR:
        return [Segment(words[:width], BOLD)]
    full = cells * done // total
    bad = min(full, -(-full * totals.failed // max(done, 1)))
    parts = ((marks.full * (full - bad), GOOD), (marks.full * bad, BAD), (marks.rest * (cells - full), DIM))
    return [*(Segment(text, style) for text, style in parts if text), Segment(f"  {words}", BOLD)]


def _facts(totals: Totals) -> list[tuple[str, Style]]:
    """What is said of all hosts, the most important first."""
    failed = f"{units.count(totals.failed)} failed"
    time = units.clock(totals.seconds)
    if totals.left is not None:
        time += f", about {units.roughly(totals.left)} left"
    return [
        (units.rate(totals.rate), PLAIN),
        (units.speed(totals.bytes_rate), PLAIN),
        (failed, BAD if totals.failed else PLAIN),
        (f"{units.count(totals.in_flight)} in flight", PLAIN),
        (time, PLAIN),
    ]


def _flowing(facts: list[tuple[str, Style]], width: int, between: str) -> list[Line]:
    """Write facts one after the other, in further lines when a line is full."""
    lines: list[Line] = []
    used = width
    for text, style in facts:
        if lines and used + len(between) + len(text) <= width:
            lines[-1].append(Segment(between, DIM))
            used += len(between) + len(text)
        else:
            lines.append([])
            used = len(text)
        lines[-1].append(Segment(text[:width], style))
    return lines
