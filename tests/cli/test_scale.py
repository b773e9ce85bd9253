"""Long lists through the real command, at a size for every day; `tests/benchmarks` has the large ones."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncfetch.testing import Reply
from asyncfetch.testing.fixtures import MakeFaultServer
from tests.benchmarks.servers import NGINX, Nginx
from tests.cli.command import AT_MOST, Argument, Started, environment, read_records, run

SLOW, FAST = "127.0.0.1", [f"127.0.0.{number}" for number in range(2, 12)]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An nginx, the fastest server there is here."""
    if NGINX is None:
        pytest.skip("no nginx binary in PATH or /usr/sbin (Debian: nginx-light)")
    nginx = Nginx(tmp_path_factory.mktemp("nginx") / "nginx", large_size=1)
    with nginx.running(None):
        yield nginx.http


_SMALL_PARENT = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_memory(folder: Path, urls: Path) -> int:
    """Run the command on a list; return the most memory it had, in KiB: the kernel counts that of who starts it."""
    command: list[Argument] = [
        sys.executable,
        "-m",
        "asyncfetch",
        "get",
        urls,
        "-o",
        folder / f"{urls.stem}.jsonl",
        "-q",
    ]
    command += ["-j", "64", "--max-per-host", "64"]
    argv = [sys.executable, "-I", "-S", "-c", _SMALL_PARENT, *command]
    return int(subprocess.run(argv, env=environment(), stdout=subprocess.PIPE, check=True, timeout=AT_MOST).stdout)


@pytest.mark.nginx
def test_memory_does_not_grow_with_the_list(origin: str, tmp_path: Path) -> None:
    """A list that fills the window again and again, and one twice as long: the same memory, less than 120 MiB."""
    peaks = []
    for lines in (24_000, 48_000):
        urls = tmp_path / f"{lines}.txt"
        urls.write_text("".join(f"{origin}/small?n={number}\n" for number in range(lines)))
        peaks.append(peak_memory(tmp_path, urls))
        assert len(read_records(tmp_path / f"{lines}.jsonl")) == lines
    assert peaks[1] <= 1.1 * peaks[0]
    assert peaks[1] < 120 * 1024


def write_sorted(path: Path, port: int, lines: int) -> None:
    """Write many lines of the slow host, and behind them a hundred of fast ones."""
    with path.open("w", encoding="ascii") as file:
        file.writelines(f"http://{SLOW}:{port}/slow?n={number}\n" for number in range(lines))
        file.writelines(f"http://{FAST[number % 10]}:{port}/fast?n={number}\n" for number in range(100))


@pytest.fixture
def port(make_fault_server: MakeFaultServer) -> int:
    """The port of a server with a slow host and fast ones."""
    routes = {"/slow": Reply(200, b"x", delay=0.5), "/fast": Reply(200, b"x")}
    return make_fault_server(routes, addresses=(SLOW, *FAST)).port


def test_who_stands_behind_a_slow_host_is_served(port: int, tmp_path: Path) -> None:
    """Behind 100,000 lines of a slow host the others are done within seconds, and nothing is left on the disk."""
    urls, out, temporary = tmp_path / "urls.txt", tmp_path / "results.jsonl", tmp_path / "temporary"
    temporary.mkdir()
    write_sorted(urls, port, 100_000)
    with Started("get", urls, "-o", out, "-q", env={"TMPDIR": str(temporary)}) as command:
        deadline = time.monotonic() + AT_MOST
        while not out.exists() or out.read_bytes().count(b"/fast?") < 100:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert not list(temporary.iterdir())
        assert any(str(temporary) in target for target in files_of(command.pid))
        command.send(signal.SIGTERM)
        assert command.wait().status == 143
    records = read_records(out)
    assert all(record["ok"] for record in records)
    assert [record["n"] for record in records if "/fast?" in record["url"]] == list(range(100_001, 100_101))


def files_of(pid: int) -> list[str]:
    return [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]


def test_a_full_disk_is_said_and_loses_nothing(port: int, tmp_path: Path) -> None:
    """The sentence names the directory and the way out; what was fetched is recorded, and `-c` fetches the rest."""
    urls, out = tmp_path / "urls.txt", tmp_path / "results.jsonl"
    write_sorted(urls, port, 30_000)
    limited = f"ulimit -f 200; exec {sys.executable} -W error -m asyncfetch get {urls} -o {out}"
    stopped = subprocess.run(
        ["bash", "-c", limited],
        env=environment({"TMPDIR": str(tmp_path)}),
        capture_output=True,
        text=True,
        timeout=AT_MOST,
    )
    assert stopped.returncode == 1
    assert f"asyncfetch: what waits for its host cannot be kept in '{tmp_path}': file too large" in stopped.stderr
    assert "make room there, or let TMPDIR name another directory" in stopped.stderr
    assert f"go on with: asyncfetch get -c -o {out}" in stopped.stderr
    recorded = {record["n"] for record in read_records(out)}
    assert recorded
    gone_on = run("get", "-c", "-o", out, "-q", "--max-failures", "1", "-m", "0.1")
    assert gone_on.status == 4
    after = read_records(out)
    assert recorded < {record["n"] for record in after}
    assert len({record["n"] for record in after}) == len(after)
