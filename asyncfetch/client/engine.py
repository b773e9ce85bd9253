"""One turn of one fetch, over the streams: from its place in the scheduler to a result or to another turn.

The ladder, one concern a rung: `run` and `open` are a turn with and without its body; `_begin` sees that its place
is given back if there is no answer; `_send` gets a connection and the head; `_judge` follows or retries what asks
for it. What decides is elsewhere: `fetch` and `scheduler.retry`; bodies are read in `receiving`.

A rung that awaits costs something even if it does not wait: the plain case, a small answer, has few of them.
"""

from __future__ import annotations

import contextlib
import math
import time
from random import Random
from time import monotonic

from asyncfetch.client.fetch import Fetch
from asyncfetch.client.flow import Flow
from asyncfetch.client.hosts import Hosts
from asyncfetch.client.receiving import Opened, Receiver
from asyncfetch.client.sinks import Partial, PartialFactory, abort
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
from asyncfetch.streams.connection import Connection, OutOfDescriptors, is_shortage
from asyncfetch.streams.exchange import Exchange, StaleConnection
from asyncfetch.streams.heads import WISHES, HeadParser
from asyncfetch.streams.pool import Pool

__all__ = ["Engine", "Opened"]

_SHORTAGE_PAUSE = 0.05  # seconds until a turn that found no descriptor is tried again
_A_MOMENT = 1e-3  # seconds; a wait that was asked for, but the host's own back-off says how long it is


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
    ) -> None:
        self._pool = pool
        self._turns = turns
        self._most_redirects = redirects.most
        self._retry = retry
        self._hosts = hosts
        self._parser = HeadParser()
        self._receiver = Receiver(turns.stats, limits, flow)
        self._random = Random()  # noqa: S311

    async def run(self, fetch: Fetch) -> Result | None:
        """Run one turn whose places are taken, and free them.

        Returns:
            The result, or None if the fetch has been queued for another turn.
        """
        opened = await self._begin(fetch)
        if not isinstance(opened, Opened):
            return opened
        try:
            if not self._receiver.take(opened):
                await self._receiver.read(opened)
        except FetchError as error:
            opened.exchange.discard()
            if is_shortage(error.__cause__):
                return self._starved(fetch, opened.host, error)
            return self._failed(fetch, opened.host, error)
        except BaseException:
            self.cancel(opened)
            raise
        return self.close(opened)

    async def open(self, fetch: Fetch) -> Opened | Result | None:
        """Run one turn as far as the final head; then the places stay taken until `close`, `fail` or `cancel`.

        Returns:
            The open response; or the result if it ended before; or None if it has been queued for another turn.
        """
        opened = await self._begin(fetch)
        if isinstance(opened, Opened):
            try:
                self._receiver.accept(opened)
            except FetchError as error:
                return self.fail(opened, error)
        return opened

    async def _begin(self, fetch: Fetch) -> Opened | Result | None:
        host = fetch.host
        if fetch.timings.queue is None:
            fetch.timings.queue = fetch.began - fetch.added
            if fetch.batch is not None and fetch.batch.partial is not None:
                fetch.partial = self._find_beginning(fetch, fetch.batch.partial)
        if not fetch.load:
            return self._refuse(fetch, host)
        if not fetch.history:
            fetch.attempts += 1
        connection: Connection | None = None
        try:
            request, method, timeouts = fetch.encode_request(), fetch.request.method, fetch.timeouts
            total_at = math.inf if timeouts.total is None else fetch.began + timeouts.total - fetch.spent
            connection = self._pool.take_idle(fetch.url.origin) or await self._connect(fetch, total_at)
            exchange = None
            while exchange is None:
                fetch.ip = connection.ip
                try:
                    exchange = await Exchange.begin(
                        self._pool, connection, self._parser, request, method, timeouts, total_at
                    )
                except StaleConnection:
                    connection = None
                    connection = await self._connect(fetch, total_at)
            opened = Opened(fetch, exchange, fetch.make_response(exchange), host)
            head = exchange.head
            is_plain = head.status < 300 and fetch.partial is None and WISHES not in head.noted
            return opened if is_plain else await self._judge(opened)
        except BaseException as error:
            fetch.was_silent = connection is not None and connection.was_silent
            return self._broke_off(fetch, host, error)

    def _broke_off(self, fetch: Fetch, host: str, error: BaseException) -> Result | None:
        """End a turn that has given no answer. What is no failure of network or machine is raised again."""
        if not isinstance(error, FetchError | OutOfDescriptors | OSError):
            self._turns.release(fetch, host, CANCELLED)
            raise error
        if is_shortage(error) or is_shortage(error.__cause__):
            return self._starved(fetch, host, error)
        if not isinstance(error, FetchError):  # not of the network, which is translated: a file of our own
            error = LocalError(f"this machine failed: {error}")
        return self._failed(fetch, host, error)

    def _find_beginning(self, fetch: Fetch, find: PartialFactory) -> Partial | None:
        """Ask the list for the beginning of a body; what that raises is the list's, and frees the turn's places."""
        try:
            return find(fetch.request)
        except BaseException:
            self._turns.release(fetch, fetch.host, CANCELLED)
            raise

    def close(self, opened: Opened) -> Result:
        """End a turn whose body is complete."""
        opened.exchange.release()
        return self._end(opened.fetch, opened.host, opened.outcome, opened.response)

    def fail(self, opened: Opened, error: FetchError) -> Result:
        """End a turn whose body failed while somebody was reading it: it is not tried again."""
        opened.exchange.discard()
        if self._turns.closed:
            error = Cancelled("the client was closed meanwhile")
        outcome = _outcome_of(opened.fetch, error)
        return self._end(opened.fetch, opened.host, outcome, error=error)

    def cancel(self, opened: Opened) -> None:
        """End a turn whose body nobody wants any more."""
        opened.exchange.discard()
        self._turns.release(opened.fetch, opened.host, CANCELLED)

    # --- the head

    async def _judge(self, opened: Opened) -> Opened | None:
        """Follow a response or retry it, if that is what its head means; otherwise give it back."""
        fetch, exchange, response = opened.fetch, opened.exchange, opened.response
        try:
            if fetch.partial is not None and fetch.has_to_begin_anew(exchange):
                await self._begin_anew(opened, fetch.partial)
                return None
            status, asked = response.status_code, None
            if WISHES in exchange.head.noted:
                asked = find_asked(response.raw_headers, status, time.time())
            opened.outcome = outcome_of_status(status, *(asked or (None, "")))
            url = fetch.redirected(response, self._most_redirects)
            again = self._retries(fetch, opened.host, status, asked) if status >= 400 else None
        except BaseException:
            exchange.discard()
            raise
        if url is None and again is None:
            return opened
        await exchange.drain()
        if again is not None:
            self._try_again(fetch, opened.host, again, f"http.{status // 100}xx", opened.outcome)
            return None
        assert url is not None, "what is not retried is a redirect here"
        fetch.timings.total = monotonic() - fetch.began
        fetch.spent += fetch.timings.total
        fetch.follow_to(url, response)
        self._dress(fetch, opened.host)
        self._turns.release(fetch, opened.host, opened.outcome)
        self._turns.again(fetch, self._wait_to_follow(fetch, opened.host, asked))
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

    async def _begin_anew(self, opened: Opened, partial: Partial) -> None:
        """Forget the beginning of a body whose rest is not to be had, and ask for it all; that uses no attempt."""
        fetch = opened.fetch
        fetch.partial = None
        await abort(partial.sink)
        await opened.exchange.drain()
        self._turns.release(fetch, opened.host, ANSWERED)
        fetch.attempts -= 1
        self._start_over(fetch, opened.host)
        self._turns.again(fetch, 0.0)

    async def _connect(self, fetch: Fetch, total_at: float) -> Connection:
        """Open a connection within the connect timeout and the total."""
        if fetch.connect_error is not None:
            known, fetch.connect_error = fetch.connect_error, None
            raise known
        most = fetch.timeouts.connect
        left = total_at - monotonic()
        try:
            connection = await self._pool.acquire(fetch.url.origin, max(0.0, min(most, left)), fresh=True)
        except ConnectTimeout as error:
            if left < most:
                raise TotalTimeout(f"not finished within {fetch.timeouts.total:g} s") from error
            raise
        self._turns.stats.connections += 1
        timings = fetch.timings
        timings.dns, timings.connect = fetch.naming + (connection.dns_time or 0.0), connection.connect_time
        timings.tls = connection.tls_time
        fetch.naming = 0.0
        return connection

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

    def _failed(self, fetch: Fetch, host: str, error: FetchError, *, as_code: str = "") -> Result | None:
        """Decide whether an error is tried again, as one with the code `as_code` would be; the result if not."""
        code, outcome = as_code or error.code, _outcome_of(fetch, error)
        step = next_step(fetch.attempts, code, None, None, fetch.waited, self._retry, self._random)
        if isinstance(step, Again):
            self._try_again(fetch, host, step, error.code, outcome)
            return None
        return self._end(fetch, host, outcome, error=error)

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
        self._start_over(fetch, host)
        self._turns.again(fetch, delay)

    def _start_over(self, fetch: Fetch, host: str) -> None:
        fetch.start_over()
        with contextlib.suppress(InvalidURL):  # it was sent there before; then it is sent as it is
            self._dress(fetch, host)

    def _dress(self, fetch: Fetch, host: str) -> None:
        """Let the settings of another host hold, if that is where the next turn goes.

        Raises:
            InvalidURL: they have a header that cannot be sent.
        """
        if self._hosts.are_special and fetch.host != host:
            self._hosts.dress(fetch)
            self._pool.watch(fetch.timeouts)

    def _starved(self, fetch: Fetch, host: str, error: Exception) -> Result | None:
        """No descriptor for a connection or a file: make do with fewer, and let this one wait for another turn."""
        self._pool.make_room()
        if not self._pool.open and self._turns.frontier.in_flight <= 1:  # it is not we who have them
            shortage = LocalError(f"no file descriptor left: {error}")
            return self._failed(fetch, host, shortage, as_code="connect.failed")
        self._turns.make_do()
        self._turns.release(fetch, host, CANCELLED)
        if not fetch.history:
            fetch.attempts -= 1
        self._turns.again(fetch, _SHORTAGE_PAUSE)
        return None

    def _refuse(self, fetch: Fetch, host: str) -> Result:
        """End a fetch whose host was given up; nothing is sent."""
        error = HostUnavailable(self._turns.frontier.hosts[host].why_given_up, host=host)
        return self._end(fetch, host, CANCELLED, error=error)

    def _end(
        self,
        fetch: Fetch,
        host: str,
        outcome: Outcome,
        response: Response | None = None,
        error: FetchError | None = None,
    ) -> Result:
        now = monotonic()
        fetch.timings.total = fetch.spent + now - fetch.began
        self._turns.end(fetch, host, outcome, now)
        result = fetch.make_result(response, error)
        if not fetch.for_robots:
            self._turns.stats.ended(fetch.stats, result)
        return result


def _outcome_of(fetch: Fetch, error: FetchError) -> Outcome:
    return outcome_of_failure(error.code, was_silent=fetch.was_silent)
