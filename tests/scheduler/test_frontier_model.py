"""The frontier against a model that scans everything, with random steps and a clock that jumps."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from asyncfetch.scheduler import (
    ANSWERED,
    CANCELLED,
    FAILED,
    SILENT,
    THROTTLED,
    Frontier,
    Lane,
    Manners,
    Outcome,
    Turn,
)
from asyncfetch.scheduler.lane import Queue
from asyncfetch.settings import Limits

HOSTS = ("a:80", "b:80", "c:80", "d:80")
OUTCOMES = (ANSWERED, ANSWERED, FAILED, CANCELLED, THROTTLED, SILENT, SILENT, Outcome("busy"))
MANNERS = (
    None,
    Manners(3, backoff=0.0),
    Manners(3, rate=2.0),
    Manners(2, delay=5.0, failures=3, probes=(1.0, 2.0)),
    Manners(8, adapt=True, failures=2, probes=(1.0,), rest=7.0),
    Manners(1, adapt=True, failures=1, probes=(), rest=1.0),
    Manners(6, adapt=True, rate=0.5, longest_pause=60.0),
)


class NoChance(Random):
    """No jitter, so that the model knows when a pause ends."""

    def random(self) -> float:
        return 0.0


class Model:
    """What the frontier promises, written down without any regard to cost.

    Attributes:
        fresh, again: queued turns by (lane, host), in order.
        delayed: (time, number, turn), in no order.
        in_flight: (turn, host key at the time it was taken).
        pauses: the end of each host's pause.
    """

    def __init__(self, total: int, per_host: int, manners: Manners | None = None) -> None:
        limits = Limits(total=total, per_host=per_host)
        self.frontier: Frontier[Turn] = Frontier(limits, NoChance(), manners=manners)
        self.total, self.per_host = total, per_host
        self.now = 1000.0
        self.number = 0
        self.lanes: list[Lane] = []
        self.fresh: defaultdict[tuple[Lane, str], list[Turn]] = defaultdict(list)
        self.again: defaultdict[tuple[Lane, str], list[Turn]] = defaultdict(list)
        self.delayed: list[tuple[float, int, Turn]] = []
        self.in_flight: list[tuple[Turn, str]] = []
        self.pauses: dict[str, float] = {}
        self.returned: list[Turn] = []

    # Steps

    def add(self, lane: Lane, host: str, front: bool) -> None:
        turn = Turn(host, lane)
        self.frontier.add(turn, front=front)
        self.expect_added(turn, front)

    def add_all(self, lane: Lane, host: str, count: int) -> None:
        turns = [Turn(host, lane) for _ in range(count)]
        self.frontier.add_all(turns)
        for turn in turns:
            self.expect_added(turn, False)

    def expect_added(self, turn: Turn, front: bool) -> None:
        if turn.lane.closed:
            assert turn.dropped
        else:
            (self.again if front else self.fresh)[turn.lane, turn.host].append(turn)

    def add_later(self, turn: Turn, seconds: float) -> None:
        self.frontier.add_later(turn, self.now + seconds)
        if turn.lane.closed:
            assert turn.dropped
            return
        self.number += 1
        self.delayed.append((self.now + seconds, self.number, turn))

    def finish(self, which: int, outcome: Outcome) -> Turn:
        turn, host = self.in_flight.pop(which % len(self.in_flight))
        outcome = outcome if turn.load else CANCELLED
        self.frontier.finished(host, outcome, self.now, turn)
        self.see(host)
        if outcome.retry_after:
            assert self.pauses[host] >= self.now + outcome.retry_after
        return turn

    def see(self, host: str) -> None:
        """Believe what a host says of its own pause and limit; that is tested elsewhere."""
        state = self.frontier.hosts.get(host)
        if state is not None and state.paused_until:
            assert state.paused_until >= self.pauses.get(host, 0.0)
            self.pauses[host] = state.paused_until

    def drop(self, which: int) -> None:
        turns = [*self.queued(), *(turn for _, _, turn in self.delayed), *(turn for turn, _ in self.in_flight)]
        if not turns:
            return
        turn = turns[which % len(turns)]
        self.frontier.drop(turn)
        assert turn.dropped
        for queues in (self.fresh, self.again):
            if turn in queues[turn.lane, turn.host]:
                queues[turn.lane, turn.host].remove(turn)
        self.delayed = [entry for entry in self.delayed if entry[2] is not turn]

    def close(self, lane: Lane) -> None:
        expected = [turn for turn in self.queued() if turn.lane is lane]
        expected += [turn for _, _, turn in self.delayed if turn.lane is lane]
        found = self.frontier.close(lane)
        assert Counter(found) == Counter(expected)
        self.returned += found
        for queues in (self.fresh, self.again):
            for key in [key for key in queues if key[0] is lane]:
                del queues[key]
        self.delayed = [entry for entry in self.delayed if entry[2].lane is not lane]

    def take(self) -> Turn | None:
        """Take, and check that it gives a turn if and only if one may go, and the first of its queue."""
        self.let_time_pass()
        possible = self.possible()
        turn = self.frontier.take(self.now)
        if turn is None:
            assert not possible
            self.check_wake_at()
            return None
        assert turn in possible
        queue = self.again[turn.lane, turn.host] or self.fresh[turn.lane, turn.host]
        assert queue.pop(0) is turn
        self.in_flight.append((turn, turn.host))
        self.see(turn.host)
        return turn

    # What follows

    def let_time_pass(self) -> None:
        for entry in sorted(self.delayed, key=lambda entry: entry[:2]):
            if entry[0] <= self.now:
                self.delayed.remove(entry)
                self.expect_added(entry[2], True)
        self.pauses = {host: until for host, until in self.pauses.items() if until > self.now}

    def queued(self) -> list[Turn]:
        return [turn for queues in (self.again, self.fresh) for queue in queues.values() for turn in queue]

    def load(self, host: str) -> int:
        return sum(key == host for _, key in self.in_flight)

    def is_full(self, host: str) -> bool:
        return self.load(host) >= self.frontier.limit_of(host)

    def possible(self) -> set[Turn]:
        """The turns that may go now."""
        if len(self.in_flight) >= self.total:
            return set()
        free = [host for host in HOSTS if not self.is_full(host) and host not in self.pauses]
        return {turn for turn in self.queued() if turn.host in free and not turn.lane.paused}

    def check_wake_at(self) -> None:
        """When nothing can go now, the frontier's time is not later than the first time something can."""
        wake_at = self.frontier.wake_at()
        if len(self.in_flight) >= self.total:
            assert wake_at is None
            return
        times = [
            max(at, self.pauses.get(turn.host, 0.0))
            for at, turn in [(0.0, turn) for turn in self.queued()] + [(at, turn) for at, _, turn in self.delayed]
            if not turn.lane.paused and not self.is_full(turn.host)
        ]
        if wake_at is None:
            assert not times
        else:
            assert self.now < wake_at <= min(times, default=math.inf)

    def check(self) -> None:
        """The limits hold, the counts are right, and the five invariants of the frontier's docstring."""
        frontier = self.frontier
        assert frontier.in_flight == len(self.in_flight) <= self.total
        assert all(self.load(host) <= self.per_host for host in HOSTS)
        queued = self.queued()
        assert not any(turn.dropped for turn in queued)
        waiting = Counter([turn.lane for turn in queued] + [turn.lane for _, _, turn in self.delayed])
        assert [lane.queued for lane in self.lanes] == [waiting[lane] for lane in self.lanes]
        hosts = {host for _, host in self.in_flight} | {turn.host for turn in queued} | set(self.pauses)
        assert set(frontier.hosts) == hosts
        assert {host.key: host.in_flight for host in frontier.hosts.values()} == {h: self.load(h) for h in hosts}
        self.check_rings()
        self.check_pauses()

    def check_rings(self) -> None:
        frontier = self.frontier
        listed = list(frontier._lanes)
        rings: list[Queue] = [queue for host in frontier.hosts.values() for queue in host.line]
        for lane in self.lanes:
            assert lane.listed == (lane in listed) == (not lane.paused and lane.has_next())
            assert not (lane.paused and lane.called.first)
            rings += [*lane.ready, *lane.called]
            assert all(queue.host.called is queue for queue in lane.called)
        assert Counter(rings) == Counter(queue for lane in self.lanes for queue in lane.queues.values())
        assert all(rings)
        for host in frontier.hosts.values():
            assert host.queues == sum(host.key in lane.queues for lane in self.lanes)
            assert host.called is None or host.called.ring is host.called.lane.called
            if host.line.first is not None and host.in_flight < host.limit and not host.paused_until:
                assert host.called is not None

    def check_pauses(self) -> None:
        entries = {host: until for until, _, host in self.frontier._waits._pauses}
        assert len(entries) == len(self.frontier._waits._pauses)
        assert set(entries) == {host for host in self.frontier.hosts.values() if host.paused_until}
        assert all(until <= host.paused_until for host, until in entries.items())

    def run_out(self) -> None:
        """Let everything end: nothing is lost, nothing comes twice, nothing is left."""
        for lane in self.lanes:
            if not lane.closed:
                self.frontier.resume(lane)
        while self.in_flight or self.queued() or self.delayed or self.pauses:
            while self.take() is not None:
                pass
            self.check()
            if self.in_flight:
                self.finish(0, ANSWERED)
            elif self.delayed or self.pauses:
                wake_at = self.frontier.wake_at()
                assert wake_at is not None
                self.now = wake_at
        while (wake_at := self.frontier.wake_at()) is not None:
            assert self.frontier.take(wake_at) is None
        assert (self.frontier.in_flight, self.frontier.hosts, len(self.frontier._waits)) == (0, {}, 0)
        assert not any(lane.queued for lane in self.lanes)


