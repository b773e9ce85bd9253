"""Whole messages as bytes: each rule of framing, read whole, byte by byte, and cut at every position."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import pytest

from asyncfetch.errors import (
    FetchError,
    IncompleteMessage,
    MalformedMessage,
    MessageTooLarge,
    ReadTimeout,
)
from asyncfetch.streams.body import ChunkedBody, LengthBody, UntilCloseBody, open_body
from asyncfetch.streams.heads import Framing, HeadParser
from asyncfetch.streams.http1 import choose_framing, may_persist, read_head
from asyncfetch.streams.wire import WireReader

KIB = 1024


@dataclass(frozen=True)
class Message:
    """What was read: the content, and whether another request may follow."""

    status: int
    content: bytes
    reusable: bool


async def read_message(reader: WireReader, method: str) -> Message:
    parser = HeadParser()
    head = await read_head(reader, parser)
    body = open_body(reader, choose_framing(head, method), parser, lambda: True)
    pieces = []
    while not body.complete:
        piece = await body.read()
        assert piece or body.complete
        pieces.append(piece)
    assert await body.read() == b""
    return Message(head.status, b"".join(pieces), may_persist(head) and reader.is_quiet())


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that never runs: it only lends its futures to readers that are fed by hand."""
    loop = asyncio.new_event_loop()
    loop.set_debug(
        False
    )  # its futures would record a stack each, under `python -X dev`, and times are measured here
    yield loop
    loop.close()


def feed_by_hand(
    reader: WireReader, reading: Coroutine[Any, Any, Any], pieces: Iterable[bytes], end: Exception | None
) -> Any:
    """Give the reader the next piece each time it waits for one, and the end, good or bad, after the last."""
    feeds = filter(None, pieces)
    try:
        while True:
            waits = reading.send(None) is not None
            piece = next(feeds, None) if waits else b""
            if piece:
                reader.feed_data(piece)
            elif piece is None and end is not None:
                reader.set_exception(end)
            elif piece is None:
                reader.feed_eof()
    except StopIteration as stop:
        return stop.value


def read(
    loop: asyncio.AbstractEventLoop, pieces: Iterable[bytes], method: str = "GET", end: Exception | None = None
) -> Message:
    reader = WireReader(loop)
    message: Message = feed_by_hand(reader, read_message(reader, method), pieces, end)
    return message


def one_by_one(raw: bytes) -> list[bytes]:
    return [raw[at : at + 1] for at in range(len(raw))]


