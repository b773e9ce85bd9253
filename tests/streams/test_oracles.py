"""Heads and chunked bodies against h11 and llhttp (through httptools): who takes what, and why not the same.

What all of them take must mean the same to all of them. Where one refuses what another takes, the refusal must be
in one of the lists `HEADS` and `BODIES`, with its reason; anything else fails. The examples are the same in every
run; for a hunt, raise `EXAMPLES` and drop `derandomize`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NamedTuple

import h11
import httptools
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncfetch.errors import ProtocolError
from asyncfetch.streams.body import ChunkedBody
from asyncfetch.streams.heads import Framing, HeadParser
from asyncfetch.streams.http1 import choose_framing, read_head, take_head
from asyncfetch.streams.wire import WireReader

EXAMPLES = 300

bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def always(_raw: bytes, _ours: Any) -> bool:
    return True


def lengths_do_not_count(raw: bytes, ours: Any) -> bool:
    """Whether the lengths are equal numbers, or nobody needs them (RFC 9112 section 6.3, items 1 to 5)."""
    lengths = b",".join(value for name, value in ours.fields if name == b"content-length").split(b",")
    agreed = all(length.strip().isdigit() for length in lengths) and len(set(map(int, lengths))) == 1
    return agreed or no_body(raw, ours) or ours.framing is Framing.CHUNKED


def no_body(raw: bytes, ours: Any) -> bool:
    """Whether the answer has no body by its status, or there is an interim response, which has none."""
    return ours.status in (204, 304) or raw.startswith((b"HTTP/1.1 1", b"HTTP/1.0 1", b"HTTP/1.3 1"))


class Explained(NamedTuple):
    """A disagreement that is meant: whose refusal, as it is worded, why we see it otherwise, and only when."""

    oracle: str
    refused_by: str
    words: str
    why: str
    only: Callable[[bytes, Any], bool] = always


HEADS = [
    # RFC 9112 section 2.3: another major version is another protocol
    Explained("h11", "us", r"status line: 'HTTP/[02-9]\.[0-9] ", "h11 takes any digit as major version"),
    Explained("llhttp", "us", r"status line: 'HTTP/(0\.9|2\.0) ", "llhttp takes 0.9 and 2.0 with a status line"),
    Explained("llhttp", "them", "Invalid HTTP version", "any HTTP/1.x is to be read as HTTP/1.1 (section 2.5)"),
    # section 4
    Explained("llhttp", "us", r"status line: (''|'HTTP/1\.[01] 0[0-9]{2})", "status 0xx is no status"),
    Explained("llhttp", "us", "status line: ''$", "llhttp skips empty lines; only servers may (section 2.2)"),
    Explained("llhttp", "us", "bare CR or a NUL", "llhttp skips CRs before the status line"),
    Explained("llhttp", "us", r"switches protocols \(101\)", "llhttp leaves it to its caller"),
    Explained(
        "llhttp",
        "them",
        "Invalid response status",
        "the space before a missing reason may be missing, and LF may end it",
    ),
    # section 2.2: a lone LF may be taken as a line end
    Explained("llhttp", "them", "Missing expected (CR|LF)", "llhttp wants CRLF"),
    Explained("llhttp", "them", "Invalid header field char", "llhttp wants CRLF, also in the empty line"),
    # section 5.2: obs-fold
    Explained("llhttp", "them", "Unexpected whitespace after header value", "llhttp takes no folded lines"),
    # RFC 9110 section 5.5: values are opaque
    Explained("llhttp", "them", "Invalid header value char", "llhttp refuses control characters"),
    Explained("h11", "them", r"illegal (header|status) line: .*\\x0[bc]", "h11 takes VT and FF as white space"),
    # section 6.3: without a body, or with chunks, the length does not matter; interim responses have no framing
    Explained("h11", "them", "bad Content-Length", "h11 looks at all lengths", lengths_do_not_count),
    Explained("h11", "them", "conflicting Content-Length", "h11 compares their spelling", lengths_do_not_count),
    Explained("h11", "them", "Only Transfer-Encoding: chunked", "h11 looks at codings of no body", no_body),
    Explained("h11", "them", "multiple Transfer-Encoding", "h11 looks at codings of no body", no_body),
    Explained("llhttp", "them", "(Empty|Duplicate) Content-Length", "llhttp takes one", lengths_do_not_count),
    Explained("llhttp", "them", "Invalid character in Content-Length", "nor a list", lengths_do_not_count),
    Explained("llhttp", "them", "Content-Length can't be present|Transfer-Encoding can't be", "chunked wins"),
    Explained("llhttp", "them", "Empty Transfer-Encoding", "llhttp looks at codings of no body", no_body),
    Explained("llhttp", "us", "the transfer coding .* is not chunked", "llhttp reads such bodies until close"),
    Explained("llhttp", "them", "Data after `Connection: close`", "llhttp takes interim responses as the last"),
]

BODIES = [
    # RFC 9112 section 7.1.1: *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
    Explained("h11", "them", r"illegal chunk header: .*[ \\t]+;", "h11 takes no blank before an extension"),
    Explained("llhttp", "them", "Invalid character in chunk", "llhttp checks the grammar of what is ignored"),
    Explained(
        "h11", "us", r"';?[^;]*;.*(\\r|\\x00).*' is not a chunk size", "h11 lets CR and NUL stand in extensions"
    ),
    # section 2.2 lets LF end the lines of a head, not of a chunked body
    Explained("h11", "us", "ends with LF alone", "h11 takes LF after the last trailer"),
    Explained("h11", "them", r"illegal header line: .*\\x0[bc]", "h11 takes VT and FF as white space"),
    Explained("llhttp", "them", "Unexpected whitespace after header value", "llhttp takes no folded lines"),
    Explained("llhttp", "them", "Invalid header value char", "llhttp refuses control characters"),
]


class Refused(Exception):
    """One of the three does not take it; the text says why."""


def check_explained(listed: list[Explained], raw: bytes, oracle: str, ours: Any, theirs: Any) -> None:
    """Compare two outcomes; those that are `Refused` on one side only must be listed."""
    if isinstance(ours, Refused) and isinstance(theirs, Refused):
        return
    if not isinstance(ours, Refused) and not isinstance(theirs, Refused):
        assert ours == theirs, (oracle, raw)
        return
    refused_by, refusal = ("us", ours) if isinstance(ours, Refused) else ("them", theirs)
    assert any(
        (known.oracle, known.refused_by) == (oracle, refused_by)
        and re.search(known.words, str(refusal))
        and known.only(raw, ours)
        for known in listed
    ), (oracle, refused_by, str(refusal), raw)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that never runs: everything has come before it is read."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def at_once(reading: Coroutine[Any, Any, Any]) -> Any:
    """Run what need not wait."""
    try:
        while reading.send(None) is None:
            pass
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


def make_reader(loop: asyncio.AbstractEventLoop, raw: bytes) -> WireReader:
    reader = WireReader(loop)
    reader.feed_data(raw)
    reader.feed_eof()
    return reader


# --- heads

FRAMINGS = {"ContentLengthReader": None, "ChunkedReader": Framing.CHUNKED, "Http10Reader": Framing.UNTIL_CLOSE}


class Seen(NamedTuple):
    """What a parser saw in a head; field names in lower case."""

    minor: int
    status: int
    reason: bytes
    fields: list[tuple[bytes, bytes]]
    framing: int | Framing | None


def our_head(loop: asyncio.AbstractEventLoop, raw: bytes) -> Seen | Refused:
    try:
        reader, parser = make_reader(loop, raw), HeadParser()
        parser.parse(b"HTTP/1.1 200 OK")  # of those that begin so, it takes the usual ones at once
        head = take_head(reader, parser) or at_once(read_head(reader, parser))
        framing = choose_framing(head, "GET")
    except ProtocolError as error:
        return Refused(error.detail)
    fields = [(name.lower(), b" ".join(value.split())) for name, value in head.fields]
    return Seen(head.minor, head.status, head.reason, fields, framing)


def h11_events(raw: bytes) -> Iterator[Any]:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(raw)
    connection.receive_data(b"")
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("incomplete")
        yield event, connection


def h11_head(raw: bytes) -> Seen | Refused:
    try:
        event, connection = next(pair for pair in h11_events(raw) if isinstance(pair[0], h11.Response))
    except h11.RemoteProtocolError as error:
        return Refused(str(error))
    reader = connection._reader
    framing = FRAMINGS[type(reader).__name__]
    if framing is None:
        framing = reader._length
    fields = [(name, b" ".join(value.split())) for name, value in event.headers]
    return Seen(int(event.http_version[2:]), event.status_code, event.reason, fields, framing)


class HeadSeenByLlhttp(Exception):
    """Ends the parser where its head is complete."""


class LlhttpHead:
    """What httptools reports of a head."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.reason = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.done = False

    def on_message_begin(self) -> None:
        self.reason, self.fields = b"", []

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), b" ".join(value.split())))

    def on_headers_complete(self) -> None:
        if self.parser.get_status_code() >= 200:
            self.done = True
            raise HeadSeenByLlhttp


