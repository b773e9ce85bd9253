from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import resource
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from asyncfetch.errors import HostUnavailable, LocalError, NameNotFound
from asyncfetch.job.bodies import Bodies
from asyncfetch.job.errors import JobError, JournalError, OutputError
from asyncfetch.job.filesink import FileSink
from asyncfetch.job.journal import Journal, open_journal
from asyncfetch.job.outcome import JobOutcome
from asyncfetch.job.recorder import Recorder
from asyncfetch.result import Request, Response, Result
from tests.soon import SOON


def ok(index: int, url: str = "http://example.org/") -> Result:
    return Result(index, Request(url, index), Response(url, 200, "OK", []), attempts=1)


async def saved(bodies: Bodies, index: int, url: str, content: bytes = b"body") -> Result:
    result = ok(index, url)
    assert result.response is not None
    result.sink = bodies.sink(result.request, result.response)
    await result.sink.write(content)
    await result.sink.finish()
    return result


@contextlib.asynccontextmanager
async def running(
    journal: Journal | None = None, bodies: Bodies | None = None
) -> AsyncIterator[tuple[Recorder, list[JobError]]]:
    """A recorder that runs, and the failures that it has reported; at the end it is closed and has returned."""
    failures: list[JobError] = []
    recorder = Recorder(journal, bodies, JobOutcome(), on_failure=failures.append)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        try:
            yield recorder, failures
        finally:
            recorder.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with open_journal(path) as opened:
        opened.begin()
        yield opened


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["n"] for line in path.read_bytes().splitlines()]


def ends_with(path: Path, number: int) -> bool:
    return numbers(path)[-1:] == [number]


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(SOON):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_single_result_is_written_soon(journal: Journal, path: Path) -> None:
    """A result that has no company is in the file after some 10 ms."""
    async with running(journal) as (recorder, _):
        for index in (1, 2):
            assert recorder.put([ok(index)])
            await until(partial(ends_with, path, index))
            await until(lambda index=index: recorder.outcome.total == index)  # type: ignore[misc]


async def test_many_results_are_written_in_batches(journal: Journal, path: Path) -> None:
    """Whoever waits for room finds it, order is kept, and closing writes the rest."""
    async with running(journal) as (recorder, _):
        for index in range(1, 101):
            if not recorder.put([ok(index)]):
                await recorder.has_room()
    assert numbers(path) == list(range(1, 101))
    assert recorder.outcome.ok == 100


async def test_results_that_come_together_are_written_together() -> None:
    """What is there when the thread looks is one batch, and one write."""
    reading, writing = os.pipe()
    with open(writing, "wb") as stream:  # noqa: PTH123
        recorder = Recorder(open_journal("-", stdout=stream), None, JobOutcome(), on_failure=lambda _: None)
        recorder.put([ok(0)])
        recorder.put([ok(1), ok(2)])
        recorder.close()
        await recorder.run()
    assert os.read(reading, 65536).count(b"\n") == 3
    os.close(reading)


