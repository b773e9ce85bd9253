"""Whose turn it is: the one place where the global limit and the limits of every host meet.

What it is for: `take` gives a turn only when a global place is free and a host may be contacted, and marks both
places in the same call. A host that is full or wants to be left alone holds no global place, and costs nothing
until something changes for it.

The order. Turns of one *lane* (one caller: all single requests, or one list) for one host wait in a *queue*,
first in, first out; what comes again, a retry or a redirect, goes before what is fresh, so that old work ends
first. In a lane the queues take turns, and the lanes take turns with each other, so that neither a host with
100,000 URLs nor a list with as many keeps anybody else waiting for more than one turn of each.

Where a queue is. Every queue has something to give, and is in exactly one of three rings:

- its lane's `ready`: its host had a place, as far as anybody looked;
- its host's `line`: somebody looked, and the host was full or paused. A place that becomes free, or a pause that
  ends, *calls* the first of the line whose lane is not paused back to its lane;
- its lane's `called`: where it is called back if several lanes want that host. The next place there is its own;
  another queue that looks meanwhile goes into the line. Otherwise a lane whose turn always comes just after the
  place has gone could wait for ever. A lane serves called and ready queues alternately.

What always holds, between any two calls:

1. `in_flight` is the sum over all hosts, at most `total`, and no host gets a turn while it has its limit in flight.
2. A host exists while something is in flight or queued for it or its pause is not over, and no longer; of some of
   those that are gone, it is remembered what was learnt (`registry.py`).
3. If a host may go and its line is not empty, then a queue of a lane that is not paused has been called, so the
   line cannot be forgotten. Hence: whoever pauses, drops or closes what was called, calls the next; and a called
   queue that has had its turn calls the next if the host may still go.
4. A lane is in the ring of lanes if and only if it is not paused and one of its own rings is not empty.
5. A host that is paused has one entry in the heap of pauses, not later than the pause's end; but one that is held
   (`hold`) has none.

So `take` either finds a turn at once or moves a queue into a line, and each such move is paid for by the place
that was taken before it. Nothing is looked at twice without a reason, and there is no loop over hosts or lanes.

Time. Two heaps (`waits.py`) hold what waits for it: turns that back off (they hold no place, and go to the front of
their queue when they are due) and pauses of hosts. What was dropped, or a pause that grew longer, is put right when
its entry comes up. `take` looks at the heaps only when the earliest time in them has come.

Costs: `add`, `take` and `finished` are a few assignments each, whatever the number of turns, hosts and lanes;
only what waits for a time costs a logarithm. `pause` costs one step for each queue of the lane that is called at
that moment, `close` one for each turn that it gives back.

Where nothing is to be decided, two short paths lead to the same: `begin` for a turn that need not be queued, and
`pass_on` for a place that goes from one turn to the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Generic, TypeVar

from asyncfetch.scheduler.host import Host
from asyncfetch.scheduler.lane import QUEUED, UNQUEUED, Lane, Queue, QueuedHost, Turn
from asyncfetch.scheduler.lines import Lines
from asyncfetch.scheduler.manners import Manners
from asyncfetch.scheduler.outcome import ANSWERED, Outcome
from asyncfetch.scheduler.pace import Pace
from asyncfetch.scheduler.registry import HostsOwn, Registry
from asyncfetch.scheduler.waits import Waits
from asyncfetch.settings import Limits

__all__ = ["Frontier"]

T = TypeVar("T", bound=Turn)


class Frontier(Generic[T]):
    """The queues of all lanes and hosts. Not for several threads, and without a clock: `now` is an argument.

    All times are seconds of one monotonic clock.

    Attributes:
        total: how many turns may be in flight at once; it may be changed at any time.
        in_flight: turns that were taken and are not finished.
        hosts: every host that exists at the moment, by key; to look at.
        lane: makes a lane; its turn comes with its first turns, after the other lanes'.
        pause, resume: let a lane have no turns for a while; see `lines.py`.
        host, limit_of, slow_down: its registry's: of a host, whether there is anything to do there or not.
    """

    def __init__(
        self,
        limits: Limits,
        rng: Random,
        *,
        manners: Manners | None = None,
        rate: float | None = None,
        own: HostsOwn | None = None,
    ) -> None:
        """Start empty.

        Args:
            limits: `total` and `per_host` of it.
            rng: where chance comes from.
            manners: how hosts are treated; None keeps to `per_host`, and learns nothing.
            rate: starts per second over all hosts, or None for any number.
            own: says what is different for a host when it appears.
        """
        self.total = limits.total
        self.in_flight = 0
        self._registry = Registry(manners or Manners(limits.per_host), own)
        self.hosts = self._registry.known
        self.lane = Lane
        self.host = self._registry.host
        self.limit_of = self._registry.limit_of
        self.slow_down = self._registry.slow_down
        self._pace = None if rate is None else Pace(1.0 / rate)
        self._rng = rng
        self._lines = Lines(self._registry)
        self._lanes = self._lines.lanes
        self.pause = self._lines.pause
        self.resume = self._lines.resume
        self._waits = Waits()

    def close(self, lane: Lane) -> list[T]:
        """End a lane and give back every turn that waits in it; those in flight remain until they are finished.

        A turn that is added to it afterwards is dropped.
        """
        self.pause(lane)
        lane.closed = True
        turns: list[T] = []
        for queue in list(lane.queues.values()):
            turns += queue.turns()
            self._lines.remove(queue)
        turns += lane.delayed.values()
        lane.delayed.clear()
        lane.queued = 0
        for turn in turns:
            turn.ticket = UNQUEUED
        return turns

    def add(self, turn: T, front: bool = False) -> None:
        """Queue a turn for its host, in its lane; `front` is for one that comes again.

        A turn that was dropped, or whose lane is closed, is dropped here and never comes out.

        Raises:
            ValueError: it is queued already.
        """
        lane = turn.lane
        if turn.dropped or lane.closed or turn.ticket:
            self._refuse(turn)
            return
        turn.ticket = QUEUED
        lane.queued += 1
        queue = lane.queues.get(turn.host)
        if queue is None:
            queue = self._lines.open(lane, turn.host)
        queue.push(turn, front)

    def add_all(self, turns: Sequence[T]) -> None:
        """Queue turns that were not queued before, of one lane and for one host, as `add` does one by one."""
        lane, key = turns[0].lane, turns[0].host
        if lane.closed:
            for turn in turns:
                turn.dropped = True
            return
        queue = lane.queues.get(key)
        (self._lines.open(lane, key) if queue is None else queue).extend(turns)

    def add_later(self, turn: T, at: float) -> None:
        """Queue a turn that goes to the front of its queue at a time; until then it holds no place.

        Like `add` otherwise.

        Raises:
            ValueError: it is queued already.
        """
        if turn.dropped or turn.lane.closed or turn.ticket:
            self._refuse(turn)
            return
        self._waits.delay(turn, at)

    def drop(self, turn: T) -> None:
        """Give a turn up: it never comes out, now or if it is added again. One in flight is only marked."""
        if turn.dropped:
            return
        turn.dropped = True
        lane, ticket = turn.lane, turn.ticket
        if ticket == UNQUEUED:
            return
        turn.ticket = UNQUEUED
        lane.queued -= 1
        if ticket != QUEUED:
            del lane.delayed[ticket]
            return
        queue = lane.queues[turn.host]
        queue.bury()
        if not queue:
            self._lines.remove(queue)

    def take(self, now: float) -> T | None:
        """Give the next turn that may go now, and take its global place and its host's, or None.

        After None, call again when a turn has been added or finished, a lane resumed, or `wake_at` has come.
        """
        if now >= self._waits.next_at:
            self._wake(now)
        if self.in_flight >= self.total or (self._pace is not None and now < self._pace.next_at):
            return None
        lanes = self._lanes
        while (lane := lanes.first) is not None and (queue := lane.next_queue()) is not None:
            host = queue.host
            if host.may_go(now) and (host.called is None or host.called is queue):
                lanes.first = lane.after
                return self._give(queue, host, now)
            self._lines.park(queue)
        return None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued that may go, and nothing waits for a time: `take` and `wake_at` give None."""
        return self._lanes.first is None and self._waits.next_at == math.inf

    def begin(self, turn: T, now: float) -> bool:
        """Give a fresh turn its places at once if `add` and then `take` would give it out now, and say so.

        Nothing else may go then. Otherwise nothing is done, and it has to be added.
        """
        lane = turn.lane
        if self._lanes.first is not None or lane.paused:
            return False
        if now >= self._waits.next_at or self.in_flight >= self.total or self._pace is not None:
            return False
        host = self.host(turn.host)
        if host.is_special or not host.may_go(now):
            return False
        host.in_flight += 1
        self.in_flight += 1
        turn.began = now
        turn.load = host.in_flight
        lane.favours_called = True
        return True

    def pass_on(self, key: str, now: float) -> T | None:
        """Do what `finished` does after an answer and `take` after that, if a place just goes from turn to turn.

        That is most often so, and shorter. Nothing is done, and None returned, if there is more to decide, or if
        nothing may go.
        """
        host, lane = self.hosts[key], self._lanes.first
        if lane is None or host.credit < 2 or host.is_special or host.line.first is not None:
            return None
        queue = lane.ready.first
        if queue is None or lane.called.first is not None or now >= self._waits.next_at:
            return None
        if self.in_flight > self.total or self._pace is not None:
            return None
        to = queue.host
        load = to.in_flight
        if to is not host:
            load += 1
            if not host.queues or to.is_special:
                return None
        if load > to.limit or to.paused_until > now or to.called is not None:
            return None
        host.credit -= 1
        host.in_flight -= 1
        to.in_flight = load
        lane.favours_called = True
        self._lanes.first = lane.after
        lane.ready.first = queue.after
        turn: T = queue.pop()
        turn.began, turn.load = now, load
        if not (queue.fresh or queue.again):
            self._lines.remove(queue)
        return turn

    def finished(self, key: str, outcome: Outcome, now: float, turn: T | None = None) -> Host | None:
        """Free the two places of a turn that was taken for the host `key`, and let the host learn from it.

        Without `turn` itself, it counts as begun alone and now. Returns the host, if its limit, its pace, its
        pause or what there is to say of it may have changed.

        Raises:
            KeyError: nothing was taken for that host.
        """
        host = self.hosts[key]
        host.in_flight -= 1
        self.in_flight -= 1
        host.credit -= 1
        changed = outcome is not ANSWERED or host.credit <= 0
        if changed:
            self._settle(host, outcome, now, turn)
        if host.line.first is not None:
            if host.called is None and host.may_go(now):
                self._lines.call(host)
        elif not host.queues and host.is_neutral:
            self._registry.forget(host)
        return host if changed or host.is_special else None

    def hold(self, key: str) -> None:
        """Let nothing go to a host that has nothing in flight, until `let_go`."""
        self.host(key).pause(math.inf, "its name is looked up")

    def let_go(self, key: str) -> None:
        """End what `hold` began."""
        host = self.hosts.get(key)
        if host is None or host.paused_until != math.inf:
            return
        host.resume()
        if host.called is None:
            self._lines.call(host)
        if not host.queues and host.is_neutral:
            self._registry.forget(host)

    def wake_at(self) -> float | None:
        """Say when time alone may make `take` give something, or None if it never will.

        While the global limit is reached nothing but `finished` can, so that is None as well. It may be too early
        (for what was dropped meanwhile, is of a paused lane, or has a full host), never too late; and whatever its
        reason was, a `take` at that time uses it up.
        """
        if self.in_flight >= self.total:
            return None
        at = self._waits.next_at
        if self._pace is not None and self._lanes.first is not None:  # a turn that may go, but for the global rate
            at = min(at, self._pace.next_at)
        return None if at == math.inf else at

    def _refuse(self, turn: T) -> None:
        """Drop a turn that can no longer be queued."""
        if turn.ticket:
            raise ValueError(f"the turn for {turn.host} is queued already")
        turn.dropped = True

    def _give(self, queue: Queue, host: QueuedHost, now: float) -> T:
        """Take the places for the first turn of a queue, and pass the turn on to the lane's next host."""
        turn: T = queue.pop()
        host.in_flight += 1
        self.in_flight += 1
        turn.began = now
        turn.load = host.in_flight
        queue.ring.first = queue.after
        if host.is_special:
            self._start(turn, host, now)
        if self._pace is not None:
            self._pace.start(now)
        if host.queues > 1 or host.called is not None:
            self._call_next(queue, host, now)
        if not (queue.fresh or queue.again):
            self._lines.remove(queue)
        return turn

    def _call_next(self, queue: Queue, host: QueuedHost, now: float) -> None:
        """Call the next queue of a contested host after one has had its turn."""
        if host.called is queue:
            host.called = None
            queue.move(queue.lane.ready)
        if host.called is None and host.may_go(now):
            self._lines.call(host)

    def _settle(self, host: QueuedHost, outcome: Outcome, now: float, turn: T | None) -> None:
        """Let a host's state move, and remember when its pause ends if that is new."""
        was_paused = host.paused_until
        host.settle(outcome, now, self._rng, turn)
        if host.paused_until and not was_paused:
            self._waits.watch(host)

    def _start(self, turn: T, host: QueuedHost, now: float) -> None:
        """Tell a host of a start that wants to know, and remember when the next one may be."""
        was_paused = host.paused_until
        host.started(turn, now)
        if host.paused_until and not was_paused:
            self._waits.watch(host)

    def _wake(self, now: float) -> None:
        """Queue what is due and end the pauses that are over."""
        for turn in self._waits.due_turns(now):
            self.add(turn, front=True)
        for host in self._waits.rested_hosts(now):
            host.resume()
            if host.called is None:
                self._lines.call(host)
            if not host.queues and host.is_neutral:
                self._registry.forget(host)
        self._waits.reckon()
