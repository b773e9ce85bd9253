"""Counters and latencies, per host and in total: what a display reads, a few times a second.

Nobody pushes events: the client counts, whoever is interested looks. All counters only grow, except `in_flight`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from enum import Enum
from math import ceil, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncfetch.result import Result

__all__ = ["HostState", "HostStats", "LatencySketch", "Stats"]

_GROWTH = 1.08
_SHORTEST, _LONGEST = (ceil(log(seconds, _GROWTH)) for seconds in (1e-6, 1e6))  # of the powers that are bounds
_BOUNDS = [_GROWTH**power for power in range(_SHORTEST, _LONGEST + 1)]


class LatencySketch:
    """Quantiles of durations, within 4 %, in a few dozen counters however many durations there are.

    Durations fall into buckets whose bounds grow by 8 % each (the idea of DDSketch, Masson et al. 2019).

    Attributes:
        buckets: how many durations fell into each, by the number of its upper bound.
    """

    __slots__ = ("buckets",)

    def __init__(self) -> None:
        self.buckets: defaultdict[int, int] = defaultdict(int)

    @property
    def count(self) -> int:
        """How many durations there are."""
        return sum(self.buckets.values())

    def add(self, seconds: float) -> None:
        """Count one duration; anything below a microsecond counts as one, and above twelve days as these."""
        self.buckets[bisect_left(_BOUNDS, seconds)] += 1

    def quantile(self, q: float) -> float | None:
        """Return the duration in seconds that a share `q` (0 to 1) does not exceed, or None without any."""
        count = self.count
        if not count:
            return None
        rank = max(1, ceil(q * count))
        for bucket in sorted(self.buckets):
            rank -= self.buckets[bucket]
            if rank <= 0:
                return float(2 * _GROWTH ** (_SHORTEST + bucket) / (1 + _GROWTH))
        raise AssertionError("the buckets hold fewer durations than were counted")


class HostState(Enum):
    """What a host is doing, as far as the scheduler lets it."""

    OK = "ok"
    WAITING = "waiting"
    BACKING_OFF = "backing off"
    BROKEN = "broken"


_OK = HostState.OK  # found faster than a member of an Enum


class HostStats:
    """What happened at one host.

    Attributes:
        key: `host:port`.
        done: results that ended here.
        failed: of these, not ok.
        bytes: decoded bytes of bodies.
        wire_bytes: body bytes as sent, counted while they come, those of failed attempts too.
        queued: requests that wait for their turn there, in memory or on disk, those that wait to be tried again
            included.
        in_flight: requests under way now.
        limit: how many may be under way at once, at the moment.
        retries: attempts beyond each first one.
        errors: how often each code ended a result.
        last_error: the code of the latest failed attempt, or an empty string.
        state, reason: what the host is doing and why, for people.
        interval: seconds from one start to the next, at least; 0 where only their number counts.
        note: the reason for when it is doing well: what it has been found to take, if that is little.
        resumes_at: the loop's time in seconds when a pause ends; 0 without one.
        latency: seconds from the request sent to the head.
    """

    __slots__ = (
        "bytes",
        "done",
        "errors",
        "failed",
        "in_flight",
        "interval",
        "key",
        "last_error",
        "latency",
        "limit",
        "note",
        "queued",
        "reason",
        "resumes_at",
        "retries",
        "state",
        "wire_bytes",
    )

    def __init__(self, key: str, limit: int = 0) -> None:
        self.key = key
        self.limit = limit
        self.done = self.failed = self.bytes = self.wire_bytes = self.in_flight = self.retries = self.queued = 0
        self.errors: dict[str, int] = {}
        self.last_error = ""
        self.state = HostState.OK
        self.reason = self.note = ""
        self.resumes_at = self.interval = 0.0
        self.latency = LatencySketch()

    def __repr__(self) -> str:
        """Show the counts."""
        counts = f"{self.done} done, {self.failed} failed, {self.in_flight} in flight"
        return f"<HostStats of {self.key or 'all hosts'}: {counts}>"

    @property
    def ok(self) -> int:
        """Results that are ok."""
        return self.done - self.failed

    def count_failures(self, code: str, number: int) -> None:
        """Take note that so many of the results that were counted are not ok, each because of `code`."""
        self.failed += number
        self.last_error = code
        self.errors[code] = self.errors.get(code, 0) + number


class Stats:
    """Everything a client has done so far, in total and host by host.

    At most `most_hosts` hosts are kept apart; results of further ones are counted together under `others`, so
    that a list of a million hosts costs no memory for each.

    Attributes:
        total: all hosts together; its `key` is empty.
        hosts: by `host:port`.
        others: the hosts beyond `most_hosts`; its `key` is `(other hosts)`.
        connections: connections opened.
    """

    def __init__(self, most_hosts: int = 10_000) -> None:
        self.most_hosts = most_hosts
        self.total = HostStats("")
        self.hosts: dict[str, HostStats] = {}
        self.others = HostStats("(other hosts)")
        self.connections = 0

    def __repr__(self) -> str:
        """Show the counts."""
        return f"<Stats: {len(self.hosts)} hosts, {self.connections} connections, {self.total}>"

    def host(self, key: str, limit: int = 0) -> HostStats:
        """Return the counters of a host, new ones at its first appearance."""
        found = self.hosts.get(key)
        if found is not None:
            return found
        if len(self.hosts) >= self.most_hosts:
            return self.others
        return self.hosts.setdefault(key, HostStats(key, limit))

    @property
    def received(self) -> int:
        """Body bytes as sent, over all hosts, counted while they come."""
        return self.total.wire_bytes

    def started(self, host: HostStats) -> None:
        """Count a request that goes to a host now; if that is broken, it is a probe, and the host stays so."""
        host.in_flight += 1
        host.queued -= 1
        if host.state is not _OK and host.state is not HostState.BROKEN:
            host.state, host.reason, host.resumes_at = _OK, host.note, 0.0
        self.total.in_flight += 1

    def stopped(self, host: HostStats) -> None:
        """Count a request that is over, however it ended."""
        host.in_flight -= 1
        self.total.in_flight -= 1

    def passed_on(self, before: HostStats, host: HostStats) -> None:
        """Count a request that is over, at `before`, and one that goes to a host in its place."""
        if before is host and host.state is _OK:
            host.queued -= 1
        else:
            self.stopped(before)
            self.started(host)

    def came(self, host: HostStats, wire_bytes: int) -> None:
        """Count body bytes that have come."""
        host.wire_bytes += wire_bytes
        self.total.wire_bytes += wire_bytes

    def retried(self, host: HostStats, code: str) -> None:
        """Count an attempt that failed with `code` and is not the last."""
        host.retries += 1
        host.last_error = code
        self.total.retries += 1
        self.total.last_error = code

    def paused(self, host: HostStats, state: HostState, reason: str, resumes_at: float) -> None:
        """Note why a host gets no requests, until when (loop time in seconds)."""
        host.state, host.reason, host.resumes_at = state, reason, resumes_at

    def ended(self, host: HostStats | None, result: Result) -> None:
        """Count a result; without a host if its URL names none."""
        total, response = self.total, result.response
        if host is None:
            host = HostStats("")
        total.done += 1
        host.done += 1
        if response is not None:
            size, ttfb = response.num_bytes, result.timings.ttfb
            total.bytes += size
            host.bytes += size
            if ttfb is not None:
                bucket = bisect_left(_BOUNDS, ttfb)
                total.latency.buckets[bucket] += 1
                host.latency.buckets[bucket] += 1
        if result.error is not None:
            total.count_failures(result.error.code, 1)
            host.count_failures(result.error.code, 1)

    def refused(self, host: HostStats | None, code: str, number: int) -> None:
        """Count so many results of a host that `code` ended, and for which nothing was sent."""
        for counters in (self.total,) if host is None else (self.total, host):
            counters.done += number
            counters.count_failures(code, number)

    def __iter__(self) -> Iterator[HostStats]:
        """Every host that is kept apart, then the others if there are any."""
        yield from self.hosts.values()
        if self.others.done or self.others.in_flight:
            yield self.others
