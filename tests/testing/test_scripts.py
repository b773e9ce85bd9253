"""What answers are made of: replies by the book, and every step of a script as a client meets it."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import time
from typing import TYPE_CHECKING

import h11
import pytest

from asyncfetch.testing import (
    Close,
    Drip,
    Endless,
    FaultServer,
    Pause,
    Reply,
    Reset,
    Script,
    Send,
    Silence,
    StopTLS,
    gzip_bytes,
    redirect,
)
from tests.soon import SOON

if TYPE_CHECKING:
    from asyncfetch.testing.fixtures import MakeFaultServer, TLSAuthority
    from tests.testing.conftest import RawClient


def _parse(answer: bytes, method: str = "GET") -> tuple[h11.Response, bytes, bool]:
    """Parse a whole answer with h11: its head, its body, and whether the connection may be used again."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(answer)
    head = client.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            client.receive_data(b"")
        else:
            assert isinstance(event, h11.Data)
            body += event.data
    assert client.trailing_data[0] in {b"", None}
    return head, body, client.their_state is h11.DONE


def _field(head: h11.Response, name: str) -> str | None:
    return {key.decode(): value.decode() for key, value in head.headers}.get(name)


# Replies


def test_plain_reply_has_status_reason_and_length() -> None:
    """A reply is what an ordinary server sends."""
    assert Reply(200, b"hello").encode() == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("size", [0, 1, 5000, 100_000])
@pytest.mark.parametrize("chunked", [False, True, 1, 4096])
@pytest.mark.parametrize("zipped", [False, True])
def test_reply_is_well_formed(*, size: int, chunked: bool | int, zipped: bool, closing: bool) -> None:
    """Whatever the framing, h11 reads the body that was given, and knows whether the connection stays."""
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    if chunked == 1:
        body = body[:300]
    reply = Reply(200, body, chunked=chunked, gzip=zipped)
    head, received, stays = _parse(reply.encode(closing=closing))
    assert (gzip.decompress(received) if zipped else received) == body
    assert _field(head, "content-encoding") == ("gzip" if zipped else None)
    assert (_field(head, "transfer-encoding") == "chunked") is bool(chunked)
    assert stays is not closing


def test_chunks_have_the_size_that_was_asked_for() -> None:
    """An int as `chunked` is the size of one chunk."""
    assert Reply(200, b"abcde", chunked=2).encode().endswith(b"\r\n\r\n2\r\nab\r\n2\r\ncd\r\n1\r\ne\r\n0\r\n\r\n")


@pytest.mark.parametrize("status", [100, 204, 304])
def test_status_without_body_sends_none(status: int) -> None:
    """1xx, 204 and 304 have neither body nor fields about one."""
    answer = Reply(status, b"not sent", chunked=True, gzip=True, content_length=False).encode()
    assert answer.endswith(b"\r\n\r\n")
    assert answer.count(b"\r\n") == 2


def test_body_without_length_ends_with_the_connection() -> None:
    """Without a length the connection has to close, and the reply says so."""
    reply = Reply(200, b"until the end", content_length=False)
    head, body, stays = _parse(reply.encode())
    assert (body, stays) == (b"until the end", False)
    assert (_field(head, "content-length"), _field(head, "connection")) == (None, "close")


@pytest.mark.parametrize(
    "reply", [Reply(200, b"abc"), Reply(200, b"abc", chunked=2), Reply(200, b"abc", gzip=True)]
)
def test_head_is_the_same_without_body(reply: Reply) -> None:
    """HEAD gets the fields of GET and no byte more."""
    head = reply.encode(head_only=True)
    assert head.endswith(b"\r\n\r\n")
    assert reply.encode().startswith(head)
    assert reply.encode() != head


@pytest.mark.parametrize("headers", [{"A": "1", "b": "\xe9"}, [("A", "1"), ("b", "\xe9")]])
def test_fields_are_sent_as_given(headers: dict[str, str] | list[tuple[str, str]]) -> None:
    """A mapping or pairs, in their order and letter case, as latin-1."""
    assert b" OK\r\nA: 1\r\nb: \xe9\r\nContent-Length: 0\r\n\r\n" in Reply(200, headers=headers).encode()


def test_given_field_replaces_the_usual_one() -> None:
    """Content-Length may lie, and Connection may say something else."""
    headers = [("content-length", "7"), ("Connection", "x")]
    answer = Reply(200, b"abc", headers, close=True).encode()
    assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nConnection: x\r\n\r\nabc"


