"""The public face of the engine: one client for a whole program, with its limits, connections and statistics."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from random import Random
from types import TracebackType
from typing import Self

import anyio

from asyncfetch.client.batch import Batch
from asyncfetch.client.engine import Engine, Opened
from asyncfetch.client.feeding import Source
from asyncfetch.client.fetch import Fetch, merge_fields, sensitive_names
from asyncfetch.client.flow import Flow
from asyncfetch.client.hosts import Hosts, HostTable
from asyncfetch.client.making import Maker, locate
from asyncfetch.client.many import FetchMany
from asyncfetch.client.misuse import callable_or_none, setting
from asyncfetch.client.singles import Singles, as_request, response_of
from asyncfetch.client.sinks import PartialFactory, SinkFactory
from asyncfetch.client.streamed import StreamedBody
from asyncfetch.client.tasks import begin
from asyncfetch.client.turns import Turns
from asyncfetch.errors import InvalidURL
from asyncfetch.result import HeaderTypes, Method, Request, Response, Result
from asyncfetch.scheduler import Frontier, Manners
from asyncfetch.settings import Limits, Network, Politeness, Redirects, Retry, Timeouts, TLSSettings
from asyncfetch.stats import Stats
from asyncfetch.streams.decoding import ACCEPT_ENCODING
from asyncfetch.streams.dialler import Dialler
from asyncfetch.streams.guard import Guard, allow_all
from asyncfetch.streams.pool import Pool
from asyncfetch.streams.resolver import Resolver
from asyncfetch.streams.tls import LazyContext, check_files
from asyncfetch.trace import Trace
from asyncfetch.url import redacted
from asyncfetch.version import __version__

__all__ = ["Client"]

_CLOSING = 5.0  # seconds that closing may take while it is itself being cancelled
_NEEDED_CODECS = ("idna", "unicode_escape")  # loaded from files, which a shortage of descriptors would keep closed

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
        politeness: Politeness | None = None,
        hosts: HostTable | None = None,
        redirects: Redirects | None = None,
        tls: TLSSettings | None = None,
        network: Network | None = None,
        headers: HeaderTypes | None = None,
        sensitive_headers: Iterable[str] = (),
        guard: Guard | None = None,
        robots: bool = False,
        trace: Trace | None = None,
    ) -> None:
        """Prepare a client; nothing is opened before `async with`.

        Args:
            limits: how much at once, and how much in memory.
            timeouts: of each phase, in seconds.
            retry: how often and when to try again.
            politeness: how fast, and what to learn from answers.
            hosts: `HostSettings` by pattern (`example.org`, `*.example.org`, `example.org:8080`; the closest
                counts), or a callable that is given `host:port`, now and then, and returns them or None.
            redirects: whether and how far to follow.
            tls: whom to trust, and the client's own certificate.
            network: name resolution and address families.
            headers: fields for every request; None as a value removes a default.
            sensitive_headers: names of fields, in any case, that no other origin may see, besides Authorization,
                Cookie and Proxy-Authorization: a redirect to another scheme, host or port drops them for good.
            guard: says which addresses may not be dialled; none are blocked by default.
            robots: obey the robots.txt of every origin (RFC 9309), under the first word of the User-Agent.
            trace: sees what happens on the wire.

        Raises:
            ValueError: a header cannot be sent, a TLS file cannot be used, an address or a pattern is none.
            TypeError: a setting is not of its class, or `sensitive_headers` is a single string.
        """
        self._limits = setting("limits", limits, Limits)
        self._timeouts = setting("timeouts", timeouts, Timeouts)
        self._retry = setting("retry", retry, Retry)
        self._politeness = setting("politeness", politeness, Politeness)
        self._redirects = setting("redirects", redirects, Redirects)
        tls = setting("tls", tls, TLSSettings)
        check_files(tls)
        self._tls = LazyContext(tls)
        self._network = setting("network", network, Network)
        self._resolver = Resolver(self._network)
        wanted = "a callable, such as AddressGuard(public_only=True)"
        self._guard = allow_all if guard is None else callable_or_none("guard", guard, wanted)
        self._trace = None if trace is None else setting("trace", trace, Trace)
        pairs = merge_fields(DEFAULT_HEADERS, headers)
        self._hosts = Hosts(hosts, pairs, sensitive_names(sensitive_headers), self._timeouts)
        self._robots_fields = pairs if robots else None
        self._batches: set[Batch] = set()
        self._supervisor: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._is_open = False
        self.stats = Stats()

    def __repr__(self) -> str:
        """Show whether it is open, and what it has done; of its settings nothing, which may be secret."""
        total = self.stats.total
        state = "open" if self._is_open else "new" if self._supervisor is None else "closed"
        return f"<Client {state}: {total.done} done, {total.failed} failed, {total.in_flight} in flight>"

    # --- opening and closing

    async def __aenter__(self) -> Self:
        if self._supervisor is not None:
            raise RuntimeError("a Client can be entered once only; make a new one")
        for codec in _NEEDED_CODECS:
            codecs.lookup(codec)
        self._loop = loop = asyncio.get_running_loop()
        dialler = Dialler(self._resolver, self._guard, self._tls, stagger=self._network.stagger, trace=self._trace)
        self._pool = Pool(dialler, self._limits, self._trace)
        self._pool.watch(self._timeouts)
        self._maker = Maker(self._hosts, self._pool, follow=self._redirects.follow)
        ready: asyncio.Future[None] = loop.create_future()
        self._supervisor = loop.create_task(self._supervise(ready), name="asyncfetch-client")
        try:
            await ready
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give up what is under way, and wait until every task, connection and thread is given back.

        A request that is under way elsewhere raises `Cancelled` there, a list RuntimeError. If this is cancelled,
        it still waits, up to 5 seconds.
        """
        self._is_open = False
        self._closing.set()
        if (supervisor := self._supervisor) is None:
            return
        try:
            await asyncio.wait((supervisor,))
        except asyncio.CancelledError:
            with anyio.move_on_after(_CLOSING, shield=True):
                await asyncio.wait((supervisor,))
            raise
        if not supervisor.cancelled():
            supervisor.result()

    async def _supervise(self, ready: asyncio.Future[None]) -> None:
        """Own the task group: entered and left by one task, whichever tasks enter and leave the client."""
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                self._turns = Turns(self._make_frontier(), self.stats, group)
                self._singles = Singles(self._turns)
                self._engine = Engine(
                    self._pool,
                    self._turns,
                    limits=self._limits,
                    redirects=self._redirects,
                    retry=self._retry,
                    hosts=self._hosts,
                    flow=Flow.needed(self.stats, self._politeness.limit_rate, self._hosts),
                )
                if self._robots_fields is not None:
                    from asyncfetch.client.robots import Robots

                    fields = self._robots_fields
                    self._turns.robots = Robots(self._turns, self._engine, self._maker, fields, group)
                self._turns.start(self._engine.run, self._resolver, self._pool)
                self._is_open = True
                if not ready.done():
                    ready.set_result(None)
                try:
                    await self._closing.wait()
                finally:
                    self._call_off()
                    group.cancel_scope.cancel()
        finally:
            self._resolver.close()
            with anyio.CancelScope(shield=True):
                await self._pool.aclose()

    def _make_frontier(self) -> Frontier[Fetch]:
        return Frontier(
            self._limits,
            Random(),  # noqa: S311
            manners=Manners.of(self._limits, self._politeness, self._retry),
            rate=self._politeness.global_rate,
            own=self._hosts.settings if self._hosts.are_special else None,
        )

    def _call_off(self) -> None:
        """End everything that is under way, from the outside in."""
        self._is_open = False
        self._turns.close()
        self._singles.close()
        for batch in list(self._batches):
            batch.fail(RuntimeError("the client was closed while the list was fetched"))

    def _check_open(self) -> None:
        if not self._is_open:
            raise RuntimeError("the Client is not open; use it inside `async with Client() as client:`")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("the Client belongs to another event loop; each loop needs a Client of its own")

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
            url: the URL, or a Request with its own settings instead of the other arguments.
            method: `GET` or `HEAD`.
            headers: fields over the client's; None as a value removes one.
            timeouts: instead of the client's, in seconds.
            follow_redirects: instead of the client's setting.
            max_body: decoded bytes allowed, instead of `Limits.max_body`.

        Raises:
            FetchError: there is no complete response; see `asyncfetch.errors` for each kind. A method or a header
                that cannot be sent is `InvalidURL`.
            RuntimeError: the client is not open.
            TypeError: an argument is of another type, or stands beside a Request.
            ValueError: `max_body` is negative.
        """
        fetch = self._begin_single(as_request(url, method, headers, timeouts, follow_redirects, max_body))
        return response_of(await self._singles.run(fetch, self._engine.run))

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

        The arguments are those of `get`, but `Limits.max_streamed` is what bounds the body. The request holds its
        places until the block is left: a further request inside it waits for another place at that host. Leaving
        before the end of the body closes the connection.

        Raises:
            FetchError: no response, or, while the body is read, a body that is not whole.
            RuntimeError: the client is not open.
            TypeError, ValueError: as with `get`.
        """
        fetch = self._begin_single(as_request(url, method, headers, timeouts, follow_redirects, max_body))
        opened: Opened | Result = await self._singles.run(fetch, self._engine.open)
        if isinstance(opened, Result):
            assert opened.error is not None, "only a failure ends before its body"
            raise opened.error
        streamed = StreamedBody(self._engine, opened, self._turns.pump)
        opened.response.stream = streamed
        try:
            yield opened.response
        finally:
            streamed.close()

    def _begin_single(self, request: Request) -> Fetch:
        self._check_open()
        try:
            return self._maker.make(self._turns.single, request, 1, locate(request))
        except InvalidURL as error:
            error.url = redacted(request.url)
            raise

    # --- many URLs

    def fetch_many(
        self, urls: Source, *, sink: SinkFactory | None = None, partial: PartialFactory | None = None
    ) -> FetchMany:
        """Fetch many URLs; iterate over what is returned to get a `Result` for each, as they end.

        Args:
            urls: strings or Requests, from any iterable, sync or async, or many at a time from a
                `client.Batched`; read lazily, a window ahead. A sync one must not block.
            sink: called with request and response when the head of a response below 400 has come; returns where
                the body goes, or None to keep it in memory.
            partial: called with each request when its first turn comes; returns the beginning of its body if an
                earlier program has kept one, to go on with it where it stopped.

        Raises:
            RuntimeError: the client is not open.
            TypeError: `urls` is a single string, or `sink` or `partial` cannot be called.
        """
        self._check_open()
        callable_or_none("sink", sink, "a callable that is given request and response")
        callable_or_none("partial", partial, "a callable that is given the request")
        if isinstance(urls, str | bytes):
            raise TypeError("fetch_many takes an iterable of URLs, not a single one; see get")
        return FetchMany(lambda: self._begin_batch(urls, sink, partial))

    def _begin_batch(self, urls: Source, sink: SinkFactory | None, partial: PartialFactory | None) -> Batch:
        self._check_open()
        batch = Batch(self._turns, self._limits, sink, self._maker, on_done=self._batches.discard)
        batch.partial = partial
        self._batches.add(batch)
        begin(self._group, batch.feeder.feed(urls), batch.end_source)
        return batch
