"""Nobody who writes URLs, headers or redirects can write requests: each is one request, or none."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest
import uvloop
from click import BadParameter
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncfetch import Client, FetchError, InvalidURL, Redirects, Request, Retry, Url
from asyncfetch.cli.client_options import ClientOptions
from asyncfetch.cli.exits import UsageProblem
from asyncfetch.cli.values import header, secret_header
from asyncfetch.settings import Network
from asyncfetch.streams.request import encode_request
from asyncfetch.streams.resolver import AddrInfo, Resolver
from asyncfetch.testing import FaultServer, Reply, Script, SeenRequest, Send
from tests.cli.command import run

ONCE = Retry(attempts=1)
HERE = IPv4Address("127.0.0.1")

# one request and nothing else: visible characters, single spaces, CRLF; no control character anywhere
_ONE_REQUEST = re.compile(
    rb"(?:GET|HEAD) /[\x21-\x7e]* HTTP/1\.1\r\n"
    rb"Host: [\x21-\x7e]+"
    rb"(?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e\x80-\xff]*)*"
)
_DEFAULT_FIELDS = ["Host", "User-Agent", "Accept", "Accept-Encoding"]

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
BREAKS = ["\r\n", "\n", "\r", "\0", " ", "\t", "\x0b", "\x7f", "\x85", "\xa0", "\u2028", "\u010d\u010a", "\udc0a"]
INJECTED = "\r\nX-Injected: 1\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n"
EVIL = st.sampled_from([*BREAKS, "a", "/", "?", "#", "%0d%0a", "@", ":", "%", "\uff0f", INJECTED])
TEXTS = ANY_TEXT | st.lists(EVIL).map("".join)


# --- what is parsed


def assert_fits_in_a_line(url: Url) -> None:
    """See that a URL gives a request line and a Host field, and nothing more."""
    head = encode_request("GET", url.target, url.origin.authority, b"")
    assert _ONE_REQUEST.fullmatch(head.removesuffix(b"\r\n\r\n")), head


@given(TEXTS, TEXTS, TEXTS)
def test_every_url_is_refused_or_fits_in_a_line(host: str, path: str, rest: str) -> None:
    """Whatever the parser takes has no blank and no control character left in its target and its authority."""
    for text in (host, f"http://{host}", f"http://{host}/{path}?{rest}", f"http://{path}@{host}:80/{rest}"):
        try:
            url = Url.parse(text)
        except InvalidURL:
            continue
        assert_fits_in_a_line(url)


@given(TEXTS)
def test_every_reference_is_refused_or_fits_in_a_line(reference: str) -> None:
    """The same for what a Location is resolved to."""
    base = Url.parse("https://user:password@example.org/a/b?c")
    for text in (reference, f"/{reference}", f"//{reference}", f"?{reference}", f"http:{reference}"):
        try:
            url = base.join(text)
        except InvalidURL:
            continue
        assert_fits_in_a_line(url)


# --- what is sent

FOUND = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n"


def assert_one_request(request: SeenRequest) -> None:
    assert _ONE_REQUEST.fullmatch(request.head), request.head
    assert request.path != "/second"
    assert request.header("X-Injected") is None


class Target:
    """A server that keeps every request, and a client for which every name means that server."""

    def __init__(self, server: FaultServer) -> None:
        self.server = server
        server.route("*", Reply(200))

    def client(self, **settings: Any) -> Client:
        client = Client(guard=self._guard, retry=ONCE, **settings)
        client._resolver = Resolver(Network(), lookup=self._look_up)
        return client

    def _look_up(self, host: str, port: object, family: int = 0, type: int = 0) -> list[AddrInfo]:  # noqa: A002
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (str(HERE), 0))]

    def _guard(self, address: object) -> str | None:
        """Nothing but the test's own server is dialled, whatever hypothesis comes upon."""
        return None if ip_address(str(address)) == HERE else "not the test's server"

    async def sent_by(self, fetch: Callable[[], Awaitable[object]]) -> list[SeenRequest]:
        """Return what arrives, which must be well-formed, while something is fetched or fails."""
        before, counted = len(self.server.seen.log), self.server.seen.requests
        with contextlib.suppress(FetchError):
            await fetch()
        assert not self.server.seen.malformed
        sent = self.server.seen.log[before:]
        assert len(sent) == self.server.seen.requests - counted
        for request in sent:
            assert_one_request(request)
        return sent


def on(loop: str, work: Awaitable[None]) -> None:
    async def run() -> None:
        await work

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        runner.run(run())


LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@pytest.mark.slow
@LOOPS
def test_any_url_sends_one_request_or_none(loop: str) -> None:
    """Of any text in a URL, the server sees exactly one well-formed request for it, or nothing at all."""

    @settings(max_examples=40)
    @example([("user", "h", "/path"), ("\xe9", "-h", "/%0d%0a"), ("a b", ".h", "?\r\nX: 1")])
    @given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=5, max_size=10))
    def check(texts: list[tuple[str, str, str]]) -> None:
        async def fetch_all() -> None:
            async with target.client(redirects=Redirects(follow=False)) as client:
                for user, host, path in texts:
                    for url in (
                        f"http://127.0.0.1:{server.port}/{path}",
                        f"http://127.0.0.1:{server.port}{path}",
                        f"http://x{host}:{server.port}/",
                        f"http://{user}@h:{server.port}?{path}",
                    ):
                        sent = await target.sent_by(partial(client.get, url))
                        assert len(sent) <= 1
                        if sent:
                            parsed = Url.parse(url)
                            assert sent[0].target == parsed.target
                            assert sent[0].header("Host") == parsed.origin.authority
                            names = [name for name, _ in sent[0].headers if name != "Authorization"]
                            assert names == _DEFAULT_FIELDS

        on(loop, fetch_all())

    with FaultServer(keep_log=1_000_000).in_thread() as server:
        target = Target(server)
        check()
        assert server.seen.requests >= 12  # each of the example's in each of the four ways