@pytest.mark.parametrize(
    ("status", "reason", "line"),
    [(404, None, b"404 Not Found"), (299, None, b"299 "), (200, "Fine", b"200 Fine"), (200, "", b"200 ")],
)
def test_reason_is_usual_given_or_empty(status: int, reason: str | None, line: bytes) -> None:
    """The reason phrase is the usual one unless one is given; an unknown status has none."""
    assert Reply(status, reason=reason).encode().startswith(b"HTTP/1.1 " + line + b"\r\n")


def test_redirect_leads_to_the_location_as_given() -> None:
    """Location is sent as it is, however wrong."""
    assert b"HTTP/1.1 302 Found\r\nLocation: //a b\r\n" in redirect("//a b").encode()
    assert redirect("/", 308).status == 308


def test_gzip_bytes_are_the_same_every_time() -> None:
    """No time of day gets into the bytes."""
    assert gzip.decompress(gzip_bytes(b"abc")) == b"abc"
    assert gzip_bytes(b"abc")[4:8] == bytes(4)


async def test_delay_counts_as_in_progress(raw: RawClient) -> None:
    """A delayed answer comes after its delay, and the request is in progress until then."""
    async with FaultServer({"/": Reply(200, b"late", delay=0.05)}) as server:
        began = time.monotonic()
        answer = asyncio.ensure_future(raw.last(server))
        await raw.until(lambda: server.seen.in_progress == 1)
        assert (await answer).endswith(b"late")
        assert time.monotonic() - began >= 0.05
        assert server.seen.in_progress == 0


async def test_close_of_a_reply_is_announced_and_done(raw: RawClient) -> None:
    """With close=True the client is told, and the connection ends."""
    async with FaultServer({"/": Reply(200, close=True)}) as server:
        assert b"Connection: close" in await raw.ask(server, raw.get())


async def test_unannounced_close_after_a_reply(raw: RawClient) -> None:
    """With keep_alive=False the connection ends although nothing in the answer says so."""
    async with FaultServer({"/": Reply(200, b"x", keep_alive=False)}) as server:
        assert await raw.ask(server, raw.get()) == Reply(200, b"x").encode()


async def test_head_request_gets_no_body(raw: RawClient) -> None:
    """HEAD on the wire is answered without a body."""
    async with FaultServer({"/": Reply(200, b"abc")}) as server:
        answer = await raw.ask(server, raw.get("/", "Connection: close", method="HEAD"))
        assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"


# Steps


async def test_script_sends_exactly_its_bytes(raw: RawClient) -> None:
    """Nothing is added to what a script sends, and Close ends the stream in good order."""
    async with FaultServer({"/": Script(Send(b"any"), Send(b"thing"), Close(), Send(b"never"))}) as server:
        assert await raw.ask(server, raw.get()) == b"anything"


async def test_connection_stays_after_a_script_without_end(raw: RawClient) -> None:
    """A script that does not close leaves the connection for the next request."""
    async with FaultServer({"/": Script(Send(b"one"))}) as server, raw.connect(server) as (reader, writer):
        for _ in range(2):
            writer.write(raw.get())
            assert await reader.readexactly(3) == b"one"
        assert server.seen.connections == 1


async def test_wish_to_close_ends_a_script_too(raw: RawClient) -> None:
    """After a script the connection closes if the client asked for that."""
    async with FaultServer({"/": Script(Send(b"one"))}) as server:
        assert await raw.last(server) == b"one"


async def test_reply_may_be_a_step(raw: RawClient) -> None:
    """An interim answer, a whole reply, then an end: scripts and replies mix."""
    early = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    async with FaultServer({"/": Script(Send(early), Reply(200, b"x"), Close())}) as server:
        assert await raw.ask(server, raw.get()) == early + Reply(200, b"x").encode()


async def test_pause_waits_between_bytes(raw: RawClient) -> None:
    """The bytes after a pause come that much later."""
    async with (
        FaultServer({"/": Script(Send(b"a"), Pause(0.03), Send(b"b"))}) as server,
        raw.connect(server) as (reader, writer),
    ):
        began = time.monotonic()
        writer.write(raw.get())
        assert await reader.read(10) == b"a"
        assert await reader.read(10) == b"b"
        assert time.monotonic() - began >= 0.03


async def test_request_that_comes_during_a_pause_is_not_lost(raw: RawClient) -> None:
    """A client may send its next request early; it is answered in its turn."""
    async with (
        FaultServer({"/": Script(Pause(0.02), Send(b"a"))}) as server,
        raw.connect(server) as (reader, writer),
    ):
        writer.write(raw.get())
        await raw.until(lambda: server.seen.in_progress == 1)
        writer.write(raw.get())
        assert await reader.readexactly(2) == b"aa"


