"""What is said of things of the wrong kind: what is wanted, at once, and without what may be a secret."""

from __future__ import annotations

from typing import Any

import pytest

from asyncfetch import AddressGuard, Client, Request, Result, Retry
from asyncfetch.testing import Close, FaultServer, Reply, Script, Send

ONCE = Retry(attempts=1)
WANTED = "a sink is an object with the async methods write, finish and abort; "
CUT = Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), Close())


class Sink:
    """A sink as it should be."""

    def __repr__(self) -> str:
        return type(self).__name__

    async def write(self, chunk: bytes) -> None:
        pass

    async def finish(self) -> None:
        pass

    async def abort(self) -> None:
        pass


class WithoutAbort(Sink):
    abort: Any = None


def plain(self: Sink, chunk: bytes = b"") -> None:
    """Do nothing, and not asynchronously."""


class Plain(Sink):
    write: Any = plain


class PlainAbort(Sink):
    abort: Any = plain


class ReturningAwaitables(Sink):
    """Not async by its looks, but what its methods return can be awaited."""

    def __init__(self) -> None:
        self.write: Any = lambda chunk: Sink.write(self, chunk)
        self.finish: Any = lambda: Sink.finish(self)
        self.abort: Any = lambda: Sink.abort(self)


class WithMistake(ReturningAwaitables):
    def __init__(self) -> None:
        super().__init__()
        self.write: Any = lambda: None


async def fetch(server: FaultServer, path: str, sink: Any) -> list[Result]:
    """Fetch into a sink; afterwards the client must be as good as new."""
    async with Client(retry=ONCE) as client:
        try:
            return [result async for result in client.fetch_many([server.url(path)], sink=lambda *_: sink)]
        finally:
            assert (await client.get(server.url())).content == b"ok"
            assert client._pool.in_use == 0
            assert client._turns.frontier.in_flight == 0


@pytest.fixture
def server(fault_server: FaultServer) -> FaultServer:
    fault_server.route("/", Reply(200, b"ok"))
    fault_server.route("/cut", CUT)
    return fault_server


@pytest.mark.parametrize(
    ("sink", "path", "sentence"),
    [
        (WithoutAbort(), "/", WANTED + "WithoutAbort has no abort"),
        (object, "/", WANTED + "<class 'object'> has no write and no finish and no abort"),
        (5, "/", WANTED + "5 has no write and no finish and no abort"),
        (Plain(), "/", WANTED + "of Plain not async: write"),
        (PlainAbort(), "/cut", WANTED + "of PlainAbort not async: abort"),
        (WithMistake(), "/", "<lambda>() takes 0 positional arguments but 1 was given"),
    ],
    ids=lambda given: repr(given)[:20],
)
async def test_sinks_that_are_none(server: FaultServer, sink: object, path: str, sentence: str) -> None:
    """What is missing or not async is named; the list ends with it, and the client goes on."""
    with pytest.raises(TypeError) as caught:
        await fetch(server, path, sink)
    assert str(caught.value).endswith(sentence)


@pytest.mark.parametrize("sink", [Sink(), ReturningAwaitables(), None])
@pytest.mark.parametrize("path", ["/", "/cut"])
async def test_sinks_that_are_some(server: FaultServer, sink: object, path: str) -> None:
    """Whatever can be awaited will do."""
    [result] = await fetch(server, path, sink)
    assert result.ok is (path == "/")


@pytest.mark.parametrize("sink", [Sink(), "file", 5])
async def test_a_sink_is_made_by_a_callable(sink: Any) -> None:
    """A sink itself, given once for all, is taken for a mistake."""
    async with Client() as client:
        with pytest.raises(TypeError, match="sink takes a callable that is given request and response, not "):
            client.fetch_many([], sink=sink)


@pytest.mark.parametrize("partial", ["file", 5])
async def test_a_beginning_is_found_by_a_callable(partial: Any) -> None:
    """A beginning itself, given once for all, is taken for a mistake, too."""
    async with Client() as client:
        with pytest.raises(TypeError, match="partial takes a callable that is given the request, not "):
            client.fetch_many([], partial=partial)


