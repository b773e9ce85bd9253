"""Connections that wait for their next request, on real sockets: kept, dropped, swept, closed."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from time import monotonic
from typing import Any

import pytest

from asyncfetch.errors import Cancelled, ConnectRefused, HeadTimeout, IncompleteMessage
from asyncfetch.settings import Limits, Network, Timeouts, TLSSettings
from asyncfetch.streams import pool as pool_module
from asyncfetch.streams.connection import Connection
from asyncfetch.streams.dialler import Dialler
from asyncfetch.streams.exchange import Exchange, StaleConnection
from asyncfetch.streams.guard import allow_all
from asyncfetch.streams.heads import HeadParser
from asyncfetch.streams.pool import Pool
from asyncfetch.streams.request import encode_request
from asyncfetch.streams.resolver import Resolver
from asyncfetch.streams.tls import LazyContext
from asyncfetch.testing import (
    Close,
    Drip,
    FaultServer,
    Pause,
    Reply,
    Reset,
    Script,
    SeenRequest,
    Send,
    Silence,
    StopTLS,
    unused_port,
)
from asyncfetch.testing.fixtures import MakeFaultServer, TLSAuthority
from asyncfetch.trace import Trace
from asyncfetch.url import Origin, Url
from tests.soon import SOON

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
PARSER = HeadParser()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


class Pools:
    """Makes pools that are closed at the end of the test."""

    def __init__(self, authority: TLSAuthority) -> None:
        self._tls = LazyContext(TLSSettings(ca_file=authority.ca_file))
        self._made: list[Pool] = []
        self._resolver = Resolver(Network())

    def __call__(self, trace: Trace | None = None, kind: type[Dialler] = Dialler, **limits: Any) -> Pool:
        dialler = kind(self._resolver, allow_all, self._tls, stagger=0.05, trace=trace)
        self._made.append(Pool(dialler, Limits(**limits), trace))
        return self._made[-1]

    async def close(self) -> None:
        for pool in self._made:
            await pool.aclose()
            assert pool.in_use == pool.idle == len(pool._open) == 0
            assert pool._timer is None
        self._resolver.close()


@pytest.fixture
async def pools(tls_authority: TLSAuthority) -> AsyncIterator[Pools]:
    pools = Pools(tls_authority)
    yield pools
    await pools.close()


@pytest.fixture(params=["http", "https"])
def server(
    request: pytest.FixtureRequest, make_fault_server: MakeFaultServer, tls_authority: TLSAuthority
) -> FaultServer:
    """A server without TLS, and one with."""
    context = tls_authority.server_context("127.0.0.1") if request.param == "https" else None
    server = make_fault_server(ssl_context=context)
    server.route("/", Reply(200, b"hello"))
    return server


def origin_of(server: FaultServer) -> Origin:
    return Url.parse(server.url()).origin


async def begin(pool: Pool, server: FaultServer, path: str = "/", timeouts: Timeouts | None = None) -> Exchange:
    """Send a request and read the head of its answer."""
    origin = origin_of(server)
    connection = await pool.acquire(origin, 5)
    request = encode_request("GET", path, origin.authority, b"")
    timeouts = timeouts or Timeouts()
    exchange = await Exchange.begin(pool, connection, PARSER, request, "GET", timeouts, float("inf"))
    try:
        exchange.accept(None, lambda _: None)
    except BaseException:
        exchange.discard()
        raise
    return exchange


async def get(pool: Pool, server: FaultServer, path: str = "/", timeouts: Timeouts | None = None) -> bytes:
    """Fetch, and give the connection back."""
    exchange = await begin(pool, server, path, timeouts)
    try:
        content = await exchange.read_all()
    except BaseException:
        exchange.discard()
        raise
    exchange.release()
    return content


# --- reuse


async def test_connection_is_used_again(pools: Pools, server: FaultServer) -> None:
    """One request after the other goes over one connection, and whoever watches is told."""

    class Told(Trace):
        def __init__(self) -> None:
            self.reused: list[str] = []

        def reusing(self, address: str) -> None:
            self.reused.append(address)

    trace = Told()
    pool = pools(trace)
    for _ in range(3):
        assert await get(pool, server) == b"hello"
        assert (pool.idle, pool.in_use) == (1, 0)
    assert (server.seen.connections, pool.opened) == (1, 1)
    assert trace.reused == ["127.0.0.1", "127.0.0.1"]


async def test_used_last_is_used_first(pools: Pools, server: FaultServer) -> None:
    """Of several idle connections the one that was used last is the likeliest to be alive."""
    pool = pools()
    exchanges = [await begin(pool, server) for _ in range(3)]
    for exchange in exchanges:
        await exchange.read_all()
        exchange.release()
    assert (pool.idle, pool.opened) == (3, 3)
    for exchange in reversed(exchanges):
        assert await pool.acquire(origin_of(server), 5) is exchange.connection
    assert (pool.idle, pool.in_use) == (0, 3)
    for exchange in exchanges:
        pool.discard(exchange.connection)


async def test_idle_connection_has_no_deadline(pools: Pools, server: FaultServer) -> None:
    """What holds for an exchange ends with it: its connection may wait longer than any answer."""
    pool, timeouts = pools(), Timeouts(head=0.1, read=0.1, speed_time=0.1)
    pool.watch(timeouts)
    exchange = await begin(pool, server, timeouts=timeouts)
    await exchange.read_all()
    exchange.release()
    await asyncio.sleep(0.3)
    assert await get(pool, server) == b"hello"
    assert (pool.idle, server.seen.connections) == (1, 1)


async def test_fresh_is_new(pools: Pools, fault_server: FaultServer) -> None:
    """Who wants a new connection gets one, although an idle one is there."""
    fault_server.route("/", Reply(200, b"hello"))
    pool = pools()
    await get(pool, fault_server)
    connection = await pool.acquire(origin_of(fault_server), 5, fresh=True)
    assert connection.served == 0
    assert (pool.idle, pool.in_use, pool.opened) == (1, 1, 2)
    pool.discard(connection)


async def test_origins_share_nothing(pools: Pools, make_fault_server: MakeFaultServer) -> None:
    """A connection serves one origin only."""
    pool = pools()
    servers = [make_fault_server({"/": Reply(200, str(number).encode())}) for number in range(2)]
    for _ in range(2):
        assert [await get(pool, server) for server in servers] == [b"0", b"1"]
    assert [server.seen.connections for server in servers] == [1, 1]


async def test_what_fails_to_open_is_not_in_use(pools: Pools) -> None:
    """A connection that could not be opened takes no place."""
    pool = pools()
    with pytest.raises(ConnectRefused):
        await pool.acquire(Origin("http", f"127.0.0.1:{unused_port()}"), 5)
    assert (pool.in_use, pool.idle, pool.opened) == (0, 0, 0)


# --- what must not be used again


@pytest.mark.parametrize(
    "step",
    [Send(b"HTTP/1.1 500 Stray\r\nContent-Length: 5\r\n\r\nstray"), Close(), Reset(), StopTLS()],
    ids=["bytes", "close", "reset", "cut"],
)
async def test_surprise_on_an_idle_connection_drops_it(
    pools: Pools, server: FaultServer, step: Send | Close | Reset
) -> None:
    """An idle connection is dropped as soon as anything comes, and the next request gets its own answer."""
    server.route("/once", Script(Send(HELLO), Pause(0.01), step))
    pool = pools()
    assert await get(pool, server, "/once") == b"hello"
    assert pool.idle == 1
    await until(lambda: pool.idle == 0)
    assert await get(pool, server) == b"hello"
    assert server.seen.connections == 2


async def test_stray_bytes_never_reach_the_next_request(pools: Pools, server: FaultServer) -> None:
    """Bytes after a message close its connection: with it, behind it, or while this program did not look."""
    stray = b"HTTP/1.1 200 Stray\r\nContent-Length: 5\r\n\r\nstray"
    server.route("/with", Script(Send(HELLO + stray)))
    server.route("/behind", Script(Send(HELLO), Pause(0.005), Send(stray)))
    pool = pools()
    for path in ("/with", "/behind"):
        assert await get(pool, server, path) == b"hello"
        time.sleep(0.03)  # so that the loop cannot look
        assert await get(pool, server) == b"hello"
    assert server.seen.connections == 3
    assert not server.seen.malformed


async def test_end_that_nobody_has_read_yet_is_seen(pools: Pools, server: FaultServer) -> None:
    """A connection that the server has closed while this program did not look is not used, but the one before."""
    server.route("/last", Script(Send(HELLO), Pause(0.005), Close()))
    pool = pools()
    exchanges = [await begin(pool, server, path) for path in ("/", "/last")]
    for exchange in exchanges:
        await exchange.read_all()
        exchange.release()
    time.sleep(0.03)
    assert pool.idle == 2
    connection = await pool.acquire(origin_of(server), 5)
    assert connection is exchanges[0].connection
    assert (pool.idle, pool.opened) == (0, 2)
    pool.discard(connection)


async def test_release_of_what_is_not_quiet_closes_it(pools: Pools, server: FaultServer) -> None:
    """A connection on which something is left, or that has ended, is closed when it is given back."""
    server.route("/stray", Script(Send(HELLO + b"stray")))
    server.route("/close", Script(Send(HELLO), Close()))
    pool = pools()
    assert await get(pool, server, "/stray") == b"hello"
    assert pool.idle == 0
    exchange = await begin(pool, server, "/close")
    await exchange.read_all()
    await until(lambda: exchange.connection.reader.ended)
    exchange.release()
    assert (pool.idle, pool.in_use) == (0, 0)
    await until(lambda: server.seen.open_connections == 0)


async def test_connection_that_a_deadline_ended_is_not_idle(pools: Pools, server: FaultServer) -> None:
    """A deadline between the last byte and the release leaves no dead connection for the next request."""
    pool = pools()
    exchange = await begin(pool, server)
    await exchange.read_all()
    exchange.connection.expect_head(0.0, Timeouts(), 1.0)
    exchange.connection.check(monotonic())
    exchange.release()
    assert pool.idle == 0
    assert await get(pool, server) == b"hello"


async def test_finish_and_discard(pools: Pools, server: FaultServer) -> None:
    """`finish` closes in good order, `discard` at once, the other direction notwithstanding."""
    server.route("/silence", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), Silence()))
    pool = pools()
    exchange = await begin(pool, server)
    await exchange.read_all()
    pool.finish(exchange.connection)
    assert (pool.idle, pool.in_use) == (0, 0)
    await exchange.connection.wait_closed()
    exchange = await begin(pool, server, "/silence")
    pool.discard(exchange.connection)
    assert pool.in_use == 0
    await exchange.connection.wait_closed()
    assert not pool._open


# --- limits of idle connections


@pytest.mark.parametrize(("allowed", "kept"), [(0, 0), (2, 2), (5, 3)])
async def test_idle_connections_are_limited(
    pools: Pools, fault_server: FaultServer, allowed: int, kept: int
) -> None:
    """Of too many idle connections the oldest go."""
    fault_server.route("/", Reply(200, b"hello"))
    pool = pools(idle_total=allowed)
    exchanges = [await begin(pool, fault_server) for _ in range(3)]
    for exchange in exchanges:
        await exchange.read_all()
        exchange.release()
    assert pool.idle == kept
    last = [exchange.connection for exchange in exchanges[3 - kept :]]
    for connection in reversed(last):
        taken = await pool.acquire(origin_of(fault_server), 5)
        assert taken is connection
        pool.discard(taken)
    assert pool.idle == pool.drop_idle() == 0


async def test_idle_connections_expire(pools: Pools, server: FaultServer) -> None:
    """A connection that has been idle for too long is closed, the younger ones not."""
    pool = pools(idle_seconds=60)
    pool.watch(Timeouts(head=0.1))
    exchanges = [await begin(pool, server) for _ in range(2)]
    for exchange in exchanges:
        await exchange.read_all()
    for exchange in exchanges:
        exchange.release()
        exchange.connection.idle_since -= 59.9
    exchanges[0].connection.idle_since -= 60
    await until(lambda: pool.idle == 1)
    assert list(pool._by_age) == [exchanges[1].connection]
    await until(lambda: pool.idle == 0)
    assert exchanges[1].connection.idle_since + 60 <= monotonic()
    await until(lambda: server.seen.open_connections == 0)


async def test_descriptors_can_be_freed(pools: Pools, fault_server: FaultServer) -> None:
    """All idle connections are dropped on request, those in use are not."""
    fault_server.route("/", Reply(200, b"hello"))
    pool = pools()
    exchanges = [await begin(pool, fault_server) for _ in range(3)]
    for exchange in exchanges:
        await exchange.read_all()
    exchanges[0].release()
    exchanges[1].release()
    assert pool.drop_idle() == 2
    assert (pool.idle, pool.in_use) == (0, 1)
    assert pool.drop_idle() == 0
    exchanges[2].release()
    assert pool.idle == 1


# --- the sweep


async def test_sweep_keeps_deadlines(pools: Pools, server: FaultServer) -> None:
    """Deadlines are looked at often enough for the shortest timeout that was announced, in a running sweep too."""
    server.route("/silent", Script(Silence()))
    pool = pools()
    pool.watch(Timeouts())
    waiting = asyncio.ensure_future(get(pool, server, "/silent"))
    await until(lambda: pool.in_use == 1)
    assert pool._sweep_every == pool_module.SWEEP_EVERY
    short = Timeouts(head=0.1, total=2 * SOON)
    pool.watch(short)
    pool.watch(Timeouts())
    assert pool._sweep_every == pytest.approx(0.01)
    began = monotonic()
    with pytest.raises(HeadTimeout):
        await get(pool, server, "/silent", short)
    assert 0.09 < monotonic() - began < SOON
    waiting.cancel()
    await asyncio.wait([waiting])
    assert pool.in_use == 0


def has_timer(pool: Pool) -> bool:
    return pool._timer is not None


async def test_sweep_stops_when_nothing_is_to_watch(pools: Pools, fault_server: FaultServer) -> None:
    """The timer runs while a connection is in use or idle, and not before or after."""
    fault_server.route("/", Reply(200, b"hello"))
    pool = pools(idle_seconds=0.02)
    pool.watch(Timeouts(head=0.1))
    assert not has_timer(pool)
    for _ in range(2):
        await get(pool, fault_server)
        assert has_timer(pool)
        await until(lambda: pool.idle == 0)
        await until(lambda: not has_timer(pool))


@pytest.mark.slow
async def test_program_that_was_busy_does_not_blame_the_server(pools: Pools, server: FaultServer) -> None:
    """After a loop was blocked for longer than the read timeout, what came meanwhile is looked at first."""
    server.route("/", Script(Send(HELLO[:-5]), Drip(b"hello", every=0.05)))
    pool = pools()
    timeouts = Timeouts(read=0.4, speed_limit=0)
    pool.watch(timeouts)
    exchange = await begin(pool, server, timeouts=timeouts)
    await asyncio.sleep(0.01)
    time.sleep(0.6)
    assert await exchange.read_all() == b"hello"
    exchange.release()
    assert pool.idle == 1


# --- closing


async def test_closing_leaves_nothing(pools: Pools, server: FaultServer) -> None:
    """Idle connections and those in use are gone when `aclose` returns, with their sockets and the timer."""
    server.route("/silent", Script(Silence()))
    pool = pools()
    exchanges = [await begin(pool, server) for _ in range(2)]
    for exchange in exchanges:
        await exchange.read_all()
        exchange.release()
    waiting = asyncio.ensure_future(get(pool, server, "/silent"))
    await until(lambda: pool.in_use == 1)
    await pool.aclose()
    assert (pool.idle, pool.in_use, pool._timer) == (0, 0, None)
    assert not pool._open
    assert all(exchange.connection.is_lost for exchange in exchanges)
    with pytest.raises((IncompleteMessage, StaleConnection)):
        await waiting


@pytest.mark.slow
async def test_closing_does_not_wait_for_a_server_that_keeps_silent(
    pools: Pools, make_fault_server: MakeFaultServer, tls_authority: TLSAuthority
) -> None:
    """A TLS server that does not answer our goodbye is waited for half a second, and no longer."""
    server = make_fault_server({"/": Reply(200, b"hello")}, ssl_context=tls_authority.server_context("127.0.0.1"))

    def block(_request: SeenRequest) -> Reply:
        goodbye_is_over.wait(2 * SOON)
        return Reply(200)

    goodbye_is_over = threading.Event()
    server.route("/block", block)
    pool = pools()
    exchange = await begin(pool, server)
    await exchange.read_all()
    blocking = asyncio.ensure_future(get(pool, server, "/block"))
    await until(lambda: server.seen.by_path["/block"] == 1)
    exchange.release()
    assert pool.idle == 1
    began = monotonic()
    await pool.aclose()
    assert 0.4 < monotonic() - began < SOON
    goodbye_is_over.set()
    assert not pool._open
    await asyncio.wait([blocking])
    assert isinstance(blocking.exception(), IncompleteMessage)


async def test_closing_cuts_a_body_without_a_length(pools: Pools, server: FaultServer) -> None:
    """A body that is still read when the pool is closed is not whole because of that."""
    server.route("/", Script(Send(b"HTTP/1.1 200 OK\r\n\r\nhel"), Silence()))
    pool = pools()
    exchange = await begin(pool, server)
    reading = asyncio.ensure_future(exchange.read_all())
    await asyncio.sleep(0.01)
    await pool.aclose()
    with pytest.raises(IncompleteMessage, match="given up here"):
        await reading


async def test_closing_can_be_cancelled(pools: Pools, server: FaultServer) -> None:
    """A cancelled `aclose` leaves no task behind; the sockets go all the same."""
    pool = pools()
    await get(pool, server)
    closing = asyncio.ensure_future(pool.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await pool.aclose()
    assert not pool._open


async def test_closed_pool_gives_no_connection(pools: Pools, server: FaultServer) -> None:
    """A connection that is opened while the pool is closed is closed as well, and given to nobody."""
    pool = pools()
    exchange = await begin(pool, server)
    await exchange.read_all()
    opening = asyncio.ensure_future(pool.acquire(origin_of(server), 5))
    await asyncio.sleep(0)
    await pool.aclose()
    with pytest.raises(Cancelled, match="while the connection was opened"):
        await opening
    with pytest.raises(Cancelled, match="is closed"):
        await pool.acquire(origin_of(server), 5)
    assert pool.opened == 2
    exchange.release()
    assert (pool.idle, pool.in_use, pool._timer) == (0, 0, None)
    await until(lambda: server.seen.open_connections == 0)


class LosingDialler(Dialler):
    """Opens connections that are lost before anybody has seen them."""

    async def open(self, origin: Origin, timeout: float) -> Connection:
        connection = await super().open(origin, timeout)
        connection.abort()
        await connection.wait_closed()
        return connection


async def test_lost_connections_are_forgotten(pools: Pools, fault_server: FaultServer) -> None:
    """Sockets that are gone take no memory, whenever they went, and are not idle."""
    pool = pools()
    connection = await pool.acquire(origin_of(fault_server), 5)
    connection.abort()
    await connection.wait_closed()
    assert not pool._open
    pool.release(connection)
    pool = pools(kind=LosingDialler)
    connection = await pool.acquire(origin_of(fault_server), 5)
    assert not pool._open
    pool.release(connection)
    assert (pool.idle, pool.in_use) == (0, 0)


@pytest.fixture
def no_collection() -> Iterator[None]:
    """The garbage collector does not run."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
async def test_connections_that_are_gone_wait_for_no_collection(pools: Pools, server: FaultServer) -> None:
    """No cycle keeps a connection that is gone: each has some 300 KiB of buffers over TLS."""
    server.route("/last", Reply(200, b"hello", close=True))
    pool = pools()
    exchange = await begin(pool, server, "/last")
    reader = weakref.ref(exchange.connection.reader)
    assert await exchange.read_all() == b"hello"
    exchange.release()
    del exchange
    await until(lambda: reader() is None)