async def test_a_slow_disk_holds_the_run_back() -> None:
    """While a batch cannot be written there is no room: no more than 32 results are ever at risk."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, bytes(4000) + b"\n")  # there is no room for a batch
    with open(reading, "rb") as reader, open(writing, "wb") as stream:  # noqa: PTH123
        async with running(open_journal("-", stdout=stream)) as (recorder, _):
            assert [recorder.put([ok(index)]) for index in range(32)] == [True] * 31 + [False]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(recorder.has_room(), 0.05)
            assert recorder.outcome.total == 0
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.to_thread.run_sync, lambda: [reader.readline() for _ in range(34)])
                await recorder.has_room()
                assert recorder.outcome.total >= 16
                assert recorder.put([ok(32)])
        assert recorder.outcome.total == 33


async def test_results_for_which_nothing_was_sent_are_written_by_the_hundred(journal: Journal) -> None:
    """They cost nothing to get again; one that was sent has to wait behind them."""
    unsent = Result(1, Request("http://gone.example/", 1), error=HostUnavailable("given up"))
    recorder = Recorder(journal, None, JobOutcome(), on_failure=lambda _: None)  # it does not run
    assert all(recorder.put([unsent]) for _ in range(499))
    assert not recorder.put([unsent])
    recorder = Recorder(journal, None, JobOutcome(), on_failure=lambda _: None)
    assert all(recorder.put([unsent]) for _ in range(30))
    assert recorder.put([ok(1)])
    assert not recorder.put([ok(2)])
    assert recorder.put([unsent])


async def test_there_is_room_for_what_may_be_at_risk(journal: Journal) -> None:
    """However they come: 32 results that were sent, and of the others more; one at least is always taken."""
    unsent = Result(1, Request("http://gone.example/", 1), error=HostUnavailable("given up"))
    recorder = Recorder(journal, None, JobOutcome(), on_failure=lambda _: None)  # it does not run
    assert recorder.room == 32
    assert recorder.put([ok(1), *[unsent] * 19])
    assert recorder.room == 12
    assert not recorder.put([*[ok(index) for index in range(12)], unsent])
    assert recorder.room == 1
    assert recorder.put([unsent] * 400)
    assert not recorder.put([unsent] * 100)


async def test_cancelled_it_goes_on_to_its_end(journal: Journal, path: Path) -> None:
    """Nothing that was put is lost: only closing ends it, and then nobody waits for room any more."""
    recorder = Recorder(journal, None, JobOutcome(), on_failure=lambda _: None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        tasks.cancel_scope.cancel()
        for index in range(5):
            recorder.put([ok(index)])
        recorder.close()
    assert numbers(path) == [0, 1, 2, 3, 4]
    await recorder.has_room()


async def test_it_syncs_now_and_then(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk has what was written at regular intervals, and at the end."""
    monkeypatch.setattr("asyncfetch.job.recorder._SYNC_EVERY", 0.01)
    async with running(journal) as (recorder, _):
        recorder.put([ok(1)])
        await until(lambda: recorder.outcome.total == 1 and not journal._dirty)
        recorder.put([ok(2)])
    assert not journal._dirty


async def test_without_files_it_counts() -> None:
    """With neither journal nor bodies, results are counted and forgotten."""
    async with running() as (recorder, failures):
        recorder.put([ok(1)])
        recorder.put([Result(2, Request("http://x/"), error=NameNotFound("no such name"))])
    assert (recorder.outcome.ok, recorder.outcome.failed, failures) == (1, 1, [])


async def test_a_body_has_its_file_before_its_line(journal: Journal, path: Path, tmp_path: Path) -> None:
    """The record names the file, which is there; what is not ok, has no body or no whole one has no path."""
    with Bodies(tmp_path / "out") as bodies:
        failed = await saved(bodies, 2, "http://example.org/b")
        failed.error = NameNotFound("no")
        unfinished = ok(4)
        unfinished.sink = bodies.sink(unfinished.request, Response("", 200, "", []))
        async with running(journal, bodies) as (recorder, _):
            recorder.put([await saved(bodies, 1, "http://example.org/a", b"content")])
            recorder.put([failed])
            recorder.put([ok(3)])
            recorder.put([unfinished])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.get("path") for line in lines] == ["example.org/a", None, None, None]
    assert (tmp_path / "out/example.org/a").read_bytes() == b"content"
    assert [found.name for found in (tmp_path / "out").rglob("*")] == ["example.org", "a"]
    assert (recorder.outcome.saved, recorder.outcome.saved_bytes) == (1, 7)


async def test_bodies_without_a_journal(tmp_path: Path) -> None:
    """Bodies can be saved without records."""
    with Bodies(tmp_path) as bodies:
        async with running(None, bodies) as (recorder, _):
            recorder.put([await saved(bodies, 1, "http://example.org/a")])
    assert (tmp_path / "example.org/a").exists()
    assert recorder.outcome.saved == 1


