"""Nobody takes what is shown: a terminal after Ctrl-S, a pipe that is not read. The job and the signals go on."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncfetch.testing import FaultServer, Reply
from tests.cli.command import AT_MOST, Terminal, environment, read_records
from tests.soon import SOON

pytestmark = pytest.mark.slow

CTRL_S, CTRL_Q = chr(19), chr(17)
PROGRESS = pytest.mark.parametrize("progress", ["live", "plain", "none"])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + AT_MOST
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class FullPipe:
    """A pipe that takes nothing more until it is drained.

    Attributes:
        writer: its writing end.
    """

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        os.set_blocking(self.writer, False)
        try:
            while os.write(self.writer, bytes(4096)):
                pass
        except BlockingIOError:
            os.set_blocking(self.writer, True)

    def drain(self, process: subprocess.Popen[bytes]) -> bytes:
        """Read until the process has ended; return what it wrote."""
        said = b""
        while process.poll() is None:
            if select.select([self._reader], [], [], 0.1)[0]:
                said += os.read(self._reader, 65536)
        while select.select([self._reader], [], [], 0)[0]:
            said += os.read(self._reader, 65536)
        return said.lstrip(b"\0")

    def close(self) -> None:
        os.close(self._reader)
        os.close(self.writer)


@pytest.fixture
def full_pipe() -> Iterator[FullPipe]:
    pipe = FullPipe()
    yield pipe
    pipe.close()


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def listed(server: FaultServer, tmp_path: Path, count: int) -> Path:
    """Write a list of so many URLs; every other one fails."""
    server.route("/ok", Reply(200))
    server.route("/gone", Reply(404))
    server.route("/slow", Reply(200, delay=0.5))
    path = tmp_path / "urls.txt"
    path.write_text(f"{server.url('/ok')}\n{server.url('/gone')}\n" * (count // 2))
    return path


@PROGRESS
def test_a_full_pipe_holds_up_neither_the_job_nor_a_signal(
    fault_server: FaultServer, full_pipe: FullPipe, tmp_path: Path, progress: str
) -> None:
    """All is fetched and recorded; then the closing tables wait for their reader, and a signal ends that."""
    results = tmp_path / "r.jsonl"
    command = [sys.executable, "-m", "asyncfetch", "get", "-v", "--progress", progress, "-o", str(results)]
    urls = listed(fault_server, tmp_path, 300)
    with subprocess.Popen([*command, urls], stderr=full_pipe.writer, env=environment()) as process:
        try:
            wait_for(lambda: lines_in(results) == 300)
            time.sleep(0.3)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(SOON) == 143
        finally:
            process.kill()
    assert len(read_records(results)) == 300


def test_what_a_pipe_takes_late_is_all_there(
    fault_server: FaultServer, full_pipe: FullPipe, tmp_path: Path
) -> None:
    """A reader that was away for a while finds every line when it is back."""
    results = tmp_path / "r.jsonl"
    command = [
        sys.executable,
        "-m",
        "asyncfetch",
        "get",
        "-v",
        "-o",
        str(results),
        *[fault_server.url("/gone")] * 15,
    ]
    with subprocess.Popen(command, stderr=full_pipe.writer, env=environment()) as process:
        wait_for(lambda: lines_in(results) == 15)
        said = full_pipe.drain(process)
        assert process.wait(AT_MOST) == 3
    assert said.count(b"http.4xx  ") >= 15
    assert b"15 failed" in said


@PROGRESS
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_frozen_terminal_does_not_hold_a_signal(
    fault_server: FaultServer, tmp_path: Path, progress: str, loop: str
) -> None:
    """After Ctrl-S, the first signal ends the job in good order, and nobody waits long for the terminal."""
    urls = listed(fault_server, tmp_path, 20)
    results = tmp_path / "r.jsonl"
    options: list[str | Path] = ["-v", "--progress", progress, "--loop", loop, "-o", results]
    slow = [fault_server.url("/slow")] * 4
    with Terminal("get", urls, *slow, *options, "--max-per-host", "2") as terminal:
        terminal.until("http.4xx")
        terminal.type(CTRL_S)
        wait_for(lambda: fault_server.seen.in_progress == 2 and fault_server.seen.requests > 20)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(SOON) == 130
    assert len(read_records(results)) >= 22


def test_a_second_signal_leaves_a_frozen_terminal_at_once(fault_server: FaultServer, tmp_path: Path) -> None:
    """Whatever is being shown, the second signal ends it within half a second."""
    fault_server.route("/", Reply(200, delay=20))
    with Terminal("get", fault_server.url("/"), "--progress", "plain", "-o", tmp_path / "r.jsonl") as terminal:
        wait_for(lambda: fault_server.seen.in_progress == 1)
        terminal.type(CTRL_S)
        time.sleep(0.1)
        terminal.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert terminal.process.poll() is None
        terminal.process.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert terminal.process.wait(SOON) == 130
        assert time.monotonic() - began < SOON


def test_a_terminal_that_goes_on_shows_everything(fault_server: FaultServer, tmp_path: Path) -> None:
    """After Ctrl-Q the lines that waited come, and the closing tables."""
    urls = listed(fault_server, tmp_path, 20)
    with Terminal("get", urls, "-v", fault_server.url("/slow"), "-o", tmp_path / "r.jsonl") as terminal:
        terminal.type(CTRL_S)
        wait_for(lambda: lines_in(tmp_path / "r.jsonl") == 21)
        terminal.type(CTRL_Q)
        assert terminal.end() == 3
        assert terminal.text.count("http.4xx  ") >= 10
        assert "11 ok, 10 failed" in terminal.text
        assert terminal.shows_cursor
