"""The closing tables: what became of all requests, host by host and error by error; and the same as a dict.

Everything comes from `Stats`, except one example for each error code (`Examples`), so it costs the same for a
hundred URLs and for ten million.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

import msgspec

from asyncfetch.stats import HostStats, Stats
from asyncfetch.url import redacted

if TYPE_CHECKING:
    from asyncfetch.result import Result

__all__ = ["Ending", "Example", "Examples", "summary_json"]

_MOST_CODES = 100
_MOST_HOSTS = 20
_MOST_SLOW = 5


class Example(msgspec.Struct, frozen=True):
    """The first result that an error code ended.

    Attributes:
        url: as given, without credentials.
        message: what happened.
    """

    url: str
    message: str


class Examples:
    """One example for each error code. Feed it every result; those that are ok cost nothing."""

    def __init__(self) -> None:
        self.by_code: dict[str, Example] = {}

    def add(self, result: Result) -> None:
        """Remember a result that is not ok, if it is the first of its code."""
        error = result.error
        if error is not None and error.code not in self.by_code and len(self.by_code) < _MOST_CODES:
            self.by_code[error.code] = Example(redacted(result.url), error.detail)


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """A job at its end.

    Attributes:
        stats: what was counted.
        seconds: how long it took.
        not_done: entries that have no result because the job was stopped; None when nobody knows how many.
        examples: one result for each error code.
    """

    stats: Stats
    seconds: float
    not_done: int | None = 0
    examples: Examples = msgspec.field(default_factory=Examples)

    @property
    def rate(self) -> float:
        """Results per second."""
        return self.stats.total.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def bytes_rate(self) -> float:
        """Bytes received per second."""
        return self.stats.received / self.seconds if self.seconds > 0 else 0.0

    def errors(self) -> list[tuple[str, int, Example | None]]:
        """Every error code, how often it came, and an example; the most frequent first."""
        counted = sorted(self.stats.total.errors.items(), key=lambda item: (-item[1], item[0]))
        return [(code, number, self.examples.by_code.get(code)) for code, number in counted]

    def hosts(self) -> list[HostStats]:
        """The hosts with the most results, at most 20."""
        return heapq.nlargest(_MOST_HOSTS, self.stats, key=lambda host: host.done)

    def more_hosts(self) -> int:
        """How many hosts of those that are kept apart `hosts` leaves out."""
        return max(0, sum(1 for _ in self.stats) - _MOST_HOSTS)

    def slowest(self) -> list[tuple[HostStats, float]]:
        """The hosts with the highest 95th percentile of latency, in seconds, at most 5."""
        latencies = ((host, host.latency.quantile(0.95)) for host in self.stats)
        known = ((host, seconds) for host, seconds in latencies if seconds is not None)
        return heapq.nlargest(_MOST_SLOW, known, key=lambda item: item[1])


def summary_json(ending: Ending) -> dict[str, Any]:
    """Return what the closing tables say. Times are seconds, sizes bytes; foreign text is as it came."""
    total = ending.stats.total
    return {
        "done": total.done,
        "ok": total.ok,
        "failed": total.failed,
        "not_done": ending.not_done,
        "bytes": total.bytes,
        "received_bytes": ending.stats.received,
        "seconds": round(ending.seconds, 3),
        "rate": round(ending.rate, 3),
        "retries": total.retries,
        "connections": ending.stats.connections,
        "errors": [_error_json(*error) for error in ending.errors()],
        "hosts": [_host_json(host) for host in ending.hosts()],
        "more_hosts": ending.more_hosts(),
        "slowest": [{"host": host.key, "p95": round(seconds, 6)} for host, seconds in ending.slowest()],
    }


def _error_json(code: str, number: int, example: Example | None) -> dict[str, Any]:
    known = {} if example is None else {"url": example.url, "message": example.message}
    return {"code": code, "count": number, **known}


def _host_json(host: HostStats) -> dict[str, Any]:
    p50, p95 = host.latency.quantile(0.5), host.latency.quantile(0.95)
    return {
        "host": host.key,
        "done": host.done,
        "ok": host.ok,
        "failed": host.failed,
        "bytes": host.bytes,
        "retries": host.retries,
        "p50": None if p50 is None else round(p50, 6),
        "p95": None if p95 is None else round(p95, 6),
        "errors": dict(host.errors),
    }
