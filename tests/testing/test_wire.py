"""The bytes of one connection, where a whole server would not get to."""

from __future__ import annotations

import asyncio
import socket
from time import monotonic

import pytest

from asyncfetch.testing.wire import Wire


async def _wire() -> tuple[Wire, socket.socket]:
    """Return a wire, and the client's end of it."""
    ours, theirs = socket.socketpair()
    return Wire(*await asyncio.open_connection(sock=ours)), theirs


def _received_all(client: socket.socket) -> bytes:
    """Return what comes until a clean end."""
    return b"".join(iter(lambda: client.recv(65536), b""))


async def test_ends_may_follow_each_other() -> None:
    """A connection that has ended can be ended again in every way, without an error."""
    wire, client = await _wire()
    with client:
        wire.abort()
        await wire.reset()
        wire.stop_tls()
        wire.close()
        await wire.wait_closed()
        assert not wire.is_open


async def test_sending_after_the_end_says_that_the_client_left() -> None:
    """Both loops raise the same error for it."""
    wire, client = await _wire()
    with client:
        wire.close()
        with pytest.raises(ConnectionResetError):
            await wire.send(b"late")
        await wire.wait_closed()


async def test_wait_for_the_end_may_be_given_up() -> None:
    """One task that gives up waiting does not disturb another."""
    wire, client = await _wire()
    with client:
        wire._writer.write(bytes(20_000_000))  # nobody reads, so the end does not come by itself
        wire.close()
        waits = [asyncio.ensure_future(wire.wait_closed()) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waits[0].cancel()
        await asyncio.sleep(0)
        wire.abort()
        await waits[1]
        await wire.wait_closed()
        assert waits[0].cancelled()


async def test_reset_does_not_wait_for_a_client_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that nobody takes hold a reset up for a limited time."""
    monkeypatch.setattr("asyncfetch.testing.wire._DELIVERY_POLLS", 3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire(*await asyncio.open_connection(*listener.getsockname()))
        with listener.accept()[0] as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wire.send(bytes(20_000_000)), 0.02)
            await wire.reset()
            await wire.wait_closed()
            with pytest.raises(ConnectionResetError):
                _received_all(client)


async def test_a_pause_is_never_too_short() -> None:
    """Whatever the loop makes of a fraction of a millisecond."""
    wire, client = await _wire()
    with client:
        for seconds in (0.0004, 0.0014, 0.0104):
            began = monotonic()
            await wire.pause(seconds)
            assert monotonic() - began >= seconds
        wire.close()
        await wire.wait_closed()


@pytest.mark.parametrize("cut", range(1, 24))
async def test_heads_end_at_the_empty_line_wherever_the_bytes_are_cut(cut: int) -> None:
    """A head is given without its empty line, and what follows is kept."""
    wire, client = await _wire()
    sent = b"\r\nA: 1\r\nB: 2\r\n\r\nC: 3\n\nrest"
    with client:
        client.sendall(sent[:cut])
        head = asyncio.ensure_future(wire.read_head())
        await asyncio.sleep(0.001)
        client.sendall(sent[cut:])
        assert await head == b"A: 1\r\nB: 2"
        assert await wire.read_head() == b"C: 3"
        await wire.read_away(2)
        client.shutdown(socket.SHUT_WR)
        assert await wire.read_head() is None
        with pytest.raises(ConnectionResetError):
            await wire.read_away(3)
        wire.close()
        await wire.wait_closed()
