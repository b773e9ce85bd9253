"""The reader of one connection: an asyncio.StreamReader that hides nothing.

A plain StreamReader withholds what it has buffered once the connection was reset, and cannot say how an end came
about. This one hands out every byte first and then tells a reset, a passed deadline and a quiet end apart. It also
takes bytes back that belong to the next message, and counts what came, which is all that the deadlines need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asyncfetch.errors import FetchTimeout, TotalTimeout

__all__ = ["RECEIVE_AT_MOST", "WireReader"]

RECEIVE_AT_MOST = 1024 * 1024


class WireReader(asyncio.StreamReader):
    """What comes from one connection, in order, to the last byte.

    Attributes:
        received: bytes that came so far.
        consumed: of these, taken out by `receive`.
        pending: bytes that were given back by `unread`.
        ended: whether the end of the stream has come.
        lost: the error that ended the connection, if it was one.
        expired: the deadline that ended it, if it was one.
        on_surprise: called when anything, an end included, comes while nobody asked: set on idle connections.
        on_bytes: called with every piece as it comes: set to show an exchange byte for byte.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int = RECEIVE_AT_MOST) -> None:
        super().__init__(limit=limit, loop=loop)
        self.received = 0
        self.consumed = 0
        self.pending = b""
        self.ended = False
        self.lost: BaseException | None = None
        self.expired: FetchTimeout | None = None
        self.on_surprise: Callable[[], None] | None = None
        self.on_bytes: Callable[[bytes], None] | None = None

    def feed_data(self, data: Any) -> None:
        """Take what the transport received."""
        self.received += len(data)
        super().feed_data(data)
        if self.on_bytes is not None:
            self.on_bytes(bytes(data))
        if self.on_surprise is not None:
            self.on_surprise()

    def feed_eof(self) -> None:
        """Take the end of the stream."""
        self.ended = True
        super().feed_eof()
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

    async def receive(self) -> bytes:
        """Return what is there, waiting for at least one byte; empty at the end of the stream.

        Raises:
            FetchTimeout: a deadline ended the connection; what was buffered has been given out before, unless it
                is the deadline of the whole.
        """
        self.check_total()
        if self.pending:
            data, self.pending = self.pending, b""
            return data
        data = await self.read(RECEIVE_AT_MOST)
        self.consumed += len(data)
        if not data and self.expired is not None:
            raise self.expired
        return data

    def check_total(self) -> None:
        """Do nothing, unless the deadline of the whole has passed: then what is still buffered is late, too.

        Raises:
            TotalTimeout: it has.
        """
        if isinstance(self.expired, TotalTimeout):
            raise self.expired

    def unread(self, data: bytes) -> None:
        """Give bytes back: the next `receive` returns them."""
        self.pending = data

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is there to be read, and nothing, not even an end or a deadline, has come."""
        return not self.pending and self.received == self.consumed and not self.ended and self.expired is None

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
