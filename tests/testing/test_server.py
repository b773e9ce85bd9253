"""The server: listening, keep-alive, dying on purpose, clients that leave, and an end that leaves nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest

from asyncfetch.testing import (
    Answer,
    Drip,
    Endless,
    FaultServer,
    Pause,
    Reply,
    Script,
    SeenRequest,
    Send,
    Silence,
)
from tests.soon import SOON

if TYPE_CHECKING:
    from tests.testing.conftest import RawClient


def _failing(request: SeenRequest) -> Answer:
    raise LookupError(request.path)


async def _held(request: SeenRequest) -> Answer:
    await asyncio.sleep(60)
    return Reply()


STUCK: dict[str, Answer] = {
    "/silence": Script(Silence()),
    "/pause": Script(Send(b"a"), Pause(60)),
    "/drip": Script(Drip(b"abc" * 10_000, every=0.002)),
    "/endless": Script(Endless(b"x" * 1000)),
    "/delay": Reply(200, delay=60),
    "/large": Reply(200, bytes(20_000_000)),
}


# Listening


async def test_all_addresses_answer_on_one_port(raw: RawClient) -> None:
    """Every address is a host of its own, on the same port, IPv6 too."""
    addresses = ("127.0.0.1", "127.0.0.2", "127.0.0.50", "::1")
    async with FaultServer({"/": Reply(200, b"x")}, addresses=addresses) as server:
        for address in (*addresses, "127.0.0.2"):
            assert (await raw.last(server, host=address)).endswith(b"x")
        requests = {host: counts.requests for host, counts in server.seen.by_host.items()}
        port = server.port
    assert requests == {f"127.0.0.1:{port}": 1, f"127.0.0.2:{port}": 2, f"127.0.0.50:{port}": 1, f"[::1]:{port}": 1}
    assert [request.host for request in server.seen.log[-2:]] == [f"[::1]:{port}", f"127.0.0.2:{port}"]


async def test_url_names_the_first_address_or_the_given_host() -> None:
    """IPv6 addresses get their brackets."""
    async with FaultServer(addresses=("127.0.0.2", "::1")) as server:
        assert server.url() == f"http://127.0.0.2:{server.port}/"
        assert server.url("/a?b", host="::1") == f"http://[::1]:{server.port}/a?b"
        assert server.url("/", host="localhost") == f"http://localhost:{server.port}/"


async def test_taken_port_is_an_error() -> None:
    """A server that cannot listen does not start, and leaves nothing behind."""
    async with FaultServer() as server:
        with pytest.raises(OSError, match="in use"):
            await FaultServer(addresses=("127.0.0.2", "127.0.0.1"), port=server.port).__aenter__()


async def test_server_may_come_back_on_its_port(raw: RawClient) -> None:
    """A server that was left can be entered again, on the same port, and goes on counting."""
    server = FaultServer({"/": Reply(200)})
    for number in (1, 2):
        async with server:
            await raw.last(server)
            assert server.seen.requests == number
        with pytest.raises(ConnectionRefusedError):
            await raw.last(server)


# Connections


async def test_connection_is_used_again(raw: RawClient) -> None:
    """Keep-alive is the default, and pipelined requests are answered one after the other."""
    async with FaultServer({"/": Reply(200, b"x")}) as server, raw.connect(server) as (reader, writer):
        answer = Reply(200, b"x").encode()
        writer.write(raw.get())
        assert await reader.readexactly(len(answer)) == answer
        writer.write(raw.get() + raw.get())
        assert await reader.readexactly(2 * len(answer)) == answer * 2
        assert (server.seen.requests, server.seen.connections, server.seen.most_at_once) == (3, 1, 1)
        assert {request.connection for request in server.seen.log} == {1}


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"]
)
async def test_client_may_ask_to_close(raw: RawClient, request_: bytes) -> None:
    """HTTP/1.0 and "Connection: close" are honoured, and the answer says so."""
    async with FaultServer({"/": Reply(200, b"x")}) as server:
        answer = await raw.ask(server, request_)
        assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"


async def test_head_may_come_byte_by_byte(raw: RawClient) -> None:
    """It does not matter how a request is cut into segments, and an empty line before it is skipped."""
    async with FaultServer({"/": Reply(200, b"x")}) as server, raw.connect(server) as (reader, writer):
        for byte in b"\r\n" + raw.get("/", "Connection: close"):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await reader.read()).endswith(b"x")
        assert server.seen.malformed == []


async def test_body_of_a_request_is_dropped(raw: RawClient) -> None:
    """The bytes of a body are not taken for the next request."""
    body = b"GET /no HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000
    async with FaultServer({"/": Reply(200)}) as server, raw.connect(server) as (reader, writer):
        writer.write(raw.get("/", f"Content-Length: {len(body)}") + body + raw.get("/", "Connection: close"))
        await reader.read()
        assert server.seen.by_path == {"/": 2}


async def test_client_may_leave_within_a_body(raw: RawClient) -> None:
    """Half a request is nobody's fault."""
    async with FaultServer({"/": Reply(200)}) as server:
        async with raw.connect(server) as (_, writer):
            writer.write(raw.get("/", "Content-Length: 100") + b"half")
            await raw.until(lambda: server.seen.in_progress == 1)
        await raw.until(lambda: server.seen.open_connections == 0)
        assert server.seen.in_progress == 0


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\n\n", b"\x00", b"GET /" + b"a" * 2_000_000])
async def test_malformed_request_gets_400(raw: RawClient, sent: bytes) -> None:
    """It is answered, kept apart from the requests, and ends the connection."""
    async with FaultServer({"/": Reply(200)}) as server:
        with contextlib.suppress(ConnectionResetError):  # the rest of the long one was never read
            answer = await raw.ask(server, sent)
            assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert len(server.seen.malformed) == 1
        assert server.seen.requests == 0


