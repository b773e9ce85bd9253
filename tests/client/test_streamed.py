"""A body that its caller reads: whole or not at all, its place held, its connection kept or closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from asyncfetch import (
    Client,
    DecodingError,
    FetchError,
    IncompleteMessage,
    Limits,
    ReadTimeout,
    Response,
    Retry,
    Timeouts,
)
from asyncfetch.testing import Close, Endless, FaultServer, Pause, Reply, Script, Send, Silence, gzip_bytes

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    """A server in the loop of the test."""
    async with FaultServer(
        {"/": Reply(200, b"x" * 100_000), "/half": Script(Send(HEAD + b"half"), Silence())}
    ) as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client that tries once, and has to be as new at the end."""
    async with Client(retry=Retry(attempts=1), limits=Limits(total=2)) as client:
        yield client
        assert client.stats.total.in_flight == 0
        assert client._turns.frontier.in_flight == 0
        assert client._pool.in_use == 0


async def settled(server: FaultServer, connections: int) -> None:
    """Wait until the server sees no more than so many connections."""
    async with asyncio.timeout(5):
        while server.seen.open_connections > connections:
            await asyncio.sleep(0.001)


class TestReading:
    async def test_to_the_end_keeps_the_connection(self, server: FaultServer, client: Client) -> None:
        """A body that was read whole leaves a connection for the next request."""
        async with client.stream(server.url()) as response:
            pieces = [piece async for piece in response.aiter_bytes()]
            assert all(pieces)
            assert b"".join(pieces) == b"x" * 100_000
            assert response.num_bytes == response.wire_bytes == 100_000
        assert client._pool.idle == 1
        assert (await client.get(server.url())).reused
        assert client.stats.total.done == 2

    async def test_a_part_closes_the_connection(self, server: FaultServer, client: Client) -> None:
        """Whoever leaves in the middle does not wait for the rest."""
        async with client.stream(server.url("/half")) as response:
            assert await anext(response.aiter_bytes()) == b"half"
        assert client._pool.idle == 0
        await settled(server, 0)
        assert server.seen.in_progress == 0

    async def test_nothing_closes_the_connection(self, server: FaultServer, client: Client) -> None:
        """Nor does who only wanted the head."""
        async with client.stream(server.url("/half")) as response:
            assert response.status_code == 200
        await settled(server, 0)

    async def test_a_body_that_is_there_whole_need_not_be_read(self, server: FaultServer, client: Client) -> None:
        """Without a body there is nothing to lose: the connection is kept."""
        server.route("/none", Reply(204))
        async with client.stream(server.url("/none")):
            pass
        assert client._pool.idle == 1

    async def test_after_an_exception_of_the_caller(self, server: FaultServer, client: Client) -> None:
        """It leaves the block as it is, and everything is given back."""
        with suppress(ZeroDivisionError):
            async with client.stream(server.url("/half")) as response:
                async for _ in response.aiter_bytes():
                    raise ZeroDivisionError
                pytest.fail("there is a body")
        await settled(server, 0)

    async def test_into_memory(self, server: FaultServer, client: Client) -> None:
        """`aread` makes it a response like that of get; what is in memory stays after the block."""
        async with client.stream(server.url()) as response:
            with pytest.raises(RuntimeError, match="aread"):
                _ = response.content
            assert await response.aread() == b"x" * 100_000
            assert await response.aread() is response.content
        assert response.text == "x" * 100_000
        assert [piece async for piece in response.aiter_bytes()] == [response.content]

    async def test_goes_on_where_it_was_left(self, server: FaultServer, client: Client) -> None:
        """An iteration that was left loses nothing, not even the pieces that were decoded already."""
        body = bytes(range(256)) * 10_000
        server.route("/", Reply(200, body, gzip=True))
        taken = []
        async with client.stream(server.url()) as response:
            for _ in range(3):
                async for piece in response.aiter_bytes():
                    taken.append(piece)
                    break
            taken += [piece async for piece in response.aiter_bytes()]
        assert len(taken) > 4
        assert b"".join(taken) == body

    async def test_goes_on_after_a_wait_that_was_cancelled(self, server: FaultServer, client: Client) -> None:
        """A timeout of the caller's own around one step loses nothing either."""
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        server.route("/", Script(Send(head + b"2\r\nab\r\n3\r\n"), Pause(0.3), Send(b"cde\r\n0\r\n\r\n")))
        taken = []
        async with client.stream(server.url()) as response:
            pieces = response.aiter_bytes()
            taken.append(await anext(pieces))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(pieces), 0.01)
            taken += [piece async for piece in pieces]
        assert taken == [b"ab", b"cde"]
        assert client._pool.idle == 1

    async def test_by_a_slow_caller_does_not_time_out(self, server: FaultServer) -> None:
        """Silence and slowness are the server's; what waits for us is not its fault."""
        server.route("/", Reply(200, b"x" * 3_000_000, chunked=100_000))
        timeouts = Timeouts(read=0.03, speed_limit=1_000_000, speed_time=0.03)
        async with Client(timeouts=timeouts) as client, client.stream(server.url()) as response:
            size = 0
            async for piece in response.aiter_bytes():
                if size == 0:
                    await asyncio.sleep(0.1)
                size += len(piece)
            assert size == 3_000_000

    async def test_an_endless_body_takes_no_memory(self, server: FaultServer, client: Client) -> None:
        """A stream holds what was not taken yet, and the server waits meanwhile."""
        server.route("/", Script(Send(b"HTTP/1.1 200 OK\r\n\r\n"), Endless(b"x" * 65536)))
        async with client.stream(server.url()) as response:
            size = 0
            async for piece in response.aiter_bytes():
                size += len(piece)
                if size > 5_000_000:
                    break
            await asyncio.sleep(0.02)
            held = client._pool._in_use.copy().pop().reader
            assert held.received - held.consumed < 4_000_000


