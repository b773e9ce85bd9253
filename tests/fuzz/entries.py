"""What is fuzzed: one function for each reader of foreign bytes, and what has to hold for any bytes at all.

Each entry takes bytes and returns nothing. It lets nothing out but `AssertionError`, for a property that does not
hold, and what must never leave the reader. A FetchError is a fine answer. `wire` lets atheris call them for as long
as one likes, `test_entries` lets hypothesis call them in every run of the tests.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import zlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from asyncfetch.errors import FetchError, InvalidURL
from asyncfetch.job.formats import Format, make_reader
from asyncfetch.job.names import body_name
from asyncfetch.job.packing import Unreadable, unpacked
from asyncfetch.scheduler import parse_retry_after
from asyncfetch.streams.body import open_body
from asyncfetch.streams.decoding import check_growth, make_decoder
from asyncfetch.streams.heads import HeadParser
from asyncfetch.streams.http1 import choose_framing, may_persist, read_head, take_head
from asyncfetch.streams.request import encode_request
from asyncfetch.streams.wire import WireReader
from asyncfetch.url import Url, redacted

__all__ = ["ENTRIES", "SEEDS", "fuzz"]

_LOOP = asyncio.new_event_loop()  # never run: the readers want one that makes their futures
_LOOP.close()

_PIECE_AT_MOST = 256 * 1024
_DECODED_AT_MOST = 4 * 1024 * 1024
_CODINGS = (b"gzip", b"deflate", b"br", b"zstd", b"gzip, deflate", b"br, gzip", b"zstd, zstd", b"identity, x-gzip")
_OF_CONTENT = {b"body.decoding", b"body.too_large"}
_SPLITS = (1, 2, 3, 7, 64, 1000)
_FORMATS: tuple[Format, ...] = ("lines", "jsonl", "csv", "tsv", "sitemap")
_ONE_LINE = re.compile(rb"GET /[\x21-\x7e]* HTTP/1\.1\r\nHost: [\x21-\x7e]+\r\n\r\n")


def _code_of(error: FetchError) -> str:
    """Return the code of an error whose sentence is fit to be shown."""
    assert str(error).isprintable(), str(error)
    assert len(str(error)) < 1000
    return error.code


# --- a response: head, framing, body, codings


class _Fed(WireReader):
    """A reader that gets its next piece whenever somebody waits for one."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__(_LOOP)
        self._pieces = pieces

    def feed_next(self) -> None:
        piece = next(self._pieces, b"")
        if piece:
            self.feed_data(piece)
        elif not self.ended:
            self.feed_eof()


def _run(coroutine: Coroutine[Any, Any, bytes], reader: _Fed, most_waits: int) -> bytes:
    """Drive a coroutine by hand: each time that it waits, the next piece comes. It must not wait for ever."""
    for _ in range(most_waits):
        try:
            coroutine.send(None)
        except StopIteration as end:
            return bytes(end.value)
        reader.feed_next()
    coroutine.close()
    raise AssertionError(f"still waiting after {most_waits} pieces")


async def _read(reader: WireReader, method: str) -> bytes:
    """Read a response as an exchange does, and sum it up."""
    parser = HeadParser()
    parser.parse(b"HTTP/1.1 200 OK")  # most examples begin so: it takes their heads at once
    arrival = reader.arrival()
    if arrival is not None:
        await arrival
    head = take_head(reader, parser) or await read_head(reader, parser)
    assert 200 <= head.status <= 999
    framing = choose_framing(head, method)
    body = open_body(reader, framing, parser, lambda: True)
    decoder = None
    if head.content_encoding and not body.complete:
        decoder = make_decoder(head.content_encoding, max_decoded=_DECODED_AT_MOST)
    wire, content = 0, b""
    while not body.complete:
        data = await body.read()
        assert data or body.complete
        wire += len(data)
        pieces = [data] if decoder is None else decoder.decode(data)
        content += b"".join(pieces)
        check_growth(len(content), wire, None)
    if decoder is not None:
        decoder.finish()
    assert wire <= reader.received
    assert decoder is not None or len(content) == wire
    assert isinstance(framing, int) is False or wire == framing
    return b"%d %d " % (head.status, may_persist(head)) + content


