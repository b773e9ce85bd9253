"""The frontier by examples. `test_frontier_model.py` tries what nobody thought of, and counts the steps."""

from __future__ import annotations

from random import Random

import pytest

from asyncfetch.scheduler import ANSWERED, CANCELLED, FAILED, Frontier, Lane, Outcome, Turn
from asyncfetch.settings import Limits

A, B, C = "a:80", "b:80", "c:80"


class Named(Turn, eq=False, kw_only=True):
    name: str = ""

    def __post_init__(self) -> None:
        self.name = self.name or self.host


class NoChance(Random):
    """No jitter: every pause ends when it was asked to end."""

    def random(self) -> float:
        return 0.0


def frontier(total: int = 100, per_host: int = 100) -> Frontier[Named]:
    return Frontier(Limits(total=total, per_host=per_host), NoChance())


def fill(front: Frontier[Named], lane: Lane, *names: str) -> list[Named]:
    """Add turns named like `a1`, whose first letter is the host."""
    turns = [Named(f"{name[0]}:80", lane, name=name) for name in names]
    for turn in turns:
        front.add(turn)
    return turns


def taken(front: Frontier[Named], now: float = 0.0) -> list[str]:
    """Take until there is nothing."""
    names = []
    while (turn := front.take(now)) is not None:
        names.append(turn.name)
    return names


def throttled(seconds: float) -> Outcome:
    return Outcome("throttled", seconds)


# Limits


def test_the_global_limit_holds() -> None:
    """No more turns are given than there are places in all, and each finished one frees one."""
    front = frontier(total=2)
    fill(front, front.lane(), "a1", "b1", "c1")
    assert taken(front) == ["a1", "b1"]
    assert front.in_flight == 2
    front.finished(A, ANSWERED, 0.0)
    assert taken(front) == ["c1"]


def test_the_limit_of_a_host_holds() -> None:
    """A full host's turns wait, the others' go."""
    front = frontier(per_host=1)
    fill(front, front.lane(), "a1", "a2", "b1", "a3")
    assert taken(front) == ["a1", "b1"]
    front.finished(B, ANSWERED, 0.0)
    assert taken(front) == []
    front.finished(A, FAILED, 0.0)
    assert taken(front) == ["a2"]


def test_the_global_limit_may_change() -> None:
    """A smaller limit holds new turns back until enough have finished."""
    front = frontier(total=3)
    fill(front, front.lane(), "a1", "a2", "a3", "a4")
    assert len(taken(front)) == 3
    front.total = 1
    front.finished(A, ANSWERED, 0.0)
    front.finished(A, ANSWERED, 0.0)
    assert taken(front) == []
    front.finished(A, ANSWERED, 0.0)
    assert taken(front) == ["a4"]


def test_a_turn_may_go_elsewhere_the_next_time() -> None:
    """The places are given back under the host that they were taken for, whatever the turn's host is by then."""
    front = frontier()
    (turn,) = fill(front, front.lane(), "a1")
    assert front.take(0.0) is turn
    turn.host = B
    front.finished(A, ANSWERED, 0.0)
    front.add(turn, front=True)
    assert set(front.hosts) == {B}
    assert front.take(0.0) is turn
    front.finished(B, ANSWERED, 0.0)
    assert not front.hosts


def test_finishing_what_was_not_taken_is_an_error() -> None:
    """A host that does not exist has nothing in flight."""
    with pytest.raises(KeyError):
        frontier().finished(A, ANSWERED, 0.0)


# Order


def test_hosts_of_a_lane_take_turns() -> None:
    """A host with many turns does not keep the small ones waiting; each host's own are in their order."""
    front = frontier()
    fill(front, front.lane(), "a1", "a2", "a3", "b1", "c1", "c2")
    assert taken(front) == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_lanes_take_turns() -> None:
    """A single request is not behind another caller's long list, not even for the same host."""
    front = frontier()
    fill(front, front.lane(), "a1", "a2", "a3")
    fill(front, front.lane(), "a8", "b9")
    assert taken(front) == ["a1", "a8", "a2", "b9", "a3"]


def test_what_comes_again_goes_first() -> None:
    """Retries go before fresh turns, in their own order."""
    front = frontier()
    lane = front.lane()
    fill(front, lane, "a1", "a2")
    for name in ("a8", "a9"):
        front.add(Named(A, lane, name=name), front=True)
    assert taken(front) == ["a8", "a9", "a1", "a2"]


def test_a_contested_place_goes_to_who_came_first() -> None:
    """The place of a full host goes round the lanes, also when one of them looks at just the right moment."""
    front = frontier(total=2, per_host=1)
    fill(front, front.lane(), "a1", "a2", "a3")
    fill(front, front.lane(), "a8", "b1", "b2", "b3")
    assert taken(front) == ["a1", "b1"]
    order = []
    for _ in range(3):
        front.finished(A, ANSWERED, 0.0)
        order += taken(front)
        front.finished(B, ANSWERED, 0.0)
        order += taken(front)
    assert order == ["a8", "b2", "a2", "b3", "a3"]