def llhttp_head(raw: bytes) -> Seen | Refused:
    seen = LlhttpHead()
    try:
        seen.parser.feed_data(raw)
    except (httptools.HttpParserError, HeadSeenByLlhttp) as error:
        if not seen.done:
            return Refused(str(error))
    if not seen.done:
        return Refused("incomplete")
    version, status = seen.parser.get_http_version(), seen.parser.get_status_code()
    return Seen(int(version[2:]), status, seen.reason, seen.fields, None)


def without_framing_fields(seen: Seen) -> Seen:
    """h11 joins lengths that are equal, and writes codings in lower case."""
    ours = (b"content-length", b"transfer-encoding")
    return seen._replace(fields=[field for field in seen.fields if field[0] not in ours])


names = st.sampled_from([b"A", b"x-y", b"!#", b"Content-Length", b"Transfer-Encoding", b"Connection"])
values = st.one_of(
    st.sampled_from([b"", b"5", b"5, 5", b"007", b"6", b"chunked", b"gzip, chunked", b"close", b"text/html; x=y"]),
    st.binary(max_size=6).map(lambda value: value.translate(None, b"\r\n\0")),
)
line_ends = st.sampled_from([b"\r\n"] * 8 + [b"\n", b"\r\n ", b"\r\n\t"])
field_lines = st.tuples(
    names, st.sampled_from([b": ", b":", b":\t "]), values, st.sampled_from([b"", b" "]), line_ends
)
versions = st.sampled_from([b"HTTP/1.1 "] * 6 + [b"HTTP/1.0 ", b"HTTP/1.3 ", b"HTTP/2.0 ", b"HTTP/0.9 "])
statuses = st.sampled_from([b"200", b"200", b"404", b"204", b"304", b"999", b"600", b"100", b"101", b"099"])
reasons = st.sampled_from([b"", b" ", b" OK", b" Not Found", b" a\tb", b" \xff"])
heads = st.tuples(
    st.tuples(versions, statuses, reasons, line_ends).map(b"".join),
    st.lists(field_lines.map(b"".join), max_size=5).map(b"".join),
    st.sampled_from([b"\r\n"] * 5 + [b"\n"]),
    st.sampled_from([b"", b"", b"HTTP/1.1 200 OK\r\n\r\n"]),
).map(b"".join)

