"""What is different for single hosts: found by pattern, sent to nobody else."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import pytest

from asyncfetch import Client, HeadTimeout, HostSettings, Limits, Politeness, Request, Retry, Timeouts
from asyncfetch.client.fetch import sensitive_names
from asyncfetch.client.hosts import Hosts
from asyncfetch.testing import FaultServer, Reply, SeenRequest, redirect

ONE, TWO, THREE = "127.0.0.1", "127.0.0.2", "127.0.0.3"
SPARED = HostSettings(per_host=1)


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    async with FaultServer({"*": Reply(200, b"x")}, addresses=(ONE, TWO, THREE)) as server:
        yield server


def hosts(table: Any) -> Hosts:
    return Hosts(table, [("User-Agent", "me")], sensitive_names(()), Timeouts())


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def sent_to(server: FaultServer, path: str) -> SeenRequest:
    found = [request for request in server.seen.log if request.path == path]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("example.org", ["example.org:80", "example.org:8080"], ["www.example.org:80", "example.com:80"]),
        ("EXAMPLE.org", ["example.org:80"], []),
        ("*.example.org", ["a.example.org:80", "a.b.example.org:443"], ["example.org:80", "badexample.org:80"]),
        ("example.org:8080", ["example.org:8080"], ["example.org:80", "a.example.org:8080"]),
        ("example.org:80", ["example.org:80"], ["example.org:8080"]),
        ("*.example.org:8080", ["a.example.org:8080"], ["a.example.org:80"]),
        ("127.0.0.1", ["127.0.0.1:80"], ["127.0.0.11:80"]),
        ("[::1]", ["[::1]:80"], ["[::2]:80"]),
        ("[::1]:80", ["[::1]:80"], ["[::1]:81"]),
        ("bücher.example", ["xn--bcher-kva.example:80"], []),
    ],
)
def test_a_pattern_names_hosts(pattern: str, matching: list[str], other: list[str]) -> None:
    """A name is every port of it, a star all names below, a port only that one."""
    table = hosts({pattern: SPARED})
    assert [table.settings(key) for key in matching] == [SPARED] * len(matching)
    assert [table.settings(key) for key in other] == [None] * len(other)


def test_the_closest_pattern_counts() -> None:
    """A port before none, a name before a star, a long star before a short one; nothing is mixed."""
    patterns = ["*.org", "*.example.org", "*.example.org:81", "www.example.org", "www.example.org:81"]
    table = hosts({pattern: HostSettings(per_host=n) for n, pattern in enumerate(patterns, 1)})
    keys = ["a.org:80", "a.example.org:80", "a.example.org:81", "www.example.org:80", "www.example.org:81"]
    assert [getattr(table.settings(key), "per_host", None) for key in keys] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "*",
        "*.",
        "a/b",
        "http://a",
        "u:p@a",
        "a b",
        "a:x",
        "a:99999",
        "**.a",
        "a.*.b",
        "a?b",
        "a#b",
        "*.0.0.1",
        "*.[::1]",
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    """The client says so when it is made, not when it is too late."""
    with pytest.raises(ValueError, match="is no pattern for hosts"):
        Client(hosts={pattern: SPARED})


def test_wrong_settings_are_refused() -> None:
    """A value out of range, a header that cannot be sent, something else than HostSettings."""
    for wrong in ({"per_host": 0}, {"rate": 0.0}, {"delay": -1.0}, {"limit_rate": 0}, {"password": "x"}):
        with pytest.raises(ValueError):
            HostSettings(**wrong)
    with pytest.raises(ValueError, match="line break"):
        Client(hosts={"a": HostSettings(headers={"X": "a\nb"})})
    table: Any = {"a": Limits()}
    with pytest.raises(TypeError, match="HostSettings"):
        Client(hosts=table)


def test_no_credential_is_shown() -> None:
    """The representation names what is set, nothing else."""
    assert repr(HostSettings(user="me", password="hush", rate=1.0)) == "HostSettings(rate, user, password)"


async def test_headers_and_credentials_go_to_their_host_only(server: FaultServer) -> None:
    """A list over two hosts: each gets its own fields, over the client's, and a request's own over these."""
    own = HostSettings(headers={"X-Own": "1", "X-Common": "own"}, user="me", password="hush")
    async with Client(headers={"X-Common": "all"}, hosts={ONE: own}) as client:
        await client.get(server.url("/one", ONE))
        await client.get(server.url("/two", TWO))
        await client.get(Request(server.url("/request", ONE), headers={"X-Own": "2", "Authorization": None}))
    one, two, request = (sent_to(server, path) for path in ("/one", "/two", "/request"))
    assert [one.header(name) for name in ("X-Own", "X-Common", "Authorization")] == [
        "1",
        "own",
        basic("me", "hush"),
    ]
    assert [two.header(name) for name in ("X-Own", "X-Common", "Authorization")] == [None, "all", None]
    assert [request.header(name) for name in ("X-Own", "Authorization")] == ["2", None]


async def test_a_redirect_leaves_the_settings_of_its_host_behind(server: FaultServer) -> None:
    """It finds those of the new host, but not its credentials: whoever redirects could have them used."""
    server.route("/from", redirect(server.url("/to", TWO)))
    table = {
        ONE: HostSettings(headers={"X-One": "1"}, user="one", password="1"),
        TWO: HostSettings(headers={"X-Two": "2"}, user="two", password="2"),
    }
    async with Client(hosts=table) as client:
        await client.get(server.url("/from", ONE))
    first, second = sent_to(server, "/from"), sent_to(server, "/to")
    assert [first.header(name) for name in ("X-One", "X-Two", "Authorization")] == ["1", None, basic("one", "1")]
    assert [second.header(name) for name in ("X-One", "X-Two", "Authorization")] == [None, "2", None]


async def test_an_attempt_that_starts_over_has_its_first_settings_again(server: FaultServer) -> None:
    """A retry goes to the host that was named, with what belongs there."""
    server.route("/from", redirect(server.url("/to", TWO)))
    server.route("/to", Reply(503))
    own = HostSettings(headers={"X-One": "1"}, user="one", password="1")
    async with Client(hosts={ONE: own}, retry=Retry(attempts=2, backoff=0.0)) as client:
        await client.get(server.url("/from", ONE))
    assert [(r.path, r.header("X-One"), r.header("Authorization")) for r in server.seen.log] == [
        ("/from", "1", basic("one", "1")),
        ("/to", None, None),
    ] * 2


async def test_timeouts_of_a_host(server: FaultServer) -> None:
    """They hold there and nowhere else, and a request's own come first."""
    server.route("/slow", Reply(200, b"x", delay=0.15))
    own = HostSettings(timeouts=Timeouts(head=0.05))
    async with Client(hosts={ONE: own}, retry=Retry(attempts=1)) as client:
        with pytest.raises(HeadTimeout):
            await client.get(server.url("/slow", ONE))
        assert (await client.get(server.url("/slow", TWO))).status_code == 200
        assert (await client.get(server.url("/slow", ONE), timeouts=Timeouts())).status_code == 200


