"""Whatever is under way may be cancelled after any of its steps: nothing is lost, the client is as good as new."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path

import pytest

from asyncfetch import Client, FetchError, Limits, Request, Response, Retry, TLSSettings
from asyncfetch.job import Bodies, Job, open_journal, open_sources
from asyncfetch.testing import Close, FaultServer, Reply, Script, Send, Sequence, redirect
from asyncfetch.testing.fixtures import TLSAuthority

pytestmark = pytest.mark.slow

LARGE = b"x" * 300_000  # a body of several pieces, for which a file is opened
CUT = Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), Close())


def routes() -> dict[str, Sequence | Reply | Script]:
    return {
        "/": Reply(200, b"ok"),
        "/large": Reply(200, LARGE, chunked=True, gzip=True),
        "/cut": CUT,
        "/moved": redirect("/"),
        "/last": Reply(200, b"ok", keep_alive=False),
        "/busy": Sequence(*[Reply(503 if number % 2 == 0 else 200) for number in range(10_000)]),
    }


@pytest.fixture(params=["http", "https"])
async def server(request: pytest.FixtureRequest, tls_authority: TLSAuthority) -> AsyncIterator[FaultServer]:
    context = tls_authority.server_context("127.0.0.1") if request.param == "https" else None
    async with FaultServer(routes(), ssl_context=context) as server:
        yield server


def open_client(authority: TLSAuthority, *, idle: int) -> Client:
    return Client(
        limits=Limits(total=3, per_host=2, idle_total=idle, queued=4, buffered=2),
        retry=Retry(attempts=2, backoff=0.0),
        tls=TLSSettings(ca_file=authority.ca_file),
    )


class CountedSink:
    """Takes a body, and has to be ended exactly once; also keeps count of those that were not."""

    open_now = 0

    def __init__(self) -> None:
        type(self).open_now += 1

    async def write(self, chunk: bytes) -> None:
        await asyncio.sleep(0)

    async def finish(self) -> None:
        await asyncio.sleep(0)
        type(self).open_now -= 1

    async def abort(self) -> None:
        await asyncio.sleep(0)
        type(self).open_now -= 1


def count_sinks(request: Request, response: Response) -> CountedSink:
    return CountedSink()


async def get(client: Client, server: FaultServer) -> None:
    await client.get(server.url("/"))


async def get_in_turns(client: Client, server: FaultServer) -> None:
    await client.get(server.url("/moved"))
    await client.get(server.url("/busy"))


async def get_what_fails(client: Client, server: FaultServer) -> None:
    try:
        await client.get(server.url("/cut"))
    except FetchError:
        await client.get(server.url("/last"))


async def stream(client: Client, server: FaultServer) -> None:
    async with client.stream(server.url("/large")) as response:
        assert len(await response.aread()) == len(LARGE)


async def stream_a_part(client: Client, server: FaultServer) -> None:
    async with client.stream(server.url("/large")) as response:
        async for _ in response.aiter_bytes():
            break


async def fetch_many(client: Client, server: FaultServer) -> None:
    urls = [server.url(path) for path in ("/", "/large", "/cut", "/moved", "/last", "/busy")] * 2
    async with client.fetch_many(urls, sink=count_sinks) as results:
        assert len([result async for result in results]) == len(urls)


DOINGS: list[Callable[[Client, FaultServer], Awaitable[None]]] = [
    get,
    get_in_turns,
    get_what_fails,
    stream,
    stream_a_part,
    fetch_many,
]


async def prove_whole(client: Client, server: FaultServer, tasks_before: int) -> None:
    """See that every place, connection, task and sink is given back."""
    async with asyncio.timeout(5):
        while client._batches or client._turns.frontier.in_flight or CountedSink.open_now:
            await asyncio.sleep(0)
        assert client._pool.in_use == 0
        assert not client._singles._running
        assert client.stats.total.in_flight == 0
        while client._pool.open > client._pool.idle or server.seen.open_connections > client._pool.idle:
            await asyncio.sleep(0)
        while len(ours()) > tasks_before:
            await asyncio.sleep(0)


def ours() -> list[asyncio.Task[object]]:
    """Tasks that are not those of the test's server, nor workers that rest."""
    return [task for task in asyncio.all_tasks() if "asyncfetch-client" in task.get_name()]


@pytest.mark.parametrize("idle", [0, 10], ids=["new connections", "kept connections"])
@pytest.mark.parametrize("doing", DOINGS, ids=lambda doing: doing.__name__)
async def test_after_any_step(
    server: FaultServer,
    tls_authority: TLSAuthority,
    doing: Callable[[Client, FaultServer], Awaitable[None]],
    idle: int,
) -> None:
    """Cancelled after its first, second, ... last step, it gives all back; then a hundred requests are served."""
    CountedSink.open_now = 0
    async with open_client(tls_authority, idle=idle) as client:
        tasks_before, is_done = len(ours()), False
        for steps in count():
            if is_done:
                break
            task = asyncio.ensure_future(doing(client, server))
            for _ in range(steps):
                await asyncio.sleep(0)
            if is_done := task.done():
                task.result()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None
            await prove_whole(client, server, tasks_before)
        assert steps > 5
        answers = [await client.get(server.url()) for _ in range(100)]
        assert all(answer.content == b"ok" for answer in answers)
    gc.collect()
    assert CountedSink.open_now == 0


async def test_a_job_with_files(server: FaultServer, tls_authority: TLSAuthority, tmp_path: Path) -> None:
    """Cancelled at any time, a job leaves whole lines, whole bodies under their names, and nothing temporary."""
    paths = ("/", "/large", "/cut", "/moved", "/last", "/busy")
    listed = tmp_path / "urls.txt"
    listed.write_text("".join(f"{server.url(path)}\n" for path in paths * 3))
    threads, is_done = threading.active_count(), False
    async with open_client(tls_authority, idle=10) as client:
        for number in count():
            if is_done:
                break
            out = tmp_path / str(number)
            with (
                open_sources([str(listed)]) as sources,
                open_journal(str(tmp_path / f"{number}.jsonl")) as journal,
                Bodies(out) as bodies,
            ):
                task = asyncio.ensure_future(Job(client, sources, journal=journal, bodies=bodies).run())
                await asyncio.sleep(0.001 * number)
                is_done = task.done()
                task.cancel()
                await asyncio.wait([task])
            assert not list(tmp_path.rglob("*.part"))
            records = [json.loads(line) for line in (tmp_path / f"{number}.jsonl").read_text().splitlines()]
            saved = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
            assert set(saved) == {record["path"] for record in records if record.get("path")}
            assert set(saved.values()) <= {b"ok", LARGE, b""}
            assert client._pool.in_use == 0
            assert client._turns.frontier.in_flight == 0
        assert number > 3
        assert (await client.get(server.url())).content == b"ok"
    assert threading.active_count() <= threads + 8  # of the loop's own pool
