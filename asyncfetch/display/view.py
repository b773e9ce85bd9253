"""What every way of showing a job has in common: notes, and a look at the statistics 8 times a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from asyncfetch.display.frame import Totals
from asyncfetch.display.marks import Marks
from asyncfetch.display.notes import Notes
from asyncfetch.display.rates import Rate
from asyncfetch.display.text import as_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from asyncfetch.result import Result
    from asyncfetch.stats import Stats

__all__ = ["LOOKS_PER_SECOND", "View", "say"]

LOOKS_PER_SECOND = 8
_ESTIMATE_WINDOW = 20.0
_NO_ESTIMATE_BEFORE = 2.0
_LONGEST_REMARK = 1000


def say(console: Console, *lines: Text) -> None:
    """Write lines to a console as they are: no markup, no colours of rich's own, wrapped only by the terminal."""
    for line in lines:
        console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)


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
        console: Console,
        clock: Callable[[], float],
        total: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.stats = stats
        self.console = console
        self.marks = Marks.of(console.encoding)
        self._clock = clock
        self._total = total
        self._notes = Notes(clock, ascii_only=self.marks.ascii_only)
        self._started = clock()
        self._rate, self._bytes_rate, self._long_rate = Rate(), Rate(), Rate(_ESTIMATE_WINDOW)
        self._is_running = False

    async def run(self) -> None:
        """Show, until it is cancelled; then `close`."""
        self._is_running = True
        try:
            while True:
                await anyio.sleep(1 / LOOKS_PER_SECOND)
                self.look(self._clock())
        finally:
            self.close()

    def close(self) -> None:
        """Show what still waits, and leave the terminal as it was. May be called at any time, and again."""
        self._is_running = False
        say(self.console, *self._notes.take(last=True))

    def note(self, remark: str | Text) -> None:
        """Write a line of ours, above whatever moves."""
        self._notes.add(as_text(remark, at_most=_LONGEST_REMARK) if isinstance(remark, str) else remark)
        if not self._is_running:
            self.close()

    def failure(self, result: Result) -> None:
        """Write a line about a result that is not ok: at most 20 a second, the others are counted."""
        self._notes.failure(result)

    def look(self, now: float) -> None:
        """Show what there is to show at the time `now`."""
        say(self.console, *self._notes.take())

    def totals(self, now: float) -> Totals:
        """Take the counters of all hosts together, and their rates."""
        counted, total, passed = self.stats.total, self._total(), now - self._started
        rate = self._rate.look(now, counted.done)
        steady = self._long_rate.look(now, counted.done)
        has_estimate = total is not None and steady > 0 and passed >= _NO_ESTIMATE_BEFORE
        return Totals(
            done=counted.done,
            failed=counted.failed,
            in_flight=counted.in_flight,
            total=total,
            rate=rate,
            bytes_rate=self._bytes_rate.look(now, self.stats.received),
            seconds=passed,
            left=max(0, total - counted.done) / steady if has_estimate and total is not None else None,
        )
