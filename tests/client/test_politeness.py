"""Politeness through real sockets: what servers see of it, and what becomes of the list."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import AsyncExitStack
from time import monotonic

import pytest

from asyncfetch import (
    Client,
    HostSettings,
    HostState,
    HostUnavailable,
    Limits,
    Politeness,
    Request,
    Result,
    Retry,
    Timeouts,
)
from asyncfetch.testing import (
    Answer,
    Close,
    FaultServer,
    Reply,
    Script,
    SeenRequest,
    Sequence,
    Silence,
    blackhole,
    redirect,
    unused_port,
)
from tests.soon import SOON

ONE, TWO, THREE = "127.0.0.1", "127.0.0.2", "127.0.0.3"
QUICK = Politeness(probes=(0.02, 0.04, 0.08))
X = Reply(200, b"x")


async def all_of(client: Client, urls: list[str]) -> list[Result]:
    return [result async for result in client.fetch_many(urls)]


def codes(results: list[Result]) -> Counter[str]:
    return Counter(result.code or "ok" for result in results)


# --- pauses that were asked for


@pytest.mark.slow
async def test_one_host_of_three_asks_for_time() -> None:
    """The other two finish as if alone; its requests come when it said."""

    def busy_at_first(request: SeenRequest) -> Reply:
        is_early = request.host.startswith(THREE) and request.time < begun + 1.0
        return Reply(429, headers={"Retry-After": "1"}) if is_early else X

    async with FaultServer({"*": busy_at_first}, addresses=(ONE, TWO, THREE)) as server:
        urls = [server.url(f"/{n}", host) for n in range(20) for host in (ONE, TWO, THREE)]
        async with Client() as client:
            begun, ended = monotonic(), dict[str, float]()
            async for result in client.fetch_many(urls):
                assert result.ok
                assert result.attempts == 1
                ended[result.url.split("/")[2].partition(":")[0]] = monotonic() - begun
    assert ended[ONE] < 0.9
    assert ended[TWO] < 0.9
    refused = [request for request in server.seen.log if request.host.startswith(THREE)]
    late = [request.time - begun for request in refused if request.time > begun + 0.9]
    assert len(late) == 20
    assert min(late) >= 1.0
    assert max(late) <= 1.0 + SOON


@pytest.mark.parametrize(
    "fields",
    [
        {"Retry-After": "0.5"},
        {"Retry-After": "-1"},
        {"Retry-After": "nan"},
        {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "-5"},
    ],
)
async def test_garbage_is_not_waited_for(fields: dict[str, str]) -> None:
    """It is tried again as if nothing had been said."""
    routes = {"/": Sequence(Reply(503, headers=fields), X)}
    async with FaultServer(routes) as server, Client(retry=Retry(backoff=0.01)) as client:
        async with asyncio.timeout(SOON):
            assert (await client.get(server.url())).content == b"x"
        assert client.stats.total.retries == 1


@pytest.mark.parametrize("value", ["9999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_wait_without_an_end_is_bounded(value: str) -> None:
    """By `Retry.max_wait`."""
    routes = {"/": Sequence(Reply(503, headers={"Retry-After": value}), X)}
    async with FaultServer(routes) as server, Client(retry=Retry(max_wait=0.05)) as client, asyncio.timeout(SOON):
        assert (await client.get(server.url())).content == b"x"


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields", [{"RateLimit": '"a";r=0;t=1'}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}]
)
async def test_a_good_answer_that_was_the_last_for_now_pauses_the_host(fields: dict[str, str]) -> None:
    """The next request comes when the host has something left again; nothing is refused."""
    async with FaultServer({"/last": Reply(200, b"x", headers=fields), "*": X}) as server, Client() as client:
        await client.get(server.url("/last"))
        [stats] = client.stats.hosts.values()
        assert (stats.state, stats.reason) == (HostState.WAITING, "RateLimit")
        await client.get(server.url("/next"))
    first, second = server.seen.log
    assert 0.99 <= second.time - first.time <= SOON


@pytest.mark.slow
@pytest.mark.parametrize("to", [ONE, TWO])
async def test_a_redirect_that_asks_for_time_gets_it(to: str) -> None:
    """Wherever it leads (RFC 9110 section 10.2.3)."""
    async with FaultServer({"*": X}, addresses=(ONE, TWO)) as server:
        reply = Reply(302, headers={"Location": server.url("/to", to), "Retry-After": "1"})
        server.route("/from", reply)
        async with Client(retry=Retry(max_wait=0.3)) as client:
            await client.get(server.url("/from", ONE))
    first, second = server.seen.log
    assert 0.29 <= second.time - first.time <= SOON


# --- too many


class PerSecond:
    """Answers so many requests in any second, the others get a 429."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: deque[float] = deque()
        self.refused: list[float] = []

    def __call__(self, request: SeenRequest) -> Reply:
        while self._taken and self._taken[0] <= request.time - 1.0:
            self._taken.popleft()
        if len(self._taken) >= self._most:
            self.refused.append(request.time)
            return Reply(429)
        self._taken.append(request.time)
        return X


