"""Heads as bytes: each rule of RFC 9112, read whole, byte by byte, and cut at every position."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from itertools import islice, repeat
from typing import Any

import pytest

from asyncfetch.errors import IncompleteMessage, MalformedMessage, MessageTooLarge, ProtocolError
from asyncfetch.streams.heads import Framing, Head, HeadParser
from asyncfetch.streams.http1 import choose_framing, may_persist, read_head, take_head
from asyncfetch.streams.wire import WireReader

KIB = 1024
OK = b"HTTP/1.1 200 OK\r\n"
KNOWING = HeadParser()
KNOWING.parse(OK.strip())


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that never runs: it only lends its futures to readers that are fed by hand."""
    loop = asyncio.new_event_loop()
    loop.set_debug(
        False
    )  # its futures would record a stack each, under `python -X dev`, and times are measured here
    yield loop
    loop.close()


def feed_by_hand(reader: WireReader, reading: Coroutine[Any, Any, Head], pieces: Iterable[bytes]) -> Head:
    """Give the reader the next piece each time it waits for one, and the end after the last."""
    feeds = filter(None, pieces)
    try:
        while True:
            reading.send(None)
            piece = next(feeds, None)
            if piece is None:
                reader.feed_eof()
            else:
                reader.feed_data(piece)
    except StopIteration as stop:
        head: Head = stop.value
        return head


async def receive_head(reader: WireReader, parser: HeadParser) -> Head:
    """Read a head as an exchange does: at once if it is a usual one."""
    arrival = reader.arrival()
    if arrival is not None:
        await arrival
    return take_head(reader, parser) or await read_head(reader, parser)


def read(loop: asyncio.AbstractEventLoop, pieces: Iterable[bytes], parser: HeadParser | None = None) -> Head:
    reader = WireReader(loop)
    return feed_by_hand(reader, receive_head(reader, parser or HeadParser()), pieces)


def one_by_one(raw: bytes) -> list[bytes]:
    return [raw[at : at + 1] for at in range(len(raw))]


# --- heads that are fine (RFC 9112 sections 4 and 5)

