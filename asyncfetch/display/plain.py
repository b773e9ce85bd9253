"""Progress for logs and for terminals that cannot move their cursor: one plain line every 10 seconds."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING

from asyncfetch.display import units
from asyncfetch.display.roster import host_name
from asyncfetch.display.states import is_pausing, state_words
from asyncfetch.display.totals import Totals
from asyncfetch.display.view import View
from asyncfetch.display.words import PlainConsole, Words, say
from asyncfetch.stats import HostStats, Stats

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["PlainView"]

_EVERY = 10.0
_BUSIEST = 100
_NAME = 40


class PlainView(View):
    """A line every 10 seconds, the first one after 10: a short job says nothing until its end.

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
        super().__init__(stats, console=console, clock=clock, total=total)
        self._next = clock() + _EVERY

    def look(self, now: float) -> None:
        """Write what waits, and a line if it is time for one."""
        super().look(now)
        if now >= self._next:
            self._next += _EVERY * (1 + (now - self._next) // _EVERY)
            say(self.console, Words(self.line(now)))

    def line(self, now: float) -> str:
        """Write all that is known at the time `now`, in one line."""
        ascii_only = self.marks.ascii_only
        facts = _progress(self._pace.look(now))
        facts += _pauses(self.stats, now, ascii_only=ascii_only)
        facts += _slowest(self.stats, ascii_only=ascii_only)
        return ", ".join(facts)


def _progress(totals: Totals) -> list[str]:
    done = f"{units.count(totals.done)} done"
    if totals.total:
        share = units.percent(totals.done, totals.total)
        done = f"{units.count(totals.done)} of {units.count(totals.total)} done ({share})"
    left = [] if totals.left is None else [f"about {units.roughly(totals.left)} left"]
    return [
        done,
        f"{units.count(totals.failed)} failed",
        units.rate(totals.rate),
        units.speed(totals.bytes_rate),
        *left,
        f"{units.count(totals.in_flight)} in flight",
    ]


def _pauses(stats: Stats, now: float, *, ascii_only: bool) -> list[str]:
    """How many hosts pause, and the one that pauses longest."""
    pausing = [host for host in stats if is_pausing(host, now)]
    if not pausing:
        return []
    longest = max(pausing, key=_resumes_at)
    name = host_name(longest.key, _NAME, ascii_only=ascii_only)
    words = state_words(longest, now, ascii_only=ascii_only)[0]
    return [f"{units.counted(len(pausing), 'host pauses', 'hosts pause')} ({name} {words})"]


def _slowest(stats: Stats, *, ascii_only: bool) -> list[str]:
    """The slowest of the hosts that have most to do, if there are several."""
    flying = heapq.nlargest(_BUSIEST, (host for host in stats if host.in_flight and host.latency.count), key=_done)
    if len(flying) < 2:
        return []
    seconds, name = max((host.latency.quantile(0.95) or 0.0, host.key) for host in flying)
    return [f"slowest {host_name(name, _NAME, ascii_only=ascii_only)} (p95 {units.latency(seconds)})"]


def _resumes_at(host: HostStats) -> float:
    return host.resumes_at


def _done(host: HostStats) -> int:
    return host.done
