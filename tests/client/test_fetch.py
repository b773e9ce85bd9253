"""One entry on its way: redirects, whom credentials are sent to, and the fields of a request."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from asyncfetch import (
    Client,
    FetchError,
    InvalidRedirect,
    Redirects,
    Request,
    Retry,
    StatusError,
    Timings,
    TooManyRedirects,
)
from asyncfetch.client.fetch import FieldBlocks, merge_fields, sensitive_names
from asyncfetch.testing import FaultServer, Reply, Script, SeenRequest, Send, Silence, redirect
from asyncfetch.testing import Sequence as Answers

ONCE = Retry(attempts=1)
SENSITIVE = frozenset({"authorization", "cookie"})


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    """A server on two addresses, which are two origins."""
    async with FaultServer(addresses=("127.0.0.1", "127.0.0.2")) as server:
        server.route("/end", Reply(200, b"end"))
        yield server


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client that carries credentials and tries once."""
    headers = {"Authorization": "Bearer t", "cookie": "c=1", "Proxy-Authorization": "Basic p", "X-Public": "1"}
    async with Client(retry=ONCE, headers=headers) as client:
        yield client


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def secrets_of(request: SeenRequest) -> list[str | None]:
    return [request.header(name) for name in ("Authorization", "Cookie", "Proxy-Authorization")]


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_are_followed(self, server: FaultServer, client: Client, status: int) -> None:
        """The last response is returned; the ones before are its history."""
        server.route("/", redirect("/b?x=1", status))
        server.route("/b", redirect("end", status))
        response = await client.get(server.url())
        assert (response.status_code, response.content, response.url) == (200, b"end", server.url("/end"))
        assert [hop.status_code for hop in response.history] == [status] * 2
        assert [hop.url for hop in response.history] == [server.url(), server.url("/b?x=1")]
        assert [hop.headers["location"] for hop in response.history] == ["/b?x=1", "end"]
        assert all(hop.is_redirect and not hop.history for hop in response.history)
        assert all(0 < (hop.timings.total or 0) < 5 for hop in response.history)
        assert response.elapsed.total_seconds() > sum(hop.timings.total or 0 for hop in response.history)
        with pytest.raises(RuntimeError, match="not kept"):
            _ = response.history[0].content
        assert server.seen.connections == 1

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_keep_the_method(self, server: FaultServer, client: Client, method: str) -> None:
        """A HEAD stays a HEAD, 303 included (RFC 9110 section 15.4.4)."""
        server.route("/", redirect("/end", 303))
        await client.get(Request(server.url(), method=method))  # type: ignore[arg-type]
        assert [request.method for request in server.seen.log] == [method] * 2

    @pytest.mark.parametrize(
        ("location", "target"),
        [
            ("b", "/dir/b"),
            ("./b", "/dir/b"),
            ("../b", "/b"),
            ("/b", "/b"),
            ("?q", "/dir/a?q"),
            ("#top", "/dir/a"),
            ("/b#top", "/b"),
            ("//127.0.0.2:PORT/b", "/b"),
            ("http://127.0.0.2:PORT/b", "/b"),
            ("http:\\\\127.0.0.2:PORT\\b", "/b"),
            ("/a b", "/a%20b"),
            ("/gr\xc3\xbc\xc3\x9fe", "/gr%C3%BC%C3%9Fe"),  # UTF-8 on the wire
            ("/gr\xfc\xdfe", "/gr%C3%BC%C3%9Fe"),  # Latin-1 on the wire
            ("/%2e%2e/b", "/b"),
        ],
    )
    async def test_resolve_their_location(
        self, server: FaultServer, client: Client, location: str, target: str
    ) -> None:
        """A Location is a reference, read as browsers read it."""
        server.route("*", Reply(200))
        answer = redirect(location.replace("PORT", str(server.port)))
        server.route("/dir/a", Answers(answer, Reply(200)))
        response = await client.get(server.url("/dir/a"))
        assert server.seen.log[-1].target == target
        assert response.url.endswith(target)

    @pytest.mark.parametrize(
        "location", ["", "ftp://h/", "mailto:me@h", "http://", "http://h:99999/", "http://[x/"]
    )
    async def test_to_what_is_no_url_are_errors(self, server: FaultServer, client: Client, location: str) -> None:
        """A Location that cannot be fetched is not followed, and says so."""
        server.route("/", redirect(location))
        with pytest.raises(InvalidRedirect) as caught:
            await client.get(server.url())
        assert caught.value.url == server.url()

    async def test_without_location_are_answers(self, server: FaultServer, client: Client) -> None:
        """There is nowhere to go, so this is the response; so are the statuses that are no redirects."""
        server.route("/", Reply(302, b"nowhere"))
        assert (await client.get(server.url())).content == b"nowhere"
        for status in (300, 304, 305, 201):
            server.route("/", Reply(status, headers={"Location": "/end"}))
            assert (await client.get(server.url())).status_code == status

    async def test_are_not_followed_when_that_is_off(self, server: FaultServer, client: Client) -> None:
        """Off for one request, or for all with an exception for one."""
        server.route("/", Reply(302, b"go", {"Location": "/end"}))
        response = await client.get(server.url(), follow_redirects=False)
        assert (response.status_code, response.content, response.is_redirect) == (302, b"go", True)
        async with Client(redirects=Redirects(follow=False)) as other:
            assert (await other.get(server.url())).status_code == 302
            assert (await other.get(server.url(), follow_redirects=True)).status_code == 200

    async def test_in_a_loop_end(self, server: FaultServer, client: Client) -> None:
        """As many as allowed are followed, not one more."""
        server.route("/", redirect("/"))
        with pytest.raises(TooManyRedirects, match="10") as caught:
            await client.get(server.url())
        assert caught.value.url == server.url()
        assert server.seen.requests == 11
        async with Client(redirects=Redirects(most=0)) as other:
            with pytest.raises(TooManyRedirects):
                await other.get(server.url())
        assert server.seen.requests == 12

    async def test_as_many_as_allowed_are_followed(self, server: FaultServer) -> None:
        """The limit itself is still allowed."""
        server.route("/0", redirect("/1"))
        server.route("/1", redirect("/end"))
        async with Client(redirects=Redirects(most=2)) as client:
            assert (await client.get(server.url("/0"))).content == b"end"

    async def test_have_bodies_that_nobody_decodes(self, server: FaultServer, client: Client) -> None:
        """The body of a redirect is read away, whatever its coding says, and the connection is kept."""
        fields = {"Location": "/end", "Content-Encoding": "gzip"}
        server.route("/", Reply(302, b"this is no gzip", fields))
        response = await client.get(server.url())
        assert response.content == b"end"
        assert response.reused

    async def test_with_endless_bodies_cost_their_connection(self, server: FaultServer, client: Client) -> None:
        """What is too long to be read away is closed."""
        head = b"HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 1000000\r\n\r\n"
        server.route("/", Script(Send(head + b"x" * 70_000), Silence()))
        response = await client.get(server.url())
        assert response.content == b"end"
        assert not response.reused

    async def test_are_listed_in_the_result(self, server: FaultServer, client: Client) -> None:
        """The URLs that redirected, first to last; of a failure, too."""
        server.route("/", redirect("/b"))
        server.route("/b", redirect("/end"))
        server.route("/c", redirect("/d"))
        server.route("/d", Script(Send(b"nonsense\r\n\r\n")))
        results = {r.url: r async for r in client.fetch_many([server.url(), server.url("/c")])}
        assert results[server.url()].redirects == [server.url(), server.url("/b")]
        assert results[server.url("/c")].redirects == [server.url("/c")]
        assert results[server.url("/c")].error is not None


