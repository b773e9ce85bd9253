"""Records: one JSON line for each result, whose keys are a contract."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from asyncfetch import (
    Client,
    Record,
    Request,
    Response,
    Result,
    Retry,
)
from asyncfetch.testing import Close, FaultServer, Reply, Script, Send, redirect, unused_port

KEYS = [
    "v", "n", "id", "url", "final_url", "ok", "status", "error", "bytes", "wire_bytes", "content_type", "etag",
    "last_modified", "path", "sha256", "ip", "http", "reused", "attempts", "redirects", "t", "ts",
]  # fmt: skip


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    """A server in the loop of the test."""
    async with FaultServer() as server:
        yield server


def response_of(headers: list[tuple[bytes, bytes]], content: bytes = b"", status: int = 200) -> Response:
    response = Response("http://h/", status, "", headers)
    response.body = content
    return response


async def record_of(entry: str | Request) -> dict[str, Any]:
    """Fetch one entry and return the keys and values of its line, in order."""
    async with Client(retry=Retry(attempts=1)) as client:
        (result,) = [result async for result in client.fetch_many([entry])]
    line = msgspec.json.encode(Record.of(result))
    record: dict[str, Any] = json.loads(line)
    assert list(record) == [key for key in KEYS if key in record]
    assert b"null" not in line
    assert record["ts"].endswith("Z")
    return record


class TestRecord:
    async def test_of_fields_that_come_twice(self, server: FaultServer) -> None:
        """The first stands, in whatever case it is written."""
        head = b"HTTP/1.1 200 OK\r\netag: one\r\nContent-Type: a/b\r\nETag: two\r\nCONTENT-TYPE: c/d\r\n"
        server.route("/", Script(Send(head + b"Content-Length: 0\r\n\r\n")))
        for _ in range(2):  # the second time, every line is known
            record = await record_of(server.url())
            assert (record["etag"], record["content_type"]) == ("one", "a/b")
            assert "last_modified" not in record

    async def test_of_fields_without_measure(self, server: FaultServer) -> None:
        """A server cannot fill the disk with its fields: one of more than 8 KiB is left out, not cut."""
        most = 8 * 1024
        headers = {"Content-Type": "x" * most, "ETag": "y" * (most + 1), "Last-Modified": "z" * 120_000}
        server.route("/", Reply(200, b"", headers))
        record = await record_of(server.url())
        assert record["content_type"] == "x" * most
        assert not {"etag", "last_modified"} & set(record)

    async def test_of_a_success(self, server: FaultServer) -> None:
        """Everything that is known, in the order of the table."""
        headers = {"content-type": "text/plain; x=\xe4", "ETag": '"e"', "LAST-MODIFIED": "yesterday"}
        server.route("/", Reply(200, b"x" * 100, headers, gzip=True))
        record = await record_of(Request(server.url(), index=17))
        timings, ended = record.pop("t"), record.pop("ts")
        wire_bytes = record.pop("wire_bytes")
        assert record == {
            "v": 1,
            "n": 17,
            "url": server.url(),
            "ok": True,
            "status": 200,
            "bytes": 100,
            "content_type": "text/plain; x=\xe4",
            "etag": '"e"',
            "last_modified": "yesterday",
            "ip": "127.0.0.1",
            "http": "HTTP/1.1",
            "reused": False,
            "attempts": 1,
        }
        assert 0 < wire_bytes < 100
        assert list(timings) == ["queue", "dns", "connect", "ttfb", "total"]
        assert all(round(seconds, 6) == seconds for seconds in timings.values())
        assert ended[:3] == "202"

    async def test_of_an_empty_body(self, server: FaultServer) -> None:
        """0 and false are known."""
        server.route("/", Reply(200))
        record = await record_of(server.url())
        assert (record["bytes"], record["wire_bytes"], record["reused"]) == (0, 0, False)
        assert "content_type" not in record

    async def test_of_a_status(self, server: FaultServer) -> None:
        """A failure with a response has what both have."""
        server.route("/", Reply(404, b"gone", {"Content-Type": "text/plain"}))
        record = await record_of(server.url())
        assert record["error"] == {"code": "http.4xx", "message": "the server answered 404 Not Found"}
        assert (record["ok"], record["status"], record["bytes"], record["content_type"]) == (
            False,
            404,
            4,
            "text/plain",
        )

    async def test_of_a_reason_of_any_bytes(self, server: FaultServer) -> None:
        """A reason that is no ASCII is still JSON."""
        server.route("/", Script(Send(b"HTTP/1.1 500 gr\xfc\xdfe \x1b[31m\r\nContent-Length: 0\r\n\r\n")))
        record = await record_of(server.url())
        assert record["error"]["message"] == r"the server answered 500 gr\xfc\xdfe \x1b[31m"

    async def test_of_redirects(self, server: FaultServer) -> None:
        """The last URL and the ones before."""
        server.route("/", redirect("/b"))
        server.route("/b", redirect("/c"))
        server.route("/c", Reply(200, b"x"))
        record = await record_of(server.url())
        assert record["final_url"] == server.url("/c")
        assert record["redirects"] == [server.url(), server.url("/b")]

    async def test_of_a_url_that_is_only_spelt_otherwise(self, server: FaultServer) -> None:
        """A final URL is one that redirects led to, not another spelling of the same."""
        server.route("/", Reply(200))
        given = server.url().replace("http://", "HTTP://").removesuffix("/")
        record = await record_of(given)
        assert record["url"] == given
        assert "final_url" not in record

    async def test_of_a_connection_that_failed(self) -> None:
        """Without a response most keys are absent."""
        record = await record_of(f"http://127.0.0.1:{unused_port()}/")
        assert list(record) == ["v", "n", "url", "ok", "error", "attempts", "t", "ts"]
        assert record["error"]["code"] == "connect.refused"
        assert list(record["t"]) == ["queue", "total"]

    async def test_of_a_body_that_failed(self, server: FaultServer) -> None:
        """What was connected is known, what came is not a response."""
        server.route("/", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), Close()))
        record = await record_of(server.url())
        assert list(record) == ["v", "n", "url", "ok", "error", "ip", "attempts", "t", "ts"]
        assert record["error"]["code"] == "protocol.incomplete"
        assert list(record["t"]) == ["queue", "dns", "connect", "ttfb", "total"]

    async def test_of_an_invalid_url(self) -> None:
        """It was never tried, and took no time."""
        record = await record_of("htp://example.org/")
        assert list(record) == ["v", "n", "url", "ok", "error", "attempts", "t", "ts"]
        assert (record["url"], record["attempts"], record["t"]) == ("htp://example.org/", 0, {})
        assert record["error"]["code"] == "url.invalid"

    async def test_hides_credentials(self, server: FaultServer) -> None:
        """In no key, whether the URL is good or not."""
        server.route("/", redirect("/b"))
        server.route("/b", Reply(200, b"x"))
        for url in (server.url().replace("//", "//me:secret@"), "http://me:secret@:x/", "me:secret@host"):
            record = await record_of(url)
            assert "secret" not in json.dumps(record)
            assert "***@" in record["url"]

    async def test_gives_the_inputs_own_name_back(self, server: FaultServer) -> None:
        """`id` stands after `n`, be it text or a number; 0 and an empty text are known, too."""
        server.route("/", Reply(200, b"x"))
        for given in ("a\u00e9", 17, 0, ""):
            record = await record_of(Request(server.url(), id=given))
            assert list(record)[:3] == ["v", "n", "id"]
            assert record["id"] == given
        assert (await record_of(Request("nothing", id="x")))["id"] == "x"

    def test_takes_the_first_of_repeated_fields(self) -> None:
        """As `Response.field` does."""
        response = response_of([(b"etag", b"1"), (b"ETag", b"2"), (b"eTaG", b"3")])
        record = Record.of(Result(1, Request("http://h/"), response))
        assert record.etag == "1"

    def test_a_saved_body_is_filled_in(self) -> None:
        """Who saved the body adds where."""
        record = Record.of(Result(1, Request("http://h/"), response_of([])))
        record.path, record.sha256 = "h/index", "00"
        assert list(json.loads(msgspec.json.encode(record)))[5:9] == ["bytes", "wire_bytes", "path", "sha256"]
