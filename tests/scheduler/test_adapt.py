"""What a host takes is found out: at hosts on paper, with a made-up clock."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest

from asyncfetch.scheduler import ANSWERED, FAILED, Frontier, Manners, Outcome, Turn
from asyncfetch.scheduler.adapt import FIRST_PLACES, Adapt
from asyncfetch.settings import Limits
from asyncfetch.stats import HostState
from tests.scheduler.simulation import (
    PaperHost,
    Policy,
    Simulation,
    at_once,
    bucket,
    fixed_window,
    sliding_window,
)

A = "a:80"
BUSY = Outcome("busy", None, "503s")
REFUSED = Outcome("throttled", None, "429s")


def adapting(most: int = 6) -> Manners:
    return Manners(most, adapt=True)


# --- whole runs


@pytest.mark.slow
@pytest.mark.parametrize("most", [6, 64])
@pytest.mark.parametrize("latency", [0.02, 0.1, 0.3])
def test_a_host_that_takes_four_at_once_gets_four(most: int, latency: float) -> None:
    """Nine tenths of what it allows after the first 5 s, eight tenths over all, and hardly a refusal."""
    host = PaperHost(at_once(4), latency)
    run = Simulation({A: host}, int(4 / latency * 30), manners=adapting(most))
    run.run()
    allowed = 4 / (latency + 0.001)
    assert host.rate(5, run.now) >= 0.9 * allowed
    assert host.rate(0, run.now) >= 0.8 * allowed
    assert host.share_refused(5) <= 0.03
    assert run.ended[A] == int(4 / latency * 30)


@pytest.mark.slow
@pytest.mark.parametrize("policy", [fixed_window, sliding_window, lambda rate: bucket(rate, rate / 5)])
@pytest.mark.parametrize("latency", [0.001, 0.02, 0.1])
def test_a_host_that_takes_fifty_a_second_gets_them(policy: Callable[[int], Policy], latency: float) -> None:
    """It need not say how many: nine tenths after the first 5 s, eight over all, hardly a refusal."""
    host = PaperHost(policy(50), latency)
    run = Simulation({A: host}, 2000, manners=adapting(6), seed=3)
    run.run()
    assert host.rate(5, run.now) >= 0.9 * 50
    assert host.rate(0, run.now) >= 0.8 * 50
    assert host.share_refused(5) <= 0.03


@pytest.mark.slow
def test_a_host_that_changes_its_mind_is_followed() -> None:
    """From 20 at once to 3 and back: never far above, and soon at what it allows."""
    most = 20
    host = PaperHost(lambda _, busy: busy <= most, 0.05)
    run = Simulation({A: host}, 100_000, manners=adapting(20))
    run.run(10.0)
    assert host.rate(5, 10) >= 0.9 * 20 / 0.051
    most = 3
    run.run(40.0)
    assert host.rate(15, 40) >= 0.85 * 3 / 0.051
    assert host.share_refused(15) <= 0.03
    most = 20
    run.run(160.0)
    assert host.rate(150, 160) >= 0.8 * 20 / 0.051


def test_a_host_that_takes_everything_soon_has_all_its_places() -> None:
    """Twice as many in each round: 64 at once after some round trips; a short list does not notice."""
    host = PaperHost(lambda *_: True, 0.05)
    run = Simulation({A: host}, 1000, manners=adapting(64))
    run.run()
    assert host.most_at_once == 64
    assert run.now < 1.6 * 1000 / 64 * 0.05
    few = PaperHost(lambda *_: True, 0.05)
    short = Simulation({A: few}, 12, manners=adapting(6))
    short.run()
    assert short.now < 4 * 0.061


def test_without_adapting_the_limit_stays() -> None:
    """The pauses are kept, too; nothing else is learnt."""
    host = PaperHost(at_once(4), 0.05)
    run = Simulation({A: host}, 300, manners=Manners(6))
    run.run(20.0)
    assert host.share_refused(5) > 0.1
    assert run.frontier.limit_of(A) == 6


# --- steps


class Trial:
    """A frontier with one host, whose answers come one by one."""

    def __init__(self, manners: Manners, turns: int = 10_000) -> None:
        self.frontier: Frontier[Turn] = Frontier(Limits(total=100), Random(1), manners=manners)
        lane = self.frontier.lane()
        for _ in range(turns):
            self.frontier.add(Turn(A, lane))
        self.now = 100.0
        self.flying: list[Turn] = []
        self.take()

    def take(self) -> None:
        while (turn := self.frontier.take(self.now)) is not None:
            self.flying.append(turn)

    def finish(self, outcome: Outcome, number: int = 1, seconds: float = 0.05) -> None:
        for _ in range(number):
            self.now += seconds
            turn = self.flying.pop(0)
            self.frontier.finished(A, outcome, self.now, turn)
            self.take()

    @property
    def limit(self) -> int:
        return self.frontier.limit_of(A)

    @property
    def note(self) -> str:
        return self.frontier.host(A).note


def test_it_begins_low_and_doubles_with_each_round() -> None:
    """4, 8, 16 up to its most; a limit below 4 is used from the start."""
    trial = Trial(adapting(20))
    assert trial.limit == FIRST_PLACES == 4
    seen = [trial.limit]
    for _ in range(200):
        trial.finish(ANSWERED, seconds=0.002)
        if trial.limit != seen[-1]:
            seen.append(trial.limit)
    assert seen == [4, 8, 16, 20]
    assert trial.note == ""
    assert Trial(adapting(3)).limit == 3


def test_places_that_nobody_uses_do_not_grow() -> None:
    """What one request at a time has shown says nothing about twenty."""
    trial = Trial(adapting(20), turns=0)
    lane = trial.frontier.lane()
    for _ in range(100):
        trial.frontier.add(Turn(A, lane))
        trial.take()
        trial.finish(ANSWERED)
    trial.frontier.add(Turn(A, lane))
    assert trial.limit == 4


def test_too_many_pauses_the_host_and_takes_places_away() -> None:
    """All wait between a quarter and half a second, then fewer go, and people can see why."""
    trial = Trial(adapting(6))
    trial.finish(ANSWERED, 9)
    assert trial.limit == 6
    trial.finish(REFUSED)
    host = trial.frontier.host(A)
    assert (host.state, host.reason) == (HostState.BACKING_OFF, "429s")
    assert 0.25 <= host.paused_until - trial.now <= 0.5
    assert trial.limit < 6
    assert trial.note == f"limit {trial.limit} of 6: 429s"


def test_refusals_of_what_was_under_way_count_once() -> None:
    """Six requests that are refused together are one refusal."""
    trial = Trial(adapting(6))
    trial.finish(ANSWERED, 8)
    trial.finish(REFUSED, 1, 0.0)
    limit = trial.limit
    trial.finish(REFUSED, len(trial.flying), 0.001)
    assert trial.limit == limit
    assert trial.frontier.host(A).paused_until - trial.now <= 0.5


def test_refusals_in_a_row_wait_twice_as_long_each() -> None:
    """Without an answer in between; with one it begins anew."""
    trial = Trial(adapting(6))
    waits = []
    for outcome in (REFUSED,) * 9:
        trial.finish(outcome, len(trial.flying))
        waits.append(trial.frontier.host(A).paused_until - trial.now)
        trial.now = trial.frontier.host(A).paused_until
        trial.take()
    assert waits[:5] == sorted(waits[:5])
    assert 15 <= waits[-1] <= 30
    trial.finish(ANSWERED, 3)
    trial.finish(REFUSED)
    assert trial.frontier.host(A).paused_until - trial.now <= 0.5


@pytest.mark.parametrize("outcome", [FAILED, BUSY])
def test_one_failure_is_the_urls_own_two_in_a_row_are_the_hosts(outcome: Outcome) -> None:
    """A time-out or a 503 between good answers takes nothing away; several in a row take places away."""
    trial = Trial(adapting(6))
    trial.finish(ANSWERED, 10)
    for _ in range(20):
        trial.finish(outcome)
        trial.finish(ANSWERED, 2)
    assert trial.limit == 6
    trial.finish(outcome, 2)
    assert trial.limit < 6
    assert trial.note == f"limit {trial.limit} of 6: {outcome.why}"
    assert bool(trial.frontier.host(A).paused_until) == (outcome is BUSY)


def test_a_host_that_gets_slow_without_answering_more_gets_fewer() -> None:
    """Latency three times as long, and no more answers a second for it."""
    adapt, now = Adapt(16, 64, 0.0), 0.0
    for _ in range(20):
        now += 0.1
        adapt.answered(16, 16, 0.1, now)
        adapt.limit = 16
    for _ in range(40):
        now += 0.4
        adapt.answered(16, adapt.limit, 1.0, now)
    assert adapt.limit < 16
    assert adapt.why == "slow answers"


@pytest.mark.parametrize("latency", [0.001, 0.4, 2.0])
def test_a_host_that_is_always_slow_keeps_its_places(latency: float) -> None:
    """It is not slow because of us."""
    adapt, now, rng = Adapt(6, 6, 0.0), 0.0, Random(5)
    for _ in range(300):
        now += latency
        adapt.answered(6, 6, latency * rng.uniform(0.7, 1.6), now)
    assert adapt.limit == 6


def test_a_host_that_is_fine_is_seldom_looked_at() -> None:
    """Most answers cost it one integer."""
    trial = Trial(adapting(6))
    trial.finish(ANSWERED, 500)
    left = []
    for _ in range(64):
        trial.finish(ANSWERED)
        left.append(trial.frontier.host(A).credit)
    assert max(left) == 64
    assert sum(after > before for before, after in pairwise(left)) <= 1
