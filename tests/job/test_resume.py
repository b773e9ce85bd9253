from __future__ import annotations

import hashlib
import os
import resource
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from asyncfetch.client import Client
from asyncfetch.job import (
    Bodies,
    Ends,
    Job,
    JobOutcome,
    JournalError,
    Naming,
    Safeguard,
    SourceError,
    open_journal,
    open_sources,
)
from asyncfetch.job.recorded import read_back
from asyncfetch.record import Record
from asyncfetch.settings import Limits, Retry
from asyncfetch.testing import FaultServer, Reply, Sequence
from asyncfetch.url import Url

URLS = 12


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    async with FaultServer({"*": lambda request: Reply(200, request.path.encode())}) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(limits=Limits(total=50, per_host=50), retry=Retry(attempts=1)) as opened:
        yield opened


@pytest.fixture
def urls(server: FaultServer, tmp_path: Path) -> Path:
    path = tmp_path / "urls.txt"
    path.write_text("".join(f"{server.url(f'/{number}')}\n" for number in range(1, URLS + 1)))
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


async def go_on(
    client: Client,
    results: Path,
    *sources: str | Path,
    try_again: Callable[[str], bool] | None = None,
    out: Path | None = None,
    most: int | None = None,
    naming: Naming | None = None,
) -> JobOutcome:
    bodies = None if out is None else Bodies(out, naming=naming, digests=naming is not None)
    try:
        with (
            open_sources(map(str, sources)) as opened,
            open_journal(results, go_on=True, try_again=try_again) as journal,
            Safeguard(journal, opened, {}, bodies) as safeguard,
        ):
            job = Job(
                client, opened, journal=journal, bodies=bodies, safeguard=safeguard, ends=Ends(max_failures=most)
            )
            return await job.run()
    finally:
        if bodies is not None:
            bodies.close()


def records(path: Path) -> list[Record]:
    content = path.read_bytes()
    assert content.endswith(b"\n") or not content
    return [msgspec.json.decode(line, type=Record) for line in content.splitlines()]


def positions(path: Path) -> list[int]:
    return sorted(record.n for record in records(path))


def cut_lines(path: Path, keep: int) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:keep]))


@pytest.mark.slow
async def test_cut_anywhere(client: Client, server: FaultServer, urls: Path, results: Path, tmp_path: Path) -> None:
    """A results file that ends at any of its last 300 bytes is completed, with what is missing and nothing else."""
    await go_on(client, results, urls)
    whole = results.read_bytes()
    for end in range(len(whole) - 300, len(whole)):
        results.write_bytes(whole[:end])
        hits, kept = server.seen.requests, whole.count(b"\n", 0, end)
        outcome = await go_on(client, results, urls)
        assert positions(results) == list(range(1, URLS + 1)), end
        assert results.read_bytes().startswith(whole[: whole.rfind(b"\n", 0, end) + 1])
        assert server.seen.requests - hits == outcome.total == URLS - kept
        assert (outcome.earlier, outcome.missing) == (kept, 0)


@pytest.mark.slow
async def test_cut_anywhere_with_bodies(
    client: Client, server: FaultServer, urls: Path, results: Path, tmp_path: Path
) -> None:
    """The bodies of the lines that are left are left alone; what is fetched again goes over none that is there."""
    out, saved, naming = tmp_path / "out", tmp_path / "saved", Naming("{n}-{sha256}{ext}")
    await go_on(client, results, urls, out=out, naming=naming)
    whole, before = results.read_bytes(), {path.name for path in out.iterdir()}
    out.rename(saved)
    for end in range(len(whole) - 300, len(whole)):
        shutil.copytree(saved, out)
        results.write_bytes(whole[:end])
        hits, kept = server.seen.requests, whole.count(b"\n", 0, end)
        await go_on(client, results, urls, out=out, naming=naming)
        assert positions(results) == list(range(1, URLS + 1)), end
        assert server.seen.requests - hits == URLS - kept
        for record in records(results):
            content = (out / str(record.path)).read_bytes()
            assert content == Url.parse(record.url).target.encode()
            assert record.sha256 == hashlib.sha256(content).hexdigest()
        assert {path.name for path in out.iterdir()} == before | {str(record.path) for record in records(results)}
        shutil.rmtree(out)