INDEX = st.integers(0, 1000)
SECONDS = st.sampled_from([0.0, 0.5, 1.0, 5.0, 60.0])


class FrontierMachine(RuleBasedStateMachine):
    """Random steps, shrunk to the shortest sequence that breaks a promise."""

    @initialize(
        total=st.integers(1, 6),
        per_host=st.integers(1, 3),
        lanes=st.integers(1, 4),
        manners=st.sampled_from(MANNERS),
    )
    def start(self, total: int, per_host: int, lanes: int, manners: Manners | None) -> None:
        self.model = Model(total, manners.most if manners else per_host, manners)
        self.model.lanes = [self.model.frontier.lane() for _ in range(lanes)]

    def lane_of(self, which: int) -> Lane:
        return self.model.lanes[which % len(self.model.lanes)]

    @rule(lane=INDEX, host=st.sampled_from(HOSTS), front=st.booleans(), count=st.integers(1, 4))
    def add(self, lane: int, host: str, front: bool, count: int) -> None:
        for _ in range(count):
            self.model.add(self.lane_of(lane), host, front)

    @rule(lane=INDEX, host=st.sampled_from(HOSTS), count=st.integers(1, 4))
    def add_all(self, lane: int, host: str, count: int) -> None:
        self.model.add_all(self.lane_of(lane), host, count)

    @rule(lane=INDEX, host=st.sampled_from(HOSTS), seconds=SECONDS)
    def add_later(self, lane: int, host: str, seconds: float) -> None:
        self.model.add_later(Turn(host, self.lane_of(lane)), seconds)

    @rule(count=st.integers(1, 8))
    def take(self, count: int) -> None:
        for _ in range(count):
            self.model.take()

    @precondition(lambda self: self.model.in_flight)
    @rule(which=INDEX, outcome=st.sampled_from(OUTCOMES))
    def finish(self, which: int, outcome: Outcome) -> None:
        self.model.finish(which, outcome)

    @precondition(lambda self: self.model.in_flight)
    @rule(which=INDEX, seconds=SECONDS, host=st.sampled_from(HOSTS), later=st.booleans())
    def finish_throttled_and_come_again(self, which: int, seconds: float, host: str, later: bool) -> None:
        turn = self.model.finish(which, Outcome("throttled", seconds))
        turn.host = host
        if turn.dropped:
            self.model.frontier.add(turn, front=True)
        elif later:
            self.model.add_later(turn, seconds)
        else:
            self.model.frontier.add(turn, front=True)
            self.model.expect_added(turn, True)

    @rule(which=INDEX)
    def drop(self, which: int) -> None:
        self.model.drop(which)

    @rule(lane=INDEX)
    def pause(self, lane: int) -> None:
        self.model.frontier.pause(self.lane_of(lane))

    @rule(lane=INDEX)
    def resume(self, lane: int) -> None:
        self.model.frontier.resume(self.lane_of(lane))

    @rule(lane=INDEX)
    def close_and_replace(self, lane: int) -> None:
        self.model.close(self.lane_of(lane))
        self.model.lanes.append(self.model.frontier.lane())

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 5.0, 1e6, -3.0]))
    def let_the_clock_jump(self, seconds: float) -> None:
        self.model.now += seconds

    @invariant()
    def holds(self) -> None:
        self.model.check()

    def teardown(self) -> None:
        if hasattr(self, "model"):
            self.model.run_out()


