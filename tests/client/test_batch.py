"""A list: what goes in, what comes out, back-pressure both ways, and every way to leave early."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import weakref
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any, TypeVar

import anyio
import pytest
import uvloop

from asyncfetch import Client, FetchMany, InvalidURL, Limits, Request, Result, Retry, StatusError, Timeouts
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
    unused_port,
)

T = TypeVar("T")

HOSTS = [f"127.0.0.{n}" for n in range(1, 11)]
SMALL = Limits(total=20, per_host=6, queued=50, buffered=10)
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    """A server on ten addresses that answers everything."""
    async with FaultServer({"*": Reply(200, b"x"), "/silent": Script(Silence())}, addresses=HOSTS) as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client with small windows that has to be as new at the end."""
    async with Client(limits=SMALL, retry=Retry(attempts=1)) as client:
        yield client
        await idle(client)


async def idle(client: Client) -> None:
    """Wait until everything that is given back in the background is given back, and see that it is."""
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            while client._batches or client._turns.frontier.in_flight:
                await asyncio.sleep(0.001)
    assert not client._batches
    assert client._turns.frontier.in_flight == 0
    assert client.stats.total.in_flight == 0
    assert not client._turns.frontier.hosts
    assert client._pool.in_use == 0


async def proves_usable(client: Client, server: FaultServer) -> None:
    """See that nothing is under way at the server, and that the client serves the next hundred requests."""
    await idle(client)
    async with asyncio.timeout(5):
        while server.seen.in_progress or server.seen.open_connections > client._pool.idle:
            await asyncio.sleep(0.001)
    results = [result async for result in client.fetch_many(urls_of(server, 100))]
    assert [result.ok for result in results] == [True] * 100
    await idle(client)


async def take_all(items: AsyncIterator[T], into: list[T]) -> None:
    """Append every item to a list, so that those that came before an error are seen."""
    async for item in items:
        into.append(item)  # noqa: PERF401


def urls_of(server: FaultServer, number: int) -> list[str]:
    return [server.url(f"/{n}", HOSTS[n % len(HOSTS)]) for n in range(number)]


