"""One TCP or TLS stream to one origin: opened, watched, closed.

Opening is resolve, guard, race (RFC 8305), TLS. Every deadline of an exchange is kept here as a number; `check` is
asked a few times a second whether one has passed, which is far cheaper than a timer for every wait. Foreign errors
of the connecting are translated here; errors of the stream afterwards in `wire`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Any

from aiohappyeyeballs import start_connection

from asyncfetch.errors import (
    ConnectFailed,
    ConnectRefused,
    ConnectTimeout,
    FetchError,
    FetchTimeout,
    HeadTimeout,
    ReadTimeout,
    SlowBody,
    TotalTimeout,
)
from asyncfetch.settings import Timeouts
from asyncfetch.streams.guard import Guard, permitted
from asyncfetch.streams.resolver import AddrInfo, Resolver
from asyncfetch.streams.tls import LazyContext, describe_tls, translate_tls_error
from asyncfetch.streams.wire import WireReader
from asyncfetch.trace import Trace
from asyncfetch.url import Origin

__all__ = ["Connection", "Dialler", "OutOfDescriptors"]

_TLS_GOODBYE = 1.0  # seconds to wait for the server's close_notify; nothing depends on it
_READ_SIZE = 64 * 1024


class OutOfDescriptors(Exception):
    """This process, or this machine, has no file descriptor left for another connection."""


class _Protocol(asyncio.StreamReaderProtocol):
    """Feeds a WireReader, and tells when the socket is gone."""

    def __init__(self, reader: WireReader, loop: asyncio.AbstractEventLoop, on_lost: Callable[[], None]) -> None:
        super().__init__(reader, loop=loop)
        self._on_lost = on_lost

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._on_lost()


class Connection:
    """A stream to an origin, with the deadlines of the exchange that is on it.

    Attributes:
        origin: whom it leads to.
        reader: what comes.
        ip: the connected address.
        served: exchanges that were completed on it.
        idle_since: the loop's time when the last one was.
        dns_time, connect_time, tls_time: seconds that opening took; None without that phase.
        is_lost: whether the socket is gone.
        on_lost, on_surprise: what its owner does when the socket goes, and when something comes while it is idle.
    """

    __slots__ = (
        "_head_at",
        "_progress_at",
        "_progress_received",
        "_timeouts",
        "_total_at",
        "_window_at",
        "_window_received",
        "_writer",
        "connect_time",
        "dns_time",
        "idle_since",
        "ip",
        "is_lost",
        "on_lost",
        "on_surprise",
        "origin",
        "reader",
        "served",
        "tls_time",
    )

    def __init__(self, origin: Origin, reader: WireReader) -> None:
        self.origin = origin
        self.reader = reader
        self.ip = ""
        self.served = 0
        self.idle_since = 0.0
        self.dns_time: float | None = None
        self.connect_time: float | None = None
        self.tls_time: float | None = None
        self.is_lost = False
        self.on_lost: Callable[[Connection], None] | None = None
        self.on_surprise: Callable[[], None] | None = None

    def attach(self, writer: asyncio.StreamWriter) -> None:
        """Use this writer."""
        self._writer = writer

    def lost(self) -> None:
        """Take note that the socket is gone."""
        self.is_lost = True
        if self.on_lost is not None:
            self.on_lost(self)

    # --- an exchange

    def expect_head(self, now: float, timeouts: Timeouts, total_at: float) -> None:
        """Start the clock of an exchange: the head is due, the whole has to be over at `total_at` (loop time)."""
        self._timeouts = timeouts
        self._total_at = total_at
        self._head_at: float | None = now + timeouts.head

    def expect_body(self, now: float) -> None:
        """The head has come: from here silence and slowness count."""
        self._head_at = None
        self._progress_at = self._window_at = now
        self._progress_received = self._window_received = self.reader.received

    def hurry(self, at: float) -> None:
        """Let the exchange be over at `at` (loop time) at the latest."""
        self._total_at = min(self._total_at, at)

    def write(self, head: bytes) -> None:
        """Send a request's head; it is small, so nobody waits for the kernel to take it."""
        self._writer.write(head)

    def ended_cleanly(self) -> bool:
        """Whether the end of the stream was announced: over TLS only a close_notify does (RFC 8446 section 6.1)."""
        ssl_object = self._writer.get_extra_info("ssl_object")
        if ssl_object is None:
            return True
        try:
            ssl_object.read(1)
        except ssl.SSLZeroReturnError:
            return True
        except (ssl.SSLError, ValueError):
            return False
        return False

    # --- deadlines

    def check(self, now: float) -> None:
        """End the connection if a deadline has passed; its reader then raises which."""
        expired = self._find_expired(now)
        if expired is not None:
            self.reader.expired = expired
            self.abort()

    def _find_expired(self, now: float) -> FetchTimeout | None:
        if now >= self._total_at:
            return TotalTimeout(f"not finished within {self._timeouts.total:g} s")
        if self._head_at is not None:
            if now < self._head_at:
                return None
            return HeadTimeout(f"no complete response head within {self._timeouts.head:g} s")
        reader = self.reader
        if not reader.is_starving:
            self.expect_body(now)
            return None
        return self._find_silence(now, reader.received) or self._find_slowness(now, reader.received)

    def _find_silence(self, now: float, received: int) -> FetchTimeout | None:
        if received != self._progress_received:
            self._progress_at, self._progress_received = now, received
        elif self._timeouts.read is not None and now - self._progress_at >= self._timeouts.read:
            return ReadTimeout(f"no byte of the body for {self._timeouts.read:g} s")
        return None

    def _find_slowness(self, now: float, received: int) -> FetchTimeout | None:
        window = self._timeouts.speed_time
        if now - self._window_at < window:
            return None
        came = received - self._window_received
        least = self._timeouts.speed_limit
        if came < least * window:
            return SlowBody(f"{came / window:.0f} bytes/s over {window:g} s is below the limit of {least} bytes/s")
        self._window_at, self._window_received = now, received
        return None

    # --- the end

    def close(self) -> None:
        """Close politely, over TLS with a close_notify; nobody has to wait for it."""
        self._writer.close()

    def abort(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the socket is gone, however it went."""
        try:
            await self._writer.wait_closed()
        except (OSError, ssl.SSLError):
            return


class Dialler:
    """Opens connections: the one place where names, the guard, addresses and TLS come together."""

    def __init__(
        self,
        resolver: Resolver,
        guard: Guard,
        tls: LazyContext,
        *,
        stagger: float,
        trace: Trace | None,
    ) -> None:
        self._resolver = resolver
        self._guard = guard
        self._tls = tls
        self._stagger = stagger
        self._trace = trace

    async def open(self, origin: Origin, timeout: float) -> Connection:
        """Connect to an origin.

        Args:
            origin: whom to connect to.
            timeout: seconds for name, TCP and TLS together.

        Raises:
            ResolutionError: no address for the name.
            ConnectError: no address that may be dialled, or none that answers.
            TLSError: no TLS session.
            ConnectTimeout: it took too long.
            OutOfDescriptors: no descriptor is left for the socket.
        """
        phase = ["resolving the name"]
        try:
            async with asyncio.timeout(timeout):
                return await self._open(origin, phase)
        except TimeoutError as error:
            raise ConnectTimeout(f"not connected within {timeout:g} s, while {phase[0]}") from error

    async def _open(self, origin: Origin, phase: list[str]) -> Connection:
        loop = asyncio.get_running_loop()
        started = monotonic()
        addresses = await self._resolver.resolve(origin.host, origin.port)
        resolved = monotonic()
        if self._trace is not None:
            self._trace.resolved(origin.host, [str(a[4][0]) for a in addresses], resolved - started)
        addresses = permitted(addresses, self._guard, origin.host)
        phase[0] = "connecting to " + ", ".join(_shown_address(a[4]) for a in addresses[:4])
        sock = await self._race(addresses, loop)
        try:
            peer = sock.getpeername()
            connected = monotonic()
            if self._trace is not None:
                self._trace.connected(_shown_address(peer), connected - resolved)
            phase[0] = "setting up TLS"
            connection = await self._start_streams(origin, sock, loop)
        except OSError as error:
            sock.close()
            raise _translate_connect_error(error, addresses) from error
        except BaseException:
            sock.close()
            raise
        connection.ip = str(peer[0])
        connection.dns_time = resolved - started
        connection.connect_time = connected - resolved
        if origin.scheme == "https":
            connection.tls_time = monotonic() - connected
            self._report_tls(connection)
        return connection

    async def _race(self, addresses: list[AddrInfo], loop: asyncio.AbstractEventLoop) -> socket.socket:
        try:
            return await start_connection(
                addresses,
                happy_eyeballs_delay=self._stagger,
                interleave=1,
                loop=loop,
                socket_factory=self._make_socket if self._trace is not None else None,
            )
        except OSError as error:
            raise _translate_connect_error(error, addresses) from error

    def _make_socket(self, address: AddrInfo) -> socket.socket:
        family, kind, protocol, _, sockaddr = address
        if self._trace is not None:
            self._trace.trying(_shown_address(sockaddr))
        return socket.socket(family, kind, protocol)

    async def _start_streams(
        self, origin: Origin, sock: socket.socket, loop: asyncio.AbstractEventLoop
    ) -> Connection:
        reader = WireReader(loop)
        connection = Connection(origin, reader)
        protocol = _Protocol(reader, loop, connection.lost)
        options: dict[str, Any] = {}
        if origin.scheme == "https":
            context = self._tls.get()
            options = {"ssl": context, "server_hostname": origin.host, "ssl_shutdown_timeout": _TLS_GOODBYE}
        try:
            transport, _ = await loop.create_connection(lambda: protocol, sock=sock, **options)
        except (ssl.SSLError, ssl.CertificateError, ConnectionError) as error:
            if origin.scheme != "https":
                raise
            raise translate_tls_error(error, origin.host) from error
        if hasattr(transport, "max_size"):
            transport.max_size = _READ_SIZE
        connection.attach(asyncio.StreamWriter(transport, protocol, reader, loop))
        if self._trace is not None:
            reader.on_bytes = self._trace.received
        return connection

    def _report_tls(self, connection: Connection) -> None:
        if self._trace is not None and connection.tls_time is not None:
            ssl_object = connection._writer.get_extra_info("ssl_object")  # noqa: SLF001
            self._trace.secured(describe_tls(ssl_object), connection.tls_time)


def _shown_address(sockaddr: tuple[Any, ...]) -> str:
    return f"{sockaddr[0]} port {sockaddr[1]}"


def _translate_connect_error(error: OSError, addresses: list[AddrInfo]) -> FetchError | OutOfDescriptors:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return OutOfDescriptors(str(error))
    tried = ", ".join(_shown_address(a[4]) for a in addresses[:4])
    if len(addresses) > 4:
        tried += f" and {len(addresses) - 4} more"
    if isinstance(error, ConnectionRefusedError) or error.errno == errno.ECONNREFUSED:
        return ConnectRefused(f"connection refused by {tried}")
    reason = error.strerror or str(error) or type(error).__name__
    return ConnectFailed(f"could not connect to {tried}: {reason}")
