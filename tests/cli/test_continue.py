"""The promise of `-c`, with the real command: whatever interrupts it, every URL is recorded once, bodies whole."""

from __future__ import annotations

import json
import random
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncfetch.testing import FaultServer, Reply, Script, SeenRequest, Silence
from asyncfetch.testing.fixtures import MakeFaultServer

URLS = 2000
KILLS = 12
JOBS = 20


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "asyncfetch", "get", "--no-color", *map(str, args)]


def run(*args: object, **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*args), capture_output=True, text=True, timeout=120, **settings)


def body_of(url: str) -> bytes:
    """Some are large enough to be written piece by piece; no two are the same."""
    number = int(url.rpartition("/")[2])
    return f"{number:06}\n".encode() * (60_000 if number % 97 == 0 else 1 + number % 50)


async def answer(request: SeenRequest) -> Reply:
    return Reply(200, body_of(request.path), delay=random.Random(request.path).random() * 0.006)


@pytest.fixture
def server(make_fault_server: MakeFaultServer) -> FaultServer:
    return make_fault_server({"*": answer})


@pytest.fixture
def urls(server: FaultServer, tmp_path: Path) -> Path:
    path = tmp_path / "urls.txt"
    path.write_text("".join(server.url(f"/{number}\n") for number in range(1, URLS + 1)))
    return path


def lines_of(results: Path) -> list[dict[str, Any]]:
    content = results.read_bytes()
    assert content.endswith(b"\n") or not content
    return [json.loads(line) for line in content.splitlines()]


def files_below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def see_that_all_is_there(out: Path, number: int = URLS) -> None:
    """Every position is recorded once, every body is what was served, and there is nothing else."""
    lines = lines_of(out / "results.jsonl")
    assert sorted(line["n"] for line in lines) == list(range(1, number + 1))
    for line in lines:
        assert (out / line["path"]).read_bytes() == body_of(line["url"]), line
    beside = {"results.jsonl", "results.jsonl.job.json"}
    assert files_below(out) == beside | {line["path"] for line in lines}


def interrupt(argv: list[str], signum: int, is_time: Callable[[], bool]) -> tuple[int, str]:
    """Run a command, send it a signal when it is time (it may have ended before), and return status and stderr."""
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not is_time():
            time.sleep(0.001)
        process.send_signal(signum)
        _, stderr = process.communicate(timeout=120)
    return process.returncode, stderr


def moments(server: FaultServer, seed: int) -> Iterator[Callable[[], bool]]:
    """When to strike: some moments after the start, most of them when the server has seen so many requests."""
    draw = random.Random(seed)
    for hits in sorted(draw.sample(range(URLS), KILLS)):
        yield after(draw.random() * 0.4) if draw.random() < 0.2 else when_seen(server, hits, draw.random() * 0.005)


def after(seconds: float) -> Callable[[], bool]:
    at = time.monotonic() + seconds
    return lambda: time.monotonic() > at


def when_seen(server: FaultServer, hits: int, pause: float) -> Callable[[], bool]:
    def is_time() -> bool:
        if server.seen.requests < hits:
            return False
        time.sleep(pause)
        return True

    return is_time


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_interrupted_at_random_moments(server: FaultServer, urls: Path, tmp_path: Path, signum: int) -> None:
    """2,000 URLs, 12 signals, and `-c`: each recorded once, bodies whole, only what was in flight fetched again."""
    out = tmp_path / "out"
    argv = command(urls, "-P", out, "-c", "-j", str(JOBS), "--max-per-host", str(JOBS))
    struck = 0
    for is_time in moments(server, seed=signum):
        status, _ = interrupt(argv, signum, is_time)
        assert status in {-signum, 128 + signum, 0}
        struck += status != 0
        argv = command("-c", "-o", out / "results.jsonl") if (out / "results.jsonl.job.json").exists() else argv
    done = run("-c", "-o", out / "results.jsonl")
    assert done.returncode == 0, done.stderr
    assert struck >= KILLS - 2, "one of the last may have ended in this very moment"
    see_that_all_is_there(out)
    assert server.seen.requests <= URLS + KILLS * (JOBS + 64)