class TestSources:
    async def test_may_be_anything_to_iterate(self, server: FaultServer, client: Client) -> None:
        """Lists, tuples, sets, generators, iterators; sync and async; of strings and Requests."""
        urls = urls_of(server, 5)

        def generate() -> Iterator[str]:
            yield from urls

        async def generate_async() -> AsyncIterator[str | Request]:
            for url in urls:
                await asyncio.sleep(0)
                yield Request(url)

        class Async:
            def __aiter__(self) -> AsyncIterator[str | Request]:
                return generate_async()

        class Steps:
            def __init__(self) -> None:
                self._rest = list(urls)

            def __aiter__(self) -> Steps:
                return self

            async def __anext__(self) -> str:
                if not self._rest:
                    raise StopAsyncIteration
                return self._rest.pop()

        sources: list[Iterable[str | Request] | AsyncIterable[str | Request]] = [
            Steps(),
            urls, tuple(urls), set(urls), generate(), iter(urls), dict.fromkeys(urls), generate_async(), Async(),
            [Request(urls[0]), *urls[1:]],
        ]  # fmt: skip
        for source in sources:
            results = [result async for result in client.fetch_many(source)]
            assert sorted(result.url for result in results) == sorted(urls)
            assert sorted(result.index for result in results) == [1, 2, 3, 4, 5]

    async def test_may_be_empty(self, client: Client) -> None:
        """Nothing in, nothing out."""
        assert [result async for result in client.fetch_many([])] == []

    async def test_number_their_entries(self, server: FaultServer, client: Client) -> None:
        """From 1 in the order of the input, unless a Request brings its number; it comes back with its context."""
        url = server.url()
        entries: list[str | Request] = [url, Request(url, context="mine"), Request(url, index=17), url]
        results = {result.index: result async for result in client.fetch_many(entries)}
        assert sorted(results) == [1, 2, 4, 17]
        assert results[2].request.context == "mine"
        assert results[2].request is entries[1]

    async def test_of_equal_urls_give_a_result_each(self, server: FaultServer, client: Client) -> None:
        """The same URL twice is two requests."""
        results = [result async for result in client.fetch_many([server.url()] * 7)]
        assert sorted(result.index for result in results) == list(range(1, 8))
        assert server.seen.requests == 7

    async def test_with_invalid_entries_go_on(self, server: FaultServer, client: Client) -> None:
        """What cannot be fetched is a value among the others, and counted."""
        entries: list[str | Request] = [
            "nonsense",
            server.url(),
            Request("x", invalid="line 3 is too long"),
            Request(server.url(), headers={"X": "a\nb"}),
            "http://me:secret@:1/",
        ]
        results = {result.index: result async for result in client.fetch_many(entries)}
        assert [results[n].ok for n in range(1, 6)] == [False, True, False, False, False]
        error = results[3].error
        assert isinstance(error, InvalidURL)
        assert (error.code, error.detail, error.url, results[3].attempts) == (
            "url.invalid",
            "line 3 is too long",
            "x",
            0,
        )
        assert results[3].ended > 0
        assert results[5].error is not None
        assert results[5].error.url == "http://***@:1/"
        assert (client.stats.total.done, client.stats.total.failed) == (5, 4)

    async def test_of_invalid_entries_only_are_read_lazily_too(self, client: Client) -> None:
        """Such results are held back like any other."""
        pulled = count()
        results = client.fetch_many(f"nonsense{next(pulled)}" for _ in range(10_000))
        assert [(await anext(results)).index for _ in range(30)] == list(range(1, 31))
        assert next(pulled) <= 30 + SMALL.buffered + 1
        await results.aclose()

    @pytest.mark.parametrize("entry", [None, b"http://h/", 7])
    async def test_with_something_else_in_them_end(self, server: FaultServer, client: Client, entry: Any) -> None:
        """An entry of another type is a fault of the program: the list ends with it, and does not hang."""
        seen: list[Result] = []
        with pytest.raises(TypeError, match=type(entry).__name__):
            await take_all(client.fetch_many([server.url(), entry, server.url()]), seen)
        assert [result.index for result in seen] == [1]

    @pytest.mark.parametrize("source", ["http://h/", b"http://h/"])
    async def test_are_not_single_strings(self, client: Client, source: Any) -> None:
        """The letters of a URL are no list."""
        with pytest.raises(TypeError, match="not a single"):
            client.fetch_many(source)

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_that_raise_do_so_after_their_results(
        self, server: FaultServer, client: Client, is_async: bool
    ) -> None:
        """All that was read before is fetched, then the consumer gets the error."""

        def broken() -> Iterator[str]:
            yield from urls_of(server, 100)
            raise ZeroDivisionError

        async def broken_async() -> AsyncIterator[str]:
            for url in broken():
                yield url

        results: list[Result] = []
        with pytest.raises(ZeroDivisionError):
            await take_all(client.fetch_many(broken_async() if is_async else broken()), results)
        assert sorted(result.index for result in results) == list(range(1, 101))

    async def test_that_raise_at_once(self, client: Client) -> None:
        """What cannot be iterated is the consumer's to hear, at the first step."""
        with pytest.raises(TypeError):
            await anext(client.fetch_many(7))  # type: ignore[arg-type]

    async def test_that_were_cancelled_by_somebody_do_not_end_the_client(
        self, server: FaultServer, client: Client
    ) -> None:
        """A CancelledError that the source came across is one more error of the source."""

        async def broken() -> AsyncIterator[str]:
            yield server.url()
            raise asyncio.CancelledError

        seen: list[Result] = []
        with pytest.raises(RuntimeError, match="the source of the list was cancelled"):
            await take_all(client.fetch_many(broken()), seen)
        assert [result.ok for result in seen] == [True]
        assert (await client.get(server.url())).content == b"x"

    async def test_that_are_slow_do_not_hold_up_the_rest(self, server: FaultServer, client: Client) -> None:
        """Results come while the source waits for its next entry; other lists and requests go on."""
        go_on = asyncio.Event()

        async def slow() -> AsyncIterator[str]:
            yield server.url("/1")
            await go_on.wait()
            yield server.url("/2")

        results = client.fetch_many(slow())
        assert (await anext(results)).index == 1
        assert len([result async for result in client.fetch_many(urls_of(server, 20))]) == 20
        assert (await client.get(server.url())).content == b"x"
        go_on.set()
        assert [result.index async for result in results] == [2]

    async def test_are_closed_when_they_end_early(self, server: FaultServer, client: Client) -> None:
        """A generator that is not wanted any more runs its `finally`, with awaits in it too."""
        closed = []

        def endless() -> Iterator[str]:
            try:
                while True:
                    yield server.url()
            finally:
                closed.append("sync")

        async def endless_async() -> AsyncIterator[str]:
            try:
                while True:
                    yield server.url()
            finally:
                await asyncio.sleep(0)
                closed.append("async")

        async def waiting() -> AsyncIterator[str]:
            async with anyio.create_task_group() as group:  # exits where it was entered, or raises
                group.start_soon(asyncio.sleep, 0)
                try:
                    yield server.url()
                    await asyncio.sleep(60)
                finally:
                    closed.append("waiting")

        for source in (endless(), endless_async(), waiting()):
            async with client.fetch_many(source) as results:
                await anext(results)
        assert closed == ["sync", "async", "waiting"]

    async def test_that_do_not_close_are_left(
        self, server: FaultServer, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A source has its time to close, not more."""
        monkeypatch.setattr("asyncfetch.client.feeding._CLOSING", 0.01)

        async def stubborn() -> AsyncIterator[str]:
            try:
                while True:
                    yield server.url()
            finally:
                await asyncio.sleep(60)

        async with client.fetch_many(stubborn()) as results:
            await anext(results)

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_may_stop_their_own_list(self, server: FaultServer, client: Client, is_async: bool) -> None:
        """What comes after that is not fetched, however much of it there is."""

        def endless() -> Iterator[str]:
            yield server.url()
            results.stop()
            while True:
                yield server.url()

        async def endless_async() -> AsyncIterator[str]:
            for url in endless():
                yield url

        results = client.fetch_many(endless_async() if is_async else endless())
        assert len([result async for result in results]) <= 1
        assert (await client.get(server.url())).content == b"x"


class TestResults:
    async def test_come_exactly_once(self, server: FaultServer, client: Client) -> None:
        """Whatever happens to each on its way: redirects, retries, failures."""
        server.route("/redirect", redirect("/x"))
        server.route("/gone", Reply(404))
        server.route("/cut", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), Close()))
        paths = ["/x", "/redirect", "/gone", "/cut"]
        entries = [server.url(paths[n % 4], HOSTS[n % 10]) for n in range(200)]
        entries[50] = "nonsense"
        async with Client(limits=SMALL, retry=Retry(backoff=0)) as other:
            results = [result async for result in other.fetch_many(entries)]
            await idle(other)
            assert other.stats.total.done == 200
        assert sorted(result.index for result in results) == list(range(1, 201))
        assert Counter(result.error.code for result in results if result.error) == {
            "http.4xx": 49,
            "protocol.incomplete": 50,
            "url.invalid": 1,
        }

    async def test_come_in_the_order_of_their_ends(self, server: FaultServer, client: Client) -> None:
        """Not in that of the input."""
        for n in range(4):
            server.route(f"/{n}", Reply(200, delay=0.02 * (3 - n)))
        results = [result.index async for result in client.fetch_many([server.url(f"/{n}") for n in range(4)])]
        assert results == [4, 3, 2, 1]

    async def test_end(self, server: FaultServer, client: Client) -> None:
        """An iteration that has ended stays so."""
        results = client.fetch_many([server.url()])
        assert [result.ok async for result in results] == [True]
        assert [result async for result in results] == []

    async def test_go_to_one_task_at_a_time(self, server: FaultServer, client: Client) -> None:
        """Two tasks that wait for the same list are a fault of the program."""
        async with client.fetch_many([server.url("/silent")]) as results:
            first = asyncio.create_task(anext(results))
            await asyncio.sleep(0.01)
            with pytest.raises(RuntimeError, match="another task"):
                await anext(results)
            first.cancel()
            with suppress(asyncio.CancelledError):
                await first

    async def test_are_not_lost_by_a_wait_that_was_cancelled(self, server: FaultServer, client: Client) -> None:
        """A consumer may wait with a timeout of its own, and go on."""
        server.route("/slow", Reply(200, delay=0.3))
        results = client.fetch_many([server.url("/slow")])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(results)
        with anyio.move_on_after(0.01):
            await anext(results)
        assert (await anext(results)).ok

    async def test_hold_no_tracebacks(self, server: FaultServer, client: Client) -> None:
        """An error in a list was never raised to anybody: its frames, with connections and buffers, may go."""
        server.route("/nonsense", Script(Send(b"nonsense\r\n\r\n")))
        entries = [server.url("/nonsense"), "nonsense", f"http://127.0.0.1:{unused_port()}/"]
        async for result in client.fetch_many(entries):
            error: BaseException | None = result.error
            assert error is not None
            while error is not None:
                assert error.__traceback__ is None
                error = error.__cause__ or error.__context__

    async def test_do_not_stay_in_memory(self, server: FaultServer, client: Client) -> None:
        """A service that fetches lists all its life does not grow with them."""
        batches: weakref.WeakSet[Any] = weakref.WeakSet()
        sources: list[list[str]] = [urls_of(server, 5), [], ["nonsense"], ["nonsense", server.url()]]
        for source in sources:
            results = client.fetch_many(source)
            async for _ in results:
                batches.add(results._batch)
        async with client.fetch_many(urls_of(server, 50)) as results:
            batches.add(results._batch)
            await anext(results)
        del results
        assert not client._batches
        gc.collect()
        assert len(batches) == 0


class TestSome:
    async def test_are_the_same_as_one_by_one(self, server: FaultServer, client: Client) -> None:
        """As many as wished at most, each result once, while the list goes on; at the end nothing, each time."""
        results: list[Result] = []
        async with client.fetch_many(urls_of(server, 300)) as fetching:
            while some := await fetching.some(7):
                assert len(some) <= 7
                results += some
                if len(results) % 3 == 0 and len(results) < 300:
                    results.append(await anext(fetching))
            assert await fetching.some(7) == []
            assert [result async for result in fetching] == []
        assert sorted(result.index for result in results) == list(range(1, 301))
        assert all(result.ok for result in results)

    async def test_come_together_if_they_are_there(self, server: FaultServer, client: Client) -> None:
        """In one step, in the order of their ends; who takes all of them lets the list go on."""
        async with client.fetch_many(urls_of(server, 100)) as fetching:
            results = await fetching.some(1)
            (batch,) = client._batches
            async with asyncio.timeout(5):
                while not batch.lane.paused:
                    await asyncio.sleep(0.001)
            waiting = [result.index for result, _ in batch.results]
            results += await fetching.some(100)
            assert len(waiting) >= 10
            assert [result.index for result in results[1:]] == waiting
            while some := await fetching.some(100):
                results += some
        assert len(results) == 100

    async def test_what_was_not_sent_comes_in_any_number(self, server: FaultServer, client: Client) -> None:
        """Only what was sent is counted."""
        entries = ["nonsense"] * 6 + [server.url(), server.url(), *["nonsense"] * 30]
        found: list[int] = []
        async with client.fetch_many(entries) as fetching:
            while some := await fetching.some(1):
                assert sum(result.attempts for result in some) <= 1
                found.append(len(some))
        assert sum(found) == 38
        assert len(found) <= 10

    async def test_raise_what_the_source_has_raised(self, server: FaultServer, client: Client) -> None:
        """At the end, after the results of what it gave before."""

        def urls() -> Iterator[str]:
            yield server.url()
            raise LookupError("no more")

        async with client.fetch_many(urls()) as fetching:
            assert [result.ok for result in await fetching.some(5)] == [True]
            with pytest.raises(LookupError):
                await fetching.some(5)
            assert await fetching.some(5) == []

    async def test_end_with_the_list(self, server: FaultServer, client: Client) -> None:
        """One that was stopped before it began, or closed, has none; it goes to one task at a time."""
        fetching = client.fetch_many([server.url("/silent")])
        first = asyncio.create_task(fetching.some(1))
        await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError, match="another task"):
            await fetching.some(1)
        await fetching.aclose()
        assert await first == []
        assert await fetching.some(1) == []
        stopped = client.fetch_many([server.url()])
        stopped.stop()
        assert await stopped.some(1) == []


class TestBackPressure:
    async def test_the_source_is_read_a_window_ahead(self, server: FaultServer, client: Client) -> None:
        """An infinite source is no problem: never more than the window is waiting."""
        pulled = count()
        longest = 0

        def endless() -> Iterator[str]:
            nonlocal longest
            for n in pulled:
                (batch,) = client._batches
                longest = max(longest, batch.lane.queued)
                yield server.url(f"/{n}", HOSTS[n % 10])

        async with client.fetch_many(endless()) as results:
            for _ in range(500):
                assert (await anext(results)).ok
            assert next(pulled) <= 500 + SMALL.queued + SMALL.total + SMALL.buffered + 1
        assert SMALL.queued // 2 < longest <= SMALL.queued

    @pytest.mark.parametrize("queued", [1, 2, 3])
    async def test_the_smallest_windows_work(self, server: FaultServer, queued: int) -> None:
        """A window of one still lets everything through."""
        limits = Limits(total=2, per_host=1, queued=queued, buffered=1)
        async with Client(limits=limits) as client:
            results = [result.index async for result in client.fetch_many(urls_of(server, 30))]
            assert sorted(results) == list(range(1, 31))
            await idle(client)

    async def test_a_slow_consumer_slows_the_server_s_work(self, server: FaultServer, client: Client) -> None:
        """While results wait, no more is started than may wait and be in flight."""
        async with client.fetch_many(urls_of(server, 1000)) as results:
            assert results._batch is not None
            for taken in (1, 2, 3):
                await anext(results)
                await asyncio.sleep(0.03)
                assert server.seen.requests <= taken + SMALL.buffered + SMALL.total
            async with asyncio.timeout(20):
                while client.stats.total.in_flight or not results._batch.lane.paused:
                    await asyncio.sleep(0.001)
            requests = server.seen.requests
            await asyncio.sleep(0.02)
            assert server.seen.requests == requests
            assert server.seen.in_progress == 0

    async def test_bodies_count_by_their_size(self, server: FaultServer) -> None:
        """A few large results hold the list back like many small ones."""
        server.route("*", Reply(200, b"x" * 10_000))
        limits = Limits(total=2, buffered=1000, buffered_bytes=50_000)
        async with Client(limits=limits) as client:
            async with client.fetch_many(urls_of(server, 100)) as results:
                await anext(results)
                await asyncio.sleep(0.03)
                assert server.seen.requests <= 1 + 5 + 2
                assert len([result async for result in results]) == 99
            await idle(client)

    async def test_a_list_that_is_held_back_holds_up_nobody(self, server: FaultServer, client: Client) -> None:
        """Others go on, at the same hosts too."""
        async with client.fetch_many(urls_of(server, 1000)) as held:
            await anext(held)
            await asyncio.sleep(0.02)
            assert len([result async for result in client.fetch_many(urls_of(server, 100))]) == 100
            assert (await client.get(server.url())).content == b"x"

    @pytest.mark.slow
    async def test_memory_stays_flat(self, server: FaultServer, client: Client) -> None:
        """Thousands of entries later, there are as many objects as before."""
        sizes = []

        async def consume(results: AsyncIterator[Result], number: int) -> None:
            for _ in range(number):
                await anext(results)
            gc.collect()
            sizes.append(len(gc.get_objects()))

        server.seen._log = type(server.seen._log)(maxlen=0)
        server.route("*", lambda _: Reply(200))
        endless = (server.url("/", HOSTS[n % 10]) for n in count())
        async with client.fetch_many(endless) as results:
            for _ in range(4):
                await consume(results, 2000)
        assert sizes[-1] - sizes[0] < 1000


async def leave_by_break(results: AsyncIterator[Result]) -> None:
    taken = 0
    async for _ in results:
        taken += 1
        if taken == 10:
            break


async def leave_by_exception(results: AsyncIterator[Result]) -> None:
    taken = 0
    with suppress(ZeroDivisionError):
        async for _ in results:
            taken += 1
            if taken == 10:
                raise ZeroDivisionError


class TestLeavingEarly:
    @pytest.mark.parametrize("leave", [leave_by_break, leave_by_exception])
    @pytest.mark.parametrize("entries", ["list", "infinite", "async"])
    async def test_gives_everything_back(
        self, server: FaultServer, client: Client, leave: Any, entries: str
    ) -> None:
        """After ten results the rest is given up, without a word to anybody."""
        sources: dict[str, Any] = {
            "list": urls_of(server, 1000) * 100,
            "infinite": (server.url("/", HOSTS[n % 10]) for n in count()),
            "async": endless_async(server),
        }
        await leave(client.fetch_many(sources[entries]))
        await proves_usable(client, server)

    @pytest.mark.parametrize("path", ["/", "/silent", "/half"])
    async def test_by_cancelling_the_task(self, server: FaultServer, client: Client, path: str) -> None:
        """Requests that wait for their server are ended as well."""
        server.route("/half", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), Silence()))

        async def consume() -> None:
            async for _ in client.fetch_many(server.url(path, HOSTS[n % 10]) for n in count()):
                pass

        task = asyncio.create_task(consume())
        while server.seen.requests < 10:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await proves_usable(client, server)

    async def test_by_a_cancel_scope(self, server: FaultServer, client: Client) -> None:
        """anyio's cancellation does the same."""
        with anyio.move_on_after(0.02) as scope:
            async with client.fetch_many([server.url("/silent", host) for host in HOSTS]) as results:
                async for _ in results:
                    pytest.fail("there is no result")
        assert scope.cancelled_caught
        await proves_usable(client, server)

    async def test_by_aclose(self, server: FaultServer, client: Client) -> None:
        """It returns when everything is given back; the iteration has ended then, and may be closed again."""
        results = client.fetch_many([*urls_of(server, 100), *[server.url("/silent", host) for host in HOSTS]])
        for _ in range(10):
            await anext(results)
        await results.aclose()
        await results.aclose()
        assert not client._batches
        assert client._turns.frontier.in_flight == 0
        assert [result async for result in results] == []
        await proves_usable(client, server)

    async def test_by_aclose_of_another_task(self, server: FaultServer, client: Client) -> None:
        """Who waits for the next result is told that there is none."""
        results = client.fetch_many([server.url("/silent")])
        waiting = asyncio.create_task(anext(results, None))
        await asyncio.sleep(0.01)
        await asyncio.gather(results.aclose(), results.aclose())
        assert await waiting is None
        await proves_usable(client, server)

    async def test_before_it_begins(self, server: FaultServer, client: Client) -> None:
        """What nobody iterates costs nothing."""
        client.fetch_many(urls_of(server, 10))
        for end in ("aclose", "stop"):
            results = client.fetch_many(urls_of(server, 10))
            if end == "aclose":
                await results.aclose()
            else:
                results.stop()
            assert [result async for result in results] == []
        async with client.fetch_many(urls_of(server, 10)):
            pass
        assert server.seen.requests == 0

    async def test_by_the_garbage_collector(self, server: FaultServer, client: Client) -> None:
        """An iteration that is part of a cycle ends when the cycle is found, whatever is running then."""
        cycle: list[Any] = [client.fetch_many(urls_of(server, 1000))]
        cycle.append(cycle)
        for _ in range(10):
            await anext(cycle[0])
        del cycle
        assert client._batches
        gc.collect()
        await proves_usable(client, server)

    async def test_from_another_thread(self, server: FaultServer, client: Client) -> None:
        """The last reference may be dropped anywhere."""
        held: list[Any] = [client.fetch_many(urls_of(server, 1000))]
        await anext(held[0])
        await asyncio.to_thread(held.clear)
        await proves_usable(client, server)

    def test_after_the_loop_was_closed(self, fault_server: FaultServer) -> None:
        """An iteration that outlives its loop has nothing left to give back."""
        fault_server.route("/", Reply(200, b"x"))

        async def leave() -> FetchMany:
            client = await Client().__aenter__()
            results = client.fetch_many([fault_server.url()] * 100)
            await anext(results)
            return results

        results: Any = asyncio.run(leave())
        results._batch._outstanding = 1  # as if something had got lost on the way
        del results
        gc.collect()

    async def test_with_everybody_else_undisturbed(self, server: FaultServer, client: Client) -> None:
        """One list that ends early takes nothing from another."""
        other = client.fetch_many(urls_of(server, 300))
        first = [await anext(other) for _ in range(5)]
        for _ in range(5):
            await leave_by_break(client.fetch_many(urls_of(server, 1000)))
        assert len([result async for result in other]) + len(first) == 300

    async def test_at_every_step(self, server: FaultServer, client: Client) -> None:
        """Dropped, closed or cancelled after any number of turns of the loop, nothing is lost."""

        async def consume() -> None:
            async with client.fetch_many(urls_of(server, 12)) as results:
                async for _ in results:
                    pass

        done = False
        for steps in count():
            if done:
                break
            task = asyncio.create_task(consume())
            for _ in range(steps):
                await asyncio.sleep(0)
            done = task.done()
            task.cancel()
            await asyncio.wait([task])
            assert client._turns.frontier.in_flight == 0
            assert client._pool.in_use == 0
            assert not client._batches
        await proves_usable(client, server)

    @pytest.mark.parametrize("has_workers", [False, True])
    async def test_at_every_step_although_the_server_is_silent(
        self, server: FaultServer, client: Client, has_workers: bool
    ) -> None:
        """Nobody waits for an answer that is not wanted any more, nor for one that was about to be asked for."""
        silent = [server.url("/silent", host) for host in HOSTS]

        async def leave(steps: int) -> None:
            async with client.fetch_many(silent):
                for _ in range(steps):
                    await asyncio.sleep(0)

        async with asyncio.timeout(5):
            for steps in range(25):
                if has_workers:
                    assert len([result async for result in client.fetch_many(urls_of(server, 20))]) == 20
                await leave(steps)
                await idle(client)

    async def test_at_every_step_without_a_context_manager(self, server: FaultServer, client: Client) -> None:
        """That is so for a loop that is simply cancelled, too."""

        async def consume() -> None:
            async for _ in client.fetch_many(urls_of(server, 12)):
                pass

        done = False
        for steps in count():
            if done:
                break
            task = asyncio.create_task(consume())
            for _ in range(steps):
                await asyncio.sleep(0)
            done = task.done()
            task.cancel()
            await asyncio.wait([task])
        await proves_usable(client, server)


async def endless_async(server: FaultServer) -> AsyncIterator[str]:
    for n in count():
        yield server.url("/", HOSTS[n % 10])


class TestStop:
    async def test_lets_what_is_in_flight_end(self, server: FaultServer, client: Client) -> None:
        """What has begun has its result, what is queued has none, and the iteration ends."""
        started = asyncio.Event()
        go_on = asyncio.Event()

        async def answer(_: SeenRequest) -> Reply:
            if server.seen.in_progress == SMALL.total:
                started.set()
            await go_on.wait()
            return Reply(200)

        server.route("*", answer)
        results = client.fetch_many(urls_of(server, 1000))
        first = asyncio.create_task(anext(results))
        await started.wait()
        results.stop()
        results.stop()
        go_on.set()
        assert (await first).ok
        assert len([result async for result in results]) == SMALL.total - 1
        assert server.seen.requests == SMALL.total
        server.route("*", Reply(200, b"x"))
        await proves_usable(client, server)

    async def test_gives_up_what_would_need_another_turn(self, server: FaultServer) -> None:
        """A retry or redirect of something in flight is not begun."""
        go_on = asyncio.Event()

        async def answer(request: SeenRequest) -> Reply:
            await go_on.wait()
            return Reply(503) if request.path == "/busy" else redirect("/x")

        server.route("/busy", answer)
        server.route("/moved", answer)
        async with Client(retry=Retry(backoff=0)) as client:
            results = client.fetch_many([server.url("/busy"), server.url("/moved"), server.url("/0")])
            assert (await anext(results)).index == 3
            results.stop()
            go_on.set()
            assert [result async for result in results] == []
            assert server.seen.requests == 3
            await idle(client)

    async def test_ends_a_back_off(self, server: FaultServer) -> None:
        """What waits for its next attempt is queued, too."""
        server.route("/busy", Reply(503))
        async with Client(retry=Retry(backoff=1000, backoff_most=1000)) as client:
            results = client.fetch_many([server.url("/busy"), server.url("/0")])
            assert (await anext(results)).index == 2
            while client.stats.total.retries == 0:
                await asyncio.sleep(0.001)
            results.stop()
            assert [result async for result in results] == []
            await idle(client)

    async def test_ends_a_source_that_waits(self, server: FaultServer, client: Client) -> None:
        """Nobody waits for the next entry of a source."""

        async def slow() -> AsyncIterator[str]:
            yield server.url()
            await asyncio.sleep(60)

        results = client.fetch_many(slow())
        await anext(results)
        results.stop()
        assert [result async for result in results] == []

    async def test_ends_a_source_that_will_not_be_cancelled(self, server: FaultServer, client: Client) -> None:
        """A source that goes on after its cancellation is left at its next entry."""

        async def stubborn() -> AsyncIterator[str]:
            while True:
                yield server.url()
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(60)

        results = client.fetch_many(stubborn())
        await anext(results)
        results.stop()
        assert [result async for result in results] == []

    async def test_before_the_source_is_opened(self, server: FaultServer, client: Client) -> None:
        """Stopped between its beginning and its first step, a list reads nothing."""

        def never() -> Iterator[str]:
            yield str(pytest.fail("the source was read"))

        async with client.fetch_many(never()) as results:
            results.stop()
            assert [result async for result in results] == []


class TestLimits:
    @pytest.mark.slow
    async def test_hold_for_everything_together(self, server: FaultServer) -> None:
        """Two lists and many gets at once, with redirects and retries among them, stay within both limits."""
        server.route("*", Reply(200, b"x", delay=0.002))
        server.route("/redirect", Reply(302, headers={"Location": "/x"}, delay=0.001))
        server.route("/away", redirect(server.url("/x", HOSTS[3])))
        server.route("/busy", Sequence(*[Reply(503 if n % 2 else 200) for n in range(1000)]))
        paths = ["/x", "/redirect", "/away", "/busy"]
        limits = Limits(total=12, per_host=3)
        async with Client(limits=limits, retry=Retry(attempts=5, backoff=0.001)) as client:

            async def fetch_list(number: int) -> int:
                urls = (server.url(paths[n % 4], HOSTS[n % 7]) for n in range(number))
                return len([result async for result in client.fetch_many(urls)])

            gets = [client.get(server.url(paths[n % 4], HOSTS[n % 5])) for n in range(100)]
            numbers = await asyncio.gather(fetch_list(300), fetch_list(200), *gets)
            assert numbers[:2] == [300, 200]
            await idle(client)
        assert server.seen.most_at_once <= 12
        assert all(host.most_at_once <= 3 for host in server.seen.by_host.values())
        assert server.seen.most_at_once > 6


class TestFairness:
    @pytest.mark.slow
    async def test_a_slow_host_does_not_hold_up_fast_ones(self) -> None:
        """600 URLs of a slow host come first; 1,000 URLs of 100 fast hosts do not wait for them.

        The slow host answers nothing before the fast ones are done: if they waited for it, it would be for ever.
        """
        fast_hosts = [f"127.0.1.{n}" for n in range(1, 101)]
        answers: dict[str, Answer] = {"/fast": Reply(200, b"x"), "/slow": Script(Silence())}
        async with FaultServer(answers, addresses=["127.0.0.1", *fast_hosts]) as server:
            entries = [server.url("/slow")] * 600
            entries += [server.url("/fast", fast_hosts[n % 100]) for n in range(1000)]
            async with Client(limits=Limits(total=20, per_host=2)) as client:
                fast = 0
                async with asyncio.timeout(20), client.fetch_many(entries) as results:
                    async for result in results:
                        fast += result.index > 600
                        if fast == 1000:
                            break
                slow = server.seen.by_path["/slow"]
            assert server.seen.most_at_once <= 20
            assert max(host.most_at_once for host in server.seen.by_host.values()) <= 2
            assert slow == 2


SCRIPTS = {
    "a list is left open": """
        async def main():
            client = asyncfetch.Client()
            await client.__aenter__()
            results = client.fetch_many([url] * 1000)
            await anext(results)
            globals()["kept"] = results, client
    """,
    "a list is left by break": """
        async def main():
            async with asyncfetch.Client() as client:
                async for _ in client.fetch_many([url] * 1000):
                    break
    """,
    "the shortcut is left by break": """
        async def main():
            async for _ in asyncfetch.fetch_many([url] * 1000):
                break
    """,
    "the main task is cancelled": """
        async def main():
            try:
                async with asyncfetch.Client() as client:
                    async for result in client.fetch_many(itertools.repeat(url)):
                        if result.index == 100:
                            asyncio.current_task().cancel()
            except asyncio.CancelledError:
                print("cancelled", client.stats.total.in_flight)
    """,
    "Ctrl-C": """
        async def main():
            async with asyncfetch.Client() as client:
                async for result in client.fetch_many(itertools.repeat(url)):
                    if result.index == 100:
                        os.kill(os.getpid(), signal.SIGINT)
    """,
}

# A program that was started in the background ignores SIGINT; what asyncio remarks on a slow step is not ours.
FRAME = """
import asyncio, itertools, logging, os, signal, sys
import asyncfetch
signal.signal(signal.SIGINT, signal.default_int_handler)
logging.getLogger("asyncio").setLevel(logging.ERROR)
url = sys.argv[1]
{main}
try:
    if sys.argv[2] == "uvloop":
        import uvloop
        uvloop.run(main())
    else:
        asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""

PRINTED = {"the main task is cancelled": "cancelled 0\n", "Ctrl-C": "interrupted\n"}


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_the_end_of_the_loop(fault_server: FaultServer, script: str, loop: str) -> None:
    """A program may end with a list under way: no warning, no trace, no hang."""
    fault_server.route("/", Reply(200, b"x"))
    source = FRAME.format(main=textwrap.dedent(SCRIPTS[script]))
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", source, fault_server.url(), loop],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == (PRINTED.get(script, ""), "", 0)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(("host", "robots"), [("127.0.0.1", False), ("localhost", False), ("127.0.0.1", True)])
def test_the_end_of_the_loop_at_every_step(fault_server: FaultServer, host: str, robots: bool, loop: str) -> None:
    """At its end a loop cancels all tasks; one that had no first step yet leaves nothing behind and nobody waiting.

    The list is read by a task of its own, which then waits for all to be given back; that must not be for ever.
    """
    fault_server.route("/", Reply(200, b"x"))
    url = fault_server.url().replace("127.0.0.1", host)

    async def end_after(steps: int) -> tuple[Client, asyncio.Task[None]]:
        client = await Client(robots=robots).__aenter__()

        async def consume() -> None:
            async with asyncio.timeout(5), client.fetch_many([url] * 20) as results:
                async for _ in results:
                    pass

        consumer = asyncio.create_task(consume())
        for _ in range(steps):
            await asyncio.sleep(0)
        return client, consumer

    for steps in range(25):
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            client, consumer = runner.run(end_after(steps))
        assert consumer.done()
        assert consumer.cancelled() or consumer.exception() is None
        assert not client._batches
        assert client._turns.frontier.in_flight == client.stats.total.in_flight == client.stats.total.queued == 0
    gc.collect()  # a coroutine that was never awaited is a warning


async def test_entries_of_an_async_source_have_their_turns_as_soon_as_they_are_read(server: FaultServer) -> None:
    """Whoever waits between its entries does not hold those up that it has given."""
    in_flight: list[int] = []

    async def entries(client: Client) -> AsyncIterator[str]:
        for n in range(5):
            in_flight.append(client.stats.total.in_flight)
            yield server.url(f"/{n}")

    async with Client(limits=Limits(total=2)) as client:
        assert len([result async for result in client.fetch_many(entries(client))]) == 5
    assert in_flight == [0, 1, 2, 2, 2]


async def test_a_list_does_not_wait_for_its_whole_window_before_it_begins(server: FaultServer) -> None:
    """Some entries are taken at once from what is there, not all of them."""
    in_flight: list[int] = []

    def entries(client: Client) -> Iterator[str]:
        for n in range(200):
            in_flight.append(client.stats.total.in_flight)
            yield server.url(f"/{n}")

    async with Client(limits=Limits(total=2)) as client:
        assert len([result async for result in client.fetch_many(entries(client))]) == 200
    assert in_flight == [0] * 64 + [2] * 136


async def test_timeouts_of_one_entry(server: FaultServer) -> None:
    """A list can differ line by line."""
    server.route("/slow", Reply(200, delay=0.05))
    async with Client(retry=Retry(attempts=1)) as client:
        entries = [Request(server.url("/slow"), timeouts=Timeouts(head=0.01)), Request(server.url("/slow"))]
        results = {result.index: result async for result in client.fetch_many(entries)}
    assert results[1].error is not None
    assert results[1].error.code == "timeout.head"
    assert not isinstance(results[1].error, StatusError)
    assert results[2].ok
