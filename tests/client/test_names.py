"""Names of a list are looked up beside its turns: slow ones keep nothing from anybody."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from asyncfetch import Client, ConnectTimeout, Limits, Network, Result, Retry, Timeouts
from asyncfetch.streams.resolver import AddrInfo
from asyncfetch.testing import FaultServer, Reply, redirect
from tests.soon import SOON

ONCE = Retry(attempts=1)


class Names:
    """Instead of `getaddrinfo`: every name is the loopback address, after a while or when it is let."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.takes = 0.0
        self.may_go = threading.Event()
        self.may_go.set()
        self.failing: set[str] = set()

    def __call__(self, host: str, *_: object, **__: object) -> list[AddrInfo]:
        self.calls[host] += 1
        time.sleep(self.takes)
        if host.startswith("stuck"):
            self.may_go.wait(SOON)
        if host in self.failing:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    async with FaultServer({"*": Reply(200, b"x")}) as server:
        yield server


def client_with(
    names: Names,
    *,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    network: Network | None = None,
) -> Client:
    client = Client(limits=limits, retry=ONCE, timeouts=timeouts, network=network)
    client._resolver._lookup = names
    return client


def named(server: FaultServer, name: str, path: str = "/") -> str:
    return f"http://{name}.test:{server.port}{path}"


async def test_slow_names_do_not_slow_a_fast_host(server: FaultServer, names: Names) -> None:
    """Many more slow names than places stand before it, and it is done before any of them is there."""
    names.may_go.clear()
    slow = [named(server, f"stuck{number}") for number in range(60)]
    fast = [server.url(f"/{number}") for number in range(100)]
    results: list[Result] = []
    async with client_with(names, limits=Limits(total=8), network=Network(resolver_threads=20)) as client:
        async for result in client.fetch_many(slow + fast):
            results.append(result)
            assert client._turns.frontier.in_flight <= 8
            if len(results) == 100:
                names.may_go.set()
        assert not client._turns.frontier.hosts
    order = [".test" in result.url for result in results]
    assert order == [False] * 100 + [True] * 60
    assert [result.ok for result in results] == [True] * 160
    assert names.calls == Counter({f"stuck{number}.test": 1 for number in range(60)})


async def test_one_look_up_serves_a_whole_list(server: FaultServer, names: Names) -> None:
    """Ten hosts with one name, and many URLs each, ask once; the time it took is that of the first requests."""
    names.takes = 0.02
    other = [named(server, "a", f"/{number}") for number in range(50)]
    async with client_with(names) as client:
        results = [result async for result in client.fetch_many(other)]
    assert names.calls == Counter({"a.test": 1})
    times = [result.timings.dns for result in results if result.timings.dns is not None]
    assert max(times) >= 0.02
    assert all((result.timings.queue or 0) >= 0.02 for result in results)


async def test_a_name_that_does_not_exist_is_asked_for_once(server: FaultServer, names: Names) -> None:
    """All its URLs have that error, and others are not concerned."""
    names.failing = {"no.test"}
    urls = [named(server, "no", f"/{number}") for number in range(10)] + [named(server, "yes")]
    async with client_with(names) as client:
        codes = Counter([result.code async for result in client.fetch_many(urls)])
    assert codes == Counter({"dns.not_found": 10, None: 1})
    assert names.calls == Counter({"no.test": 1, "yes.test": 1})


@pytest.mark.parametrize("ttl", [0, 60])
async def test_a_redirect_to_another_name_waits_beside_the_places_too(
    server: FaultServer, names: Names, ttl: int
) -> None:
    """Also where answers are not kept at all."""
    server.route("/moved", redirect(named(server, "b", "/there")))
    async with client_with(names, network=Network(name_ttl=ttl)) as client:
        results = [result async for result in client.fetch_many([named(server, "a", "/moved")] * 3)]
    assert [result.response.url for result in results if result.response] == [named(server, "b", "/there")] * 3


async def test_a_stuck_look_up_ends_with_the_connect_timeout(server: FaultServer, names: Names) -> None:
    """Its URL has the error of old, no place was held, and leaving takes no longer for it."""
    names.may_go.clear()
    try:
        async with client_with(names, limits=Limits(total=1), timeouts=Timeouts(connect=0.1)) as client:
            urls = [named(server, "stuck"), *[server.url()] * 3]
            results = [result async for result in client.fetch_many(urls)]
            began = time.monotonic()
        assert time.monotonic() - began < SOON
    finally:
        names.may_go.set()
    assert [result.ok for result in results] == [True, True, True, False]
    assert isinstance(results[-1].error, ConnectTimeout)
    assert "while resolving the name" in str(results[-1].error)
    while any(thread.name.startswith("asyncfetch-dns") for thread in threading.enumerate()):
        await asyncio.sleep(0.001)


async def test_leaving_while_names_are_looked_up(server: FaultServer, names: Names) -> None:
    """A list that is given up leaves no host held, and the next one is served."""
    names.takes = 0.05
    async with client_with(names) as client:
        fetching = client.fetch_many([named(server, f"n{number}") for number in range(10)])
        waiting = asyncio.ensure_future(anext(fetching))
        await asyncio.sleep(0.01)
        await fetching.aclose()
        await asyncio.wait([waiting])
        again = client.fetch_many([named(server, f"n{number}") for number in range(10)])
        assert [result.ok async for result in again] == [True] * 10
        async with asyncio.timeout(5):
            while client._turns.frontier.hosts:
                await asyncio.sleep(0.001)


async def test_a_single_request_looks_up_in_its_own_turn(server: FaultServer, names: Names) -> None:
    """What it took is a part of its total time."""
    names.takes = 0.02
    async with client_with(names) as client:
        response = await client.get(named(server, "a"))
    assert 0.02 <= (response.timings.dns or 0) <= (response.timings.total or 0)


async def test_a_connection_that_waits_needs_no_name(server: FaultServer, names: Names) -> None:
    """When an answer is too old, and the name server is gone, what is connected goes on."""
    async with client_with(names, network=Network(name_ttl=0), timeouts=Timeouts(connect=5)) as client:
        assert (await client.get(named(server, "a"))).status_code == 200
        names.failing = {"a.test"}
        results = [result async for result in client.fetch_many([named(server, "a")])]
    assert [result.ok for result in results] == [True]
    assert names.calls == Counter({"a.test": 1})
