"""Responses of HTTP/1.1 (RFC 9112): where a head ends, how the body is framed, and whether another may follow.

Heads are parsed in `heads`, requests encoded in `request`, bodies read in `body`; who may send what to whom is not
known here.
"""

from __future__ import annotations

import re

from asyncfetch.errors import IncompleteMessage, MalformedMessage, MessageTooLarge, shown
from asyncfetch.streams.heads import HEAD_LIMIT, LINE_LIMIT, Framing, Head, HeadParser
from asyncfetch.streams.wire import WireReader

__all__ = ["choose_framing", "may_persist", "read_head", "take_head"]

INTERIM_LIMIT = 32
_END_AT_MOST = 4  # bytes that end a head, after its last line

# RFC 9110 section 8.6: Content-Length = 1*DIGIT; 18 digits are more than any disk holds
_LENGTH = re.compile(rb"0*[0-9]{1,18}")
_BLANKS = b" \t"
_START = b"HTTP/1."
_KEEP_ALIVE = [b"keep-alive"]


# --- RFC 9112 sections 2.1 and 4: the head among the bytes that come


def take_head(reader: WireReader, parser: HeadParser) -> Head | None:
    """Take the head of the final response if it is there and a usual one; None leaves it to `read_head`.

    Raises:
        MalformedMessage: as `read_head`.
        MessageTooLarge: as `read_head`.
        FetchTimeout: as `read_head`.
    """
    data = reader.take()
    block, end, rest = data.partition(b"\r\n\r\n")
    head = parser.recall(block) if end else None
    if head is None or head.status < 200:
        reader.unread(data)
        return None
    reader.pending = rest
    return head


async def read_head(reader: WireReader, parser: HeadParser) -> Head:
    """Read the head of the final response; interim responses (RFC 9110 section 15.2) are skipped.

    What follows the head stays in the reader.

    Raises:
        IncompleteMessage: the connection ended first.
        MalformedMessage: not HTTP/1.x, or a protocol switch that nobody asked for.
        MessageTooLarge: over 256 KiB, or more than 32 interim responses.
        FetchTimeout: a deadline ended the connection.
    """
    interim = 0
    while interim <= INTERIM_LIMIT:
        head = parser.parse(await _read_block(reader, await reader.receive()))
        if head.status >= 200:
            return head
        if head.status == 101:
            raise MalformedMessage("the server switches protocols (101) although nobody asked")
        interim += 1
    raise MessageTooLarge(f"more than {INTERIM_LIMIT} interim responses came before the answer")


async def _read_block(reader: WireReader, data: bytes) -> bytes:
    """Read on after `data` up to the first empty line, and return what stands before it."""
    end, rest = _find_end(data, 0)
    if end < 0:
        data, end, rest = await _gather_block(reader, data)
    if end > HEAD_LIMIT:
        raise _too_large_head()
    reader.unread(data[rest:])
    return data[:end]


async def _gather_block(reader: WireReader, data: bytes) -> tuple[bytes, int, int]:
    """Read on until an empty line has come; return all that has come, and what `_find_end` says of it."""
    gathered = bytearray()
    while data:
        searched = max(0, len(gathered) - _END_AT_MOST)
        gathered += data
        if searched < len(_START):
            _check_start(gathered)
        end, rest = _find_end(gathered, searched)
        if end >= 0:
            return bytes(gathered), end, rest
        if len(gathered) >= HEAD_LIMIT + _END_AT_MOST:
            raise _too_large_head()
        data = await reader.receive()
    raise IncompleteMessage(
        f"{reader.describe_end()} {'in the middle of the head' if gathered else 'before the answer'}"
    )


def _find_end(data: bytes | bytearray, start: int) -> tuple[int, int]:
    """Find the first empty line: where the lines before it end, and where the rest starts; -1 without one."""
    crlf = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start, crlf + 1 if crlf >= 0 else len(data))
    if bare >= 0:
        end, rest = bare, bare + 2
    elif crlf >= 0:
        end, rest = crlf, crlf + 3
    else:
        return -1, -1
    if end and data[end - 1] == 0x0D:
        end -= 1
    return end, rest


def _check_start(data: bytearray) -> None:
    """Refuse another protocol at its first bytes: its server may well wait for us to speak first."""
    if not data.startswith(_START[: len(data)]):
        raise MalformedMessage(f"the answer is not HTTP/1.x: {shown(bytes(data[:LINE_LIMIT]))}")


def _too_large_head() -> MessageTooLarge:
    return MessageTooLarge(f"the head is larger than {HEAD_LIMIT // 1024} KiB")


# --- RFC 9112 section 6: how long the body is


def choose_framing(head: Head, method: str) -> int | Framing:
    """Return the body's length in bytes, or how else its end is known (RFC 9112 section 6.3).

    Raises:
        MalformedMessage: a Transfer-Encoding other than `chunked`, or a Content-Length that is no number or
            contradicts another one.
    """
    if method == "HEAD":
        return 0
    if head.framing is None:
        head.framing = _find_framing(head.status, head.noted)
    return head.framing


def _find_framing(status: int, noted: dict[bytes, list[bytes]]) -> int | Framing:
    if status == 204 or status == 304:
        return 0
    if b"transfer-encoding" in noted:
        codings = b",".join(noted[b"transfer-encoding"])
        if codings.strip(_BLANKS).lower() != b"chunked":
            raise MalformedMessage(f"the transfer coding {shown(codings)} is not chunked")
        return Framing.CHUNKED
    values = noted.get(b"content-length")
    if values is None:
        return Framing.UNTIL_CLOSE
    value = values[0]
    return int(value) if value.isdigit() and len(value) <= 18 and len(values) == 1 else _parse_length(values)


def _parse_length(values: list[bytes]) -> int:
    listed = [value.strip(_BLANKS) for value in b",".join(values).split(b",")]
    if not all(_LENGTH.fullmatch(value) for value in listed):
        raise MalformedMessage(f"the Content-Length {shown(b','.join(values))} is not a length")
    lengths = {int(value.lstrip(b"0") or b"0") for value in listed}
    if len(lengths) > 1:
        raise MalformedMessage(f"the Content-Lengths contradict each other: {shown(b', '.join(values))}")
    return lengths.pop()


# --- RFC 9112 section 9.3: may the connection be used again


def may_persist(head: Head) -> bool:
    """Whether the head allows another request on its connection, provided that the body comes whole.

    Not after `Connection: close`, not with HTTP/1.0 unless it says keep-alive, and not where somebody may see the
    message's end elsewhere: Content-Length and Transfer-Encoding both frame it, HTTP/1.0 says chunked (both section
    6.1), or a 204 announces a body, which it must not have (RFC 9110 section 8.6).
    """
    if head.persists is None:
        head.persists = _find_persistence(head.minor, head.status, head.noted)
    return head.persists


def _find_persistence(minor: int, status: int, noted: dict[bytes, list[bytes]]) -> bool:
    if b"transfer-encoding" in noted and (b"content-length" in noted or minor == 0 or status == 204):
        return False
    if status == 204 and noted.get(b"content-length", [b"0"]) != [b"0"]:
        return False
    wishes = noted.get(b"connection")
    if wishes is None:
        return minor >= 1
    if wishes == _KEEP_ALIVE:
        return True
    options = {option.strip(_BLANKS) for option in b",".join(wishes).lower().split(b",")}
    if b"close" in options:
        return False
    return minor >= 1 or b"keep-alive" in options
