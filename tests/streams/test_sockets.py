"""Sockets as the kernel and the loop see them."""

from __future__ import annotations

import asyncio
import socket

import pytest

from asyncfetch.streams.sockets import connect, let_go, watch_kernel
from asyncfetch.testing import unused_port


def test_what_nobody_has_read_is_seen() -> None:
    """Bytes in the kernel, and an end, are news until they are read."""
    here, there = socket.socketpair()
    with here:
        has_news = watch_kernel(here.fileno())
        assert not has_news()
        there.send(b"x")
        assert has_news()
        here.recv(1)
        assert not has_news()
        there.close()
        assert has_news()


async def test_a_socket_that_was_handed_over_is_the_loop_s_to_close() -> None:
    """The other end sees the end of the stream, and nobody closes a number that is somebody else's by then."""
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    here.setblocking(False)
    there.setblocking(False)
    making = asyncio.ensure_future(loop.create_connection(asyncio.Protocol, sock=here))
    await asyncio.sleep(0)
    making.cancel()
    await asyncio.wait([making])
    await let_go(here, loop)
    assert here.fileno() == -1
    with there:
        assert await asyncio.wait_for(loop.sock_recv(there, 1), 5) == b""


async def test_a_socket_that_cannot_connect_is_closed() -> None:
    """Whoever opened it has nothing left to do."""
    sock = socket.socket()
    with pytest.raises(ConnectionRefusedError):
        await connect(sock, ("127.0.0.1", unused_port()), asyncio.get_running_loop())
    assert sock.fileno() == -1
