"""Turns meet the event loop: places are given out again whoever freed them, and a clock wakes when time decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from random import Random
from typing import Any

import pytest

from asyncfetch import Cancelled, Client, HostState, Limits, Retry
from asyncfetch.testing import (
    Answer,
    Close,
    FaultServer,
    Reply,
    Script,
    SeenRequest,
    Send,
    Sequence,
    Silence,
    redirect,
)

ONCE = Retry(attempts=1)


class Given(Random):
    """Chance that gives what it was given, in seconds."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self._values = list(values)

    def uniform(self, a: float, b: float) -> float:
        return self._values.pop(0)


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    """A server on two addresses that answers everything."""
    routes: dict[str, Answer] = {"*": Reply(200, b"x"), "/silent": Script(Silence())}
    async with FaultServer(routes, addresses=("127.0.0.1", "127.0.0.2")) as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client with one place, so that every place that is lost is missed."""
    async with Client(limits=Limits(total=1), retry=ONCE) as client:
        yield client
        assert client._turns.frontier.in_flight == 0
        assert client.stats.total.in_flight == 0


async def serves(client: Client, server: FaultServer, number: int = 10) -> None:
    """See that the client still has its place, for single requests and for lists."""
    async with asyncio.timeout(5):
        for n in range(number):
            assert (await client.get(server.url(f"/{n}"))).content == b"x"
        urls = [server.url(f"/{n}") for n in range(number)]
        assert len([result async for result in client.fetch_many(urls)]) == number


class TestPlaces:
    """However a turn ends, whoever waits for the place has it next."""

    @pytest.mark.parametrize("path", ["/", "/gone", "/cut", "/stream"])
    async def test_of_single_requests(self, server: FaultServer, client: Client, path: str) -> None:
        """A response, a status, an error, a stream."""
        server.route("/gone", Reply(404))
        server.route("/cut", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), Close()))

        async def fetch() -> None:
            if path == "/stream":
                async with client.stream(server.url(path)) as response:
                    await response.aread()
            else:
                await client.get(server.url(path))

        async with asyncio.timeout(5):
            await asyncio.gather(*(fetch() for _ in range(10)), return_exceptions=True)
        await serves(client, server)

    async def test_of_a_request_that_is_cancelled(self, server: FaultServer, client: Client) -> None:
        """In flight, and while it waits for its turn; the list behind it goes on."""
        flying = asyncio.create_task(client.get(server.url("/silent")))
        waiting = asyncio.create_task(client.get(server.url("/never")))
        results = client.fetch_many([server.url()])
        behind = asyncio.create_task(anext(results))
        while not server.seen.in_progress:
            await asyncio.sleep(0.001)
        waiting.cancel()
        flying.cancel()
        assert (await asyncio.wait_for(behind, 5)).ok
        await asyncio.wait([flying, waiting])
        assert server.seen.by_path["/never"] == 0
        await serves(client, server)

    async def test_of_a_list_go_to_single_requests(self, server: FaultServer, client: Client) -> None:
        """Lists and single requests take turns, so that nobody waits for a whole list."""
        results = client.fetch_many([server.url(f"/list{n}") for n in range(1000)])
        await anext(results)
        await asyncio.wait_for(client.get(server.url()), 5)
        assert server.seen.requests < 10
        await results.aclose()

    @pytest.mark.parametrize("steps", range(12))
    async def test_of_a_turn_that_was_just_given(self, server: FaultServer, client: Client, steps: int) -> None:
        """A turn may come in the very step in which its request is cancelled."""
        first = asyncio.create_task(client.get(server.url("/1")))
        second = asyncio.create_task(client.get(server.url("/2")))
        while not first.done():
            await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        tasks = [asyncio.create_task(client.get(server.url(f"/{n}"))) for n in range(4)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks[1:]:
            task.cancel()
        await asyncio.wait(tasks)
        await serves(client, server, 2)

    async def test_of_requests_that_are_cancelled_at_every_step(self, server: FaultServer, client: Client) -> None:
        """A get and a stream, alone and behind another one: after any number of steps everything is given back."""

        async def get() -> None:
            await client.get(server.url("/1"))

        async def stream() -> None:
            async with client.stream(server.url("/2")) as response:
                await response.aread()

        for run in (get, stream):
            finished = False
            for steps in count():
                tasks = [asyncio.create_task(run()), asyncio.create_task(run())]
                for _ in range(steps):
                    await asyncio.sleep(0)
                finished = tasks[1].done()
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                assert client._turns.frontier.in_flight == 0
                assert client._pool.in_use == 0
                assert not client._singles._running
                if finished:
                    break
        await serves(client, server, 100)
        async with asyncio.timeout(5):
            while server.seen.open_connections > client._pool.idle:
                await asyncio.sleep(0.001)

    async def test_of_new_connections_that_are_cancelled_at_every_step(self, server: FaultServer) -> None:
        """The same without idle connections, so that connecting is cut short, too."""
        async with Client(limits=Limits(total=1, idle_total=0), retry=ONCE) as client:
            for steps in count():
                task = asyncio.create_task(client.get(server.url()))
                for _ in range(steps):
                    await asyncio.sleep(0)
                finished = task.done()
                task.cancel()
                await asyncio.wait([task])
                assert client._turns.frontier.in_flight == 0
                assert client._pool.in_use == 0
                if finished:
                    break
            await serves(client, server, 5)
            async with asyncio.timeout(5):
                while server.seen.open_connections:
                    await asyncio.sleep(0.001)


class TestWorkers:
    async def test_are_as_many_as_places(self, server: FaultServer) -> None:
        """Workers run one turn after another; there are never more than turns at once, list after list."""
        async with Client(limits=Limits(total=3)) as client:
            before = len(asyncio.all_tasks())
            for _ in range(5):
                urls = [server.url(f"/{n}") for n in range(30)]
                async for result in client.fetch_many(urls):
                    assert result.ok
                server_tasks = server.seen.open_connections
                assert len(asyncio.all_tasks()) - before - server_tasks <= 3 + 1

    async def test_that_rest_when_the_client_closes(self, server: FaultServer) -> None:
        """Resting workers end with the client; one that has just been given a turn gives it back."""
        for steps in range(8):
            async with Client(limits=Limits(total=2)) as client:
                async for _ in client.fetch_many([server.url("/1"), server.url("/2")]):
                    pass
                results = client.fetch_many([server.url("/3"), server.url("/4")])
                task = asyncio.create_task(anext(results))
                for _ in range(steps):
                    await asyncio.sleep(0)
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is None:
                assert task.result().ok
            assert client._turns.frontier.in_flight == 0

    async def test_do_not_multiply_by_redirects_and_retries(self, server: FaultServer) -> None:
        """A worker goes on with what has to come again; it does not call another one for it."""
        server.route("/busy", Sequence(*[Reply(503 if n % 3 else 200) for n in range(300)]))
        server.route("/moved", redirect("/x"))
        async with Client(limits=Limits(total=3), retry=Retry(backoff=0)) as client:
            urls = [server.url(path) for path in ("/busy", "/moved", "/x")] * 20
            assert len([result async for result in client.fetch_many(urls)]) == 60
            await asyncio.sleep(0)
            assert len(client._turns._idle) <= 3

    @pytest.mark.parametrize("is_first", [True, False])
    async def test_are_not_given_turns_while_they_are_cancelled(self, server: FaultServer, is_first: bool) -> None:
        """When everything is cancelled at once, as at the end of a loop, each task ends as it should."""
        before = asyncio.all_tasks()
        client = await Client(limits=Limits(total=1)).__aenter__()
        assert [result.ok async for result in client.fetch_many([server.url("/1")])] == [True]
        assert len(client._turns._idle) == 1
        get = asyncio.create_task(client.get(server.url("/silent")))
        while not server.seen.in_progress:
            await asyncio.sleep(0.001)
        consumer = asyncio.create_task(anext(client.fetch_many([server.url("/2")])))
        while not client._turns.single.queues and not client._batches:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        tasks = sorted(asyncio.all_tasks() - before, key=lambda task: (task is get) != is_first)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert get.cancelled()
        assert consumer.cancelled()
        await client.aclose()
        assert client._turns.frontier.in_flight == 0

    async def test_give_back_a_turn_that_came_too_late(self, server: FaultServer) -> None:
        """A worker that is cancelled in the moment of being given a turn puts it back."""
        async with Client(limits=Limits(total=1)) as client:
            assert [result.ok async for result in client.fetch_many([server.url("/1")])] == [True]
            (resting,) = client._turns._idle
            others = asyncio.all_tasks()

            async def entries() -> AsyncIterator[str]:
                yield server.url("/2")
                assert resting.done()
                for task in others:
                    if "_work" in repr(task):
                        task.cancel()

            with pytest.raises(RuntimeError, match="closed"):
                [result async for result in client.fetch_many(entries())]
            assert client._turns.frontier.in_flight == 0
            assert client.stats.total.in_flight == 0
        assert server.seen.by_path["/2"] == 0


class TestClock:
    async def test_wakes_when_a_back_off_is_over(self, server: FaultServer) -> None:
        """Time alone brings the next attempt, when nothing else happens."""
        server.route("/busy", Sequence(Reply(503), Reply(503), Reply(200, b"x")))
        async with Client(retry=Retry(attempts=3, backoff=0.005), limits=Limits(total=1)) as client:
            assert (await asyncio.wait_for(client.get(server.url("/busy")), 5)).content == b"x"
            assert client._turns._timer is None

    async def test_wakes_when_a_pause_is_over(self, server: FaultServer) -> None:
        """So it does for the host that asked for a pause, while the only place was in use."""
        server.route("/busy", Sequence(Reply(429, headers={"Retry-After": "1"}), Reply(200, b"x")))
        server.route("/slow", Reply(200, b"x", delay=0.05))
        async with Client(retry=Retry(max_wait=0.02), limits=Limits(total=1)) as client:
            busy = asyncio.create_task(client.get(server.url("/busy")))
            slow = asyncio.create_task(client.get(server.url("/slow", "127.0.0.2")))
            async with asyncio.timeout(5):
                responses = await asyncio.gather(busy, slow)
            assert [response.content for response in responses] == [b"x", b"x"]

    async def test_is_set_again_after_it_went_off_in_vain(self, server: FaultServer) -> None:
        """Of two back-offs the second is not forgotten, when the first ends while there is no place."""
        for path in ("/1", "/2"):
            server.route(path, Sequence(Reply(500), Reply(200)))
        server.route("/slow", Reply(200, delay=0.03))
        async with Client(limits=Limits(total=1), retry=Retry(attempts=2, backoff=1.0)) as client:
            client._engine._random = Given(0.005, 0.06)
            urls = [server.url(path) for path in ("/1", "/2", "/slow")]
            async with asyncio.timeout(5):
                results = [result.request.url async for result in client.fetch_many(urls)]
        assert results == [server.url("/slow"), server.url("/1"), server.url("/2")]

    async def test_is_set_for_a_back_off_although_its_worker_goes_on(self, server: FaultServer) -> None:
        """A worker whose fetch has to wait may be long with its next one; another worker takes the fetch then."""
        tried_again = asyncio.Event()

        async def first(request: SeenRequest) -> Reply:
            if server.seen.by_path["/first"] == 2:
                tried_again.set()
            return redirect(server.url("/busy", "127.0.0.2"))

        async def long(request: SeenRequest) -> Reply:
            await asyncio.wait_for(tried_again.wait(), 5)
            return Reply(200)

        server.route("/first", first)
        server.route("/busy", Sequence(Reply(503, delay=0.01), Reply(200)))
        server.route("/long", long)
        async with Client(limits=Limits(total=5, per_host=1), retry=Retry(attempts=2, backoff=1.0)) as client:
            client._engine._random = Given(0.01)
            urls = [server.url("/first"), server.url("/long", "127.0.0.2")]
            first_results = client.fetch_many(urls[:1])
            task = asyncio.create_task(anext(first_results))
            while not server.seen.by_path["/busy"]:
                await asyncio.sleep(0.001)
            async with asyncio.timeout(4):
                assert [result.ok async for result in client.fetch_many(urls[1:])] == [True]
                assert (await task).ok

    async def test_is_set_again_for_an_earlier_time(self, server: FaultServer) -> None:
        """A short wait is not overslept because of a long one."""
        server.route("/busy", Sequence(Reply(503), Reply(200, b"x")))
        async with Client(retry=Retry(attempts=2, backoff=1e6, backoff_most=1e6)) as client:
            long = asyncio.create_task(client.get(server.url("/busy", "127.0.0.2")))
            while client.stats.total.retries == 0:
                await asyncio.sleep(0.001)
            late: Any = client._turns._timer
            client._engine._retry = Retry(attempts=2, backoff=0.005)
            server.route("/busy", Sequence(Reply(503), Reply(200, b"x")))
            assert (await asyncio.wait_for(client.get(server.url("/busy")), 5)).content == b"x"
            assert late.cancelled()
            assert client._turns._timer is not None
            long.cancel()
            await asyncio.wait([long])

    async def test_stops_with_the_client(self, server: FaultServer) -> None:
        """A closed client wakes up no more."""
        server.route("/busy", Reply(503))
        async with Client(retry=Retry(backoff=1e6, backoff_most=1e6)) as client:
            task = asyncio.create_task(client.get(server.url("/busy")))
            while client.stats.total.retries == 0:
                await asyncio.sleep(0.001)
            timer: Any = client._turns._timer
        assert timer.cancelled()
        client._turns.pump()
        assert client._turns._timer is None
        with pytest.raises(Cancelled):
            await task


class TestStatistics:
    async def test_count_what_is_in_flight(self, server: FaultServer) -> None:
        """Per host and in total, while it is."""
        async with Client(limits=Limits(total=3, per_host=2)) as client:
            urls = [server.url("/silent")] * 3 + [server.url("/silent", "127.0.0.2")] * 3
            tasks = [asyncio.create_task(client.get(url)) for url in urls]
            while server.seen.in_progress < 3:
                await asyncio.sleep(0.001)
            assert client.stats.total.in_flight == 3
            assert sorted(host.in_flight for host in client.stats) == [1, 2]
            assert {host.limit for host in client.stats} == {2}
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert [host.in_flight for host in client.stats] == [0, 0]

    async def test_follow_a_pause(self, server: FaultServer) -> None:
        """While a host is paused, its line says why; requests that it answered before do not."""
        server.route("/busy", Reply(429, headers={"Retry-After": "1"}))
        async with Client(retry=Retry(max_wait=0.2)) as client:
            await client.get(server.url())
            (host,) = client.stats
            assert host.state.value == "ok"
            task = asyncio.create_task(client.get(server.url("/busy")))
            while host.state is HostState.OK:
                await asyncio.sleep(0.001)
            assert host.reason == "Retry-After"
            task.cancel()
            await asyncio.wait([task])
