"""The real command, as these tests run it: in pipes, or on a terminal of its own with somebody at the keys.

As a program, this file makes its stdin the controlling terminal and then is `asyncfetch`: only so does Ctrl-C come
from the keys, and a password prompt find its terminal.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyte

Argument = str | os.PathLike[str]

STRICT = ("-W", "error")
AT_MOST = 120.0
_UNWANTED = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "SSLKEYLOGFILE", "PYTHONWARNINGS", "PYTHONUNBUFFERED")


@dataclass(frozen=True)
class Run:
    """A command that has ended."""

    status: int
    out: bytes
    err: str
    seconds: float = 0.0

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records on stdout, in the order of their entries."""
        return in_order(self.out)

    @property
    def codes(self) -> list[str]:
        """The error codes of the records, empty where there is none, in the order of their entries."""
        return [code_of(record) for record in self.records]


def in_order(lines: bytes) -> list[dict[str, Any]]:
    """Read records, and sort them by their number."""
    records: list[dict[str, Any]] = [json.loads(line) for line in lines.splitlines()]
    return sorted(records, key=lambda record: int(record["n"]))


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read a results file, whose last line has to be whole, too."""
    lines = path.read_bytes()
    assert not lines or lines.endswith(b"\n")
    return in_order(lines)


def code_of(record: dict[str, Any]) -> str:
    error = record.get("error", {})
    return str(error.get("code", ""))


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of this process, without what changes colours, sizes or warnings, and with `extra`."""
    kept = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
    return kept | {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | dict(extra or {})


def run(
    *arguments: Argument,
    stdin: str | bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    python: tuple[str, ...] = STRICT,
) -> Run:
    """Run `asyncfetch` in pipes, to its end."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, *python, "-m", "asyncfetch", *arguments],
        input=given,
        capture_output=True,
        env=environment(env),
        cwd=cwd,
        timeout=AT_MOST,
    )
    return Run(ended.returncode, ended.stdout, ended.stderr.decode(), time.monotonic() - began)


def shell(script: str, *arguments: Argument, cwd: Path | None = None) -> Run:
    """Run a line of bash in which `$A` is asyncfetch and `$1`, `$2` ... are arguments."""
    env = environment({"A": f"{sys.executable} -W error -m asyncfetch"})
    if "ulimit" in script:  # what measures coverage needs files and descriptors of its own
        env.pop("COVERAGE_PROCESS_CONFIG", None)
    began = time.monotonic()
    ended = subprocess.run(
        ["bash", "-c", script, "bash", *arguments],
        capture_output=True,
        env=env,
        cwd=cwd,
        timeout=AT_MOST,
    )
    return Run(ended.returncode, ended.stdout, ended.stderr.decode(), time.monotonic() - began)


class Started:
    """A command that is running in pipes."""

    def __init__(
        self, *arguments: Argument, cwd: Path | None = None, env: Mapping[str, str] | None = None,
        python: tuple[str, ...] = STRICT,
    ) -> None:  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, *python, "-m", "asyncfetch", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(env),
            cwd=cwd,
            start_new_session=True,
        )
        self._signalled = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        with self._process:
            pass

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def send(self, signum: signal.Signals) -> None:
        """Send it a signal."""
        self._signalled = time.monotonic()
        self._process.send_signal(signum)

    def read_line(self) -> str:
        """Wait for the next line on its stderr."""
        assert self._process.stderr is not None
        line = self._process.stderr.readline().decode()
        assert line, "it has closed its stderr"
        return line

    def wait(self) -> Run:
        """Wait for its end; `seconds` are those since the last signal."""
        out, err = self._process.communicate(timeout=AT_MOST)
        return Run(self._process.returncode, out, err.decode(), time.monotonic() - self._signalled)


class Terminal:
    """A command on a terminal of its own: `type` presses keys, `until` and `end` look at the screen."""

    def __init__(
        self,
        *arguments: Argument,
        size: tuple[int, int] = (100, 30),
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int | None = None,
        stdout: int | None = None,
    ) -> None:
        columns, rows = size
        self._outside, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.written = b""
        self._screen = pyte.HistoryScreen(columns, rows, history=2000)
        self._parser = pyte.ByteStream(self._screen)
        self.process = subprocess.Popen(
            [sys.executable, *STRICT, __file__, *arguments],
            stdin=inside if stdin is None else stdin,
            stdout=inside if stdout is None else stdout,
            stderr=inside,
            env=environment(env),
            cwd=cwd,
            start_new_session=True,
        )
        os.close(inside)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        with self.process:
            pass
        os.close(self._outside)

    def type(self, keys: str) -> None:
        """Press keys; Ctrl-C is chr(3), Ctrl-D chr(4)."""
        os.write(self._outside, keys.encode())

    def until(self, shown: str | Callable[[str], bool]) -> str:
        """Read until the text is (or the condition holds) on the screen; return the screen."""
        holds = shown if callable(shown) else lambda text: shown in text
        deadline = time.monotonic() + AT_MOST
        while not holds(self.text):
            assert time.monotonic() < deadline, self.text
            assert self._read(0.1), f"it has ended:\n{self.text}"
        return self.text

    def end(self) -> int:
        """Read to the end; return the exit status."""
        deadline = time.monotonic() + AT_MOST
        while self._read(0.1):
            assert time.monotonic() < deadline, self.text
        return self.process.wait(AT_MOST)

    @property
    def text(self) -> str:
        """Everything that stands on the screen, with the lines that have left it at the top."""
        columns = self._screen.columns
        scrolled = ["".join(line[x].data for x in range(columns)) for line in self._screen.history.top]
        return "\n".join(line.rstrip() for line in [*scrolled, *self._screen.display])

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._outside)[3] & termios.ECHO)

    @property
    def shows_cursor(self) -> bool:
        """Whether the cursor was given back."""
        return not self._screen.cursor.hidden

    def _read(self, seconds: float) -> bool:
        """Take what is written within some time; False when nobody has the terminal open any more."""
        if not select.select([self._outside], [], [], seconds)[0]:
            return True
        with contextlib.suppress(OSError):  # Linux says EIO at the end
            if piece := os.read(self._outside, 65536):
                self.written += piece
                self._parser.feed(piece)
                return True
        return False


def _be_asyncfetch() -> None:
    terminal = next(fd for fd in (0, 1, 2) if os.isatty(fd))
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    del sys.path[0]  # this folder
    from asyncfetch.cli import main

    main()


if __name__ == "__main__":
    _be_asyncfetch()
