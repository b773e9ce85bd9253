"""The results of a list, as their caller has them: begun when they are wanted, given once, ended in order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from asyncfetch import Client, Limits
from asyncfetch.testing import FaultServer, Reply


@pytest.fixture(autouse=True)
def answers(fault_server: FaultServer) -> None:
    fault_server.route("*", Reply(200, b"x"))


async def test_nothing_begins_before_it_is_wanted(fault_server: FaultServer) -> None:
    """The source is not read before the first result is asked for; a block that is entered asks, too."""
    read: list[int] = []

    def urls() -> Iterator[str]:
        for n in range(3):
            read.append(n)
            yield fault_server.url(f"/{n}")

    async with Client() as client:
        results = client.fetch_many(urls())
        assert (read, repr(results)) == ([], "<FetchMany not ended>")
        assert len([result async for result in results]) == 3
        assert (read, repr(results)) == ([0, 1, 2], "<FetchMany ended>")
        async with client.fetch_many(urls()) as results:
            await anext(results)
        assert len(read) > 3


async def test_results_are_given_once(fault_server: FaultServer) -> None:
    """After the last one there is nothing more, however often somebody asks."""
    async with Client() as client:
        results = client.fetch_many([fault_server.url()])
        assert [result.ok async for result in results] == [True]
        assert [result async for result in results] == []
        with pytest.raises(StopAsyncIteration):
            await anext(results)


@pytest.mark.parametrize("has_begun", [False, True])
async def test_closed_it_gives_nothing_more(fault_server: FaultServer, has_begun: bool) -> None:
    """Whether it had begun or not; closing it again does no harm."""
    async with Client(limits=Limits(total=2)) as client:
        results = client.fetch_many(fault_server.url(f"/{n}") for n in range(1000))
        if has_begun:
            await anext(results)
        await results.aclose()
        await results.aclose()
        assert [result async for result in results] == []
        assert repr(results) == "<FetchMany ended>"
        assert client.stats.total.in_flight == 0
    assert fault_server.seen.requests < 1000


async def test_stopped_before_it_begins_it_is_empty(fault_server: FaultServer) -> None:
    """Nothing is read or sent."""
    async with Client() as client:
        results = client.fetch_many([fault_server.url()])
        results.stop()
        assert [result async for result in results] == []
    assert fault_server.seen.requests == 0


async def test_dropped_it_ends_by_itself(fault_server: FaultServer) -> None:
    """Whoever breaks the loop and keeps nothing has ended the list."""
    async with Client(limits=Limits(total=2)) as client:
        async for _ in client.fetch_many(fault_server.url(f"/{n}") for n in range(1000)):
            break
    assert fault_server.seen.requests < 1000
