"""How far a list is read ahead: beyond a full window when that serves other hosts, and never without bound."""

from __future__ import annotations

import asyncio
import os
import resource
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from asyncfetch import Client, Limits, LocalError, Request, Result, Retry
from asyncfetch.client.batch import Batch
from asyncfetch.testing import FaultServer, Reply, SeenRequest

SLOW = "127.0.0.1"
FAST = [f"127.0.0.{number}" for number in range(2, 22)]
LIMITS = Limits(total=20, per_host=2, queued=100, buffered=10)


class Gate:
    """A server whose first address answers only when it is opened; the others answer at once."""

    def __init__(self, server: FaultServer) -> None:
        self.server = server
        self.opened = asyncio.Event()
        server.route("/slow", self._answer)

    async def _answer(self, _: SeenRequest) -> Reply:
        await self.opened.wait()
        return Reply(200, b"x")

    def slow(self, number: int) -> str:
        return self.server.url(f"/slow?{number}", SLOW)

    def fast(self, number: int) -> str:
        return self.server.url(f"/fast?{number}", FAST[number % len(FAST)])


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with FaultServer({"*": Reply(200, b"x")}, addresses=(SLOW, *FAST)) as server:
        gate = Gate(server)
        yield gate
        gate.opened.set()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(limits=LIMITS, retry=Retry(attempts=1)) as client:
        yield client
        assert client._turns.frontier.in_flight == 0
        assert not client._turns.frontier.hosts
        assert not any(host.queued for host in client.stats)


def batch_of(client: Client) -> Batch:
    (batch,) = client._batches
    return batch


