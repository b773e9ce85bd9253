"""`FaultServer`: listen on loopback addresses, take connections, and let each request have its answer.

Knows connections and their end. What is answered is in `scripts` and `routes`, the bytes are in `wire`.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from asyncfetch.testing.ports import BACKLOG, listen_on_all
from asyncfetch.testing.request import MalformedRequestError, parse_request
from asyncfetch.testing.routes import Routes
from asyncfetch.testing.scripts import Answer, Reply
from asyncfetch.testing.seen import Seen
from asyncfetch.testing.wire import Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

_TURNS_TO_CONNECT = 5  # of the loop, from accept to `_connected`
_BAD_REQUEST = Reply(400, b"bad request\n").encode(closing=True)


class FaultServer:
    """A loopback HTTP/1.1 server that answers as it is told, wrong answers included.

    Use it with `async with` in the running loop, or with `with server.in_thread():` from synchronous code.
    Leaving either closes every connection and waits until all of it is gone.

    Args:
        routes: answers by path, see `route`.
        addresses: numeric addresses to listen on, all on the same port.
        port: 0 for any free one.
        ssl_context: a server-side context to speak TLS; None for plain HTTP.
        close_after: see below.
        accept_then_close: see below.
        keep_log: requests that `seen.log` keeps.

    Attributes:
        seen: what has been counted.
        port: the port it listens on, 0 before the start if any would do.
        close_after: answers per connection. The next request on it gets none, and the connection is closed: a
            keep-alive connection that has died. None for no such limit.
        accept_then_close: close each connection as soon as it is there.
    """

    def __init__(
        self,
        routes: Mapping[str, Answer] | None = None,
        *,
        addresses: Sequence[str] = ("127.0.0.1",),
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        close_after: int | None = None,
        accept_then_close: bool = False,
        keep_log: int = 10_000,
    ) -> None:
        self.seen = Seen(keep_log)
        self.port = port
        self.close_after = close_after
        self.accept_then_close = accept_then_close
        self.addresses = tuple(addresses)
        self._ssl_context = ssl_context
        self._routes = Routes({})
        self._listeners: list[asyncio.Server] = []
        self._conversations: dict[asyncio.Task[None], Wire] = {}
        self._is_closing = False
        for path, answer in (routes or {}).items():
            self.route(path, answer)

    def route(self, path: str, answer: Answer) -> None:
        """Answer requests for `path` with `answer` from now on; may be called at any time.

        Args:
            path: without query. "*" is for every path that has no route of its own; without it, those get 404.
            answer: a Reply, Script, Sequence or throttle(), or a callable, plain or async, that is given the
                `SeenRequest` and returns one of them. It is called in the server's loop. If it raises, the
                request gets status 500, and leaving the server raises the error in an ExceptionGroup.

        Raises:
            ValueError: `path` is neither "*" nor begins with "/".
        """
        self._routes.set(path, answer)

    def url(self, path: str = "/", host: str | None = None) -> str:
        """Return the URL of `path` on this server; `host` is an address or a name, the first address if None."""
        scheme = "http" if self._ssl_context is None else "https"
        return f"{scheme}://{_host_key(host or self.addresses[0], self.port)}{path}"

    # Start and stop

    async def __aenter__(self) -> Self:
        self._is_closing = False
        sockets = listen_on_all(self.addresses, self.port)
        self.port = sockets[0].getsockname()[1]
        for sock in sockets:
            connected = partial(self._connected, _host_key(*sock.getsockname()[:2]))
            self._listeners.append(await asyncio.start_server(connected, sock=sock, backlog=BACKLOG))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()
        failures, self._routes.errors = self._routes.errors, []
        if failures and error is None:
            raise ExceptionGroup("a route's callable failed", failures)

    async def _close(self) -> None:
        self._is_closing = True
        await self._stop_accepting()
        for listener in self._listeners:
            listener.close()
        while left := dict(self._conversations):
            for task, wire in left.items():
                wire.abort()
                task.cancel()
            await asyncio.wait(left)
            for wire in left.values():  # a task that was cancelled before it began could not do that
                await wire.wait_closed()
        for listener in self._listeners:
            await listener.wait_closed()
        self._listeners.clear()

    async def _stop_accepting(self) -> None:
        """Accept no more, and wait until all that was accepted has come to `_connected`.

        asyncio's selector loop has a task between the two, which fails and leaks its socket if it finds its
        server closed.
        """
        loop = asyncio.get_running_loop()
        for sock in (sock for listener in self._listeners for sock in listener.sockets):
            with contextlib.suppress(NotImplementedError):  # other loops know neither the call nor the gap
                loop.remove_reader(sock.fileno())
        for _ in range(_TURNS_TO_CONNECT):
            await asyncio.sleep(0)

    @contextlib.contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Run the server on a loop of its own in a thread of its own while the `with` block runs.

        Raises:
            OSError: it could not listen.
            ExceptionGroup: a route's callable failed.
        """
        started: Future[Callable[[], object]] = Future()
        with ThreadPoolExecutor(1, "FaultServer") as threads:
            served = threads.submit(lambda: asyncio.run(self._serve(started)))
            either: list[Future[Any]] = [started, served]
            wait(either, return_when=FIRST_COMPLETED)
            if not started.done():
                served.result()
            try:
                yield self
            finally:
                started.result()()
            served.result()

    async def _serve(self, started: Future[Callable[[], object]]) -> None:
        """Serve until the callable that `started` is given is called, from any thread."""
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        async with self:
            started.set_result(lambda: loop.call_soon_threadsafe(stop.set))
            await stop.wait()

    # Connections

    def _connected(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begin the conversation on a connection that has just been accepted."""
        wire = Wire(reader, writer)
        number = self.seen.connected(host)
        task = asyncio.get_running_loop().create_task(self._converse(wire, host, number))
        self._conversations[task] = wire
        task.add_done_callback(partial(self._disconnected, host))
        if self._is_closing:
            wire.abort()

    def _disconnected(self, host: str, task: asyncio.Task[None]) -> None:
        del self._conversations[task]
        self.seen.disconnected(host)

    async def _converse(self, wire: Wire, host: str, number: int) -> None:
        try:
            if self.accept_then_close:
                return
            if self._ssl_context is not None:
                await wire.start_tls(self._ssl_context)
            await self._answer_all(wire, host, number)
        except MalformedRequestError as error:
            self.seen.refused(str(error))
            with contextlib.suppress(OSError):
                await wire.send(_BAD_REQUEST)
        except OSError:
            pass  # the client left, which is its right at any time
        finally:
            wire.close()
            await wire.wait_closed()

    async def _answer_all(self, wire: Wire, host: str, number: int) -> None:
        answered, here = 0, self.seen.by_host[host]
        while wire.is_open and (head := await wire.read_head()) is not None:
            request = parse_request(head, host=host, connection=number)
            self.seen.began(request)
            try:
                if answered == self.close_after:
                    return
                await wire.read_away(request.length)
                answer = await self._routes.choose(request, here.in_progress)
                await answer.play(wire, request)
            finally:
                self.seen.ended(request)
            answered += 1


def _host_key(address: str, port: int) -> str:
    """Return "address:port", an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
