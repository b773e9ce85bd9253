"""The real command where files cannot be written: no descriptor, a limit of size, a full or a read-only disk."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncfetch.testing import FaultServer, Reply, SeenRequest
from asyncfetch.testing.fixtures import MakeFaultServer
from tests.cli.command import AT_MOST, environment
from tests.download import Download, pattern

MIB = 2**20
MAY_MOUNT = (
    shutil.which("unshare") and not subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode
)


def body_of(path: str) -> bytes:
    """Each third is large enough to be written while it comes."""
    number = int(path.rpartition("/")[2])
    return b"%06d\n" % number * (50_000 if number % 3 == 0 else 10)


def answer(request: SeenRequest) -> Reply:
    return Reply(200, body_of(request.path))


@pytest.fixture
def server(make_fault_server: MakeFaultServer) -> FaultServer:
    return make_fault_server({"*": answer})


def get(*args: object, **settings: Any) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-W", "error", "-m", "asyncfetch", "get", *map(str, args)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=AT_MOST, env=environment(), **settings)


def in_namespace(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run a line of bash with file systems of its own, in which `$A` is asyncfetch; its arguments are `$1` ..."""
    argv = ["unshare", "-rm", "bash", "-c", script, "bash", *map(str, args)]
    env = environment({"A": f"{sys.executable} -W error -m asyncfetch"})
    return subprocess.run(argv, capture_output=True, text=True, timeout=AT_MOST, env=env)


def limited_to(what: int, most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(what, (most, most))


def see_that_all_is_there(out: Path, number: int) -> None:
    records = [json.loads(line) for line in (out / "results.jsonl").read_bytes().splitlines()]
    assert sorted(record["n"] for record in records) == list(range(1, number + 1))
    for record in records:
        assert (out / record["path"]).read_bytes() == body_of(record["url"])
    assert not list(out.glob(".asyncfetch-*"))


@pytest.mark.slow
def test_of_descriptors(server: FaultServer, tmp_path: Path) -> None:
    """Where sockets and files do not fit into `ulimit -n`, both wait for each other's; every body is whole."""
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    urls.write_text("".join(server.url(f"/{number % 5}/{number}\n") for number in range(1, 101)))
    done = get(urls, "-P", out, "-j", 100, "--max-per-host", 100, preexec_fn=limited_to(resource.RLIMIT_NOFILE, 40))
    assert done.returncode == 0, done.stderr
    see_that_all_is_there(out, 100)


@pytest.mark.slow
def test_of_what_a_file_may_hold(make_fault_server: MakeFaultServer, tmp_path: Path) -> None:
    """A body that grows over `ulimit -f` ends the job with 1 and its path; -c goes on where it stopped."""
    out, body = tmp_path / "out", pattern(4 * MIB)
    server = make_fault_server({"/big.bin": (download := Download(body))})
    stopped = get(server.url("/big.bin"), "-P", out, preexec_fn=limited_to(resource.RLIMIT_FSIZE, 3 * MIB))
    assert stopped.returncode == 1
    assert f"asyncfetch: '{out}' cannot be written: file too large" in stopped.stderr
    assert f"go on with: asyncfetch get -c -o {out}/results.jsonl" in stopped.stderr
    done = get("-c", "-P", out)
    assert done.returncode == 0, done.stderr
    [record] = [json.loads(line) for line in (out / "results.jsonl").read_bytes().splitlines()]
    assert (out / record["path"]).read_bytes() == body
    assert len(download.asked) == 2
    assert not list(out.glob(".asyncfetch-*"))


@pytest.mark.slow
@pytest.mark.skipif(not MAY_MOUNT, reason="no user namespace here; `ulimit -f` above is tested everywhere")
def test_of_room(server: FaultServer, tmp_path: Path) -> None:
    """A file system of 1 MiB: it stops with 1 and says which file and why; with room again, -c completes it."""
    urls, disk, copy = tmp_path / "urls.txt", tmp_path / "disk", tmp_path / "copy"
    urls.write_text("".join(server.url(f"/{number}\n") for number in range(1, 31)))
    disk.mkdir()
    script = """mount -t tmpfs -o size=1m none "$1" && $A get "$2" -P "$1/out"; echo "ended with $?" >&2
        mount -o remount,size=64m "$1" && $A get -c -P "$1/out"; status=$?
        cp -a "$1/out" "$3"; exit $status"""
    done = in_namespace(script, disk, urls, copy)
    assert done.returncode == 0, done.stderr
    assert "ended with 1" in done.stderr
    assert re.search(rf"asyncfetch: .*'{disk}/out.*' cannot be written: no space left on device", done.stderr)
    see_that_all_is_there(copy, 30)


@pytest.mark.slow
@pytest.mark.skipif(
    not MAY_MOUNT, reason="no user namespace here; a directory without permission is tested anywhere"
)
def test_of_permission_to_write(server: FaultServer, tmp_path: Path) -> None:
    """A read-only file system is refused before the first request."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        """mount -t tmpfs none "$1" && mkdir "$1/out" && mount -o remount,ro "$1" && $A get "$2" -P "$1/out" """
    )
    refused = in_namespace(script, disk, server.url("/1"))
    assert refused.returncode == 2
    assert refused.stderr == f"asyncfetch: '{disk}/out' cannot be written to: read-only file system\n"
    assert server.seen.requests == 0


@pytest.mark.slow
@pytest.mark.skipif(
    not MAY_MOUNT, reason="no user namespace here; a directory without permission is tested anywhere"
)
def test_of_permission_in_the_middle(server: FaultServer, tmp_path: Path) -> None:
    """A file system that becomes read-only ends the job with 1 and the path; -c completes it when it is not."""
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    urls.write_text(server.url("/1\n"))
    assert get(urls, "-P", out).returncode == 0
    urls.write_text(server.url("/1\n") + server.url("/2\n"))
    [host] = [path for path in out.iterdir() if path.is_dir()]
    script = """mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && $A get -c -P "$2" """
    stopped = in_namespace(script, host, out)
    assert stopped.returncode == 1, stopped.stderr
    assert f"asyncfetch: '{host}/2' cannot be written: read-only file system" in stopped.stderr
    assert get("-c", "-P", out).returncode == 0
    see_that_all_is_there(out, 2)
