"""Which request gets which answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncfetch.testing import Answer, Close, FaultServer, Reply, Script, SeenRequest, Send, Sequence, throttle

if TYPE_CHECKING:
    from tests.testing.conftest import RawClient


def _body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def _failing(request: SeenRequest) -> Answer:
    raise LookupError(request.path)


def _status(answer: bytes) -> int:
    return int(answer.split()[1])


async def test_path_chooses_the_answer_and_the_query_does_not(raw: RawClient) -> None:
    """A route is a path without query."""
    async with FaultServer({"/a": Reply(200, b"a"), "/b": Reply(200, b"b")}) as server:
        assert _body(await raw.last(server, "/a?x=/b")) == b"a"
        assert _body(await raw.last(server, "/b")) == b"b"


async def test_unknown_path_gets_404_or_the_default(raw: RawClient) -> None:
    """Without a route for "*" other paths are not found."""
    async with FaultServer({"/a": Reply(200, b"a")}) as server:
        assert _status(await raw.last(server, "/x")) == 404
        server.route("*", Reply(200, b"any"))
        assert _body(await raw.last(server, "/x")) == b"any"
        assert _body(await raw.last(server, "/a")) == b"a"


@pytest.mark.parametrize("path", ["", "a", "http://x/"])
def test_route_is_a_path(path: str) -> None:
    """A route that no request could reach is refused."""
    with pytest.raises(ValueError, match="path"):
        FaultServer({path: Reply()})


async def test_sequence_goes_on_with_every_request_and_repeats_the_last(raw: RawClient) -> None:
    """The n-th request gets the n-th answer, on whichever connection."""
    async with FaultServer({"/": Sequence(Reply(500), Script(Send(b"x"), Close()), Reply(200))}) as server:
        answers = [await raw.last(server) for _ in range(4)]
        assert answers[1] == b"x"
        assert [_status(answers[number]) for number in (0, 2, 3)] == [500, 200, 200]


async def test_sequence_counts_concurrent_requests_once_each(raw: RawClient) -> None:
    """Of many requests at once exactly one gets each answer."""
    async with FaultServer({"/": Sequence(Reply(503), Reply(502), Reply(200))}) as server:
        statuses = [_status(answer) for answer in await asyncio.gather(*(raw.last(server) for _ in range(20)))]
        assert sorted(statuses) == [200] * 18 + [502, 503]


async def test_sequence_counts_for_each_route_and_server(raw: RawClient) -> None:
    """One sequence on two routes, or on two servers, is two sequences; setting the route again starts again."""
    sequence = Sequence(Reply(500), Reply(200))
    for _ in range(2):
        async with FaultServer({"/a": sequence, "/b": sequence}) as server:
            for path in ("/a", "/b", "/a"):
                last = _status(await raw.last(server, path))
            assert last == 200
            assert server.seen.by_path == {"/a": 2, "/b": 1}
            server.route("/a", sequence)
            assert _status(await raw.last(server, "/a")) == 500
            assert _status(await raw.last(server, "/b")) == 200


async def test_callable_is_given_the_request(raw: RawClient) -> None:
    """A function sees the request and returns its answer, which may be any kind of answer."""

    def echo(request: SeenRequest) -> Answer:
        if request.method == "HEAD":
            return Sequence(Reply(204))
        return Reply(200, f"{request.target} {request.header('host')}".encode())

    async with FaultServer({"/": echo}) as server:
        assert _body(await raw.last(server, "/?q")) == b"/?q test"
        assert _status(await raw.ask(server, raw.get("/", "Connection: close", method="HEAD"))) == 204


async def test_async_callable_may_wait(raw: RawClient) -> None:
    """An async function can hold the answer until the test lets it go."""
    gate = asyncio.Event()

    async def held(request: SeenRequest) -> Answer:
        await gate.wait()
        return Reply(200, b"now")

    async with FaultServer({"/": held}) as server:
        answers = [asyncio.ensure_future(raw.last(server)) for _ in range(3)]
        await raw.until(lambda: server.seen.in_progress == 3)
        gate.set()
        assert [_body(answer) for answer in await asyncio.gather(*answers)] == [b"now"] * 3


async def test_failing_callable_is_a_500_and_an_error_at_the_end(raw: RawClient) -> None:
    """A mistake in a test's own function does not hide in an answer."""
    with pytest.raises(ExceptionGroup) as caught:
        async with FaultServer({"/": _failing}) as server:
            assert _status(await raw.last(server)) == 500
    assert [repr(error) for error in caught.value.exceptions] == ["LookupError('/')"]


async def test_what_is_no_answer_is_an_error_at_the_end(raw: RawClient) -> None:
    """A route to something that is no answer gets 500."""
    with pytest.raises(ExceptionGroup, match="callable"):
        async with FaultServer({"/": b"text"}) as server:  # type: ignore[dict-item]
            assert _status(await raw.last(server)) == 500


async def test_error_of_the_test_goes_before_that_of_a_callable(raw: RawClient) -> None:
    """What the test itself raises is not replaced."""

    async def block() -> None:
        async with FaultServer({"/": _failing}) as server:
            await raw.last(server)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await block()


async def test_throttle_refuses_what_is_too_much_on_one_host(raw: RawClient) -> None:
    """Over the limit of one host requests get 429 with Retry-After, and the other host is not affected."""
    gate = asyncio.Event()

    async def held(request: SeenRequest) -> Answer:
        await gate.wait()
        return Reply(200)

    routes = {"/": throttle(2, held, retry_after=1.5)}
    async with FaultServer(routes, addresses=("127.0.0.1", "127.0.0.2")) as server:
        inside = [asyncio.ensure_future(raw.last(server)) for _ in range(2)]
        await raw.until(lambda: server.seen.in_progress == 2)
        refused = await raw.last(server)
        assert _status(refused) == 429
        assert b"\r\nRetry-After: 1.5\r\n" in refused
        inside.append(asyncio.ensure_future(raw.last(server, host="127.0.0.2")))
        await raw.until(lambda: server.seen.in_progress == 3)
        gate.set()
        assert [_status(answer) for answer in await asyncio.gather(*inside)] == [200] * 3


def test_throttle_without_retry_after_sends_none() -> None:
    """The field is there only if it was asked for."""
    refusal = throttle(0, Reply()).at(1)
    assert isinstance(refusal, Reply)
    assert b"Retry-After" not in refusal.encode()