async def test_numbers_of_connections_made_at_once_differ(raw: RawClient) -> None:
    """Each connection has its own number, from 1."""
    async with FaultServer({"/": Reply(200)}) as server:
        await asyncio.gather(*(raw.last(server) for _ in range(20)))
        assert sorted(request.connection for request in server.seen.log) == list(range(1, 21))


async def test_most_at_once_is_what_clients_did(raw: RawClient) -> None:
    """Requests that wait together count together; those that follow each other do not."""
    async with FaultServer({"/": Reply(200, delay=0.02), "/fast": Reply(200)}) as server:
        for _ in range(5):
            await raw.last(server, "/fast")
        assert server.seen.most_at_once == 1
        await asyncio.gather(*(raw.last(server) for _ in range(7)))
        assert server.seen.most_at_once == 7


# Faults of the server itself


async def test_close_after_lets_a_connection_die(raw: RawClient) -> None:
    """After N answers the next request on a connection gets no byte, only the end."""
    async with FaultServer({"/": Reply(200, b"x")}, close_after=2) as server:
        answer = Reply(200, b"x").encode()
        async with raw.connect(server) as (reader, writer):
            for _ in range(2):
                writer.write(raw.get())
                assert await reader.readexactly(len(answer)) == answer
            writer.write(raw.get())
            assert await reader.read() == b""
        assert (server.seen.requests, server.seen.in_progress) == (3, 0)
        server.close_after = None
        async with raw.connect(server) as (reader, writer):
            writer.write(raw.get() * 3 + raw.get("/", "Connection: close"))
            assert (await reader.read()).count(b"200 OK") == 4


async def test_accept_then_close(raw: RawClient) -> None:
    """A connection that is closed at once is counted, and has no request."""
    async with FaultServer({"/": Reply(200)}, accept_then_close=True) as server:
        assert await raw.ask(server, b"") == b""
        assert (server.seen.connections, server.seen.requests) == (1, 0)


# Clients that leave


