"""A list of requests, fetched in the order of their ends: read lazily, given out in order of completion.

Back-pressure goes both ways. The source is read only as far as the window of queued entries is long. While more
results wait for their consumer than `Limits.buffered` (or `buffered_bytes`), nothing new of this list is started.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable
from typing import Self

import anyio

from asyncfetch.client.engine import SinkFactory
from asyncfetch.client.fetch import Fetch
from asyncfetch.client.turns import Turns
from asyncfetch.errors import InvalidURL
from asyncfetch.result import Request, Result
from asyncfetch.settings import Limits

__all__ = ["Batch", "FetchMany", "Source"]

Source = Iterable[str | Request] | AsyncIterable[str | Request]

_FED_AT_ONCE = 64  # entries; then everybody else has a go
_CLOSING = 1.0  # seconds that a source has to close itself


class Batch:
    """The state of one list; `FetchMany` is its public face.

    Attributes:
        lane: its queue in the scheduler.
        sink: where bodies go, or None for memory.
        stopping: nothing new of it is started any more.
    """

    def __init__(
        self, turns: Turns, limits: Limits, make: Callable[[Batch, Request, int], Fetch], sink: SinkFactory | None
    ) -> None:
        self.lane = turns.frontier.lane()
        self.sink = sink
        self.stopping = False
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._make = make
        self._running: set[Fetch] = set()
        self._results: deque[Result] = deque()
        self._result_bytes = 0
        self._count = 0
        self._outstanding = 0
        self._source_ended = False
        self._failure: BaseException | None = None
        self._consumer: asyncio.Future[None] | None = None
        self._feeder: asyncio.Future[None] | None = None
        self._feeding: asyncio.Task[None] | None = None

    # --- from the source

    async def feed(self, source: Source) -> None:
        """Queue what the source gives, as far as the window allows, until it ends or fails; then close it."""
        self._feeding = asyncio.current_task()
        try:
            if isinstance(source, AsyncIterable):
                await self._feed_async(source)
            else:
                await self._feed_sync(source)
        except asyncio.CancelledError:
            if not self.stopping:
                raise
        except Exception as error:  # the consumer gets it, after the results of what was read before
            self._failure = error
        finally:
            self._feeding = None
            self._source_ended = True
            self._notify()

    async def _feed_async(self, source: AsyncIterable[str | Request]) -> None:
        entries = aiter(source)
        try:
            async for entry in entries:
                if self._enqueue(entry):
                    await self._breathe()
        finally:
            if isinstance(entries, AsyncGenerator):
                with anyio.move_on_after(_CLOSING, shield=True):
                    await entries.aclose()

    async def _feed_sync(self, source: Iterable[str | Request]) -> None:
        entries = iter(source)
        try:
            for entry in entries:
                if self._enqueue(entry):
                    await self._breathe()
        finally:
            if isinstance(entries, Generator):
                entries.close()

    def _enqueue(self, entry: str | Request) -> bool:
        """Queue one entry; say whether it is time to let others go on."""
        request = Request(entry) if isinstance(entry, str) else entry
        self._count += 1
        self._outstanding += 1
        index = request.index or self._count
        try:
            fetch = self._make(self, request, index)
        except InvalidURL as error:
            result = Result(index=index, request=request, error=error, ended=time.time())
            self._turns.stats.ended(None, result)
            self.deliver(result)
        else:
            self._turns.add(fetch)
            if self._turns.has_room:
                self._turns.pump()
        return self._count % _FED_AT_ONCE == 0 or self._must_wait

    @property
    def _must_wait(self) -> bool:
        return (self.lane.queued >= self._limits.queued or self._is_full) and not self.stopping

    @property
    def _is_full(self) -> bool:
        return len(self._results) >= self._limits.buffered or self._result_bytes >= self._limits.buffered_bytes

    async def _breathe(self) -> None:
        """Let everybody else go on, for as long as the window is full."""
        await asyncio.sleep(0)
        while self._must_wait:
            self._feeder = asyncio.get_running_loop().create_future()
            await self._feeder

    def _wake_feeder(self) -> None:
        if self._feeder is not None and not self._feeder.done():
            self._feeder.set_result(None)
        self._feeder = None

    # --- from the workers

    def started(self, fetch: Fetch) -> None:
        """Take note that one of the list's turns is being run."""
        self._running.add(fetch)
        if self._feeder is not None and self.lane.queued <= self._limits.queued // 2 and not self._is_full:
            self._wake_feeder()

    def stopped(self, fetch: Fetch) -> None:
        """Take note that it is over."""
        self._running.discard(fetch)

    def deliver(self, result: Result) -> None:
        """Put a result where the consumer finds it; hold the list back if too many are there."""
        self._outstanding -= 1
        self._results.append(result)
        self._result_bytes += _size_of(result)
        if self._is_full:
            self._turns.frontier.pause(self.lane)
        self._notify()

    def give_up(self) -> None:
        """Count one entry that will have no result, because the list was stopped."""
        self._outstanding -= 1
        self._notify()

    def fail(self, error: BaseException) -> None:
        """End the list with an error that is nobody's URL's fault."""
        self._failure = error
        self.stop()

    # --- to the consumer

    async def next(self) -> Result:
        """Return the next result.

        Raises:
            StopAsyncIteration: all results have been given out.
        """
        while not self._results:
            if self.is_done:
                self._raise_failure()
                raise StopAsyncIteration
            await self._wait()
        return self._pop()

    def _pop(self) -> Result:
        result = self._results.popleft()
        self._result_bytes -= _size_of(result)
        if self.lane.paused and len(self._results) <= self._limits.buffered // 2 and not self._is_full:
            self._turns.frontier.resume(self.lane)
            self._turns.pump()
        if self._feeder is not None and not self._must_wait:
            self._wake_feeder()
        return result

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def _wait(self) -> None:
        if self._consumer is not None and not self._consumer.done():
            raise RuntimeError("another task is waiting for the next result of this list already")
        self._consumer = asyncio.get_running_loop().create_future()
        await self._consumer

    def _notify(self) -> None:
        if self._consumer is not None and not self._consumer.done():
            self._consumer.set_result(None)

    @property
    def is_done(self) -> bool:
        """Whether no more results can come."""
        return self._source_ended and self._outstanding == 0

    # --- the end before the end

    def abandon(self) -> None:
        """Cancel from anywhere, for whoever iterated has gone without a word."""
        if self._loop.is_closed():
            return
        if self._loop is _running_loop():
            self.cancel()
        else:
            self._loop.call_soon_threadsafe(self.cancel)

    def stop(self) -> None:
        """Start nothing more; what is queued is given up, what is in flight goes on to its end."""
        if self.stopping:
            return
        self.stopping = True
        self._outstanding -= len(self._turns.frontier.close(self.lane))
        if self._feeding is not None:
            self._feeding.cancel()
        else:
            self._source_ended = True
        self._notify()

    def cancel(self) -> None:
        """Start nothing more and give up what is in flight; it ends with the next steps of the event loop."""
        self.stop()
        for fetch in list(self._running):
            if fetch.scope is not None:
                fetch.scope.cancel()

    async def aclose(self) -> None:
        """Cancel, and wait until everything is given back."""
        self.cancel()
        while not self.is_done:
            await self._wait()
        self._results.clear()
        self._result_bytes = 0


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _size_of(result: Result) -> int:
    response = result.response
    return len(response.content) if response is not None and response.has_content else 0


class FetchMany:
    """The results of a list, to be iterated once: `async for result in client.fetch_many(urls)`.

    Each entry gives one result, in the order in which they end; nothing is raised for a URL. An error of the
    source itself is raised at the end, after the results of what it gave before.

    Leaving the loop early ends the work: when the iteration is dropped, what is queued is given up and what is in
    flight is cancelled. To wait until that is done, use it as a context manager or call `aclose`.
    """

    def __init__(self, start: Callable[[], Batch]) -> None:
        self._start = start
        self._batch: Batch | None = None
        self._closed = False

    def _begin(self) -> Batch:
        if self._batch is None:
            self._batch = self._start()
        return self._batch

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Result:
        if self._closed:
            raise StopAsyncIteration
        return await (self._batch or self._begin()).next()

    def stop(self) -> None:
        """Start nothing more: the iteration ends when what is in flight has ended."""
        self._begin().stop()

    async def aclose(self) -> None:
        """Give up what is queued and in flight, and wait until everything is given back."""
        self._closed = True
        if self._batch is not None:
            await self._batch.aclose()

    async def __aenter__(self) -> Self:
        self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._batch is not None and not self._batch.is_done:
            self._batch.abandon()
