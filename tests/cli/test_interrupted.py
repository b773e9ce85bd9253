"""The promise of `-c` with all that a job can have: large bodies in parts, digests, names after a template."""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

from asyncfetch.testing import FaultServer, Reply, Script, SeenRequest
from asyncfetch.testing.fixtures import MakeFaultServer
from tests.cli.command import AT_MOST, Started, environment, read_records, run
from tests.download import Download, pattern

pytestmark = pytest.mark.slow

URLS, KILLS, JOBS = 2000, 12, 20
MIB = 2**20
OPTIONS = ("--hash", "sha256", "--name", "{host}/{n}-{name}{ext}")


@cache
def body_of(number: int) -> bytes:
    """Each hundredth is a large one; no two are the same."""
    return pattern(6 * MIB, seed=number) if number % 100 == 0 else b"%06d\n" % number * (1 + number % 50)


class Site:
    """What the server has.

    Attributes:
        large: the large bodies, which come slowly, in ranges if asked for.
    """

    def __init__(self) -> None:
        self.large = {number: Download(body_of(number)) for number in range(100, URLS + 1, 100)}
        for download in self.large.values():
            download.pause = 0.01

    async def __call__(self, request: SeenRequest) -> Reply | Script:
        number = int(request.path[1:])
        if number in self.large:
            return self.large[number](request)
        return Reply(200, body_of(number), delay=random.Random(number).random() * 0.006)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def server(make_fault_server: MakeFaultServer, site: Site) -> FaultServer:
    return make_fault_server({"*": site})


def files_below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def strike(arguments: list[object], signum: int, server: FaultServer, hits: int) -> int:
    """Run a command, and send it a signal soon after the server has seen so much; return how it ended."""
    argv = [sys.executable, "-m", "asyncfetch", "get", "-q", *map(str, arguments)]
    with subprocess.Popen(argv, env=environment()) as process:
        while server.seen.requests < hits and process.poll() is None:
            time.sleep(0.001)
        time.sleep(random.Random(hits).random() * 0.1)
        process.send_signal(signum)
        return process.wait(AT_MOST)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_at_random_moments(server: FaultServer, site: Site, tmp_path: Path, signum: signal.Signals) -> None:
    """2,000 URLs, 12 signals: each recorded once, with name and digest; large ones go on where they stopped."""
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    urls.write_text("".join(server.url(f"/{number}\n") for number in range(1, URLS + 1)))
    arguments: list[object] = [
        urls,
        "-P",
        out,
        *OPTIONS,
        "-j",
        str(JOBS),
        "--max-per-host",
        str(JOBS),
        "--no-adapt",
    ]
    struck = 0
    for hits in sorted(random.Random(int(signum)).sample(range(1, URLS - 100), KILLS)):
        status = strike(arguments, signum, server, hits)
        assert status in {-signum, 128 + signum, 0}
        struck += status != 0
        arguments = ["-c", "-P", out]
    assert struck >= KILLS - 2, "one of the last may have ended in this very moment"
    done = run("get", "-c", "-P", out)
    assert done.status == 0, done.err
    records = read_records(out / "results.jsonl")
    assert [record["n"] for record in records] == list(range(1, URLS + 1))
    for record in records:
        body = body_of(record["n"])
        assert (out / record["path"]).read_bytes() == body, record
        assert record["sha256"] == hashlib.sha256(body).hexdigest()
        assert record["path"].endswith(f"/{record['n']}-{record['n']}")
    assert files_below(out) == {"results.jsonl", "results.jsonl.job.json"} | {r["path"] for r in records}
    assert not (out / "results.jsonl.job.parts").exists()
    assert server.seen.requests <= URLS + KILLS * (JOBS + 64)
    ranges = [asked for download in site.large.values() for asked in download.asked if asked]
    assert ranges or signum == signal.SIGTERM, "what has 5 s to finish need not be gone on with"


def test_what_a_kill_can_cost(make_fault_server: MakeFaultServer, tmp_path: Path) -> None:
    """While nothing can be written down, no more is fetched than -j and 64 results; and then all the rest."""
    server = make_fault_server({"*": Reply(200, b"x")})
    urls, fifo = tmp_path / "urls.txt", tmp_path / "fifo"
    urls.write_text("".join(server.url(f"/{number}\n") for number in range(1, 501)))
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    with (
        Started("get", urls, "-o", fifo, "-j", "7", "--max-per-host", "7") as started,
        os.fdopen(reader, "rb") as lines,
    ):
        seen = -1
        while seen != server.seen.requests or not seen:
            seen = server.seen.requests
            time.sleep(0.3)
        written = lines.read(4096).count(b"\n")
        assert 7 <= seen - written <= 7 + 64
        os.set_blocking(reader, True)
        written += lines.read().count(b"\n")
        assert (started.wait().status, server.seen.requests) == (0, 500)
    assert written == 500