def _outcome(data: bytes, size: int, method: str) -> bytes:
    reader = _Fed(data[start : start + size] for start in range(0, len(data), size))
    most_waits = len(data) // size + len(data) // 1000 + 10
    try:
        return _run(_read(reader, method), reader, most_waits)
    except FetchError as error:
        return _code_of(error).encode()


def read_response(data: bytes) -> None:
    """Read a response: the same comes of it in whatever pieces it arrives. The first byte chooses these.

    Of a body that is wrong in two ways, its framing and its coding, either may be found first.
    """
    first, data = data[:1], data[1:]
    choice = first[0] if first else 0
    method = "HEAD" if choice & 1 else "GET"
    whole = _outcome(data, max(1, len(data)), method)
    in_pieces = _outcome(data, _SPLITS[(choice >> 1) % len(_SPLITS)], method)
    assert in_pieces == whole or {in_pieces, whole} & _OF_CONTENT, (in_pieces[:200], whole[:200])
    assert in_pieces[:1].isdigit() is whole[:1].isdigit(), "a success in one way only"


# --- the others


def decode(data: bytes) -> None:
    """Undo codings: pieces are bounded, and so are their sum and the time. The first two bytes choose how."""
    choice, size = (data[0], data[1] + 1) if len(data) > 1 else (0, 1)
    wire = data[2:]
    decoder = make_decoder([_CODINGS[choice % len(_CODINGS)]], max_decoded=_DECODED_AT_MOST)
    assert decoder is not None
    total = 0
    try:
        for start in range(0, len(wire), size):
            for piece in decoder.decode(wire[start : start + size]):
                assert 0 < len(piece) <= _PIECE_AT_MOST
                total += len(piece)
        decoder.finish()
        code = ""
    except FetchError as error:
        code = _code_of(error)
    assert code in ("", "body.decoding", "body.too_large")
    assert total <= _DECODED_AT_MOST
    assert decoder.wire_bytes <= len(wire)


def parse_url(data: bytes) -> None:
    """Parse a URL, and a reference against it: what is taken fits in a request and in the name of a file."""
    text, _, reference = _as_text(data).partition("\n")
    assert redacted(redacted(text)) == redacted(text)
    try:
        url = Url.parse(text)
        _check_url(url)
        body_name(text).file()
        _check_url(url.join(reference))
    except InvalidURL as error:
        _code_of(error)


