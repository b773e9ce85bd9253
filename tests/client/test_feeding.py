"""From a source to a list: a few entries at a time, each of which has its result, however the source ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from asyncfetch import Client, FetchMany, Limits, Request, Result, Retry
from asyncfetch.client import Batched
from asyncfetch.testing import FaultServer, Reply, SeenRequest

HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    async with FaultServer({"*": Reply(200, b"x")}, addresses=HOSTS) as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client with a small window, that has nothing left to do at the end."""
    async with Client(limits=Limits(total=4, queued=20, buffered=8), retry=Retry(attempts=1)) as client:
        yield client
        assert client._turns.frontier.in_flight == 0
        assert not any(host.queued for host in client.stats)


async def all_of(results: FetchMany) -> list[Result]:
    async with asyncio.timeout(10):
        return sorted([result async for result in results], key=lambda result: result.index)


async def until_error(results: FetchMany) -> tuple[list[int], Exception]:
    """The indices of the ok results before an error, and the error."""
    indices: list[int] = []
    try:
        async with asyncio.timeout(10):
            async for result in results:
                assert result.ok
                indices += [result.index]
    except (ValueError, TypeError) as error:
        return sorted(indices), error
    raise AssertionError("no error came")


@pytest.mark.parametrize("sizes", [[], [1], [100], [3, 1, 64, 65, 20]])
async def test_entries_may_come_in_batches(server: FaultServer, client: Client, sizes: list[int]) -> None:
    """As many at a time as the source likes, until it gives none; they are numbered on from one to the next."""
    given = iter(sizes)

    async def some() -> Sequence[str | Request]:
        await asyncio.sleep(0)
        return [server.url(f"/{n}", HOSTS[n % 3]) for n in range(next(given, 0))]

    results = await all_of(client.fetch_many(Batched(some)))
    assert [result.index for result in results] == list(range(1, sum(sizes) + 1))
    assert all(result.ok for result in results)
    assert next(given, None) is None


async def test_batches_that_fail_end_the_list_after_what_they_gave(server: FaultServer, client: Client) -> None:
    """What came before has its results; then the error is raised."""
    batches = iter([[server.url("/1"), server.url("/2")]])

    async def some() -> Sequence[str | Request]:
        try:
            return next(batches)
        except StopIteration:
            raise ValueError("no more") from None

    indices, error = await until_error(client.fetch_many(Batched(some)))
    assert (indices, str(error)) == ([1, 2], "no more")


@pytest.mark.parametrize("number", [1, 7, 64, 100])
async def test_source_that_raises_among_its_entries(server: FaultServer, client: Client, number: int) -> None:
    """Every entry before the error has its result, though they are taken many at a time."""

    def entries() -> Iterator[str]:
        for n in range(number):
            yield server.url(f"/{n}", HOSTS[n % 3])
        raise ValueError("the source is broken")

    indices, error = await until_error(client.fetch_many(entries()))
    assert (indices, str(error)) == (list(range(1, number + 1)), "the source is broken")


async def test_entry_that_is_none_among_others(server: FaultServer, client: Client) -> None:
    """Misuse in the middle is told after the results of what stood before it."""
    entries: list[str] = [server.url("/1"), server.url("/2"), 3, server.url("/4")]  # type: ignore[list-item]
    indices, error = await until_error(client.fetch_many(entries))
    assert indices == [1, 2]
    assert "neither a str nor a Request, but of type int" in str(error)


@pytest.mark.parametrize("at", [0, 1, 10])
async def test_source_that_stops_its_own_list(server: FaultServer, client: Client, at: int) -> None:
    """No entry is asked for after that, what has not begun is given up, and the list ends."""
    fetching: list[FetchMany] = []
    asked = 0

    def entries() -> Iterator[str]:
        nonlocal asked
        for n in range(1000):
            asked = n
            if n == at:
                fetching[0].stop()
            yield server.url(f"/{n}")

    fetching.append(client.fetch_many(entries()))
    results = await all_of(fetching[0])
    assert len(results) <= at
    assert asked == at


async def test_hosts_that_take_turns_keep_their_order(server: FaultServer) -> None:
    """Entries of one host have their turns in the order in which they stand, alone or among others."""
    hosts = ["aab"[n % 3] if n % 7 else "c" for n in range(60)]
    address = dict(zip("abc", HOSTS, strict=True))
    urls = [server.url(f"/{n}", address[host]) for n, host in enumerate(hosts)]
    async with Client(limits=Limits(total=3, per_host=1)) as client:
        assert all(result.ok for result in await all_of(client.fetch_many(urls)))
    for host in "abc":
        paths = [seen.target for seen in server.seen.log if seen.host.startswith(f"{address[host]}:")]
        assert paths == [f"/{n}" for n, of in enumerate(hosts) if of == host]


async def test_too_many_results_of_what_cannot_be_fetched_hold_the_source_up(
    server: FaultServer, client: Client
) -> None:
    """It goes on when they are taken."""
    read = 0

    def entries() -> Iterator[str]:
        nonlocal read
        for read in range(1, 501):
            yield "no URL" if read % 5 else server.url(f"/{read}")

    fetching = client.fetch_many(entries())
    async with asyncio.timeout(20):
        first = await anext(fetching)
        await asyncio.sleep(0.05)
        assert read < 200, "eight results may wait, and a window of twenty"
        assert len({result.index async for result in fetching} | {first.index}) == 500


@pytest.mark.parametrize("size", [1, 3, 10, 100])
async def test_source_of_small_batches_waits_as_any_other(server: FaultServer, size: int) -> None:
    """However few come at a time: no more is read than the overflow may hold, and others have their go."""
    answers = asyncio.Event()

    async def answer(_: SeenRequest) -> Reply:
        await answers.wait()
        return Reply(200, b"x")

    server.route("/slow", answer)
    given = 0

    async def some() -> Sequence[str | Request]:  # never waits itself
        nonlocal given
        given += size
        return [server.url(f"/slow?{n}", HOSTS[0]) for n in range(given, given + size)] if given < 20_000 else []

    limits = Limits(total=4, per_host=1, queued=20, overflow=20_000)
    async with Client(limits=limits) as client, client.fetch_many(Batched(some)) as fetching:
        first = asyncio.ensure_future(fetching.some(1))
        async with asyncio.timeout(10):
            while client.stats.total.in_flight == 0:
                await asyncio.sleep(0)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert given < 1500, "an entry takes some 30 bytes of the overflow, if nothing else"
        answers.set()
        assert [result.ok for result in await first] == [True]


@pytest.mark.parametrize("most", [0, -1])
async def test_no_result_cannot_be_asked_for(server: FaultServer, client: Client, most: int) -> None:
    """An empty answer would be taken for the end."""
    async with client.fetch_many([server.url("/1")]) as fetching:
        with pytest.raises(ValueError, match=f"at least 1 result can be asked for, not {most}"):
            await fetching.some(most)
        assert len(await fetching.some(1)) == 1
        assert await fetching.some(1) == []


async def test_refused_by_robots_holds_the_source_up_like_any_other(server: FaultServer) -> None:
    """Entries that end as soon as they are queued: no more results wait than may, once the file is known."""
    server.route("/robots.txt", Reply(200, b"User-agent: *\nDisallow: /x"))
    limits = Limits(total=4, queued=200, buffered=4)
    async with Client(robots=True, limits=limits) as client:
        assert (await client.get(server.url("/"))).status_code == 200
        async with client.fetch_many(server.url(f"/x{n}") for n in range(300)) as fetching:
            assert len(await fetching.some(1)) <= 4
            assert len(await all_of(fetching)) >= 296
