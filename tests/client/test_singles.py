"""Requests in their caller's own task: cancelled with it, and called off when the client closes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from asyncfetch import Cancelled, Client, Limits, Retry
from asyncfetch.testing import FaultServer, Reply, Script, Send, Silence


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    """A server with a good and a silent path."""
    async with FaultServer({"/": Reply(200, b"x"), "/silent": Script(Silence())}) as server:
        yield server


async def test_give_their_place_to_who_waits(server: FaultServer) -> None:
    """The place of a request that is over is given out at once, by itself."""
    async with Client(limits=Limits(total=1)) as client:
        async with asyncio.timeout(5):
            responses = await asyncio.gather(*(client.get(server.url()) for _ in range(20)))
        assert [response.content for response in responses] == [b"x"] * 20
        assert not client._singles._running


async def test_are_forgotten_when_their_task_is_cancelled(server: FaultServer) -> None:
    """What was cancelled by its own program is a CancelledError, and nothing is kept of it."""
    async with Client() as client:
        task = asyncio.create_task(client.get(server.url("/silent")))
        while not server.seen.in_progress:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not client._singles._running
        assert not client._singles._called_off


@pytest.mark.parametrize("kind", ["get", "stream"])
async def test_are_called_off_when_the_client_closes(server: FaultServer, kind: str) -> None:
    """The error says why and where; the task itself goes on, and is not left half cancelled."""
    server.route("/half", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"), Silence()))
    caught: list[BaseException] = []

    async def fetch(client: Client) -> int:
        try:
            if kind == "get":
                await client.get(server.url("/half"))
            else:
                async with client.stream(server.url("/silent")):
                    pytest.fail("there is no response")
        except Cancelled as error:
            caught.append(error)
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(0)
        return task.cancelling()

    async with Client(retry=Retry(attempts=1)) as client:
        task = asyncio.create_task(fetch(client))
        while not server.seen.in_progress:
            await asyncio.sleep(0.001)
    assert await task == 0
    assert (
        str(caught[0]) == server.url("/half" if kind == "get" else "/silent") + ": the client was closed meanwhile"
    )
    assert client._turns.frontier.in_flight == 0


async def test_are_called_off_at_every_step(server: FaultServer) -> None:
    """Whenever the client closes, a request either has its response or says that it was called off."""
    done = False
    steps = 0
    while not done:
        async with Client(limits=Limits(total=1)) as client:
            tasks = [asyncio.create_task(client.get(server.url())) for _ in range(2)]
            for _ in range(steps):
                await asyncio.sleep(0)
            done = all(task.done() for task in tasks)
        for task in tasks:
            await asyncio.wait([task])
            assert not task.cancelled()
            assert isinstance(task.exception(), Cancelled | RuntimeError | None)
        assert client._turns.frontier.in_flight == 0
        steps += 1
    assert steps > 5
