"""Connections by origin: those that wait for their next request, and new ones when none does.

The connection that was released last is held apart: most often the next request goes to the same origin, and then
none of the books has to be changed.

Whatever comes on a connection that nobody uses would pass for the answer to the next request on it. So it is closed
when something comes, an end included (`on_surprise`), and before it is used again the kernel is asked as well.

The pool also owns the sweep: one timer, a few times a second and only while there is something to watch, that asks
every connection in use whether a deadline has passed and closes those that were idle for too long.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial
from time import monotonic

from asyncfetch.errors import Cancelled
from asyncfetch.settings import Limits, Timeouts
from asyncfetch.streams.connection import Connection
from asyncfetch.streams.dialler import Dialler
from asyncfetch.streams.wire import make_reads_cheap
from asyncfetch.trace import Trace
from asyncfetch.url import Origin

__all__ = ["Pool"]

SWEEP_EVERY = 0.25  # seconds; deadlines shorter than ten times this are looked at more often
_SWEEP_AT_LEAST = 0.01
_SHORTAGE_LASTS = 30.0  # seconds after which a shortage of descriptors may be over
_IDLE_IN_SHORTAGE = 8
_GOODBYE = 0.5  # seconds that closing waits for sockets to go


class Pool:
    """Gives connections out and takes them back.

    Attributes:
        opened: connections opened so far.
    """

    def __init__(self, dialler: Dialler, limits: Limits, trace: Trace | None = None) -> None:
        make_reads_cheap()
        self._dialler = dialler
        self._limits = limits
        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._idle: dict[str, list[Connection]] = {}
        self._by_age: OrderedDict[Connection, None] = OrderedDict()
        self._in_use: set[Connection] = set()  # with the one that was released last, as long as it is held apart
        self._last: Connection | None = None
        self._open: set[Connection] = set()
        self._sweep_every = SWEEP_EVERY
        self._timer: asyncio.TimerHandle | None = None
        self._most_idle = limits.idle_total
        self._short_until = 0.0
        self._closed = False
        self._all_gone: asyncio.Future[None] | None = None
        self.opened = 0

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return len(self._by_age) + (self._last is not None)

    @property
    def in_use(self) -> int:
        """Connections that carry a request."""
        return len(self._in_use) - (self._last is not None)

    @property
    def open(self) -> int:
        """Connections that have a descriptor: in use, idle, or being closed."""
        return len(self._open)

    def has_idle(self, origin: Origin) -> bool:
        """Whether a connection to the origin waits for a request; it may turn out to be dead."""
        last = self._last
        return origin.name in self._idle or (last is not None and last.origin.name == origin.name)

    async def acquire(self, origin: Origin, timeout: float, *, fresh: bool = False) -> Connection:
        """Return an idle connection to the origin, or open one within `timeout` seconds; a new one if `fresh`.

        Raises:
            FetchError: the connection could not be opened; see `Dialler.open`.
            Cancelled: the pool was closed.
            OutOfDescriptors: no descriptor is left.
        """
        connection = None if fresh else self.take_idle(origin)
        if connection is None:
            if self._closed:
                raise Cancelled("the client is closed")
            connection = await self._open_new(origin, timeout)
            self._in_use.add(connection)
            if self._timer is None:
                self._arm()
        return connection

    def take_idle(self, origin: Origin) -> Connection | None:
        """Return an idle connection to the origin if there is one, as `acquire` does, without a wait."""
        connection = self._last
        if connection is not None and connection.origin.name == origin.name and not connection.has_news():
            self._last = None
        else:
            connection = self._unshelve(origin)
            if connection is None:
                return None
        connection.reader.on_surprise = None
        if self._trace is not None:
            self._trace.reusing(connection.ip)
        return connection

    def _unshelve(self, origin: Origin) -> Connection | None:
        """Take a connection to the origin, if there is one that is alive, from among the others."""
        if self._last is not None:
            self._shelve(self._last)
        while waiting := self._idle.get(origin.name):
            connection = waiting.pop()  # the one that was used last is the likeliest to be alive
            if not waiting:
                del self._idle[origin.name]
            del self._by_age[connection]
            if not connection.has_news():
                self._in_use.add(connection)
                return connection
            connection.reader.on_surprise = None
            connection.close()
        return None

    async def _open_new(self, origin: Origin, timeout: float) -> Connection:
        connection = await self._dialler.open(origin, timeout)
        self.opened += 1
        if self._closed:
            connection.abort()
            await connection.wait_closed()
            raise Cancelled("the client was closed while the connection was opened")
        connection.on_lost = self._forget
        connection.on_surprise = partial(self._drop_idle, connection)
        if not connection.is_lost:
            self._open.add(connection)
        return connection

    def watch(self, timeouts: Timeouts) -> None:
        """Sweep often enough for these timeouts to be kept to about a tenth of the shortest."""
        shortest = min(t for t in (timeouts.head, timeouts.read, timeouts.total, timeouts.speed_time) if t)
        every = max(_SWEEP_AT_LEAST, shortest / 10)
        if every < self._sweep_every:
            self._sweep_every = every
            if self._timer is not None:
                self._timer.cancel()
                self._arm()

    def release(self, connection: Connection) -> None:
        """Take a connection back after a complete exchange that allows another one."""
        reader = connection.reader
        if self._closed or connection.is_lost or not reader.is_quiet():
            self.finish(connection)
            return
        connection.served += 1
        connection.idle_since = monotonic()
        reader.on_surprise = connection.on_surprise
        if self._last is not None:
            self._shelve(self._last)
        self._last = connection
        if len(self._by_age) >= self._most_idle:
            self._shelve(connection)

    def _shelve(self, connection: Connection) -> None:
        """Let the connection that was released last wait among the others."""
        self._last = None
        self._in_use.discard(connection)
        name = connection.origin.name
        if name in self._idle:
            self._idle[name].append(connection)
        else:
            self._idle[name] = [connection]
        self._by_age[connection] = None
        if len(self._by_age) > self._most_idle:
            self._drop_idle(next(iter(self._by_age)))

    def finish(self, connection: Connection) -> None:
        """Take a connection back after a complete exchange that does not allow another one."""
        self._in_use.discard(connection)
        connection.reader.on_surprise = None
        connection.close()

    def discard(self, connection: Connection) -> None:
        """Take a connection back in the middle of an exchange: it is closed at once."""
        self._in_use.discard(connection)
        connection.abort()

    def make_room(self) -> None:
        """Close every idle connection, and keep few for a while: descriptors are short, for files perhaps, too."""
        self._short_until = monotonic() + _SHORTAGE_LASTS
        self._most_idle = _IDLE_IN_SHORTAGE
        self.drop_idle()

    def drop_idle(self) -> int:
        """Close every idle connection; return how many."""
        count = self.idle
        if self._last is not None:
            self._drop_idle(self._last)
        while self._by_age:
            self._drop_idle(next(iter(self._by_age)))
        return count

    async def aclose(self) -> None:
        """Close everything, and wait a moment for the sockets to go."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.drop_idle()
        for connection in list(self._in_use):
            self.discard(connection)
        await self._wait_until_gone()
        for connection in list(self._open):
            connection.abort()
        await self._wait_until_gone()

    async def _wait_until_gone(self) -> None:
        if self._open:
            self._all_gone = self._loop.create_future()
            await asyncio.wait([self._all_gone], timeout=_GOODBYE)

    # --- idle connections

    def _drop_idle(self, connection: Connection) -> None:
        """Close an idle connection: too old, one too many, or something came although nobody asked."""
        if connection is self._last:
            self._last = None
            self.finish(connection)
            return
        connection.reader.on_surprise = None
        del self._by_age[connection]
        waiting = self._idle[connection.origin.name]
        waiting.remove(connection)
        if not waiting:
            del self._idle[connection.origin.name]
        connection.close()

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open and self._all_gone is not None and not self._all_gone.done():
            self._all_gone.set_result(None)

    # --- the sweep

    def _arm(self) -> None:
        self._timer = self._loop.call_later(self._sweep_every, self._sweep)

    def _sweep(self) -> None:
        if self._last is not None:
            self._shelve(self._last)
        now = monotonic()
        for connection in list(self._in_use):
            connection.check(now)
        if now >= self._short_until:
            self._most_idle = self._limits.idle_total
        oldest = now - self._limits.idle_seconds
        while self._by_age:
            connection = next(iter(self._by_age))
            if connection.idle_since > oldest:
                break
            self._drop_idle(connection)
        if self._in_use or self._by_age:
            self._arm()
        else:
            self._timer = None
