"""The client's public face: get and stream with all their settings, opening and closing."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncfetch import (
    BodyTooLarge,
    Cancelled,
    CertificateError,
    Client,
    ConnectBlocked,
    ConnectRefused,
    ConnectTimeout,
    FetchError,
    HeadTimeout,
    InvalidURL,
    Limits,
    MalformedMessage,
    Network,
    Politeness,
    ReadTimeout,
    Redirects,
    Request,
    Retry,
    SlowBody,
    StatusError,
    Timeouts,
    TLSSettings,
    TotalTimeout,
    Trace,
)
from asyncfetch.streams.guard import AddressGuard
from asyncfetch.testing import (
    Close,
    Drip,
    FaultServer,
    Pause,
    Reply,
    Reset,
    Script,
    SeenRequest,
    Send,
    Silence,
    blackhole,
    gzip_bytes,
    redirect,
    unused_port,
)
from asyncfetch.testing.fixtures import MakeFaultServer, TLSAuthority
from asyncfetch.version import __version__

ONCE = Retry(attempts=1)


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    """A server in the loop of the test."""
    async with FaultServer() as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client that tries once, and has to be as new at the end."""
    async with Client(retry=ONCE) as client:
        yield client
        assert_idle(client)


def assert_idle(client: Client) -> None:
    """See that every place, connection and list was given back."""
    assert client.stats.total.in_flight == 0
    assert client._turns.frontier.in_flight == 0
    assert not client._turns.frontier.hosts
    assert client._pool.in_use == 0
    assert not client._batches
    assert not client._singles._running


