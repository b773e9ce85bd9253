from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gzip
import json
import os
import resource
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncfetch.client import Client
from asyncfetch.job import (
    MAX_FAILURES,
    Bodies,
    Ends,
    Job,
    JobOutcome,
    JournalError,
    OutputClosed,
    OutputError,
    open_journal,
    open_sources,
)
from asyncfetch.result import Result
from asyncfetch.settings import Limits, Retry
from asyncfetch.testing import Close, FaultServer, Reply, Reset, Script, SeenRequest, Send, Sequence, Silence
from tests.soon import SOON

PLENTY = Limits(total=200, per_host=200)


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    async with FaultServer({"*": Reply(200, b"body")}) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(limits=PLENTY, retry=Retry(attempts=2, backoff=0)) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def listed(tmp_path: Path, *urls: str) -> str:
    path = tmp_path / "urls.txt"
    path.write_text("".join(f"{url}\n" for url in urls))
    return str(path)


def records(path: Path) -> dict[int, dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    found = {line["n"]: line for line in lines}
    assert len(found) == len(lines), "an entry was recorded twice"
    return found


def files(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


async def run(client: Client, source: str, path: Path | str, **settings: Any) -> JobOutcome:
    with open_sources([source]) as sources, open_journal(path) as journal:
        return await Job(client, sources, journal=journal, **settings).run()


async def test_every_entry_has_one_record_and_its_body(
    client: Client, server: FaultServer, tmp_path: Path, path: Path
) -> None:
    """A list is run to its end: each line recorded once, each body saved whole under its own name."""

    def answer(request: SeenRequest) -> Reply:
        return Reply(200, request.path.encode() * 100, chunked=True)

    server.route("*", answer)
    urls = [server.url(f"/{number % 90}") for number in range(100)]
    with Bodies(tmp_path / "out") as bodies:
        outcome = await run(client, listed(tmp_path, *urls), path, bodies=bodies)
    found, saved = records(path), files(tmp_path / "out")
    assert sorted(found) == list(range(1, 101))
    assert {name: saved.pop(found[n]["path"]) for n, name in enumerate(urls, 1)} == {
        url: ("/" + url.rpartition("/")[2]).encode() * 100 for url in urls
    }
    assert saved == {}
    assert (outcome.ok, outcome.saved, outcome.entries, outcome.missing) == (100, 100, 100, 0)
    assert (outcome.error, outcome.stopped_by) == (None, None)


async def test_callback_that_raises_costs_no_record(server: FaultServer, tmp_path: Path, path: Path) -> None:
    """What has come together with the result that it raised for has its line, too."""
    seen: list[Result] = []

    def count(result: Result) -> None:
        seen.append(result)
        if len(seen) == 50:
            raise LookupError("the callback is broken")

    source = listed(tmp_path, *(server.url(f"/{n}") for n in range(200)))
    async with Client(limits=PLENTY) as client:
        with pytest.raises(ExceptionGroup):
            await run(client, source, path, on_result=count)
    assert {result.index for result in seen} <= set(records(path))


async def test_bad_entries_name_their_file_and_line(client: Client, server: FaultServer, tmp_path: Path) -> None:
    """They are results like others, without a request; whoever watches sees the same sentence as the record."""
    path, source, seen = tmp_path / "r", tmp_path / "urls.txt", list[Result]()
    source.write_bytes(b"# list\nhtp://a/\n%s\nhttp://\xff/\n" % server.url("/").encode())
    outcome = await run(client, str(source), path, on_result=seen.append)
    messages = {n: line["error"]["message"] for n, line in records(path).items() if not line["ok"]}
    assert messages == {
        1: f"{source}, line 2: the scheme 'htp' is not http or https; did you mean http://?",
        3: f"{source}, line 4: the line is not UTF-8",
    }
    assert {r.index: r.error.detail for r in seen if r.error} == messages
    assert (outcome.total, outcome.errors, server.seen.requests) == (3, {"url.invalid": 2}, 1)


async def test_a_bad_url_as_argument(client: Client, path: Path) -> None:
    """What comes from no file is named as it is."""
    await run(client, "ftp://a/", path)
    assert records(path)[1]["error"]["message"] == "the scheme 'ftp' is not http or https"


async def test_only_bodies_of_ok_responses_are_saved(
    client: Client, server: FaultServer, tmp_path: Path, path: Path
) -> None:
    """A page that says that something is missing is recorded, not saved."""
    server.route("/gone", Reply(404, b"gone"))
    with Bodies(tmp_path / "out") as bodies:
        outcome = await run(client, listed(tmp_path, server.url("/gone"), server.url("/b")), path, bodies=bodies)
    assert list(files(tmp_path / "out").values()) == [b"body"]
    assert records(path)[1]["status"] == 404
    assert outcome.errors == {"http.4xx": 1}


@pytest.mark.parametrize("end", [Close(), Reset()])
async def test_a_body_that_broke_off_is_fetched_again(
    client: Client, server: FaultServer, tmp_path: Path, path: Path, end: Close | Reset
) -> None:
    """Only the attempt that came whole becomes a file, and nothing of the other stays."""
    whole = os.urandom(2**20)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(whole)
    server.route("/large", Sequence(Script(Send(head + whole[: 2**19]), end), Reply(200, whole)))
    with Bodies(tmp_path / "out") as bodies:
        await run(client, server.url("/large"), path, bodies=bodies)
    assert files(tmp_path / "out") == {records(path)[1]["path"]: whole}
    assert records(path)[1]["attempts"] == 2


async def test_bodies_that_are_not_saved_are_not_kept(client: Client, server: FaultServer) -> None:
    """Without a directory for them they are counted and thrown away as they come."""
    seen: list[Result] = []
    with open_sources([server.url("/")]) as sources:
        outcome = await Job(client, sources, on_result=seen.append).run()
    (response,) = [result.response for result in seen]
    assert response is not None
    assert (response.has_content, response.num_bytes) == (False, 4)
    assert (outcome.ok, outcome.saved) == (1, 0)


# --- the end before the end


async def test_too_many_failures(client: Client, server: FaultServer, tmp_path: Path, path: Path) -> None:
    """The failure that is one too many ends the run: what has ended by then is recorded, and nothing is started."""
    server.route("*", Reply(404))
    urls = [server.url(f"/{number}") for number in range(5000)]
    stopped: list[str | None] = []
    with open_sources([listed(tmp_path, *urls)]) as sources, open_journal(path) as journal:
        job = Job(
            client,
            sources,
            journal=journal,
            ends=Ends(max_failures=3),
            on_result=lambda _: stopped.append(job.outcome.stopped_by),
        )
        outcome = await job.run()
    assert stopped[:3] == [None, None, MAX_FAILURES]
    assert 3 <= outcome.failed == len(records(path)) <= server.seen.requests <= 400


async def test_what_a_kill_would_cost(server: FaultServer, tmp_path: Path) -> None:
    """While nothing can be written, no more is fetched than may wait here, in the client and in flight."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, bytes(4000) + b"\n")  # there is no room for a batch
    source = listed(tmp_path, *[server.url(f"/{number}") for number in range(500)])
    with open(reading, "rb") as reader, open(writing, "wb") as stream:  # noqa: PTH123
        async with Client(limits=Limits(total=10, per_host=10, buffered=32)) as client:
            with open_sources([source]) as sources, open_journal("-", stdout=stream) as journal:
                running = asyncio.create_task(Job(client, sources, journal=journal).run())
                await asyncio.sleep(0.3)
                assert 50 < server.seen.requests <= 32 + 32 + 10
                await anyio.to_thread.run_sync(lambda: [reader.readline() for _ in range(501)])
                assert (await running).ok == 500


async def stopped(job: Job, server: FaultServer, requests: int, grace: float) -> tuple[JobOutcome, float]:
    """Run a job, stop it when so many requests have come, and return how long it took from then on."""
    running = asyncio.create_task(job.run())
    while server.seen.requests < requests:
        await asyncio.sleep(0.001)
    began = time.monotonic()
    job.stop("interrupt", grace)
    return await running, time.monotonic() - began


async def test_what_is_in_flight_gets_its_grace(
    client: Client, server: FaultServer, tmp_path: Path, path: Path
) -> None:
    """What ends within the grace is recorded; what does not has no record; nothing new is started."""

    async def answer_late(_: SeenRequest) -> Reply:
        while job.outcome.stopped_by is None:
            await asyncio.sleep(0.001)
        return Reply(200, b"late")

    server.route("/slow", answer_late)
    server.route("/silent", Script(Silence()))
    urls = [server.url("/silent"), server.url("/slow")] * 2 + [server.url("/never")] * 500
    async with Client(limits=Limits(total=4, per_host=4)) as few:
        with open_sources([listed(tmp_path, *urls)]) as sources, open_journal(path) as journal:
            job = Job(few, sources, journal=journal)
            outcome, seconds = await stopped(job, server, 4, 0.3)
    assert 0.29 < seconds < SOON
    assert sorted(records(path)) == [2, 4]
    assert (outcome.stopped_by, outcome.total) == ("interrupt", 2)


async def test_what_has_come_is_recorded(client: Client, server: FaultServer, tmp_path: Path) -> None:
    """However slowly records are taken: stopping at once loses no result that is there."""
    urls = [server.url(f"/{number}") for number in range(150)]
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with (
        open(reading, "rb") as reader,  # noqa: PTH123
        open(writing, "wb") as stdout,  # noqa: PTH123
        open_sources([listed(tmp_path, *urls)]) as sources,
        open_journal("-", stdout=stdout) as journal,
    ):
        job = Job(client, sources, journal=journal)
        running = asyncio.create_task(job.run())
        while client.stats.total.done < 150:
            await asyncio.sleep(0.001)
        job.stop("interrupt")
        await asyncio.sleep(0.01)
        lines = await asyncio.to_thread(lambda: [reader.readline() for _ in urls])
        assert (await running).total == 150
    assert {json.loads(line)["n"] for line in lines} == set(range(1, 151))


async def test_a_run_ends_before_its_grace_if_nothing_is_left(
    client: Client, server: FaultServer, tmp_path: Path, path: Path
) -> None:
    """Nobody waits for nothing."""
    server.route("*", Reply(200, b"late", delay=0.03))
    with open_sources([listed(tmp_path, server.url("/a"))]) as sources, open_journal(path) as journal:
        outcome, seconds = await stopped(Job(client, sources, journal=journal), server, 1, 60)
    assert seconds < SOON
    assert (outcome.total, sorted(records(path))) == (1, [1])


async def test_stopping_again_can_only_shorten(client: Client, server: FaultServer, tmp_path: Path) -> None:
    """A second stop with less grace ends it sooner, a third with more changes nothing; the first reason counts."""
    server.route("*", Script(Silence()))
    with open_sources([listed(tmp_path, server.url("/a"))]) as sources:
        job = Job(client, sources)
        running = asyncio.create_task(job.run())
        while server.seen.requests < 1:
            await asyncio.sleep(0.001)
        job.stop("interrupt", 60)
        job.stop("impatience", 0.03)
        job.stop("patience", 60)
        async with asyncio.timeout(SOON):
            outcome = await running
    assert (outcome.stopped_by, outcome.total) == ("interrupt", 0)


async def test_stopped_before_it_began(client: Client, server: FaultServer, path: Path) -> None:
    """It fetches nothing and returns."""
    with open_sources([server.url("/")]) as sources, open_journal(path) as journal:
        job = Job(client, sources, journal=journal)
        job.stop("interrupt", 5)
        outcome = await job.run()
    assert (outcome.stopped_by, outcome.total, server.seen.requests) == ("interrupt", 0, 0)
    assert path.read_bytes() == b""


async def test_stopped_while_stdin_is_silent(client: Client, server: FaultServer, path: Path) -> None:
    """A pipe that stays open keeps nobody; what came through it before is recorded."""
    reading, writing = os.pipe()
    with open(reading, "rb") as stdin, open(writing, "wb", buffering=0) as pipe:  # noqa: PTH123
        pipe.write(server.url("/").encode() + b"\n")
        with open_sources(["-"], stdin) as sources, open_journal(path) as journal:
            outcome, seconds = await stopped(Job(client, sources, journal=journal), server, 1, 60)
    assert seconds < SOON
    assert (sorted(records(path)), outcome.entries) == ([1], None)


async def test_cancelled_it_records_what_it_has(
    client: Client, server: FaultServer, tmp_path: Path, path: Path
) -> None:
    """Whoever gives the run up at once loses what is in flight, nothing that has come."""
    server.route("/silent", Script(Silence()))
    urls = [server.url("/a"), server.url("/silent"), server.url("/b")]
    with open_sources([listed(tmp_path, *urls)]) as sources, open_journal(path) as journal:
        job = Job(client, sources, journal=journal)
        running = asyncio.create_task(job.run())
        while client.stats.total.done < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.002)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert sorted(records(path)) == [1, 3]
    assert client.stats.total.in_flight == 0


# --- what goes wrong on this machine


async def test_a_source_that_breaks_off(client: Client, server: FaultServer, tmp_path: Path, path: Path) -> None:
    """Everything before the damage is fetched and recorded; then the run ends with the reason."""
    source = tmp_path / "urls.gz"
    content = gzip.compress("".join(server.url(f"/{number}\n") for number in range(200)).encode())
    source.write_bytes(content[:-100])
    outcome = await run(client, str(source), path)
    assert str(outcome.error) == f"'{source}' ends too early: its gzip data was cut short"
    assert outcome.total == len(records(path)) > 100
    assert (outcome.entries, outcome.missing) == (None, None)


async def test_results_cannot_overwrite_a_source(client: Client, tmp_path: Path) -> None:
    """A file is not emptied to record what was to be read from it."""
    source = listed(tmp_path, "http://a/")
    with (
        open_sources([source]) as sources,
        open_journal(source, overwrite=True) as journal,
        pytest.raises(JournalError, match="is one of the sources"),
    ):
        Job(client, sources, journal=journal)
    assert Path(source).read_text() == "http://a/\n"


async def test_a_full_disk_ends_the_run(client: Client, server: FaultServer, tmp_path: Path) -> None:
    """Nothing more is fetched when nothing more can be recorded."""
    urls = [server.url(f"/{number}") for number in range(5000)]
    outcome = await run(client, listed(tmp_path, *urls), "/dev/full")
    assert str(outcome.error) == "the results file '/dev/full' cannot be written: no space left on device"
    assert (outcome.total, outcome.stopped_by) == (0, None)
    assert server.seen.requests < 2000


async def test_a_reader_that_leaves_ends_the_run(client: Client, server: FaultServer, tmp_path: Path) -> None:
    """As `head` does with a pipe: the error says that it is none."""
    reading, writing = os.pipe()
    os.close(reading)
    with (
        open(writing, "wb") as stdout,  # noqa: PTH123
        open_sources([listed(tmp_path, *[server.url("/")] * 3)]) as sources,
        open_journal("-", stdout=stdout) as journal,
    ):
        outcome = await Job(client, sources, journal=journal).run()
    assert isinstance(outcome.error, OutputClosed)


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [100_000, 2_000_000])
async def test_a_body_without_room_ends_the_run(
    client: Client, server: FaultServer, tmp_path: Path, path: Path, size: int
) -> None:
    """Small or large, it leaves nothing and has no record; what was done before keeps its file and its line."""
    server.route("/large", Reply(200, bytes(size), delay=0.05))
    with Bodies(tmp_path / "out") as bodies, files_of_at_most(50_000):
        outcome = await run(
            client, listed(tmp_path, server.url("/small"), server.url("/large")), path, bodies=bodies
        )
    assert isinstance(outcome.error, OutputError)
    assert "cannot be written: file too large" in str(outcome.error)
    assert sorted(records(path)) == [1]
    assert list(files(tmp_path / "out").values()) == [b"body"]
    assert outcome.stopped_by is None
