"""One turn of one fetch, over the streams: from its place in the scheduler to a result or to another turn.

The ladder, one concern a rung: `run` and `open` hold the place and see that it is given back; `_answer` judges the
response's head; `_send` gets a connection and the head. What decides is elsewhere: `fetch` and `scheduler.retry`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from time import monotonic
from typing import Protocol

from asyncfetch.client.fetch import Fetch
from asyncfetch.client.turns import Turns
from asyncfetch.errors import ConnectTimeout, FetchError, LocalError, TotalTimeout
from asyncfetch.result import Request, Response, Result
from asyncfetch.scheduler import ANSWERED, CANCELLED, FAILED, Again, Outcome, next_step, parse_retry_after
from asyncfetch.settings import Redirects, Retry
from asyncfetch.streams.connection import OutOfDescriptors
from asyncfetch.streams.exchange import Exchange, StaleConnection
from asyncfetch.streams.http1 import HeadParser, encode_request
from asyncfetch.streams.pool import Pool
from asyncfetch.trace import Trace

__all__ = ["Engine", "Opened", "Sink", "SinkFactory"]

_SHORTAGE_PAUSE = 0.05  # seconds until a turn that found no descriptor is tried again


class Sink(Protocol):
    """Where a body goes instead of into memory."""

    async def write(self, chunk: bytes) -> None:
        """Take the next decoded bytes; the server is slowed down while this waits."""
        ...

    async def finish(self) -> None:
        """The body is complete and whole."""
        ...

    async def abort(self) -> None:
        """The body failed, was cancelled, or will be fetched again: forget all of it."""
        ...


SinkFactory = Callable[[Request, Response], Sink | None]


@dataclass(slots=True)
class Opened:
    """A fetch whose final head has come; its place is held until the body is done with."""

    fetch: Fetch
    exchange: Exchange
    response: Response
    host: str
    began: float


class _Discard:
    """Takes a body that nobody wants to keep."""

    async def write(self, chunk: bytes) -> None:
        pass

    async def finish(self) -> None:
        pass

    async def abort(self) -> None:
        pass


_DISCARD = _Discard()


class Engine:
    """Runs turns."""

    def __init__(self, pool: Pool, turns: Turns, redirects: Redirects, retry: Retry, trace: Trace | None) -> None:
        self._pool = pool
        self._turns = turns
        self._most_redirects = redirects.most
        self._retry = retry
        self._trace = trace
        self._parser = HeadParser()
        self._loop = asyncio.get_running_loop()
        self._random = Random()  # noqa: S311

    async def run(self, fetch: Fetch) -> Result | None:
        """Run one turn whose places are taken, and free them.

        Returns:
            The result, or None if the fetch has been queued for another turn.
        """
        opened = await self.open(fetch)
        if not isinstance(opened, Opened):
            return opened
        return await self.receive(opened)

    async def open(self, fetch: Fetch) -> Opened | Result | None:
        """Run one turn as far as the final head; then the places stay taken until `receive` or `close`.

        Returns:
            The open response; or the result if it ended before; or None if it has been queued for another turn.
        """
        host, began = fetch.host, monotonic()
        if fetch.timings.queue is None:
            fetch.timings.queue = began - fetch.added
        if not fetch.history:
            fetch.attempts += 1
        try:
            opened = await self._answer(fetch, host, began)
        except FetchError as error:
            return self._failed(fetch, host, began, error)
        except OutOfDescriptors as error:
            return self._starved(fetch, host, began, error)
        except BaseException:
            self._turns.release(fetch, host, CANCELLED)
            raise
        return opened

    async def receive(self, opened: Opened) -> Result | None:
        """Read the body, into memory or into the sink of the list, and end the turn; as `run`."""
        fetch, exchange = opened.fetch, opened.exchange
        try:
            await self._read(fetch, exchange, opened.response)
        except FetchError as error:
            exchange.discard()
            self._account(opened)
            return self._failed(fetch, opened.host, opened.began, error)
        except BaseException:
            self.cancel(opened)
            raise
        return self.close(opened)

    def close(self, opened: Opened) -> Result:
        """End a turn whose body is complete."""
        opened.exchange.release()
        self._account(opened)
        return self._end(opened.fetch, opened.host, opened.began, response=opened.response)

    def fail(self, opened: Opened, error: FetchError) -> Result:
        """End a turn whose body failed while somebody was reading it: it is not tried again."""
        opened.exchange.discard()
        self._account(opened)
        return self._end(opened.fetch, opened.host, opened.began, error=error)

    def cancel(self, opened: Opened) -> None:
        """End a turn whose body nobody wants any more."""
        opened.exchange.discard()
        self._turns.release(opened.fetch, opened.host, CANCELLED)

    # --- the head

    async def _answer(self, fetch: Fetch, host: str, began: float) -> Opened | None:
        """Get the head, and follow it or retry it if that is what it means."""
        exchange = await self._send(fetch, began)
        try:
            response = fetch.make_response(exchange)
            url = fetch.redirected(response.status_code, response.field(b"location"), self._most_redirects)
            again = None if url is not None else self._retries(fetch, response)
            if url is None and again is None:
                exchange.accept(fetch.max_body, partial(self._turns.stats.came, fetch.stats))
                return Opened(fetch, exchange, response, host, began)
        except BaseException:
            exchange.discard()
            raise
        await exchange.drain()
        if url is not None:
            fetch.spent += monotonic() - began
            self._turns.release(fetch, host, ANSWERED)
            fetch.follow_to(url, response)
            self._turns.again(fetch, 0.0)
        elif again is not None:
            self._try_again(fetch, host, again, f"http.{response.status_code // 100}xx")
        return None

    async def _send(self, fetch: Fetch, began: float) -> Exchange:
        """Send the request and get the head; on a connection that had died while idle, once more on a new one."""
        timeouts, url = fetch.timeouts, fetch.url
        total_at = math.inf if timeouts.total is None else began + timeouts.total - fetch.spent
        request = encode_request(fetch.request.method, url.target, url.origin.authority, fetch.request_fields())
        fresh = False
        while True:
            exchange = await self._connect(fetch, total_at, fresh=fresh)
            try:
                if self._trace is not None:
                    self._trace.sent(request)
                await exchange.begin(
                    request, fetch.request.method, self._parser, timeouts=timeouts, total_at=total_at
                )
            except StaleConnection:
                exchange.discard()
                fresh = True
                continue
            except BaseException:
                exchange.discard()
                raise
            fetch.timings.ttfb = exchange.ttfb
            return exchange

    async def _connect(self, fetch: Fetch, total_at: float, *, fresh: bool) -> Exchange:
        """Get a connection within the connect timeout and the total."""
        most = fetch.timeouts.connect
        left = total_at - monotonic()
        try:
            connection = await self._pool.acquire(fetch.url.origin, max(0.0, min(most, left)), fresh=fresh)
        except ConnectTimeout as error:
            if left < most:
                raise TotalTimeout(f"not finished within {fetch.timeouts.total:g} s") from error
            raise
        fetch.ip = connection.ip
        timings = fetch.timings
        if connection.served:
            timings.dns = timings.connect = timings.tls = None
        else:
            self._turns.stats.connections += 1
            timings.dns, timings.connect = connection.dns_time, connection.connect_time
            timings.tls = connection.tls_time
        return Exchange(self._pool, connection)

    # --- the body

    async def _read(self, fetch: Fetch, exchange: Exchange, response: Response) -> None:
        factory = fetch.batch.sink if fetch.batch is not None else None
        if factory is None:
            response.content = await exchange.read_all()
        else:
            sink = _DISCARD if response.is_error else factory(fetch.request, response)
            if sink is None:
                response.content = await exchange.read_all()
            else:
                await self._pour(fetch, exchange, sink)

    async def _pour(self, fetch: Fetch, exchange: Exchange, sink: Sink) -> None:
        fetch.sink = sink
        try:
            while not exchange.complete:
                for piece in await exchange.read():
                    await sink.write(piece)
            await sink.finish()
        except OSError as error:
            await sink.abort()
            raise LocalError(f"the body could not be saved: {error}") from error
        except BaseException:
            fetch.sink = None
            await sink.abort()
            raise

    def _account(self, opened: Opened) -> None:
        """Write down the sizes."""
        opened.response.num_bytes = opened.exchange.decoded
        opened.response.wire_bytes = opened.exchange.wire

    # --- what comes next

    def _retries(self, fetch: Fetch, response: Response) -> Again | None:
        """Decide whether a status is tried again."""
        if response.status_code < 400:
            return None
        field = response.field(b"retry-after")
        pause = None if field is None else parse_retry_after(field, time.time())
        step = next_step(fetch.attempts, "", response.status_code, pause, fetch.waited, self._retry, self._random)
        return step if isinstance(step, Again) else None

    def _failed(self, fetch: Fetch, host: str, began: float, error: FetchError) -> Result | None:
        """Decide whether an error is tried again; the result if not."""
        step = next_step(fetch.attempts, error.code, None, None, fetch.waited, self._retry, self._random)
        if isinstance(step, Again):
            self._try_again(fetch, host, step, error.code)
            return None
        return self._end(fetch, host, began, error=error)

    def _try_again(self, fetch: Fetch, host: str, again: Again, code: str) -> None:
        """Queue another attempt; one that the host asked to wait for is none, and the whole host waits with it."""
        stats = self._turns.stats
        if again.uses_attempt:
            stats.retried(fetch.stats, code)
            self._turns.release(fetch, host, FAILED if not code.startswith("http.") else ANSWERED)
            delay = again.delay
        else:
            self._turns.release(fetch, host, Outcome("throttled", again.delay))
            fetch.attempts -= 1
            fetch.waited += again.charge
            delay = 0.0
        fetch.start_over()
        self._turns.again(fetch, delay)

    def _starved(self, fetch: Fetch, host: str, began: float, error: OutOfDescriptors) -> Result | None:
        """No descriptor for another connection: make do with fewer, and let this one wait for its turn again."""
        frontier = self._turns.frontier
        alone = frontier.in_flight <= 1 and not self._pool.drop_idle()
        if alone:
            return self._end(fetch, host, began, error=LocalError(f"no file descriptor left to connect: {error}"))
        self._pool.drop_idle()
        frontier.total = max(1, min(frontier.total, frontier.in_flight - 1))
        self._turns.release(fetch, host, CANCELLED)
        if not fetch.history:
            fetch.attempts -= 1
        self._turns.again(fetch, _SHORTAGE_PAUSE)
        return None

    def _end(
        self,
        fetch: Fetch,
        host: str,
        began: float,
        *,
        response: Response | None = None,
        error: FetchError | None = None,
    ) -> Result:
        fetch.timings.total = fetch.spent + monotonic() - began
        self._turns.release(fetch, host, ANSWERED if error is None else FAILED)
        result = fetch.make_result(response, error)
        self._turns.stats.ended(fetch.stats, result)
        return result