@pytest.mark.slow
def test_interrupted_by_ctrl_c(server: FaultServer, urls: Path, tmp_path: Path) -> None:
    """The closing lines end with the command to go on; it works from another directory, too."""
    results = tmp_path / "my results.jsonl"
    argv = command(urls.name, "-o", results)
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        while server.seen.requests < 300:
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    [line] = [line for line in stderr.splitlines() if line.startswith("go on with: ")]
    assert line == f"go on with: asyncfetch get -c -o '{results}'"
    argv = [sys.executable, "-m", "asyncfetch", *shlex.split(line)[4:]]
    done = subprocess.run(argv, capture_output=True, text=True, cwd="/", timeout=120)
    assert done.returncode == 0, done.stderr
    assert sorted(line["n"] for line in lines_of(results)) == list(range(1, URLS + 1))
    assert "had been recorded before (0 not ok)" in done.stderr
    again = run("-c", "-o", results)
    assert (again.returncode, again.stderr) == (0, "nothing left to fetch: all 2,000 URLs have their records\n")


@pytest.mark.slow
def test_the_second_job_is_refused(make_fault_server: MakeFaultServer, tmp_path: Path) -> None:
    """It names the process that has the results file, and touches nothing; a killed one is in nobody's way."""
    server, results = make_fault_server({"*": Script(Silence())}), tmp_path / "r.jsonl"
    with subprocess.Popen(command(server.url("/"), "-o", results), stderr=subprocess.DEVNULL) as process:
        while not server.seen.requests:
            time.sleep(0.001)
        for args in (["-c"], [server.url("/"), "--overwrite"]):
            second = run(*args, "-o", results)
            assert (second.returncode, second.stderr) == (
                2,
                f"asyncfetch: the results file '{results}' is in use: process {process.pid} is writing it\n",
            )
        process.kill()
    server.route("*", Reply(200))
    assert run("-c", "-o", results).returncode == 0
    assert len(lines_of(results)) == 1


