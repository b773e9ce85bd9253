"""A list of requests, fetched in the order of their ends: read lazily, given out in order of completion.

Back-pressure goes both ways. The source is read only as far as `window` wants it. While more results wait for
their consumer than `Limits.buffered` (or `buffered_bytes`), nothing new of this list is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat

from asyncfetch.client.entries import Entry
from asyncfetch.client.feeding import Feeder
from asyncfetch.client.fetch import Fetch
from asyncfetch.client.making import Maker, locate
from asyncfetch.client.sinks import PartialFactory, SinkFactory
from asyncfetch.client.tasks import is_cancelled, wrap_cancelled
from asyncfetch.client.turns import Turns
from asyncfetch.client.window import Window
from asyncfetch.errors import HostUnavailable, InvalidURL
from asyncfetch.result import Request, Result
from asyncfetch.settings import Limits
from asyncfetch.url import redacted

__all__ = ["Batch"]


class Batch:
    """The state of one list; `FetchMany` (`many.py`) is its public face.

    Attributes:
        lane: its queue in the scheduler.
        started: to be called with the host of each turn that is run; see `Window.started`.
        feeder: gives it what its source gives.
        sink: where bodies go, or None for memory.
        partial: finds the beginnings of bodies that an earlier program has kept.
        stopping: nothing new of it is started any more.
        cancelled: what is in flight is given up, too.
        results: what waits for the consumer, each with the size of its body in memory.
    """

    def __init__(
        self,
        turns: Turns,
        limits: Limits,
        sink: SinkFactory | None,
        maker: Maker,
        *,
        on_done: Callable[[Batch], None],
    ) -> None:
        """Prepare a list without entries.

        Args:
            turns: gives its entries their turns.
            limits: how far it is read ahead, and how many results may wait.
            sink: where bodies go, or None for memory.
            maker: makes the fetches of its entries.
            on_done: called once, when no more results can come.
        """
        self._window = Window(turns, limits, restore=self._restore, refuse=self.refuse, on_failure=self.fail)
        self.lane = self._window.lane
        self.started = self._window.started
        self.feeder = Feeder(self, self._window, turns, maker)
        self.sink = sink
        self.partial: PartialFactory | None = None
        self.stopping = False
        self.cancelled = False
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._most_results = limits.buffered
        self._most_bytes = limits.buffered_bytes
        self._maker = maker
        self._on_done = on_done
        self.results: deque[tuple[Result, int]] = deque()
        self._result_bytes = 0
        self._outstanding = 0
        self._source_ended = False
        self._failure: Exception | None = None
        self._done = asyncio.Event()
        self._consumer: asyncio.Future[None] | None = None

    # --- from the source

    def end_source(self) -> None:
        """Take note that the source gives nothing more."""
        self._source_ended = True
        self._notify()

    def expect(self, entries: int) -> None:
        """Take note that so many entries more will have a result, or be given up."""
        self._outstanding += entries

    def _restore(self, request: Request, index: int) -> Fetch | None:
        """Make the fetch of an entry that waited on disk. None if it has ended at once, or with it the list."""
        if self.stopping:
            self.give_up()
            return None
        try:
            return self._maker.make(self.lane, request, index, locate(request), self)
        except InvalidURL as error:  # it could be fetched then, and its owner has changed it
            self.reject(request, index, error)
        except Exception as error:
            self.give_up()
            self.fail(error)
        return None

    def reject(self, request: Request, index: int, error: InvalidURL) -> None:
        """Give the result of an entry that cannot be fetched."""
        error.url = redacted(request.url)
        result = Result(index=index, request=request, error=error, ended=time.time())
        self._turns.stats.ended(None, result)
        self.deliver(result)

    def refuse(self, entries: Sequence[Entry], why: HostUnavailable) -> None:
        """Give the results of entries whose host was given up; each has an error of its own."""
        stats, error_of, now = self._turns.stats, why.of, time.time()
        results = [
            Result(index, request, error=error_of(redacted(request.url)), ended=now)
            for request, index, _ in entries
        ]
        stats.refused(stats.hosts.get(why.host), why.code, len(results))
        self._outstanding -= len(results)
        self.results.extend(zip(results, repeat(0), strict=False))
        self._notify()

    # --- from the workers

    def broke_off(self, error: BaseException) -> bool:
        """Take note that a turn ended with an error that is no result; say whether the worker may go on.

        That is a fault of ours or of the list's sink: the list's consumer gets it. But the end of the worker itself
        is no fault.
        """
        if isinstance(error, asyncio.CancelledError):
            self.give_up()
            if is_cancelled():
                return False
            self.fail(wrap_cancelled(error, "sink"))
        elif isinstance(error, Exception):
            self.give_up()
            self.fail(error)
        return isinstance(error, Exception | asyncio.CancelledError)

    def deliver(self, result: Result) -> None:
        """Put a result where the consumer finds it; hold the list back if too many are there."""
        if result.error is not None:
            _drop_traceback(result.error)
        response, size = result.response, 0
        if response is not None and response.body is not None:
            size = response.num_bytes
            self._result_bytes += size
        self._outstanding -= 1
        self.results.append((result, size))
        self._notify()

    def deliver_unsent(self, result: Result, host: str) -> None:
        """Deliver a result that took no turn at its host, so that nobody has noticed that there is room."""
        self.deliver(result)
        self._loop.call_soon(self._window.started, host)

    def give_up(self) -> None:
        """Count one entry that will have no result, because the list was stopped."""
        self._outstanding -= 1
        self._notify()

    def fail(self, error: Exception) -> None:
        """End the list with an error that is nobody's URL's fault; the consumer gets it after the results."""
        self.keep(error)
        self.stop()

    def keep(self, error: Exception) -> None:
        """Keep the first error for the consumer."""
        self._failure = self._failure or error

    # --- to the consumer

    async def wait(self) -> bool:
        """Wait until there is a result; False if all have been given out.

        Raises:
            RuntimeError: two tasks wait for results at once, or the client was closed.
            Exception: what the source raised, or a sink other than OSError.
        """
        while not self.results:
            if self.is_done:
                failure, self._failure = self._failure, None
                if failure is not None:
                    raise failure
                return False
            if self._consumer is not None and not self._consumer.done():
                raise RuntimeError("another task is waiting for the next result of this list already")
            self._consumer = self._loop.create_future()
            await self._consumer
        return True

    def take(self) -> Result:
        """Take the first result; there is one."""
        result, size = self.results.popleft()
        self._result_bytes -= size
        if self.lane.paused:
            self._make_room()
        return result

    def take_some(self, most: int) -> list[Result]:
        """Take the results that are there: `most` at most for which something was sent, others in any number."""
        results = self.results
        if len(results) <= most or not any(result.attempts for result, _ in results):
            taken = [result for result, _ in results]
            results.clear()
            self._result_bytes = 0
        else:
            taken = []
            while results and most > 0:
                result, size = results.popleft()
                self._result_bytes -= size
                most -= result.attempts > 0
                taken.append(result)
        if self.lane.paused:
            self._make_room()
        return taken

    def _make_room(self) -> None:
        """Let the list, which was held back, go on if hardly any results are left."""
        if len(self.results) <= self._most_results // 2 and self._result_bytes < self._most_bytes:
            self._turns.frontier.resume(self.lane)
            self._turns.pump()
            self._window.wake()

    def _notify(self) -> None:
        """Hold the list back if too many results are there; wake who waits for one, or at last for the end."""
        if len(self.results) >= self._most_results or self._result_bytes >= self._most_bytes:
            self._turns.frontier.pause(self.lane)
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            if not consumer.done():
                consumer.set_result(None)
        if self._outstanding == 0 and self._source_ended and not self._done.is_set():
            self._done.set()
            self._window.close()
            self._on_done(self)

    @property
    def is_done(self) -> bool:
        """Whether no more results can come."""
        return self._source_ended and self._outstanding == 0

    # --- the end before the end

    def abandon(self) -> None:
        """Cancel soon, for whoever iterated has gone without a word.

        This comes from the garbage collector, that is from any thread and from the middle of anything.
        """
        if not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # closed in this very moment
                self._loop.call_soon_threadsafe(self.cancel)

    def stop(self) -> None:
        """Start nothing more; what is queued is given up, what is in flight goes on to its end."""
        if self.stopping:
            return
        self.stopping = True
        self._outstanding -= self._turns.close_lane(self.lane) + self._window.close()
        self.feeder.stop()
        self._notify()

    def cancel(self) -> None:
        """Start nothing more and give up what is in flight; it ends with the next steps of the event loop."""
        self.cancelled = True
        self.stop()
        self._turns.cancel(self)

    async def aclose(self) -> None:
        """Cancel, and wait until everything is given back."""
        self.cancel()
        await self._done.wait()
        self.results.clear()
        self._result_bytes = 0


def _drop_traceback(error: BaseException | None) -> None:
    """Drop what nobody will see: a traceback would keep its frames alive, connections and buffers among them."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
