"""One TCP or TLS stream to one origin: opened, watched, closed.

Opening is resolve, guard, race (RFC 8305), TLS. Every deadline of an exchange is a number, see `deadlines`; a few
times a second `check` is asked whether one has passed, which is far cheaper than a timer for every wait. Foreign
errors of the connecting are translated here; errors of the stream afterwards in `wire`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import lru_cache
from time import monotonic
from typing import Any

from aiohappyeyeballs import start_connection

from asyncfetch.errors import (
    ConnectError,
    ConnectFailed,
    ConnectRefused,
    ConnectTimeout,
    HandshakeFailed,
    ResolutionFailed,
    shown,
)
from asyncfetch.streams.deadlines import Deadlines
from asyncfetch.streams.descriptors import SHORTAGE
from asyncfetch.streams.guard import Guard, permitted
from asyncfetch.streams.resolver import AddrInfo, Resolver
from asyncfetch.streams.sockets import connect, let_go, watch_kernel
from asyncfetch.streams.tls import LazyContext, describe_tls, translate_tls_error
from asyncfetch.streams.wire import WireReader
from asyncfetch.trace import Trace
from asyncfetch.url import Origin

__all__ = ["Connection", "Dialler", "OutOfDescriptors", "is_shortage"]

_TLS_GOODBYE = 1.0  # seconds to wait for the server's close_notify; nothing depends on it
_TLS_HANDSHAKE = 86_400.0  # seconds; longer than any connect timeout, which is what ends a handshake
_READ_SIZE = 64 * 1024
_NAMES_REMEMBERED = 1024


class OutOfDescriptors(Exception):
    """This process, or this machine, has no file descriptor left for another connection."""


def is_shortage(error: BaseException | None) -> bool:
    """Whether a descriptor was missing: for a connection, for the look-up of its name, or for a file of our own."""
    return isinstance(error, OutOfDescriptors) or (isinstance(error, OSError) and error.errno in SHORTAGE)


class _Protocol(asyncio.StreamReaderProtocol):
    """Feeds a WireReader to the last byte, and tells when the socket is gone.

    A TLS connection that ends while its reading is paused still holds bytes: uvloop never gives them out, asyncio
    not after a reset. They are fetched here, for a message that came whole is a success.
    """

    def __init__(self, reader: WireReader, loop: asyncio.AbstractEventLoop, on_lost: Callable[[], None]) -> None:
        super().__init__(reader, loop=loop)
        self._reader = reader
        self._on_lost: Callable[[], None] | None = on_lost
        self._ssl_object: ssl.SSLObject | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._ssl_object = transport.get_extra_info("ssl_object")

    def data_received(self, data: bytes) -> None:
        self._reader.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ssl_object is not None and not self._reader.ended:
            rest = _read_rest(self._ssl_object)
            if rest:
                self._reader.feed_data(rest)
        super().connection_lost(exc)
        on_lost, self._on_lost = self._on_lost, None  # which leads back here: nobody is to wait for the collector
        if on_lost is not None:
            on_lost()


def _read_rest(ssl_object: ssl.SSLObject) -> bytes:
    """Return what a TLS session holds that was received and not given out; at most some 256 KiB on both loops."""
    pieces = []
    try:
        while piece := ssl_object.read(_READ_SIZE):
            pieces.append(piece)
    except (ssl.SSLError, ValueError):  # its end, in whatever way
        pass
    return b"".join(pieces)


class Connection(Deadlines):
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
        "_has_news",
        "_write",
        "_writer",
        "connect_time",
        "dns_time",
        "idle_since",
        "ip",
        "is_lost",
        "on_lost",
        "on_surprise",
        "origin",
        "served",
        "tls_time",
    )

    def __init__(self, origin: Origin, reader: WireReader) -> None:
        super().__init__(reader)
        self.origin = origin
        self.ip = ""
        self.served = 0
        self.idle_since = 0.0
        self.dns_time: float | None = None
        self.connect_time: float | None = None
        self.tls_time: float | None = None
        self.is_lost = False
        self.on_lost: Callable[[Connection], None] | None = None
        self.on_surprise: Callable[[], None] | None = None

    def attach(self, writer: asyncio.StreamWriter, has_news: Callable[[], object]) -> None:
        """Use this writer; `has_news` gives something true if its open socket has anything that nobody has read."""
        self._writer = writer
        self._write: Callable[[bytes], None] = (
            writer.transport.write
        )  # what `writer.write` does; one step less for each request
        self._has_news = has_news

    def show(self, trace: Trace) -> None:
        """Let somebody see every byte."""
        write = self._write

        def write_shown(head: bytes) -> None:
            trace.sent(head)
            write(head)

        self._write = write_shown
        self.reader.on_bytes = trace.received

    def lost(self) -> None:
        """Take note that the socket is gone."""
        self.is_lost = True
        self.on_surprise = None  # as in `_Protocol.connection_lost`
        if self.on_lost is not None:
            self.on_lost(self)

    def is_quiet(self) -> bool:
        """Whether nothing has come that was not read, no end either: not even to this machine's kernel.

        Another request may be sent on such a connection only: whatever is there would pass for its answer.
        """
        return not self.is_lost and self.reader.is_quiet() and not self._has_news()

    @property
    def ssl_object(self) -> ssl.SSLObject | None:
        """The TLS session, or None without TLS."""
        found: ssl.SSLObject | None = self._writer.get_extra_info("ssl_object")
        return found

    # --- an exchange

    def write(self, head: bytes) -> None:
        """Send a request's head; it is small, so nobody waits for the kernel to take it.

        On a connection that is gone this does nothing: the reader says how it went.
        """
        if not self.is_lost:
            self._write(head)

    def ended_cleanly(self) -> bool:
        """Whether the end of the stream was announced: over TLS only a close_notify does (RFC 8446 section 6.1)."""
        ssl_object = self.ssl_object
        if ssl_object is None:
            return True
        try:
            return not ssl_object.read(1)  # no byte: the other end said goodbye, and we have not yet
        except ssl.SSLZeroReturnError:  # both have
            return True
        except (ssl.SSLError, ValueError):
            return False

    # --- deadlines

    def check(self, now: float) -> None:
        """End the connection if a deadline has passed; its reader then raises which."""
        if self.reader.expired is not None:
            return
        expired = self.find_expired(now)
        if expired is not None:
            self.reader.expired = expired
            self.abort()

    # --- the end

    def close(self) -> None:
        """Close politely, over TLS with a close_notify; nobody has to wait for it."""
        self._writer.close()

    def abort(self) -> None:
        """Close at once; who still reads learns that it was not the server who ended the stream."""
        self.reader.give_up()
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
            OutOfDescriptors: no descriptor is left for the look-up or the socket.
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
        addresses = await self._resolve(origin)
        resolved = monotonic()
        if self._trace is not None:
            self._trace.resolved(origin.host, [str(a[4][0]) for a in addresses], resolved - started)
        addresses = permitted(addresses, self._guard, origin.host)
        phase[0] = "connecting to " + ", ".join(_shown_address(a[4]) for a in addresses[:4])
        sock = await self._race(addresses, loop)
        connected = monotonic()
        phase[0] = "setting up TLS"
        try:
            ip, options = self._prepare(origin, sock, connected - resolved)
            connection = await self._start_streams(origin, sock, loop, options)
        except OSError as error:
            raise _translate_connect_error(error, addresses) from error
        connection.ip = ip
        connection.dns_time = resolved - started
        connection.connect_time = connected - resolved
        if origin.scheme == "https":
            connection.tls_time = monotonic() - connected
            self._report_tls(connection)
        return connection

    async def _resolve(self, origin: Origin) -> list[AddrInfo]:
        try:
            return await self._resolver.resolve(origin.host, origin.port)
        except ResolutionFailed as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in SHORTAGE:
                raise OutOfDescriptors(str(error.__cause__)) from error
            raise

    async def _race(self, addresses: list[AddrInfo], loop: asyncio.AbstractEventLoop) -> socket.socket:
        """Connect to the first address that answers (RFC 8305 section 5); a single one has nobody to race."""
        shortages: list[OSError] = []

        def make_socket(address: AddrInfo) -> socket.socket:
            family, kind, protocol, _, sockaddr = address
            if self._trace is not None:
                self._trace.trying(_shown_address(sockaddr))
            try:
                return socket.socket(family, kind, protocol)
            except OSError as error:
                if error.errno in SHORTAGE:
                    shortages.append(error)
                raise

        try:
            if len(addresses) == 1:
                return await connect(make_socket(addresses[0]), addresses[0][4], loop)
            return await start_connection(
                addresses,
                happy_eyeballs_delay=self._stagger,
                interleave=1,
                loop=loop,
                socket_factory=make_socket,
            )
        except (OSError, RuntimeError) as error:  # uvloop has RuntimeErrors of its own
            if shortages:
                raise OutOfDescriptors(str(shortages[0])) from error
            raise _translate_connect_error(error, addresses) from error

    def _prepare(self, origin: Origin, sock: socket.socket, took: float) -> tuple[str, dict[str, Any]]:
        """Return the connected address, and what the loop is to be told of TLS; an error closes the socket."""
        try:
            peer = sock.getpeername()
            if self._trace is not None:
                self._trace.connected(_shown_address(peer), took)
            if origin.scheme != "https":
                return str(peer[0]), {}
            return str(peer[0]), {
                "ssl": self._tls.get(),
                "server_hostname": _tls_name(origin.host),
                "ssl_handshake_timeout": _TLS_HANDSHAKE,
                "ssl_shutdown_timeout": _TLS_GOODBYE,
            }
        except BaseException:
            sock.close()
            raise

    async def _start_streams(
        self, origin: Origin, sock: socket.socket, loop: asyncio.AbstractEventLoop, options: dict[str, Any]
    ) -> Connection:
        """Make the streams; the socket is the loop's to close from here on, also when this fails."""
        reader = WireReader(loop)
        connection = Connection(origin, reader)
        has_news = watch_kernel(sock.fileno())
        protocol = _Protocol(reader, loop, connection.lost)
        try:
            transport, _ = await loop.create_connection(lambda: protocol, sock=sock, **options)
        except BaseException as error:
            await let_go(sock, loop)
            if options and isinstance(error, (ssl.SSLError, ConnectionError)):
                raise translate_tls_error(error, origin.host) from error
            raise
        if hasattr(transport, "max_size"):
            transport.max_size = _READ_SIZE
        connection.attach(asyncio.StreamWriter(transport, protocol, reader, loop), has_news)
        if self._trace is not None:
            connection.show(self._trace)
        return connection

    def _report_tls(self, connection: Connection) -> None:
        ssl_object = connection.ssl_object
        if self._trace is not None and ssl_object is not None and connection.tls_time is not None:
            self._trace.secured(describe_tls(ssl_object), connection.tls_time)


@lru_cache(_NAMES_REMEMBERED)
def _tls_name(host: str) -> str:
    """Return a host's name as it stands in handshake and certificate: without a last dot (RFC 6066 section 3).

    Raises:
        HandshakeFailed: it cannot stand there.
    """
    name = host.removesuffix(".")
    try:
        name.encode("idna")
    except UnicodeError as error:
        raise HandshakeFailed(f"{shown(host)} is no name for TLS: a label is empty or over 63 bytes") from error
    return name


def _shown_address(sockaddr: tuple[Any, ...]) -> str:
    return f"{sockaddr[0]} port {sockaddr[1]}"


def _translate_connect_error(error: OSError | RuntimeError, addresses: list[AddrInfo]) -> ConnectError:
    tried = ", ".join(_shown_address(a[4]) for a in addresses[:4])
    if len(addresses) > 4:
        tried += f" and {len(addresses) - 4} more"
    if isinstance(error, ConnectionRefusedError):
        return ConnectRefused(f"connection refused by {tried}")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ConnectFailed(f"could not connect to {tried}: {reason}")