class AtOnce:
    """Answers so many requests at once, in 50 ms each; the others get a 429."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy = 0
        self.found: list[int] = []
        self.refused: list[float] = []

    async def __call__(self, request: SeenRequest) -> Reply:
        self.found.append(self._busy)
        if self._busy >= self._most:
            self.refused.append(request.time)
            return Reply(429)
        self._busy += 1
        try:
            await asyncio.sleep(0.05)
        finally:
            self._busy -= 1
        return X


@pytest.mark.slow
@pytest.mark.parametrize(("host", "urls"), [(AtOnce(4), 250), (PerSecond(50), 200)])
async def test_a_server_that_refuses_gets_what_it_allows(host: PerSecond | AtOnce, urls: int) -> None:
    """Nothing is lost and little is refused; how much is used in what time is for `scheduler/test_adapt.py`."""
    host = type(host)(host._most)
    async with FaultServer({"*": host}) as server, Client() as client:
        results = await all_of(client, [server.url(f"/{n}") for n in range(urls)])
    assert codes(results) == {"ok": urls}
    assert len(host.refused) <= urls // 10
    if isinstance(host, AtOnce):
        assert sum(host.found) >= len(host.found), "each found one other under way, or more, on the average"


# --- hosts that are not there


async def test_a_dead_host_costs_a_handful_of_connects() -> None:
    """All its URLs fail, most of them without a try, and say why."""
    port = unused_port()
    async with Client(politeness=QUICK) as client:
        results = await all_of(client, [f"http://{ONE}:{port}/{n}" for n in range(300)])
        [stats] = client.stats.hosts.values()
    found = codes(results)
    assert set(found) <= {"host.unavailable", "connect.refused"}
    assert found["host.unavailable"] > 290
    assert client.stats.total.retries < 12
    assert stats.queued == stats.in_flight == 0
    assert (stats.state, stats.reason) == (HostState.BROKEN, "connection refused")
    error = results[-1].error
    assert isinstance(error, HostUnavailable)
    assert "given up after 8 failures in a row: connection refused" in error.detail


async def test_single_requests_see_a_broken_host_too() -> None:
    """`get` waits for the probes, then fails at once."""
    port = unused_port()
    async with Client(politeness=QUICK, retry=Retry(attempts=1)) as client:
        for _ in range(8):
            with pytest.raises(Exception, match="refused"):
                await client.get(f"http://{ONE}:{port}/")
        with pytest.raises(HostUnavailable, match="given up"):
            await client.get(f"http://{ONE}:{port}/")


@pytest.mark.parametrize("answer", [Script(Close()), Script(Silence())])
async def test_a_host_that_takes_requests_and_says_nothing_is_broken(answer: Answer) -> None:
    """It closes without a byte, or is silent for ever."""
    client = Client(politeness=QUICK, timeouts=Timeouts(head=0.05), retry=Retry(attempts=1))
    async with FaultServer({"*": answer}) as server, client:
        results = await all_of(client, [server.url(f"/{n}") for n in range(100)])
    assert codes(results)["host.unavailable"] > 85
    assert server.seen.requests <= 15


async def test_a_host_that_comes_back_is_asked_again() -> None:
    """A probe that is answered makes it whole: nothing is lost but what had failed before."""
    async with AsyncExitStack() as stack:
        port = unused_port()
        client = await stack.enter_async_context(
            Client(politeness=Politeness(probes=(0.1, 0.2, 5.0)), retry=Retry(attempts=9, backoff=0.0))
        )
        listing = asyncio.create_task(all_of(client, [f"http://{ONE}:{port}/{n}" for n in range(50)]))
        while not client.stats.hosts or next(iter(client.stats.hosts.values())).state is not HostState.BROKEN:
            await asyncio.sleep(0.005)
        server = await stack.enter_async_context(FaultServer({"*": Reply(200, b"x", delay=0.01)}, port=port))
        assert codes(await asyncio.wait_for(listing, SOON)) == {"ok": 50}
        assert server.seen.most_at_once > 1


@pytest.mark.slow
async def test_dead_silent_and_slow_hosts_do_not_keep_a_fast_one() -> None:
    """One refuses, one swallows connections, one answers when the fast one is done: that waits for none of them."""
    fast_is_done = asyncio.Event()

    async def answer_late(_: SeenRequest) -> Reply:
        await fast_is_done.wait()
        return Reply(200, b"s")

    async with (
        FaultServer({"/slow": answer_late, "*": X}, addresses=(ONE, TWO)) as server,
        asyncio.timeout(2 * SOON),
    ):
        dead = unused_port(ONE)
        with blackhole(THREE) as silent:
            urls = [
                url
                for n in range(100)
                for url in (
                    f"http://{ONE}:{dead}/{n}",
                    f"http://{THREE}:{silent}/{n}",
                    server.url("/slow", TWO),
                    *(server.url(f"/{n}/{m}", ONE) for m in range(10)),
                )
            ]
            fast = 0
            seen: Counter[str] = Counter()
            politeness = Politeness(probes=(0.1, 0.2, 0.4))
            async with Client(timeouts=Timeouts(connect=0.3), politeness=politeness) as client:
                async for result in client.fetch_many(urls):
                    seen[result.code or "ok"] += 1
                    fast += result.ok and f"{ONE}:{server.port}" in result.url
                    if fast == 1000:
                        fast_is_done.set()
    assert seen["ok"] == 1100
    assert sum(seen.values()) == 1300
    assert seen["host.unavailable"] > 170


# --- what is seen of it


async def test_a_host_that_is_asked_seldom_says_so_while_it_waits() -> None:
    """By whose wish, and how long from one start to the next: nobody takes it for idle or done."""
    crawl = Reply(200, b"User-agent: *\nCrawl-delay: 90\n")
    async with FaultServer({"/robots.txt": crawl, "*": X}) as server:
        for politeness, robots, note, seconds in [
            (Politeness(delay=60), False, "every 60 s: delay", 60.0),
            (Politeness(rate=0.1), False, "every 10 s: rate", 10.0),
            (Politeness(), True, "every 90 s: robots.txt", 90.0),
        ]:
            client = Client(politeness=politeness, robots=robots)
            async with client, client.fetch_many([server.url("/1"), server.url("/2")]) as fetching:
                assert (await anext(fetching)).ok
                [stats] = client.stats.hosts.values()
                seen = (stats.state, stats.reason, stats.note, stats.interval, stats.queued)
                assert seen == (HostState.OK, note, note, seconds, 1)


# --- bytes


@pytest.mark.slow
async def test_bodies_come_no_faster_than_they_may() -> None:
    """Over all hosts, large and small ones; a host of its own has its own limit besides."""
    routes: dict[str, Answer] = {"/large": Reply(200, b"x" * 400_000), "*": Reply(200, b"y" * 4000)}
    async with FaultServer(routes, addresses=(ONE, TWO)) as server:
        own = {TWO: HostSettings(limit_rate=200_000)}
        async with Client(politeness=Politeness(limit_rate=800_000), hosts=own) as client:
            begun = monotonic()
            await asyncio.gather(client.get(server.url("/large", ONE)), client.get(server.url("/small", ONE)))
            first = monotonic() - begun
            results = await all_of(client, [server.url(f"/{n}", TWO) for n in range(30)])
            second = monotonic() - begun - first
    assert codes(results) == {"ok": 30}
    assert 0.4 <= first <= SOON
    assert 0.5 <= second <= SOON


async def test_a_redirect_loop_and_a_404_are_answers() -> None:
    """They neither break a host nor slow it down."""
    async with FaultServer({"/loop": redirect("/loop"), "*": Reply(404)}) as server, Client() as client:
        await all_of(client, [server.url("/loop" if n % 2 else f"/{n}") for n in range(40)])
        [stats] = client.stats.hosts.values()
    assert (stats.state, stats.note, stats.limit) == (HostState.OK, "", 6)


async def test_places_that_a_host_gains_are_used_although_nothing_is_added() -> None:
    """A list that was read to its end long ago goes on with more at once as the limit grows."""
    async with FaultServer({"*": Reply(200, b"x", delay=0.02)}) as server, Client() as client:
        assert codes(await all_of(client, [server.url(f"/{n}") for n in range(60)])) == {"ok": 60}
    assert server.seen.most_at_once == 6


@pytest.mark.slow
async def test_a_hundred_thousand_urls_of_a_dead_host_cost_next_to_nothing() -> None:
    """A handful of connects; most of the URLs are not even queued."""
    port, number = unused_port(), 100_000
    async with Client(politeness=QUICK) as client:
        found = Counter[str]()
        async for result in client.fetch_many(f"http://{ONE}:{port}/{n}" for n in range(number)):
            found[result.code or "ok"] += 1
        [stats] = client.stats.hosts.values()
    assert found.total() == stats.done == stats.failed == number
    assert found["host.unavailable"] > number - 10
    assert client.stats.total.retries < 12


async def test_what_ends_with_its_host_waits_for_its_consumer() -> None:
    """Most entries wait on disk when the host is given up; they end as fast as the results are taken, each once."""
    port, number, most = unused_port(), 2000, 0
    limits = Limits(queued=50, buffered=20)
    async with Client(limits=limits, politeness=QUICK) as client:
        results = client.fetch_many(f"http://{ONE}:{port}/{n}" for n in range(number))
        found = set()
        async for result in results:
            found.add(result.index)
            if result.index % 10 == 0:
                await asyncio.sleep(0)
            assert results._batch is not None
            most = max(most, len(results._batch.results))
    assert found == set(range(1, number + 1))
    assert most <= limits.buffered + 16


async def test_misuse_is_told_also_where_the_host_was_given_up() -> None:
    """Whether it is depends on the request alone."""
    url = f"http://{ONE}:{unused_port()}/"
    async with Client(politeness=QUICK) as client:
        assert (await all_of(client, [url] * 20))[-1].code == "host.unavailable"
        with pytest.raises(TypeError, match="max_body"):
            await all_of(client, [Request(url, max_body="five")])  # type: ignore[arg-type, list-item]


@pytest.mark.slow
async def test_a_host_that_was_given_up_is_asked_again_after_a_rest() -> None:
    """A service that runs for days does not write a host off for ever."""
    port = unused_port()
    async with Client(politeness=Politeness(probes=(), rest=1.0), retry=Retry(attempts=1)) as client:
        await all_of(client, [f"http://{ONE}:{port}/{n}" for n in range(9)])
        with pytest.raises(HostUnavailable):
            await client.get(f"http://{ONE}:{port}/")
        async with FaultServer({"*": X}, port=port) as server:
            await asyncio.sleep(1.1)
            results = await all_of(client, [server.url(f"/{n}") for n in range(9)])
    assert codes(results) == {"ok": 9}
