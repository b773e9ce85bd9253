"""One request and its response on a real connection, and what becomes of the connection."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any

import pytest

from asyncfetch.errors import (
    BodyTooLarge,
    DecodingError,
    FetchError,
    HeadTimeout,
    IncompleteMessage,
    MalformedMessage,
    ReadTimeout,
    TotalTimeout,
)
from asyncfetch.settings import Limits, Network, Timeouts, TLSSettings
from asyncfetch.streams.dialler import Dialler
from asyncfetch.streams.exchange import Exchange, StaleConnection
from asyncfetch.streams.guard import allow_all
from asyncfetch.streams.heads import HeadParser
from asyncfetch.streams.pool import Pool
from asyncfetch.streams.request import encode_request
from asyncfetch.streams.resolver import Resolver
from asyncfetch.streams.tls import LazyContext
from asyncfetch.testing import (
    Answer,
    Close,
    Drip,
    Endless,
    FaultServer,
    Pause,
    Reply,
    Reset,
    Script,
    Send,
    Sequence,
    Silence,
)
from asyncfetch.url import Url
from tests.soon import SOON

KIB = 1024
HELLO = Reply(200, b"hello")
PARSER = HeadParser()


def raw(fields: str, body: bytes) -> Send:
    return Send("\r\n".join(["HTTP/1.1 200 OK", *filter(None, fields.split("; ")), "", ""]).encode() + body)


class Speaker:
    """Speaks with one server over one pool."""

    def __init__(self, server: FaultServer) -> None:
        self.server = server
        self.resolver = Resolver(Network())
        dialler = Dialler(self.resolver, allow_all, LazyContext(TLSSettings()), stagger=0.05, trace=None)
        self.pool = Pool(dialler, Limits())
        self.wire: list[int] = []

    async def begin(self, path: str = "/", method: str = "GET", **timeouts: Any) -> Exchange:
        """Send a request and read the head of its answer."""
        url = Url.parse(self.server.url(path))
        connection = await self.pool.acquire(url.origin, 5)
        limits = Timeouts(**timeouts)
        self.pool.watch(limits)
        total_at = monotonic() + (limits.total or 1e9)
        request = encode_request(method, url.target, url.origin.authority, b"")
        return await Exchange.begin(self.pool, connection, PARSER, request, method, limits, total_at)

    async def get(self, path: str = "/", max_body: int | None = None, **timeouts: Any) -> bytes:
        """Fetch the whole of it, and give the connection back."""
        exchange = await self.begin(path, **timeouts)
        try:
            exchange.accept(max_body, self.wire.append)
            content = await exchange.read_all()
        except BaseException:
            exchange.discard()
            raise
        exchange.release()
        return content

    async def answered(self, answer: Answer, max_body: int | None = None, **timeouts: Any) -> bytes:
        self.server.route("/", answer)
        return await self.get("/", max_body, **timeouts)


@pytest.fixture
async def speaker(fault_server: FaultServer) -> AsyncIterator[Speaker]:
    fault_server.route("/hello", HELLO)
    speaker = Speaker(fault_server)
    yield speaker
    assert speaker.pool.in_use == 0
    await speaker.pool.aclose()
    speaker.resolver.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


# --- the head


async def test_exchange(speaker: Speaker) -> None:
    """A request gets its head, then its body, and the connection waits for the next one."""
    speaker.server.route("/", Reply(201, b"hello", headers={"A": "b"}, delay=0.02))
    exchange = await speaker.begin()
    assert (exchange.head.status, exchange.head.reason, exchange.complete) == (201, b"Created", False)
    assert (b"A", b"b") in exchange.head.fields
    assert 0.015 < exchange.ttfb < 1
    exchange.accept(None, speaker.wire.append)
    assert list(await exchange.read()) == [b"hello"]
    assert exchange.complete
    assert (exchange.decoded, exchange.wire, sum(speaker.wire)) == (5, 5, 5)
    exchange.release()
    assert (speaker.pool.idle, speaker.pool.in_use) == (1, 0)
    assert speaker.server.seen.log[0].method == "GET"


async def test_head_has_no_body(speaker: Speaker) -> None:
    """The answer to a HEAD is complete with its head, however long the body would be and however it is coded."""
    speaker.server.route("/", Script(raw("Content-Length: 99999999999; Content-Encoding: nonsense", b"")))
    exchange = await speaker.begin(method="HEAD")
    assert exchange.complete
    exchange.accept(10, speaker.wire.append)
    assert await exchange.read_all() == b""
    exchange.release()
    assert speaker.pool.idle == 1
    assert speaker.server.seen.log[0].method == "HEAD"


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["close", "reset"])
async def test_stale_connection_is_told(speaker: Speaker, end: Close | Reset) -> None:
    """A connection that was used before and ends before the first byte of an answer had died while idle."""
    speaker.server.route("/", Sequence(HELLO, Script(end)))
    assert await speaker.get() == b"hello"
    with pytest.raises(StaleConnection) as caught:
        await speaker.get()
    assert isinstance(caught.value.__cause__, IncompleteMessage)
    assert await speaker.get("/hello") == b"hello"
    assert speaker.pool.opened == 2


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["close", "reset"])
async def test_new_connection_is_never_stale(speaker: Speaker, end: Close | Reset) -> None:
    """A new connection that ends before an answer is an answer that did not come."""
    with pytest.raises(IncompleteMessage, match="before the answer"):
        await speaker.answered(Script(end))


@pytest.mark.parametrize("first", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_begun_answer_is_never_stale(speaker: Speaker, first: bytes) -> None:
    """One byte of an answer shows that the server got the request: it must not be sent again by itself."""
    speaker.server.route("/", Sequence(HELLO, Script(Send(first), Close())))
    await speaker.get()
    with pytest.raises(IncompleteMessage):
        await speaker.get()


async def test_deadline_is_never_stale(speaker: Speaker) -> None:
    """A used connection on which the server keeps silent runs into its deadline."""
    speaker.server.route("/", Sequence(HELLO, Script(Silence())))
    await speaker.get()
    with pytest.raises(HeadTimeout):
        await speaker.get(head=0.05)


async def test_contradictory_framing_ends_the_exchange(speaker: Speaker) -> None:
    """An answer whose end could be in two places is given up before its body."""
    with pytest.raises(MalformedMessage, match="contradict"):
        await speaker.answered(Script(raw("Content-Length: 1; Content-Length: 2", b"hi")))
    assert (speaker.pool.idle, speaker.pool.in_use) == (0, 0)


# --- the body


@pytest.mark.parametrize(
    "answer",
    [
        HELLO,
        Reply(200, b"hello", chunked=2),
        Reply(200, b"hello", gzip=True),
        Reply(200, b"hello", gzip=True, chunked=3),
        Reply(200, b"hello", content_length=False),
        Reply(200, b"hello", gzip=True, content_length=False),
        Reply(404, b"hello"),
        Script(raw("Content-Length: 5; Content-Encoding: identity", b"hello")),
        Script(
            raw(
                "Transfer-Encoding: chunked; Content-Encoding: deflate",
                b"d\r\n" + zlib.compress(b"hello") + b"\r\n",
            ),
            Pause(0.01),
            Send(b"0\r\n\r\n"),
        ),
    ],
    ids=["length", "chunked", "gzip", "gzip chunked", "close", "gzip close", "404", "identity", "end by itself"],
)
async def test_content(speaker: Speaker, answer: Answer) -> None:
    """However it is framed and coded, the content comes out, and as much as is allowed is not too much."""
    assert await speaker.answered(answer, max_body=5) == b"hello"


async def test_sizes_are_counted_as_sent_and_as_decoded(speaker: Speaker) -> None:
    """`wire` is the body without its framing, `decoded` the content, also while it is read."""
    content = b"x" * 100_000
    speaker.server.route("/", Reply(200, content, gzip=True, chunked=20))
    exchange = await speaker.begin()
    exchange.accept(None, speaker.wire.append)
    pieces = []
    while not exchange.complete:
        for piece in await exchange.read():
            pieces.append(piece)
            assert exchange.decoded == sum(map(len, pieces))
    exchange.release()
    assert b"".join(pieces) == content
    assert exchange.wire == sum(speaker.wire) == len(gzip.compress(content, mtime=0))


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (Reply(200, b"hello!"), BodyTooLarge, "over the limit of 5 bytes"),
        (
            Script(raw("Content-Length: 1000000000000000", b""), Silence()),
            BodyTooLarge,
            "over the limit of 5 bytes",
        ),
        (Reply(200, b"hello!", chunked=True), BodyTooLarge, "over the limit of 5 bytes"),
        (Reply(200, b"hello!", content_length=False), BodyTooLarge, "over the limit of 5 bytes"),
        (Reply(200, b"x" * 1000, gzip=True), BodyTooLarge, "over the limit of 5 bytes"),
        (Script(raw("Content-Length: 5; Content-Encoding: x", b"hello")), DecodingError, "'x' is not known"),
        (Script(raw("Content-Length: 5; Content-Encoding: gzip", b"hello")), DecodingError, "corrupt"),
        (
            Script(raw("Content-Length: 20; Content-Encoding: gzip", gzip.compress(b"hello", mtime=0)[:20])),
            DecodingError,
            "ends too early",
        ),
        (Script(raw("Content-Length: 5", b"hel"), Close()), IncompleteMessage, "after 3 of 5 bytes"),
        (Script(raw("Transfer-Encoding: chunked", b"5\r\nhello\r\nx\r\n")), MalformedMessage, "not a chunk size"),
        (Script(raw("Content-Length: 5", b"hel"), Silence()), ReadTimeout, "no byte"),
    ],
    ids=[
        "length",
        "announced",
        "chunked",
        "until close",
        "decoded",
        "coding",
        "corrupt",
        "cut inside",
        "cut",
        "broken",
        "silent",
    ],
)
async def test_content_that_is_not_accepted(
    speaker: Speaker, answer: Answer, error: type[FetchError], words: str
) -> None:
    """What is too large, cannot be decoded or is not whole is an error, and its connection is not used again."""
    with pytest.raises(error, match=words):
        await speaker.answered(answer, max_body=5, read=0.05)
    assert await speaker.get("/hello", max_body=5) == b"hello"
    assert speaker.pool.opened == 2


@pytest.mark.parametrize("fields", ["Content-Length: 0; Content-Encoding: nonsense", "Content-Length: 0"])
async def test_no_content_has_no_coding(speaker: Speaker, fields: str) -> None:
    """Where there is nothing to decode its coding does not matter."""
    assert await speaker.answered(Script(raw(fields, b"")), max_body=0) == b""
    assert speaker.pool.idle == 1


async def test_body_in_pieces_of_all_sizes_is_whole(speaker: Speaker) -> None:
    """However large and small pieces follow each other, the body is all of them in their order."""
    sizes = [1, 70 * KIB, 3, 60 * KIB, 5 * KIB, 200 * KIB, 64 * KIB, 2] * 3
    pieces = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    steps = [step for piece in pieces for step in (Send(piece), Pause(0.002))]
    assert await speaker.answered(Script(raw(f"Content-Length: {sum(sizes)}", b""), *steps)) == b"".join(pieces)


async def test_body_in_tiny_pieces_takes_memory_like_its_bytes(speaker: Speaker) -> None:
    """A body that comes two bytes at a time does not cost an object for each of them."""
    size = 4_000
    speaker.server.route("/", Script(raw(f"Content-Length: {size}", b""), Silence()))
    exchange = await speaker.begin()
    exchange.accept(None, lambda _: None)
    reading = asyncio.ensure_future(exchange.read_all())
    tracemalloc.start()
    try:
        for at in range(0, size, 2):
            exchange.connection.reader.feed_data(b"%c%c" % (at % 256, at // 256))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        content = await reading
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    exchange.discard()
    assert len(content) == size
    assert peak < 20 * size


BIG = gzip.compress(bytes(12 * KIB * KIB), mtime=0)  # 48 pieces of 256 KiB


async def test_decoding_lets_others_run(speaker: Speaker) -> None:
    """A small body that decodes to a large one is decoded in several goes; it is complete after the last."""
    speaker.server.route("/", Script(raw(f"Content-Length: {len(BIG)}; Content-Encoding: gzip", BIG)))
    exchange = await speaker.begin()
    exchange.accept(None, speaker.wire.append)
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while not exchange.complete:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.ensure_future(take_turns())
    goes = [sum(map(len, await exchange.read()))]
    while not exchange.complete:
        goes.append(sum(map(len, await exchange.read())))
    await other
    exchange.release()
    assert sum(goes) == exchange.decoded == 12 * KIB * KIB
    assert max(goes) <= 4 * KIB * KIB
    assert turns >= 3


@pytest.mark.parametrize("is_whole", [True, False])
async def test_total_while_decoding(speaker: Speaker, is_whole: bool) -> None:
    """The total holds between two goes of decoding, unless all of the body has come."""
    end = b"\r\n0\r\n\r\n" if is_whole else b""
    chunk = f"{len(BIG):x}\r\n".encode() + BIG + end
    speaker.server.route("/", Script(raw("Transfer-Encoding: chunked; Content-Encoding: gzip", chunk), Silence()))
    exchange = await speaker.begin(total=30.0)
    exchange.accept(None, speaker.wire.append)
    await until(lambda: exchange.connection.reader.received >= len(chunk))
    size = sum(map(len, await exchange.read()))
    exchange.connection.check(monotonic() + 60)
    if is_whole:
        assert size + len(await exchange.read_all()) == 12 * KIB * KIB
    else:
        with pytest.raises(TotalTimeout):
            await exchange.read()
    exchange.discard()


# --- the end of it


@pytest.mark.parametrize(
    ("answer", "idle"),
    [
        (HELLO, 1),
        (Reply(200, b"hello", chunked=True), 1),
        (Reply(200, b"hello", close=True), 0),
        (Reply(200, b"hello", content_length=False), 0),
        (Script(raw("Content-Length: 5", b"hello, stray")), 0),
        (Script(raw("Transfer-Encoding: chunked; Content-Length: 1", b"5\r\nhello\r\n0\r\n\r\n")), 0),
        (Script(Send(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")), 0),
    ],
    ids=["length", "chunked", "close", "until close", "stray", "both framings", "1.0"],
)
async def test_release(speaker: Speaker, answer: Answer, idle: int) -> None:
    """After a complete body the connection is kept if another request may follow, and closed if not."""
    assert await speaker.answered(answer) == b"hello"
    assert (speaker.pool.idle, speaker.pool.in_use) == (idle, 0)
    assert await speaker.get("/hello") == b"hello"
    assert speaker.pool.opened == 2 - idle


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (HELLO, True),
        (Reply(302, b"x" * 64 * KIB), True),
        (Reply(302, b"x" * 64 * KIB, chunked=True), True),
        (Script(raw("Content-Length: 5; Content-Encoding: nonsense", b"hello")), True),
        (Script(raw("Content-Length: 100", b"x" * 50), Pause(0.02), Send(b"x" * 50)), True),
        (Reply(302, b"", headers={"Location": "/"}), True),
        (Reply(302, b"x" * 2048 * KIB), False),
        (Script(raw("Content-Length: 1000000000000", b""), Endless(b"x" * 4096)), False),
        (Script(raw("", b"hello"), Close()), False),
        (Script(raw("", b""), Endless(b"x" * 4096)), False),
        (Script(raw("Content-Length: 5", b"hel"), Close()), False),
        (Script(raw("Content-Length: 5", b"hel"), Reset()), False),
        (Script(raw("Transfer-Encoding: chunked", b"nonsense\r\n")), False),
        (Script(raw("Content-Length: 5", b"hello, stray")), False),
        (Reply(302, b"hello", close=True), False),
    ],
    ids=[
        "short",
        "64 KiB",
        "64 KiB chunked",
        "coded",
        "in two parts",
        "empty",
        "long",
        "endless",
        "until close",
        "endless until close",
        "cut",
        "reset",
        "broken",
        "stray",
        "close",
    ],
)
async def test_drain(speaker: Speaker, answer: Answer, kept: bool) -> None:
    """A body that nobody wants is read away where that is short work; otherwise its connection goes, silently."""
    speaker.server.route("/", answer)
    exchange = await speaker.begin()
    await exchange.drain()
    assert speaker.pool.in_use == 0
    assert speaker.pool.idle == kept
    assert await speaker.get("/hello") == b"hello"
    assert speaker.pool.opened == 2 - kept


@pytest.mark.slow
async def test_drain_does_not_wait_for_long(speaker: Speaker) -> None:
    """A body that drips is drained for a second, without any total timeout; then other deadlines still hold."""
    speaker.server.route("/", Script(raw("Content-Length: 5000", b""), Drip(b"x" * 5000, every=0.01)))
    speaker.server.route("/silent", Script(Silence()))
    exchange = await speaker.begin(speed_limit=0)
    began = monotonic()
    await exchange.drain()
    assert 0.9 < monotonic() - began < SOON
    assert (speaker.pool.idle, speaker.pool.in_use) == (0, 0)
    with pytest.raises(HeadTimeout):
        await speaker.get("/silent", head=0.1)


async def test_cancelled_drain_closes(speaker: Speaker) -> None:
    """Who cancels a drain gets the cancellation, and the connection is closed."""
    speaker.server.route("/", Script(raw("Content-Length: 5", b""), Silence()))
    exchange = await speaker.begin()
    draining = asyncio.ensure_future(exchange.drain())
    await asyncio.sleep(0.01)
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    assert speaker.pool.in_use == 0
    await until(lambda: exchange.connection.is_lost)


async def test_content_that_came_with_its_head_is_taken_in_one_step(speaker: Speaker) -> None:
    """A short answer needs neither `accept` nor a wait; its connection serves the next one."""
    exchange = await speaker.begin("/hello")
    assert exchange.take_whole(5) == b"hello"
    exchange.release()
    assert speaker.pool.idle == 1
    exchange = await speaker.begin("/hello", method="HEAD")
    assert exchange.take_whole(None) == b""
    exchange.release()
    assert await speaker.get("/hello") == b"hello"


@pytest.mark.parametrize(
    ("answer", "max_body"),
    [
        (HELLO, 4),
        (Reply(200, gzip.compress(b"hello"), headers={"Content-Encoding": "gzip"}), None),
        (Script(raw("Content-Length: 6", b"hello"), Pause(0.05), Send(b"!")), None),
        (Script(raw("Content-Length: 4", b"hello")), None),
        (Script(raw("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n")), None),
        (Script(raw("Connection: close", b"hello"), Close()), None),
    ],
    ids=["too large", "encoded", "not all there", "more than it", "chunked", "until close"],
)
async def test_content_that_needs_more_than_one_step_is_left_alone(
    speaker: Speaker, answer: Answer, max_body: int | None
) -> None:
    """What is over its limit, coded, cut, followed by something or framed otherwise goes the careful way."""
    speaker.server.route("/", answer)
    exchange = await speaker.begin()
    before = exchange.connection.reader.pending
    assert exchange.take_whole(max_body) is None
    assert exchange.connection.reader.pending == before
    exchange.discard()


async def test_content_that_came_after_the_end_of_the_total_is_late(speaker: Speaker) -> None:
    """A deadline that has passed is not undone because everything is there."""
    exchange = await speaker.begin("/hello")
    exchange.connection.reader.expired = TotalTimeout("not finished")
    assert exchange.take_whole(None) is None
    exchange.accept(None, speaker.wire.append)
    with pytest.raises(TotalTimeout):
        await exchange.read_all()
    exchange.discard()
