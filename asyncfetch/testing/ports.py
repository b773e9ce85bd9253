"""Loopback ports: one port on many addresses, a port where nothing listens, and one that swallows connects."""

from __future__ import annotations

import contextlib
import errno
import secrets
import select
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BACKLOG = 4096
_ATTEMPTS = 100
_FILL = 16
_FILL_WAIT_MS = 50


def listen_on_all(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Return a listening socket for each of the numeric `addresses`, all on the same port.

    Args:
        addresses: IPv4 or IPv6, at least one.
        port: 0 for a port that is free on all of them.

    Raises:
        OSError: an address is not of this machine, or the port is taken.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _listen_on_each(addresses, port, BACKLOG)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, f"found no port that is free on all of {len(addresses)} addresses")


def _listen_on_each(addresses: Sequence[str], port: int, backlog: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    with contextlib.ExitStack() as opened:
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            # with the protocol left at 0, asyncio does not set TCP_NODELAY on what it accepts
            sock = opened.enter_context(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, port))
            sock.listen(backlog)
            port = sock.getsockname()[1]
            sockets.append(sock)
        opened.pop_all()
    return sockets


def unused_port(address: str = "127.0.0.1") -> int:
    """Return a port of `address` on which nothing listens: a connect there is refused.

    It is outside the range from which the kernel gives ports to others, so it stays unused.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with contextlib.suppress(OSError):
            _listen_on_each((address,), port, BACKLOG)[0].close()
            return port


@contextlib.contextmanager
def blackhole(address: str = "127.0.0.1") -> Iterator[int]:
    """Give a port that neither accepts nor refuses: a connect to it waits until its own timeout (Linux only).

    Its queue of connections that wait for an accept is full, and the kernel drops what would be the next.
    """
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(_listen_on_each((address,), 0, 0)[0])
        for _ in range(_FILL):
            client = opened.enter_context(socket.socket(listener.family, socket.SOCK_STREAM))
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            poll = select.poll()
            poll.register(client, select.POLLOUT)
            if not poll.poll(_FILL_WAIT_MS):
                break
        yield listener.getsockname()[1]
