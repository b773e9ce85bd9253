"""The one-liners: each with a client of its own that is gone afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

import asyncfetch
from asyncfetch import InvalidURL, Limits, Request
from asyncfetch.testing import FaultServer, Reply


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    """A server in the loop of the test."""
    async with FaultServer({"*": Reply(200, b"x", delay=0.001)}) as server:
        yield server


async def test_get(server: FaultServer) -> None:
    """One URL, its response."""
    assert (await asyncfetch.get(server.url())).content == b"x"
    assert (await asyncfetch.get(Request(server.url(), method="HEAD"))).content == b""
    with pytest.raises(InvalidURL):
        await asyncfetch.get("nonsense")


async def test_fetch_many(server: FaultServer) -> None:
    """Many URLs, a result for each, under the limits that were given."""
    urls = [server.url(f"/{n}") for n in range(20)]
    seen = [result.index async for result in asyncfetch.fetch_many(urls, limits=Limits(per_host=3))]
    assert sorted(seen) == list(range(1, 21))
    assert server.seen.most_at_once <= 3


async def test_fetch_many_left_early(server: FaultServer) -> None:
    """With `aclosing` everything is given back when the block is left; otherwise soon afterwards."""
    urls = [server.url(f"/{n}") for n in range(1000)]
    async with aclosing(asyncfetch.fetch_many(urls)) as results:
        async for _ in results:
            break
    assert "asyncfetch-client" not in {task.get_name() for task in asyncio.all_tasks()}
    async for _ in asyncfetch.fetch_many(urls):
        break
    async with asyncio.timeout(5):
        while "asyncfetch-client" in {task.get_name() for task in asyncio.all_tasks()}:
            await asyncio.sleep(0.001)
    assert server.seen.requests < 500


def test_run(fault_server: FaultServer) -> None:
    """Without an event loop: all results, in the order of the URLs."""
    fault_server.route(
        "*", lambda request: Reply(200, request.path.encode(), delay=0.01 if request.path == "/0" else 0)
    )
    results = asyncfetch.run((fault_server.url(f"/{n}") for n in range(10)), limits=Limits(total=5))
    assert [result.response.content for result in results if result.response] == [b"/%d" % n for n in range(10)]
    assert [result.index for result in results] == list(range(1, 11))


async def test_run_inside_a_loop(server: FaultServer) -> None:
    """Where a loop is running already, it says so."""
    with pytest.raises(RuntimeError, match="use fetch_many"):
        asyncfetch.run([server.url()])