GOOD: dict[str, tuple[bytes, tuple[int, int, bytes], list[tuple[bytes, bytes]]]] = {
    "plain": (OK + b"A: b\r\n\r\n", (1, 200, b"OK"), [(b"A", b"b")]),
    "no fields": (b"HTTP/1.1 200 OK\r\n\r\n", (1, 200, b"OK"), []),
    "no reason": (b"HTTP/1.1 404 \r\n\r\n", (1, 404, b""), []),
    "no reason and no space": (b"HTTP/1.1 404\r\n\r\n", (1, 404, b""), []),
    "blanks in the reason": (b"HTTP/1.1 200  a\tb \r\n\r\n", (1, 200, b" a\tb "), []),
    "reason of any bytes": (b"HTTP/1.1 200 \xff\x1b\x01\r\n\r\n", (1, 200, b"\xff\x1b\x01"), []),
    "version 1.0": (b"HTTP/1.0 200 OK\r\n\r\n", (0, 200, b"OK"), []),
    "version 1.9": (b"HTTP/1.9 200 OK\r\n\r\n", (9, 200, b"OK"), []),
    "status 599": (b"HTTP/1.1 599 x\r\n\r\n", (1, 599, b"x"), []),
    "status 600": (b"HTTP/1.1 600 x\r\n\r\n", (1, 600, b"x"), []),
    "status 999": (b"HTTP/1.1 999 x\r\n\r\n", (1, 999, b"x"), []),
    "bare LF": (b"HTTP/1.1 200 OK\nA: b\n\n", (1, 200, b"OK"), [(b"A", b"b")]),
    "LF, then CRLF": (b"HTTP/1.1 200 OK\nA: b\n\r\n", (1, 200, b"OK"), [(b"A", b"b")]),
    "CRLF, then LF": (OK + b"A: b\r\n\n", (1, 200, b"OK"), [(b"A", b"b")]),
    "line ends of both kinds": (
        b"HTTP/1.1 200 OK\nA: b\r\nC: d\n\r\n",
        (1, 200, b"OK"),
        [(b"A", b"b"), (b"C", b"d")],
    ),
    "blanks around a value": (OK + b"A: \t b c \t\r\n\r\n", (1, 200, b"OK"), [(b"A", b"b c")]),
    "no blank before a value": (OK + b"A:b\r\n\r\n", (1, 200, b"OK"), [(b"A", b"b")]),
    "empty values": (OK + b"A:\r\nB: \r\n\r\n", (1, 200, b"OK"), [(b"A", b""), (b"B", b"")]),
    "colons in a value": (OK + b"A: b: c:\r\n\r\n", (1, 200, b"OK"), [(b"A", b"b: c:")]),
    "value of any bytes": (
        OK + b"A: \x01\x1b\x7f\xff\x0b\r\n\r\n",
        (1, 200, b"OK"),
        [(b"A", b"\x01\x1b\x7f\xff\x0b")],
    ),
    "names keep their case and order": (
        OK + b"b: 1\r\nB: 2\r\na: 3\r\nb: 1\r\n\r\n",
        (1, 200, b"OK"),
        [(b"b", b"1"), (b"B", b"2"), (b"a", b"3"), (b"b", b"1")],
    ),
    "every character of a token": (
        OK + b"!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n",
        (1, 200, b"OK"),
        [(b"!#$%&'*+-.^_`|~09azAZ", b"x")],
    ),
    "folded line": (OK + b"A: b\r\n \t c\r\nD: e\r\n\r\n", (1, 200, b"OK"), [(b"A", b"b c"), (b"D", b"e")]),
    "folded with blanks before": (OK + b"A: b \t\r\n c\r\n\r\n", (1, 200, b"OK"), [(b"A", b"b c")]),
    "folded twice": (OK + b"A: b\r\n c\r\n\td\r\n\r\n", (1, 200, b"OK"), [(b"A", b"b c d")]),
    "folded with LF": (OK + b"A: b\n c\r\n\r\n", (1, 200, b"OK"), [(b"A", b"b c")]),
    "folded before the value": (OK + b"A:\r\n b\r\n\r\n", (1, 200, b"OK"), [(b"A", b"b")]),
    "folded to nothing": (OK + b"A: b\r\n \r\n\r\n", (1, 200, b"OK"), [(b"A", b"b")]),
    "interim responses": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.0 200 OK\r\nA: b\r\n\r\n",
        (0, 200, b"OK"),
        [(b"A", b"b")],
    ),
    "interim without a reason, with bare LF": (
        b"HTTP/1.1 199\n\nHTTP/1.1 200 OK\n\n",
        (1, 200, b"OK"),
        [],
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_head_is_read(loop: asyncio.AbstractEventLoop, name: str) -> None:
    """A head that is fine gives the same whole and byte by byte; cut anywhere it is incomplete."""
    raw, start, fields = GOOD[name]
    for pieces in ([raw], [raw + b"HTTP/1.1 500 stray"], one_by_one(raw)):
        head = read(loop, pieces)
        assert (head.minor, head.status, head.reason) == start
        assert head.fields == fields
    for end in range(len(raw)):
        for pieces in ([raw[:end]], one_by_one(raw[:end])):
            with pytest.raises(IncompleteMessage, match=r"before the answer|in the middle of the head"):
                read(loop, pieces)


@pytest.mark.parametrize("rest", [b"", b"x", b"\r\n", b"\n", b"HTTP/1.1 500 stray\r\n\r\n"])
@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n", b"\n\r\n", b"\r\n\n"])
def test_what_follows_a_head_stays(loop: asyncio.AbstractEventLoop, end: bytes, rest: bytes) -> None:
    """The bytes after a head, empty lines included, are left in the reader, whatever ends the head."""
    raw = b"HTTP/1.1 200 OK\r\nA: b" + end + rest
    for first in range(1, len(raw) + 1):
        reader = WireReader(loop)
        head = feed_by_hand(reader, receive_head(reader, KNOWING), [raw[:first], raw[first:]])
        assert head.fields == [(b"A", b"b")]
        came = reader.received - len(raw) + len(rest)
        assert reader.pending == rest[:came]


# --- heads that are not

BAD: dict[str, bytes] = {
    "empty line first": b"\r\n" + OK + b"\r\n",
    "nothing but an empty line": b"\r\n\r\n",
    "space first": b" " + OK + b"\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00",
    "TLS alert": b"\x15\x03\x01\x00\x02\x02\x50",
    "HTTP/0.9": b"<html>hello</html>\r\n\r\n",
    "ICY": b"ICY 200 OK\r\n\r\n",
    "lower case": b"http/1.1 200 OK\r\n\r\n",
    "version 2.0": b"HTTP/2.0 200 OK\r\n\r\n",
    "version 2": b"HTTP/2 200 OK\r\n\r\n",
    "version 0.9": b"HTTP/0.9 200 OK\r\n\r\n",
    "version 1.10": b"HTTP/1.10 200 OK\r\n\r\n",
    "version 1.": b"HTTP/1. 200 OK\r\n\r\n",
    "version 1,1": b"HTTP/1,1 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "no status but a space": b"HTTP/1.1 \r\n\r\n",
    "two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "letters for digits": b"HTTP/1.1 2OO OK\r\n\r\n",
    "sign": b"HTTP/1.1 +20 OK\r\n\r\n",
    "Arabic digits": "HTTP/1.1 \u0662\u0660\u0660 OK\r\n\r\n".encode(),
    "status 099": b"HTTP/1.1 099 OK\r\n\r\n",
    "status 000": b"HTTP/1.1 000 OK\r\n\r\n",
    "no space before the reason": b"HTTP/1.1 200OK\r\n\r\n",
    "two spaces before the status": b"HTTP/1.1  200 OK\r\n\r\n",
    "tab before the status": b"HTTP/1.1\t200 OK\r\n\r\n",
    "tab before the reason": b"HTTP/1.1 200\tOK\r\n\r\n",
    "NUL in the reason": b"HTTP/1.1 200 O\0K\r\n\r\n",
    "CR in the reason": b"HTTP/1.1 200 O\rK\r\n\r\n",
    "blank before the colon": OK + b"A : b\r\n\r\n",
    "tab before the colon": OK + b"A\t: b\r\n\r\n",
    "no colon": OK + b"A\r\n\r\n",
    "no colon after a good field": OK + b"A: b\r\nC d\r\n\r\n",
    "empty name": OK + b": b\r\n\r\n",
    "blank in a name": OK + b"A B: c\r\n\r\n",
    "name beyond ASCII": OK + "Ä: b\r\n\r\n".encode(),
    "separator in a name": OK + b"A(: b\r\n\r\n",
    "control in a name": OK + b"A\x01: b\r\n\r\n",
    "NUL in a name": OK + b"A\0: b\r\n\r\n",
    "NUL in a value": OK + b"A: b\0c\r\n\r\n",
    "bare CR in a value": OK + b"A: b\rC: d\r\n\r\n",
    "bare CR at the end of a value": OK + b"A: b\r\r\n\r\n",
    "bare CR as line end": b"HTTP/1.1 200 OK\rA: b\r\n\r\n",
    "CR alone as a line": OK + b"\r\r\n\r\n",
    "folded line first": OK + b" A: b\r\n\r\n",
    "tab first": OK + b"\tA: b\r\n\r\n",
    "folded name": OK + b"A\r\n : b\r\n\r\n",
    "unasked switch": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    "unasked switch after an interim response": b"HTTP/1.1 100\r\n\r\nHTTP/1.1 101 x\r\n\r\n" + OK + b"\r\n",
    "broken interim response": b"HTTP/1.1 100 x\r\nA\r\n\r\n" + OK + b"\r\n",
    "body of an interim response": b"HTTP/1.1 102 x\r\nContent-Length: 2\r\n\r\nhi" + OK + b"\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_head_is_refused(loop: asyncio.AbstractEventLoop, name: str) -> None:
    """A head that breaks the grammar is malformed, whole and byte by byte; a part of it is never a success."""
    raw = BAD[name]
    for pieces in ([raw], one_by_one(raw)):
        with pytest.raises(MalformedMessage) as caught:
            read(loop, pieces)
        assert str(caught.value).isprintable()
    for end in range(len(raw)):
        with pytest.raises((MalformedMessage, IncompleteMessage)):
            read(loop, [raw[:end]])


def test_other_protocols_are_refused_at_their_first_bytes(loop: asyncio.AbstractEventLoop) -> None:
    """A server that greets first and then waits is not waited for."""
    for raw in (b"220 mail.test ESMTP\r\n", b"S", b"HTTQ"):
        reader = WireReader(loop)
        reader.feed_data(raw)
        with pytest.raises(MalformedMessage, match=r"not HTTP/1\.x"):
            receive_head(reader, HeadParser()).send(None)


# --- framing (RFC 9112 section 6) and persistence (section 9.3)


def head_of(loop: asyncio.AbstractEventLoop, fields: str, start: str = "HTTP/1.1 200 OK") -> Head:
    return read(loop, ["\r\n".join([start, *filter(None, fields.split("; ")), "", ""]).encode("latin-1")])


CHUNKED, UNTIL_CLOSE = Framing.CHUNKED, Framing.UNTIL_CLOSE
ZEROS = "0" * 5000

FRAMINGS: dict[str, int | Framing | None] = {
    "": UNTIL_CLOSE,
    "Content-Type: a/b": UNTIL_CLOSE,
    "Content-Length: 0": 0,
    "Content-Length: 5": 5,
    "CONTENT-LENGTH: 5": 5,
    "Content-Length: 005": 5,
    f"Content-Length: {ZEROS}7": 7,
    "Content-Length: 999999999999999999": 10**18 - 1,
    "Content-Length: 5; Content-Length: 5": 5,
    "Content-Length: 5; content-length: 05": 5,
    "Content-Length: 5, 5": 5,
    "Content-Length: 5 ,5; Content-Length: 5": 5,
    "Content-Length: 1000000000000000000": None,
    f"Content-Length: {'9' * 5000}": None,
    "Content-Length: ": None,
    "Content-Length: ,": None,
    "Content-Length: 5,": None,
    "Content-Length: +5": None,
    "Content-Length: -5": None,
    "Content-Length: 1_0": None,
    "Content-Length: 5 5": None,
    "Content-Length: 5.0": None,
    "Content-Length: 0x5": None,
    "Content-Length: five": None,
    "Content-Length: \x0b5": None,
    "Content-Length: \xa05": None,
    "Content-Length: \xb2": None,
    "Content-Length: 5;q=1": None,
    "Content-Length: 5; Content-Length: 6": None,
    "Content-Length: 5, 6": None,
    "Content-Length: 5; Content-Length: ": None,
    "Content-Length: 5; Content-Length: x": None,
    "Transfer-Encoding: chunked": CHUNKED,
    "transfer-encoding: CHUNKED": CHUNKED,
    "Transfer-Encoding:chunked \t": CHUNKED,
    "Transfer-Encoding: chunked; Content-Length: 5": CHUNKED,
    "Content-Length: 5; Transfer-Encoding: chunked": CHUNKED,
    "Content-Length: x; Transfer-Encoding: chunked": CHUNKED,
    "Transfer-Encoding: ": None,
    "Transfer-Encoding: identity": None,
    "Transfer-Encoding: identity; Content-Length: 5": None,
    "Transfer-Encoding: gzip, chunked": None,
    "Transfer-Encoding: gzip; Transfer-Encoding: chunked": None,
    "Transfer-Encoding: chunked, chunked": None,
    "Transfer-Encoding: chunked; Transfer-Encoding: chunked": None,
    "Transfer-Encoding: chunked; Transfer-Encoding: identity": None,
    "Transfer-Encoding: chunked,": None,
    "Transfer-Encoding: ,chunked": None,
    "Transfer-Encoding: chunked;q=1": None,
    "Transfer-Encoding: \x0bchunked": None,
    'Transfer-Encoding: "chunked"': None,
    "Transfer-Encoding: xchunked": None,
    "Transfer-Encoding: chun ked": None,
}


@pytest.mark.parametrize("fields", FRAMINGS, ids=lambda fields: fields[:60].encode("unicode_escape").decode())
def test_framing(loop: asyncio.AbstractEventLoop, fields: str) -> None:
    """The end of a body is known in one way only, or the message is malformed; without a body nothing matters."""
    expected = FRAMINGS[fields]
    head = head_of(loop, fields)
    if expected is None:
        with pytest.raises(MalformedMessage) as caught:
            choose_framing(head, "GET")
        assert str(caught.value).isprintable()
    else:
        assert choose_framing(head, "GET") == expected
    assert choose_framing(head, "HEAD") == 0
    for status in (204, 304):
        assert choose_framing(head_of(loop, fields, f"HTTP/1.1 {status} x"), "GET") == 0


def test_framing_fields_that_are_folded(loop: asyncio.AbstractEventLoop) -> None:
    """A folded length is read as one line: digits on two lines are no number."""
    assert choose_framing(read(loop, [OK + b"Content-Length:\r\n 5\r\n\r\n"]), "GET") == 5
    with pytest.raises(MalformedMessage, match="not a length"):
        choose_framing(read(loop, [OK + b"Content-Length: 5\r\n 5\r\n\r\n"]), "GET")


PERSISTS: dict[tuple[str, str], bool] = {
    ("HTTP/1.1 200 x", ""): True,
    ("HTTP/1.9 200 x", ""): True,
    ("HTTP/1.0 200 x", ""): False,
    ("HTTP/1.0 200 x", "Connection: keep-alive"): True,
    ("HTTP/1.0 200 x", "Connection: Keep-Alive, x"): True,
    ("HTTP/1.0 200 x", "Connection: keep-alive; Connection: close"): False,
    ("HTTP/1.0 200 x", "Connection: x"): False,
    ("HTTP/1.0 200 x", "Transfer-Encoding: chunked; Connection: keep-alive"): False,
    ("HTTP/1.1 200 x", "Connection: close"): False,
    ("HTTP/1.1 200 x", "Connection: CLOSE"): False,
    ("HTTP/1.1 200 x", "Connection: x,\tClose ,y"): False,
    ("HTTP/1.1 200 x", "Connection: keep-alive; connection: close"): False,
    ("HTTP/1.1 200 x", "Connection: keep-alive"): True,
    ("HTTP/1.1 200 x", "Connection: closed"): True,
    ("HTTP/1.1 200 x", "Connection: "): True,
    ("HTTP/1.1 200 x", "Content-Length: 5"): True,
    ("HTTP/1.1 200 x", "Transfer-Encoding: chunked"): True,
    ("HTTP/1.1 200 x", "Transfer-Encoding: chunked; Content-Length: 5"): False,
    ("HTTP/1.1 304 x", "Content-Length: 5"): True,
    ("HTTP/1.1 204 x", ""): True,
    ("HTTP/1.1 204 x", "Content-Length: 0"): True,
    ("HTTP/1.1 204 x", "Content-Length: 5"): False,
    ("HTTP/1.1 204 x", "Transfer-Encoding: chunked"): False,
}


@pytest.mark.parametrize(("start", "fields"), PERSISTS)
def test_may_persist(loop: asyncio.AbstractEventLoop, start: str, fields: str) -> None:
    """Another request may follow only where version, Connection and unambiguous framing allow it."""
    assert may_persist(head_of(loop, fields, start)) is PERSISTS[start, fields]


def test_content_encoding_is_kept_for_the_decoder(loop: asyncio.AbstractEventLoop) -> None:
    """All values of Content-Encoding are at hand, and None where there is none."""
    assert head_of(loop, "Content-Encoding: gzip; content-encoding: br").content_encoding == [b"gzip", b"br"]
    assert head_of(loop, "A: b").content_encoding is None


# --- limits


def fields_to(size: int) -> bytes:
    """Return a head of so many bytes, the empty line not counted, with no long line and few fields."""
    lines = [OK[:-2]]
    while (left := size - sum(map(len, lines)) - 2 * len(lines)) > 0:
        lines.append(b"A: ".ljust(min(left, 64 * KIB) if left != 64 * KIB + 1 else left - 9, b"x"))
    block = b"\r\n".join(lines)
    assert len(block) == size
    return block


LIMITS: dict[str, tuple[bytes, bytes]] = {
    "head": (fields_to(256 * KIB) + b"\r\n\r\n", fields_to(256 * KIB + 1) + b"\r\n\r\n"),
    "head, LF": (fields_to(256 * KIB) + b"\n\n", fields_to(256 * KIB + 1) + b"\n\n"),
    "line": (OK + b"A:".ljust(128 * KIB, b"x") + b"\r\n\r\n", OK + b"A:".ljust(128 * KIB + 1, b"x") + b"\r\n\r\n"),
    "status line": (
        b"HTTP/1.1 200 ".ljust(128 * KIB, b"x") + b"\r\n\r\n",
        b"HTTP/1.1 200 ".ljust(128 * KIB + 1, b"x") + b"\r\n\r\n",
    ),
    "fields": (OK + b"A:\r\n" * 2000 + b"\r\n", OK + b"A:\r\n" * 2001 + b"\r\n"),
    "folded line": (
        OK + b"A:".ljust(100 * KIB, b"x") + b"\r\n ".ljust(28 * KIB + 2, b"x") + b"\r\n\r\n",
        OK + b"A:".ljust(100 * KIB, b"x") + b"\r\n ".ljust(28 * KIB + 3, b"x") + b"\r\n\r\n",
    ),
    "interim": (b"HTTP/1.1 100\r\n\r\n" * 32 + OK + b"\r\n", b"HTTP/1.1 100\r\n\r\n" * 33 + OK + b"\r\n"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_of_a_head(loop: asyncio.AbstractEventLoop, name: str) -> None:
    """At its limit a head is read, one over it is too large, however its last bytes come."""
    good, bad = LIMITS[name]
    for tail in (0, 1, 2, 3, 4, 5, 6):
        cut = len(good) - tail
        assert read(loop, [good[:cut], *one_by_one(good[cut:])]).status == 200
        cut = len(bad) - tail
        with pytest.raises(MessageTooLarge):
            read(loop, [bad[:cut], *one_by_one(bad[cut:])])


def test_head_that_ends_at_its_limit_is_incomplete(loop: asyncio.AbstractEventLoop) -> None:
    """A head that is cut is incomplete, also in the line ends just behind the limit."""
    good, _ = LIMITS["head"]
    for missing in (1, 2, 3, 4):
        with pytest.raises(IncompleteMessage):
            read(loop, [good[:-missing]])


ENDLESS: dict[str, Callable[[], Iterator[bytes]]] = {
    "status line": lambda: prefixed(b"HTTP/1.1 200 ", b"x" * 4096),
    "field line": lambda: prefixed(OK + b"A: ", b"x" * 4096),
    "fields": lambda: prefixed(OK, b"A: b\r\n" * 500),
    "folded lines": lambda: prefixed(OK + b"A: b\r\n", b" c\r\n" * 500),
    "short lines": lambda: prefixed(OK, b"a\n" * 500),
    "interim responses": lambda: prefixed(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "large interim responses": lambda: prefixed(b"", b"HTTP/1.1 100 x\r\nA: " + b"b" * 100 * KIB + b"\r\n\r\n"),
    "many interim responses at once": lambda: prefixed(b"", b"HTTP/1.1 100\r\n\r\n" * 50_000),
}


def prefixed(first: bytes, again: bytes) -> Iterator[bytes]:
    yield first + again
    yield from repeat(again)


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_head_ends(loop: asyncio.AbstractEventLoop, name: str) -> None:
    """An endless head is given up soon, and takes no memory to speak of."""
    pieces = list(islice(ENDLESS[name](), 2000))
    tracemalloc.start()
    try:
        with pytest.raises(MessageTooLarge):
            read(loop, pieces)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * KIB * KIB


@pytest.mark.parametrize("line", [b"A: " + b"x" * 1000 + b"\r\n", b"A:\n"], ids=["long lines", "short lines"])
def test_head_byte_by_byte_costs_no_more_than_its_bytes(loop: asyncio.AbstractEventLoop, line: bytes) -> None:
    """Single bytes cost after 200 KiB of a head what they cost at its beginning: it is not searched again."""
    drip = one_by_one(b"A: " + b"x" * 1500)

    def seconds(before: bytes) -> float:
        began = time.process_time()
        with pytest.raises((IncompleteMessage, MessageTooLarge)):
            read(loop, [OK + before, *drip])
        return time.process_time() - began

    assert seconds(line * (200 * KIB // len(line))) < 5 * seconds(b"") + 0.02


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Length: " + "0" * 120_000 + "x",
        "Content-Length: " + ",".join("5" * 50_000),
        "Content-Length: " + "," * 100_000,
        "Transfer-Encoding: " + "," * 100_000,
        "Connection: " + "," * 100_000,
        "Connection: " + " " * 100_000 + "x" + " " * 10_000 + "close",
    ],
    ids=lambda fields: fields[:25],
)
def test_long_values_cost_no_more_than_their_length(loop: asyncio.AbstractEventLoop, fields: str) -> None:
    """Values at the limits of a head take no time that grows with their square."""
    head = head_of(loop, fields)
    began = time.process_time()
    with suppress(MalformedMessage):
        choose_framing(head, "GET")
    may_persist(head)
    assert time.process_time() - began < 0.2


# --- what a parser remembers


def test_parser_learns_nothing_wrong(loop: asyncio.AbstractEventLoop) -> None:
    """A parser that has read other heads, good and bad, gives the same as a new one.

    It takes most of these at once, by the status line that they share; the new one takes none so.
    """
    used = HeadParser()

    def outcome(raw: bytes, parser: HeadParser) -> object:
        try:
            head = read(loop, [raw], parser)
        except ProtocolError as error:
            return type(error), error.detail
        return head.minor, head.status, head.reason, head.fields, head.noted

    framed = [
        "\r\n".join([OK.decode() + fields.replace("; ", "\r\n"), "", ""]).encode("latin-1") for fields in FRAMINGS
    ]
    for _ in range(3):
        for raw in [*BAD.values(), *(good for good, _, _ in GOOD.values()), *framed, *BAD.values()]:
            for cut in (raw, raw + b"HTTP/1.1 500 stray\r\n\r\n", raw.replace(b"\r\n", b"\n", 2)):
                assert outcome(cut, used) == outcome(cut, HeadParser())


def test_heads_that_are_the_same_are_read_once(loop: asyncio.AbstractEventLoop) -> None:
    """A head that comes again is the same object, and what it means is worked out once; others are apart."""
    parser = HeadParser()
    heads = [read(loop, [OK + b"Content-Length: %d\r\n\r\n" % size], parser) for size in (5, 5, 5, 6, 6, 5)]
    assert heads[1] is heads[2] is heads[5]
    assert heads[4] is not heads[5]
    assert [choose_framing(head, "GET") for head in heads] == [5, 5, 5, 6, 6, 5]
    assert choose_framing(heads[5], "HEAD") == 0
    assert choose_framing(heads[5], "GET") == 5
    assert all(may_persist(head) for head in heads)


def test_what_a_parser_remembers_is_bounded(loop: asyncio.AbstractEventLoop) -> None:
    """Ever new reasons and fields fill no memory, and do not push out what is common for good."""
    parser = HeadParser()
    for round_ in range(12):
        start = f"HTTP/1.1 200 {round_}".encode()
        names = b"".join(b"\r\nX-%d-%d: y" % (round_, number) for number in range(1990))
        read(loop, [start + names + b"\r\n\r\n"], parser)
    for number in range(5000):
        read(loop, [b"HTTP/1.1 200 reason %d\r\n\r\n" % number], parser)
    read(loop, [b"HTTP/1.1 200 " + b"x" * 50_000 + b"\r\n" + b"n" * 50_000 + b": v\r\n\r\n"], parser)
    for number in range(3000):
        fields = b"Content-Length: %d\r\nAge: %d\r\n\r\n" % (number // 30, number % 30)
        for _ in range(2):
            read(loop, [OK + fields], parser)
    for _ in range(3):
        read(loop, [OK + b"A: b\r\n" * 1900 + b"\r\n"], parser)
        read(loop, [b"HTTP/1.1 200 Fine\r\nContent-Length: 5\r\n\r\n"], parser)
    assert 0 < len(parser._heads) <= 250
    assert max(map(len, parser._heads)) <= KIB
    assert len(parser._fields) <= 1000
    assert len(parser._starts) <= 1000
    assert max(map(len, [*parser._fields, *parser._starts])) < 200
    assert b"Content-Length: 5" in parser._fields
    assert b"HTTP/1.1 200 Fine" in parser._starts
