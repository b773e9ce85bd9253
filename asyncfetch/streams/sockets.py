"""What event loops leave open about a socket: what its kernel still holds, and who closes one that failed."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["connect", "let_go", "watch_kernel"]

_STEPS_TO_CLOSE = 20  # of the loop; some five are usual


async def connect(sock: socket.socket, address: tuple[Any, ...], loop: asyncio.AbstractEventLoop) -> socket.socket:
    """Connect a socket, and return it; an error closes it.

    Raises:
        OSError: nobody answers there.
        RuntimeError: the same, as uvloop says some of it.
    """
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def let_go(sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
    """See that the loop closes a socket of which it has made no stream; closed here, its number may be another's.

    uvloop closes the descriptor, or has done so. asyncio does in most cases; but a TLS connection that is cancelled
    in its first step it forgets, and goes on with the handshake all the same. The end of the stream ends that, too.
    """
    if not isinstance(loop, asyncio.BaseEventLoop):
        sock.detach()
        return
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    for _ in range(_STEPS_TO_CLOSE):
        if sock.fileno() < 0:
            return
        await asyncio.sleep(0)


def watch_kernel(descriptor: int) -> Callable[[], object]:
    """Return what tells whether a socket has bytes, or an end, that nobody has read; it costs less than 1 µs."""
    if sys.platform == "win32":
        return lambda: select.select([descriptor], [], [], 0)[0]
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return partial(poll.poll, 0)