async def test_the_max_time_of_a_request(server: FaultServer) -> None:
    """It is the total, of the timeouts that hold where the request goes: all others of these are kept to."""
    server.route("/slow", Reply(200, b"x", delay=0.15))
    server.route("/from", Reply(302, headers={"Location": server.url("/slow", ONE)}))
    own = HostSettings(timeouts=Timeouts(head=0.05))
    cases = [
        (Request(server.url("/slow", ONE), max_time=30), "timeout.head"),
        (Request(server.url("/from", TWO), max_time=30), "timeout.head"),
        (Request(server.url("/slow", TWO), max_time=0.05), "timeout.total"),
        (Request(server.url("/slow", TWO), max_time=0.05, timeouts=Timeouts(total=9)), "timeout.total"),
        (Request(server.url("/slow", TWO), max_time=30, timeouts=Timeouts(head=0.05)), "timeout.head"),
        (Request(server.url("/slow", TWO), max_time=30), None),
    ]
    async with Client(hosts={ONE: own}, timeouts=Timeouts(total=0.1), retry=Retry(attempts=1)) as client:
        for request, code in cases:
            [result] = [result async for result in client.fetch_many([request])]
            assert result.code == code, request


@pytest.mark.parametrize(
    ("given", "kind", "sentence"),
    [
        ("5", TypeError, "max_time is a number of seconds, not '5'"),
        (0, ValueError, "max_time is a number of seconds above 0, not 0"),
        (float("nan"), ValueError, "max_time is a number of seconds above 0, not nan"),
    ],
)
async def test_a_max_time_that_is_none(
    server: FaultServer, given: Any, kind: type[Exception], sentence: str
) -> None:
    """It is refused before anything is sent."""
    async with Client() as client:
        with pytest.raises(kind) as caught:
            await client.get(Request(server.url(), max_time=given))
    assert (str(caught.value), server.seen.connections) == (sentence, 0)


