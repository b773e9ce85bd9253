"""Names are looked up before a list's first turn for their host, so that a slow look-up holds no place.

A turn whose name is not known goes back to where it came from, and its host is held until the answer is there, or
the time for a connection is over. So thousands of names that take their time keep neither places nor hosts whose
names are known from the others; at most as many look-ups are under way as the resolver has threads.

The answer itself stays with the resolver: the turn asks it again, and finds it there. Single requests, in whose
traces the look-up is to be seen, do it in their own turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

from anyio.abc import TaskGroup

from asyncfetch.client.fetch import Fetch
from asyncfetch.client.tasks import begin
from asyncfetch.errors import ConnectTimeout, FetchError
from asyncfetch.scheduler import CANCELLED, Frontier
from asyncfetch.streams.pool import Pool
from asyncfetch.streams.resolver import Resolver

__all__ = ["Names"]


class Names:
    """Holds the hosts whose names are being looked up."""

    def __init__(
        self,
        resolver: Resolver,
        pool: Pool,
        frontier: Frontier[Fetch],
        *,
        group: TaskGroup,
        pump: Callable[[], None],
    ) -> None:
        """Begin without look-ups.

        Args:
            resolver: looks the names up, and remembers the answers.
            pool: a connection that waits there needs no name.
            frontier: whose hosts are held.
            group: where the look-ups run.
            pump: called when a host may go again.
        """
        self._resolver = resolver
        self._pool = pool
        self._frontier = frontier
        self._group = group
        self._at_once = resolver.at_once
        self._pump = pump
        self._waiting: dict[str, list[Fetch]] = {}
        self._queue: deque[str] = deque()
        self._running = 0

    def holds(self, fetch: Fetch) -> bool:
        """Take a turn back, whose places are taken, if its name has to be looked up first.

        Not if there are connections to the host, idle or in use.
        """
        if (fetch.waiter is not None and not fetch.for_robots) or fetch.is_named:
            return False
        if self._frontier.hosts[fetch.host].in_flight > 1:
            return False
        origin = fetch.url.origin
        if self._resolver.knows(origin.host, origin.port) or self._pool.has_idle(origin):
            return False
        fetch.is_named = True
        self._frontier.finished(fetch.host, CANCELLED, monotonic(), fetch)
        self._frontier.hold(fetch.host)
        self._frontier.add(fetch, front=True)
        waiting = self._waiting.setdefault(origin.host, [])
        waiting.append(fetch)
        if len(waiting) == 1:
            self._queue.append(origin.host)
            if self._running < self._at_once:
                self._running += 1
                begin(self._group, self._run(), self._end)
        return True

    async def _run(self) -> None:
        """Look names up until none waits."""
        try:
            while self._queue:
                await self._look_up(self._queue.popleft())
        finally:
            self._end()

    def _end(self) -> None:
        self._running -= 1

    async def _look_up(self, name: str) -> None:
        first = self._waiting[name][0]
        began, most = monotonic(), first.timeouts.connect
        refused: ConnectTimeout | None = None
        try:
            async with asyncio.timeout(most):
                await self._resolver.resolve(name, first.url.origin.port)
        except TimeoutError:
            refused = ConnectTimeout(f"not connected within {most:g} s, while resolving the name")
        except FetchError:
            pass  # the resolver remembers it for the turns
        finally:
            took = monotonic() - began
            for fetch in self._waiting.pop(name):
                fetch.connect_error, fetch.naming = refused, took
                self._frontier.let_go(fetch.host)
        self._pump()
