"""A host that is held gets nothing until it is let go, whatever else happens to it meanwhile."""

from __future__ import annotations

from random import Random

from asyncfetch.scheduler import ANSWERED, CANCELLED, Frontier, Turn
from asyncfetch.settings import Limits

A, B = "a:80", "b:80"


def frontier() -> Frontier[Turn]:
    return Frontier(Limits(total=10, per_host=2), Random(1))


def taken(front: Frontier[Turn], now: float = 0.0) -> list[Turn]:
    turns = []
    while (turn := front.take(now)) is not None:
        turns.append(turn)
    return turns


def test_others_go_on_and_its_turns_keep_their_order() -> None:
    """The turn that was taken back comes first again, in front of those that waited behind it."""
    front = frontier()
    lane = front.lane()
    first, second, other = Turn(A, lane), Turn(A, lane), Turn(B, lane)
    front.add(first)
    assert front.take(0.0) is first
    front.finished(A, CANCELLED, 0.0)
    front.hold(A)
    front.add(first, front=True)
    front.add(second)
    front.add(other)
    assert taken(front) == [other]
    assert taken(front, now=1e9) == []
    assert front.wake_at() is None
    front.let_go(A)
    assert taken(front) == [first, second]
    for turn in (first, second, other):
        front.finished(turn.host, ANSWERED, 0.0)
    assert not front.hosts


def test_nothing_is_left_of_a_host_whose_turns_have_gone() -> None:
    """A lane that is closed meanwhile, and a host that was let go twice or was never held, are no trouble."""
    front = frontier()
    lane = front.lane()
    front.hold(A)
    turn = Turn(A, lane)
    front.add(turn)
    assert front.take(0.0) is None
    assert front.close(lane) == [turn]
    front.let_go(A)
    front.let_go(A)
    front.let_go(B)
    assert not front.hosts


def test_a_pause_that_the_host_asked_for_is_not_ended() -> None:
    """Only what was held is let go."""
    front = frontier()
    lane = front.lane()
    front.add(Turn(A, lane))
    front.host(A).pause(50.0, "test")
    front.let_go(A)
    assert front.take(0.0) is None
    assert front.host(A).paused_until == 50.0