def _as_text(data: bytes) -> str:
    """Decode UTF-8, surrogates included; what is no UTF-8 becomes surrogates, too (PEP 383)."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape")


def _check_url(url: Url) -> None:
    assert _ONE_LINE.fullmatch(encode_request("GET", url.target, url.origin.authority, b""))
    assert url.origin.scheme in ("http", "https")
    assert 0 <= url.origin.port <= 65535
    assert url.origin.host
    again = Url.parse(url.href)
    assert (again.href, again.origin, again.target) == (url.href, url.origin, url.target)
    assert not again.userinfo


def read_retry_after(data: bytes) -> None:
    """Read a Retry-After: a time in its bounds, or nothing. The first byte chooses today."""
    now = 1_800_000_000.0 + (data[0] if data else 0) * 50_000_000
    seconds = parse_retry_after(data[1:], now)
    assert seconds is None or 0 <= seconds <= 1e9


def read_list(data: bytes) -> None:
    """Read a list: the same entries in whatever pieces it comes. The first byte chooses format and pieces."""
    choice, data = (data[0], data[1:]) if data else (0, b"")
    chosen = _FORMATS[choice % len(_FORMATS)]
    whole = _entries_of(data, chosen, max(1, len(data)))
    in_pieces = _entries_of(data, chosen, _SPLITS[choice // len(_FORMATS) % len(_SPLITS)])
    if isinstance(whole, str) and isinstance(in_pieces, str):
        assert (whole + in_pieces).isprintable()  # of two things that are wrong, either may be found first
    else:
        assert in_pieces == whole


def _entries_of(data: bytes, chosen: Format, size: int) -> list[tuple[int, str, str]] | str:
    reader = make_reader(chosen)
    try:
        blocks = unpacked(data[start : start + size] for start in range(0, len(data), size))
        lines = [line for block in blocks for line in reader.feed(block)] + reader.finish()
    except Unreadable as refusal:
        return str(refusal)
    numbers = [line.number for line in lines]
    assert numbers == sorted(numbers)
    assert all(line.fault.isprintable() for line in lines)
    if chosen in ("jsonl", "csv", "tsv"):
        assert all(line.text or line.fault for line in lines)
    return [(line.number, line.text, line.fault) for line in lines]


ENTRIES: tuple[Callable[[bytes], None], ...] = (read_response, decode, parse_url, read_retry_after, read_list)


def fuzz(data: bytes) -> None:
    """Let the first byte choose an entry, and give it the rest."""
    if data:
        ENTRIES[data[0] % len(ENTRIES)](data[1:])


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


_OK = b"HTTP/1.1 200 OK\r\n"

SEEDS: dict[Callable[[bytes], None], tuple[bytes, ...]] = {
    read_response: (
        b"\0" + _OK + b"Content-Length: 5\r\n\r\nhello",
        b"\2HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + _OK + b"\r\nuntil the end",
        b"\4" + _OK + b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
        b"\6" + _OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_gzip(b"hi")) + _gzip(b"hi"),
        b"\1HTTP/1.0 404 Not Found\nConnection: keep-alive\nX: folded\n line\n\n",
        b"\2" + _OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx",
        b"\x08HTTP/1.1 204\r\nContent-Length: 3, 3\r\nConnection: close\r\n\r\nrest",
    ),
    decode: (
        b"\0\7" + _gzip(b"hello" * 50),
        b"\0\xff" + _gzip(bytes(600_000)),
        b"\4\x40" + _gzip(zlib.compress(b"x")),
        b"\3\1\x28\xb5\x2f\xfd\x20\x01\x09\x00\x00x",
    ),
    parse_url: (
        b"https://user:pass@example.org:8080/a/../b?c=d#e\n../f?g",
        b"http://[2001:db8::1]/%2e%2e/\n//host:81/",
        "HTTP:\\\\\u24d4xample.org\n\n?q".encode(),
        b"http://0x7f.1/ \tx\nhttps:rel",
    ),
    read_retry_after: (
        b"\x00120",
        b"\0-5",
        b"\1Sun, 06 Nov 2044 08:49:37 GMT",
        b"\2Sunday, 06-Nov-94 08:49:37 GMT",
        b"\3Sun Nov  6 08:49:37 1994",
    ),
    read_list: (
        b"\0http://a/\n# no\n\xffx\r\nhttp://b/\tx",
        b'\6{"url":"http://a/","id":1,"headers":{"X":null},"max_time":1e3}\n{"url":\n[]\n{"url":"x","id":1.5}',
        b'\x0curl,id,max_time\n"http://a/",1,2\n"x\n""y",,\nz,1,2,3\n"open,\n',
        b"\x12url\tsha256\nhttp://a/\t" + b"0" * 64 + b"\n\n\t\n",
        b"\x18<?xml version='1.0'?><urlset><url><loc>http://a/&amp;</loc></url></urlset>",
        b"\x09<!DOCTYPE x [<!ENTITY a 'b'>]><sitemapindex><sitemap><loc>&a;</loc></sitemap></sitemapindex>",
        b"\0" + _gzip(b"http://a/\n"),
    ),
}
"""Inputs to begin with."""
