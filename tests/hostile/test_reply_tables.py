"""The tables of replies on real sockets: whole, in single bytes, cut everywhere, and each with a request behind it.

What each reply means is in the tables of `tests/streams`. Here a client reads them from a server, and the request
that follows must get its own answer, whatever the reply before it was, and wherever that broke off.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asyncfetch import Client, IncompleteMessage, MalformedMessage, Request, Retry
from asyncfetch.testing import Close, Drip, FaultServer, Pause, Reply, Reset, Script, Send
from asyncfetch.testing.scripts import Step
from tests.streams.test_body import BROKEN, UNTIL_CLOSE, WHOLE, answer, chunked
from tests.streams.test_http1 import BAD, FRAMINGS

pytestmark = pytest.mark.slow

OWN = b"its own answer"
STRAY = Reply(200, b"stray").encode()
ENDS: dict[str, Step] = {"close": Close(), "reset": Reset()}

MALFORMED = {
    **{f"head: {name}": raw for name, raw in BAD.items()},
    **{f"chunks: {name}": chunked(raw) for name, raw in BROKEN.items()},
    **{
        f"framing: {fields[:60]}": answer(fields, b"hello")
        for fields, meaning in FRAMINGS.items()
        if meaning is None
    },
}


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    async with FaultServer({"/next": Reply(200, OWN)}) as server:
        yield server


@pytest.fixture
async def client(server: FaultServer) -> AsyncIterator[Client]:
    async with Client(retry=Retry(attempts=1)) as client:
        yield client


async def get_next(client: Client, server: FaultServer) -> bool:
    """Send the request behind another one, and say whether it went over the same connection."""
    response = await client.get(server.url("/next"))
    assert (response.status_code, response.content) == (200, OWN)
    return response.reused


@pytest.mark.parametrize("name", WHOLE)
async def test_whole_replies(server: FaultServer, client: Client, name: str) -> None:
    """A whole reply is read whole and byte by byte; its connection is used again exactly where it may be."""
    raw, method, content, reusable = WHOLE[name]
    request = Request(server.url("/"), method="HEAD" if method == "HEAD" else "GET")
    end = [Close()] if name in UNTIL_CLOSE else []
    for step in (Send(raw), Drip(raw, every=0.0)):
        server.route("/", Script(step, *end))
        assert (await client.get(request)).content == content
        assert await get_next(client, server) is reusable
    if not end:
        server.route("/", Script(Send(raw + STRAY)))
        assert (await client.get(request)).content == content
        assert not await get_next(client, server)
    assert not server.seen.malformed


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", WHOLE)
async def test_cut_replies(server: FaultServer, client: Client, name: str, end: str) -> None:
    """Cut at any byte, by an end or a reset, a reply is no success, but for a body that its end does end."""
    raw, method, content, _ = WHOLE[name]
    request = Request(server.url("/"), method="HEAD" if method == "HEAD" else "GET")
    head = raw.index(b"\r\n\r\n") + 4
    every = 2 if end == "close" else 16  # a reset waits for the kernel's ACK, which is late on a used connection
    for cut in range(len(raw) + (name in UNTIL_CLOSE)):
        server.route("/", Script(Send(raw[:cut]), ENDS[end]))
        if name in UNTIL_CLOSE and cut >= head and end == "close":
            assert (await client.get(request)).content == content[: cut - head]
        else:
            with pytest.raises(IncompleteMessage):
                await client.get(request)
        assert not await get_next(client, server)
        if cut % every:  # the others go over the connection that is idle now
            client._pool.drop_idle()
    assert not server.seen.malformed


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_replies(server: FaultServer, client: Client, name: str) -> None:
    """What breaks a rule is malformed, whole and byte by byte, and no part of it is a success."""
    raw = MALFORMED[name]
    for step in (Send(raw), Drip(raw[:300], every=0.0), Send(raw + STRAY)):
        rest = raw[300:] if isinstance(step, Drip) else b""
        server.route("/", Script(step, Send(rest)))
        with pytest.raises(MalformedMessage) as caught:
            await client.get(server.url())
        assert caught.value.code == "protocol.malformed"
        assert not await get_next(client, server)
    for cut in range(min(len(raw), 300)):
        server.route("/", Script(Send(raw[:cut]), Close()))
        with pytest.raises((MalformedMessage, IncompleteMessage)):
            await client.get(server.url())
        assert not await get_next(client, server)
        if cut % 2:
            client._pool.drop_idle()
    assert not server.seen.malformed


async def test_an_answer_that_was_given_up_is_nobodys(server: FaultServer, client: Client) -> None:
    """The rest of an answer that nobody waited for goes with its connection."""
    server.route(
        "/", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nha"), Pause(0.01), Send(b"lf" + STRAY))
    )
    for _ in range(5):
        async with client.stream(server.url()) as response:
            assert response.status_code == 200
        assert not await get_next(client, server)
        client._pool.drop_idle()
