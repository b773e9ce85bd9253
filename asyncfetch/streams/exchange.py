"""One request and its response on one connection, and what becomes of the connection afterwards.

The head comes first; the body is then read piece by piece, decoded and bounded, by whoever wants it. Every
exchange must be ended: by `release` when its body is complete, by `drain` when nobody wants the body, and otherwise
by `discard`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from itertools import islice
from time import monotonic

import msgspec

from asyncfetch.errors import FetchError, IncompleteMessage
from asyncfetch.settings import Timeouts
from asyncfetch.streams.body import Body, open_body
from asyncfetch.streams.connection import Connection
from asyncfetch.streams.decoding import Decoder, check_growth, make_decoder
from asyncfetch.streams.heads import Framing, Head, HeadParser
from asyncfetch.streams.http1 import choose_framing, may_persist, read_head, take_head
from asyncfetch.streams.pool import Pool

__all__ = ["Exchange", "StaleConnection"]

_DRAIN_AT_MOST = 64 * 1024
_PIECES_AT_ONCE = 16  # of at most 256 KiB: some 4 ms of decoding
_BLOCK = 64 * 1024  # bytes of a body that are kept as they came, or together
_DRAIN_WITHIN = 1.0  # seconds; a connection is not worth more


class StaleConnection(Exception):
    """The connection had been used before and ended before the first byte of an answer: it had died while idle.

    RFC 9112 section 9.3.1 lets a client send such a request again, once, by itself.
    """


class _Whole:
    """Collects a body: large pieces as they come, small ones in blocks, so that nothing has to move as it grows."""

    __slots__ = ("_blocks", "_small")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._small = BytesIO()

    def add(self, piece: bytes) -> None:
        if len(piece) < _BLOCK:
            self._small.write(piece)
            if self._small.tell() >= _BLOCK:
                self._end_block()
            return
        if self._small.tell():
            self._end_block()
        self._blocks.append(piece)

    def _end_block(self) -> None:
        self._blocks.append(self._small.getvalue())
        self._small = BytesIO()

    def joined(self) -> bytes:
        if self._small.tell():
            self._end_block()
        return b"".join(self._blocks)


def _wait_for_nothing(num_bytes: int) -> None:
    """Be told of bytes."""


class Exchange(msgspec.Struct, eq=False):
    """A request that was sent, and its response; `begin` makes it when the response's head has come.

    Attributes:
        connection: what it goes over.
        head: the response's head.
        ttfb: seconds from the request sent to the head complete.
        decoded: bytes of content given out so far.
        wire: body bytes received so far as sent, without the framing.
    """

    _pool: Pool
    connection: Connection
    _parser: HeadParser
    head: Head
    _framing: int | Framing
    ttfb: float
    decoded: int = 0
    wire: int = 0
    _whole: bytes | None = None
    _body: Body | None = None
    _decoder: Decoder | None = None
    _pieces: Iterator[bytes] | None = None
    _max_body: int | None = None
    _on_wire: Callable[[int], float | None] = _wait_for_nothing

    @classmethod
    async def begin(
        cls,
        pool: Pool,
        connection: Connection,
        parser: HeadParser,
        request: bytes,
        method: str,
        timeouts: Timeouts,
        total_at: float,
    ) -> Exchange:
        """Send a request and read the head of its response; if that fails, the connection is discarded.

        Args:
            pool: where the connection goes afterwards.
            connection: what it goes over.
            parser: parses heads.
            request: the encoded request.
            method: its method, which decides about the body.
            timeouts: the deadlines in seconds.
            total_at: when all must be over, by `time.monotonic()`; infinity for never.

        Raises:
            StaleConnection: send it again on a new connection.
            ProtocolError: the answer is not HTTP/1.x, or its framing is contradictory.
            FetchTimeout: a deadline passed.
        """
        sent, reader = monotonic(), connection.reader
        try:
            connection.expect_head(sent, timeouts, total_at)
            connection.write(request)
            arrival = reader.arrival()
            if arrival is not None:
                await arrival
            head = take_head(reader, parser) or await _read_head(connection, parser)
            return cls(pool, connection, parser, head, choose_framing(head, method), monotonic() - sent)
        except BaseException:
            pool.discard(connection)
            raise

    def take_whole(self, max_body: int | None) -> bytes | None:
        """Return the whole content if it has come together with the head, as that of most small answers does.

        This is `accept` and `read_all` in one step, without a wait; `decoded` and `wire` stay at 0. None means that
        they are to be used: the content is encoded, over its limit, or not there yet, which they know how to deal
        with.
        """
        reader = self.connection.reader
        content = reader.pending
        size = len(content)
        if size != self._framing or reader.expired or b"content-encoding" in self.head.noted:
            return None
        if max_body is not None and size > max_body:
            return None
        reader.pending = b""
        return content

    @property
    def length(self) -> int | None:
        """Bytes of the body as sent, or None if only its end will tell."""
        return self._framing if isinstance(self._framing, int) else None

    def accept(self, max_body: int | None, on_wire: Callable[[int], float | None], begin: int = 0) -> None:
        """Prepare to read the content: choose the decoder, and allow `max_body` decoded bytes, None any number.

        `on_wire` is told the number of body bytes as they come, as sent; it may return seconds to wait before more
        are read. `begin` bytes of the content have come with earlier answers; they count as if they had come with
        this one.

        Raises:
            DecodingError: the content coding is not known.
            BodyTooLarge: the length that the head announces is over the limit.
        """
        self._on_wire = on_wire
        self._max_body = max_body
        if begin == 0 and (whole := self.take_whole(max_body)) is not None:
            self._whole = whole
            return
        body = self._open_body()
        codings = self.head.content_encoding
        if codings and not body.complete:
            self._decoder = make_decoder(codings, max_decoded=max_body)
        self.decoded = self.wire = begin
        if max_body is not None and isinstance(self._framing, int) and self._decoder is None:
            check_growth(begin + self._framing, begin + self._framing, max_body)

    def _open_body(self) -> Body:
        """Start to read the body; from here silence and slowness count."""
        connection = self.connection
        connection.expect_body(monotonic())
        self._decoder = self._pieces = None
        self._body = open_body(connection.reader, self._framing, self._parser, connection.ended_cleanly)
        return self._body

    @property
    def complete(self) -> bool:
        """Whether the body has been read, and decoded, to its end."""
        if self._body is None:
            return self._framing == 0 if self._whole is None else not self._whole
        return self._body.complete and self._pieces is None

    async def read(self) -> Iterable[bytes]:
        """Read on and return the decoded pieces that this gave; they must all be taken before the next call.

        Raises:
            ProtocolError: the body is not whole.
            BodyError: the content is too large, or cannot be decoded; while the pieces are taken, too.
            FetchTimeout: a deadline passed.
        """
        body = self._body
        if body is None:
            return await self._give_whole()
        if self._pieces is not None:
            await asyncio.sleep(0)  # decoding took its time; others have waited long enough
            if not body.complete:
                self.connection.reader.check_total()
            return self._some_pieces(self._pieces)
        data = await body.read()
        self.wire += len(data)
        wait = self._on_wire(len(data))
        if wait:
            await asyncio.sleep(wait)
        if self._decoder is not None:
            self._pieces = self._decode(data, body, self._decoder)
            return self._some_pieces(self._pieces)
        self.decoded += len(data)
        if self._max_body is not None:
            check_growth(self.decoded, self.wire, self._max_body)
        return (data,) if data else ()

    async def _give_whole(self) -> Iterable[bytes]:
        """Give the content that has come with the head, once."""
        whole, self._whole = self._whole, b""
        if not whole:
            return ()
        self.decoded = self.wire = len(whole)
        wait = self._on_wire(len(whole))
        if wait:
            await asyncio.sleep(wait)
        return (whole,)

    def _decode(self, data: bytes, body: Body, decoder: Decoder) -> Iterator[bytes]:
        for piece in decoder.decode(data):
            self.decoded += len(piece)
            yield piece
        if body.complete:
            decoder.finish()

    def _some_pieces(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Give as many pieces as may be decoded in one go; without a full number, they are all."""
        given = 0
        for piece in islice(pieces, _PIECES_AT_ONCE):
            given += 1
            yield piece
        if given < _PIECES_AT_ONCE:
            self._pieces = None

    async def read_all(self) -> bytes:
        """Read the whole body into memory; raises as `read` does.

        However small the pieces are in which it comes, it takes little more memory than its size, and as much again
        for the moment in which it is put together.
        """
        whole = _Whole()
        while not self.complete:
            for piece in await self.read():
                whole.add(piece)
        return whole.joined()

    # --- the end of it

    def release(self) -> None:
        """Give the connection back after the complete body, for another request if this one allows it."""
        give_back = self._pool.release if may_persist(self.head) else self._pool.finish
        give_back(self.connection)

    def discard(self) -> None:
        """Close the connection: the exchange is given up."""
        self._pool.discard(self.connection)

    async def drain(self) -> None:
        """Read a body that nobody wants away if it is short, not decoding it; otherwise close the connection."""
        left = _DRAIN_AT_MOST
        body = self._body or self._open_body()
        self.connection.hurry(monotonic() + _DRAIN_WITHIN)
        try:
            while left > 0 and not body.complete:
                left -= len(await body.read())
        except FetchError:
            self.discard()
            return
        except BaseException:
            self.discard()
            raise
        if body.complete:
            self.release()
        else:
            self.discard()


async def _read_head(connection: Connection, parser: HeadParser) -> Head:
    try:
        return await read_head(connection.reader, parser)
    except IncompleteMessage as error:
        if connection.served and connection.was_silent:
            raise StaleConnection from error
        raise
