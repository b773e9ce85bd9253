"""The reader of one connection: an asyncio.StreamReader that hides nothing.

A plain StreamReader withholds what it has buffered once the connection was reset, and cannot say how an end came
about. This one hands out every byte first and then tells a reset, a passed deadline and a quiet end apart. It also
takes bytes back that belong to the next message, and counts what came, which is all that the deadlines need.

What comes is kept in the pieces in which the transport gives it, where a plain StreamReader copies every byte into
its buffer and out of it again: a large body passes without a copy, and a small answer with fewer steps.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from asyncfetch.errors import FetchTimeout, TotalTimeout

__all__ = ["RECEIVE_AT_MOST", "WireReader", "make_reads_cheap"]

RECEIVE_AT_MOST = 1024 * 1024
_OWN_PIECE = 4096  # bytes; what is smaller is joined to what came before it, or a drip would cost 60 times its size

_ABOVE_ALL_READS = 1024 * 1024  # bytes; both loops, and their TLS, take 256 KiB for a read


def make_reads_cheap() -> None:
    """Let the allocator serve the buffers of reads from its heap, not by a mapping of its own for each.

    glibc's threshold for mappings follows the largest mapped block that was freed: so one is taken and freed. In
    exchange its heap may keep 2 MiB that are free. Elsewhere this does nothing.
    """
    bytes(_ABOVE_ALL_READS)  # from calloc: its pages are never touched


class WireReader(asyncio.StreamReader):
    """What comes from one connection, in order, to the last byte.

    It is read by `receive`, or by `arrival` and `take`, and by nothing else.

    Attributes:
        received: bytes that came so far.
        consumed: of these, taken out.
        pending: bytes that were given back by `unread`.
        ended: whether the end of the stream has come.
        lost: the error that ended the connection, if it was one.
        expired: the deadline that ended it, if it was one.
        on_surprise: called when anything, an end included, comes while nobody asked: set on idle connections.
        on_bytes: called with every piece as it comes: set to show an exchange byte for byte.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int = RECEIVE_AT_MOST) -> None:
        """Read what `loop` brings; twice `limit` bytes that nobody takes hold the server up."""
        super().__init__(limit=limit, loop=loop)
        self.received = 0
        self.consumed = 0
        self.pending = b""
        self.ended = False
        self.lost: BaseException | None = None
        self.expired: FetchTimeout | None = None
        self.on_surprise: Callable[[], None] | None = None
        self.on_bytes: Callable[[bytes], None] | None = None
        self._come: deque[bytes | bytearray] = deque()
        self._most = 2 * limit
        self._make_future = loop.create_future
        self._reading: asyncio.Future[None] | None = None
        self._carrier: Any = None
        self._held_up = False

    # --- from the transport

    def set_transport(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the transport, which is told to wait when nobody reads."""
        super().set_transport(transport)
        self._carrier = transport

    def feed_data(self, data: Any) -> None:
        """Take what the transport received."""
        self.received += len(data)
        reading = self._reading
        if reading is not None and not reading.done():  # who waits has taken all that came before
            self._reading = None
            self._come.append(data)
            reading.set_result(None)
        else:
            self._keep(data)
        if self.on_bytes is not None:
            self.on_bytes(bytes(data))

    def _keep(self, data: bytes) -> None:
        """Take what has come while nobody waited for it."""
        if self._come and len(data) < _OWN_PIECE:
            self._join_to_last(data)
        else:
            self._come.append(data)
        if self.received - self.consumed > self._most and not self._held_up and self._carrier is not None:
            self._carrier.pause_reading()
            self._held_up = True
        if self.on_surprise is not None:
            self.on_surprise()

    def _join_to_last(self, data: bytes) -> None:
        last = self._come[-1]
        if isinstance(last, bytearray):
            last += data
        else:
            self._come.append(bytearray(data))

    def feed_eof(self) -> None:
        """Take the end of the stream."""
        self.ended = True
        super().feed_eof()
        if self._reading is not None and not self._reading.done():
            self._reading.set_result(None)
        if self.on_surprise is not None:
            self.on_surprise()

    def set_exception(self, exc: BaseException) -> None:
        """Take the error that ended the stream, if it had not ended before: what is buffered can still be read."""
        if not self.ended:
            self.lost = exc
        self.feed_eof()

    def give_up(self) -> None:
        """Say that it is this side that ends the stream now: the end that follows is not the server's."""
        if not self.ended:
            self.lost = ConnectionAbortedError("given up here")

    # --- to whoever reads

    async def receive(self) -> bytes:
        """Return what is there, at most a piece as it came, waiting for one; empty at the end of the stream.

        Raises:
            FetchTimeout: as `take`.
        """
        arrival = self.arrival()
        if arrival is not None:
            await arrival
        return self.take()

    def arrival(self) -> asyncio.Future[None] | None:
        """Return what to await before `take` has something to give or to raise; None if it has."""
        if self.pending or self._come or self.ended:
            return None
        self._reading = arrival = self._make_future()
        return arrival

    def take(self) -> bytes:
        """Return what is there, at most a piece as it came; empty if nothing is.

        Raises:
            FetchTimeout: a deadline ended the connection; what was buffered has been given out before, unless it
                is the deadline of the whole.
        """
        if self.expired is not None:
            self.check_total()
        if self.pending:
            data, self.pending = self.pending, b""
            return data
        if not self._come:
            if self.expired is not None:
                raise self.expired
            return b""
        piece = self._come.popleft()
        self.consumed += len(piece)
        if self._held_up:
            self._go_on()
        return bytes(piece)  # copies a bytearray only

    def _go_on(self) -> None:
        """Let the server that was held up go on if there is room again."""
        if self.received - self.consumed <= self._most // 2:
            self._held_up = False
            self._carrier.resume_reading()

    def check_total(self) -> None:
        """Do nothing, unless the deadline of the whole has passed: then what is still buffered is late, too.

        Raises:
            TotalTimeout: it has.
        """
        if isinstance(self.expired, TotalTimeout):
            raise self.expired

    def unread(self, data: bytes) -> None:
        """Give bytes back: they are what is taken next."""
        self.pending = data

    def is_quiet(self) -> bool:
        """Whether nothing is there to be read, and nothing, not even an end or a deadline, has come."""
        return self.received == self.consumed and not (self.pending or self.ended or self.expired)

    @property
    def is_starving(self) -> bool:
        """Whether the peer is who keeps us waiting: all that came has been taken out."""
        return self.received == self.consumed and not self.pending

    def hold_back(self, limit: int) -> None:
        """Buffer no more than about twice `limit` bytes from now on: the peer is to wait, not our memory."""
        self._limit = limit

    def describe_end(self) -> str:
        """Say how the stream ended, as a part of a sentence."""
        if isinstance(self.lost, ConnectionResetError):
            return "the connection was reset"
        if self.lost is not None:
            return f"the connection broke ({self.lost})"
        return "the connection was closed"
