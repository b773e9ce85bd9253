"""What becomes of output that a stream does not take, now or ever."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

import pytest
from rich.text import Text

from asyncfetch.display.choose import open_console
from asyncfetch.display.outlet import Outlet, be_patient
from asyncfetch.display.view import say
from tests.soon import SOON

if TYPE_CHECKING:
    from tests.display.conftest import Pty


class Broken(io.StringIO):
    """A stream that fails in the way it is told to."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(5, "Input/output error"), ValueError("closed")])
def test_a_stream_that_breaks_is_left_alone(error: Exception) -> None:
    """Nobody reads any more: what is written is dropped, for good, and the job goes on."""
    stream = Broken(error)
    console = open_console(stream)
    say(console, Text("one"))
    stream.error = None
    say(console, Text("two"))
    assert stream.getvalue() == ""


def test_what_a_stream_cannot_encode_is_escaped() -> None:
    """A character too many does not silence a stream."""
    raw = io.BytesIO()
    outlet = Outlet(io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
    outlet.write("caf\N{LATIN SMALL LETTER E WITH ACUTE}")
    outlet.write(" ok")
    outlet.flush()
    assert raw.getvalue() == b"caf\\xe9 ok"


def test_a_stream_that_is_full_is_tried_again() -> None:
    """A terminal that somebody has set to non-blocking may refuse a picture and take the next."""
    stream = Broken(BlockingIOError())
    outlet = Outlet(stream)
    assert outlet.write("one") == 3
    stream.error = None
    outlet.write("two")
    outlet.flush()
    assert stream.getvalue() == "two"
    assert not outlet.isatty()
    with pytest.raises(OSError, match="fileno"):
        outlet.fileno()


# --- streams that take nothing for a while


class Pipe:
    """A pipe of 64 KiB: `stream` is the way in, `read` gives what has come."""

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        self.stream: IO[str] = os.fdopen(writer, "w", encoding="utf-8")

    def read(self) -> str:
        try:
            return os.read(self._reader, 1024 * 1024).decode()
        except BlockingIOError:
            return ""

    def close(self) -> None:
        os.close(self._reader)
        self.stream.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


LINE = "x" * 99 + "\n"


def test_a_full_pipe_is_not_waited_for(pipe: Pipe) -> None:
    """Without patience, what it does not take is kept, and comes in its order when there is room again."""
    outlet = Outlet(pipe.stream)
    outlet.be_patient(0.0)
    lines = [f"{number:99d}\n" for number in range(2000)]
    for line in lines:
        outlet.write(line)
        outlet.flush()
    assert not outlet.takes_output()
    came = ""
    while not outlet.takes_output():
        came += pipe.read()
    assert came + pipe.read() == "".join(lines)


def test_what_nobody_takes_for_long_is_counted(pipe: Pipe) -> None:
    """Memory is not for a screen: over 256 KiB lines are dropped, and their number is said in their place."""
    outlet = Outlet(pipe.stream)
    outlet.be_patient(0.0)
    for _ in range(10_000):
        outlet.write(LINE)
        outlet.flush()
    came = ""
    while not outlet.takes_output():
        came += pipe.read()
    outlet.write("end\n")
    outlet.flush()
    lines = (came + pipe.read()).splitlines()
    whole = lines.count(LINE.rstrip())
    assert 2600 < whole < 4000
    assert lines[whole:] == [f"... {10_000 - whole:,} lines are missing here: nobody took them", "end"]


def test_some_patience_ends_in_a_broken_stream(pipe: Pipe) -> None:
    """What is not taken within some seconds is given up, once: nothing waits a second time."""
    outlet = Outlet(pipe.stream)
    outlet.be_patient(0.05)
    outlet.write(LINE * 2000)
    began = time.monotonic()
    outlet.flush()
    assert 0.05 <= time.monotonic() - began < SOON
    pipe.read()
    outlet.write("more")
    outlet.flush()
    assert pipe.read() == ""


def test_a_terminal_that_was_held_shows_what_it_missed(device: Pty) -> None:
    """After Ctrl-S nothing waits; after Ctrl-Q all comes. For everybody else the terminal is as it was."""
    console = open_console(device.stream)
    be_patient(console, 0.0)
    device.hold()
    for number in range(5):
        say(console, Text(f"line {number}"))
    assert device.read() == []
    assert os.get_blocking(device.stream.fileno())
    device.go_on()
    be_patient(console, None)
    assert device.read() == [f"line {number}" for number in range(5)]


def test_a_terminal_that_is_gone_breaks_the_stream(device: Pty) -> None:
    """Waiting for a terminal ends when its window is closed."""
    outlet = Outlet(device.stream)
    outlet.be_patient(0.0)
    device.hold()
    outlet.write("one")
    device.hang_up()
    outlet.be_patient(None)
    assert outlet.takes_output() is False


def test_a_pipe_without_a_reader_breaks_the_stream() -> None:
    """Nobody will ever read: what is written is dropped."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        outlet = Outlet(stream)
        for patience in (None, 0.0, 1.0):
            outlet.be_patient(patience)
            outlet.write("one")
            outlet.flush()
        outlet.be_patient(None)


def test_consoles_of_others_are_left_alone() -> None:
    """Only a console of `open_console` knows patience."""
    from rich.console import Console

    be_patient(Console(file=io.StringIO()), 0.0)
