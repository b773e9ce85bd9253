"""How `asyncfetch get` ends when somebody wants it to: Ctrl-C, SIGTERM, twice, too early and too late."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncfetch.testing import FaultServer, Reply, Script, Silence
from tests.cli.command import AT_MOST, Run, Started, Terminal, environment, read_records
from tests.soon import SOON

pytestmark = pytest.mark.slow

STRICTEST = ("-X", "dev", "-W", "error")
CTRL_C = chr(3)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + AT_MOST
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def urls(fault_server: FaultServer, tmp_path: Path) -> Path:
    """A hundred URLs: one of a missing page, then pages that take 0.6 s each."""
    fault_server.route("/gone", Reply(404))
    fault_server.route("*", Reply(200, b"x" * 1000, delay=0.6))
    path = tmp_path / "urls.txt"
    path.write_text("".join(f"{fault_server.url(f'/{name}')}\n" for name in ("gone", *range(99))))
    return path


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_it_in_good_order(
    fault_server: FaultServer, urls: Path, tmp_path: Path, signum: signal.Signals, loop: str
) -> None:
    """Nothing new is started, what is in flight finishes, all is written; it says what is done and what is not."""
    options: list[str | Path] = ["-P", tmp_path / "pages", "--max-per-host", "4", "--loop", loop]
    with Started("get", urls, *options, python=STRICTEST) as command:
        wait_for(lambda: fault_server.seen.in_progress == 4)
        command.send(signum)
        ran = command.wait()
    assert ran.status == {signal.SIGINT: 130, signal.SIGTERM: 143}[signum]
    assert ran.seconds < 4.9
    records = read_records(tmp_path / "pages" / "results.jsonl")
    assert len(records) == fault_server.seen.requests
    assert {record["ok"] for record in records} == {True, False}
    assert f"{signum.name}: 4 requests in flight have 5 s to finish" in ran.err
    not_done = re.search(r"^4 ok, 1 failed, (.*) not done in ", ran.err, re.MULTILINE)
    assert not_done is not None
    assert not_done[1] in (
        f"{100 - len(records)}",
        "the rest",
    )  # the latter if the list was not read to its end yet
    assert f"stopped by {signum.name}: what was not done has no record" in ran.err
    bodies = [path for path in (tmp_path / "pages").glob("127*/*") if path.is_file()]
    assert sorted(bodies) == sorted(tmp_path / "pages" / record["path"] for record in records if record["ok"])
    assert not list(tmp_path.rglob("*.part"))


def test_what_never_ends_is_cut_after_five_seconds(fault_server: FaultServer, tmp_path: Path) -> None:
    """In-flight requests have 5 s and no more; they have no record. -q says nothing of all that."""
    fault_server.route("/", Script(Silence()))
    with Started("get", fault_server.url("/"), "-q", "-o", tmp_path / "r.jsonl") as command:
        wait_for(lambda: fault_server.seen.in_progress == 1)
        command.send(signal.SIGINT)
        ran = command.wait()
    assert (ran.status, ran.err) == (130, "")
    assert 4.5 < ran.seconds < SOON
    assert (tmp_path / "r.jsonl").read_bytes() == b""


@pytest.mark.parametrize(("first", "second", "status"), [("SIGINT", "SIGINT", 130), ("SIGTERM", "SIGINT", 143)])
def test_the_second_signal_ends_it_at_once(
    fault_server: FaultServer, tmp_path: Path, first: str, second: str, status: int
) -> None:
    """It is gone half a second later; what was finished is recorded, and the first signal names the status."""
    fault_server.route("/", Script(Silence()))
    urls = [fault_server.url("/none"), fault_server.url("/")]
    with Started("get", *urls, "-o", tmp_path / "r.jsonl") as command:
        wait_for(lambda: fault_server.seen.requests == 2)
        command.send(signal.Signals[first])
        assert "1 request in flight has 5 s to finish" in command.read_line()
        command.send(signal.Signals[second])
        ran = command.wait()
    assert ran.status == status
    assert ran.seconds < 4.5
    assert [record["n"] for record in read_records(tmp_path / "r.jsonl")] == [1]


def test_keys_on_a_terminal(fault_server: FaultServer, urls: Path, tmp_path: Path) -> None:
    """Ctrl-C, and again: both reach it from the keys, and the cursor is given back."""
    fault_server.route("*", Script(Silence()))
    with Terminal("get", urls, "-o", tmp_path / "r.jsonl") as terminal:
        terminal.until("in flight")
        wait_for(lambda: fault_server.seen.in_progress == 4)
        terminal.type(CTRL_C)
        terminal.until("SIGINT: 4 requests in flight have 5 s to finish; Ctrl-C again leaves at once")
        terminal.type(CTRL_C)
        assert terminal.end() == 130
        assert re.search(r"\b(99|the rest) not done", terminal.text)
        assert terminal.shows_cursor


def test_it_leaves_though_something_hangs(fault_server: FaultServer, tmp_path: Path) -> None:
    """Records into a pipe that nobody reads: the second signal does not wait for them, and shows the cursor."""
    fault_server.route("*", Reply(200))
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    urls = tmp_path / "urls.txt"
    urls.write_text(f"{fault_server.url('/')}\n" * 2000)
    try:
        with Terminal("get", urls, "-o", tmp_path / "fifo") as terminal:
            seen = fault_server.seen
            wait_for(lambda: seen.requests > 60)
            terminal.type(CTRL_C)
            terminal.until("SIGINT: ")
            terminal.type(CTRL_C)
            pressed = time.monotonic()
            assert terminal.end() == 130
            assert time.monotonic() - pressed < 4.5
            assert terminal.shows_cursor
    finally:
        os.close(reader)


def test_a_signal_while_it_waits_for_urls(tmp_path: Path) -> None:
    """Nothing is in flight, the list may come or not: it stops at once."""
    os.mkfifo(tmp_path / "urls")
    with Started("get", tmp_path / "urls", "-o", tmp_path / "r.jsonl") as command:
        writer = os.open(tmp_path / "urls", os.O_WRONLY)  # waits until it is read
        try:
            wait_for(lambda: is_asleep(command.pid))
            command.send(signal.SIGINT)
            ran = command.wait()
        finally:
            os.close(writer)
    assert ran.status == 130
    assert ran.seconds < SOON
    assert ran.err.startswith("SIGINT: stopping\n")


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """A file whose reading waits until somebody writes."""
    path = tmp_path / "waits.pem"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_the_loop_starts_is_quiet(
    fifo: Path, tmp_path: Path, signum: signal.Signals, status: int
) -> None:
    """While it prepares, a signal ends it without a word and without leaving an empty results file."""
    with Started("get", "http://a.example/", "--cacert", fifo, "-o", tmp_path / "r.jsonl") as command:
        wait_for(lambda: is_asleep(command.pid))
        command.send(signum)
        ran = command.wait()
    assert (ran.status, ran.out, ran.err) == (status, b"", "")
    assert not (tmp_path / "r.jsonl").exists()


def is_asleep(pid: int) -> bool:
    """Whether a process waits for something, and goes on waiting."""

    def sleeps() -> bool:
        time.sleep(0.02)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("S")

    return all(sleeps() for _ in range(8))


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_at_the_password_prompt(signum: signal.Signals, status: int) -> None:
    """It ends there too, without a word, and the terminal echoes again."""
    with Terminal("get", "http://a.example/", "-u", "bob") as terminal:
        terminal.until("Password for 'bob':")
        terminal.process.send_signal(signum)
        assert terminal.end() == status
        assert terminal.text.strip() == "Password for 'bob':"
        assert terminal.echoes


def test_a_signal_while_it_is_being_loaded_is_quiet() -> None:
    """From the first module of the command line on, Ctrl-C has no traceback, whatever is being imported."""
    with Started("get", "http://a.example/", python=("-X", "importtime")) as command:
        while "asyncfetch.cli.values" not in command.read_line():
            pass
        command.send(signal.SIGINT)
        ran = command.wait()
    assert ran.status == 130
    assert "Traceback" not in ran.err


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """The writing end of a pipe that takes nothing more, and that nobody reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while os.write(writer, bytes(4096)):
            pass
    except BlockingIOError:
        os.set_blocking(writer, True)
    yield writer
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_the_closing_tables(
    fault_server: FaultServer, full_pipe: int, tmp_path: Path, signum: signal.Signals, status: int
) -> None:
    """The job is done and recorded, its tables wait for a terminal that takes nothing: a signal ends that."""
    results = tmp_path / "r.jsonl"
    command = [sys.executable, "-m", "asyncfetch", "get", fault_server.url("/"), "-o", str(results)]
    with subprocess.Popen(command, stderr=full_pipe, env=environment()) as process:
        wait_for(lambda: results.exists() and bool(results.read_bytes()))
        time.sleep(1.5)
        assert process.poll() is None
        process.send_signal(signum)
        try:
            assert process.wait(AT_MOST) == status
        finally:
            process.kill()
    assert len(read_records(results)) == 1


def test_signals_that_are_ignored_stay_ignored(fault_server: FaultServer) -> None:
    """A job in the background of a script ignores Ctrl-C, as its shell wants it."""
    fault_server.route("/", Reply(200, delay=1.0))
    script = f"trap '' INT; exec {sys.executable} -m asyncfetch get {fault_server.url('/')}"
    with subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, env=environment()) as process:
        wait_for(lambda: fault_server.seen.in_progress == 1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=AT_MOST)
    assert process.returncode == 0
    assert Run(0, out, "").codes == [""]