def by_host(results: list[Result]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for result in results:
        found[result.url.split("/")[2]].append(result.index)
    return found


async def take_all(results: AsyncIterator[Result], into: list[Result]) -> None:
    """Append every result to a list, so that those that came before an error are seen."""
    async for result in results:
        into.append(result)  # noqa: PERF401


async def take_some(results: AsyncIterator[Result], number: int, into: list[Result]) -> None:
    """Append so many results to a list."""
    while len(into) < number:
        into.append(await anext(results))


class OwnRequest(Request):
    """A request of a kind that only its owner knows: it waits in memory as it is."""


class TestReadingOn:
    async def test_a_slow_host_does_not_starve_who_stands_behind_it(self, gate: Gate, client: Client) -> None:
        """Six windows full of one host, then others: these are done while the first has not answered at all."""
        urls = [gate.slow(n) for n in range(600)] + [gate.fast(n) for n in range(100)]
        results: list[Result] = []
        async with client.fetch_many(urls) as fetching:
            async for result in fetching:
                results.append(result)
                assert client._turns.frontier.in_flight <= 20
                assert fetching._begin().lane.queued <= 2 * LIMITS.queued
                if len(results) == 100:
                    assert all("/fast?" in result.url for result in results)
                    gate.opened.set()
        assert [result.ok for result in results] == [True] * 700
        assert sorted(result.index for result in results) == list(range(1, 701))

    async def test_what_is_on_disk_counts_as_queued(self, gate: Gate, client: Client) -> None:
        """A host's share of the list is seen whole, wherever it waits, by whoever reckons how long it will take."""
        urls = [gate.slow(n) for n in range(600)] + [gate.fast(n) for n in range(100)]
        async with client.fetch_many(urls) as fetching:
            for _ in range(100):
                await anext(fetching)
            slow = client.stats.hosts[f"{SLOW}:{gate.server.port}"]
            assert slow.queued + slow.in_flight == 600

    async def test_every_host_keeps_its_order(self, gate: Gate) -> None:
        """With one request at a time, a host's entries are sent as they stand in the list, from disk or not."""
        limits = Limits(total=30, per_host=1, queued=40)
        hosts = [SLOW, *FAST[:4]]
        urls = [gate.server.url(f"/{n}", hosts[n * n // 7 % 5]) for n in range(700)]
        async with Client(limits=limits) as client:
            results = [result async for result in client.fetch_many(urls)]
        assert len(results) == 700
        assert all(indices == sorted(indices) for indices in by_host(results).values())

    async def test_requests_come_back_as_they_went_in(self, gate: Gate, client: Client) -> None:
        """Headers, contexts of any kind and numbers of their own survive the disk; the wait counts as queue."""
        owned = [object() for _ in range(50)]
        requests = [
            Request(
                gate.slow(number),
                index=10_000 + number,
                headers={"X-Number": str(number)},
                context=owned[number // 10] if number % 10 == 0 and number < 500 else (number,),
            )
            for number in range(600)
        ]
        asyncio.get_running_loop().call_later(0.1, gate.opened.set)
        results = [result async for result in client.fetch_many(requests)]
        assert {result.index: result.request for result in results} == {r.index: r for r in requests}
        last = max(results, key=lambda result: result.index)
        assert (last.timings.queue or 0) > 0.05
        seen = {request.target: request.header("X-Number") for request in gate.server.seen.log}
        assert seen == {f"/slow?{number}": str(number) for number in range(600)}

    @pytest.mark.parametrize(("now", "code"), [("\n", "url.invalid"), (5, None)])
    async def test_one_that_has_changed_meanwhile(
        self, gate: Gate, client: Client, now: object, code: str | None
    ) -> None:
        """What cannot be sent any more when it comes back ends like one that never could, and ends no client."""
        fields: dict[str, Any] = {"X-Number": "1"}
        requests = [OwnRequest(gate.slow(number), headers=fields) for number in range(102)]
        requests += [OwnRequest(gate.fast(number)) for number in range(20)]
        results: list[Result] = []
        fetching = client.fetch_many(requests)
        await take_some(fetching, 20, results)
        fields["X-Number"] = now
        gate.opened.set()
        if code is not None:
            await take_all(fetching, results)
            assert len(results) == 122
            assert {result.code for result in results} == {None, code}
        else:
            with pytest.raises(TypeError, match="the value of the header 'X-Number' is a str"):
                await take_all(fetching, results)
        assert (await client.get(gate.fast(1))).status_code == 200

    @pytest.mark.parametrize("bad", [{"headers": {"X": 5}}, {"max_body": -1}, {"sha256": "short"}])
    async def test_misuse_behind_many_that_wait(self, gate: Gate, client: Client, bad: dict[str, Any]) -> None:
        """What is wrong with an entry is found as it is read: all that came before it has its result."""
        urls = [gate.slow(number) for number in range(600)]
        results: list[Result] = []
        asyncio.get_running_loop().call_later(0.1, gate.opened.set)
        with pytest.raises((TypeError, ValueError)):
            await take_all(client.fetch_many([*urls, Request(gate.slow(600), **bad)]), results)
        assert len(results) == 600

    async def test_a_context_that_is_nested_without_end(self, gate: Gate, client: Client) -> None:
        """It has no bytes, so it stays in memory, and comes back."""
        deep: tuple[Any, ...] = ()
        for _ in range(5000):
            deep = (deep,)
        requests = [Request(gate.slow(number), context=deep) for number in range(600)]
        asyncio.get_running_loop().call_later(0.1, gate.opened.set)
        async with asyncio.timeout(15):
            results = [result async for result in client.fetch_many(requests)]
        assert len(results) == 600
        assert all(result.request.context is deep for result in results)

    async def test_waits_while_all_places_are_in_use(self, gate: Gate) -> None:
        """Reading on would start nothing then: the window is all that is read, and nothing goes to disk."""
        read = []

        def urls() -> Iterator[str]:
            for number in range(500):
                read.append(number)
                yield gate.slow(number)

        async with Client(limits=Limits(total=2, per_host=2, queued=20)) as client:
            fetching = client.fetch_many(urls())
            waiting = asyncio.ensure_future(anext(fetching))
            await asyncio.sleep(0.05)
            assert len(read) <= 2 + 20 + 1
            assert batch_of(client)._window._backlog is None
            gate.opened.set()
            await waiting
            await fetching.aclose()

    async def test_a_waiting_source_goes_on_when_places_become_free(self, gate: Gate) -> None:
        """A full window and no free place: when a place is free and nothing may go, the next hosts are read."""
        limits = Limits(total=4, per_host=2, queued=20)
        urls = [gate.slow(n) for n in range(10)] + [gate.fast(0)] * 30
        urls += [gate.slow(n) for n in range(100)] + [gate.fast(n) for n in range(60)]
        async with Client(limits=limits) as client, client.fetch_many(urls) as fetching:
            fast = [await anext(fetching) for _ in range(90)]
            assert all("/fast?" in result.url for result in fast)
            gate.opened.set()
            assert len([result async for result in fetching]) == 110

    async def test_an_async_source_is_read_on_too(self, gate: Gate, client: Client) -> None:
        """It makes no difference who gives the entries."""

        async def urls() -> AsyncIterator[str]:
            for number in range(1000):
                yield gate.slow(number)
            await asyncio.sleep(0)
            yield gate.fast(1)

        async with client.fetch_many(urls()) as fetching:
            assert (await anext(fetching)).index == 1001


class TestBounds:
    async def test_an_endless_source_is_read_as_far_as_the_file_may_grow(self, gate: Gate) -> None:
        """Then it waits, and goes on when everything in the file has had its turn."""
        read = count(1)
        limits = Limits(total=20, per_host=2, queued=50, overflow=50_000)
        async with Client(limits=limits) as client:
            async with client.fetch_many(gate.slow(next(read)) for _ in count()) as fetching:
                waiting = asyncio.ensure_future(anext(fetching))
                async with asyncio.timeout(5):
                    while not batch_of(client)._window._is_overfull:
                        await asyncio.sleep(0.001)
                first = next(read)
                await asyncio.sleep(0.02)
                assert next(read) == first + 1
                assert first < 1500
                gate.opened.set()
                await waiting
                async for result in fetching:
                    if result.index > first + 100:
                        break
            assert not client._batches

    async def test_contexts_that_cannot_be_written_are_bounded(self, gate: Gate, client: Client) -> None:
        """Their owner's objects stay in memory, as many as the window is long; then the source waits."""
        read = count()
        requests = (Request(gate.slow(next(read)), context=[]) for _ in range(800))
        async with client.fetch_many(requests) as fetching:
            waiting = asyncio.ensure_future(anext(fetching))
            await asyncio.sleep(0.05)
            assert next(read) <= 3 * LIMITS.queued
            gate.opened.set()
            await waiting
            assert len([result async for result in fetching]) == 799

    async def test_many_hosts_with_little_each_fill_twice_the_window(self, gate: Gate) -> None:
        """What cannot be thinned out is bounded all the same."""
        limits = Limits(total=1000, per_host=1, queued=100)
        read: list[int] = []

        def urls() -> Iterator[str]:
            for n in count():
                read.append(n)
                yield f"http://127.0.{1 + n // 200}.{1 + n % 200}:9/"

        async with Client(limits=limits) as client, client.fetch_many(urls()) as fetching:
            for host in range(1, 4):
                for number in range(1, 201):  # they want to be left alone, before anything is sent
                    state = client._turns.frontier.host(f"127.0.{host}.{number}:9")
                    state.pause(client._loop.time() + 1000, "test")
            waiting = asyncio.ensure_future(anext(fetching))
            async with asyncio.timeout(20):
                while len(read) < 200:
                    await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)
            assert len(read) <= 205
            waiting.cancel()
            await asyncio.wait([waiting])

    async def test_without_overflow_the_window_is_all(self, gate: Gate) -> None:
        """`Limits(overflow=0)` never writes a file: the source waits, as it does where no file can be made."""
        read = count()
        urls = (gate.slow(next(read)) for _ in range(500))
        async with Client(limits=Limits(per_host=2, queued=50, overflow=0)) as client:
            fetching = client.fetch_many(urls)
            waiting = asyncio.ensure_future(anext(fetching))
            await asyncio.sleep(0.05)
            assert next(read) <= 2 + 50 + 1
            gate.opened.set()
            await waiting
            assert len([result async for result in fetching]) == 499


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestEnding:
    async def test_a_full_disk_ends_the_list_with_an_error(self, gate: Gate, client: Client) -> None:
        """What is in flight comes first; then the loop raises which directory, why, and what to do."""
        results: list[Result] = []
        fetching = client.fetch_many(gate.slow(number) for number in range(20_000))
        taking = asyncio.ensure_future(take_all(fetching, results))
        with files_of_at_most(10_000):
            async with asyncio.timeout(5):
                while not client._batches or not batch_of(client).stopping:
                    await asyncio.sleep(0.001)
        gate.opened.set()
        with pytest.raises(LocalError, match=r"kept in '.*': file too large; make room"):
            await taking
        assert [result.ok for result in results] == [True, True]

    async def test_a_file_that_cannot_be_read_back_ends_it_too(self, gate: Gate, client: Client) -> None:
        """Nothing is skipped in silence."""
        async with client.fetch_many(gate.slow(number) for number in range(5000)) as fetching:
            waiting = asyncio.ensure_future(anext(fetching))
            window = batch_of(client)._window
            async with asyncio.timeout(5):
                while not batch_of(client)._source_ended:
                    await asyncio.sleep(0.001)
            assert window._backlog is not None
            os.ftruncate(window._backlog._overflow._file.fileno(), 100)
            gate.opened.set()
            await waiting
            with pytest.raises(LocalError, match="input/output error"):
                await take_all(fetching, [])

    @pytest.mark.parametrize("how", ["stop", "aclose", "close the client"])
    async def test_leaving_early_gives_the_file_back(self, gate: Gate, how: str) -> None:
        """However a list ends, its file is closed and nothing of it is counted any more."""
        async with Client(limits=LIMITS) as client:
            fetching = client.fetch_many(gate.slow(number) for number in range(2000))
            waiting = asyncio.ensure_future(anext(fetching))
            await asyncio.sleep(0)
            window = batch_of(client)._window
            async with asyncio.timeout(5):
                while window._backlog is None or not window._backlog.counts():
                    await asyncio.sleep(0.001)
            file = window._backlog._overflow._file
            if how == "stop":
                fetching.stop()
                gate.opened.set()
                await waiting
                assert len([result async for result in fetching]) == 1
            elif how == "aclose":
                await fetching.aclose()
                await asyncio.wait([waiting])
            else:
                await client.aclose()
                with pytest.raises(RuntimeError, match="closed"):
                    await waiting
            assert file.closed
            assert not client._batches

    async def test_the_end_of_a_list_closes_the_file(self, gate: Gate, client: Client, tmp_path: Path) -> None:
        """The descriptor is given back with the last result."""
        gate.opened.set()
        fetching = client.fetch_many(gate.slow(number) for number in range(1000))
        await anext(fetching)
        window = batch_of(client)._window
        assert len([result async for result in fetching]) == 999
        assert window._backlog is None