async def test_flood_during_a_pause_is_not_kept(raw: RawClient) -> None:
    """What a client sends meanwhile fills no memory: the server stops reading, and the pause goes on."""
    async with (
        FaultServer({"/": Script(Pause(0.1), Send(b"a"))}) as server,
        raw.connect(server) as (reader, writer),
    ):
        writer.write(raw.get() + bytes(8_000_000))
        assert await reader.readexactly(1) == b"a"
        (wire,) = server._conversations.values()
        assert len(wire._received) < 2_000_000


async def test_drip_sends_piece_by_piece(raw: RawClient) -> None:
    """A drip takes its time and sends all of its bytes, the last piece shorter."""
    async with FaultServer({"/": Script(Drip(b"abcde", every=0.01, size=2), Close())}) as server:
        began = time.monotonic()
        come, lengths = b"", [0]
        async with raw.connect(server) as (reader, writer):
            writer.write(raw.get())
            while piece := await reader.read(10):
                come += piece
                lengths.append(len(come))
        assert time.monotonic() - began >= 0.02
        assert come == b"abcde"
        assert set(lengths) <= {0, 2, 4, 5}  # who reads late finds two pieces together


async def test_silence_says_nothing_whatever_comes(raw: RawClient) -> None:
    """The connection stays open, more requests are ignored, and it is in progress until the client leaves."""
    async with FaultServer({"/": Script(Silence())}) as server:
        async with raw.connect(server) as (reader, writer):
            writer.write(raw.get() * 3)
            await raw.until(lambda: server.seen.in_progress == 1)
            writer.write(raw.get())
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.02)
            assert server.seen.requests == 1
        await raw.until(lambda: server.seen.in_progress == 0)


async def test_endless_goes_on_and_holds_little_memory(raw: RawClient) -> None:
    """An endless answer waits for a slow client instead of filling memory."""
    async with FaultServer({"/": Script(Endless(b"x" * 10_000))}) as server:
        async with raw.connect(server) as (reader, writer):
            writer.write(raw.get())
            await reader.readexactly(1_000_000)
            await asyncio.sleep(0.02)  # nobody reads
            (wire,) = server._conversations.values()
            assert wire._writer.transport.get_write_buffer_size() <= 10_000
            await reader.readexactly(1_000_000)
        await raw.until(lambda: server.seen.in_progress == 0)


@pytest.mark.parametrize("sent", [b"", b"abc", b"x" * 1_000_000])
def test_reset_is_a_reset_after_the_bytes(sent: bytes, make_fault_server: MakeFaultServer) -> None:
    """The client reads every byte, and then gets ECONNRESET."""
    server = make_fault_server({"/": Script(Send(sent), Reset())})
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=SOON) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while len(received) < len(sent):
            received += client.recv(65536)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert received == sent


async def test_reset_is_a_reset_over_tls(raw: RawClient, tls_authority: TLSAuthority) -> None:
    """Under TLS the end is ECONNRESET, too."""
    context = tls_authority.server_context("127.0.0.1")
    async with FaultServer({"/": Script(Send(b"abc"), Reset())}, ssl_context=context) as server:
        with pytest.raises(ConnectionResetError):
            await raw.ask(server, raw.get(), tls=tls_authority.client_context())


@pytest.mark.parametrize("end", [Close(), StopTLS()])
def test_stop_tls_ends_without_goodbye(
    end: Close | StopTLS, make_fault_server: MakeFaultServer, tls_authority: TLSAuthority
) -> None:
    """After StopTLS a client misses close_notify; after Close it does not."""
    context = tls_authority.server_context("127.0.0.1")
    server = make_fault_server({"/": Script(Send(b"x" * 1_000_000), end)}, ssl_context=context)
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=SOON)
    with tls_authority.client_context().wrap_socket(
        plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False
    ) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        received = 0
        while received < 1_000_000:
            received += len(client.recv(65536))
        if isinstance(end, Close):
            assert client.recv(1) == b""
        else:
            with pytest.raises(ssl.SSLEOFError):
                client.recv(1)


async def test_stop_tls_without_tls_closes(raw: RawClient) -> None:
    """On a plain connection StopTLS is a Close."""
    async with FaultServer({"/": Script(Send(b"abc"), StopTLS())}) as server:
        assert await raw.ask(server, raw.get()) == b"abc"


def test_script_shows_its_steps() -> None:
    """A failing test shows what was to be played."""
    assert repr(Script(Send(b"a"), Close())) == "Script(Send(payload=b'a'), Close())"
