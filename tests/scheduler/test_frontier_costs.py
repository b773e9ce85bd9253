"""What the frontier costs, counted in steps rather than time, and how long anybody waits beside the others."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import FrameType

import pytest

from asyncfetch.scheduler import ANSWERED, Frontier, Outcome, Turn
from asyncfetch.settings import Limits

HOSTS = ("a:80", "b:80", "c:80", "d:80")

# Starvation


@pytest.mark.parametrize("seed", range(10))
def test_nobody_waits_for_ever_beside_lists_without_end(seed: int) -> None:
    """One turn for each host, in a lane of its own beside lanes that always have more for all of them, goes soon.

    The bound is that of the docstring: each of the others' queues goes first once or twice.
    """
    rng = Random(seed)
    hosts, greedy = HOSTS[: rng.randint(1, 4)], rng.randint(1, 3)
    limits = Limits(total=rng.randint(1, 6), per_host=rng.randint(1, 2))
    frontier: Frontier[Turn] = Frontier(limits, rng)
    for lane in [frontier.lane() for _ in range(greedy)]:
        for number in range(500):
            frontier.add(Turn(hosts[number % len(hosts)], lane))
    in_flight: list[str] = []
    modest, waiting = frontier.lane(), 0
    for _ in range(400):
        while (turn := frontier.take(0.0)) is not None:
            in_flight.append(turn.host)
            waiting = 0 if turn.lane is modest else waiting + bool(modest.queued)
            assert waiting <= 4 * (greedy + 1) * len(hosts) + limits.total
        if not modest.queued:
            frontier.add(Turn(rng.choice(hosts), modest))
        frontier.finished(in_flight.pop(rng.randrange(len(in_flight))), ANSWERED, 0.0)


def test_lanes_and_hosts_alternate_strictly_when_nothing_is_contested() -> None:
    """With a place free at every host, lanes go round, and in each lane its hosts."""
    frontier: Frontier[Turn] = Frontier(Limits(total=1, per_host=1), Random(1))
    lanes = [frontier.lane() for _ in range(3)]
    for number, lane in enumerate(lanes):
        for host in range(number + 1):
            for _ in range(6):
                frontier.add(Turn(f"{number}{host}:80", lane))
    order = []
    for _ in range(18):
        turn = frontier.take(0.0)
        assert turn is not None
        order.append(turn.host[:2])
        frontier.finished(turn.host, ANSWERED, 0.0)
    assert order[:12] == ["00", "10", "20", "00", "11", "21", "00", "10", "22", "00", "11", "20"]
    assert Counter(name[0] for name in order) == {"0": 6, "1": 6, "2": 6}


# Cost


@contextmanager
def counted_steps() -> Iterator[list[int]]:
    """Count the calls of functions, those written in C too, in the list's only item."""
    steps = [0]

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        steps[0] += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        yield steps
    finally:
        sys.setprofile(None)


def steps_for_each(turns: list[Turn], frontier: Frontier[Turn]) -> float:
    """Add all turns, take them and finish the oldest in flight each time; say how many steps each one took."""
    in_flight: deque[str] = deque()
    with counted_steps() as steps:
        for turn in turns:
            frontier.add(turn)
        for _ in turns:
            while (taken := frontier.take(0.0)) is not None:
                in_flight.append(taken.host)
            frontier.finished(in_flight.popleft(), ANSWERED, 0.0)
    assert (frontier.in_flight, frontier.hosts) == (0, {})
    return steps[0] / len(turns)


def one_to_ten_turns_each(hosts: int) -> float:
    frontier: Frontier[Turn] = Frontier(Limits(total=100, per_host=1), Random(1))
    lane = frontier.lane()
    keys = [f"h{number}:80" for number in range(hosts) for _ in range(10 if number % 10 == 0 else 1)]
    Random(2).shuffle(keys)
    return steps_for_each([Turn(key, lane) for key in keys], frontier)


@pytest.mark.slow
def test_thirty_thousand_hosts_cost_no_more_for_each_turn_than_a_hundred() -> None:
    """The number of steps for each turn does not depend on the number of hosts, and no host is left in memory."""
    assert one_to_ten_turns_each(30_000) <= 1.05 * one_to_ten_turns_each(100)


@pytest.mark.parametrize("limits", [Limits(total=50, per_host=1), Limits(total=5, per_host=5)])
def test_many_lanes_at_few_hosts_cost_no_more_than_few(limits: Limits) -> None:
    """Two hundred callers that want the same full hosts do not look at each other's turns."""

    def contested(lanes: int) -> float:
        frontier: Frontier[Turn] = Frontier(limits, Random(1))
        callers = [frontier.lane() for _ in range(lanes)]
        return steps_for_each(
            [Turn(HOSTS[number // lanes % 4], callers[number % lanes]) for number in range(2000)], frontier
        )

    assert contested(200) <= 1.5 * contested(4)


def test_waiting_turns_and_paused_hosts_have_one_entry_each() -> None:
    """Heaps do not grow with the number of answers that ask for a pause; what was dropped goes when it is due."""
    frontier: Frontier[Turn] = Frontier(Limits(total=1000, per_host=50), Random(1))
    lane = frontier.lane()
    for number in range(1000):
        frontier.add(Turn(f"h{number % 20}:80", lane))
    keys = [turn.host for _ in range(1000) if (turn := frontier.take(0.0)) is not None]
    for number, key in enumerate(keys):
        frontier.finished(key, Outcome("throttled", 1.0 + number % 7), 0.0)
    assert len(frontier._waits) == 20
    delayed = [Turn("x:80", lane) for _ in range(100)]
    for number, turn in enumerate(delayed):
        frontier.add_later(turn, float(number))
    for turn in delayed:
        frontier.drop(turn)
    assert frontier.take(10.0) is None
    assert not frontier.hosts
    assert len(frontier._waits) == 89
    assert frontier.take(99.0) is None
    assert len(frontier._waits) == 0
