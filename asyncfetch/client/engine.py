"""One turn of one fetch, over the streams: from its place in the scheduler to a result or to another turn.

The ladder, one concern a rung: `run` and `open` are a turn with and without its body; `_begin` and `_receive` see
that its place is given back; `_answer` judges the response's head; `_send` gets a connection and the head.
What decides is elsewhere: `fetch` and `scheduler.retry`.
"""

from __future__ import annotations

import contextlib
import errno
import math
import time
from dataclasses import dataclass
from functools import partial
from random import Random
from time import monotonic

from asyncfetch.client.fetch import Fetch
from asyncfetch.client.flow import BUFFERED, Flow
from asyncfetch.client.hosts import Hosts
from asyncfetch.client.sinks import DISCARD, Sink, abort, not_saved
from asyncfetch.client.turns import Turns
from asyncfetch.errors import (
    Cancelled,
    ConnectTimeout,
    FetchError,
    HostUnavailable,
    InvalidURL,
    LocalError,
    TotalTimeout,
)
from asyncfetch.result import Response, Result
from asyncfetch.scheduler import (
    ANSWERED,
    CANCELLED,
    Again,
    Asked,
    Outcome,
    find_asked,
    next_step,
    outcome_of_failure,
    outcome_of_status,
)
from asyncfetch.settings import Limits, Redirects, Retry
from asyncfetch.streams.connection import OutOfDescriptors
from asyncfetch.streams.exchange import Exchange, StaleConnection
from asyncfetch.streams.http1 import WISHES, HeadParser
from asyncfetch.streams.pool import Pool
from asyncfetch.streams.request import encode_request
from asyncfetch.trace import Trace

__all__ = ["Engine", "Opened"]

_SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE})
_SHORTAGE_PAUSE = 0.05  # seconds until a turn that found no descriptor is tried again
_A_MOMENT = 1e-3  # seconds; a wait that was asked for, but the host's own back-off says how long it is


@dataclass(slots=True)
class Opened:
    """A fetch whose final head has come; its place is held until the body is done with."""

    fetch: Fetch
    exchange: Exchange
    response: Response
    host: str
    began: float
    outcome: Outcome = ANSWERED