async def test_nothing_to_go_on_with(client: Client, urls: Path, results: Path) -> None:
    """Without an earlier results file, or with an empty one, it simply starts; when all is done, that is all."""
    results.touch()
    assert (await go_on(client, results, urls)).total == URLS
    outcome = await go_on(client, results, urls)
    assert (outcome.total, outcome.earlier, outcome.missing) == (0, URLS, 0)


async def test_the_input_may_grow(client: Client, server: FaultServer, urls: Path, results: Path) -> None:
    """What has come at its end is fetched; comments, blank lines and another name do not matter."""
    await go_on(client, results, urls)
    more = urls.with_name("more.txt")
    more.write_text("# a comment\n\n" + urls.read_text() + f"{server.url('/new')}\n")
    outcome = await go_on(client, results, more)
    assert (outcome.total, server.seen.by_path["/new"], server.seen.requests) == (1, 1, URLS + 1)
    assert (await go_on(client, results, urls.rename(urls.with_name("x")), server.url("/new"))).total == 0


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            3,
            "'{urls}' is not the list that the job was begun with: line 3 is '{server}/other' and was '{server}/3'",
        ),
        (10, "'{urls}' is not the list that the job was begun with: lines 1 to 12 are not all the same"),
    ],
)
async def test_the_input_may_not_change(
    client: Client, server: FaultServer, urls: Path, results: Path, line: int, sentence: str
) -> None:
    """A line that is another one now is named, if it has a record; else the lines among which it is. No request."""
    await go_on(client, results, urls)
    results.write_bytes(b"".join(x for x in results.read_bytes().splitlines(True) if b'"n":10,' not in x))
    content, hits = results.read_bytes(), server.seen.requests
    urls.write_text(urls.read_text().replace(server.url(f"/{line}\n"), server.url("/other\n")))
    with pytest.raises(SourceError) as caught:
        await go_on(client, results, urls)
    assert str(caught.value) == sentence.format(urls=urls, server=server.url(""))
    assert (results.read_bytes(), server.seen.requests) == (content, hits)


