"""Everything at once, by chance: whatever is mixed, left, cancelled and closed, nothing is lost or kept."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import anyio
import pytest

from asyncfetch import Client, FetchError, Limits, Request, Response, Result, Retry, Timeouts
from asyncfetch.client import Sink
from asyncfetch.testing import Answer, Close, FaultServer, Reply, Reset, Script, Send, Sequence, Silence, redirect

HOSTS = [f"127.0.0.{n}" for n in range(1, 6)]
HALF = Send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


def make_routes() -> dict[str, Answer]:
    """Return good, slow, failing, moving and busy answers."""
    return {
        "/ok": Reply(200, b"x" * 100),
        "/large": Reply(200, b"y" * 100_000, chunked=5000),
        "/gzip": Reply(200, b"z" * 10_000, gzip=True),
        "/slow": Reply(200, b"s", delay=0.01),
        "/cut": Script(HALF, Close()),
        "/half": Script(HALF, Silence()),
        "/reset": Script(Reset()),
        "/nonsense": Script(Send(b"nonsense\r\n\r\n")),
        "/silent": Script(Silence()),
        "/moved": redirect("/ok"),
        "/loop": redirect("/loop"),
        "/busy": Sequence(*[Reply(503 if n % 2 else 200) for n in range(1000)]),
        "/wait": Sequence(*[Reply(429, headers={"Retry-After": "1"}) if n % 3 else Reply() for n in range(1000)]),
        "/gone": Reply(404, b"no"),
        "/last": Reply(200, b"c", keep_alive=False),
    }


class CountedSink(Sink):
    """A sink that fails now and then, and has to be ended once."""

    def __init__(self, chance: random.Random, open_sinks: list[int]) -> None:
        self._chance = chance
        self._open = open_sinks
        self._open[0] += 1
        self._ended = False

    async def write(self, chunk: bytes) -> None:
        assert not self._ended
        await asyncio.sleep(0)
        if self._chance.random() < 0.02:
            raise OSError("the disk is full")

    async def finish(self) -> None:
        self._end()

    async def abort(self) -> None:
        await asyncio.sleep(0)
        self._end()

    def _end(self) -> None:
        assert not self._ended
        self._ended = True
        self._open[0] -= 1


class Mix:
    """What one client is made to do, as chance will have it."""

    def __init__(self, chance: random.Random, server: FaultServer, client: Client) -> None:
        self.chance = chance
        self.server = server
        self.client = client
        self.open_sinks = [0]
        self.paths = ["/ok", "/ok", *make_routes()]

    def url(self) -> str:
        if self.chance.random() < 0.03:
            return "nonsense"
        return self.server.url(self.chance.choice(self.paths), self.chance.choice(HOSTS))

    async def get(self) -> None:
        with suppress(FetchError):
            await self.client.get(self.url())

    async def stream(self) -> None:
        with suppress(FetchError):
            async with self.client.stream(self.url()) as response:
                async for _ in response.aiter_bytes():
                    if self.chance.random() < 0.2:
                        return

    def make_sink(self, request: Request, response: Response) -> Sink | None:
        return CountedSink(self.chance, self.open_sinks) if self.chance.random() < 0.5 else None

    async def source(self, number: int) -> AsyncIterator[str]:
        for _ in range(number):
            if self.chance.random() < 0.1:
                await asyncio.sleep(0.001)
            yield self.url()

    async def whole_list(self) -> None:
        number = self.chance.choice([1, 5, 40])
        results = self.client.fetch_many(self.source(number), sink=self.make_sink)
        assert sorted([result.index async for result in results]) == list(range(1, number + 1))

    async def part_of_a_list(self) -> None:
        results = self.client.fetch_many([self.url() for _ in range(40)], sink=self.make_sink)
        end = self.chance.choice(["break", "stop", "aclose"])
        seen: list[Result] = []
        async for result in results:
            seen.append(result)
            if len(seen) < 5:
                continue
            if end == "break":
                break
            if end == "stop":
                results.stop()
            else:
                await results.aclose()
        assert len({result.index for result in seen}) == len(seen)

    async def anything(self) -> None:
        """Do something, and perhaps cancel it on the way."""
        doings: list[Callable[[], Awaitable[None]]] = [self.get, self.stream, self.whole_list, self.part_of_a_list]
        doing = self.chance.choice(doings)
        how = self.chance.random()
        if how < 0.25:
            with anyio.move_on_after(self.chance.random() * 0.03):
                await doing()
        elif how < 0.5:
            task = asyncio.ensure_future(doing())
            for _ in range(self.chance.randint(0, 60)):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        else:
            await doing()

    async def anything_or_closed(self) -> None:
        with suppress(RuntimeError, FetchError):
            await self.anything()

    async def settle(self) -> None:
        """See that nothing is under way or kept."""
        gc.collect()
        client = self.client
        async with asyncio.timeout(5):
            while client._batches or client._turns.frontier.in_flight:
                await asyncio.sleep(0.001)
        assert client.stats.total.in_flight == 0
        assert all(host.in_flight == 0 for host in client.stats)
        assert client._pool.in_use == 0
        assert not client._singles._running
        assert not client._turns.single.queues
        assert self.open_sinks == [0]


@pytest.mark.slow
@pytest.mark.parametrize("is_closed_early", [False, True])
@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_and_nothing_is_kept(seed: int, is_closed_early: bool) -> None:
    """After a mix of everything, limits were kept, places and sinks are given back, and requests are served."""
    chance = random.Random(seed)
    limits = Limits(
        total=chance.choice([1, 2, 5, 20]),
        per_host=chance.choice([1, 2, 6]),
        queued=chance.choice([1, 3, 50]),
        buffered=chance.choice([1, 3, 50]),
        idle_total=chance.choice([0, 2, 512]),
    )
    retry = Retry(attempts=chance.choice([1, 3]), backoff=0.002, max_wait=0.005, wait_budget=5)
    timeouts = Timeouts(head=0.03, read=0.03)
    async with FaultServer(make_routes(), addresses=HOSTS, close_after=chance.choice([None, 3])) as server:
        async with Client(limits=limits, retry=retry, timeouts=timeouts) as client:
            mix = Mix(chance, server, client)
            if is_closed_early:
                tasks = [asyncio.create_task(mix.anything_or_closed()) for _ in range(15)]
                await asyncio.sleep(chance.random() * 0.1)
                await client.aclose()
                done, running = await asyncio.wait(tasks, timeout=5)
                assert not running
                for task in done:
                    task.result()
            else:
                async with asyncio.timeout(60):
                    await asyncio.gather(*(mix.anything() for _ in range(15)))
            await mix.settle()
            for _ in range(0 if is_closed_early else 10):
                assert (await client.get(server.url("/ok"))).status_code == 200
        assert server.seen.most_at_once <= limits.total
        assert all(host.most_at_once <= limits.per_host for host in server.seen.by_host.values())