class TestCredentials:
    async def test_stay_with_their_origin(self, server: FaultServer, client: Client) -> None:
        """A redirect within the origin keeps them; one away from it drops them, and only them."""
        server.route("/", redirect("/same"))
        server.route("/same", redirect(server.url("/end", "127.0.0.2")))
        await client.get(server.url())
        first, second, third = server.seen.log
        assert secrets_of(first) == secrets_of(second) == ["Bearer t", "c=1", "Basic p"]
        assert secrets_of(third) == [None, None, None]
        assert third.header("X-Public") == "1"

    async def test_do_not_come_back(self, server: FaultServer, client: Client) -> None:
        """A chain that returns to its first origin was in strange hands: it could be led anywhere there."""
        server.route("/", redirect(server.url("/away", "127.0.0.2")))
        server.route("/away", redirect(server.url("/end")))
        await client.get(server.url())
        assert secrets_of(server.seen.log[2]) == [None, None, None]

    async def test_another_port_is_another_origin(self, server: FaultServer, client: Client) -> None:
        """Origin is scheme, host and port."""
        async with FaultServer({"/end": Reply(200)}) as other:
            server.route("/", redirect(other.url("/end")))
            await client.get(server.url())
            assert secrets_of(other.seen.log[0]) == [None, None, None]

    async def test_of_one_request_are_dropped_too(self, server: FaultServer) -> None:
        """It makes no difference where a sensitive header came from, nor its case or number."""
        server.route("/", redirect(server.url("/end", "127.0.0.2")))
        async with Client(retry=ONCE) as client:
            await client.get(server.url(), headers=[("AUTHORIZATION", "a"), ("Cookie", "b"), ("cookie", "c")])
        assert [name for name, _ in server.seen.log[0].headers][-3:] == ["AUTHORIZATION", "Cookie", "cookie"]
        assert secrets_of(server.seen.log[1]) == [None, None, None]

    async def test_are_there_again_for_the_next_attempt(self, server: FaultServer) -> None:
        """A retry starts with the URL as given, and with what it may be sent."""
        server.route("/", redirect(server.url("/busy", "127.0.0.2")))
        server.route("/busy", Answers(Reply(503), Reply(200)))
        async with Client(retry=Retry(backoff=0), headers={"Cookie": "c"}) as client:
            assert (await client.get(server.url())).status_code == 200
        assert [secrets_of(request)[1] for request in server.seen.log] == ["c", None, "c", None]

    async def test_in_the_url_become_authorization(self, server: FaultServer, client: Client) -> None:
        """User and password are sent as RFC 7617 says, percent-decoded, instead of the client's own."""
        url = server.url("/end").replace("//", "//us%40er:p%C3%A4ss%3A@")
        response = await client.get(url)
        assert server.seen.log[0].header("Authorization") == basic("us@er", "p\xe4ss:".encode().decode())
        assert [name for name, _ in server.seen.log[0].headers].count("Authorization") == 1
        assert response.url == server.url("/end")
        await client.get(server.url("/end").replace("//", "//user@"))
        assert server.seen.log[1].header("Authorization") == basic("user", "")

    async def test_in_the_url_go_on_to_the_same_origin_only(self, server: FaultServer, client: Client) -> None:
        """A relative Location does not repeat them; they are meant for it all the same, but for nobody else."""
        server.route("/", redirect("/same"))
        server.route("/same", redirect(server.url("/away", "127.0.0.2")))
        server.route("/away", redirect(server.url("/end")))
        response = await client.get(server.url().replace("//", "//user:secret@"))
        assert [request.header("Authorization") for request in server.seen.log] == [
            basic("user", "secret"),
            basic("user", "secret"),
            None,
            None,
        ]
        assert "secret" not in repr([hop.url for hop in response.history])

    async def test_in_a_location_are_for_its_origin(self, server: FaultServer, client: Client) -> None:
        """What a redirect brings along it may send, without what it must not see."""
        away = server.url("/away", "127.0.0.2").replace("//", "//their:own@")
        server.route("/", redirect(away))
        server.route("/away", redirect("/end"))
        await client.get(server.url())
        assert secrets_of(server.seen.log[1]) == [basic("their", "own"), None, None]
        assert secrets_of(server.seen.log[2]) == [basic("their", "own"), None, None]

    async def test_appear_nowhere(self, server: FaultServer, client: Client) -> None:
        """No result, error or record shows a password."""
        server.route("/", redirect("ftp://a:secret@b/"))
        server.route("/gone", Reply(404))
        urls = [server.url(path).replace("//", "//user:secret@") for path in ("/end", "/", "/gone")]
        async for result in client.fetch_many([*urls, "http://user:secret@:x/"]):
            assert result.error is None or "secret" not in str(result.error)
            assert result.response is None or "secret" not in result.response.url