class TestTruncation:
    async def test_in_the_middle_raises(self, server: FaultServer, client: Client) -> None:
        """A body that is cut raises after what came, and again at every further try."""
        server.route("/", Script(Send(HEAD + b"half"), Close()))
        async with client.stream(server.url()) as response:
            pieces = response.aiter_bytes()
            assert await anext(pieces) == b"half"
            with pytest.raises(IncompleteMessage) as caught:
                await anext(pieces)
            assert caught.value.url == server.url()
            for _ in range(2):
                with pytest.raises(IncompleteMessage):
                    await anext(response.aiter_bytes())
        with pytest.raises(IncompleteMessage):
            await anext(response.aiter_bytes())
        assert client.stats.total.errors == {"protocol.incomplete": 1}

    async def test_of_a_coding_raises(self, server: FaultServer, client: Client) -> None:
        """A gzip body that is cut inside an intact length is no success."""
        server.route("/", Reply(200, gzip_bytes(b"x" * 1000)[:-4], {"Content-Encoding": "gzip"}))
        async with client.stream(server.url()) as response:
            with pytest.raises(DecodingError):
                await response.aread()
            with pytest.raises(RuntimeError):
                _ = response.content

    async def test_by_silence_raises(self, server: FaultServer, client: Client) -> None:
        """A deadline is an error of the stream as well."""
        with pytest.raises(ReadTimeout):
            async with client.stream(server.url("/half"), timeouts=Timeouts(read=0.02)) as response:
                await response.aread()

    async def test_an_error_frees_the_place_at_once(self, server: FaultServer, client: Client) -> None:
        """Whoever lingers in the block after an error keeps nobody waiting."""
        server.route("/cut", Script(Send(HEAD + b"half"), Close()))
        async with client.stream(server.url("/half")), client.stream(server.url("/cut")) as response:
            waiting = asyncio.create_task(client.get(server.url()))
            await asyncio.sleep(0.01)
            assert not waiting.done()
            with suppress(FetchError):
                await response.aread()
            assert (await asyncio.wait_for(waiting, 5)).status_code == 200

    async def test_after_the_block_raises(self, server: FaultServer, client: Client) -> None:
        """What was not read inside of the block is gone, and nobody gets the part for the whole."""
        async with client.stream(server.url("/half")) as response:
            pieces = response.aiter_bytes()
            await anext(pieces)
        for read in (response.aread, pieces.__anext__, response.aiter_bytes().__anext__):
            with pytest.raises(RuntimeError, match=r"closed|already"):
                await read()

    async def test_a_reader_that_outlives_the_block_raises(self, server: FaultServer, client: Client) -> None:
        """A task that still waits for the next piece when the block is left does not take it for the end."""
        async with client.stream(server.url("/half")) as response:
            reader = asyncio.create_task(response.aread())
            await asyncio.sleep(0.02)
        with pytest.raises(FetchError):
            await reader
        with pytest.raises(FetchError):
            await anext(response.aiter_bytes())
        assert client.stats.total.done == 0

    async def test_nothing_read_in_the_block_raises_after_it(self, server: FaultServer, client: Client) -> None:
        """Not even an empty body is made up."""
        async with client.stream(server.url("/half")) as response:
            pass
        with pytest.raises(RuntimeError, match="closed"):
            await response.aread()
        with pytest.raises(RuntimeError):
            _ = response.content

    async def test_what_was_given_out_is_not_given_out_empty(self, server: FaultServer, client: Client) -> None:
        """A second reading of a whole body raises, as does `aread` after a part of it."""
        async with client.stream(server.url()) as response:
            pieces = response.aiter_bytes()
            await anext(pieces)
            with pytest.raises(RuntimeError, match="part"):
                await response.aread()
            [piece async for piece in pieces]
            for _ in range(2):
                with pytest.raises(RuntimeError, match="already"):
                    response.aiter_bytes()
            with pytest.raises(RuntimeError, match="already"):
                await response.aread()
        with pytest.raises(RuntimeError, match="already"):
            response.aiter_bytes()

    async def test_an_empty_body_is_whole(self, server: FaultServer, client: Client) -> None:
        """A body of no bytes is read like any other."""
        server.route("/none", Reply(200))
        async with client.stream(server.url("/none")) as response:
            assert [piece async for piece in response.aiter_bytes()] == []
        async with client.stream(server.url("/none")) as response:
            assert await response.aread() == b""

    async def test_a_response_that_nobody_kept(self) -> None:
        """A response without body and without stream says so."""
        response = Response("http://h/", 200, "OK", [])
        with pytest.raises(RuntimeError, match="not kept"):
            response.aiter_bytes()
        with pytest.raises(RuntimeError, match="not kept"):
            await response.aread()


class TestPlaces:
    async def test_are_held_until_the_block_is_left(self, server: FaultServer, client: Client) -> None:
        """An open stream counts as one in flight, read or not."""
        async with client.stream(server.url("/half")), client.stream(server.url()) as response:
            await response.aread()
            waiting = asyncio.create_task(client.get(server.url()))
            await asyncio.sleep(0.02)
            assert client.stats.total.in_flight == client._turns.frontier.in_flight == 2
            assert not waiting.done()
        assert (await asyncio.wait_for(waiting, 5)).status_code == 200

    @pytest.mark.parametrize("path", ["/half", "/silent"])
    async def test_are_given_back_when_cancelled(self, server: FaultServer, client: Client, path: str) -> None:
        """Cancelling the caller ends the stream, before and after its head."""
        server.route("/silent", Script(Silence()))
        gone: list[bool] = []

        async def read() -> None:
            try:
                async with client.stream(server.url(path)) as response:
                    await response.aread()
            finally:
                gone.append(True)

        tasks = [asyncio.create_task(read()) for _ in range(4)]
        while server.seen.in_progress < 2:
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        assert client._turns.frontier.in_flight == 0
        assert (await client.get(server.url())).status_code == 200
        await settled(server, 1)