@pytest.mark.slow
@LOOPS
def test_any_location_sends_one_request_or_none(loop: str) -> None:
    """A redirect to any bytes leads to well-formed requests, at most one for each hop, or to none."""

    @settings(max_examples=40)
    @example([b"there", b"%0d%0a", b"\xe9"])
    @given(st.lists(st.binary(max_size=30) | TEXTS.map(lambda text: text.encode("utf-8", "replace")), max_size=10))
    def check(locations: list[bytes]) -> None:
        async def fetch_all() -> None:
            async with target.client(redirects=Redirects(most=2), headers={"Authorization": "Bearer t"}) as client:
                for location in locations:
                    for form in (b"%b", b"/%b", b"//h%b", b"http://127.0.0.1:%d/%%b" % server.port):
                        head = (
                            b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + form % location + b"\r\n\r\n"
                        )
                        server.route("/start", Script(Send(head)))
                        sent = await target.sent_by(partial(client.get, server.url("/start")))
                        assert 1 <= len(sent) <= 3
                        followed.update(request.path for request in sent)

        on(loop, fetch_all())

    followed: set[str] = set()
    with FaultServer(keep_log=1_000_000).in_thread() as server:
        target = Target(server)
        check()
        assert {"/there", "/%0d%0a", "/%C3%A9"} <= followed, "the example's are followed"


@pytest.mark.slow
@LOOPS
def test_any_header_sends_one_field_or_nothing(loop: str) -> None:
    """Any name and value of a header is sent as exactly that one field, or refused before a byte is sent."""

    @settings(max_examples=40)
    @example([("X-Name", "value"), ("x", "a b"), ("!#$%", "")])
    @given(st.lists(st.tuples(TEXTS, TEXTS), max_size=10))
    def check(fields: list[tuple[str, str]]) -> None:
        async def fetch_all() -> None:
            async with target.client() as client:
                for name, value in fields:
                    for field in (
                        (name, value),
                        ("X-Value", value),
                        (f"X-{name}", "x"),
                        ("User-Agent", value),
                        ("Host", value),
                    ):
                        request = Request(server.url(), headers=[field])
                        sent = await target.sent_by(partial(client.get, request))
                        assert len(sent) <= 1
                        if sent:
                            names = {*(name.lower() for name in _DEFAULT_FIELDS), field[0].lower()}
                            assert (field[0], field[1].strip(" \t")) in sent[0].headers
                            assert len(sent[0].headers) == len(names)

        on(loop, fetch_all())

    with FaultServer(keep_log=1_000_000).in_thread() as server:
        target = Target(server)
        check()
        assert server.seen.requests >= 13  # the example's, each in five ways, but two values are no Host


# --- the command's options


@given(TEXTS, TEXTS, TEXTS)
def test_options_are_refused_or_are_one_field(text: str, user: str, agent: str) -> None:
    """What -H, --secret-header, -A and -u say becomes single fields, or the command does not begin."""
    try:
        options = {"headers": (header(text),), "secret_headers": (secret_header(f"X-Key: {text}"),)}
        client = ClientOptions.take_from({**options, "user": (user, text), "user_agent": agent}).open_client()
    except (BadParameter, UsageProblem):
        return
    head = b"GET / HTTP/1.1\r\nHost: h\r\n" + client._hosts.blocks.own
    assert _ONE_REQUEST.fullmatch(head.removesuffix(b"\r\n")), head


@pytest.mark.slow
def test_command_sends_well_formed_requests_only(fault_server: FaultServer) -> None:
    """Arguments, lists and headers that try to inject are refused or encoded; the server sees nothing malformed."""
    fault_server.route("*", Reply(200))
    here = fault_server.url("/a")
    refused = [
        ["-H", "X: a\r\nX-Injected: 1"],
        ["-H", "X\r\nX-Injected: 1: a"],
        ["-H", "X-Injected : 1"],
        ["-A", "a\r\nX-Injected: 1"],
        ["-A", "a\nX-Injected: 1"],
        ["-H", "Host: else\r\nX-Injected: 1"],
        ["-H", "Host: else where"],
        ["-H", "Host: me@elsewhere"],
        ["-H", "Host: elsewhere/"],
        ["-H", "Host:"],
        ["-H", "Host;"],
        ["-H", "Host: a", "-H", "host: b"],
        ["-H", "Content-Length: 5"],
        ["-H", "Transfer-Encoding: chunked"],
        ["--secret-header", "X-Key: a\nX-Injected: 1"],
    ]
    for options in refused:
        ended = run("get", *options, here)
        assert ended.status == 2, options
        assert ended.err.count("\n") == 1
    assert fault_server.seen.connections == 0
    evil = [
        "\r\nX-Injected: 1",
        " HTTP/1.1\r\nX-Injected: 1",
        "\x7f\x1b[2J",
        "%0d%0aX-Injected: 1",
        "\u010d\u010a",
    ]
    listed = b"\n".join(f"{here}{text}".replace("\n", "\x0b").encode() for text in evil)
    arguments = [f"{here}{text}" for text in evil]
    ended = run("get", *arguments, "-", "-u", "a\r\nX-Injected: 1:b\n", stdin=listed)
    assert ended.status in (0, 3)
    assert len(ended.records) == 2 * len(evil)
    assert not fault_server.seen.malformed
    assert fault_server.seen.requests >= len(evil)
    for request in fault_server.seen.log:
        assert_one_request(request)