def test_a_new_lane_goes_to_the_end_of_the_line() -> None:
    """Who comes to a host for which others wait, waits behind them."""
    front = frontier(per_host=1)
    for name in ("a1", "a2", "a3"):
        fill(front, front.lane(), name)
        if name == "a2":
            assert taken(front) == ["a1"]
    order = []
    for _ in range(2):
        front.finished(A, ANSWERED, 0.0)
        order += taken(front)
    assert order == ["a2", "a3"]


def test_several_free_places_serve_several_lanes() -> None:
    """A pause that ends frees all places of its host, and every lane in the line gets its share at once."""
    front = frontier(per_host=4)
    fill(front, front.lane(), "a0")
    assert taken(front) == ["a0"]
    front.finished(A, throttled(5.0), 0.0)
    for number in range(3):
        fill(front, front.lane(), f"a{number}x", f"a{number}y")
    assert taken(front) == []
    assert taken(front, 5.0) == ["a0x", "a1x", "a2x", "a0y"]


def test_a_called_queue_that_finds_its_host_paused_keeps_its_place_in_the_line() -> None:
    """Who was called and could not go after all is called first the next time."""
    front = frontier(per_host=2)
    fill(front, front.lane(), "a1", "a2")
    assert taken(front) == ["a1", "a2"]
    for name in ("a3", "a4"):
        fill(front, front.lane(), name)
    assert taken(front) == []
    front.finished(A, ANSWERED, 0.0)
    front.finished(A, throttled(5.0), 0.0)
    assert taken(front) == []
    assert taken(front, 5.0) == ["a3", "a4"]


def test_a_called_queue_is_still_called_after_a_pause() -> None:
    """A pause that comes between the call and the next look changes nothing in the order."""
    front = frontier(per_host=2)
    fill(front, front.lane(), "a1", "a2")
    assert taken(front) == ["a1", "a2"]
    for name in ("a3", "a4"):
        fill(front, front.lane(), name)
    assert taken(front) == []
    front.finished(A, ANSWERED, 0.0)
    front.finished(A, throttled(5.0), 0.0)
    assert taken(front, 5.0) == ["a3", "a4"]


def test_a_host_that_is_no_longer_contested_takes_turns_like_any_other() -> None:
    """Once the other lanes are gone, having been called gives a host no more than its share of the lane."""
    front = frontier(total=2, per_host=1)
    fill(front, front.lane(), "a0")
    assert taken(front) == ["a0"]
    lane, other = front.lane(), front.lane()
    fill(front, lane, "a1", "a2", "a3")
    (last,) = fill(front, other, "a9")
    assert taken(front) == []
    front.finished(A, ANSWERED, 0.0)
    front.drop(last)
    fill(front, lane, "b1", "b2", "c1", "c2")
    front.total = 1
    order = []
    while (turn := front.take(0.0)) is not None:
        order.append(turn.name)
        front.finished(turn.host, ANSWERED, 0.0)
    assert order == ["a1", "b1", "c1", "a2", "b2", "c2", "a3"]


# Lanes


def test_a_paused_lane_gives_nothing() -> None:
    """Other lanes go on; a resumed one goes on where it was."""
    front = frontier()
    slow, other = front.lane(), front.lane()
    fill(front, slow, "a1", "a2")
    fill(front, other, "b1")
    front.pause(slow)
    front.pause(slow)
    assert slow.paused
    assert taken(front) == ["b1"]
    fill(front, slow, "c1")
    assert taken(front) == []
    front.resume(slow)
    front.resume(slow)
    assert taken(front) == ["a1", "c1", "a2"]


def test_an_empty_lane_may_be_paused_and_resumed() -> None:
    """A lane without turns has no turn to lose."""
    front = frontier()
    lane = front.lane()
    front.pause(lane)
    front.resume(lane)
    assert taken(front) == []
    fill(front, lane, "a1")
    assert taken(front) == ["a1"]


def test_a_paused_lane_does_not_keep_a_place_that_it_was_called_to() -> None:
    """The next in the line whose lane is not paused is called instead."""
    front = frontier(per_host=1)
    lanes = [front.lane() for _ in range(4)]
    for number, lane in enumerate(lanes):
        fill(front, lane, f"a{number}")
    assert taken(front) == ["a0"]
    front.pause(lanes[2])
    front.finished(A, ANSWERED, 0.0)
    front.pause(lanes[1])
    assert taken(front) == ["a3"]
    front.resume(lanes[1])
    front.resume(lanes[2])
    assert taken(front) == []
    front.finished(A, ANSWERED, 0.0)
    assert taken(front) == ["a1"]


