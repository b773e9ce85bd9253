"""The live view: a bar, the totals and the most active hosts, redrawn in place 8 times a second.

It looks at `Stats`, and draws only when something has changed. It never fills the screen's last line, so nothing
scrolls; it needs no thread and no signal. Where the terminal does not take output (Ctrl-S), the view waits and the
fetching goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import ConsoleDimensions
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType, Segment

from asyncfetch.display.choose import terminal_size
from asyncfetch.display.columns import Columns
from asyncfetch.display.frame import Frame, host_lines, more_line, total_lines
from asyncfetch.display.outlet import Outlet
from asyncfetch.display.roster import Roster
from asyncfetch.display.view import View
from asyncfetch.display.words import PlainConsole, Words, say

if TYPE_CHECKING:
    from rich.console import Console

    from asyncfetch.stats import Stats

__all__ = ["LiveView"]

_MOST_ROWS = 40
_TABLE_EXTRA = 2


def _private_mode(code: str) -> Control:
    control = Control()
    control.segment = Segment(f"\x1b[?{code}")
    return control


_BEGIN, _END = _private_mode("2026h"), _private_mode("2026l")
"""Synchronized output: terminals that know it show a picture when it is whole, the others ignore it."""


class LiveView(View):
    """The live view. Only for a real terminal: `choose_progress` asks the stream.

    Args:
        stats: what is shown.
        console: the terminal.
        clock: the loop's time, in seconds.
        total: how many requests there are in all, or None while nobody knows.
    """

    def __init__(
        self,
        stats: Stats,
        *,
        console: Console | PlainConsole,
        clock: Callable[[], float],
        total: Callable[[], int | None] = lambda: None,
    ) -> None:
        super().__init__(stats, console=console, clock=clock, total=total)
        assert not isinstance(console, PlainConsole), "only a terminal moves"
        self._terminal = console
        self._roster = Roster(stats)
        self._shown = Frame([])
        self._live = Live(
            self._shown,
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def render(self, now: float) -> Frame:
        """Draw the picture for the time `now`, in the console's size."""
        width, height = self._terminal.size
        lines = total_lines(self._pace.look(now), width, self.marks)[: max(1, height - 1)]
        room = min(height - 1 - len(lines) - _TABLE_EXTRA, _MOST_ROWS)
        if len(self._roster) and room > 0:
            lines += [[], *self._table(now, room, width)]
        if len(lines) < height - 1:
            lines.append([])  # the cursor's: behind a full line the terminal's echo of Ctrl-C would wrap
        return Frame(lines)

    def _table(self, now: float, room: int, width: int) -> list[list[Segment]]:
        """Draw the hosts, in `room` lines below their heading."""
        known = len(self._roster)
        rows = self._roster.look(now, room if known <= room else room - 1)
        lines = host_lines(rows, Columns.fitting(width, self._roster.longest_name), now, self.marks)
        if known > len(rows):
            elsewhere = self.stats.total.in_flight - sum(row.host.in_flight for row in rows)
            lines.append(more_line(known - len(rows), elsewhere, width))
        return lines

    def look(self, now: float) -> None:
        """Draw, if anything has changed and the terminal takes it."""
        if isinstance(outlet := self._terminal.file, Outlet) and not outlet.takes_output():
            return
        resized = self._fit()
        lines = self.render(now).lines
        notes = self._notes.take()
        if lines == self._shown.lines and not notes and not resized:
            return
        self._shown.lines = lines
        if not self._live.is_started:
            self._live.start()
        with self._terminal:
            self._terminal.control(_BEGIN)
            if notes:
                say(self._terminal, Words("\n").join(notes))
            else:
                self._live.refresh()
            self._terminal.control(_END)

    def close(self) -> None:
        """Remove the picture, show what still waits, and give the cursor back. May be called again."""
        if self._live.is_started:
            self._live.stop()
        super().close()

    def _fit(self) -> bool:
        """Follow the terminal's size; return whether it has changed."""
        before, size = self._terminal.size, terminal_size(self._terminal.file)
        if size is None or tuple(size) == tuple(before):
            return False
        if size.columns < before.width and self._live.is_started:
            self._erase_wrapped(size.columns)
        self._terminal.size = ConsoleDimensions(*size)
        return True

    def _erase_wrapped(self, width: int) -> None:
        """Erase the lines by which the picture has grown because a narrower terminal wrapped it.

        Terminals that cut lines instead lose as many lines above the picture: less ugly than what would be left.
        """
        grown = self._shown.height_at(width) - len(self._shown.lines)
        erase = (ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)
        self._terminal.control(Control(ControlType.CARRIAGE_RETURN, *erase * grown))
