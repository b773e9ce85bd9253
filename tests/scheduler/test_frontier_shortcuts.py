"""The frontier's short paths do exactly what the calls do that they stand for, whatever has happened before."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfetch.scheduler import ANSWERED, CANCELLED, FAILED, SILENT, Frontier, Lane, Manners, Outcome, Turn
from asyncfetch.scheduler.lane import Queue, QueuedHost
from asyncfetch.settings import Limits

HOSTS = ("a:80", "b:80", "c:80")
OUTCOMES = (ANSWERED, ANSWERED, ANSWERED, FAILED, CANCELLED, SILENT, Outcome("throttled", 1.0), Outcome("busy"))
MANNERS = (
    Manners(3, backoff=0.0),
    Manners(3, backoff=0.0),
    Manners(8, adapt=True, failures=2, probes=(1.0,), rest=7.0),
    Manners(1, adapt=True),
    Manners(3, rate=2.0),
)


class NoChance(Random):
    """No jitter, so that both have the same pauses."""

    def random(self) -> float:
        return 0.0


class Numbered(Turn, eq=False, kw_only=True):
    """A turn of which there is an equal one in the other frontier."""

    number: int


class Side:
    """One of two frontiers to which the same happens.

    Attributes:
        in_flight: what was taken, with the host at that time.
        shortened: how often a short path was gone.
    """

    def __init__(self, limits: Limits, manners: Manners, rate: float | None, lanes: int) -> None:
        self.frontier: Frontier[Numbered] = Frontier(limits, NoChance(), manners=manners, rate=rate)
        self.lanes = [self.frontier.lane() for _ in range(lanes)]
        self.turns: list[Numbered] = []
        self.in_flight: list[Numbered] = []
        self.shortened = 0

    def lane(self, which: int) -> Lane:
        return self.lanes[which % len(self.lanes)]

    def turn(self, lane: int, host: str) -> Numbered:
        turn = Numbered(host, self.lane(lane), number=len(self.turns))
        self.turns.append(turn)
        return turn

    def take(self, now: float) -> None:
        self.took(self.frontier.take(now))

    def took(self, turn: Numbered | None) -> None:
        if turn is not None:
            self.in_flight.append(turn)

    def pass_on(self, turn: Numbered, now: float, *, shortly: bool) -> None:
        after = self.frontier.pass_on(turn.host, now) if shortly else None
        if after is None:
            self.frontier.finished(turn.host, ANSWERED, now, turn)
            after = self.frontier.take(now)
        else:
            self.shortened += 1
        self.took(after)

    def begin(self, lane: int, host: str, now: float, *, shortly: bool) -> None:
        turn = self.turn(lane, host)
        if shortly and self.frontier.begin(turn, now):
            self.shortened += 1
            self.took(turn)
        else:
            self.frontier.add(turn)
            self.take(now)

    def snapshot(self) -> object:
        """Everything that decides what comes out next."""
        frontier = self.frontier
        return (
            frontier.in_flight,
            frontier.wake_at(),
            [self.lanes.index(lane) for lane in frontier._lanes],
            [self.show_lane(lane) for lane in self.lanes],
            {host.key: self.show_host(host) for host in frontier.hosts.values()},
            [(turn.number, turn.began, turn.load) for turn in self.in_flight],
        )

    def show_lane(self, lane: Lane) -> object:
        rings = [[self.show_queue(queue) for queue in ring] for ring in (lane.ready, lane.called)]
        return lane.queued, lane.paused, lane.listed, lane.favours_called, rings

    def show_queue(self, queue: Queue) -> object:
        return self.lanes.index(queue.lane), queue.host.key, [turn.number for turn in queue.turns()]

    def show_host(self, host: QueuedHost) -> object:
        called = None if host.called is None else self.lanes.index(host.called.lane)
        line = [self.show_queue(queue) for queue in host.line]
        now = host.in_flight, host.limit, host.credit, host.paused_until, host.state
        return now, host.queues, called, line


class Twins:
    """Two frontiers to which the same happens, of which one goes the short paths."""

    def __init__(self, rng: Random) -> None:
        manners = rng.choice(MANNERS)
        limits = Limits(total=rng.randint(1, 8), per_host=manners.most)
        rate, lanes = rng.choice([None] * 5 + [10.0]), rng.randint(1, 3)
        self.short, self.plain = (Side(limits, manners, rate, lanes) for _ in range(2))
        self.now = 1000.0
        self._steps: dict[Callable[[Side, int, str], object], int] = {
            self.add: 12,
            self.add_later: 1,
            self.begin: 6,
            self.take: 12,
            self.pass_on: 24,
            self.finish: 3,
            self.drop: 1,
            self.pause_or_resume: 1,
            self.close_and_replace: 1,
            self.change_the_limit: 1,
            self.hold_or_let_go: 1,
            self.slow_down: 1,
        }

    def step(self, rng: Random) -> None:
        """Do the same to both, and see that nothing is different."""
        self.now += rng.choice([0.0, 0.0, 0.01, 0.1, 1.0, 10.0])
        step = rng.choices(list(self._steps), list(self._steps.values()))[0]
        which, host = rng.randrange(1000), rng.choice(HOSTS)
        for side in (self.short, self.plain):
            step(side, which, host)
        assert self.short.snapshot() == self.plain.snapshot()

    def add(self, side: Side, which: int, host: str) -> None:
        for _ in range(1 + which % 6):
            side.frontier.add(side.turn(which, host), front=which % 5 == 0)

    def add_later(self, side: Side, which: int, host: str) -> None:
        side.frontier.add_later(side.turn(which, host), self.now + 0.1)

    def begin(self, side: Side, which: int, host: str) -> None:
        side.begin(which, host, self.now, shortly=side is self.short)

    def take(self, side: Side, which: int, _: str) -> None:
        for _number in range(1 + which % 8):
            side.take(self.now)

    def pass_on(self, side: Side, which: int, _: str) -> None:
        for _number in range(min(1 + which % 6, len(side.in_flight))):
            turn = side.in_flight.pop(which % len(side.in_flight))
            side.pass_on(turn, self.now, shortly=side is self.short and bool(turn.load))

    def finish(self, side: Side, which: int, _: str) -> None:
        if side.in_flight:
            turn = side.in_flight.pop(which % len(side.in_flight))
            outcome = OUTCOMES[which % len(OUTCOMES)] if turn.load else CANCELLED
            side.frontier.finished(turn.host, outcome, self.now, turn)

    def drop(self, side: Side, which: int, _: str) -> None:
        for turn in side.turns[which % 100 :: 3]:
            side.frontier.drop(turn)

    def pause_or_resume(self, side: Side, which: int, _: str) -> None:
        lane = side.lane(which)
        (side.frontier.resume if lane.paused else side.frontier.pause)(lane)

    def close_and_replace(self, side: Side, which: int, _: str) -> None:
        lane = side.lane(which)
        side.frontier.close(lane)
        side.lanes[side.lanes.index(lane)] = side.frontier.lane()

    def change_the_limit(self, side: Side, which: int, _: str) -> None:
        side.frontier.total = 1 + which % 8

    def hold_or_let_go(self, side: Side, _: int, host: str) -> None:
        state = side.frontier.hosts.get(host)
        if state is None or not (state.in_flight or state.paused_until):
            side.frontier.hold(host)
        else:
            side.frontier.let_go(host)

    def slow_down(self, side: Side, which: int, host: str) -> None:
        if which % 4 == 0:
            side.frontier.slow_down(host, 0.05)


@pytest.mark.slow
def test_the_short_paths_lead_where_the_long_ones_do() -> None:
    """Every place, ring, queue and limit is the same after each step; and the short paths are gone often enough."""
    shortened = 0

    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, 1 << 32))
    def run(seed: int) -> None:
        nonlocal shortened
        rng = Random(seed)
        twins = Twins(rng)
        for _ in range(60):
            twins.step(rng)
        shortened += twins.short.shortened

    run()
    assert shortened > 1000


def frontier(total: int = 10, per_host: int = 10) -> Frontier[Turn]:
    return Frontier(Limits(total=total, per_host=per_host), Random(1))


def test_a_place_goes_from_turn_to_turn_at_one_host_and_from_host_to_host() -> None:
    """What comes out is the next host's in the order of the lane, though nothing was freed in between."""
    front = frontier(total=1)
    lane = front.lane()
    for host in ("a:80", "a:80", "b:80", "b:80"):
        front.add(Turn(host, lane))
    turn, order = front.take(0.0), []
    while turn is not None:
        order.append(turn.host)
        assert (front.in_flight, turn.load, front.hosts[turn.host].in_flight) == (1, 1, 1)
        turn = front.pass_on(turn.host, 1.0)
    assert order == ["a:80", "b:80", "a:80"]  # now nothing more is queued for a:80, which has to be forgotten
    front.finished("a:80", ANSWERED, 1.0)
    assert (front.in_flight, list(front.hosts)) == (0, ["b:80"])