async def test_the_input_may_not_shrink(client: Client, urls: Path, results: Path) -> None:
    """A list that is shorter than what was read of it is another list."""
    await go_on(client, results, urls)
    urls.write_text("".join(urls.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(
        SourceError, match=r"urls.txt' is not the list that the job was begun with: it is shorter now"
    ):
        await go_on(client, results, urls)


async def test_an_argument_may_not_change(client: Client, server: FaultServer, results: Path) -> None:
    """A URL that is given by itself is compared as well."""
    await go_on(client, results, server.url("/1"), server.url("/2"))
    with pytest.raises(SourceError, match=r"/3' is not what entry 2 was when the job was begun: '.*/2'"):
        await go_on(client, results, server.url("/1"), server.url("/3"))


async def test_without_its_job_file(client: Client, urls: Path, results: Path) -> None:
    """Nobody knows then whether the list is the same: refused."""
    await go_on(client, results, urls)
    Path(f"{results}.job.json").unlink()
    with pytest.raises(JournalError, match=r"^the job file '.*results.jsonl.job.json' is missing, so nobody knows"):
        await go_on(client, results, urls)


@pytest.mark.parametrize("content", ["{", "[]", '{"v":1}', '{"v":2,"pid":1,"settings":{},"input":{}}', "\xff"])
async def test_with_a_damaged_job_file(client: Client, urls: Path, results: Path, content: str) -> None:
    """It is not believed."""
    await go_on(client, results, urls)
    Path(f"{results}.job.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(JournalError, match=r"is not a job file, or is damaged|by another version of asyncfetch"):
        await go_on(client, results, urls)


async def test_failed_ones_again(client: Client, server: FaultServer, urls: Path, results: Path) -> None:
    """Those whose last record has such a code get a further one; what was retried and ok is done."""
    server.route("/2", Sequence(Reply(503), Reply(503), Reply(200, b"at last")))
    server.route("/5", Reply(404))
    assert (await go_on(client, results, urls)).errors == {"http.5xx": 1, "http.4xx": 1}
    outcome = await go_on(client, results, urls, try_again=lambda code: code == "http.5xx")
    assert (outcome.total, outcome.failed, outcome.earlier, outcome.earlier_failed) == (1, 1, URLS - 1, 1)
    assert (await go_on(client, results, urls, try_again=lambda code: True)).total == 2
    outcome = await go_on(client, results, urls, try_again=lambda code: code == "http.5xx")
    assert (outcome.total, outcome.earlier, outcome.earlier_failed, outcome.missing) == (0, URLS, 1, 0)
    assert [record.ok for record in records(results) if record.n == 2] == [False, False, True]
    assert server.seen.by_path["/2"] == 3


async def test_much_that_is_missing(
    client: Client, server: FaultServer, urls: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where more is missing than may wait in memory, the files are read a second time."""
    await go_on(client, results, urls)
    cut_lines(results, 2)
    monkeypatch.setattr("asyncfetch.job.sources._WAITING_MOST", 3)
    outcome = await go_on(client, results, urls)
    assert (outcome.total, outcome.earlier, outcome.entries) == (URLS - 2, 2, URLS)
    assert positions(results) == list(range(1, URLS + 1))


async def test_an_orphan_is_replaced(
    client: Client, server: FaultServer, urls: Path, results: Path, tmp_path: Path
) -> None:
    """A body that was saved by a killed run without a record is removed; a file of somebody else stays."""
    out = tmp_path / "out"
    await go_on(client, results, urls, out=out)
    by_number = {record.n: out / str(record.path) for record in records(results)}
    kept = [line for line in results.read_bytes().splitlines(True) if not line.startswith(b'{"v":1,"n":3,')]
    results.write_bytes(b"".join(x for x in kept if not x.startswith(b'{"v":1,"n":4,')))
    orphan, foreign = by_number[3], by_number[4]
    noted = [f"{n} {by_number[n].stat().st_ino} {by_number[n].relative_to(out)}" for n in (2, 3)]
    foreign.unlink()
    foreign.write_text("somebody's")
    noted.append(f"4 {foreign.stat().st_ino + 1} {foreign.relative_to(out)}")
    Path(f"{results}.job.saving").write_text("\n".join(noted) + "\n\n9 9 rest of an earlier one\n")
    await go_on(client, results, urls, out=out)
    again = {record.n: out / str(record.path) for record in records(results)}
    assert again[3] == orphan
    assert (again[4].name, foreign.read_text()) == ("4~n4", "somebody's")
    assert len([path for path in out.rglob("*") if path.is_file()]) == URLS + 1
    assert not Path(f"{results}.job.saving").exists()


async def test_an_orphan_of_a_run_that_recorded_nothing(
    client: Client, urls: Path, results: Path, tmp_path: Path
) -> None:
    """A run that was killed before its first record leaves nothing either."""
    out = tmp_path / "out"
    await go_on(client, results, urls, out=out)
    path = out / str(records(results)[0].path)
    Path(f"{results}.job.saving").write_text(
        f"{records(results)[0].n} {path.stat().st_ino} {path.relative_to(out)}\n\n"
    )
    for record in records(results)[1:]:
        (out / str(record.path)).unlink()
    results.write_bytes(b"")
    await go_on(client, results, urls, out=out)
    assert {path for path in out.rglob("*") if path.is_file()} == {out / str(r.path) for r in records(results)}
    assert not list(out.rglob("*~*"))


async def test_temporary_files_of_dead_runs(client: Client, urls: Path, results: Path, tmp_path: Path) -> None:
    """They are removed at the next start; those of a living run, and those of others, stay."""
    out = tmp_path / "out"
    out.mkdir()
    dead, others = out / ".asyncfetch-0123456789abcdef.part", out / "download.part"
    half = [Path(f"{results}.job.json.part"), Path(f"{results}.compact.part")]
    for path in (dead, others, *half):
        path.write_text("half")
    from asyncfetch.job.folders import Way

    with Bodies(out, way=Way.LINKED) as living:
        part = living.part()
        [alive] = set(out.glob(".asyncfetch-*")) - {dead}
        await go_on(client, results, urls, out=out)
        assert (dead.exists(), others.exists(), alive.exists()) == (False, True, True)
        assert not any(path.exists() for path in half)
        living.drop(part)


def test_one_job_at_a_time(results: Path) -> None:
    """The second is told which process holds the file; when the first has gone, it is free."""
    with open_journal(results) as first:
        first.begin()
        for settings in ({"go_on": True}, {"overwrite": True}):
            with pytest.raises(JournalError) as caught:
                open_journal(results, **settings)  # type: ignore[arg-type]
            assert (
                str(caught.value) == f"the results file '{results}' is in use: process {os.getpid()} is writing it"
            )
    with open_journal(results, go_on=True) as second:
        assert second.recorded is not None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"http://a/\nhttp://b/\n", "has no record of ours in line 1, but 'http://a/': it is no results file"),
        (
            b'{"v":1,"n":1,"ok":true}\n\n',
            "has no record of ours in line 2, which is empty: it is no results file",
        ),
        (b'{"v":1,"n":1,"ok":true}\n{"v":1,"n":0,"a":1}\n', "has no record of ours in line 2, but "),
        (b'{"v":1,"n":1,"ok":true}\n{"v":1,"n":9999999999999,"a":1}\n', "has no record of ours in line 2, but "),
        (b'{"v":1,"n":1,"ok":true}\nmy notes', "has no record of ours in line 2, but 'my notes'"),
        (b'{"v":1,"n":1,"ok":true\n', "has no record of ours in line 1, but "),
    ],
)
def test_what_is_no_results_file(results: Path, content: bytes, sentence: str) -> None:
    """It is refused, with its first odd line, and left as it is."""
    results.write_bytes(content)
    with pytest.raises(JournalError) as caught:
        open_journal(results, go_on=True)
    assert str(caught.value).startswith(f"the results file '{results}' {sentence}")
    assert results.read_bytes() == content


@pytest.mark.slow
def test_many_positions(results: Path) -> None:
    """200,000 lines are read back in a second or two, in much less memory than the file has."""
    line = '{"v":1,"n":%d,"url":"http://example.org/","ok":%s,"attempts":1}\n'
    results.write_text(
        "".join(line % (n, 'false,"error":{"code":"x"}' if n % 9 == 0 else "true") for n in range(1, 200_001))
    )
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    recorded = read_back("r", results)
    assert (len(recorded.done), len(recorded.failed), recorded.lines) == (200_000, 22_222, 200_000)
    assert time.process_time() - started < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


def test_a_full_disk_keeps_the_job_file(results: Path, tmp_path: Path) -> None:
    """Where the new one cannot be written, the former one is still whole, and nothing temporary is left."""
    from asyncfetch.job.fingerprint import Fingerprint
    from asyncfetch.job.jobfile import JobFile, read_job_file
    from asyncfetch.job.lines import Line

    fingerprint = Fingerprint()
    job_file = JobFile(results, {"a": 1}, fingerprint)
    job_file.save()
    fingerprint.feed("", 1, [Line(1, "http://a/", "")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(JournalError, match=r"^the job file '.*' cannot be written: file too large$"):
            job_file.cover(1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    remembered = read_job_file(results)
    assert remembered is not None
    assert (remembered.settings, remembered.input.entries) == ({"a": 1}, 0)
    assert {path.name for path in tmp_path.iterdir()} == {"results.jsonl.job.json"}
    shutil.rmtree(tmp_path)
