"""The body of a response (RFC 9112 sections 6 and 7): framing off, content out, never more than what came.

Each body is read piece by piece until it is complete. One that ends early raises: a cut body is never a success.
Memory grows with the bytes received, never with a length that was announced.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Protocol

from asyncfetch.errors import IncompleteMessage, MalformedMessage, MessageTooLarge, shown
from asyncfetch.streams.heads import Framing, HeadParser
from asyncfetch.streams.wire import WireReader

__all__ = ["Body", "ChunkedBody", "LengthBody", "UntilCloseBody", "open_body"]

CHUNK_LINE_LIMIT = 8 * 1024
TRAILERS_LIMIT = 64 * 1024
_PIECES_AT_ONCE = 4096  # chunks taken in one go: about 5 ms of tiny ones

# RFC 9112 section 7.1: chunk-size = 1*HEXDIG, then extensions, which are ignored. Some servers pad with blanks.
_CHUNK_LINE = re.compile(rb"0*([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n\0]*)?")


class Body(Protocol):
    """Content in pieces, transfer coding removed.

    Attributes:
        complete: whether the last byte of the message has been read.
    """

    complete: bool

    async def read(self) -> bytes:
        """Return the next piece. It may be empty only when this completes the body.

        Raises:
            IncompleteMessage: the connection ended first.
            MalformedMessage: the chunked framing is broken.
            MessageTooLarge: a chunk line or the trailers are over their limit.
            FetchTimeout: a deadline ended the connection.
        """
        ...


class LengthBody:
    """A body of a known length (RFC 9112 section 6.2)."""

    __slots__ = ("_left", "_length", "_reader", "complete")

    def __init__(self, reader: WireReader, length: int) -> None:
        self._reader = reader
        self._length = self._left = length
        self.complete = length == 0

    async def read(self) -> bytes:
        """Return the next piece; see `Body.read`."""
        if self.complete:
            return b""
        data = await self._reader.receive()
        if not data:
            came = self._length - self._left
            raise IncompleteMessage(
                f"{self._reader.describe_end()} after {came} of {self._length} bytes of the body"
            )
        if len(data) > self._left:
            self._reader.unread(data[self._left :])
            data = data[: self._left]
        self._left -= len(data)
        self.complete = not self._left
        return data


class UntilCloseBody:
    """A body that ends with its connection (RFC 9112 section 6.3, item 8).

    The end must be a clean one: `ended_cleanly` says so for TLS, where a missing close_notify may be an attacker
    who cut the body (RFC 9112 section 9.8).
    """

    __slots__ = ("_ended_cleanly", "_reader", "complete")

    def __init__(self, reader: WireReader, ended_cleanly: Callable[[], bool]) -> None:
        self._reader = reader
        self._ended_cleanly = ended_cleanly
        self.complete = False

    async def read(self) -> bytes:
        """Return the next piece; see `Body.read`."""
        data = await self._reader.receive()
        if data:
            return data
        if self._reader.lost is not None:
            raise IncompleteMessage(f"{self._reader.describe_end()} in a body without a length")
        if not self._ended_cleanly():
            raise IncompleteMessage("the TLS connection ended without close_notify in a body without a length")
        self.complete = True
        return b""


class ChunkedBody:
    """A body in chunks (RFC 9112 section 7.1). Trailers are checked and dropped.

    `_step` is what comes next on the wire: each step consumes a part of the buffer and names the step after it,
    or leaves the buffer as it is and asks for more.
    """

    __slots__ = (
        "_buffer",
        "_content",
        "_left",
        "_parser",
        "_reader",
        "_step",
        "_trailers",
        "_trailers_left",
        "complete",
    )

    def __init__(self, reader: WireReader, parser: HeadParser) -> None:
        self._reader = reader
        self._parser = parser
        self._buffer = b""
        self._content: list[bytes] = []
        self._left = 0  # of the current chunk
        self._trailers: list[bytes] = []
        self._trailers_left = TRAILERS_LIMIT
        self._step: Callable[[int], int] = self._parse_chunk_line
        self.complete = False

    async def read(self) -> bytes:
        """Return the content of the chunks that have come; see `Body.read`."""
        while not self.complete and not self._content:
            data = await self._reader.receive()
            if not data:
                raise IncompleteMessage(f"{self._reader.describe_end()} before the last chunk of the body")
            self._parse(data)
        content, self._content = self._content, []
        if len(content) == _PIECES_AT_ONCE:
            await asyncio.sleep(0)  # tiny chunks: others have waited long enough
        return content[0] if len(content) == 1 else b"".join(content)

    def _parse(self, data: bytes) -> None:
        """Take as many steps as the bytes allow, and keep the rest: here if more must come, or in the reader."""
        self._buffer = self._buffer + data if self._buffer else data
        at, before = 0, -1
        while at != before and not self.complete and len(self._content) < _PIECES_AT_ONCE:
            before = at
            at = self._step(at)
        rest = self._buffer[at:]
        self._buffer = rest if at == before else b""
        if rest and at != before:
            self._reader.unread(rest)

    def _parse_chunk_line(self, at: int) -> int:
        """chunk-size [ chunk-ext ] CRLF."""
        end = self._find_line_end(at, CHUNK_LINE_LIMIT)
        if end < 0:
            return at
        if end - at > CHUNK_LINE_LIMIT:
            raise MessageTooLarge(f"a chunk line is longer than {CHUNK_LINE_LIMIT // 1024} KiB")
        line = self._buffer[at:end]
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise MalformedMessage(f"{shown(line)} is not a chunk size")
        self._left = int(match[1], 16)
        self._step = self._parse_chunk_content if self._left else self._parse_trailer
        return end + 2

    def _parse_chunk_content(self, at: int) -> int:
        """chunk-data."""
        piece = self._buffer[at : at + self._left]
        if not piece:
            return at
        self._content.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._step = self._parse_chunk_end
        return at + len(piece)

    def _parse_chunk_end(self, at: int) -> int:
        """The CRLF after chunk-data."""
        mark = self._buffer[at : at + 2]
        if not b"\r\n".startswith(mark):
            raise MalformedMessage(f"a chunk does not end with CRLF but with {shown(mark)}")
        if len(mark) < 2:
            return at
        self._step = self._parse_chunk_line
        return at + 2

    def _parse_trailer(self, at: int) -> int:
        """trailer-section CRLF, a line at a time."""
        if self._buffer.startswith(b"\r\n", at):
            if self._trailers:
                self._parser.parse_fields(self._trailers, {})
            self.complete = True
            return at + 2
        end = self._find_line_end(at, self._trailers_left)
        if end < 0:
            return at
        line = self._buffer[at:end]
        if len(line) > self._trailers_left:
            raise MessageTooLarge(f"the trailers are larger than {TRAILERS_LIMIT // 1024} KiB")
        self._trailers.append(line)
        self._trailers_left = max(0, self._trailers_left - len(line) - 2)
        return end + 2

    def _find_line_end(self, at: int, limit: int) -> int:
        """Find where the line at `at` ends, before its CRLF; -1 if that has not come.

        A line over its limit ends where the buffer does: it is the caller who says that it is too long.
        """
        end = self._buffer.find(b"\n", at)
        if end < 0:
            over = len(self._buffer) - at > limit + 1
            return len(self._buffer) if over else -1
        line = self._buffer[at:end]
        if not line.endswith(b"\r"):
            raise MalformedMessage(f"a line of the chunked coding ends with LF alone: {shown(line)}")
        return end - 1


def open_body(
    reader: WireReader, framing: int | Framing, parser: HeadParser, ended_cleanly: Callable[[], bool]
) -> Body:
    """Return the reader for a body that is framed like this; see `choose_framing`."""
    if isinstance(framing, int):
        return LengthBody(reader, framing)
    if framing is Framing.CHUNKED:
        return ChunkedBody(reader, parser)
    return UntilCloseBody(reader, ended_cleanly)