@pytest.mark.slow
def test_failed_ones_again_and_compact(server: FaultServer, urls: Path, tmp_path: Path) -> None:
    """The last record of a URL counts, also for the exit status; then one line is left for each."""
    urls.write_text("".join(urls.read_text().splitlines(keepends=True)[:30]))
    server.route("/7", Reply(404))
    out = tmp_path / "out"
    assert run(urls, "-P", out).returncode == 3
    assert run("-c", "-P", out).returncode == 3
    assert run("-c", "-P", out, "--retry-failed=dns,http.5xx").returncode == 3
    server.route("/7", Reply(200, body_of("/7")))
    assert run("-c", "-P", out, "--retry-failed").returncode == 0
    assert run("-c", "-P", out, "--retry-failed").returncode == 0
    lines = lines_of(out / "results.jsonl")
    assert [line["ok"] for line in lines if line["n"] == 7] == [False, True]
    argv = [sys.executable, "-m", "asyncfetch", "compact", str(out / "results.jsonl")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (
        0,
        f"asyncfetch: 30 lines kept, 1 dropped: {out / 'results.jsonl'}\n",
    )
    see_that_all_is_there(out, 30)


@pytest.mark.slow
def test_the_standard_input_again(server: FaultServer, urls: Path, tmp_path: Path) -> None:
    """It can be gone on with if it gives the same lines again, and more; other lines are refused."""
    results, lines = tmp_path / "r.jsonl", urls.read_text().splitlines(keepends=True)
    assert run("-", "-o", results, input="".join(lines[:40])).returncode == 0
    assert run("-c", "-o", results, input="".join(lines[:60])).returncode == 0
    assert sorted(line["n"] for line in lines_of(results)) == list(range(1, 61))
    assert server.seen.requests == 60
    other = run("-c", "-o", results, input="".join(reversed(lines[:60])))
    assert other.returncode == 2
    assert "asyncfetch: the standard input is not the list that the job was begun with: line 1 is " in other.stderr


@pytest.mark.slow
def test_options_and_secrets(server: FaultServer, urls: Path, tmp_path: Path) -> None:
    """What gives records another meaning may not change; secrets are not kept, and have to be given again."""
    urls.write_text(server.url("/1\n"))
    results = tmp_path / "r.jsonl"
    secrets = ["-u", "me:hunter2", "-H", "X-Api-Key: hunter2"]
    assert run(urls, "-o", results, *secrets, "-H", "Accept: text/html", "-j", 7).returncode == 0
    assert "hunter2" not in Path(f"{results}.job.json").read_text() + results.read_text()
    urls.write_text(server.url("/1\n") + server.url("/2\n"))
    refusals = {
        (): "the job file holds no secrets: to go on, give -H X-Api-Key and -u again",
        (*secrets, "-I"): "the job was begun with another -I: ",
        (*secrets, "-P", tmp_path / "out", "-A", "me"): "the job was begun with another -P, -A: leave that out",
        (*secrets, "-H", "Accept: */*"): "the job was begun with another -H: ",
        (*secrets, "-H", "Cookie: a=b"): "the job was begun with another -H Cookie: ",
        (*secrets, "--overwrite"): "-c keeps the results that are there, --overwrite does not: leave one out",
    }
    for args, sentence in refusals.items():
        refused = run("-c", "-o", results, *args)
        assert refused.returncode == 2, args
        assert refused.stderr.startswith(f"asyncfetch: {sentence}"), refused.stderr
    assert len(lines_of(results)) == 1
    assert run("-c", "-o", results, *secrets, "-j", 3, "-m", 20).returncode == 0
    fields = {name.lower(): value for name, value in server.seen.log[-1].headers}
    assert (fields["x-api-key"], fields["accept"]) == ("hunter2", "text/html")
    assert fields["authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["-c"], "-c goes on with a results file: name it with -o FILE, or its directory with -P DIR"),
        (["-c", "-o", "-"], "-c goes on with a results file: name it with -o FILE, or its directory with -P DIR"),
        (["-c", "-o", "none.jsonl"], "nothing to fetch: there is no such results file to go on with; give URLs, "),
        (["-o", "x", "http://a/", "--retry-failed"], "--retry-failed goes on with a job: add -c"),
        (
            ["-c", "-o", "x", "--retry-failed=nonsense"],
            "Invalid value for '--retry-failed': 'nonsense' is no",
        ),
    ],
)
@pytest.mark.slow
def test_what_makes_no_sense(tmp_path: Path, args: list[str], sentence: str) -> None:
    """Refused before anything is touched, with a sentence."""
    refused = run(*args, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"asyncfetch: {sentence}")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_file_may_not_grow(server: FaultServer, urls: Path, tmp_path: Path) -> None:
    """Under `ulimit -f` it stops with 1 and says which file; without it, it is completed."""
    out = tmp_path / "out"

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    urls.write_text("".join(server.url(f"/{number}\n") for number in range(1, 1001) if number % 97))
    stopped = run(urls, "-P", out, preexec_fn=limited)
    assert stopped.returncode == 1
    assert f"asyncfetch: the results file '{out}/results.jsonl' cannot be written: file too large" in stopped.stderr
    assert f"go on with: asyncfetch get -c -o {out}/results.jsonl" in stopped.stderr
    assert run("-c", "-P", out).returncode == 0
    see_that_all_is_there(out, 990)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", path], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.mark.slow
def test_a_full_disk(server: FaultServer, urls: Path, small_disk: Path) -> None:
    """It stops with 1 and says which file and why; nothing temporary is left; with room again, -c completes it."""
    out = small_disk / "out"
    stopped = run(urls, "-P", out)
    assert stopped.returncode == 1
    assert re.search(rf"asyncfetch: .*'{out}/.*' cannot be written: no space left on device", stopped.stderr)
    recorded = len(lines_of(out / "results.jsonl"))
    assert 0 < recorded < URLS
    assert run("-c", "-P", out).returncode in {1, 2}
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    hits = server.seen.requests
    done = run("-c", "-P", out)
    assert done.returncode == 0, done.stderr
    see_that_all_is_there(out)
    assert server.seen.requests - hits <= URLS - recorded
