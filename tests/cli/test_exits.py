"""Exit statuses, and how a command ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncfetch.cli import exits
from asyncfetch.cli.exits import Exit, OutputProblem, Terminated, UsageProblem, guarded, put, tell
from tests.cli.command import environment, shell


@pytest.fixture(autouse=True)
def handlers_stay() -> Iterator[None]:
    """Give the signals back to pytest."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


def raising(error: BaseException) -> Callable[[], int]:
    def run() -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (UsageProblem("it cannot begin"), Exit.REFUSED, "asyncfetch: it cannot begin\n"),
        (OutputProblem("stdout is full"), Exit.FAILED, "asyncfetch: stdout is full\n"),
        (BrokenPipeError(), Exit.PIPE_CLOSED, ""),
        (Terminated(), Exit.TERMINATED, ""),
        (KeyboardInterrupt(), Exit.INTERRUPTED, ""),
        (
            OSError(24, "Too many open files"),
            Exit.FAILED,
            "asyncfetch: this machine does not let it go on: too many open files\n",
        ),
        (
            FileNotFoundError(2, "No such file or directory", "x\x1b"),
            Exit.FAILED,
            "asyncfetch: this machine does not let it go on: no such file or directory: 'x\\x1b'\n",
        ),
        (OSError("nothing known"), Exit.FAILED, "asyncfetch: this machine does not let it go on: nothing known\n"),
    ],
)
def test_every_expected_end_has_a_status_and_at_most_a_sentence(
    error: BaseException, status: Exit, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback for what is nobody's bug."""
    assert guarded(raising(error)) == status
    assert capsys.readouterr() == ("", sentence)


def test_a_bug_is_not_hidden() -> None:
    """What nobody expected keeps its traceback."""
    with pytest.raises(ZeroDivisionError):
        guarded(raising(ZeroDivisionError()))


def test_the_status_of_a_command_is_that_of_the_process() -> None:
    """Whatever a command returns is returned."""
    assert guarded(lambda: 3) == 3


def test_sigterm_ends_what_nobody_takes_over() -> None:
    """It passes as an exception that finally blocks see; where it was ignored it stays so."""
    cleaned = []

    def run() -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            cleaned.append(True)
        return 0

    assert guarded(run) == Exit.TERMINATED
    assert cleaned
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert guarded(run) == 0


def test_sentences_are_one_harmless_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Line breaks become blanks, and escapes do nothing."""
    tell("two\n\nlines \x1b[31m")
    assert capsys.readouterr().err == "asyncfetch: two lines \\x1b[31m\n"


def test_output_that_is_closed_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing stdout and one that was closed meanwhile are problems with a reason."""
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputProblem, match="the standard output is not open"):
        put("x")
    with open("/dev/null", "w") as stream:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", stream)
        stream.close()
        with pytest.raises(OutputProblem, match="the standard output cannot be written: I/O operation on closed"):
            put("x")


PROGRAM = """
import sys, time
from asyncfetch.cli import exits
if sys.stdout is not None:
    time.sleep(0.1)  # until the reader has gone
    sys.stdout.write("x")
exits.leave(int(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("$P 3", 3),
        ("$P 3 | (exec <&-; true); exit ${PIPESTATUS[0]}", 141),
        ("$P 130 | (exec <&-; true); exit ${PIPESTATUS[0]}", 130),
        ("$P 0 > /dev/full", 1),
        ("$P 0 >&-", 0),
    ],
)
def test_the_last_flush_may_change_the_status(script: str, expected: int, tmp_path: Path) -> None:
    """What could not be written at the end is a failure or a closed pipe, unless something stronger happened."""
    (tmp_path / "program.py").write_text(PROGRAM)
    ran = shell(f"P='{sys.executable} program.py'; {script}", cwd=tmp_path)
    assert ran.status == expected
    assert ("cannot be written: no space left" in ran.err) is (expected == 1)
    assert "Traceback" not in ran.err


@pytest.mark.slow
def test_missing_streams_are_replaced() -> None:
    """Where descriptors 0, 1 and 2 were closed, none of these numbers is given to a socket or a results file."""
    program = (
        "import os, sys; from asyncfetch.cli import exits; exits.guarded(lambda: 0);"
        "os._exit(os.open('/dev/null', os.O_RDONLY) + 10 * (sys.stderr is not None))"
    )
    ran = shell(f'{sys.executable} -c "{program}" 0<&- 1>&- 2>&-')
    assert ran.status >= 13


@pytest.mark.slow
def test_leaving_at_once_waits_for_nothing() -> None:
    """Neither threads nor exit handlers are waited for."""
    for signum, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        program = (
            "import threading, time; from asyncfetch.cli.exits import leave_at_once;"
            f"threading.Thread(target=time.sleep, args=[60]).start(); leave_at_once({int(signum)})"
        )
        ended = subprocess.run([sys.executable, "-c", program], env=environment(), timeout=120)
        assert ended.returncode == status


def test_the_statuses_are_those_of_the_contract() -> None:
    """Scripts rely on them."""
    assert {status.name: status.value for status in exits.Exit} == {
        "OK": 0,
        "FAILED": 1,
        "REFUSED": 2,
        "NOT_OK": 3,
        "STOPPED": 4,
        "INTERRUPTED": 130,
        "PIPE_CLOSED": 141,
        "TERMINATED": 143,
    }
