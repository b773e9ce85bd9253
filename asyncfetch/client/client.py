"""The public face of the engine: one client for a whole program, with its limits, connections and statistics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import monotonic
from types import TracebackType
from typing import Self

import anyio

from asyncfetch.client.batch import Batch, FetchMany, Source
from asyncfetch.client.engine import Engine, Opened, SinkFactory
from asyncfetch.client.fetch import Fetch, FieldBlocks, merge_fields
from asyncfetch.client.streamed import StreamedBody
from asyncfetch.client.turns import Turns
from asyncfetch.errors import InvalidURL
from asyncfetch.result import HeaderTypes, Method, Request, Response, Result
from asyncfetch.scheduler import Lane
from asyncfetch.settings import Limits, Network, Redirects, Retry, Timeouts, TLSSettings
from asyncfetch.stats import Stats
from asyncfetch.streams.connection import Dialler
from asyncfetch.streams.decoding import ACCEPT_ENCODING
from asyncfetch.streams.guard import Guard, allow_all
from asyncfetch.streams.pool import Pool
from asyncfetch.streams.resolver import Resolver
from asyncfetch.streams.tls import LazyContext, check_files
from asyncfetch.trace import Trace
from asyncfetch.url import Url, redacted
from asyncfetch.version import __version__

__all__ = ["Client"]

SENSITIVE_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})


DEFAULT_HEADERS = [
    ("User-Agent", f"asyncfetch/{__version__}"),
    ("Accept", "*/*"),
    ("Accept-Encoding", ACCEPT_ENCODING.decode()),
]


class Client:
    """Fetches URLs, one or many, under limits that hold for everything it does.

    Use it as `async with`: its tasks, connections and threads live as long as the block. One client serves a whole
    program; it belongs to one event loop. `get`, `stream` and `fetch_many` share its limits, so that a service that
    fetches on behalf of its users is polite as a whole.

    Attributes:
        stats: what it has done so far, in total and per host.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        redirects: Redirects | None = None,
        tls: TLSSettings | None = None,
        network: Network | None = None,
        headers: HeaderTypes | None = None,
        guard: Guard | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Prepare a client; nothing is opened before `async with`.

        Args:
            limits: how much at once, and how much in memory.
            timeouts: of each phase, in seconds.
            retry: how often and when to try again.
            redirects: whether and how far to follow.
            tls: whom to trust, and the client's own certificate.
            network: name resolution and address families.
            headers: fields for every request; None as a value removes a default.
            guard: says which addresses may not be dialled; none are blocked by default.
            trace: sees what happens on the wire.

        Raises:
            ValueError: a header cannot be sent, or a TLS file cannot be used.
        """
        self._limits = limits or Limits()
        self._timeouts = timeouts or Timeouts()
        self._retry = retry or Retry()
        self._redirects = redirects or Redirects()
        self._tls = LazyContext(tls or TLSSettings())
        check_files(tls or TLSSettings())
        self._network = network or Network()
        self._guard = guard or allow_all
        self._trace = trace
        self._blocks = FieldBlocks(merge_fields(DEFAULT_HEADERS, headers), SENSITIVE_HEADERS)
        self._batches: set[Batch] = set()
        self._supervisor: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._is_open = False
        self.stats = Stats()

    # --- opening and closing

    async def __aenter__(self) -> Self:
        if self._supervisor is not None:
            raise RuntimeError("a Client can be entered once only; make a new one")
        self._loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = self._loop.create_future()
        self._supervisor = self._loop.create_task(self._supervise(ready), name="asyncfetch-client")
        await ready
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give up what is under way, and wait until every task, connection and thread is given back."""
        self._is_open = False
        self._closing.set()
        if self._supervisor is not None:
            await self._supervisor

    async def _supervise(self, ready: asyncio.Future[None]) -> None:
        """Own the task group: entered and left by one task, whichever tasks enter and leave the client."""
        resolver = Resolver(self._network)
        dialler = Dialler(resolver, self._guard, self._tls, stagger=self._network.stagger, trace=self._trace)
        pool = Pool(dialler, self._limits, self._trace)
        pool.watch(self._timeouts)
        try:
            async with anyio.create_task_group() as group:
                self._turns = Turns(self._limits, self._retry, self.stats, group)
                self._pool = pool
                self._engine = Engine(pool, self._turns, self._redirects, self._retry, self._trace)
                self._turns.start(self._run_for_batch)
                self._group = group
                self._is_open = True
                ready.set_result(None)
                await self._closing.wait()
                self._turns.close()
                for batch in list(self._batches):
                    batch.fail(RuntimeError("the client was closed while the list was fetched"))
                group.cancel_scope.cancel()
        finally:
            self._is_open = False
            resolver.close()
            with anyio.CancelScope(shield=True):
                await pool.aclose()

    def _check_open(self) -> None:
        if not self._is_open:
            raise RuntimeError("the Client is not open; use it inside `async with Client() as client:`")

    # --- one URL

    async def get(
        self,
        url: str | Request,
        *,
        method: Method = "GET",
        headers: HeaderTypes | None = None,
        timeouts: Timeouts | None = None,
        follow_redirects: bool | None = None,
        max_body: int | None = None,
    ) -> Response:
        """Fetch one URL and return its response with the body in memory, whatever its status.

        Args:
            url: the URL, or a Request with its own settings; then the other arguments are not used.
            method: `GET` or `HEAD`.
            headers: fields over the client's; None as a value removes one.
            timeouts: instead of the client's, in seconds.
            follow_redirects: instead of the client's setting.
            max_body: decoded bytes allowed, instead of `Limits.max_body`.

        Raises:
            FetchError: there is no complete response; see `asyncfetch.errors` for each kind.
            RuntimeError: the client is not open.
        """
        request = _as_request(url, method, headers, timeouts, follow_redirects, max_body)
        fetch = self._begin_single(request)
        result: Result | None = None
        while result is None:
            await self._turns.wait(fetch)
            result = await self._engine.run(fetch)
        return _response_of(result)

    @asynccontextmanager
    async def stream(
        self,
        url: str | Request,
        *,
        method: Method = "GET",
        headers: HeaderTypes | None = None,
        timeouts: Timeouts | None = None,
        follow_redirects: bool | None = None,
        max_body: int | None = None,
    ) -> AsyncGenerator[Response]:
        """Fetch one URL and give its response as soon as its head is there; the body is read by the caller.

        The arguments are those of `get`, but without `max_body` the body may be of any length. The request holds
        its places until the block is left; leaving before the end of the body closes the connection.

        Raises:
            FetchError: no response, or, while the body is read, a body that is not whole.
            RuntimeError: the client is not open.
        """
        request = _as_request(url, method, headers, timeouts, follow_redirects, max_body)
        fetch = self._begin_single(request)
        fetch.max_body = request.max_body
        opened: Opened | Result | None = None
        while opened is None:
            await self._turns.wait(fetch)
            opened = await self._engine.open(fetch)
        if isinstance(opened, Result):
            yield _response_of(opened)
            return
        streamed = StreamedBody(self._engine, opened)
        opened.response.stream = streamed
        try:
            yield opened.response
        finally:
            streamed.close()
            self._turns.pump()

    def _begin_single(self, request: Request) -> Fetch:
        self._check_open()
        try:
            fetch = self._make_fetch(self._turns.single, request, 1)
        except InvalidURL as error:
            error.url = redacted(request.url)
            raise
        fetch.waiter = self._loop.create_future()
        self._turns.add(fetch)
        self._turns.pump()
        return fetch

    # --- many URLs

    def fetch_many(self, urls: Source, *, sink: SinkFactory | None = None) -> FetchMany:
        """Fetch many URLs; iterate over what is returned to get a `Result` for each, as they end.

        Args:
            urls: strings or Requests, from any iterable, sync or async; read lazily, a window ahead. A sync one
                must not block.
            sink: called with request and response when the head of a response below 400 has come; returns where
                the body goes, or None to keep it in memory.

        Raises:
            RuntimeError: the client is not open.
        """
        self._check_open()
        return FetchMany(lambda: self._begin_batch(urls, sink))

    def _begin_batch(self, urls: Source, sink: SinkFactory | None) -> Batch:
        self._check_open()
        batch = Batch(self._turns, self._limits, self._make_for_batch, sink)
        self._batches.add(batch)
        self._group.start_soon(self._feed, batch, urls)
        return batch

    async def _feed(self, batch: Batch, urls: Source) -> None:
        await batch.feed(urls)

    async def _run_for_batch(self, fetch: Fetch) -> None:
        """Run one turn of a list's fetch in a worker."""
        batch = fetch.batch
        assert batch is not None, "workers run turns of lists only"
        batch.started(fetch)
        try:
            result = await self._engine.run(fetch)
        except asyncio.CancelledError:
            batch.give_up()
            raise
        except Exception as error:  # a fault of ours or of the list's sink: the list's consumer gets it
            batch.give_up()
            batch.fail(error)
            return
        finally:
            batch.stopped(fetch)
        if result is not None:
            batch.deliver(result)
        if batch.is_done:
            self._batches.discard(batch)

    # --- fetches

    def _make_for_batch(self, batch: Batch, request: Request, index: int) -> Fetch:
        fetch = self._make_fetch(batch.lane, request, index)
        fetch.batch = batch
        return fetch

    def _make_fetch(self, lane: Lane, request: Request, index: int) -> Fetch:
        """Check a request and prepare its fetch.

        Raises:
            InvalidURL: it cannot be fetched.
        """
        if request.invalid:
            raise InvalidURL(request.invalid)
        fetch = Fetch(lane, request, index, Url.parse(request.url))
        fetch.blocks = self._blocks
        if request.headers is not None:
            try:
                fetch.blocks = self._blocks.with_fields(request.headers)
            except ValueError as error:
                raise InvalidURL(str(error)) from error
        fetch.timeouts = self._timeouts
        if request.timeouts is not None:
            fetch.timeouts = request.timeouts
            self._pool.watch(request.timeouts)
        follow = request.follow_redirects
        fetch.follow = self._redirects.follow if follow is None else follow
        fetch.max_body = self._limits.max_body if request.max_body is None else request.max_body
        fetch.added = monotonic()
        return fetch


def _as_request(
    url: str | Request,
    method: Method,
    headers: HeaderTypes | None,
    timeouts: Timeouts | None,
    follow_redirects: bool | None,
    max_body: int | None,
) -> Request:
    if isinstance(url, Request):
        return url
    return Request(
        url,
        method=method,
        headers=headers,
        timeouts=timeouts,
        follow_redirects=follow_redirects,
        max_body=max_body,
    )


def _response_of(result: Result) -> Response:
    """Return the response of a result, or raise why there is none."""
    if result.response is None:
        assert result.error is not None
        raise result.error
    return result.response