class TestGet:
    async def test_has_the_attributes_of_an_httpx_response(self, server: FaultServer, client: Client) -> None:
        """What httpx calls something is called so here, and means the same."""
        body = '{"greeting": "grüß dich"}'
        headers = [("Content-Type", "application/json"), ("X-Twice", "1"), ("x-twice", "2")]
        server.route("/", Reply(200, body.encode(), headers))
        response = await client.get(server.url("/?q=1"))
        assert response.status_code == 200
        assert response.reason_phrase == "OK"
        assert response.http_version == "HTTP/1.1"
        assert response.url == server.url("/?q=1")
        assert response.headers["content-type"] == "application/json"
        assert response.headers.getall("X-TWICE") == ["1", "2"]
        assert response.content == body.encode()
        assert response.text == body
        assert response.json() == {"greeting": "grüß dich"}
        assert response.is_success
        assert not response.is_error
        assert not response.is_redirect
        assert response.raise_for_status() is response
        assert response.history == []
        assert timedelta(0) < response.elapsed < timedelta(seconds=5)
        assert response.ip == "127.0.0.1"
        assert not response.reused
        assert repr(response) == "<Response [200 OK]>"
        assert response.num_bytes == response.wire_bytes == len(body.encode())
        assert await response.aread() == body.encode()
        assert [chunk async for chunk in response.aiter_bytes()] == [body.encode()]

    @pytest.mark.parametrize("status", [200, 203, 204, 206, 299, 304, 400, 404, 418, 451, 500, 501, 599, 600, 999])
    async def test_returns_a_response_of_any_status(self, server: FaultServer, client: Client, status: int) -> None:
        """A status is a result; only `raise_for_status` makes an error of it."""
        server.route("/", Reply(status, b"body"))
        response = await client.get(server.url())
        assert response.status_code == status
        assert response.content == (b"" if status in (204, 304) else b"body")
        assert response.is_error == (status >= 400)
        assert response.is_success == (status < 300)
        if status >= 400:
            with pytest.raises(StatusError) as caught:
                response.raise_for_status()
            assert caught.value.url == server.url()
            assert caught.value.code == ("http.4xx" if status < 500 else "http.5xx")

    async def test_head_has_no_body(self, server: FaultServer, client: Client) -> None:
        """HEAD reads a head whose length announces a body that does not come, and keeps the connection."""
        server.route("/", Reply(200, b"x" * 1000))
        response = await client.get(server.url(), method="HEAD")
        assert response.content == b""
        assert response.headers["content-length"] == "1000"
        assert (await client.get(server.url())).reused
        assert [request.method for request in server.seen.log] == ["HEAD", "GET"]

    @pytest.mark.parametrize("method", ["POST", "get", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"])
    async def test_sends_no_other_method(self, server: FaultServer, client: Client, method: Any) -> None:
        """Methods are GET and HEAD, so a method cannot inject anything either."""
        with pytest.raises(InvalidURL, match="is not GET or HEAD"):
            await client.get(server.url(), method=method)
        assert server.seen.requests == 0

    async def test_reuses_a_connection(self, server: FaultServer, client: Client) -> None:
        """One request after another goes over one connection, and each answer says so."""
        server.route("/", Reply(200, b"x"))
        assert [(await client.get(server.url())).reused for _ in range(5)] == [False, True, True, True, True]
        assert server.seen.connections == client.stats.connections == 1

    async def test_shares_the_limits_among_many_at_once(self, server: FaultServer) -> None:
        """Requests over the limit wait for their turn, and each gets it."""
        server.route("*", Reply(200, b"x", delay=0.002))
        async with Client(limits=Limits(total=4, per_host=3)) as client:
            responses = await asyncio.gather(*(client.get(server.url(f"/{n}")) for n in range(40)))
            assert [response.url for response in responses] == [server.url(f"/{n}") for n in range(40)]
            assert_idle(client)
        assert server.seen.most_at_once == 3

    async def test_accepts_a_request(self, server: FaultServer, client: Client) -> None:
        """A Request carries its own settings."""
        server.route("/", Reply(200, b"x"))
        request = Request(server.url(), method="HEAD", headers={"X-Mine": "1"})
        assert (await client.get(request)).content == b""
        assert server.seen.log[0].header("X-Mine") == "1"

    async def test_takes_either_a_request_or_arguments(self, server: FaultServer, client: Client) -> None:
        """What stands beside a Request would be overlooked, and anything else is no URL."""
        arguments: list[dict[str, Any]] = [
            {"method": "HEAD"},
            {"headers": {}},
            {"timeouts": Timeouts()},
            {"follow_redirects": False},
            {"max_body": 0},
        ]
        for argument in arguments:
            with pytest.raises(TypeError, match="its own settings"):
                await client.get(Request(server.url()), **argument)
        with pytest.raises(TypeError, match="text or a Request"):
            await client.get(b"http://h/")  # type: ignore[arg-type]


class TestHeaders:
    async def test_sends_defaults(self, server: FaultServer, client: Client) -> None:
        """Every request says who asks and what it can decode."""
        server.route("/", Reply(200))
        await client.get(server.url())
        names = [name for name, _ in server.seen.log[0].headers]
        assert names == ["Host", "User-Agent", "Accept", "Accept-Encoding"]
        assert server.seen.log[0].header("User-Agent") == f"asyncfetch/{__version__}"

    async def test_puts_those_of_the_client_over_the_defaults(self, server: FaultServer) -> None:
        """Names match in any case; None removes; what is new is added."""
        server.route("/", Reply(200))
        async with Client(headers={"user-agent": "me", "ACCEPT": None, "X-All": "1"}) as client:
            await client.get(server.url())
        seen = server.seen.log[0]
        assert [name for name, _ in seen.headers] == ["Host", "Accept-Encoding", "user-agent", "X-All"]

    async def test_puts_those_of_a_request_over_the_client_s(self, server: FaultServer) -> None:
        """One request may replace, remove and repeat, and the next one is not touched by it."""
        server.route("/", Reply(200))
        async with Client(headers={"X-All": "1", "X-Other": "2"}) as client:
            await client.get(server.url(), headers=[("x-all", "a"), ("x-all", "b"), ("X-Other", None)])
            await client.get(server.url())
        first, second = server.seen.log
        assert [value for name, value in first.headers if name == "x-all"] == ["a", "b"]
        assert first.header("X-Other") is None
        assert first.header("User-Agent") is not None
        assert (second.header("X-All"), second.header("X-Other")) == ("1", "2")

    @pytest.mark.parametrize(
        ("name", "value"), [("X", "a\r\nInjected: 1"), ("X\r\nY", "a"), ("", "a"), ("X", "a\0b"), ("X", "\u20ac")]
    )
    async def test_refuses_what_cannot_be_sent(
        self, server: FaultServer, client: Client, name: str, value: str
    ) -> None:
        """A header cannot end its line: the client is not made, the request is not sent."""
        with pytest.raises(ValueError, match="header"):
            Client(headers={name: value})
        with pytest.raises(InvalidURL, match="header") as caught:
            await client.get(server.url(), headers={name: value})
        assert caught.value.url == server.url()
        assert server.seen.requests == 0

    @pytest.mark.parametrize("name", ["content-length", "Transfer-Encoding"])
    async def test_refuses_what_frames_a_request(self, server: FaultServer, client: Client, name: str) -> None:
        """What the client itself says about a request is not said twice, with two meanings."""
        with pytest.raises(InvalidURL, match=r"is not for a header to say"):
            await client.get(server.url(), headers={name: "5"})
        with pytest.raises(ValueError, match=r"is not for a header to say"):
            Client(headers={name: "5"})


class TestErrors:
    @pytest.mark.parametrize(
        "url", ["", "example.org", "ftp://example.org/", "http://", "http://h:99999/", "http://[::"]
    )
    async def test_invalid_url(self, client: Client, url: str) -> None:
        """What is no URL is refused before anything happens."""
        with pytest.raises(InvalidURL) as caught:
            await client.get(url)
        assert caught.value.url == url

    async def test_name_the_url_without_credentials(self, client: Client) -> None:
        """Every error says which URL it is about, never its password."""
        port = unused_port()
        with pytest.raises(ConnectRefused) as caught:
            await client.get(f"http://me:secret@127.0.0.1:{port}/x")
        assert caught.value.url == f"http://***@127.0.0.1:{port}/x"
        assert "secret" not in str(caught.value)
        with pytest.raises(InvalidURL) as invalid:
            await client.get("http://me:secret@")
        assert "secret" not in str(invalid.value)

    async def test_no_address(self, client: Client) -> None:
        """A name that does not exist (RFC 6761 reserves .invalid) is an error of its own."""
        with pytest.raises(FetchError) as caught:
            await client.get("http://nowhere.invalid/")
        assert caught.value.phase == "dns"

    async def test_overrides_answer_for_the_resolver(self, server: FaultServer) -> None:
        """`Network.overrides` leads a name to an address, and the Host field keeps the name."""
        server.route("/", Reply(200, b"x"))
        network = Network(overrides={f"example.test:{server.port}": "127.0.0.1"})
        async with Client(network=network) as client:
            assert (await client.get(f"http://example.test:{server.port}/")).ip == "127.0.0.1"
        assert server.seen.log[0].header("Host") == f"example.test:{server.port}"

    async def test_guard(self, server: FaultServer) -> None:
        """An address that the guard blocks is not dialled."""
        async with Client(guard=AddressGuard(public_only=True), retry=ONCE) as client:
            with pytest.raises(ConnectBlocked):
                await client.get(server.url())
        assert server.seen.connections == 0

    async def test_malformed_answer(self, server: FaultServer, client: Client) -> None:
        """What is no HTTP is an error."""
        server.route("/", Script(Send(b"SSH-2.0-OpenSSH\r\n\r\n")))
        with pytest.raises(MalformedMessage):
            await client.get(server.url())

    async def test_body_over_its_limit_announced(self, server: FaultServer) -> None:
        """A length that is over the limit is refused before the body is read."""
        server.route("/", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"), Silence()))
        async with Client(limits=Limits(max_body=1000), retry=ONCE) as client:
            with pytest.raises(BodyTooLarge):
                await client.get(server.url())
            assert_idle(client)

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(200, b"x" * 1001, chunked=100),
            Reply(200, b"x" * 1001, content_length=False),
            Reply(200, b"x" * 1001, gzip=True),
        ],
        ids=["chunked", "until close", "gzip"],
    )
    async def test_body_over_its_limit(self, server: FaultServer, client: Client, reply: Reply) -> None:
        """A body of unknown length is cut off at the limit, which counts decoded bytes."""
        server.route("/", reply)
        with pytest.raises(BodyTooLarge):
            await client.get(server.url(), max_body=1000)
        assert len((await client.get(server.url(), max_body=1001)).content) == 1001

    async def test_untrusted_certificate(
        self, make_fault_server: MakeFaultServer, tls_authority: TLSAuthority
    ) -> None:
        """A certificate of an authority that nobody knows is refused, unless its authority is named."""
        server = make_fault_server({"/": Reply(200, b"x")}, ssl_context=tls_authority.server_context("127.0.0.1"))
        async with Client(retry=ONCE) as client:
            with pytest.raises(CertificateError):
                await client.get(server.url())
        async with Client(tls=TLSSettings(ca_file=tls_authority.ca_file)) as client:
            response = await client.get(server.url())
            assert response.content == b"x"
            assert response.timings.tls is not None

    def test_tls_files_are_looked_at_at_once(self, tmp_path: Path) -> None:
        """A file that cannot be used is found before anything is fetched."""
        with pytest.raises(ValueError, match="nothing"):
            Client(tls=TLSSettings(ca_file=tmp_path / "nothing"))


class TestTimeouts:
    async def test_connect(self, client: Client) -> None:
        """A host that does not answer a connect is given up."""
        with blackhole() as port, pytest.raises(ConnectTimeout):
            await client.get(f"http://127.0.0.1:{port}/", timeouts=Timeouts(connect=0.02))

    async def test_head(self, server: FaultServer, client: Client) -> None:
        """A head that does not come, or comes too slowly, is given up."""
        server.route("/silent", Script(Silence()))
        server.route("/drip", Script(Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", every=0.01)))
        for path in ("/silent", "/drip"):
            with pytest.raises(HeadTimeout):
                await client.get(server.url(path), timeouts=Timeouts(head=0.05))

    async def test_read(self, server: FaultServer, client: Client) -> None:
        """Silence in a body is given up."""
        server.route("/", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"), Silence()))
        with pytest.raises(ReadTimeout):
            await client.get(server.url(), timeouts=Timeouts(read=0.03))

    async def test_slow(self, server: FaultServer, client: Client) -> None:
        """A body that drips is given up, although it is never silent for long."""
        server.route("/", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"), Drip(b"x" * 100, 0.01)))
        with pytest.raises(SlowBody):
            await client.get(server.url(), timeouts=Timeouts(speed_limit=1000, speed_time=0.05))

    async def test_total(self, server: FaultServer, client: Client) -> None:
        """The total runs over head and body."""
        server.route("/head", Script(Silence()))
        server.route("/body", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"), Silence()))
        for path in ("/head", "/body"):
            with pytest.raises(TotalTimeout):
                await client.get(server.url(path), timeouts=Timeouts(total=0.03))

    @pytest.mark.slow
    async def test_total_runs_over_redirects(self, server: FaultServer, client: Client) -> None:
        """A chain whose hops are quick enough each is given up when all of them are not."""
        server.route("/", Reply(302, headers={"Location": "/"}, delay=0.1))
        with pytest.raises(TotalTimeout):
            await client.get(server.url(), timeouts=Timeouts(total=0.35))
        assert 2 <= server.seen.requests <= 4

    async def test_total_cuts_a_connect(self, client: Client) -> None:
        """A total that is shorter than the connect timeout is what is named."""
        with blackhole() as port, pytest.raises(TotalTimeout):
            await client.get(f"http://127.0.0.1:{port}/", timeouts=Timeouts(total=0.02))

    @pytest.mark.slow
    async def test_waiting_for_the_turn_is_not_counted(self, server: FaultServer) -> None:
        """A timeout starts with the turn."""
        server.route("*", Reply(200, b"x", delay=0.15))
        timeouts = Timeouts(total=0.6)
        async with Client(limits=Limits(per_host=1), timeouts=timeouts, retry=ONCE) as client:
            responses = await asyncio.gather(*(client.get(server.url(f"/{n}")) for n in range(5)))
        assert [response.status_code for response in responses] == [200] * 5

    async def test_of_the_client_hold_for_every_request(self, server: FaultServer) -> None:
        """The client's timeouts are the default."""
        server.route("/", Script(Silence()))
        async with Client(timeouts=Timeouts(head=0.03), retry=ONCE) as client:
            with pytest.raises(HeadTimeout):
                await client.get(server.url())


class TestStream:
    async def test_gives_the_response_before_its_body(self, server: FaultServer, client: Client) -> None:
        """The block is entered when the head is there."""
        go_on = asyncio.Event()

        async def answer(_: SeenRequest) -> Script:
            return Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo"), Pause(0.02), Send(b"dy"))

        server.route("/", answer)
        async with client.stream(server.url()) as response:
            assert response.status_code == 200
            assert not response.has_content
            go_on.set()
            assert b"".join([chunk async for chunk in response.aiter_bytes()]) == b"body"
        assert response.num_bytes == 4

    async def test_raises_when_there_is_no_response(self, client: Client) -> None:
        """What fails before the head raises at the start of the block."""
        with pytest.raises(ConnectRefused):
            async with client.stream(f"http://127.0.0.1:{unused_port()}/"):
                pytest.fail("the block was entered")
        with pytest.raises(InvalidURL):
            async with client.stream("nonsense"):
                pytest.fail("the block was entered")

    async def test_has_no_limit_unless_it_is_given_one(self, server: FaultServer) -> None:
        """The limit is about memory; a streamed body is the caller's to keep or not."""
        server.route("/", Reply(200, b"x" * 5000))
        server.route("/gzip", Reply(200, b"x" * 5000, gzip=True))
        async with Client(limits=Limits(max_body=1000), retry=ONCE) as client:
            async with client.stream(server.url()) as response:
                assert len(await response.aread()) == 5000
            for path in ("/", "/gzip"):
                with pytest.raises(BodyTooLarge):
                    async with client.stream(server.url(path), max_body=4999) as response:
                        await response.aread()
            assert_idle(client)

    async def test_refuses_an_unknown_coding_before_the_block(self, server: FaultServer, client: Client) -> None:
        """A body that cannot be decoded is an error at once, not a surprise in the middle."""
        server.route("/", Reply(200, b"x", {"Content-Encoding": "lzma"}))
        with pytest.raises(FetchError, match="lzma") as caught:
            async with client.stream(server.url()):
                pytest.fail("the block was entered")
        assert caught.value.code == "body.decoding"

    async def test_follows_redirects_and_retries(self, server: FaultServer) -> None:
        """What leads to the response is the same as for get."""
        server.route("/", redirect("/b"))
        server.route("/b", Reply(200, b"x"))
        async with Client(retry=Retry(backoff=0)) as client, client.stream(server.url()) as response:
            assert await response.aread() == b"x"
            assert [hop.status_code for hop in response.history] == [302]
            assert response.url == server.url("/b")

    async def test_takes_the_settings_of_get(self, server: FaultServer, client: Client) -> None:
        """Headers, method, timeouts and redirects can be set for one stream."""
        server.route("/", redirect("/b"))
        stream = client.stream(server.url(), method="HEAD", headers={"X": "1"}, follow_redirects=False)
        async with stream as response:
            assert response.status_code == 302
            assert await response.aread() == b""
        assert (server.seen.log[0].method, server.seen.log[0].header("X")) == ("HEAD", "1")
        server.route("/", Script(Silence()))
        with pytest.raises(HeadTimeout):
            async with client.stream(server.url(), timeouts=Timeouts(head=0.02)):
                pytest.fail("the block was entered")


class TestOpening:
    async def test_works_in_its_block_only(self, server: FaultServer) -> None:
        """Before and after the block there is one clear error."""
        client = Client()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="not open"):
                await client.get(server.url())
            with pytest.raises(RuntimeError, match="not open"):
                async with client.stream(server.url()):
                    pytest.fail("the block was entered")
            with pytest.raises(RuntimeError, match="not open"):
                client.fetch_many([server.url()])
            if client._supervisor is None:
                async with client:
                    pass

    async def test_is_entered_once(self) -> None:
        """A client that was closed is not opened again, nor is one entered twice."""
        client = Client()
        async with client:
            with pytest.raises(RuntimeError, match="once"):
                await client.__aenter__()
        with pytest.raises(RuntimeError, match="once"):
            async with client:
                pytest.fail("the block was entered")

    async def test_closing_twice_or_before_opening_is_nothing(self) -> None:
        """`aclose` may be called at any time, and by several tasks at once."""
        client = Client()
        await client.aclose()
        client = Client()
        async with client:
            await asyncio.gather(client.aclose(), client.aclose())
            await client.aclose()

    async def test_belongs_to_its_loop(self, server: FaultServer, client: Client) -> None:
        """Another loop needs another client, and says so."""

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="another event loop"):
                asyncio.run(client.get(server.url()))

        await asyncio.to_thread(elsewhere)

    @pytest.mark.parametrize(("name", "value"), [("limits", 100), ("retry", Limits()), ("timeouts", 3.0)])
    def test_takes_settings_of_their_classes_only(self, name: str, value: Any) -> None:
        """A number is no limit yet."""
        with pytest.raises(TypeError, match=f"{name} takes"):
            Client(**{name: value})

    async def test_entered_in_one_task_and_left_in_another(self, server: FaultServer) -> None:
        """A web framework may run its startup and its shutdown in different tasks."""
        server.route("/", Reply(200, b"x"))
        client = Client()
        await asyncio.create_task(client.__aenter__())
        assert (await client.get(server.url())).content == b"x"
        await asyncio.create_task(client.__aexit__(None, None, None))

    async def test_several_in_one_loop(self, server: FaultServer) -> None:
        """Clients know nothing of each other."""
        server.route("*", Reply(200, b"x"))
        async with Client(limits=Limits(per_host=1)) as one, Client(limits=Limits(per_host=2)) as two:
            await asyncio.gather(*(client.get(server.url()) for client in (one, two) for _ in range(10)))
            assert (one.stats.total.done, two.stats.total.done) == (10, 10)
            assert (one.stats.connections, two.stats.connections) == (1, 2)

    async def test_cancelled_while_it_opens(self) -> None:
        """A client whose opening is cancelled at any step leaves nothing."""
        for steps in range(4):
            client = Client()
            task = asyncio.create_task(client.__aenter__())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if task.cancelled():
                assert client._supervisor is None or client._supervisor.done()
            await client.aclose()
        client = Client()
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with client:
                pytest.fail("the block was entered")
        assert client._supervisor is not None
        assert client._supervisor.done()

    async def test_inside_cancel_scopes_and_task_groups(self, server: FaultServer) -> None:
        """The structures of anyio and asyncio around it cancel what they should, and no more."""
        server.route("/", Script(Silence()))
        server.route("/x", Reply(200, b"x"))
        async with Client() as client:
            with anyio.move_on_after(0.01) as scope:
                await client.get(server.url())
            assert scope.cancelled_caught
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await client.get(server.url())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01), client.stream(server.url()):
                    pytest.fail("the block was entered")
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(client.get(server.url("/x"))) for _ in range(20)]
            assert all(task.result().content == b"x" for task in tasks)
            assert_idle(client)
        with anyio.move_on_after(0.02):
            async with Client() as client:
                await client.get(server.url())
        assert client._supervisor is not None
        assert client._supervisor.done()

    async def test_closing_is_finished_although_it_is_cancelled(self, server: FaultServer) -> None:
        """Ctrl-C in the moment of closing does not leave connections and threads behind."""
        server.route("/", Reply(200, b"x"))
        for steps in range(5):
            client = await Client().__aenter__()
            await client.get(server.url())
            task = asyncio.create_task(client.aclose())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if steps:  # otherwise it was cancelled before it began
                assert client._supervisor is not None
                assert client._supervisor.done()
            await client.aclose()


class TestClosing:
    async def test_calls_off_what_runs_elsewhere(self, server: FaultServer) -> None:
        """Requests of other tasks end at once with an error that says why, whatever they were doing."""
        server.route("/silent", Script(Silence()))
        server.route("/half", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"), Silence()))
        async with Client(limits=Limits(per_host=2)) as client:
            with blackhole() as port:
                urls = [server.url("/silent"), server.url("/half"), server.url("/queued")]
                urls.append(f"http://me:secret@127.0.0.1:{port}/")
                tasks = [asyncio.create_task(client.get(url)) for url in urls]
                while server.seen.in_progress < 2:
                    await asyncio.sleep(0.001)
                await client.aclose()
                await asyncio.wait(tasks, timeout=20)
        for task, url in zip(tasks, urls, strict=True):
            error = task.exception()
            assert isinstance(error, Cancelled)
            assert error.url == url.replace("me:secret", "***")
        assert_idle(client)

    @pytest.mark.parametrize("is_first", [True, False])
    async def test_a_task_that_was_cancelled_as_well_stays_cancelled(
        self, server: FaultServer, is_first: bool
    ) -> None:
        """Whoever cancels a request in the moment of closing gets CancelledError, nothing else."""
        server.route("/", Script(Silence()))
        async with Client() as client:
            task = asyncio.create_task(client.get(server.url()))
            while not server.seen.in_progress:
                await asyncio.sleep(0.001)
            if is_first:
                task.cancel()
            client._singles.close()
            if not is_first:
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not client._singles._called_off
            assert_idle(client)

    async def test_calls_off_a_stream_that_is_read(self, server: FaultServer) -> None:
        """A body that cannot come any more is an error, not an end."""
        server.route("/", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"), Silence()))
        chunks: list[bytes] = []

        async def read(client: Client) -> None:
            async with client.stream(server.url()) as response:
                async for chunk in response.aiter_bytes():
                    chunks.append(chunk)  # noqa: PERF401

        async with Client() as client:
            task = asyncio.create_task(read(client))
            while not chunks:
                await asyncio.sleep(0.001)
        with pytest.raises(Cancelled):
            await task
        assert chunks == [b"x"]

    async def test_ends_lists_with_an_error(self, server: FaultServer) -> None:
        """Whoever iterates hears that the client was closed, after the results that were there."""
        server.route("/", Reply(200, b"x"))
        server.route("/silent", Script(Silence()))
        async with Client() as client:
            results = client.fetch_many([server.url(), server.url("/silent"), server.url("/silent")])
            assert (await anext(results)).ok
            task = asyncio.create_task(anext(results))
            await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError, match="the client was closed"):
            await task
        with pytest.raises(StopAsyncIteration):
            await anext(results)

    async def test_lets_sources_close_themselves(self, server: FaultServer) -> None:
        """A source that is called off may await in its `finally`."""
        closed = []

        async def source() -> AsyncIterator[str]:
            try:
                yield server.url()
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.01)
                closed.append(True)

        server.route("/", Reply(200, b"x"))
        async with Client() as client:
            results = client.fetch_many(source())
            await anext(results)
        assert closed == [True]

    async def test_within_a_list_s_own_source_does_not_hang(
        self, server: FaultServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Closing from inside waits for itself, but not for ever."""
        monkeypatch.setattr("asyncfetch.client.client._CLOSING", 0.02)
        server.route("/", Reply(200, b"x"))

        async def source(client: Client) -> AsyncIterator[str]:
            yield server.url()
            await client.aclose()

        async with Client() as client:
            with pytest.raises(RuntimeError, match="closed"):
                [result async for result in client.fetch_many(source(client))]


class TestFailures:
    @pytest.mark.slow
    async def test_by_the_thousand_leave_the_process_as_it_was(self, server: FaultServer) -> None:
        """Two thousand of every kind: descriptors, tasks, threads and memory are what they were before."""
        server.route("/cut", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), Close()))
        server.route("/reset", Script(Reset()))
        server.route("/nonsense", Script(Send(b"nonsense\r\n\r\n")))
        server.route("/gzip", Reply(200, b"no gzip", {"Content-Encoding": "gzip"}))
        server.route("/large", Reply(200, b"x" * 2000))
        server.route("/loop", redirect("/loop"))
        server.route("/away", redirect("ftp://h/"))
        paths = ["/cut", "/reset", "/nonsense", "/gzip", "/large", "/loop", "/away", "/gone"]
        urls = [server.url(path) for path in paths]
        urls += [f"http://127.0.0.1:{unused_port()}/", "nonsense", "http://nowhere.invalid/"]
        server.seen._log = type(server.seen._log)(maxlen=0)
        limits = Limits(max_body=1000, per_host=20)
        steady = Politeness(adapt=False, failures=None)
        async with Client(limits=limits, retry=ONCE, redirects=Redirects(most=1), politeness=steady) as client:

            async def fail(number: int) -> int:
                entries = (urls[n % len(urls)] for n in range(number))
                return len([0 async for result in client.fetch_many(entries) if not result.ok])

            async def state() -> tuple[tuple[int, int, int], int]:
                client._pool.drop_idle()
                while server.seen.open_connections:
                    await asyncio.sleep(0.001)
                gc.collect()
                counts = (
                    len(list(Path("/proc/self/fd").iterdir())),
                    len(asyncio.all_tasks()),
                    threading.active_count(),
                )
                return counts, len(gc.get_objects())

            assert await fail(500) == 500
            before, objects_before = await state()
            assert await fail(1500) == 1500
            after, objects_after = await state()
            assert after == before
            assert objects_after - objects_before < 500
            assert client.stats.total.failed == 2000
            assert len(client.stats.total.errors) == 10
            assert_idle(client)


class TestTrace:
    async def test_sees_each_step(self, server: FaultServer) -> None:
        """Whoever watches is told of the name, the connection, the request and every byte."""

        class Watch(Trace):
            def __init__(self) -> None:
                self.steps: list[str] = []
                self.got = b""

            def resolved(self, host: str, addresses: list[str], seconds: float) -> None:
                self.steps.append(f"resolved {host} {addresses}")

            def trying(self, address: str) -> None:
                self.steps.append("trying")

            def connected(self, address: str, seconds: float) -> None:
                self.steps.append("connected")

            def reusing(self, address: str) -> None:
                self.steps.append("reusing")

            def sent(self, head: bytes) -> None:
                self.steps.append(head.split(b"\r\n")[0].decode())

            def received(self, data: bytes) -> None:
                self.got += data

        server.route("/", Reply(200, b"x", gzip=True))
        watch = Watch()
        async with Client(trace=watch) as client:
            await client.get(server.url())
            await client.get(server.url())
        assert watch.steps == [
            "resolved 127.0.0.1 ['127.0.0.1']",
            "trying",
            "connected",
            "GET / HTTP/1.1",
            "reusing",
            "GET / HTTP/1.1",
        ]
        assert watch.got.count(gzip_bytes(b"x")) == 2


def test_a_client_that_is_never_entered_costs_nothing() -> None:
    """Making one needs no event loop and opens nothing."""
    client = Client(limits=Limits(), redirects=Redirects(most=3))
    del client
    gc.collect()