def answer(fields: str, body: bytes, start: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([start, *filter(None, fields.split("; ")), "", ""]).encode() + body


def chunked(body: bytes) -> bytes:
    return answer("Transfer-Encoding: chunked", body)


# --- messages that are whole: (bytes, method, content, whether the connection may be used again)

WHOLE: dict[str, tuple[bytes, str, bytes, bool]] = {
    "length": (answer("Content-Length: 5", b"hello"), "GET", b"hello", True),
    "length twice": (answer("Content-Length: 5, 5; Content-Length: 05", b"hello"), "GET", b"hello", True),
    "length of 0": (answer("Content-Length: 0", b""), "GET", b"", True),
    "length with close": (answer("Content-Length: 2; Connection: close", b"hi"), "GET", b"hi", False),
    "length in 1.0": (answer("Content-Length: 2", b"hi", "HTTP/1.0 200 OK"), "GET", b"hi", False),
    "kept alive in 1.0": (
        answer("Content-Length: 2; Connection: keep-alive", b"hi", "HTTP/1.0 200 OK"),
        "GET",
        b"hi",
        True,
    ),
    "like a head": (
        answer("Content-Length: 19", b"HTTP/1.1 200 OK\r\n\r\n"),
        "GET",
        b"HTTP/1.1 200 OK\r\n\r\n",
        True,
    ),
    "HEAD with a length": (answer("Content-Length: 5", b""), "HEAD", b"", True),
    "HEAD, chunked": (answer("Transfer-Encoding: chunked", b""), "HEAD", b"", True),
    "HEAD without a length": (answer("", b""), "HEAD", b"", True),
    "204": (answer("", b"", "HTTP/1.1 204 x"), "GET", b"", True),
    "304 with a length": (answer("Content-Length: 5", b"", "HTTP/1.1 304 x"), "GET", b"", True),
    "304, chunked": (answer("Transfer-Encoding: chunked", b"", "HTTP/1.1 304 x"), "GET", b"", True),
    "204 that announces a body": (answer("Content-Length: 5", b"", "HTTP/1.1 204 x"), "GET", b"", False),
    "205 with a body": (answer("Content-Length: 2", b"hi", "HTTP/1.1 205 x"), "GET", b"hi", True),
    "600 with a body": (answer("Content-Length: 2", b"hi", "HTTP/1.1 600 x"), "GET", b"hi", True),
    "after interim responses": (
        b"HTTP/1.1 100 x\r\nContent-Length: 9\r\n\r\n" + answer("Content-Length: 2", b"hi"),
        "GET",
        b"hi",
        True,
    ),
    "chunked": (chunked(b"5\r\nhello\r\n3\r\n, w\r\n4\r\norld\r\n0\r\n\r\n"), "GET", b"hello, world", True),
    "no chunks": (chunked(b"0\r\n\r\n"), "GET", b"", True),
    "chunks like framing": (chunked(b"7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n"), "GET", b"0\r\n\r\n\r\n", True),
    "hex digits": (
        chunked(b"a\r\n0123456789\r\nB\r\n0123456789A\r\n0\r\n\r\n"),
        "GET",
        b"01234567890123456789A",
        True,
    ),
    "zeros before a size": (chunked(b"0" * 40 + b"2\r\nhi\r\n000\r\n\r\n"), "GET", b"hi", True),
    "16 digits": (chunked(b"0000000000000002\r\nhi\r\n0\r\n\r\n"), "GET", b"hi", True),
    "blanks after a size": (chunked(b"2  \r\nhi\r\n0\t\r\n\r\n"), "GET", b"hi", True),
    "extensions": (chunked(b'2;a=b;c="d;e"\r\nhi\r\n0;\r\n\r\n'), "GET", b"hi", True),
    "blanks and extensions": (chunked(b"2 ; a = \xff\x01\r\nhi\r\n0 ;x\r\n\r\n"), "GET", b"hi", True),
    "trailers": (chunked(b"2\r\nhi\r\n0\r\nA: b\r\nC:\r\n\r\n"), "GET", b"hi", True),
    "folded trailers": (chunked(b"2\r\nhi\r\n0\r\nA: b\r\n c\r\n\r\n"), "GET", b"hi", True),
    "trailers that frame nothing": (
        chunked(b"2\r\nhi\r\n0\r\nContent-Length: 9\r\nConnection: close\r\n\r\n"),
        "GET",
        b"hi",
        True,
    ),
    "chunked and length": (
        answer("Transfer-Encoding: chunked; Content-Length: 3", b"5\r\nhello\r\n0\r\n\r\n"),
        "GET",
        b"hello",
        False,
    ),
    "chunked in 1.0": (
        answer("Transfer-Encoding: chunked; Connection: keep-alive", b"2\r\nhi\r\n0\r\n\r\n", "HTTP/1.0 200 x"),
        "GET",
        b"hi",
        False,
    ),
    "until close": (answer("", b"hello"), "GET", b"hello", False),
    "until close, kept alive": (answer("Connection: keep-alive", b"hello"), "GET", b"hello", False),
    "until close, nothing": (answer("", b""), "GET", b"", False),
    "until close in 1.0": (answer("", b"hi", "HTTP/1.0 200 x"), "GET", b"hi", False),
}
UNTIL_CLOSE = {name for name in WHOLE if name.startswith("until close")}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_message(loop: asyncio.AbstractEventLoop, name: str) -> None:
    """Whole or byte by byte, a message gives the same; what comes after its end is no part of it."""
    raw, method, content, reusable = WHOLE[name]
    for pieces in ([raw], one_by_one(raw), [raw[:-1], raw[-1:]]):
        message = read(loop, pieces, method)
        assert (message.content, message.reusable) == (content, reusable)
    if name not in UNTIL_CLOSE:
        for stray in (b"x", b"\r\n", b"HTTP/1.1 500 stray\r\n\r\n"):
            assert read(loop, [raw + stray], method) == Message(message.status, content, reusable=False)
        reader = WireReader(loop)
        reader.feed_data(raw)
        reader.set_exception(ConnectionResetError())
        assert feed_by_hand(reader, read_message(reader, method), [], None).content == content
        assert not reader.is_quiet()


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize(
    "end", [None, ConnectionResetError("reset"), OSError("boom")], ids=["close", "reset", "error"]
)
def test_cut_message(loop: asyncio.AbstractEventLoop, name: str, end: Exception | None) -> None:
    """Cut anywhere, a message is incomplete; only a body without a length is whole wherever it is closed."""
    raw, method, content, _ = WHOLE[name]
    head = raw.index(b"\r\n\r\n") + 4
    for cut in range(len(raw) + (name in UNTIL_CLOSE)):
        for pieces in ([raw[:cut]], one_by_one(raw[:cut])):
            if name in UNTIL_CLOSE and cut >= head and end is None:
                assert read(loop, pieces, method, end).content == content[: cut - head]
                continue
            with pytest.raises(IncompleteMessage) as caught:
                read(loop, pieces, method, end)
            assert str(caught.value).isprintable()


def test_how_a_cut_body_is_described(loop: asyncio.AbstractEventLoop) -> None:
    """The sentence says how the connection ended, and how far the body came."""
    for raw, end, sentence in (
        (answer("Content-Length: 5", b"he"), None, "the connection was closed after 2 of 5 bytes of the body"),
        (answer("Content-Length: 5", b""), ConnectionResetError(), "the connection was reset after 0 of 5 bytes"),
        (chunked(b"5\r\nhe"), OSError("boom"), r"the connection broke \(boom\) before the last chunk of the body"),
        (answer("", b"he"), ConnectionResetError(), "the connection was reset in a body without a length"),
    ):
        with pytest.raises(IncompleteMessage, match=sentence):
            read(loop, [raw], end=end)


def test_ragged_end_of_tls_is_no_end(loop: asyncio.AbstractEventLoop) -> None:
    """Over TLS, a body without a length ends with a close_notify or not at all (RFC 9112 section 9.8)."""
    reader = WireReader(loop)
    body = open_body(reader, Framing.UNTIL_CLOSE, HeadParser(), lambda: False)
    assert feed_by_hand(reader, body.read(), [b"hi"], None) == b"hi"
    with pytest.raises(IncompleteMessage, match="without close_notify"):
        feed_by_hand(reader, body.read(), [], None)
    assert not body.complete


# --- messages that are broken

BROKEN: dict[str, bytes] = {
    "size of letters": b"xyz\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "no size but an extension": b";a=b\r\n\r\n",
    "blank before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "Arabic digit": "\u0665\r\nhello\r\n0\r\n\r\n".encode(),
    "17 digits": b"1" + b"0" * 16 + b"\r\nhello\r\n0\r\n\r\n",
    "blank in the size": b"0 5\r\nhello\r\n0\r\n\r\n",
    "vertical tab after the size": b"5\x0b\r\nhello\r\n0\r\n\r\n",
    "LF after the size": b"5\nhello\r\n0\r\n\r\n",
    "LF after the data": b"5\r\nhello\n0\r\n\r\n",
    "LF alone everywhere": b"5\nhello\n0\n\n",
    "LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;a\0b\r\nhello\r\n0\r\n\r\n",
    "CR alone after the size": b"5\rhello\r\n0\r\n\r\n",
    "no line end after the data": b"5\r\nhello0\r\n\r\n",
    "more data than announced": b"5\r\nhello!\r\n0\r\n\r\n",
    "CR alone after the data": b"5\r\nhello\r0\r\n\r\n",
    "two CRs after the data": b"5\r\nhello\r\r\n0\r\n\r\n",
    "empty line after the data": b"5\r\nhello\r\n\r\n0\r\n\r\n",
    "LF after the last chunk": b"5\r\nhello\r\n0\n\r\n",
    "LF as the last line": b"5\r\nhello\r\n0\r\n\n",
    "CR and no LF as the last line": b"5\r\nhello\r\n0\r\n\rX\r\n\r\n",
    "trailer with LF": b"0\r\nA: b\n\r\n",
    "trailers with LF between": b"0\r\nA: b\nC: d\r\n\r\n",
    "trailer with CR": b"0\r\nA: b\rc\r\n\r\n",
    "trailer with CR at its end": b"0\r\nA: b\r\r\n\r\n",
    "trailer with NUL": b"0\r\nA: b\0\r\n\r\n",
    "trailer without a colon": b"0\r\nA\r\n\r\n",
    "trailer without a name": b"0\r\n: b\r\n\r\n",
    "trailer with a blank before the colon": b"0\r\nA : b\r\n\r\n",
    "trailer that begins with a blank": b"0\r\n A: b\r\n\r\n",
    "next answer instead of trailers": b"0\r\nHTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_chunks(loop: asyncio.AbstractEventLoop, name: str) -> None:
    """Chunked framing that is not exactly right is malformed; a part of it is never a success."""
    raw = chunked(BROKEN[name])
    for pieces in ([raw], one_by_one(raw)):
        with pytest.raises(MalformedMessage) as caught:
            read(loop, pieces)
        assert str(caught.value).isprintable()
    for cut in range(len(raw)):
        with pytest.raises((MalformedMessage, IncompleteMessage)):
            read(loop, [raw[:cut]])


def test_broken_chunks_are_seen_as_they_come(loop: asyncio.AbstractEventLoop) -> None:
    """What can be no chunk any more is refused at once, without waiting for the end of its line."""
    for raw in (b"5\nhello", b"5\r\nhello\n", b"5\r\nhellox", b"0\r\n\n", b"0\r\nA: b\n"):
        reader = WireReader(loop)
        reader.feed_data(raw)
        body = ChunkedBody(reader, HeadParser())
        with pytest.raises(MalformedMessage):
            body.read().send(None)


# --- limits


def at_chunk_limit(size: int) -> bytes:
    return b"1;".ljust(size, b"x") + b"\r\nA\r\n0\r\n\r\n"


def at_trailer_limit(size: int, line: int) -> bytes:
    block = b"".join([b"A:".ljust(line - 2, b"x") + b"\r\n"] * (size // line))
    rest = size - len(block)
    return b"1\r\nA\r\n0\r\n" + block + b"B:".ljust(rest, b"x") + b"\r\n\r\n"


LIMITS: dict[str, tuple[bytes, bytes]] = {
    "chunk line": (at_chunk_limit(8 * KIB), at_chunk_limit(8 * KIB + 1)),
    "trailers of one line": (at_trailer_limit(64 * KIB, 70 * KIB), at_trailer_limit(64 * KIB + 1, 70 * KIB)),
    "trailers of many lines": (at_trailer_limit(64 * KIB, 1000), at_trailer_limit(64 * KIB + 1, 1000)),
    "number of trailers": (
        b"1\r\nA\r\n0\r\n" + b"A:\r\n" * 2000 + b"\r\n",
        b"1\r\nA\r\n0\r\n" + b"A:\r\n" * 2001 + b"\r\n",
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_of_chunked_framing(loop: asyncio.AbstractEventLoop, name: str) -> None:
    """At its limit a line or section is read, one over it is too large, however its last bytes come."""
    good, bad = (chunked(raw) for raw in LIMITS[name])
    for tail in (0, 1, 2, 3, 4, 5, 12):
        cut = len(good) - tail
        assert read(loop, [good[:cut], *one_by_one(good[cut:])]).content == b"A"
        cut = len(bad) - tail
        with pytest.raises(MessageTooLarge):
            read(loop, [bad[:cut], *one_by_one(bad[cut:])])


def test_chunk_line_at_its_limit_byte_by_byte(loop: asyncio.AbstractEventLoop) -> None:
    """The limit of a chunk line does not depend on how its line end comes."""
    good, bad = LIMITS["chunk line"]
    assert read(loop, [chunked(b""), *one_by_one(good)]).content == b"A"
    with pytest.raises(MessageTooLarge):
        read(loop, [chunked(b""), *one_by_one(bad)])


def prefixed(first: bytes, again: bytes) -> Iterator[bytes]:
    return chain([first + again], repeat(again))


ENDLESS: dict[str, Callable[[], Iterator[bytes]]] = {
    "chunk size": lambda: prefixed(b"", b"0" * 1000),
    "chunk extension": lambda: prefixed(b"1;", b"x" * 1000),
    "trailer": lambda: prefixed(b"0\r\nA: ", b"x" * 1000),
    "trailers": lambda: prefixed(b"0\r\n", b"A: b\r\n" * 100),
    "folded trailer": lambda: prefixed(b"0\r\nA: b\r\n", b" b\r\n" * 100),
    "size of zeros at once": lambda: prefixed(b"", b"0" * KIB * KIB),
    "trailers at once": lambda: prefixed(b"0\r\n", b"A: b\r\n" * 200_000),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_framing_ends(loop: asyncio.AbstractEventLoop, name: str) -> None:
    """Endless framing is given up soon, and takes no memory to speak of."""
    pieces = ENDLESS[name]()
    tracemalloc.start()
    try:
        with pytest.raises(MessageTooLarge):
            read(loop, chain([chunked(b"")], pieces))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * KIB * KIB


@pytest.mark.parametrize("framing", [10**15, Framing.CHUNKED])
def test_announced_length_takes_no_memory(loop: asyncio.AbstractEventLoop, framing: int | Framing) -> None:
    """A length or a chunk of 10^15 bytes costs what has come of it."""
    reader = WireReader(loop)
    body = open_body(reader, framing, HeadParser(), lambda: True)
    first = [] if isinstance(framing, int) else [b"38D7EA4C68000\r\n"]
    tracemalloc.start()
    try:
        for _ in range(64):
            assert len(feed_by_hand(reader, body.read(), [*first, b"x" * 64 * KIB], None)) == 64 * KIB
            first = []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < KIB * KIB
    assert not body.complete


@pytest.mark.parametrize(
    "raw",
    [
        b"1;" + b"x" * 8000 + b"\r\nA\r\n0\r\n\r\n",
        b"1\r\nA\r\n0\r\nA: " + b"x" * 60 * KIB + b"\r\n\r\n",
        b"1\r\nA\r\n0\r\n" + (b"A:" + b"x" * 30 + b"\r\n") * 1900 + b"\r\n",
    ],
    ids=["chunk line", "one trailer", "many trailers"],
)
def test_framing_byte_by_byte_costs_no_more_than_its_bytes(loop: asyncio.AbstractEventLoop, raw: bytes) -> None:
    """A drip of single bytes is not parsed from its beginning each time."""
    pieces = [chunked(b""), raw[: -2 * KIB], *one_by_one(raw[-2 * KIB :])]
    began = time.process_time()
    assert read(loop, pieces).content == b"A"
    assert time.process_time() - began < 0.1


async def test_many_tiny_chunks_let_others_run() -> None:
    """Many chunks of one byte are not parsed in one go: others have their turns meanwhile."""
    content = bytes(range(256)) * 160
    raw = b"".join(b"1\r\n%c\r\n" % byte for byte in content) + b"0\r\n\r\n"
    reader = WireReader(asyncio.get_running_loop())
    reader.feed_data(raw + b"stray")
    body = ChunkedBody(reader, HeadParser())
    turns: list[float] = []

    async def take_turns() -> None:
        while not body.complete:
            turns.append(time.monotonic())
            await asyncio.sleep(0)

    other = asyncio.ensure_future(take_turns())
    pieces = []
    while not body.complete:
        pieces.append(await body.read())
    await other
    assert b"".join(pieces) == content
    assert len(turns) >= 9
    assert not reader.is_quiet()


def test_tiny_chunks_take_memory_like_their_bytes(loop: asyncio.AbstractEventLoop) -> None:
    """Chunks of two bytes each do not cost an object each for long."""
    reader = WireReader(loop)
    reader.feed_data(b"2\r\nhi\r\n" * 140_000)
    body = ChunkedBody(reader, HeadParser())
    tracemalloc.start()
    try:
        assert feed_by_hand(reader, body.read(), [], None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * KIB * KIB


# --- the readers by themselves


async def test_a_body_that_is_not_wanted_is_not_read() -> None:
    """Bodies are read when they are asked for, and bytes beyond a body are left for nobody."""
    reader = WireReader(asyncio.get_running_loop())
    reader.feed_data(b"hello, stray")
    body = LengthBody(reader, 5)
    assert reader.consumed == 0
    assert await body.read() == b"hello"
    assert body.complete
    assert reader.pending == b", stray"
    assert not reader.is_quiet()


@pytest.mark.parametrize("kind", ["length", "chunked", "until close"])
async def test_deadline_gives_out_what_came_first(kind: str) -> None:
    """A deadline that ended the connection is raised once all that came has been given out."""
    reader = WireReader(asyncio.get_running_loop())
    framings: dict[str, int | Framing] = {
        "length": 9,
        "chunked": Framing.CHUNKED,
        "until close": Framing.UNTIL_CLOSE,
    }
    body = open_body(reader, framings[kind], HeadParser(), lambda: True)
    reader.feed_data(b"9\r\nhi" if kind == "chunked" else b"hi")
    reader.expired = ReadTimeout("no byte")
    reader.feed_eof()
    assert await body.read() == b"hi"
    with pytest.raises(ReadTimeout):
        await body.read()
    assert not body.complete


def test_bodies_by_framing(loop: asyncio.AbstractEventLoop) -> None:
    """Each framing has its reader; a length of 0 is complete from the start."""
    reader = WireReader(loop)
    kinds: list[tuple[int | Framing, type]] = [
        (0, LengthBody),
        (5, LengthBody),
        (Framing.CHUNKED, ChunkedBody),
        (Framing.UNTIL_CLOSE, UntilCloseBody),
    ]
    for framing, kind in kinds:
        body = open_body(reader, framing, HeadParser(), lambda: True)
        assert isinstance(body, kind)
        assert body.complete is (framing == 0)
    assert issubclass(IncompleteMessage, FetchError)