class TestFieldBlocks:
    def test_are_encoded_once_with_and_without_secrets(self) -> None:
        """Both forms are ready before the first request."""
        blocks = FieldBlocks([("A", "1"), ("Cookie", "c")], SENSITIVE)
        assert blocks.own == b"A: 1\r\nCookie: c\r\n"
        assert blocks.foreign == b"A: 1\r\n"

    def test_take_another_authorization(self) -> None:
        """The URL's own one replaces any other, in the form for strangers, too."""
        blocks = FieldBlocks([("authorization", "x"), ("Cookie", "c")], SENSITIVE)
        assert blocks.with_further({"Authorization": "y"}, is_foreign=False) == b"Cookie: c\r\nAuthorization: y\r\n"
        assert blocks.with_further({"Authorization": "y"}, is_foreign=True) == b"Authorization: y\r\n"

    def test_take_further_fields(self) -> None:
        """Those of one request go over the shared ones, which stay as they are."""
        blocks = FieldBlocks([("A", "1")], SENSITIVE)
        assert blocks.with_fields({"a": "2", "Cookie": "c"}).foreign == b"a: 2\r\n"
        assert blocks.own == b"A: 1\r\n"

    def test_know_which_names_are_sensitive(self) -> None:
        """The usual ones and those that the user adds, in any case; a name that no header can have is refused."""
        assert sensitive_names(["X-Api-Key"]) == {"authorization", "cookie", "proxy-authorization", "x-api-key"}
        with pytest.raises(TypeError):
            sensitive_names("X-Api-Key")
        with pytest.raises(ValueError, match="header"):
            sensitive_names(["X Api Key"])

    @pytest.mark.parametrize(
        ("given", "merged"),
        [
            (None, [("A", "1"), ("B", "2")]),
            ({}, [("A", "1"), ("B", "2")]),
            ({"b": "3"}, [("A", "1"), ("b", "3")]),
            ({"b": None}, [("A", "1")]),
            ([("a", "x"), ("A", "y")], [("B", "2"), ("a", "x"), ("A", "y")]),
            ([("a", None), ("A", "y")], [("B", "2"), ("A", "y")]),
            ({"C": "3"}, [("A", "1"), ("B", "2"), ("C", "3")]),
        ],
    )
    def test_merging(
        self,
        given: Mapping[str, str | None] | Sequence[tuple[str, str | None]] | None,
        merged: list[tuple[str, str]],
    ) -> None:
        """Same names are replaced, None removes, the order stays."""
        assert merge_fields([("A", "1"), ("B", "2")], given) == merged


