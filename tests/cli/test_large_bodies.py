"""Large bodies and the real command: killed in the middle, gone on with, and never of two versions."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from asyncfetch.testing import FaultServer
from asyncfetch.testing.fixtures import MakeFaultServer
from tests.cli.command import Run, Started, run
from tests.download import Download, pattern

MIB = 2**20


@pytest.fixture
def server(make_fault_server: MakeFaultServer) -> FaultServer:
    return make_fault_server({})


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_bytes().splitlines()]


def size_of(path: Path) -> int:
    """Its bytes; a name that is only tried out when a job begins may be gone again."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def parts(out: Path) -> list[Path]:
    return list(out.glob(".asyncfetch-*"))


def files_below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def stop_in_the_middle(download: Download, out: Path, url: str, signum: signal.Signals, *args: str) -> int:
    """Start a job, and stop it when 3 MiB are on the disk; return how many bytes are there then."""
    download.pause = 0.02
    with Started("get", url, "-P", str(out), *args) as started:
        deadline = time.monotonic() + 20
        while not any(size_of(path) >= 3 * MIB for path in parts(out)):
            assert time.monotonic() < deadline, "it does not come"
            time.sleep(0.005)
        started.send(signum)
        if signum is not signal.SIGKILL:
            while "in flight" not in started.read_line():
                pass
            started.send(signum)
        started.wait()
    download.pause = 0
    [part] = parts(out)
    return part.stat().st_size


def go_on(out: Path, *args: str) -> Run:
    return run("get", "-c", "-P", out, *args)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_only_the_rest_is_asked_for(server: FaultServer, tmp_path: Path, signum: signal.Signals) -> None:
    """50 MiB, stopped in the middle: -c asks for the rest only; file and digest are those of the whole."""
    out, body = tmp_path / "out", pattern(50 * MIB)
    server.route("/big.bin", download := Download(body))
    there = stop_in_the_middle(download, out, server.url("/big.bin"), signum, "--hash", "sha256")
    done = go_on(out)
    assert done.status == 0, done.err
    assert download.asked == [None, f"bytes={there}-"]
    [record] = records(out)
    assert (out / record["path"]).read_bytes() == body
    assert (record["status"], record["bytes"], record["sha256"]) == (
        206,
        len(body),
        hashlib.sha256(body).hexdigest(),
    )
    assert files_below(out) == {"results.jsonl", "results.jsonl.job.json", record["path"]}
    assert not (out / "results.jsonl.job.parts").exists()


@pytest.mark.slow
def test_another_version_starts_over(server: FaultServer, tmp_path: Path) -> None:
    """A changed ETag: the server sends all of it, and nothing of the old version is in the file."""
    out, new = tmp_path / "out", pattern(5 * MIB, seed=7)
    server.route("/big.bin", download := Download(pattern(50 * MIB)))
    there = stop_in_the_middle(download, out, server.url("/big.bin"), signal.SIGKILL)
    download.content, download.fields = new, {"ETag": '"v2"'}
    assert go_on(out).status == 0
    assert download.asked == [None, f"bytes={there}-"]
    [record] = records(out)
    assert (record["status"], (out / record["path"]).read_bytes()) == (200, new)
    assert parts(out) == []


@pytest.mark.slow
@pytest.mark.parametrize("what", ["cut short", "without its note", "another file", "whole"])
def test_what_was_left_is_looked_at(server: FaultServer, tmp_path: Path, what: str) -> None:
    """Its length is what is on the disk; without a note, or as another file, it is not used; nothing is left."""
    out, body = tmp_path / "out", pattern(6 * MIB)
    server.route("/big.bin", download := Download(body))
    stop_in_the_middle(download, out, server.url("/big.bin"), signal.SIGKILL)
    [part] = parts(out)
    [note] = (out / "results.jsonl.job.parts").iterdir()
    if what == "cut short":
        part.write_bytes(part.read_bytes()[: 2 * MIB])
    elif what == "without its note":
        note.write_text("{")
    elif what == "another file":
        other = out / "other"
        other.write_bytes(bytes(3 * MIB))
        other.replace(part)
    else:
        part.write_bytes(body)
    assert go_on(out).status == 0
    [record] = records(out)
    assert (out / record["path"]).read_bytes() == body
    expected = {"cut short": f"bytes={2 * MIB}-", "whole": f"bytes={6 * MIB - 1}-"}
    assert download.asked == [None, expected.get(what)]
    assert files_below(out) == {"results.jsonl", "results.jsonl.job.json", record["path"]}


@pytest.mark.slow
def test_what_failed_is_gone_on_with(server: FaultServer, tmp_path: Path) -> None:
    """Broken off three times, it is recorded as failed and its beginning kept for --retry-failed."""
    out, body = tmp_path / "out", pattern(8 * MIB)
    server.route("/big.bin", download := Download(body, 2 * MIB, 2 * MIB, 2 * MIB))
    assert run("get", server.url("/big.bin"), "-P", out).status == 3
    assert [path.stat().st_size for path in parts(out)] == [6 * MIB]
    assert go_on(out).status == 3, "-c alone fetches nothing, and leaves it where it is"
    assert go_on(out, "--retry-failed").status == 0
    assert download.asked == [None, f"bytes={2 * MIB}-", f"bytes={4 * MIB}-", f"bytes={6 * MIB}-"]
    assert (out / records(out)[-1]["path"]).read_bytes() == body
    assert parts(out) == []


@pytest.mark.slow
def test_beginning_anew_forgets_it(server: FaultServer, tmp_path: Path) -> None:
    """--overwrite begins another job: what the old one has left is removed."""
    out, body = tmp_path / "out", pattern(6 * MIB)
    server.route("/big.bin", download := Download(body))
    stop_in_the_middle(download, out, server.url("/big.bin"), signal.SIGKILL)
    assert run("get", server.url("/big.bin"), "-P", out, "--overwrite").status == 0
    assert download.asked == [None, None]
    assert files_below(out) == {"results.jsonl", "results.jsonl.job.json", records(out)[0]["path"]}


@pytest.mark.slow
def test_small_or_weak_ones_are_not_kept(server: FaultServer, tmp_path: Path) -> None:
    """What is below 1 MiB, has no strong validator, or is coded, is fetched anew."""
    out = tmp_path / "out"
    server.route("/small", small := Download(pattern(MIB - 1), 600_000))
    server.route("/weak", weak := Download(pattern(4 * MIB), 3 * MIB, etag='W/"v1"'))
    server.route("/coded", coded := Download(pattern(6 * MIB), 2 * MIB))
    coded.gzip = True
    urls = [server.url(path) for path in ("/small", "/weak", "/coded")]
    assert run("get", *urls, "-P", out).status == 0
    assert small.asked == weak.asked == coded.asked == [None, None]
    for record in records(out):
        download = {"small": small, "weak": weak, "coded": coded}[record["url"].rpartition("/")[2]]
        assert (out / record["path"]).read_bytes() == download.content