@pytest.mark.parametrize("path", STUCK)
@pytest.mark.parametrize("leave", ["end", "reset"])
async def test_client_may_leave_at_any_time(raw: RawClient, path: str, leave: str) -> None:
    """Its request is over soon, without a complaint, and the server goes on answering."""
    async with FaultServer({**STUCK, "/": Reply(200, b"x")}) as server:
        async with raw.connect(server) as (_, writer):
            writer.write(raw.get(path))
            await raw.until(lambda: server.seen.in_progress == 1)
            if leave == "reset":
                linger_not = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
        await raw.until(lambda: server.seen.open_connections == 0)
        assert server.seen.in_progress == 0
        assert (await raw.last(server)).endswith(b"x")


async def test_many_clients_leave_right_after_connecting(raw: RawClient) -> None:
    """Connections that are gone before anything was said leave nothing."""
    async with FaultServer() as server:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await raw.until(lambda: server.seen.connections == 20 and server.seen.open_connections == 0)


# The end


@pytest.mark.parametrize("path", [*STUCK, "/held"])
async def test_end_does_not_wait_for_what_is_stuck(raw: RawClient, path: str) -> None:
    """Leaving the server ends every conversation at once, and the client sees its connection end."""
    async with contextlib.AsyncExitStack() as client:
        async with FaultServer({**STUCK, "/held": _held}) as server:
            reader, writer = await client.enter_async_context(raw.connect(server))
            writer.write(raw.get(path))
            await raw.until(lambda: server.seen.in_progress == 1)
            began = time.monotonic()
        assert time.monotonic() - began < SOON
        assert (server.seen.in_progress, server.seen.open_connections) == (0, 0)
        with contextlib.suppress(ConnectionResetError):
            await reader.read()


@pytest.mark.parametrize("turns", range(5))
async def test_end_takes_connections_that_are_just_being_made(turns: int) -> None:
    """A connection is closed however far it has come when the server is left."""
    clients = [socket.socket() for _ in range(3)]
    async with FaultServer() as server:
        for client in clients:
            client.connect(("127.0.0.1", server.port))
        for _ in range(turns):
            await asyncio.sleep(0)
    assert server.seen.open_connections == 0
    for client in clients:
        client.settimeout(1)
        with client, contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


async def test_end_comes_also_after_an_exception(raw: RawClient) -> None:
    """An error in the block passes, and the server is closed."""
    with pytest.raises(ZeroDivisionError):
        async with FaultServer({"/": Reply(200)}) as server, raw.connect(server):
            raise ZeroDivisionError
    with pytest.raises(ConnectionRefusedError):
        await raw.last(server)


# In a thread


def _get(server: FaultServer, path: str = "/") -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=SOON) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_thread_serves_synchronous_code() -> None:
    """In a thread of its own the server answers blocking clients, and takes new routes while it runs."""
    with FaultServer({"/": Reply(200, b"x")}).in_thread() as server:
        assert _get(server).endswith(b"x")
        server.route("/new", Reply(200, b"new"))
        assert _get(server, "/new").endswith(b"new")
    assert server.seen.by_path == {"/": 1, "/new": 1}
    with pytest.raises(ConnectionRefusedError):
        _get(server)


def test_thread_that_cannot_listen_raises_in_the_caller() -> None:
    """A port that is taken is seen where the server is started."""
    with FaultServer().in_thread() as server, pytest.raises(OSError, match="in use"):
        FaultServer(port=server.port).in_thread().__enter__()


def test_error_of_a_callable_leaves_the_thread() -> None:
    """A failing function in a route is seen where the server is left."""
    with pytest.raises(ExceptionGroup), FaultServer({"/": _failing}).in_thread() as server:
        assert b" 500 " in _get(server)


def test_error_of_the_block_passes_the_thread() -> None:
    """What the block raises is not replaced, and the thread ends."""

    def block() -> None:
        with FaultServer({"/": _failing}).in_thread() as server:
            _get(server)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()


def test_stuck_thread_ends_at_once() -> None:
    """A client in the middle of an answer does not hold up the end."""
    with FaultServer(STUCK).in_thread() as server, socket.socket() as client:
        client.connect(("127.0.0.1", server.port))
        client.sendall(b"GET /silence HTTP/1.1\r\nHost: x\r\n\r\n")
        while not server.seen.in_progress:
            time.sleep(0.001)
        began = time.monotonic()
    assert time.monotonic() - began < SOON
