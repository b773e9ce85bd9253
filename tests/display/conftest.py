"""A made-up clock, made-up results, and a terminal that shows what a person would see."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import select
import struct
import termios
from collections.abc import Callable, Iterator

import pyte
import pytest
from rich.console import Console

from asyncfetch.errors import FetchError
from asyncfetch.result import Request, Response, Result, Timings
from asyncfetch.stats import HostStats, Stats


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A terminal emulator behind a text stream: what is written to it is on its screen."""

    def __init__(self, width: int = 80, height: int = 24) -> None:
        super().__init__()
        self.screen = pyte.HistoryScreen(width, height, history=10_000)
        self.screen.set_mode(pyte.modes.LNM)
        self._parser = pyte.Stream(self.screen)
        self.console = Console(
            file=self,
            force_terminal=True,
            force_interactive=True,
            color_system="standard",
            no_color=False,
            width=width,
            height=height,
            _environ={},
        )

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._parser.feed(text)
        return super().write(text)

    @property
    def lines(self) -> list[str]:
        """The screen, without the blanks at the ends of lines and the empty lines below."""
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def scrolled(self) -> list[str]:
        """The lines that have left the screen at its top."""
        top = self.screen.history.top
        return ["".join(line[x].data for x in range(self.screen.columns)).rstrip() for line in top]

    @property
    def shows_cursor(self) -> bool:
        return not self.screen.cursor.hidden


class Pty:
    """A real terminal device: the program's end is `stream`, and `read` shows on a screen what has come out."""

    def __init__(self, width: int = 60, height: int = 10) -> None:
        self._outside, self._inside = pty.openpty()
        self.stream = io.TextIOWrapper(io.FileIO(self._inside, "w", closefd=False), encoding="utf-8")
        self.screen = pyte.HistoryScreen(width, height, history=1000)
        self._parser = pyte.ByteStream(self.screen)
        self.written = b""
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """Give the terminal another size, as its user does."""
        self.set_size(width, height)
        self.screen.resize(height, width)

    def set_size(self, width: int, height: int) -> None:
        """Set the size that the device tells the program."""
        fcntl.ioctl(self._inside, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def hold(self) -> None:
        """Stop the output, as Ctrl-S does."""
        termios.tcflow(self._inside, termios.TCOOFF)

    def go_on(self) -> None:
        """Let the output go on, as Ctrl-Q does."""
        termios.tcflow(self._inside, termios.TCOON)

    def hang_up(self) -> None:
        """Take the terminal away, as closing its window does."""
        os.close(self._outside)
        self._outside = -1

    def read(self) -> list[str]:
        """Take what has been written, and return the lines of the screen without empty ones below.

        The kernel carries output over in its own time, in pieces: it is all there when none comes for 20 ms.
        """
        while select.select([self._outside], [], [], 0.02)[0]:
            chunk = os.read(self._outside, 65536)
            self.written += chunk
            self._parser.feed(chunk)
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def scrolled(self) -> list[str]:
        """The lines that have left the screen at its top."""
        return ["".join(line[x].data for x in range(60)).rstrip() for line in self.screen.history.top]

    def close(self) -> None:
        """Give the descriptors back."""
        with contextlib.suppress(OSError):
            self.stream.close()
        os.close(self._inside)
        if self._outside >= 0:
            os.close(self._outside)


MakeResult = Callable[..., Result]
Finish = Callable[..., HostStats]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stats() -> Stats:
    return Stats()


@pytest.fixture
def terminal() -> Callable[..., Terminal]:
    return Terminal


@pytest.fixture
def device() -> Iterator[Pty]:
    """A pseudo-terminal, 60 x 10."""
    made = Pty()
    yield made
    made.close()


@pytest.fixture
def make_result() -> MakeResult:
    """Make a result: ok without an error, with a body of `size` bytes and a latency in seconds."""

    def make(
        url: str = "https://example.org/a",
        error: FetchError | None = None,
        *,
        size: int = 1000,
        latency: float = 0.1,
        attempts: int = 1,
    ) -> Result:
        response = Response(url, 200, "OK", [])
        response.num_bytes = size
        return Result(
            index=1,
            request=Request(url),
            response=response,
            error=error,
            attempts=attempts,
            timings=Timings(ttfb=latency),
        )

    return make


@pytest.fixture
def finish(stats: Stats, make_result: MakeResult) -> Finish:
    """Count `times` results of a host, as the client does."""

    def count(
        key: str = "example.org:443",
        times: int = 1,
        *,
        error: FetchError | None = None,
        size: int = 1000,
        latency: float = 0.1,
    ) -> HostStats:
        host = stats.host(key, 6)
        for _ in range(times):
            stats.came(host, size)
            stats.ended(host, make_result(error=error, size=size, latency=latency))
        return host

    return count
