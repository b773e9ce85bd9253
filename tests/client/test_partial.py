"""Bodies that break off and go on where they stopped; bodies whose digest is known before."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator

import pytest

from asyncfetch import (
    BodyTooLarge,
    ChecksumMismatch,
    Client,
    Limits,
    Partial,
    Request,
    Response,
    Rest,
    Result,
    Retry,
    Sink,
)
from asyncfetch.testing import FaultServer, Pause, Reply, Script, SeenRequest, Send, redirect
from tests.download import DATE, Download, pattern

BODY = pattern(50_000)


class Keeping:
    """A sink in memory that keeps what has come, and tells what was done to it."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = content
        self.told: list[str] = []
        self.rest: Rest | None = None

    async def write(self, chunk: bytes) -> None:
        self.content += chunk

    async def finish(self) -> None:
        self.told.append("finish")

    async def abort(self) -> None:
        self.content = b""
        self.told.append("abort")

    async def pause(self, rest: Rest) -> int:
        self.rest = rest
        self.told.append("pause")
        return len(self.content)


class Verifying(Keeping):
    """The same, and it computes digests itself."""

    async def verify(self, sha256: str) -> bool:
        self.told.append("verify")
        return hashlib.sha256(self.content).hexdigest() == sha256


class Sinks:
    """Makes sinks, and remembers them."""

    def __init__(self, kind: type[Keeping] = Keeping) -> None:
        self.kind = kind
        self.made: list[Keeping] = []

    def __call__(self, request: Request, response: Response) -> Sink:
        self.made.append(self.kind())
        return self.made[-1]


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    async with FaultServer() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(retry=Retry(attempts=3, backoff=0)) as client:
        yield client
        assert client.stats.total.in_flight == 0
        assert client._turns.frontier.in_flight == 0
        assert client._pool.in_use == 0


async def fetch(client: Client, url: str | Request, sinks: Sinks, partial: Partial | None = None) -> Result:
    [result] = [r async for r in client.fetch_many([url], sink=sinks, partial=lambda request: partial)]
    return result


