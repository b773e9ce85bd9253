"""TLS of the server's side, with the loop's own TLS as the client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import urllib.request
from typing import TYPE_CHECKING

import pytest

from asyncfetch.testing import FaultServer, Pause, Reply, Script, Send
from tests.soon import SOON

if TYPE_CHECKING:
    from asyncfetch.testing.fixtures import MakeFaultServer, TLSAuthority
    from tests.testing.conftest import RawClient


@pytest.fixture
def server(tls_authority: TLSAuthority) -> FaultServer:
    """A server with TLS that has not been started."""
    return FaultServer({"/": Reply(200, b"secret")}, ssl_context=tls_authority.server_context("127.0.0.1"))


async def test_answers_come_encrypted_and_end_cleanly(
    raw: RawClient, server: FaultServer, tls_authority: TLSAuthority
) -> None:
    """Several requests on one TLS connection, and the URL says https."""
    async with server:
        assert server.url("/x") == f"https://127.0.0.1:{server.port}/x"
        async with raw.connect(server, tls=tls_authority.client_context()) as (reader, writer):
            writer.write(raw.get() + raw.get("/", "Connection: close"))
            assert (await reader.read()).count(b"secret") == 2
        assert (server.seen.requests, server.seen.connections) == (2, 1)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_versions_of_tls_work(
    raw: RawClient, server: FaultServer, tls_authority: TLSAuthority, version: ssl.TLSVersion
) -> None:
    """The context decides what is spoken."""
    context = tls_authority.client_context()
    context.maximum_version = version
    async with server:
        assert (await raw.ask(server, raw.get("/", "Connection: close"), tls=context)).endswith(b"secret")


def test_large_bodies_pass_both_ways(make_fault_server: MakeFaultServer, tls_authority: TLSAuthority) -> None:
    """Many records, in both directions, arrive whole."""
    body = bytes(range(256)) * 20_000
    server = make_fault_server({"/": Reply(200, body)}, ssl_context=tls_authority.server_context("127.0.0.1"))
    request = urllib.request.Request(server.url("/"), data=body)
    with urllib.request.urlopen(request, context=tls_authority.client_context(), timeout=SOON) as answer:
        assert answer.read() == body
    assert server.seen.log[0].length == len(body)


async def test_pause_keeps_what_was_sent_meanwhile(raw: RawClient, tls_authority: TLSAuthority) -> None:
    """A wait that was given up in the middle of a record loses nothing."""
    context = tls_authority.server_context("127.0.0.1")
    script = Script(Pause(0.01), Send(b"a"), Pause(0.01), Send(b"b"))
    async with (
        FaultServer({"/": script}, ssl_context=context) as server,
        raw.connect(server, tls=tls_authority.client_context()) as (reader, writer),
    ):
        for byte in raw.get() + raw.get():
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert await reader.readexactly(4) == b"abab"


async def test_distrustful_client_is_no_event(raw: RawClient, server: FaultServer) -> None:
    """A client that refuses the certificate costs the server nothing, and it goes on."""
    async with server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await raw.ask(server, b"", tls=ssl.create_default_context())
        await raw.until(lambda: server.seen.open_connections == 0)
        assert (server.seen.connections, server.seen.requests, server.seen.malformed) == (1, 0, [])


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"])
async def test_handshake_that_breaks_off_is_no_event(raw: RawClient, server: FaultServer, sent: bytes) -> None:
    """Plain HTTP to a TLS port, or half a hello, ends that connection alone."""
    async with server:
        async with raw.connect(server) as (_, writer):
            writer.write(sent)
            writer.write_eof()
            await raw.until(lambda: server.seen.connections == 1 and server.seen.open_connections == 0)
        assert server.seen.requests == 0


async def test_server_closes_with_a_handshake_under_way(raw: RawClient, server: FaultServer) -> None:
    """A client that never says hello does not hold the server up."""
    async with contextlib.AsyncExitStack() as client:
        async with server:
            reader, _ = await client.enter_async_context(raw.connect(server))
            await raw.until(lambda: server.seen.open_connections == 1)
        assert server.seen.open_connections == 0
        assert await reader.read() == b""


async def test_client_may_leave_without_goodbye(
    raw: RawClient, server: FaultServer, tls_authority: TLSAuthority
) -> None:
    """A client that drops its TLS connection has left, like any other."""
    async with server:
        async with raw.connect(server, tls=tls_authority.client_context()):
            await raw.until(lambda: server.seen.open_connections == 1)
        await raw.until(lambda: server.seen.open_connections == 0)


def test_plain_server_answers_a_tls_hello_at_once(fault_server: FaultServer) -> None:
    """TLS to a plain port does not hang: it gets an answer that is no TLS."""
    context = ssl.create_default_context()
    with (
        socket.create_connection(("127.0.0.1", fault_server.port), timeout=SOON) as client,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(client, server_hostname="127.0.0.1")
    assert fault_server.seen.malformed[0][:14] in {"no head b'\\x16", 'no head b"\\x16'}
