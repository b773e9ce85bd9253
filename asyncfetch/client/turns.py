"""Where the scheduler meets the event loop: gives turns to workers and waiters, and wakes when time alone decides.

A worker is a long-lived task of the client's task group that runs one turn of a list after another. A single `get`
runs its turns in the caller's own task (see `singles`), so that cancelling it needs nothing special; it waits here
for each.

Whoever frees a place sees that it is given out again: a worker takes its next turn, everybody else calls `pump`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from time import monotonic
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from asyncfetch.client.fetch import Fetch
from asyncfetch.client.names import Names
from asyncfetch.client.tasks import begin
from asyncfetch.errors import FetchError, HostUnavailable
from asyncfetch.result import Result
from asyncfetch.scheduler import ANSWERED, CANCELLED, Frontier, Host, Lane, Outcome
from asyncfetch.scheduler.lane import UNQUEUED
from asyncfetch.stats import HostState, HostStats, Stats
from asyncfetch.streams.pool import Pool
from asyncfetch.streams.resolver import Resolver

if TYPE_CHECKING:
    from asyncfetch.client.batch import Batch
    from asyncfetch.client.robots import Robots

__all__ = ["Turns"]

_UNAVAILABLE_AT_MOST = 10_000
_HOST_OF = attrgetter("host")


class Turns:
    """Hands out turns.

    Attributes:
        frontier: decides whose turn it is; `slow_down` is its.
        stats: counts what is in flight.
        single: the lane of single requests.
        unavailable: of some hosts that were given up, until when and why, by key: nothing for them need be queued.
        starving: called whenever places are free and nothing may go: lists that could be read further.
        closed: the client is closing.
        robots: says what may be queued, where robots.txt is obeyed.
    """

    def __init__(self, frontier: Frontier[Fetch], stats: Stats, group: TaskGroup) -> None:
        self.frontier = frontier
        self.slow_down = frontier.slow_down
        self.stats = stats
        self.starving: set[Callable[[], None]] = set()
        self.closed = False
        self.robots: Robots | None = None
        self._most = frontier.total
        self._answers = 0
        self.unavailable: dict[str, tuple[float, str]] = {}
        self._group = group
        self._run: Callable[[Fetch], Awaitable[Result | None]] | None = None
        self._loop = asyncio.get_running_loop()
        self._idle: list[asyncio.Future[Fetch]] = []
        self._running: dict[anyio.CancelScope, Batch] = {}  # whose turn each worker that does not rest has or had
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.single = self.frontier.lane()

    def start(self, run: Callable[[Fetch], Awaitable[Result | None]], resolver: Resolver, pool: Pool) -> None:
        """Let workers run turns by this, which gives a result or None; the names are looked up before."""
        self._run = run
        self._names = Names(resolver, pool, self.frontier, group=self._group, pump=self.pump)

    # --- queueing

    def add(self, fetch: Fetch) -> None:
        """Queue a fetch; `pump` gives it its turn."""
        fetch.stats = self._stats_of(fetch.host)
        fetch.stats.queued += 1
        if self.robots is None or fetch.for_robots or self.robots.admits(fetch):
            self.frontier.add(fetch)
        if fetch.dropped:
            fetch.stats.queued -= 1

    def add_all(self, fetches: Sequence[Fetch]) -> None:
        """Queue fresh fetches of one lane, as `add` would one after the other."""
        if self.robots is not None:
            for fetch in fetches:
                self.add(fetch)
            return
        for key, group in groupby(fetches, _HOST_OF):
            together, stats = list(group), self._stats_of(key)
            for fetch in together:
                fetch.stats = stats
            self.frontier.add_all(together)
            if not together[0].dropped:
                stats.queued += len(together)

    def count_queued(self, key: str, change: int) -> None:
        """Count what waits for a host elsewhere than in the scheduler, on disk."""
        self._stats_of(key).queued += change

    def again(self, fetch: Fetch, delay: float) -> None:
        """Queue a fetch for another turn, before fresh ones, after `delay` seconds.

        Its place is free by now. If it ran in a worker, that takes its own next turn, which may be this one.
        """
        if fetch.batch is not None and fetch.batch.stopping:
            fetch.batch.give_up()
            return
        if fetch.batch is None:
            fetch.waiter = self._loop.create_future()
        fetch.stats = self._stats_of(fetch.host)
        fetch.stats.queued += 1
        at = monotonic() + delay if delay > 0 else 0.0
        if self.robots is None or fetch.for_robots or self.robots.admits(fetch, at):
            self.queue(fetch, at)
        if fetch.dropped:
            fetch.stats.queued -= 1
        if fetch.waiter is not None:
            self.pump()
        else:
            self._arm()

    def queue(self, fetch: Fetch, at: float | None) -> None:
        """Let a fetch wait in the scheduler: as a fresh one, or before these from a time on (of `monotonic`)."""
        if at is None:
            self.frontier.add(fetch)
        elif at > 0 and at > monotonic():
            self.frontier.add_later(fetch, at)
        else:
            self.frontier.add(fetch, front=True)

    def refuse(self, fetch: Fetch, error: FetchError) -> None:
        """End a fetch that is queued nowhere, and will not be."""
        fetch.stats.queued -= 1
        result = fetch.make_result(None, error)
        self.stats.ended(fetch.stats, result)
        if fetch.waiter is None:
            assert fetch.batch is not None, "who does not wait for it has it in a list"
            fetch.batch.deliver_unsent(result, fetch.host)
        else:
            fetch.refused = error
            fetch.waiter.set_result(None)

    def begin(self, fetch: Fetch) -> bool:
        """Let a fresh fetch that runs in this task have its turn without a wait, if nothing else waits; say so."""
        if self.robots is not None or not self.frontier.begin(fetch, monotonic()):
            return False
        fetch.stats = self._stats_of(fetch.host)
        fetch.stats.queued += 1
        self.stats.started(fetch.stats)
        return True

    async def wait(self, fetch: Fetch) -> None:
        """Wait for the turn of a fetch that runs in this task; both of its places are then taken.

        Who is cancelled here has no place. `pump` has to be called then: perhaps somebody else has it now.

        Raises:
            FetchError: it was refused; it has no place.
        """
        waiter = fetch.waiter
        assert waiter is not None, "only a fetch with a waiter can be waited for"
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                if fetch.ticket != UNQUEUED:
                    fetch.stats.queued -= 1
                self.frontier.drop(fetch)
            elif fetch.refused is None:
                self.release(fetch, fetch.host, CANCELLED)
            raise
        if fetch.refused is not None:
            raise fetch.refused

    def unavailability(self, key: str) -> HostUnavailable | None:
        """Return why a host gets no requests, if it was given up and has not rested yet."""
        if key not in self.unavailable:
            return None
        until, why = self.unavailable[key]
        if until > monotonic():
            return HostUnavailable(why, host=key)
        del self.unavailable[key]
        return None

    def close_lane(self, lane: Lane) -> int:
        """Give up everything that waits in a lane, and take no more; return how much that was."""
        turns = self.frontier.close(lane)
        for fetch in turns:
            fetch.stats.queued -= 1
        return len(turns)

    def _stats_of(self, key: str) -> HostStats:
        found = self.stats.hosts.get(key)
        return self.stats.host(key, self.frontier.limit_of(key)) if found is None else found

    # --- giving out

    def has_room(self) -> bool:
        """Whether a global place is free."""
        return self.frontier.in_flight < self.frontier.total

    def pump(self) -> None:
        """Give out every turn that can be given out now."""
        if self.frontier.is_idle and not self.starving:
            return
        while (fetch := self._take()) is not None:
            if fetch.waiter is not None:
                self._give(fetch, fetch.waiter)
            else:
                self._employ(fetch)
        self._arm()

    def release(self, fetch: Fetch, host: str, outcome: Outcome, now: float | None = None) -> None:
        """Free the places of a turn that is over, by now or `now`; `host` is where it went."""
        now = now or monotonic()
        self.stats.stopped(fetch.stats)
        changed = self.frontier.finished(host, outcome, now, fetch)
        if outcome is ANSWERED and self.frontier.total < self._most:
            self._recover()
        if changed is not None and fetch.load:  # what was not sent tells nothing
            self._show(changed, fetch.stats)

    def _show(self, host: Host, stats: HostStats) -> None:
        """Let people see what has become of a host; and give its new places out, if it has more now."""
        if stats is self.stats.others:
            self._loop.call_soon(self.pump)  # nobody knows what its limit was
            return
        if host.limit > stats.limit:
            self._loop.call_soon(self.pump)
        stats.limit, stats.note, stats.interval = host.limit, host.note, host.interval
        if host.given_up_until and len(self.unavailable) < _UNAVAILABLE_AT_MOST:
            self.unavailable[host.key] = (host.given_up_until, host.why_given_up)
        if host.state is HostState.OK:
            self.stats.paused(stats, HostState.OK, host.note, 0.0)
        else:
            self.stats.paused(stats, host.state, host.reason, host.paused_until)

    def end(self, fetch: Fetch, host: str, outcome: Outcome, now: float) -> None:
        """Free the places of a turn that has a result; an answered one's worker does that when the list has it."""
        if outcome is ANSWERED and fetch.batch is not None and host == fetch.host:
            fetch.over = now
        else:
            self.release(fetch, host, outcome, now)

    def _take(self) -> Fetch | None:
        while (fetch := self.frontier.take(monotonic())) is not None:
            if fetch.is_named or not fetch.load or not self._names.holds(fetch):
                self.stats.started(fetch.stats)
                return fetch
        if self.starving and self.has_room():
            for wake in self.starving:
                wake()
        return None

    def _give(self, fetch: Fetch, waiter: asyncio.Future[None]) -> None:
        if waiter.cancelled():
            self.release(fetch, fetch.host, CANCELLED)
        else:
            waiter.set_result(None)

    def _employ(self, fetch: Fetch) -> None:
        """Let a worker run a turn: one that rests, otherwise a new one."""
        while self._idle:
            resting = self._idle.pop()
            if not resting.done():  # done means that its worker is being cancelled
                resting.set_result(fetch)
                return
        begin(self._group, self._work(fetch), partial(self._pass_on, fetch))

    # --- shortage of descriptors

    def make_do(self) -> None:
        """Lower the global limit to one less than is in flight now; answers raise it again, little by little."""
        self.frontier.total = max(1, min(self.frontier.total, self.frontier.in_flight - 1))
        self._answers = 0

    def _recover(self) -> None:
        """Raise a lowered limit by one after as many answers as it allows at once."""
        self._answers += 1
        if self._answers >= self.frontier.total:
            self._answers = 0
            self.frontier.total += 1
            self._loop.call_soon(self.pump)

    def _arm(self) -> None:
        """Let the clock call `pump` when the next pause or delay is over."""
        at = None if self.closed else self.frontier.wake_at()
        if at == self._timer_at and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer_at = at
            self._timer = self._loop.call_at(at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.pump()

    # --- workers

    async def _work(self, fetch: Fetch) -> None:
        """Run turns, this one first, until the client closes or the turn at hand is cancelled."""
        run = self._run
        assert run is not None, "start() comes first"
        running = self._running
        with anyio.CancelScope() as scope:
            while True:
                batch = fetch.batch
                assert batch is not None, "workers run turns of lists only"
                if batch.cancelled:  # between the turn and the worker's first step
                    self.release(fetch, fetch.host, CANCELLED)
                    batch.give_up()
                else:
                    running[scope] = batch
                    batch.started(fetch.host)
                    try:
                        result = await run(fetch)
                    except BaseException as error:
                        if not batch.broke_off(error):
                            raise
                    else:
                        if result is not None:
                            batch.deliver(result)
                    if scope not in running:
                        if fetch.over:
                            self.release(fetch, fetch.host, ANSWERED, fetch.over)
                        break
                fetch = (self._go_on(fetch) if fetch.over else self._take_own()) or await self._rest(scope)
        running.pop(scope, None)
        self.pump()

    def cancel(self, batch: Batch) -> None:
        """Give up the turns of a list that are being run."""
        for scope, running in list(self._running.items()):
            if running is batch:
                del self._running[scope]
                scope.cancel()

    def _go_on(self, fetch: Fetch) -> Fetch | None:
        """Let a worker have its next turn in the places of its last one, which was answered, or in others."""
        may_go_on = self.frontier.total >= self._most  # otherwise answers are counted
        after = self.frontier.pass_on(fetch.host, fetch.over) if may_go_on else None
        if after is None:
            self.release(fetch, fetch.host, ANSWERED, fetch.over)
        elif not after.is_named and self._names.holds(after):
            self.stats.stopped(fetch.stats)
        else:
            self.stats.passed_on(fetch.stats, after.stats)
            if after.waiter is None:
                return after
            self._give(after, after.waiter)
        return self._take_own()

    def _take_own(self) -> Fetch | None:
        """Take the next turn for this worker; turns that belong to waiting callers are passed on to them."""
        if self.frontier.is_idle and not self.starving:
            return None
        while (fetch := self._take()) is not None:
            if fetch.waiter is None:
                return fetch
            self._give(fetch, fetch.waiter)
        self._arm()
        return None

    async def _rest(self, scope: anyio.CancelScope) -> Fetch:
        self._running.pop(scope, None)
        waiter: asyncio.Future[Fetch] = self._loop.create_future()
        self._idle.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter in self._idle:
                self._idle.remove(waiter)
            elif waiter.done() and not waiter.cancelled():
                self._pass_on(waiter.result())
            raise

    def _pass_on(self, fetch: Fetch) -> None:
        """Put a turn back that came to a worker in the moment of its end, or to one that never began."""
        self.release(fetch, fetch.host, CANCELLED)
        self.again(fetch, 0.0)

    # --- the end

    def close(self) -> None:
        """Stop the clock. Whoever waits for a turn is called off by `singles` and by the lists."""
        self.closed = True
        self._arm()