class TestBrokenBodies:
    async def test_go_on_where_they_stopped(self, server: FaultServer, client: Client) -> None:
        """Each attempt asks for the rest, with If-Range and without a coding; the sink gets every byte once."""
        download, sinks = Download(BODY, 20_000, 10_000), Sinks()
        server.route("/", download)
        result = await fetch(client, server.url(), sinks)
        assert (result.ok, result.status, result.attempts) == (True, 206, 3)
        assert download.asked == [None, "bytes=20000-", "bytes=30000-"]
        last = server.seen.log[-1]
        assert (last.header("if-range"), last.header("accept-encoding")) == ('"v1"', "identity")
        [sink] = sinks.made
        assert (sink.content, sink.told) == (BODY, ["pause", "pause", "finish"])
        assert sink.rest == Rest(30_000, '"v1"', 50_000)
        assert result.response is not None
        assert (result.response.num_bytes, result.response.wire_bytes) == (50_000, 50_000)
        assert client.stats.received == 50_000

    async def test_go_on_by_their_date(self, server: FaultServer, client: Client) -> None:
        """Without an ETag, a Last-Modified that is old enough serves as well; a fresh one does not."""
        for modified, asked in [("Sat, 05 Nov 1994 08:50:37 GMT", "bytes=9-"), (DATE[1], None)]:
            download = Download(BODY, 9, etag=None)
            download.fields = {"Last-Modified": modified, "Date": DATE[1]}
            server.route("/", download)
            assert (await fetch(client, server.url(), sinks := Sinks())).ok
            assert download.asked == [None, asked]
            assert sinks.made[-1].content == BODY

    @pytest.mark.parametrize("etag", [None, 'W/"v1"', "v1"])
    async def test_begin_anew_without_a_strong_validator(
        self, server: FaultServer, client: Client, etag: str | None
    ) -> None:
        """Nothing tells then whether the rest belongs to them."""
        server.route("/", download := Download(BODY, 20_000, etag=etag))
        assert (await fetch(client, server.url(), sinks := Sinks())).ok
        assert download.asked == [None, None]
        assert [sink.told for sink in sinks.made] == [["abort"], ["finish"]]
        assert sinks.made[1].content == BODY

    async def test_begin_anew_after_a_coding(self, server: FaultServer, client: Client) -> None:
        """Positions in decoded bytes mean nothing to the server."""
        server.route("/", download := Download(BODY, 5_000))
        download.gzip = True
        assert (await fetch(client, server.url(), sinks := Sinks())).ok
        assert download.asked == [None, None]
        assert sinks.made[-1].content == BODY

    @pytest.mark.parametrize("ranges", [True, False], ids=["changed", "no ranges"])
    async def test_begin_anew_with_a_whole_answer(self, server: FaultServer, client: Client, ranges: bool) -> None:
        """A 200 to the request for the rest is a new body, for a new sink; the old one is aborted before."""
        download, new = Download(BODY, 20_000), pattern(40_000, seed=3)
        sinks = Sinks()

        def answer(request: SeenRequest) -> Reply | Script:
            reply = download(request)
            download.content, download.ranges = new, ranges
            download.fields = {"ETag": '"v2"'}
            return reply

        server.route("/", answer)
        result = await fetch(client, server.url(), sinks)
        assert (result.status, result.attempts) == (200, 2)
        assert download.asked == [None, "bytes=20000-"]
        assert [sink.told for sink in sinks.made] == [["pause", "abort"], ["finish"]]
        assert sinks.made[1].content == new

    @pytest.mark.parametrize(
        "part",
        [
            {"ETag": '"v2"'},
            {"ETag": None},
            {"Content-Range": None},
            {"Content-Range": "bytes 0-49999/50000"},
            {"Content-Range": "bytes 20001-49999/50000"},
            {"Content-Range": "bytes 20000-49999/50001"},
            {"Content-Encoding": "gzip"},
        ],
        ids=str,
    )
    async def test_begin_anew_after_a_wrong_part(
        self, server: FaultServer, client: Client, part: dict[str, str | None]
    ) -> None:
        """A 206 that is not exactly the rest is thrown away, and all of it is asked for, in the same attempt."""
        server.route("/", download := Download(BODY, 20_000))
        download.part = part
        result = await fetch(client, server.url(), sinks := Sinks())
        assert (result.status, result.attempts) == (200, 2)
        assert download.asked == [None, "bytes=20000-", None]
        assert sinks.made[-1].content == BODY
        assert sinks.made[0].told == ["pause", "abort"]

    async def test_begin_anew_where_nothing_is_left(self, server: FaultServer, client: Client) -> None:
        """A 416 says that the body is another one now."""
        download = Download(BODY, 20_000)

        def answer(request: SeenRequest) -> Reply | Script:
            reply = download(request)
            download.content = BODY[:100]
            return reply

        server.route("/", answer)
        result = await fetch(client, server.url(), sinks := Sinks())
        assert (result.status, result.attempts, sinks.made[-1].content) == (200, 2, BODY[:100])

    async def test_keep_what_they_have_through_other_failures(self, server: FaultServer, client: Client) -> None:
        """A 503 in between, or a refused connection, says nothing about them."""
        download, busy = Download(BODY, 20_000), iter([False, True, False])
        server.route("/", lambda request: Reply(503) if next(busy) else download(request))
        result = await fetch(client, server.url(), sinks := Sinks())
        assert (result.ok, result.attempts, sinks.made[0].content) == (True, 3, BODY)
        assert len(sinks.made) == 1

    async def test_that_failed_leave_their_sink(self, server: FaultServer, client: Client) -> None:
        """When the attempts are used up, the result has the sink that keeps the beginning."""
        server.route("/", Download(BODY, 1_000, 1_000, 1_000))
        result = await fetch(client, server.url(), sinks := Sinks())
        assert (result.code, result.sink) == ("protocol.incomplete", sinks.made[0])
        assert sinks.made[0].content == BODY[:3_000]

    async def test_of_another_url_are_no_beginning(self, server: FaultServer, client: Client) -> None:
        """A validator says nothing about where a redirect leads the next time."""
        one, two = Download(BODY, 20_000), Download(pattern(50_000, seed=5))
        targets = iter(["/one", "/two"])
        server.route("/", lambda request: redirect(next(targets)))
        server.route("/one", one)
        server.route("/two", two)
        result = await fetch(client, server.url(), sinks := Sinks())
        assert (one.asked, two.asked) == ([None], [None])
        assert (result.ok, sinks.made[-1].content) == (True, two.content)
        assert sinks.made[0].told == ["pause", "abort"]

    async def test_go_on_behind_a_redirect(self, server: FaultServer, client: Client) -> None:
        """Only the server that has the body is asked for a range of it."""
        server.route("/", redirect("/one"))
        server.route("/one", one := Download(BODY, 20_000))
        assert (await fetch(client, server.url(), sinks := Sinks())).ok
        assert one.asked == [None, "bytes=20000-"]
        assert [seen.header("range") for seen in server.seen.log if seen.path == "/"] == [None, None]
        assert sinks.made[0].content == BODY

    async def test_may_not_grow_beyond_the_limit(self, server: FaultServer, client: Client) -> None:
        """What came before counts."""
        download = Download(BODY, 20_000, 20_000)
        server.route("/", download)
        download.content = BODY
        request = Request(server.url(), max_body=49_999)
        partial = Partial(Keeping(BODY[:10_000]), server.url(), Rest(10_000, '"v1"'))
        result = await fetch(client, request, Sinks(), partial)
        assert isinstance(result.error, BodyTooLarge)

    async def test_that_are_cancelled_are_kept(self, server: FaultServer, client: Client) -> None:
        """A later program can go on with them: the sink is told how."""
        head = b'HTTP/1.1 200 OK\r\nContent-Length: 50000\r\nETag: "v1"\r\n\r\n'
        server.route("/", Script(Send(head + BODY[:1_000]), Pause(30)))
        sinks = Sinks()
        async with client.fetch_many([server.url()], sink=sinks) as results:
            task = asyncio.ensure_future(anext(results))
            while not (sinks.made and sinks.made[0].content):
                await asyncio.sleep(0.001)
            await results.aclose()
            with pytest.raises(StopAsyncIteration):
                await task
        assert (sinks.made[0].told, sinks.made[0].rest) == (["pause"], Rest(1_000, '"v1"', 50_000))


