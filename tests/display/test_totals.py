"""All hosts together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncfetch.display.totals import Pace, Slowest
from asyncfetch.errors import HeadTimeout
from asyncfetch.stats import HostState, Stats

if TYPE_CHECKING:
    from tests.display.conftest import Clock, Finish


def test_counts_rates_and_what_is_left(stats: Stats, clock: Clock, finish: Finish) -> None:
    """From steady progress follow the rate, the speed and the time left."""
    pace = Pace(stats, lambda: 1000, clock.now)
    for _ in range(40):
        clock.now += 0.125
        finish(times=5, size=2000)
        totals = pace.look(clock.now)
    finish(error=HeadTimeout("no answer"))
    totals = pace.look(clock.now)
    assert (totals.done, totals.failed, totals.total) == (201, 1, 1000)
    assert (round(totals.rate), round(totals.bytes_rate), totals.seconds) == (40, 80_000, 5.0)
    assert totals.left is not None
    assert round(totals.left) == 20


def test_nothing_is_promised_too_early(stats: Stats, clock: Clock, finish: Finish) -> None:
    """In the first two seconds, without progress, or without a total, there is no estimate."""
    known, unknown = Pace(stats, lambda: 1000, clock.now), Pace(stats, lambda: None, clock.now)
    assert known.look(clock.now + 5).left is None
    finish(times=10)
    assert Pace(stats, lambda: 1000, clock.now).look(clock.now + 1).left is None
    assert known.look(clock.now + 6).left is not None
    assert unknown.look(clock.now + 6).left is None


def test_a_total_that_was_too_small_leaves_nothing(stats: Stats, clock: Clock, finish: Finish) -> None:
    """More results than the source has promised are no negative time."""
    pace = Pace(stats, lambda: 5, clock.now)
    finish(times=10)
    assert pace.look(clock.now + 5).left == 0


def test_the_slowest_host_is_waited_for(stats: Stats, clock: Clock, finish: Finish) -> None:
    """A host with much to do for its pace, or with a long pause, takes longer than the average says."""
    pace = Pace(stats, lambda: 1000, clock.now)
    slow = stats.host("slow:80")
    slow.queued = 50
    for _ in range(40):
        clock.now += 0.25
        finish(times=20)
        slow.done += 1 if _ % 4 == 0 else 0
        totals = pace.look(clock.now)
    assert totals.left is not None
    assert 40 <= totals.left <= 70
    slow.resumes_at = clock.now + 100
    clock.now += 2
    totals = pace.look(clock.now)
    assert totals.left is not None
    assert 130 <= totals.left <= 170
    slow.resumes_at, slow.interval, slow.queued = 0.0, 10.0, 50
    clock.now += 2
    totals = pace.look(clock.now)
    assert totals.left is not None
    assert 480 <= totals.left <= 510
    slow.queued = 0
    clock.now += 2
    totals = pace.look(clock.now)
    assert totals.left is not None
    assert totals.left < 20


def test_a_host_that_has_answered_nothing_yet_is_waited_for(stats: Stats) -> None:
    """As long again as it has been silent, for each round of requests; its pauses are not its silence."""
    slowest = Slowest(stats)
    silent = stats.host("silent:80", 4)
    silent.queued, silent.in_flight = 4, 4
    assert slowest.look(1000.0) == 0
    assert slowest.look(1020.0) == 40
    silent.in_flight, silent.resumes_at = 0, 1133.0
    assert slowest.look(1033.0) == 100
    silent.in_flight, silent.resumes_at = 4, 0.0
    assert slowest.look(1043.0) == 20
    silent.state = HostState.BROKEN
    assert slowest.look(1093.0) == 0
