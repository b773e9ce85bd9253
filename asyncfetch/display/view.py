"""What every way of showing a job has in common: notes, and a look at the statistics 8 times a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from asyncfetch.display.marks import Marks
from asyncfetch.display.notes import Notes
from asyncfetch.display.text import as_text
from asyncfetch.display.totals import Pace
from asyncfetch.display.words import PlainConsole, Words, say

if TYPE_CHECKING:
    from rich.console import Console

    from asyncfetch.result import Result
    from asyncfetch.stats import Stats

__all__ = ["View", "say"]

_LOOKS_PER_SECOND = 8
_LONGEST_REMARK = 1000


class View:
    """Shows notes and nothing else. The views that also show progress add to `look`.

    Args:
        stats: what is shown.
        console: where.
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
        self.stats = stats
        self.console = console
        self.marks = Marks.of(console.encoding)
        self._clock = clock
        self._notes = Notes(clock, ascii_only=self.marks.ascii_only)
        self._pace = Pace(stats, total, clock())
        self._is_running = False

    async def run(self) -> None:
        """Show, until it is cancelled; then `close`."""
        self._is_running = True
        try:
            while True:
                await anyio.sleep(1 / _LOOKS_PER_SECOND)
                self.look(self._clock())
        finally:
            self.close()

    def close(self) -> None:
        """Show what still waits, and leave the terminal as it was. May be called at any time, and again."""
        self._is_running = False
        say(self.console, *self._notes.take(last=True))

    def note(self, remark: str | Words) -> None:
        """Write a line of ours, above whatever moves."""
        self._notes.add(as_text(remark, at_most=_LONGEST_REMARK) if isinstance(remark, str) else remark)
        self._say_at_once()

    def failure(self, result: Result) -> None:
        """Write a line about a result that is not ok: at most 20 a second, the others are counted."""
        self._notes.failure(result)
        self._say_at_once()

    def _say_at_once(self) -> None:
        """Without a loop that looks, what is said must not wait."""
        if not self._is_running:
            say(self.console, *self._notes.take())

    def look(self, now: float) -> None:
        """Show what there is to show at the time `now`, and what could not be shown before."""
        self.console.file.flush()
        say(self.console, *self._notes.take())
