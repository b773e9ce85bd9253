"""Ports where somebody listens, nobody listens, or nobody answers."""

from __future__ import annotations

import errno
import socket
import sys

import pytest

from asyncfetch.testing import blackhole, unused_port
from asyncfetch.testing.ports import listen_on_all


def test_all_addresses_get_the_same_port() -> None:
    """IPv4 and IPv6 listeners share one port."""
    sockets = listen_on_all(("127.0.0.1", "127.0.0.50", "::1"), 0)
    ports = {sock.getsockname()[1] for sock in sockets}
    for sock in sockets:
        socket.create_connection(sock.getsockname()[:2], timeout=1).close()
        sock.close()
    assert len(ports) == 1


def test_wanted_port_that_is_taken_is_an_error() -> None:
    """Nobody gets another port than the one that was asked for."""
    with listen_on_all(("127.0.0.1",), 0)[0] as sock, pytest.raises(OSError, match="in use"):
        listen_on_all(("127.0.0.2", "127.0.0.1"), sock.getsockname()[1])


def test_search_for_a_port_ends() -> None:
    """Addresses that never have a free port in common are an error, not an endless loop."""
    with pytest.raises(OSError, match="found no port") as caught:
        listen_on_all(("127.0.0.1", "127.0.0.1"), 0)
    assert caught.value.errno == errno.EADDRINUSE


def test_address_of_another_machine_is_an_error() -> None:
    """Only addresses of this machine can be listened on."""
    with pytest.raises(OSError, match="assign"):
        listen_on_all(("192.0.2.1",), 0)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_unused_port_refuses(address: str) -> None:
    """A connect to an unused port is refused at once."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, unused_port(address)), timeout=1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux drops connects when the queue is full")
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.7", "::1"])
def test_blackhole_lets_a_connect_wait(address: str) -> None:
    """A connect to a blackhole is neither accepted nor refused."""
    with blackhole(address) as port, pytest.raises(TimeoutError):
        socket.create_connection((address, port), timeout=0.05)
