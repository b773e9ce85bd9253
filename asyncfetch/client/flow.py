"""How fast bodies may come: bytes per second over all hosts, and of single ones. Counts, and says how long to wait.

A reader that must wait does not read, its buffer fills, and TCP slows the server down. What has come before that is
bounded by small buffers: some 200 kB for each connection.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic

from asyncfetch.client.hosts import Hosts
from asyncfetch.scheduler import Pace
from asyncfetch.stats import HostStats, Stats

__all__ = ["BUFFERED", "Flow"]

BUFFERED = 16 * 1024  # bytes; the reader of a connection whose speed is limited holds twice as many at most
_REMEMBERED = 10_000
_AT_ONCE = 0.05  # seconds' worth of bytes that need not wait: a rest, so that small bodies do not wait for timers


class Flow:
    """Counts bytes as they come."""

    def __init__(self, stats: Stats, limit_rate: int | None, hosts: Hosts) -> None:
        self._stats = stats
        self._total = None if limit_rate is None else Pace(1.0 / limit_rate, _AT_ONCE)
        self._hosts = hosts
        self._paces: dict[str, Pace | None] = {}

    @classmethod
    def needed(cls, stats: Stats, limit_rate: int | None, hosts: Hosts) -> Flow | None:
        """Return one if any speed may be limited."""
        return cls(stats, limit_rate, hosts) if limit_rate is not None or hosts.are_special else None

    def counter(self, host: HostStats, key: str) -> Callable[[int], float]:
        """Return what to tell of bytes that come from a host; it says how many seconds to wait for more."""
        return partial(self._came, host, self._pace_of(key) if self._hosts.are_special else None)

    def _came(self, host: HostStats, own: Pace | None, wire_bytes: int) -> float:
        """Count bytes; return how many seconds to wait before more are read."""
        self._stats.came(host, wire_bytes)
        now = monotonic()
        return max((pace.spend(wire_bytes, now) for pace in (self._total, own) if pace is not None), default=0.0)

    def _pace_of(self, key: str) -> Pace | None:
        if key not in self._paces:
            if len(self._paces) >= _REMEMBERED:
                self._paces.clear()
            settings = self._hosts.settings(key)
            limit = None if settings is None else settings.limit_rate
            self._paces[key] = None if limit is None else Pace(1.0 / limit, _AT_ONCE)
        return self._paces[key]
