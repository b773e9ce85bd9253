"""The frontier's pieces: a queue with dropped turns in it, and the order in which a lane serves its queues."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfetch.scheduler import Frontier
from asyncfetch.scheduler.lane import Lane, Queue, QueuedHost, Turn
from asyncfetch.scheduler.manners import Manners
from asyncfetch.settings import Limits


def queue_of(lane: Lane, key: str) -> Queue:
    return Queue(lane, QueuedHost(key, Manners(1)), lane.ready)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["push", "front", "pop", "drop", "drop", "drop"]), st.integers(0, 300))))
def test_a_queue_gives_what_is_alive_in_order(steps: list[tuple[str, int]]) -> None:
    """What comes again goes first, each kind in its order, and the queue is true while something is alive."""
    lane = Lane()
    queue = queue_of(lane, "a:80")
    again: list[Turn] = []
    fresh: list[Turn] = []
    for step, place in steps:
        alive = again + fresh
        if step in {"push", "front"}:
            turn = Turn("a:80", lane)
            queue.push(turn, front=step == "front")
            (again if step == "front" else fresh).append(turn)
        elif alive:
            turn = alive[place % len(alive)] if step == "drop" else queue.pop()
            assert step == "drop" or turn is alive[0]
            turn.dropped = step == "drop"
            (again if turn in again else fresh).remove(turn)
            if turn.dropped:
                queue.bury()
        assert queue.turns() == again + fresh
        assert bool(queue) == bool(again or fresh)
        assert queue._dead == len(queue.fresh) + len(queue.again or ()) - len(again + fresh)


def test_dropped_turns_are_not_kept_for_long() -> None:
    """However many are dropped behind one that waits, at most half of a long queue is dead."""
    lane = Lane()
    queue = queue_of(lane, "a:80")
    queue.push(Turn("a:80", lane), front=False)
    for number in range(10_000):
        turn = Turn("a:80", lane)
        queue.push(turn, front=number % 3 == 0)
        if number % 3:
            turn.dropped = True
            queue.bury()
        alive = 2 + number // 3
        assert len(queue.fresh) + len(queue.again or ()) == alive + queue._dead <= 2 * alive + 65
    assert len(queue.turns()) == 1 + 3334


def test_called_and_ready_queues_are_served_alternately() -> None:
    """Neither ring of a lane can keep the other waiting."""
    lane = Lane()
    assert lane.next_queue() is None
    assert not lane.has_next()
    ready = queue_of(lane, "a:80")
    assert lane.next_queue() is ready
    called = queue_of(lane, "b:80")
    called.move(lane.called)
    assert [lane.next_queue() for _ in range(4)] == [called, ready, called, ready]
    ready.ring.leave(ready)
    assert [lane.next_queue() for _ in range(2)] == [called, called]
    assert lane.has_next()


def test_a_lane_says_what_it_is() -> None:
    """The representation shows what matters when a test fails."""
    lane = Lane()
    lane.paused = True
    assert repr(lane) == "<Lane 0 queued, paused>"


def test_what_is_held_counts_as_queued_until_it_is_let_go() -> None:
    """It comes out by itself never, is queued afterwards like any other, and gives way to being dropped."""
    frontier: Frontier[Turn] = Frontier(Limits(total=9, per_host=9), Random(1))
    lane = frontier.lane()
    turns = [Turn("a:80", lane) for _ in range(3)]
    assert [lane.hold(turn) for turn in turns] == [True] * 3
    assert (lane.queued, frontier.take(1e9), frontier.wake_at()) == (3, None, None)
    frontier.drop(turns[0])
    assert [lane.let_go(turn) for turn in turns] == [False, True, True]
    assert lane.queued == 0
    assert not lane.hold(turns[0])
    frontier.add(turns[1])
    assert frontier.take(0.0) is turns[1]
    assert not lane.let_go(turns[1])


def test_a_lane_that_is_closed_gives_back_what_it_holds() -> None:
    """With everything else that waits in it; and it holds nothing any more."""
    frontier: Frontier[Turn] = Frontier(Limits(), Random(1))
    lane = frontier.lane()
    held, delayed, queued, late = (Turn("a:80", lane) for _ in range(4))
    assert lane.hold(held)
    frontier.add_later(delayed, 5.0)
    frontier.add(queued)
    assert set(frontier.close(lane)) == {held, delayed, queued}
    assert not lane.let_go(held)
    assert not lane.hold(late)
    assert (lane.queued, late.dropped) == (0, True)


def test_a_lane_is_thinned_from_the_ends_of_its_queues() -> None:
    """What is beyond the first few fresh turns comes out in order, unless it was dropped or its host is spared."""
    frontier: Frontier[Turn] = Frontier(Limits(total=10, per_host=1), Random(1))
    lane = frontier.lane()
    turns = {key: [Turn(key, lane) for _ in range(6)] for key in ("a:80", "b:80", "c:80", "d:80")}
    for key in ("c:80", "a:80", "b:80"):
        for turn in turns[key]:
            frontier.add(turn)
    again = Turn("a:80", lane)
    frontier.add(again, front=True)
    frontier.drop(turns["a:80"][1])
    frontier.drop(turns["a:80"][4])
    frontier.add(turns["d:80"][0])
    assert lane.thin(2, {"b:80"}) == [*turns["c:80"][2:], turns["a:80"][2], turns["a:80"][3], turns["a:80"][5]]
    assert lane.queued == 2 + 2 + 6 + 1
    assert not any(turn.ticket for turn in (*turns["c:80"][2:], turns["a:80"][3]))
    assert lane.queues["a:80"].turns() == [again, turns["a:80"][0]]
    assert lane.queues["a:80"]._dead == 1
    assert lane.thin(2, {"b:80"}) == []
    assert len(frontier.close(lane)) == lane.queued + 11
