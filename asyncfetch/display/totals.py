"""All hosts together: how much is done, how fast, and how long it will take."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from asyncfetch.display.rates import Rate
from asyncfetch.stats import Stats

__all__ = ["Pace", "Totals"]

_ESTIMATE_WINDOW = 20.0
_NO_ESTIMATE_BEFORE = 2.0


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """All hosts together, at one moment.

    Attributes:
        done, failed, in_flight: requests.
        total: how many there are in all, or None while nobody knows.
        rate, bytes_rate: requests and bytes on the wire per second.
        seconds: since the start.
        left: seconds until the end, or None while nobody knows.
    """

    done: int
    failed: int
    in_flight: int
    total: int | None = None
    rate: float = 0.0
    bytes_rate: float = 0.0
    seconds: float = 0.0
    left: float | None = None


class Pace:
    """Watches the counters, and knows how fast they grow. What is left is estimated from the last 20 seconds."""

    def __init__(self, stats: Stats, total: Callable[[], int | None], now: float) -> None:
        self._stats = stats
        self._total = total
        self._started = now
        self._rate, self._bytes_rate, self._steady_rate = Rate(), Rate(), Rate(_ESTIMATE_WINDOW)
        self.look(now)

    def look(self, now: float) -> Totals:
        """Take the counters at the time `now`, in seconds."""
        counted, total, seconds = self._stats.total, self._total(), now - self._started
        steady = self._steady_rate.look(now, counted.done)
        left = None
        if total is not None and steady > 0 and seconds >= _NO_ESTIMATE_BEFORE:
            left = max(0, total - counted.done) / steady
        return Totals(
            done=counted.done,
            failed=counted.failed,
            in_flight=counted.in_flight,
            total=total,
            rate=self._rate.look(now, counted.done),
            bytes_rate=self._bytes_rate.look(now, self._stats.received),
            seconds=seconds,
            left=left,
        )
