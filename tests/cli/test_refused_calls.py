"""The real command where a call fails that always works: a disk quota, a broken disk, a network drive."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncfetch.testing import FaultServer, Reply, Script, SeenRequest, Silence
from asyncfetch.testing.fixtures import MakeFaultServer
from tests.cli.command import AT_MOST, Started, environment
from tests.download import Download, pattern
from tests.refusals import CAN_REFUSE, refusing

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CAN_REFUSE, reason="seccomp is Linux's")]

MIB = 2**20
URLS = 5
RECORD = 3000
BODIES, RECORDS = range(20_000, 40_000), range(RECORD, 20_000)


def body_of(path: str) -> bytes:
    return path.encode() * 3000


@pytest.fixture
def server(make_fault_server: MakeFaultServer) -> FaultServer:
    def answer(request: SeenRequest) -> Reply:
        return Reply(200, body_of(request.path), {"ETag": f'"{"e" * RECORD}"'})  # to tell records from all else

    return make_fault_server({"*": answer})


@pytest.fixture
def urls(server: FaultServer, tmp_path: Path) -> Path:
    path = tmp_path / "urls.txt"
    path.write_text("".join(server.url(f"/{n:09}\n") for n in range(1, URLS + 1)))
    return path


def get(*args: object, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-W", "error", "-m", "asyncfetch", "get", *map(str, args)]
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=AT_MOST, env=environment(), preexec_fn=before
    )


def records(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize(
    ("call", "error", "sizes", "what"),
    [
        ("write", errno.EDQUOT, BODIES, "'{out}/127.0.0.1"),
        ("mkdirat", errno.EDQUOT, None, "'{out}/127.0.0.1"),
        ("write", errno.EDQUOT, RECORDS, "the results file '{out}/results.jsonl'"),
        ("write", errno.EIO, RECORDS, "the results file '{out}/results.jsonl'"),
        ("fsync", errno.EDQUOT, None, "the results file '{out}/results.jsonl'"),
        ("fsync", errno.EIO, None, "the results file '{out}/results.jsonl'"),
    ],
)
def test_it_stops_and_goes_on(
    urls: Path, tmp_path: Path, call: str, error: int, sizes: range | None, what: str
) -> None:
    """It ends with 1 and says which file and why; nothing is half there; -c completes it when it works again."""
    out = tmp_path / "out"
    out.mkdir()
    stopped = get(urls, "-P", out, before=refusing(call, error, sizes))
    assert stopped.returncode == 1, stopped.stderr
    reason = {errno.EDQUOT: "disk quota exceeded", errno.EIO: "input/output error"}[error]
    [line] = [line for line in stopped.stderr.splitlines() if line.startswith("asyncfetch: ")]
    assert line.startswith(f"asyncfetch: {what.format(out=out)}"), stopped.stderr
    assert line.endswith(f" cannot be written: {reason}")
    assert f"go on with: asyncfetch get -c -o {out}/results.jsonl" in stopped.stderr
    done = get("-c", "-P", out)
    assert done.returncode == 0, done.stderr
    found = records(out)
    assert sorted(int(str(record["n"])) for record in found) == list(range(1, URLS + 1))
    paths = {str(record["path"]) for record in found}
    assert all((out / path).read_bytes() == body_of("/" + path.partition("/")[2]) for path in paths)
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert files == paths | {"results.jsonl", "results.jsonl.job.json"}


def test_what_somebody_removes(make_fault_server: MakeFaultServer, tmp_path: Path) -> None:
    """The temporary file of a large body is gone when it is to get its name: it says so, and -c fetches it anew."""
    out, body = tmp_path / "out", pattern(12 * MIB)
    server = make_fault_server({"/big.bin": (download := Download(body))})
    download.pause = 0.02
    with Started("get", server.url("/big.bin"), "-P", out) as started:
        while len(download.asked) < 1:
            time.sleep(0.005)
        while not (found := list(out.glob(".asyncfetch-*"))):
            time.sleep(0.005)
        found[0].unlink()
        stopped = started.wait()
    assert stopped.status == 1, stopped.err
    [line] = [line for line in stopped.err.splitlines() if line.startswith("asyncfetch: ")]
    assert line.startswith(f"asyncfetch: '{out}/127.0.0.1")
    assert line.endswith("/big.bin' cannot be written: no such file or directory")
    assert "Traceback" not in stopped.err
    download.pause = 0
    done = get("-c", "-P", out)
    assert done.returncode == 0, done.stderr
    [record] = records(out)
    assert (out / str(record["path"])).read_bytes() == body
    assert not (out / "results.jsonl.job.parts").exists()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_disk_is_asked_once_a_second(server: FaultServer, tmp_path: Path, loop: str) -> None:
    """A disk that takes nothing is noticed while the job goes on, a second after a record, not at its end."""
    server.route("/endless", Script(Silence()))
    urls = [server.url("/000000001"), server.url("/endless")]
    started = time.monotonic()
    stopped = get(*urls, "-o", tmp_path / "r.jsonl", "--loop", loop, before=refusing("fsync", errno.EIO))
    assert stopped.returncode == 1
    assert f"asyncfetch: the results file '{tmp_path}/r.jsonl' cannot be written: input/output" in stopped.stderr
    assert 1 <= time.monotonic() - started < 25