class TestResults:
    async def test_say_what_came(self, server: FaultServer, client: Client) -> None:
        """A status of 400 and above has both response and error, and both know where."""
        server.route("/gone", Reply(410, b"gone"))
        (result,) = [r async for r in client.fetch_many([server.url("/gone")])]
        assert result.response is not None
        assert result.response.content == b"gone"
        assert isinstance(result.error, StatusError)
        assert (result.error.code, result.error.url) == ("http.4xx", server.url("/gone"))
        assert (result.status, result.ok, result.attempts, result.ip) == (410, False, 1, "127.0.0.1")

    async def test_time_each_phase(self, server: FaultServer, client: Client) -> None:
        """A new connection was connected, a reused one was not; nobody waited for TLS."""
        first = (await client.get(server.url("/end"))).timings
        second = (await client.get(server.url("/end"))).timings
        assert first.dns is not None
        assert first.connect is not None
        assert (second.dns, second.connect, second.tls, first.tls) == (None, None, None, None)
        for timings in (first, second):
            assert isinstance(timings, Timings)
            assert timings.queue is not None
            assert timings.queue >= 0
            assert 0 < (timings.ttfb or 0) <= (timings.total or 0)

    async def test_old_http(self, server: FaultServer, client: Client) -> None:
        """HTTP/1.0 is read, said, and not kept alive; a reason may hold any bytes."""
        server.route("/", Script(Send(b"HTTP/1.0 200 gr\xfc\xdfe\r\nX-Y: \xe4\r\nContent-Length: 3\r\n\r\nold")))
        response = await client.get(server.url())
        assert (response.http_version, response.reason_phrase) == ("HTTP/1.0", "gr\xfc\xdfe")
        assert response.raw_headers[0] == (b"X-Y", b"\xe4")
        assert response.headers["x-y"] == "\xe4"
        assert not (await client.get(server.url())).reused

    async def test_fields_belong_to_one_response(self, server: FaultServer, client: Client) -> None:
        """Who changes the fields of one response leaves those of the next alone, though their heads are equal."""
        server.route("/", Reply(200, b"x", {"X-Y": "z"}))
        for _ in range(4):
            response = await client.get(server.url())
            assert response.headers["x-y"] == "z"
            response.raw_headers.clear()

    async def test_errors_keep_a_url_that_they_have(self, client: Client) -> None:
        """The client attaches the URL only where it is missing."""
        with pytest.raises(FetchError) as caught:
            await client.get("http://u:p@127.0.0.1:1/")
        assert caught.value.url == "http://***@127.0.0.1:1/"
