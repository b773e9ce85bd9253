"""One TCP or TLS stream to one origin: watched and closed; `dialler` opens it.

Every deadline of an exchange is a number, see `deadlines`; a few times a second `check` is asked whether one has
passed, which is far cheaper than a timer for every wait.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from asyncfetch.streams.deadlines import Deadlines
from asyncfetch.streams.descriptors import SHORTAGE
from asyncfetch.streams.wire import WireReader
from asyncfetch.trace import Trace
from asyncfetch.url import Origin

__all__ = ["Connection", "OutOfDescriptors", "WireProtocol", "is_shortage"]

_READ_SIZE = 64 * 1024


class OutOfDescriptors(Exception):
    """This process, or this machine, has no file descriptor left for another connection."""


def is_shortage(error: BaseException | None) -> bool:
    """Whether a descriptor was missing: for a connection, for the look-up of its name, or for a file of our own."""
    return isinstance(error, OutOfDescriptors) or (isinstance(error, OSError) and error.errno in SHORTAGE)


class WireProtocol(asyncio.StreamReaderProtocol):
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
        """Take the transport, and the TLS session if there is one."""
        super().connection_made(transport)
        self._ssl_object = transport.get_extra_info("ssl_object")

    def data_received(self, data: bytes) -> None:
        """Feed the reader."""
        self._reader.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Feed the reader what is left, and its end."""
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
        has_news: gives something true if its open socket has bytes, or an end, that not even the loop has read.
        on_lost, on_surprise: what its owner does when the socket goes, and when something comes while it is idle.
    """

    __slots__ = (
        "_write",
        "_writer",
        "connect_time",
        "dns_time",
        "has_news",
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
        """Use this writer, and what tells of news."""
        self._writer = writer
        self._write: Callable[[bytes], None] = (
            writer.transport.write
        )  # what `writer.write` does; one step less for each request
        self.has_news = has_news

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
        self.on_surprise = None  # as in `WireProtocol.connection_lost`
        if self.on_lost is not None:
            self.on_lost(self)

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