FIELDS = "headers are a mapping of names to values, or (name, value) pairs"
MISTAKES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"timeouts": 5}, TypeError, "timeouts takes Timeouts(...), not 5"),
    ({"max_body": "hUsh"}, TypeError, "max_body is a number of bytes, not 'hUsh'"),
    ({"max_body": -1}, ValueError, "max_body is a number of bytes from 0 on, not -1"),
    ({"headers": "hush"}, TypeError, FIELDS),
    ({"headers": ["ab"]}, TypeError, FIELDS),
    ({"headers": [("a", "b", "c")]}, TypeError, FIELDS),
    ({"headers": {"a": 1}}, TypeError, "the value of the header 'a' is a str, not of type int"),
    ({"headers": {"a": b"hush"}}, TypeError, "the value of the header 'a' is a str, not of type bytes"),
    ({"headers": {1: "hush"}}, TypeError, "the name of a header is a str, not 1"),
]


@pytest.mark.parametrize(("given", "kind", "sentence"), MISTAKES, ids=repr)
async def test_arguments_of_another_type(
    server: FaultServer, given: dict[str, Any], kind: type[Exception], sentence: str
) -> None:
    """`get`, `stream` and `fetch_many` say what they want; nothing is sent, and nothing is kept."""
    async with Client(retry=ONCE) as client:
        entry = Request(server.url(), **given)
        with pytest.raises(kind) as caught:
            await client.get(server.url(), **given)
        assert str(caught.value) == sentence
        with pytest.raises(kind):
            async with client.stream(entry):
                pass
        with pytest.raises(kind):
            [result async for result in client.fetch_many([entry])]
        assert client._turns.frontier.in_flight == 0
    assert server.seen.connections == 0


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"headers": "x"}, FIELDS),
    ({"headers": {"a": 1}}, "the value of the header 'a' is a str, not of type int"),
    ({"guard": "public"}, "guard takes a callable, such as AddressGuard(public_only=True), not 'public'"),
    ({"trace": 5}, "trace takes Trace(...), not 5"),
    ({"sensitive_headers": [1]}, "sensitive_headers takes names, not 1"),
    ({"hosts": 5}, "hosts takes a mapping of patterns to HostSettings, or a callable, not 5"),
]


@pytest.mark.parametrize(("given", "sentence"), SETTINGS, ids=repr)
def test_settings_of_another_type(given: dict[str, Any], sentence: str) -> None:
    """A client with a mistake in it is not made."""
    with pytest.raises(TypeError) as caught:
        Client(**given)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("digest", "kind", "sentence"),
    [
        (b"0" * 64, TypeError, f"sha256 is a text of 64 hexadecimal digits, not {b'0' * 64!r}"),
        ("0" * 63, ValueError, f"sha256 is 64 hexadecimal digits, not {'0' * 63!r}"),
        ("0" * 64 + "\n", ValueError, f"sha256 is 64 hexadecimal digits, not {'0' * 64 + chr(10)!r}"),
        ("sha256:", ValueError, "sha256 is 64 hexadecimal digits, not 'sha256:'"),
    ],
)
async def test_digests_that_are_none(
    server: FaultServer, digest: Any, kind: type[Exception], sentence: str
) -> None:
    """No body has such a digest: said before anything is sent, not as `body.checksum` of each one."""
    entry = Request(server.url(), sha256=digest)
    async with Client(retry=ONCE) as client:
        with pytest.raises(kind) as caught:
            await client.get(entry)
        assert str(caught.value) == sentence
        with pytest.raises(kind):
            [result async for result in client.fetch_many([entry])]
    assert server.seen.connections == 0


async def test_what_a_program_logs_of_a_client(server: FaultServer) -> None:
    """Client, list and statistics show how far they are, and nothing that was given to them."""
    client = Client(headers={"Authorization": "hush"}, guard=AddressGuard(), retry=ONCE)
    assert repr(client) == "<Client new: 0 done, 0 failed, 0 in flight>"
    async with client:
        results = client.fetch_many([server.url().replace("//", "//me:hush@"), server.url("/cut")])
        assert repr(results) == "<FetchMany not ended>"
        assert len([result async for result in results]) == 2
        assert repr(results) == "<FetchMany ended>"
        assert repr(client) == "<Client open: 2 done, 1 failed, 0 in flight>"
        total = "<HostStats of all hosts: 2 done, 1 failed, 0 in flight>"
        assert repr(client.stats) == f"<Stats: 1 hosts, {client.stats.connections} connections, {total}>"
        [host] = client.stats
        assert repr(host) == f"<HostStats of 127.0.0.1:{server.port}: 2 done, 1 failed, 0 in flight>"
    assert repr(client).startswith("<Client closed: ")