NASTY = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b"0",
    b"9",
    b"+",
    b"_",
]


@st.composite
def mutated(draw: st.DrawFn, valid: st.SearchStrategy[bytes], nasty: list[bytes]) -> bytes:
    """Take a message and damage it in up to three places."""
    raw = draw(valid)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.sampled_from([b"", *nasty])) + raw[at + draw(st.integers(0, 2)) :]
    return raw


@pytest.mark.slow
@bounded
@given(raw=mutated(heads, [*NASTY, b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1 "]))
def test_heads(loop: asyncio.AbstractEventLoop, raw: bytes) -> None:
    """A head means to us what it means to h11 and llhttp, or the disagreement is listed."""
    ours, theirs = our_head(loop, raw), h11_head(raw)
    if isinstance(ours, Seen) and isinstance(theirs, Seen):
        ours, theirs = without_framing_fields(ours), without_framing_fields(theirs)
    check_explained(HEADS, raw, "h11", ours, theirs)
    ours, theirs = our_head(loop, raw), llhttp_head(raw)
    if isinstance(ours, Seen) and isinstance(theirs, Seen):
        theirs = theirs._replace(framing=ours.framing)  # it does not tell
    check_explained(HEADS, raw, "llhttp", ours, theirs)


# --- chunked bodies

CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def read_all(body: ChunkedBody) -> bytes:
    pieces = []
    while not body.complete:
        pieces.append(await body.read())
    return b"".join(pieces)


def our_body(loop: asyncio.AbstractEventLoop, raw: bytes) -> tuple[bytes, bytes] | Refused:
    reader = make_reader(loop, raw)
    try:
        content = at_once(read_all(ChunkedBody(reader, HeadParser())))
    except ProtocolError as error:
        return Refused(error.detail)
    return content, reader.pending


def h11_body(raw: bytes) -> tuple[bytes, bytes] | Refused:
    content = b""
    try:
        for event, connection in h11_events(CHUNKED_HEAD + raw):
            if isinstance(event, h11.Data):
                content += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return content, connection.trailing_data[0]
    except h11.RemoteProtocolError as error:
        return Refused(str(error))
    raise AssertionError("h11 ends with one or the other")


class LlhttpBody:
    """What httptools reports of a body."""

    def __init__(self) -> None:
        self.content = b""
        self.done = False

    def on_body(self, piece: bytes) -> None:
        self.content += piece

    def on_message_complete(self) -> None:
        self.done = True


def llhttp_body(raw: bytes) -> tuple[bytes, bytes] | Refused:
    seen = LlhttpBody()
    parser = httptools.HttpResponseParser(seen)
    message = CHUNKED_HEAD + raw
    for at in range(len(message)):  # byte by byte: it does not say how much of a piece it took
        try:
            parser.feed_data(message[at : at + 1])
        except httptools.HttpParserError as error:
            return Refused(str(error))
        if seen.done:
            return seen.content, message[at + 1 :]
    return Refused("incomplete")


@st.composite
def chunks(draw: st.DrawFn) -> bytes:
    content = draw(st.binary(min_size=1, max_size=20))
    size = draw(st.sampled_from(["%x", "%X", "0%x", "000%x"])) % len(content)
    extension = draw(st.sampled_from([b""] * 6 + [b";a=b", b";a", b' ;a="b;c"', b" ", b"\t", b";"]))
    return size.encode() + extension + b"\r\n" + content + b"\r\n"


bodies = st.tuples(
    st.lists(chunks(), max_size=4).map(b"".join),
    st.sampled_from([b"0\r\n", b"0\r\n", b"000\r\n", b"0;x\r\n"]),
    st.lists(st.sampled_from([b"A: b\r\n", b"C:\r\n", b"A: b\r\n c\r\n", b"X: \xff\r\n"]), max_size=2).map(
        b"".join
    ),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\nstray"]),
).map(b"".join)


@pytest.mark.slow
@bounded
@given(raw=mutated(bodies, [*NASTY, b"1", b"f", b"g", b"00000000000000001"]))
def test_chunked_bodies(loop: asyncio.AbstractEventLoop, raw: bytes) -> None:
    """A chunked body is to us what it is to h11 and llhttp, to the last byte, or the disagreement is listed."""
    ours = our_body(loop, raw)
    check_explained(BODIES, raw, "h11", ours, h11_body(raw))
    check_explained(BODIES, raw, "llhttp", ours, llhttp_body(raw))