def test_closing_a_lane_gives_its_turns_back() -> None:
    """Queued and delayed turns come back, those in flight remain; nothing of the lane is given any more."""
    front = frontier(per_host=1)
    lane = front.lane()
    fill(front, lane, "a1", "a2", "b1", "b2", "b3")
    late = Named(C, lane, name="c1")
    front.add_later(late, 5.0)
    assert taken(front) == ["a1", "b1"]
    assert lane.queued == 4
    assert [turn.name for turn in front.close(lane)] == ["a2", "b2", "b3", "c1"]
    assert (lane.queued, lane.closed) == (0, True)
    assert set(front.hosts) == {A, B}
    front.resume(lane)
    assert taken(front, 10.0) == []
    assert front.close(lane) == []
    front.finished(A, CANCELLED, 0.0)
    front.finished(B, CANCELLED, 0.0)
    assert (front.in_flight, front.hosts, front.wake_at()) == (0, {}, None)


def test_turns_that_came_back_may_go_to_another_lane() -> None:
    """A closed lane's turns are free."""
    front = frontier()
    lane, other = front.lane(), front.lane()
    fill(front, lane, "a1")
    front.add_later(Named(A, lane, name="a2"), 5.0)
    for turn in front.close(lane):
        turn.lane = other
        front.add(turn)
    assert taken(front) == ["a1", "a2"]


def test_a_closed_lane_takes_no_turns() -> None:
    """What comes too late is dropped."""
    front = frontier()
    lane = front.lane()
    front.close(lane)
    turns = fill(front, lane, "a1")
    turns.append(Named(A, lane))
    front.add_later(turns[1], 5.0)
    assert [turn.dropped for turn in turns] == [True, True]
    assert (lane.queued, front.hosts, front.wake_at()) == (0, {}, None)


def test_closing_a_called_lane_calls_the_next() -> None:
    """A place that was about to go to a lane is not lost with it."""
    front = frontier(per_host=1)
    lanes = [front.lane() for _ in range(3)]
    for number, lane in enumerate(lanes):
        fill(front, lane, f"a{number}")
    assert taken(front) == ["a0"]
    front.finished(A, ANSWERED, 0.0)
    assert [turn.name for turn in front.close(lanes[1])] == ["a1"]
    assert taken(front) == ["a2"]


# Dropping


def test_a_dropped_turn_never_comes_out() -> None:
    """Wherever it waits, it counts no more and keeps no host alive."""
    front = frontier()
    lane = front.lane()
    first, middle, _ = fill(front, lane, "a1", "a2", "a3")
    (alone,) = fill(front, lane, "b1")
    delayed = Named(C, lane)
    front.add_later(delayed, 5.0)
    for turn in (middle, first, alone, delayed, delayed):
        front.drop(turn)
        assert turn.dropped
    assert lane.queued == 1
    assert set(front.hosts) == {A}
    assert taken(front, 10.0) == ["a3"]
    assert front.wake_at() is None


def test_a_turn_in_flight_that_is_dropped_cannot_come_again() -> None:
    """It keeps its places until it is finished, and a retry of it goes nowhere."""
    front = frontier()
    lane = front.lane()
    (turn,) = fill(front, lane, "a1")
    assert front.take(0.0) is turn
    front.drop(turn)
    assert (front.in_flight, lane.queued) == (1, 0)
    front.finished(A, CANCELLED, 0.0)
    front.add(turn, front=True)
    front.add_later(turn, 1.0)
    assert (front.in_flight, lane.queued) == (0, 0)
    assert taken(front, 10.0) == []


def test_dropping_the_turn_that_a_host_has_called_calls_the_next() -> None:
    """A dropped turn never blocks its host."""
    front = frontier(per_host=1)
    turns = [fill(front, front.lane(), f"a{number}")[0] for number in range(3)]
    assert taken(front) == ["a0"]
    front.finished(A, ANSWERED, 0.0)
    front.drop(turns[1])
    assert taken(front) == ["a2"]


def test_a_turn_is_queued_once() -> None:
    """Adding what is queued already is a mistake of the caller."""
    front = frontier()
    lane = front.lane()
    (turn,) = fill(front, lane, "a1")
    with pytest.raises(ValueError, match="a:80 is queued already"):
        front.add(turn)
    with pytest.raises(ValueError, match="a:80 is queued already"):
        front.add_later(turn, 1.0)
    assert lane.queued == 1


# Looking


def test_a_host_can_be_looked_at() -> None:
    """`peek` makes nothing, `host` makes a new one."""
    front = frontier(per_host=3)
    assert front.hosts.get(A) is None
    assert front.host(A).limit == 3
    assert front.hosts.get(A) is front.host(A)
