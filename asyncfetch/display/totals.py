"""All hosts together: how much is done, how fast, and how long it will take."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from asyncfetch.display.rates import Rate
from asyncfetch.display.states import is_broken
from asyncfetch.stats import HostStats, Stats

__all__ = ["Pace", "Slowest", "Totals"]

_ESTIMATE_WINDOW = 20.0
_NO_ESTIMATE_BEFORE = 2.0
_SLOWEST_EVERY = 2.0  # seconds between two looks at all hosts


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
    """Watches the counters, and knows how fast they grow.

    What is left is estimated from the last 20 seconds, but is not less than what the slowest host will take.
    """

    def __init__(self, stats: Stats, total: Callable[[], int | None], now: float) -> None:
        self._stats = stats
        self._total = total
        self._started = now
        self._rate, self._bytes_rate, self._steady_rate = Rate(), Rate(), Rate(_ESTIMATE_WINDOW)
        self._slowest = Slowest(stats)
        self.look(now)

    def look(self, now: float) -> Totals:
        """Take the counters at the time `now`, in seconds."""
        counted, total, seconds = self._stats.total, self._total(), now - self._started
        steady = self._steady_rate.look(now, counted.done)
        left = None
        if total is not None and steady > 0 and seconds >= _NO_ESTIMATE_BEFORE:
            left = max(0, total - counted.done) / steady
            if counted.done < total:
                left = max(left, self._slowest.look(now))
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


class Slowest:
    """Estimates when the host will be done that has most to do for its pace; looks at all of them now and then."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._begun: dict[str, tuple[float, int]] = {}
        self._ends_at = 0.0
        self._looked_at = -_SLOWEST_EVERY

    def look(self, now: float) -> float:
        """Return the seconds until it is done, 0 if nobody knows; only what is queued by now is known."""
        if now - self._looked_at >= _SLOWEST_EVERY:
            self._looked_at = now
            self._ends_at = now + max((self._left(host, now) for host in self._stats.hosts.values()), default=0.0)
        return max(0.0, self._ends_at - now)

    def _left(self, host: HostStats, now: float) -> float:
        """How long one host will take, going on as it did since it was first seen, but no faster than it may.

        A pause comes on top. Who has answered nothing yet takes as long again, for each round of requests.
        """
        waiting = host.queued + host.in_flight
        if not waiting:
            self._begun.pop(host.key, None)
            return 0.0
        began, done = self._begun.setdefault(host.key, (now, host.done))
        pause, least = max(0.0, host.resumes_at - now), waiting * host.interval
        if host.done > done:
            return pause + max(least, (now - began) * waiting / (host.done - done))
        if pause or not host.in_flight or is_broken(host):  # it was asked nothing
            self._begun[host.key] = (now, done)
            return pause + least
        return max(least, (now - began) * waiting / max(host.limit, host.in_flight))
