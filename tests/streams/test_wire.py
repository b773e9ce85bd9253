"""The reader of a connection, on real sockets: every byte first, then how the stream ended."""

from __future__ import annotations

import asyncio
import platform
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from asyncfetch.errors import IncompleteMessage, ReadTimeout, TotalTimeout
from asyncfetch.streams.body import LengthBody
from asyncfetch.streams.heads import HeadParser
from asyncfetch.streams.http1 import read_head
from asyncfetch.streams.wire import RECEIVE_AT_MOST, WireReader
from asyncfetch.testing import Close, Endless, FaultServer, Reply, Reset, Script, Send, Silence

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@asynccontextmanager
async def connected(server: FaultServer) -> AsyncIterator[tuple[WireReader, asyncio.Transport]]:
    """Give a connection to the server, on which a request has been sent."""
    loop = asyncio.get_running_loop()
    reader = WireReader(loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, "127.0.0.1", server.port)
    transport.write(GET)
    try:
        yield reader, transport
    finally:
        transport.abort()
        await until(lambda: reader.ended)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def quiet_and_starving(reader: WireReader) -> tuple[bool, bool]:
    return reader.is_quiet(), reader.is_starving


async def test_reset_after_a_whole_message_is_a_success(fault_server: FaultServer) -> None:
    """What came before a reset is read to its last byte, also when the reset was there before the reading."""
    fault_server.route("/", Script(Send(HELLO), Reset()))
    async with connected(fault_server) as (reader, _):
        await until(lambda: reader.ended)
        assert isinstance(reader.lost, ConnectionResetError)
        assert (await read_head(reader, HeadParser())).status == 200
        body = LengthBody(reader, 5)
        assert await body.read() == b"hello"
        assert body.complete
        assert not reader.is_quiet()
        assert await reader.receive() == b""


@pytest.mark.parametrize(
    ("end", "words"), [(Reset(), "the connection was reset"), (Close(), "the connection was closed")]
)
async def test_end_in_a_body_is_incomplete(fault_server: FaultServer, end: Reset | Close, words: str) -> None:
    """A body that is cut gives what came of it, and then says how it was cut."""
    fault_server.route("/", Script(Send(HELLO[:-2]), end))
    async with connected(fault_server) as (reader, _):
        await read_head(reader, HeadParser())
        body = LengthBody(reader, 5)
        assert await body.read() == b"hel"
        with pytest.raises(IncompleteMessage, match=f"{words} after 3 of 5 bytes"):
            await body.read()


async def test_deadline_is_raised_after_what_was_buffered(fault_server: FaultServer) -> None:
    """A deadline that ends the connection hides nothing that came before it."""
    fault_server.route("/", Script(Send(HELLO), Silence()))
    async with connected(fault_server) as (reader, transport):
        await until(lambda: reader.received == len(HELLO))
        reader.expired = ReadTimeout("no byte")
        transport.abort()
        assert not reader.is_quiet()
        await until(lambda: reader.ended)
        assert await reader.receive() == HELLO
        with pytest.raises(ReadTimeout):
            await reader.receive()


async def test_total_is_over_for_what_was_buffered_too(fault_server: FaultServer) -> None:
    """After the deadline of the whole nothing is given out any more, not even what was given back."""
    fault_server.route("/", Script(Send(HELLO), Silence()))
    async with connected(fault_server) as (reader, transport):
        assert await reader.receive()
        reader.unread(b"lo")
        reader.expired = TotalTimeout("not finished")
        transport.abort()
        with pytest.raises(TotalTimeout):
            await reader.receive()


async def test_deadline_wakes_who_waits(fault_server: FaultServer) -> None:
    """Who waits for a byte gets the deadline, not an end."""
    fault_server.route("/", Script(Silence()))
    async with connected(fault_server) as (reader, transport):
        waiting = asyncio.ensure_future(reader.receive())
        await asyncio.sleep(0.01)
        reader.expired = ReadTimeout("no byte")
        transport.abort()
        with pytest.raises(ReadTimeout):
            await waiting


async def test_bytes_given_back_come_first(fault_server: FaultServer) -> None:
    """What was given back is received again before what came later, and counts as not read."""
    fault_server.route("/", Script(Send(HELLO), Silence()))
    async with connected(fault_server) as (reader, _):
        assert quiet_and_starving(reader) == (True, True)
        await until(lambda: reader.received == len(HELLO))
        assert quiet_and_starving(reader) == (False, False)
        assert await reader.receive() == HELLO
        assert quiet_and_starving(reader) == (True, True)
        reader.unread(b"lo")
        assert quiet_and_starving(reader) == (False, False)
        assert await reader.receive() == b"lo"
        assert quiet_and_starving(reader) == (True, True)
        assert (reader.received, reader.consumed) == (len(HELLO), len(HELLO))
        reader.expired = ReadTimeout("no byte")
        assert quiet_and_starving(reader) == (False, True)


async def test_end_is_not_quiet(fault_server: FaultServer) -> None:
    """A connection that the server has closed is not quiet, although nothing is there to be read."""
    fault_server.route("/", Reply(200, b"hello", keep_alive=False))
    async with connected(fault_server) as (reader, _):
        await until(lambda: reader.ended)
        await reader.receive()
        assert reader.received == reader.consumed
        assert not reader.is_quiet()


