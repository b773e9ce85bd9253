"""Which hosts are shown, and in which line: the most active ones, and they stay where they are.

A look costs the same however many hosts there are: beside the hosts on the screen it examines the next 500 of the
others, round and round, so that with 10,000 hosts (the most that `Stats` keeps apart unless told otherwise) each
is looked at every 2.5 seconds.
"""

from __future__ import annotations

import heapq

from asyncfetch.display.cells import cell_len
from asyncfetch.display.rates import Rate
from asyncfetch.display.states import is_pausing
from asyncfetch.display.text import harmless
from asyncfetch.stats import HostStats, Stats

__all__ = ["Roster", "Row", "host_name"]

_EXAMINED = 500
_LINGER = 2.0
_LATENCY_EVERY = 8
_HEAD_START = 10


def host_name(key: str, at_most: int = 200, *, ascii_only: bool = False) -> str:
    """Write a host's key for people: `:443` goes without saying, any other port where there is no room for it."""
    name = harmless(key.removesuffix(":443"), ascii_only=ascii_only)
    if cell_len(name) <= at_most:
        return name
    host, _, port = name.rpartition(":")
    return harmless(host if port.isdigit() else name, at_most, cut="middle", ascii_only=ascii_only)


class Row:
    """A host on the screen, with what must be remembered from look to look.

    Attributes:
        host: its counters.
        active_at: when it last had something to do, in seconds; minus infinity for a host that never had.
        bytes_rate, p50, p95: bytes per second, and latencies in seconds or None.
    """

    __slots__ = ("_done", "_looks", "_rate", "active_at", "bytes_rate", "host", "p50", "p95")

    def __init__(self, host: HostStats, place: int) -> None:
        self.host = host
        self.active_at = float("-inf")
        self.bytes_rate = 0.0
        self.p50: float | None = None
        self.p95: float | None = None
        self._rate = Rate()
        self._done = host.done
        self._looks = place % _LATENCY_EVERY

    def look(self, now: float) -> None:
        """Take the host's counters. Latencies are taken once a second: nobody reads faster."""
        host = self.host
        self.bytes_rate = self._rate.look(now, host.wire_bytes)
        if host.in_flight or host.done != self._done:
            self.active_at = now
            self._done = host.done
        self._looks += 1
        if host.latency.count and (self.p50 is None or self._looks % _LATENCY_EVERY == 0):
            self.p50, self.p95 = host.latency.quantile(0.5), host.latency.quantile(0.95)

    def is_active(self, now: float) -> bool:
        """Whether it has, or had a moment ago, something in flight."""
        return now - self.active_at < _LINGER


class Roster:
    """The hosts on the screen, each in its place.

    A host leaves its place when it has been idle for 2 s and another one is active, or when another one has done
    twice as much. A third of the places is for hosts that must pause, if there are so many.

    Attributes:
        longest_name: cells of the longest name shown so far; it only grows, so that columns do not jump.
    """

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self.longest_name = 0
        self._rows: list[Row] = []
        self._next = 0

    def __len__(self) -> int:
        """How many hosts there are to choose from."""
        return len(self._stats.hosts) + self._has_others()

    def look(self, now: float, places: int) -> list[Row]:
        """Return the rows to show at the time `now`, at most `places`, and take their counters."""
        for row in self._rows:
            row.look(now)
        self._seat(self._chosen(now, places), now)
        return self._rows

    def _chosen(self, now: float, places: int) -> dict[int, HostStats]:
        """The hosts that deserve a place, by identity, weightiest first."""
        shown = {id(row.host): row for row in self._rows}
        hosts = [row.host for row in self._rows]
        hosts += [host for host in self._examined() if id(host) not in shown]
        active: list[tuple[int, int]] = []
        pausing: list[tuple[int, int]] = []
        idle: list[tuple[int, int]] = []
        for number, host in enumerate(hosts):
            row = shown.get(id(host))
            weight = (host.done + _HEAD_START) * (1 if row is None else 2), -number
            if host.in_flight or (row is not None and row.is_active(now)):
                active.append(weight)
            elif is_pausing(host, now):
                pausing.append(weight)
            else:
                idle.append(weight)
        reserved = heapq.nlargest(places // 3, pausing)
        best = heapq.nlargest(places - len(reserved), active) + reserved
        for leftover in (pausing, idle):
            if len(best) < places:
                best += heapq.nlargest(places - len(best), set(leftover).difference(best))
        return {id(hosts[-number]): hosts[-number] for _, number in best}

    def _examined(self) -> list[HostStats]:
        """The next hosts in the round, and those that are counted together."""
        hosts = list(self._stats.hosts.values())
        if self._has_others():
            hosts.append(self._stats.others)
        if len(hosts) <= _EXAMINED:
            return hosts
        first = self._next if self._next < len(hosts) else 0
        self._next = first + _EXAMINED
        return hosts[first : self._next]

    def _has_others(self) -> bool:
        return bool(self._stats.others.done or self._stats.others.in_flight)

    def _seat(self, chosen: dict[int, HostStats], now: float) -> None:
        """Leave who stays in its place, and give the free places to the newcomers."""
        staying = {id(row.host) for row in self._rows if id(row.host) in chosen}
        newcomers = iter([host for identity, host in chosen.items() if identity not in staying])
        rows: list[Row] = []
        for row in self._rows:
            host = row.host if id(row.host) in staying else next(newcomers, None)
            if host is not None:
                rows.append(row if host is row.host else self._seated(host, len(rows), now))
        for host in newcomers:
            rows.append(self._seated(host, len(rows), now))
        self._rows = rows

    def _seated(self, host: HostStats, place: int, now: float) -> Row:
        self.longest_name = max(self.longest_name, cell_len(host_name(host.key)))
        row = Row(host, place)
        row.look(now)
        return row