async def test_a_callable_is_asked_for_each_host_not_for_each_request(server: FaultServer) -> None:
    """It gets `host:port`, and its limits hold."""
    asked: list[str] = []

    def own(key: str) -> HostSettings | None:
        asked.append(key)
        return SPARED if key.startswith(ONE) else None

    server.route("*", Reply(200, b"x", delay=0.005))
    urls = [server.url(f"/{n}", host) for n in range(10) for host in (ONE, TWO)]
    async with Client(hosts=own) as client:
        assert all([result.ok async for result in client.fetch_many(urls)])
        assert client.stats.host(f"{ONE}:{server.port}").limit == 1
    assert asked == [f"{ONE}:{server.port}", f"{TWO}:{server.port}"]
    assert server.seen.by_host[asked[0]].most_at_once == 1
    assert server.seen.by_host[asked[1]].most_at_once > 1


async def test_what_a_callable_gives_is_checked(server: FaultServer) -> None:
    """A header that cannot be sent is that URL's error, anything else than settings the list's."""
    async with Client(hosts=lambda _: HostSettings(headers={"X": "\n"})) as client:
        results = [result async for result in client.fetch_many([server.url("/")])]
    assert [result.code for result in results] == ["url.invalid"]
    nonsense: Any = lambda _: 5  # noqa: E731
    async with Client(hosts=nonsense) as client:
        with pytest.raises(TypeError, match="HostSettings"):
            await anext(client.fetch_many([server.url("/")]))
    assert not server.seen.requests


# --- rates, as the server sees them


def assert_apart(server: FaultServer, host: str, begun: float, seconds: float) -> None:
    """See that no request came before its start could be; one may come late, and the next seem early then."""
    times = [request.time for request in server.seen.log if request.host == f"{host}:{server.port}"]
    assert len(times) > 3
    for number, at in enumerate(times):
        assert at - begun >= number * seconds * 0.99, number


@pytest.mark.slow
async def test_a_rate_holds_for_each_host_and_a_delay_for_one(server: FaultServer) -> None:
    """One host is asked at the client's rate, one at its own, one with a delay; they do not wait for each other."""
    table = {TWO: HostSettings(rate=40.0), THREE: HostSettings(delay=0.1)}
    urls = [server.url(f"/{n}", host) for host, number in ((ONE, 10), (TWO, 20), (THREE, 5)) for n in range(number)]
    async with Client(politeness=Politeness(rate=20.0), hosts=table) as client:
        begun = monotonic()
        assert all([result.ok async for result in client.fetch_many(urls)])
    assert_apart(server, ONE, begun, 1 / 20)
    assert_apart(server, TWO, begun, 1 / 40)
    assert_apart(server, THREE, begun, 0.1)


@pytest.mark.slow
async def test_a_global_rate_holds_for_single_requests_and_lists_together(server: FaultServer) -> None:
    """Twenty requests to three hosts at 40 a second take half a second."""
    async with Client(politeness=Politeness(global_rate=40.0)) as client:
        urls = [server.url(f"/{n}", (ONE, TWO, THREE)[n % 3]) for n in range(20)]
        results = client.fetch_many(urls)
        begun = monotonic()
        await client.get(server.url("/single"))
        assert all([result.ok async for result in results])
    times = [request.time for request in server.seen.log]
    assert len(times) == 21
    assert all(at - begun >= number / 40 * 0.99 for number, at in enumerate(times))


@pytest.mark.slow
async def test_a_host_that_is_slowed_down_is_asked_that_slowly(server: FaultServer) -> None:
    """`Turns.slow_down` holds from the next start on."""
    async with Client() as client:
        client._turns.slow_down(f"{ONE}:{server.port}", 0.1)
        begun = monotonic()
        async for result in client.fetch_many([server.url(f"/{n}") for n in range(4)]):
            assert result.ok
    assert_apart(server, ONE, begun, 0.1)