@pytest.mark.parametrize(
    "answer",
    [
        Script(Send(b"HTTP/1.1 408 Request Timeout\r\n"), Silence()),
        Script(Close()),
        Script(Reset()),
    ],
    ids=["bytes", "close", "reset"],
)
async def test_surprise_is_told_at_once(fault_server: FaultServer, answer: Script) -> None:
    """Whatever comes while somebody listens for surprises is told, an end and a reset included."""
    fault_server.route("/", answer)
    async with connected(fault_server) as (reader, _):
        told = asyncio.Event()
        reader.on_surprise = told.set
        async with asyncio.timeout(5):
            await told.wait()
        assert not reader.is_quiet()


async def test_every_byte_is_shown(fault_server: FaultServer) -> None:
    """`on_bytes` sees exactly what came, in order, before it is read."""
    fault_server.route("/", Script(Send(HELLO[:20]), Send(HELLO[20:]), Close()))
    async with connected(fault_server) as (reader, _):
        shown: list[bytes] = []
        reader.on_bytes = shown.append
        await until(lambda: reader.ended)
        assert b"".join(shown) == HELLO
        assert all(type(piece) is bytes for piece in shown)


async def test_nobody_reads_and_nothing_piles_up(fault_server: FaultServer) -> None:
    """A server that sends without end is held up when nobody reads, and goes on when somebody does."""
    fault_server.route("/", Script(Endless(b"x" * 65536)))
    async with connected(fault_server) as (reader, _):
        before = -1
        await until(lambda: reader.received > 2 * RECEIVE_AT_MOST)
        async with asyncio.timeout(20):
            while reader.received != before:
                before = reader.received
                await asyncio.sleep(0.02)
        assert 2 * RECEIVE_AT_MOST < reader.received < 3 * RECEIVE_AT_MOST
        assert 0 < len(await reader.receive()) <= RECEIVE_AT_MOST
        while reader.received == before:
            assert await reader.receive()


async def test_how_an_end_is_described() -> None:
    """The end is named for a message: closed, reset, or broken with the reason."""
    for error, words in (
        (None, "the connection was closed"),
        (ConnectionResetError(104, "Connection reset by peer"), "the connection was reset"),
        (OSError(113, "No route to host"), "the connection broke ([Errno 113] No route to host)"),
    ):
        reader = WireReader(asyncio.get_running_loop())
        reader.feed_eof() if error is None else reader.set_exception(error)
        assert reader.describe_end() == words
        assert reader.ended


async def test_error_after_the_end_changes_nothing() -> None:
    """A stream that has ended in good order did, even if the socket breaks afterwards (a reset for our goodbye)."""
    reader = WireReader(asyncio.get_running_loop())
    reader.feed_data(b"hello")
    reader.feed_eof()
    reader.set_exception(ConnectionResetError())
    assert reader.lost is None
    assert await reader.receive() == b"hello"
    assert await reader.receive() == b""
    assert reader.describe_end() == "the connection was closed"


FAULTS = """
import resource, sys
from asyncfetch.streams.wire import make_reads_cheap
if sys.argv[1] == "cheap":
    make_reads_cheap()
bytearray(256 * 1024)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    bytearray(256 * 1024 - 100), bytearray(256 * 1024)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this is about glibc's allocator")
def test_buffers_of_reads_come_from_the_heap() -> None:
    """The pages of one read's buffer serve the next one's, and are not asked for and given back each time."""
    faults = [
        int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True, text=True).stdout)
        for how in ("dear", "cheap")
    ]
    assert faults[1] < 1000 < faults[0]


async def test_pieces_pass_as_they_came() -> None:
    """A large piece is given out as it is, not copied, and the next one after it."""
    reader = WireReader(asyncio.get_running_loop())
    first, second = b"x" * 65536, b"y" * 65536
    reader.feed_data(first)
    reader.feed_data(second)
    assert await reader.receive() is first
    assert await reader.receive() is second
    assert reader.is_quiet()


async def test_a_drip_that_nobody_takes_is_joined() -> None:
    """Bytes that come one by one wait together: neither a piece nor a step for each of them."""
    reader = WireReader(asyncio.get_running_loop())
    for at in range(5000):
        reader.feed_data(bytes((at % 256,)))
    assert await reader.receive() == b"\0"
    rest = await reader.receive()
    assert isinstance(rest, bytes)
    assert rest == bytes(at % 256 for at in range(1, 5000))
    assert reader.is_quiet()


async def test_reading_goes_on_after_a_wait_was_cancelled() -> None:
    """Who gives up waiting takes nothing with it: the next one to read gets what came, and the end."""
    reader = WireReader(asyncio.get_running_loop())
    for expected in (b"hello", b""):
        waiting = asyncio.ensure_future(reader.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        reader.feed_data(expected) if expected else reader.feed_eof()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await reader.receive() == expected


async def test_a_transport_that_was_held_up_by_two_limits_goes_on_below_one(fault_server: FaultServer) -> None:
    """Who sends is held up past twice the limit of what waits here, and goes on when half of it has been taken."""
    fault_server.route("/", Script(Endless(b"x" * 65536)))
    async with connected(fault_server) as (reader, transport):
        await until(lambda: not transport.is_reading())
        while reader.received - reader.consumed > RECEIVE_AT_MOST:
            assert not transport.is_reading()
            await reader.receive()
        assert transport.is_reading()