def test_nothing_is_passed_on_against_a_limit_a_pause_or_a_lane_that_waits() -> None:
    """None leaves everything as it was, and the two calls decide."""
    front = frontier(total=2, per_host=1)
    lane = front.lane()
    for host in ("a:80", "b:80", "a:80", "b:80"):
        front.add(Turn(host, lane))
    assert front.take(0.0) is not None
    assert front.take(0.0) is not None
    assert front.pass_on("b:80", 0.0) is None  # it is a:80's turn, which is full
    front.pause(lane)
    assert front.pass_on("a:80", 0.0) is None
    front.resume(lane)
    front.total = 1
    assert front.pass_on("a:80", 0.0) is None
    front.total = 2
    front.hosts["a:80"].pause(5.0, "for a test")
    assert front.pass_on("a:80", 0.0) is None
    assert front.in_flight == 2


def test_a_turn_begins_at_once_only_if_nobody_else_may_go() -> None:
    """Otherwise it has its place behind the others, and the host its limit."""
    front = frontier(per_host=2)
    lane, other = front.lane(), front.lane()
    first, second, third = Turn("a:80", lane), Turn("a:80", lane), Turn("a:80", lane)
    assert front.begin(first, 1.0)
    assert (first.load, first.began, lane.queued, front.in_flight) == (1, 1.0, 0, 1)
    front.add(Turn("b:80", other))
    assert not front.begin(second, 1.0)
    assert front.take(1.0) is not None
    assert front.begin(second, 1.0)
    assert not front.begin(third, 1.0)
    for key in ("a:80", "a:80", "b:80"):
        front.finished(key, ANSWERED, 2.0)
    front.close(lane)
    assert not front.begin(third, 2.0)
    assert (front.in_flight, front.hosts) == (0, {})