class TestEarlierBeginnings:
    async def test_are_gone_on_with(self, server: FaultServer, client: Client) -> None:
        """What an earlier program has kept is not asked for again, not even at the first attempt."""
        server.route("/", download := Download(BODY))
        sink = Keeping(BODY[:30_000])
        result = await fetch(client, server.url(), Sinks(), Partial(sink, server.url(), Rest(30_000, '"v1"')))
        assert (download.asked, result.attempts) == (["bytes=30000-"], 1)
        assert (sink.content, result.sink) == (BODY, sink)

    async def test_of_another_version_are_forgotten(self, server: FaultServer, client: Client) -> None:
        """A changed ETag starts over."""
        server.route("/", download := Download(BODY))
        sink = Keeping(b"old" * 1000)
        result = await fetch(client, server.url(), s := Sinks(), Partial(sink, server.url(), Rest(3_000, '"v0"')))
        assert (download.asked, sink.told, s.made[0].content) == (["bytes=3000-"], ["abort"], BODY)
        assert result.sink is s.made[0]


class TestDigests:
    RIGHT = hashlib.sha256(BODY).hexdigest()

    @pytest.mark.parametrize("kind", [Keeping, Verifying])
    async def test_of_what_goes_into_a_sink(self, server: FaultServer, client: Client, kind: type[Keeping]) -> None:
        """They are compared before `finish`; a body with another one is aborted, and not tried again."""
        server.route("/", Reply(200, BODY))
        assert (await fetch(client, Request(server.url(), sha256=self.RIGHT), Sinks(kind))).ok
        result = await fetch(client, Request(server.url(), sha256="0" * 64), sinks := Sinks(kind))
        assert isinstance(result.error, ChecksumMismatch)
        assert (result.code, result.attempts) == ("body.checksum", 1)
        assert sinks.made[0].told[-1] == "abort"
        assert str(result.error).endswith(f"does not have the SHA-256 digest that was given for it: {'0' * 64}")

    async def test_are_of_the_whole(self, server: FaultServer, client: Client) -> None:
        """A body in two parts has the digest of both together, if the sink computes it."""
        server.route("/", Download(BODY, 20_000))
        assert (await fetch(client, Request(server.url(), sha256=self.RIGHT), Sinks(Verifying))).ok
        server.route("/", download := Download(BODY, 20_000))
        assert (await fetch(client, Request(server.url(), sha256=self.RIGHT), Sinks())).ok
        assert download.asked == [None, None], "nobody knows the digest of the first part"

    async def test_of_what_is_in_memory(self, server: FaultServer, client: Client) -> None:
        """`get`, `fetch_many` without a sink, and `stream` compare them too."""
        server.route("/", Reply(200, BODY, chunked=True))
        right, wrong = Request(server.url(), sha256=self.RIGHT), Request(server.url(), sha256="0" * 64)
        assert (await client.get(right)).content == BODY
        with pytest.raises(ChecksumMismatch):
            await client.get(wrong)
        assert [r.code async for r in client.fetch_many([right, wrong])] in (
            [None, "body.checksum"],
            ["body.checksum", None],
        )
        async with client.stream(right) as response:
            assert await response.aread() == BODY
        async with client.stream(wrong) as response:
            with pytest.raises(ChecksumMismatch):
                await response.aread()

    async def test_of_no_body_are_not_compared(self, server: FaultServer, client: Client) -> None:
        """A 404 is a 404, and a HEAD has no body."""
        server.route("/", Reply(200, BODY))
        missing = Request(server.url("/none"), sha256="0" * 64)
        assert (await fetch(client, missing, Sinks())).code == "http.4xx"
        assert (await fetch(client, Request(server.url(), method="HEAD", sha256="0" * 64), Sinks())).ok