@pytest.mark.slow
def test_every_promise_holds_in_any_order_of_steps() -> None:
    """Every promise of the model, over sequences that hypothesis chooses."""
    run_state_machine_as_test(
        FrontierMachine, settings=settings(max_examples=100, stateful_step_count=40, deadline=None)
    )


def one_random_run(rng: Random) -> None:
    """As the machine, but quick and long: no shrinking, the seed tells the run."""
    manners = rng.choice(MANNERS)
    model = Model(rng.randint(1, 8), manners.most if manners else rng.randint(1, 4), manners)
    model.lanes = [model.frontier.lane() for _ in range(rng.randint(1, 4))]
    steps: list[Callable[[], object]] = [
        lambda: model.add(rng.choice(model.lanes), rng.choice(HOSTS), rng.random() < 0.2),
        lambda: model.add(rng.choice(model.lanes), rng.choice(HOSTS), rng.random() < 0.2),
        lambda: model.add_later(Turn(rng.choice(HOSTS), rng.choice(model.lanes)), rng.uniform(0, 20)),
        model.take,
        model.take,
        lambda: model.in_flight and model.finish(rng.randrange(99), rng.choice(OUTCOMES)),
        lambda: model.in_flight and model.finish(rng.randrange(99), Outcome("throttled", rng.uniform(0, 30))),
        lambda: model.drop(rng.randrange(99)),
        lambda: model.frontier.pause(rng.choice(model.lanes)),
        lambda: model.frontier.resume(rng.choice(model.lanes)),
        lambda: setattr(model, "now", model.now + rng.choice([0.0, 0.1, 1.0, 7.0, 1e5, -2.0])),
    ]
    for _ in range(60):
        rng.choice(steps)()
        model.check()
    model.run_out()


@pytest.mark.slow
def test_hundreds_of_random_runs_keep_every_promise() -> None:
    """The model agrees in each step, and in the end everything has come out exactly once."""
    for seed in range(400):
        try:
            one_random_run(Random(seed))
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