class Engine:
    """Runs turns."""

    def __init__(
        self,
        pool: Pool,
        turns: Turns,
        *,
        limits: Limits,
        redirects: Redirects,
        retry: Retry,
        hosts: Hosts,
        flow: Flow | None,
        trace: Trace | None,
    ) -> None:
        self._pool = pool
        self._turns = turns
        self._limits = limits
        self._most_redirects = redirects.most
        self._retry = retry
        self._hosts = hosts
        self._flow = flow
        self._trace = trace
        self._parser = HeadParser()
        self._random = Random()  # noqa: S311

    async def run(self, fetch: Fetch) -> Result | None:
        """Run one turn whose places are taken, and free them.

        Returns:
            The result, or None if the fetch has been queued for another turn.
        """
        opened = await self._begin(fetch)
        return await self._receive(opened) if isinstance(opened, Opened) else opened

    async def open(self, fetch: Fetch) -> Opened | Result | None:
        """Run one turn as far as the final head; then the places stay taken until `close`, `fail` or `cancel`.

        Returns:
            The open response; or the result if it ended before; or None if it has been queued for another turn.
        """
        opened = await self._begin(fetch)
        if isinstance(opened, Opened):
            try:
                self._accept(opened, self._limits.max_streamed)
            except FetchError as error:
                return self.fail(opened, error)
        return opened

    async def _begin(self, fetch: Fetch) -> Opened | Result | None:
        host, began = fetch.host, monotonic()
        if fetch.timings.queue is None:
            fetch.timings.queue = began - fetch.added
        if not fetch.load:
            return self._refuse(fetch, host, began)
        if not fetch.history:
            fetch.attempts += 1
        try:
            return await self._answer(fetch, host, began)
        except (FetchError, OutOfDescriptors, OSError) as error:
            if _is_shortage(error) or _is_shortage(error.__cause__):
                return self._starved(fetch, host, began, error)
            if not isinstance(error, FetchError):  # not of the network, which is translated: a file of our own
                error = LocalError(f"this machine failed: {error}")
            return self._failed(fetch, host, began, error)
        except BaseException:
            self._turns.release(fetch, host, CANCELLED)
            raise

    async def _receive(self, opened: Opened) -> Result | None:
        """Read the body, into memory or into the sink of the list, and end the turn; as `run`."""
        try:
            await self._read(opened)
        except FetchError as error:
            opened.exchange.discard()
            return self._failed(opened.fetch, opened.host, opened.began, error)
        except BaseException:
            self.cancel(opened)
            raise
        return self.close(opened)

    def close(self, opened: Opened) -> Result:
        """End a turn whose body is complete."""
        opened.exchange.release()
        opened.response.num_bytes = opened.exchange.decoded
        opened.response.wire_bytes = opened.exchange.wire
        return self._end(opened.fetch, opened.host, opened.began, opened.outcome, response=opened.response)

    def fail(self, opened: Opened, error: FetchError) -> Result:
        """End a turn whose body failed while somebody was reading it: it is not tried again."""
        opened.exchange.discard()
        if self._turns.closed:
            error = Cancelled("the client was closed meanwhile")
        outcome = _outcome_of(opened.fetch, error)
        return self._end(opened.fetch, opened.host, opened.began, outcome, error=error)

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
            status, asked, outcome = response.status_code, None, ANSWERED
            if status >= 400 or WISHES in exchange.head.framing:
                asked = find_asked(response.raw_headers, status, time.time())
                outcome = outcome_of_status(status, *(asked or (None, "")))
            url = fetch.redirected(response, self._most_redirects)
            again = self._retries(fetch, host, status, asked) if status >= 400 else None
            if url is None and again is None:
                response.history = fetch.history
                return Opened(fetch, exchange, response, host, began, outcome)
        except BaseException:
            exchange.discard()
            raise
        await exchange.drain()
        if again is not None:
            self._try_again(fetch, host, again, f"http.{status // 100}xx", outcome)
            return None
        assert url is not None, "what is not retried is a redirect here"
        fetch.timings.total = monotonic() - began
        fetch.spent += fetch.timings.total
        fetch.follow_to(url, response)
        self._dress(fetch, host)
        self._turns.release(fetch, host, outcome)
        self._turns.again(fetch, self._wait_to_follow(fetch, host, asked))
        return None

    def _wait_to_follow(self, fetch: Fetch, host: str, asked: Asked | None) -> float:
        """Say how long a redirect has to wait before it is followed (RFC 9110 section 10.2.3).

        On the host that asked, the whole host waits, and the redirect with it. Over its budget it does not wait.
        """
        if asked is None or fetch.host == host:
            return 0.0
        wait = min(asked.seconds, self._retry.max_wait, max(0.0, self._retry.wait_budget - fetch.waited))
        fetch.waited += wait
        return wait

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
                fetch.was_silent = exchange.was_silent
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
        if not connection.served:
            timings = fetch.timings
            self._turns.stats.connections += 1
            timings.dns, timings.connect = connection.dns_time, connection.connect_time
            timings.tls = connection.tls_time
        return Exchange(self._pool, connection)

    # --- the body

    def _accept(self, opened: Opened, usual: int | None) -> None:
        """Prepare to read the body, of the usual size at most or what its request says; as `Exchange.accept`."""
        fetch = opened.fetch
        max_body = usual if fetch.max_body is None else fetch.max_body
        if self._flow is None:
            opened.exchange.accept(max_body, partial(self._turns.stats.came, fetch.stats))
        else:
            opened.exchange.accept(max_body, self._flow.counter(fetch.stats, opened.host))
            opened.exchange.connection.reader.hold_back(BUFFERED)

    async def _read(self, opened: Opened) -> None:
        fetch, response = opened.fetch, opened.response
        sink = self._make_sink(fetch, response)
        if sink is None:
            self._accept(opened, self._limits.max_body)
            response.content = await opened.exchange.read_all()
        else:
            await self._pour(opened, sink)
            if sink is not DISCARD:
                fetch.sink = sink

    def _make_sink(self, fetch: Fetch, response: Response) -> Sink | None:
        """Ask the list where the body goes, unless nobody wants it; None is into memory."""
        if fetch.batch is None or fetch.batch.sink is None:
            return None
        if response.is_error:
            return DISCARD
        try:
            return fetch.batch.sink(fetch.request, response)
        except OSError as error:
            raise not_saved(error) from error

    async def _pour(self, opened: Opened, sink: Sink) -> None:
        exchange = opened.exchange
        try:
            self._accept(opened, self._limits.max_streamed)
            while not exchange.complete:
                for piece in await exchange.read():
                    await sink.write(piece)
            await sink.finish()
        except OSError as error:
            await abort(sink)
            raise not_saved(error) from error
        except BaseException:
            await abort(sink)
            raise

    # --- what comes next

    def _retries(self, fetch: Fetch, host: str, status: int, asked: Asked | None) -> Again | None:
        """Decide whether a status of 400 or above is tried again.

        A 429 without a wish is one all the same where the host has answered others: then it only gets too many.
        """
        pause = None if asked is None else asked.seconds
        if status == 429 and pause is None and self._turns.frontier.hosts[host].only_throttles:
            pause = _A_MOMENT
        step = next_step(fetch.attempts, "", status, pause, fetch.waited, self._retry, self._random)
        return step if isinstance(step, Again) else None

    def _failed(
        self, fetch: Fetch, host: str, began: float, error: FetchError, *, as_code: str = ""
    ) -> Result | None:
        """Decide whether an error is tried again, as one with the code `as_code` would be; the result if not."""
        code, outcome = as_code or error.code, _outcome_of(fetch, error)
        step = next_step(fetch.attempts, code, None, None, fetch.waited, self._retry, self._random)
        if isinstance(step, Again):
            self._try_again(fetch, host, step, error.code, outcome)
            return None
        return self._end(fetch, host, began, outcome, error=error)

    def _try_again(self, fetch: Fetch, host: str, again: Again, code: str, outcome: Outcome) -> None:
        """Queue another attempt; one that the host asked to wait for is none, and the whole host waits with it."""
        self._turns.release(fetch, host, outcome)
        if again.uses_attempt:
            self._turns.stats.retried(fetch.stats, code)
            delay = again.delay
        else:
            fetch.attempts -= 1
            fetch.waited += again.charge
            delay = 0.0
        fetch.start_over()
        with contextlib.suppress(InvalidURL):  # it was sent there before; then it is sent as it is
            self._dress(fetch, host)
        self._turns.again(fetch, delay)

    def _dress(self, fetch: Fetch, host: str) -> None:
        """Let the settings of another host hold, if that is where the next turn goes.

        Raises:
            InvalidURL: they have a header that cannot be sent.
        """
        if self._hosts.are_special and fetch.host != host:
            self._hosts.dress(fetch)
            self._pool.watch(fetch.timeouts)

    def _starved(self, fetch: Fetch, host: str, began: float, error: Exception) -> Result | None:
        """No descriptor for another connection: make do with fewer, and let this one wait for its turn again."""
        self._pool.make_room()
        if not self._pool.open and self._turns.frontier.in_flight <= 1:  # it is not we who have them
            shortage = LocalError(f"no file descriptor left to connect: {error}")
            return self._failed(fetch, host, began, shortage, as_code="connect.failed")
        self._turns.make_do()
        self._turns.release(fetch, host, CANCELLED)
        if not fetch.history:
            fetch.attempts -= 1
        self._turns.again(fetch, _SHORTAGE_PAUSE)
        return None

    def _refuse(self, fetch: Fetch, host: str, began: float) -> Result:
        """End a fetch whose host was given up; nothing is sent."""
        error = HostUnavailable(self._turns.frontier.hosts[host].why_given_up, host=host)
        return self._end(fetch, host, began, CANCELLED, error=error)

    def _end(
        self,
        fetch: Fetch,
        host: str,
        began: float,
        outcome: Outcome,
        *,
        response: Response | None = None,
        error: FetchError | None = None,
    ) -> Result:
        fetch.timings.total = fetch.spent + monotonic() - began
        self._turns.release(fetch, host, outcome)
        result = fetch.make_result(response, error)
        self._turns.stats.ended(fetch.stats, result)
        return result


def _outcome_of(fetch: Fetch, error: FetchError) -> Outcome:
    return outcome_of_failure(error.code, was_silent=fetch.was_silent)


def _is_shortage(error: BaseException | None) -> bool:
    """Whether a descriptor was missing: for a connection, for the look-up of its name, or for a file of our own."""
    return isinstance(error, OutOfDescriptors) or (isinstance(error, OSError) and error.errno in _SHORTAGE)
