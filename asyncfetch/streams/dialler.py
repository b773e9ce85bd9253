"""Opens connections: the one place where names, the guard, addresses and TLS come together.

Resolve, guard, race (RFC 8305), TLS. Foreign errors of the connecting are translated here; errors of the stream
afterwards in `wire`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
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
from asyncfetch.streams.connection import Connection, OutOfDescriptors, WireProtocol
from asyncfetch.streams.descriptors import SHORTAGE
from asyncfetch.streams.guard import Guard, permitted
from asyncfetch.streams.resolver import AddrInfo, Resolver
from asyncfetch.streams.sockets import connect, let_go, watch_kernel
from asyncfetch.streams.tls import LazyContext, describe_tls, translate_tls_error
from asyncfetch.streams.wire import WireReader
from asyncfetch.trace import Trace
from asyncfetch.url import Origin

__all__ = ["Dialler"]

_TLS_GOODBYE = 1.0  # seconds to wait for the server's close_notify; nothing depends on it
_TLS_HANDSHAKE = 86_400.0  # seconds; longer than any connect timeout, which is what ends a handshake
_READ_SIZE = 64 * 1024
_NAMES_REMEMBERED = 1024


class Dialler:
    """Opens connections."""

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
        protocol = WireProtocol(reader, loop, connection.lost)
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