async def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    """It is reported once, nothing counts as done, and no body stays without its line."""
    with Bodies(tmp_path) as bodies, open_journal("/dev/full") as journal:
        async with running(journal, bodies) as (recorder, failures):
            recorder.put([await saved(bodies, 1, "http://example.org/a")])
            recorder.put([ok(2)])
            await until(lambda: failures)
            recorder.put([await saved(bodies, 3, "http://example.org/b")])
    assert [type(failure) for failure in failures] == [JournalError]
    assert recorder.failure is recorder.outcome.error is failures[0]
    assert recorder.outcome.total == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_after_a_journal_has_failed_nothing_is_recorded(journal: Journal, path: Path, tmp_path: Path) -> None:
    """Even if there is room again: what stands in the file ends with the failure, and so do the bodies."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Bodies(tmp_path / "out") as bodies:
        async with running(journal, bodies) as (recorder, failures):
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
            try:
                recorder.put([ok(1)])
                await until(lambda: failures)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            recorder.put([await saved(bodies, 2, "http://example.org/a")])
    assert path.read_bytes() == b""
    assert list((tmp_path / "out").iterdir()) == []


class GatedBodies(Bodies):
    """Fails to save a body, as soon as it may."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.is_asked, self.may_fail = threading.Event(), threading.Event()

    def save(self, sink: FileSink) -> str:
        self.is_asked.set()
        assert self.may_fail.wait(10)
        raise self.failed(OSError(28, "no space"))


async def test_a_journal_that_fails_while_a_body_does(journal: Journal, path: Path, tmp_path: Path) -> None:
    """The body's failure does not hide the journal's: nothing more is recorded."""
    reading, writing = os.pipe()
    with GatedBodies(tmp_path / "out") as bodies:
        async with running(journal, bodies) as (recorder, failures):
            recorder.put([ok(1)])
            await until(lambda: recorder.outcome.total)
            os.dup2(writing, journal._output._descriptor)  # what cannot be synced
            recorder.put([await saved(bodies, 2, "http://example.org/a")])
            await until(bodies.is_asked.is_set)
            await recorder._sync()
            assert [type(failure) for failure in failures] == [JournalError]
            bodies.may_fail.set()
            await until(lambda: bodies.failure)
            recorder.put([ok(3)])
    os.close(writing)
    assert (numbers(path), recorder.outcome.total) == ([1], 1)
    journal.close()
    assert os.read(reading, 65536) == b""
    os.close(reading)


async def test_a_body_that_cannot_be_saved(journal: Journal, path: Path, tmp_path: Path) -> None:
    """Its result has no record, the others keep theirs, and the first reason is reported."""
    for name in ("bad", "bad~d", "bad~d2", "bad~d3", "bad~d4"):
        (tmp_path / name).touch()
    with Bodies(tmp_path) as bodies:
        async with running(journal, bodies) as (recorder, failures):
            for index, host in enumerate(["good", "bad", "good"], 1):
                recorder.put([await saved(bodies, index, f"http://{host}/{index}")])
            recorder.put([Result(4, Request("http://x/"), error=NameNotFound("no"))])
            await until(lambda: failures)
            recorder.put([await saved(bodies, 5, "http://bad/")])
    assert numbers(path) == [1, 3, 4]
    assert len(failures) == 1
    assert str(failures[0]) == f"'{tmp_path}/bad/2' cannot be written: not a directory"
    assert recorder.outcome.saved == 2


async def test_a_body_that_was_lost_on_its_way(journal: Journal, path: Path, tmp_path: Path) -> None:
    """When a sink has failed, the result that says so has no record: the entry is not done."""
    with Bodies(tmp_path / "out") as bodies:
        async with running(journal, bodies) as (recorder, failures):
            recorder.put([Result(1, Request("http://x/"), error=LocalError("no file descriptor left"))])
            await until(lambda: recorder.outcome.total)
            bodies.failed(OSError(28, "no space"))
            recorder.put([Result(2, Request("http://x/"), error=LocalError("the body could not be saved"))])
            recorder.put([Result(3, Request("http://x/"), error=NameNotFound("no"))])
    assert numbers(path) == [1, 3]
    assert isinstance(failures[0], OutputError)
