"""Counting what a server saw."""

from __future__ import annotations

from asyncfetch.testing import Seen, SeenRequest
from asyncfetch.testing.request import parse_request


def _request(path: str, host: str = "127.0.0.1:80") -> SeenRequest:
    return parse_request(f"GET {path} HTTP/1.1\r\nHost: x".encode(), host=host)


def test_most_at_once_is_the_peak_in_total_and_per_host() -> None:
    """The peak stays when requests have ended, and hosts are counted apart."""
    seen = Seen()
    one, two, other = _request("/1"), _request("/2"), _request("/3", "127.0.0.2:80")
    for request in (one, two, other):
        seen.began(request)
    seen.ended(two)
    seen.began(two)
    for request in (one, two, other):
        seen.ended(request)
    assert (seen.requests, seen.most_at_once, seen.in_progress) == (4, 3, 0)
    here, there = seen.by_host["127.0.0.1:80"], seen.by_host["127.0.0.2:80"]
    assert (here.requests, here.most_at_once, here.in_progress) == (3, 2, 0)
    assert (there.requests, there.most_at_once, there.in_progress) == (1, 1, 0)
    assert seen.by_path == {"/1": 1, "/2": 2, "/3": 1}


def test_connections_are_numbered_and_counted_per_host() -> None:
    """Connections count while they are open, and in all."""
    seen = Seen()
    assert [seen.connected(host) for host in ("a:1", "b:1", "a:1")] == [1, 2, 3]
    seen.disconnected("a:1")
    assert (seen.connections, seen.open_connections) == (3, 2)
    assert (seen.by_host["a:1"].connections, seen.by_host["a:1"].open_connections) == (2, 1)


def test_host_that_nobody_asked_counts_zero() -> None:
    """Looking for a host that saw nothing is no error."""
    assert Seen().by_host["127.0.0.9:80"].requests == 0


def test_log_keeps_the_last_requests() -> None:
    """The log is bounded, the oldest request goes first, the counts go on."""
    seen = Seen(keep_log=2)
    for number in range(3):
        seen.began(_request(f"/{number}"))
        seen.refused(f"bad {number}")
    assert [request.path for request in seen.log] == ["/1", "/2"]
    assert seen.malformed == ["bad 1", "bad 2"]
    assert seen.requests == 3


def test_counts_are_shown() -> None:
    """A failing assertion shows numbers."""
    seen = Seen()
    seen.connected("a:1")
    assert repr(seen) == "<Seen requests=0 connections=1 in_progress=0 most_at_once=0>"
    assert repr(seen.by_host["a:1"]).startswith("<HostSeen ")
