"""From a source to the queue of a list: entries are taken a few at a time, as many as the window wants.

Those of one host that stand together are queued together, which costs much less than one after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING

import anyio

from asyncfetch.client.entries import Entry
from asyncfetch.client.fetch import Fetch
from asyncfetch.client.making import Maker, locate
from asyncfetch.client.tasks import is_cancelled, wrap_cancelled
from asyncfetch.client.turns import Turns
from asyncfetch.client.window import Window
from asyncfetch.errors import InvalidURL
from asyncfetch.result import Request
from asyncfetch.url import Origin, Url

if TYPE_CHECKING:
    from asyncfetch.client.batch import Batch

__all__ = ["Batched", "Feeder", "Source"]

_CLOSING = 1.0  # seconds that a source has to close itself


class Batched:
    """A source that gives its entries many at a time, which costs less than one after the other.

    Attributes:
        some: returns the next entries, as soon as there are any; none at the end. It is cancelled when the list is
            stopped meanwhile; nothing is closed then, as it would be with a generator.
    """

    def __init__(self, some: Callable[[], Awaitable[Sequence[str | Request]]]) -> None:
        self.some = some


Source = Iterable[str | Request] | AsyncIterable[str | Request] | Batched


class Feeder:
    """Feeds one list."""

    def __init__(self, batch: Batch, window: Window, turns: Turns, maker: Maker) -> None:
        """Take what the entries go through, and the list that they belong to."""
        self._batch = batch
        self._window = window
        self._turns = turns
        self._maker = maker
        self._count = 0
        self._left = window.at_once()  # entries until the next breath, however many come at a time
        self._fetches: list[Fetch] = []  # of the entries that are being taken, what is to be queued
        self._away: list[Entry] = []  # and what is to wait on disk, for this host
        self._away_host = ""
        self._open_origin: Origin | None = None  # of the last entry that is to be queued; the next may be alike
        self._task: asyncio.Task[None] | None = None

    async def feed(self, source: Source) -> None:
        """Queue what the source gives, as far as the window allows, until it ends, fails or is not wanted any more.

        Then the source is closed, if it is a generator. What it raises goes to the consumer, after the results of
        what it gave before. Its task is shielded, so that a source that is called off (by `stop`, also when the
        client closes) has its time to close what it holds.
        """
        batch = self._batch
        self._task = asyncio.current_task()
        try:
            with anyio.CancelScope(shield=True):
                if not batch.stopping:
                    await self._feed(source)
        except asyncio.CancelledError as error:
            if is_cancelled():
                if not batch.stopping:
                    raise
            else:
                batch.keep(wrap_cancelled(error, "source"))
        except Exception as error:
            batch.keep(error)
        finally:
            self._task = None
            batch.end_source()

    def stop(self) -> None:
        """Call the source off; what it gives after that is not taken."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _feed(self, source: Source) -> None:
        if isinstance(source, Batched):
            while not self._batch.stopping and (some := await source.some()):
                await self._take_all(iter(some))
        elif isinstance(source, AsyncIterable):
            await self._feed_async(source)
        else:
            entries = iter(source)
            try:
                await self._take_all(entries)
            finally:
                if isinstance(entries, Generator):
                    entries.close()

    async def _feed_async(self, source: AsyncIterable[str | Request]) -> None:
        entries = aiter(source)
        try:
            async for entry in entries:
                if self._batch.stopping:
                    break
                if self._take_some(iter((entry,))) or self._window.must_wait():
                    await self._breathe()
        finally:
            if isinstance(entries, AsyncGenerator):
                async with asyncio.timeout(_CLOSING):
                    await entries.aclose()

    async def _take_all(self, entries: Iterator[str | Request]) -> None:
        while not self._batch.stopping and self._take_some(entries):
            await self._breathe()

    async def _breathe(self) -> None:
        await self._window.breathe()
        self._left = self._window.at_once()

    def _take_some(self, entries: Iterator[str | Request]) -> bool:
        """Take as many entries as may be taken before the next breath; say whether it is time for that.

        Raises:
            TypeError: an entry is neither a URL nor a Request.
            LocalError: entries cannot be kept; the list has been stopped.
            Exception: what the source raises. Those before it have been queued.
        """
        batch, lane, robots = self._batch, self._window.lane, self._turns.robots
        before = self._count
        try:
            for entry in islice(entries, self._left):
                if batch.stopping:
                    break
                self._take(entry)
                if robots is not None:  # it may refuse the entry as soon as it is queued
                    self._queue()
                if lane.paused:  # by the results of entries that nothing was sent for
                    return True
            self._left -= self._count - before
            return self._left <= 0
        finally:
            self._queue()
            self._put_away()

    def _queue(self) -> None:
        """Queue what was made of the entries."""
        fetches, self._fetches = self._fetches, []
        self._open_origin = None
        if fetches and not self._batch.stopping:
            self._batch.expect(len(fetches))
            self._window.add(fetches)

    def _take(self, entry: str | Request) -> None:
        """Make the fetch of an entry, unless it is to wait on disk, or ends at once.

        Raises:
            TypeError: it is neither a URL nor a Request.
            LocalError: entries cannot be kept; the list has been stopped.
        """
        self._count = index = self._count + 1
        is_bare = False
        try:
            if type(entry) is str:
                is_bare = True
                request = Request(entry, index)
                url = Url.parse(entry)
            else:
                request = entry if type(entry) is Request else self._as_request(entry)
                index = request.index or index
                url = locate(request)
            if url.origin is self._open_origin or self._may_queue(request, index, url):
                self._fetches.append(
                    self._maker.make(self._window.lane, request, index, url, self._batch, is_bare=is_bare)
                )
        except InvalidURL as error:
            self._batch.expect(1)
            self._batch.reject(request, index, error)

    def _may_queue(self, request: Request, index: int, url: Url) -> bool:
        """Whether an entry is to be queued now, and others of its origin with it; if not, see to it here.

        Raises:
            InvalidURL: it cannot be fetched.
            LocalError: as `_take`.
        """
        host = url.origin.key
        why = self._turns.unavailability(host) if self._turns.unavailable else None
        if why is None and not self._window.puts_away(host):
            self._open_origin = url.origin
            return True
        if not self._maker.is_plain(request):  # what it brings along is checked at once in any case
            self._maker.make(self._window.lane, request, index, url)
        if why is not None:
            self._batch.expect(1)
            self._batch.refuse([(request, index, 0.0)], why)
            return False
        if host != self._away_host:
            self._put_away()
            self._away_host = host
        self._away.append((request, index, monotonic()))
        return False

    def _put_away(self) -> None:
        """Let the entries of one host that were set apart wait on disk.

        Raises:
            LocalError: the disk does not take them; the list has been stopped.
        """
        away, self._away = self._away, []
        if away and not self._batch.stopping:
            self._batch.expect(len(away))
            self._window.put_away(self._away_host, away)

    def _as_request(self, entry: str | Request) -> Request:
        request = Request(entry, self._count) if isinstance(entry, str) else entry
        if not isinstance(request, Request):
            raise TypeError(
                f"an entry of the list is neither a str nor a Request, but of type {type(entry).__name__}"
            )
        return request
