"""Counters: what happened, per host and in total, and quantiles of latencies in little room."""

from __future__ import annotations

import random

import pytest

from asyncfetch import HostState, HostStats, NameNotFound, Request, Response, Result, Stats, StatusError, Timings
from asyncfetch.errors import FetchError
from asyncfetch.stats import LatencySketch


def result(
    status: int | None, *, size: int = 0, error: FetchError | None = None, ttfb: float | None = None
) -> Result:
    response = None
    if status is not None:
        response = Response("http://h/", status, "", [])
        response.num_bytes = size
    return Result(1, Request("http://h/"), response, error, timings=Timings(ttfb=ttfb))


class TestLatencySketch:
    def test_knows_nothing_at_first(self) -> None:
        """Without durations there is no quantile."""
        sketch = LatencySketch()
        assert sketch.quantile(0.5) is None
        assert sketch.count == 0

    @pytest.mark.parametrize("seconds", [2e-6, 0.001, 0.1, 1.0, 7.0, 3600.0, 1e6])
    def test_finds_one_duration(self, seconds: float) -> None:
        """Every quantile of one duration is that duration, within 4 %."""
        sketch = LatencySketch()
        sketch.add(seconds)
        for q in (0.0, 0.5, 1.0):
            assert sketch.quantile(q) == pytest.approx(seconds, rel=0.04)

    @pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e-6, -1.0])
    def test_counts_anything_tiny_as_a_microsecond(self, seconds: float) -> None:
        """A clock that stands still, or goes back, breaks nothing."""
        sketch = LatencySketch()
        sketch.add(seconds)
        assert sketch.quantile(0.5) == pytest.approx(1e-6, rel=0.05)

    @pytest.mark.parametrize("seconds", [1e7, 1e300, float("inf")])
    def test_counts_anything_huge_as_twelve_days(self, seconds: float) -> None:
        """A clock that leaps breaks nothing, either."""
        sketch = LatencySketch()
        sketch.add(seconds)
        assert sketch.quantile(0.5) == pytest.approx(1e6, rel=0.2)

    def test_is_within_four_percent_of_many(self) -> None:
        """For any quantile of any mixture, in a few dozen counters."""
        chance = random.Random(7)
        durations = sorted(chance.lognormvariate(-2, 1) for _ in range(5000))
        sketch = LatencySketch()
        for seconds in durations:
            sketch.add(seconds)
        assert sketch.count == 5000
        for q in (0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0):
            exact = durations[max(0, round(q * 5000) - 1)]
            assert sketch.quantile(q) == pytest.approx(exact, rel=0.045)
        assert len(sketch.buckets) < 150


class TestHostStats:
    def test_count_results(self) -> None:
        """Ok and failed, their bytes, codes and latencies."""
        stats = Stats()
        host = stats.host("h:80", 6)
        stats.ended(host, result(200, size=10, ttfb=0.1))
        stats.ended(host, result(404, size=5, error=StatusError(404), ttfb=0.1))
        stats.ended(host, result(None, error=NameNotFound("no such name")))
        assert (host.done, host.failed, host.ok, host.bytes) == (3, 2, 1, 15)
        assert host.errors == {"http.4xx": 1, "dns.not_found": 1}
        assert host.last_error == "dns.not_found"
        assert host.latency.count == 2
        assert (host.key, host.limit, host.state) == ("h:80", 6, HostState.OK)

    def test_a_response_without_latency_has_none(self) -> None:
        """What was not measured is not made up."""
        host = HostStats("h:80")
        Stats().ended(host, result(200))
        assert host.latency.count == 0


class TestStats:
    def test_keep_hosts_apart(self) -> None:
        """Each host has its counters, and all together theirs."""
        stats = Stats()
        one, two = stats.host("one:80", 6), stats.host("two:80", 6)
        assert stats.host("one:80", 99) is one
        for host in (one, one, two):
            stats.started(host)
        assert (one.in_flight, two.in_flight, stats.total.in_flight) == (2, 1, 3)
        stats.came(one, 100)
        stats.came(two, 10)
        stats.retried(two, "timeout.read")
        stats.stopped(one)
        stats.ended(one, result(200, size=7))
        assert (one.in_flight, stats.total.in_flight, one.done, stats.total.done) == (1, 2, 1, 1)
        assert (one.wire_bytes, two.wire_bytes, stats.received) == (100, 10, 110)
        assert (two.retries, two.last_error, stats.total.retries, stats.total.last_error) == (
            1,
            "timeout.read",
            1,
            "timeout.read",
        )
        assert [host.key for host in stats] == ["one:80", "two:80"]

    def test_count_results_without_a_host(self) -> None:
        """A URL that names no host counts in total only."""
        stats = Stats()
        stats.ended(None, result(None, error=NameNotFound("x")))
        assert (stats.total.done, stats.total.failed, list(stats)) == (1, 1, [])

    def test_keep_so_many_hosts_only(self) -> None:
        """Further hosts are counted together, and cost nothing each."""
        stats = Stats(most_hosts=2)
        for n in range(5):
            host = stats.host(f"{n}:80")
            stats.started(host)
            stats.stopped(host)
            stats.ended(host, result(200))
        assert list(stats.hosts) == ["0:80", "1:80"]
        assert stats.others.done == 3
        assert [host.key for host in stats] == ["0:80", "1:80", "(other hosts)"]
        assert stats.host("1:80") is stats.hosts["1:80"]

    def test_a_request_ends_a_pause(self) -> None:
        """A host to which something goes is not waiting any more."""
        stats = Stats()
        host = stats.host("h:80")
        stats.paused(host, HostState.WAITING, "Retry-After", 17.0)
        assert (host.state, host.reason, host.resumes_at) == (HostState.WAITING, "Retry-After", 17.0)
        stats.started(host)
        assert (host.state, host.reason, host.resumes_at) == (HostState.OK, "", 0.0)
