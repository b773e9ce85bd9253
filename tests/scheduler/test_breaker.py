"""A host that does not answer: probes only, given up after the last, tried again after a rest."""

from __future__ import annotations

from random import Random

import pytest

from asyncfetch.scheduler import ANSWERED, CANCELLED, FAILED, SILENT, Frontier, Manners, Outcome, Turn
from asyncfetch.settings import Limits
from asyncfetch.stats import HostState

A = "a:80"
REFUSED = Outcome("silent", None, "connection refused")
MANNERS = Manners(3, failures=4, probes=(1.0, 2.0, 4.0), rest=60.0)


class Trial:
    """A frontier with one host, and a clock."""

    def __init__(self, turns: int, manners: Manners = MANNERS) -> None:
        self.frontier: Frontier[Turn] = Frontier(Limits(total=10), Random(1), manners=manners)
        lane = self.frontier.lane()
        self.lane = lane
        for _ in range(turns):
            self.frontier.add(Turn(A, lane))
        self.now = 100.0

    def take(self) -> list[Turn]:
        turns = []
        while (turn := self.frontier.take(self.now)) is not None:
            turns.append(turn)
        return turns

    def finish(self, turns: list[Turn], outcome: Outcome) -> None:
        for turn in turns:
            self.frontier.finished(A, outcome if turn.load else CANCELLED, self.now, turn)

    def fail_until_broken(self) -> None:
        for _ in range(2):
            turns = self.take()
            self.now += 0.1
            self.finish(turns, REFUSED)

    def fail_all_probes(self) -> None:
        for wait in (1.0, 2.0, 4.0):
            self.now += wait
            turns = self.take()
            assert [turn.load for turn in turns] == [1]
            self.finish(turns, REFUSED)

    @property
    def host(self) -> tuple[HostState, str]:
        host = self.frontier.host(A)
        return host.state, host.reason


def test_a_broken_host_gets_one_probe_at_a_time() -> None:
    """After so many failures in a row nothing goes, but a single request after 1, 2 and 4 s."""
    trial = Trial(20)
    trial.fail_until_broken()
    assert trial.host == (HostState.BROKEN, "connection refused")
    assert trial.take() == []
    assert trial.frontier.wake_at() == trial.now + 1.0
    for wait in (1.0, 2.0, 4.0):
        trial.now += wait - 0.01
        assert trial.take() == []
        trial.now += 0.01
        (probe,) = trial.take()
        assert trial.take() == []
        assert trial.host[0] is HostState.BROKEN
        trial.finish([probe], REFUSED)
    assert trial.frontier.hosts.get(A) is not None


def test_after_the_last_probe_everything_comes_out_unsent() -> None:
    """At once, in order, as long as anything is queued; and what is added then, too."""
    trial = Trial(50)
    trial.fail_until_broken()
    trial.fail_all_probes()
    out = []
    while turns := trial.take():
        assert {turn.load for turn in turns} == {0}
        out += turns
        trial.finish(turns, ANSWERED)
    assert len(out) == 50 - 6 - 3
    assert not trial.frontier.hosts
    trial.frontier.add(Turn(A, trial.lane))
    (late,) = trial.take()
    assert late.load == 0
    assert "given up after 7 failures in a row: connection refused" in trial.frontier.hosts[A].why_given_up


def test_a_host_that_rested_is_probed_once_more() -> None:
    """A minute later one request is sent; failing, the others come out again, answered, all go."""
    trial = Trial(0)
    for _ in range(9):
        trial.frontier.add(Turn(A, trial.lane))
    trial.fail_until_broken()
    trial.fail_all_probes()
    trial.now += 61.0
    for outcome in (REFUSED, ANSWERED):
        for _ in range(5):
            trial.frontier.add(Turn(A, trial.lane))
        (probe,) = trial.take()
        assert probe.load == 1
        trial.finish([probe], outcome)
        turns = trial.take()
        assert {turn.load for turn in turns} == ({0} if outcome is REFUSED else {1, 2, 3})
        while turns:
            trial.finish(turns, ANSWERED)
            turns = trial.take()
        trial.now += 61.0
    assert trial.frontier.wake_at() is None


def test_a_probe_that_is_cancelled_is_made_up_for() -> None:
    """Nothing was learnt: another one goes, before the pauses are over and after the rest."""
    trial = Trial(30)
    trial.fail_until_broken()
    trial.now += 1.0
    trial.finish(trial.take(), CANCELLED)
    assert len(trial.take()) == 1
    trial.finish([], CANCELLED)
    resting = Trial(9)
    resting.fail_until_broken()
    resting.fail_all_probes()
    resting.now += 61.0
    for _ in range(3):
        resting.frontier.add(Turn(A, resting.lane))
    for _ in range(2):
        (probe,) = resting.take()
        assert probe.load == 1
        resting.finish([probe], CANCELLED)


@pytest.mark.parametrize(
    "answer", [ANSWERED, FAILED, Outcome("busy"), Outcome("asked", 0.5), Outcome("throttled", 0.5)]
)
def test_any_byte_of_an_answer_shows_that_it_is_there(answer: Outcome) -> None:
    """A good answer, a cut one, a 503, a 429: the row of failures ends, and a broken host is whole again."""
    trial = Trial(40)
    for outcome in (REFUSED, answer) * 4:
        (turn, *others) = trial.take()
        trial.now += 0.1
        trial.finish([turn], outcome)
        trial.finish(others, CANCELLED)
        assert trial.host[0] is not HostState.BROKEN
        trial.now += 60.0
    trial.fail_until_broken()
    trial.now += 1.0
    trial.finish(trial.take(), answer)
    assert trial.host[0] is not HostState.BROKEN
    trial.now += 60.0
    assert len(trial.take()) == 3


def test_what_was_under_way_when_it_broke_is_no_probe() -> None:
    """Late failures do not use the probes up."""
    trial = Trial(30, Manners(10, failures=2, probes=(1.0, 2.0)))
    turns = trial.take()
    trial.now += 0.1
    trial.finish(turns, REFUSED)
    assert trial.frontier.wake_at() == pytest.approx(trial.now + 1.0)
    assert trial.host[0] is HostState.BROKEN
    assert not trial.take()


def test_without_a_breaker_everything_is_tried() -> None:
    """None never gives a host up."""
    trial = Trial(30, Manners(3))
    count = 0
    while turns := trial.take():
        count += len(turns)
        trial.now += 1.0
        trial.finish(turns, SILENT)
    assert count == 30


def test_of_many_hosts_that_failed_some_are_remembered() -> None:
    """A host that comes again goes on where it was; memory for those that never do is bounded."""
    frontier: Frontier[Turn] = Frontier(Limits(), Random(1), manners=MANNERS)
    lane = frontier.lane()

    def fail(key: str) -> None:
        frontier.add(Turn(key, lane))
        turn = frontier.take(0.0)
        assert turn is not None
        frontier.finished(key, REFUSED, 0.0, turn)

    for _ in range(4):
        fail(A)
    assert frontier.host(A).state is HostState.BROKEN
    for number in range(5000):
        fail(f"h{number}:80")
    assert len(frontier._registry._remembered) == 4096
    assert set(frontier.hosts) == {A}
