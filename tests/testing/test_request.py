"""Reading requests: RFC 9112 to the letter."""

from __future__ import annotations

import time

import pytest

from asyncfetch.testing.request import MalformedRequestError, parse_request


def test_request_is_taken_apart_and_kept_as_it_came() -> None:
    """Method, target, path, fields and bytes are those that were sent."""
    head = b"GET /a/b?q=1 HTTP/1.1\r\nHost: x\r\nX-Two:  a b \r\nX-Two: \xe9"
    before = time.monotonic()
    request = parse_request(head, host="127.0.0.2:80", connection=3)
    assert (request.method, request.target, request.path) == ("GET", "/a/b?q=1", "/a/b")
    assert request.headers == (("Host", "x"), ("X-Two", "a b"), ("X-Two", "\xe9"))
    assert (request.version, request.length, request.wants_close) == ("1.1", 0, False)
    assert (request.head, request.host, request.connection) == (head, "127.0.0.2:80", 3)
    assert before <= request.time <= time.monotonic()


def test_field_is_found_in_any_letter_case() -> None:
    """`header` gives the first field of that name, and None without one."""
    request = parse_request(b"GET / HTTP/1.1\r\nhOST: x\r\nA: 1\r\na: 2")
    assert (request.header("Host"), request.header("A"), request.header("B")) == ("x", "1", None)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/a%20b?x?y", "/a%20b"),
        ("*", "*"),
        ("http://host:8/a?b", "/a"),
        ("HTTPS://host/a/b", "/a/b"),
        ("http://host", "/"),
        ("http://host?q", "/"),
    ],
)
def test_path_is_the_target_before_the_query(target: str, path: str) -> None:
    """The path has no query, and no scheme and authority."""
    assert parse_request(f"GET {target} HTTP/1.1\r\nHost: x".encode()).path == path


@pytest.mark.parametrize(
    ("head", "closes"),
    [
        (b"GET / HTTP/1.0", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive", True),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Close", True),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: a\r\nConnection: b ,close", True),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: closed", False),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: close", False),
    ],
)
def test_wish_to_close_is_seen(head: bytes, *, closes: bool) -> None:
    """HTTP/1.0 and the option "close" end the connection after the answer."""
    assert parse_request(head).wants_close is closes


def test_length_of_a_body_is_read() -> None:
    """Content-Length is a number of bytes."""
    assert parse_request(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 012").length == 12


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET /",
        b"GET  / HTTP/1.1\r\nHost: x",
        b"GET / HTTP/1.1 \r\nHost: x",
        b" GET / HTTP/1.1\r\nHost: x",
        b"G(T / HTTP/1.1\r\nHost: x",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x",
        b"GET /a b HTTP/1.1\r\nHost: x",
        b"GET /a#b HTTP/1.1\r\nHost: x",
        b"GET /a\tb HTTP/1.1\r\nHost: x",
        b"GET /a\x7f HTTP/1.1\r\nHost: x",
        b"GET / http/1.1\r\nHost: x",
        b"GET / HTTP/2.0\r\nHost: x",
        b"GET / HTTP/1.10\r\nHost: x",
        b"GET / HTTP/1.1\nHost: x",
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: x",
        b"GET / HTTP/1.0\r\nHost: x\r\nHost: y",
        b"GET / HTTP/1.1\r\nHost : x",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon",
        b"GET / HTTP/1.1\r\nHost: x\r\n: no name",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\nC: d",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: \xb2",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: ",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked",
    ],
)
def test_what_breaks_the_grammar_is_refused(head: bytes) -> None:
    """A server does not guess what a broken request means."""
    with pytest.raises(MalformedRequestError):
        parse_request(head)