class Short(Keeping):
    """A sink that finds no descriptor at first."""

    left = 0

    async def write(self, chunk: bytes) -> None:
        if Short.left:
            Short.left -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        await super().write(chunk)


class TestShortage:
    async def test_of_descriptors_for_a_body_passes(self, server: FaultServer, client: Client) -> None:
        """It is fetched again with fewer at once, as after a connection that found none; nothing is lost."""
        server.route("/", Reply(200, BODY))
        Short.left, sinks = 3, Sinks(Short)
        results = [result async for result in client.fetch_many([server.url()] * 6, sink=sinks)]
        assert [result.ok for result in results] == [True] * 6
        assert all(result.sink.content == BODY for result in results)
        assert sum(sink.told == ["abort"] for sink in sinks.made) == 3
        assert client.stats.total.failed == 0


async def test_a_factory_that_fails_takes_no_place_with_it(server: FaultServer) -> None:
    """What the search for a beginning raises ends its list, and the client has all of its places for the next."""
    server.route("/", Reply(200, b"x"))

    def fail(_: Request) -> Partial | None:
        raise ZeroDivisionError

    async with Client(limits=Limits(total=1)) as client:
        with pytest.raises(ZeroDivisionError):
            await anext(client.fetch_many([server.url("/")], partial=fail))
        assert client.stats.total.in_flight == 0
        async with asyncio.timeout(5):
            assert (await client.get(server.url("/"))).content == b"x"
