"""The way out to a stream that may break, or take nothing for a while: the event loop must not wait for it.

A terminal takes nothing after Ctrl-S, a pipe nothing while its reader is busy. Who must not wait for that says so
by `be_patient`: what is not taken is then kept, up to a limit, and goes out when the stream takes it.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from time import monotonic
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from asyncfetch.display.words import PlainConsole

__all__ = ["Outlet", "be_patient", "is_terminal"]

_KEPT_AT_MOST = 256 * 1024
_AT_ONCE = getattr(select, "PIPE_BUF", 512)  # bytes that a pipe takes without waiting if it takes any (POSIX)


def is_terminal(stream: IO[str]) -> bool:
    """Ask a stream whether it is a terminal; one that is closed or cannot say is none."""
    try:
        return stream.isatty()
    except (AttributeError, OSError, ValueError):
        return False


def be_patient(console: Console | PlainConsole, seconds: float | None) -> None:
    """Say how long what writes to a console may wait for its stream; see `Outlet.be_patient`."""
    if isinstance(outlet := console.file, Outlet):
        outlet.be_patient(seconds)


class Outlet:
    """A text stream that may break: from then on, what is written to it is dropped.

    Attributes:
        encoding: the stream's; UTF-8 if it has none.
    """

    def __init__(self, stream: IO[str]) -> None:
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"
        self._stream = stream
        self._descriptor = _descriptor_of(stream)
        self._own: int | None = None
        self._patience: float | None = None
        self._waiting = bytearray()
        self._missing = 0
        self._is_broken = False

    def be_patient(self, seconds: float | None) -> None:
        """Let writing wait for the stream so long: for ever (None, as at first), not at all (0), or some seconds.

        What 0 does not get rid of is kept; after some seconds in vain the stream counts as broken.
        """
        self._patience = seconds
        if self._own is not None:
            os.close(self._own)
            self._own = None
        if seconds is not None and is_terminal(self._stream):
            self._own = _open_again(self._descriptor)
        self.flush()

    def takes_output(self) -> bool:
        """Whether all that was written is out, and the stream takes more."""
        self.flush()
        return not self._waiting and (self._descriptor is None or _is_ready(self._descriptor, 0.0))

    def write(self, text: str) -> int:
        """Write text, keep it for later, or drop it."""
        if self._descriptor is None:
            self._try(self._stream.write, text)
        elif self._patience is not None and len(self._waiting) > _KEPT_AT_MOST:
            self._missing += text.count("\n")
        else:
            self._waiting += text.encode(self.encoding, "backslashreplace")
        return len(text)

    def flush(self) -> None:
        """Let out what is waiting, as far as the stream takes it and patience lasts."""
        if self._descriptor is None:
            self._try(self._stream.flush)
            return
        deadline = None if self._patience is None else monotonic() + self._patience
        while self._waiting and not self._is_broken:
            left = None if deadline is None else max(0.0, deadline - monotonic())
            if not _is_ready(self._descriptor, left):
                self._is_broken = bool(self._patience)
                return
            self._let_out(self._descriptor)

    def fileno(self) -> int:
        """Return the stream's descriptor.

        Raises:
            OSError: it has none.
            ValueError: it is closed.
        """
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return is_terminal(self._stream)

    def _let_out(self, descriptor: int) -> None:
        """Write some bytes, as many as the stream takes without waiting unless patience is endless."""
        waits = self._patience is None or self._own is not None
        piece = bytes(self._waiting if waits else self._waiting[:_AT_ONCE])
        try:
            self._stream.flush()
            count = os.write(descriptor if self._own is None else self._own, piece)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            self._is_broken = True
            return
        del self._waiting[:count]
        if self._missing and not self._waiting:
            self._waiting += f"... {self._missing:,} lines are missing here: nobody took them\n".encode()
            self._missing = 0

    def _try(self, write: Callable[..., object], *arguments: str) -> None:
        if self._is_broken:
            return
        try:
            write(*arguments)
        except UnicodeEncodeError:
            write(*(text.encode(self.encoding, "backslashreplace").decode(self.encoding) for text in arguments))
        except BlockingIOError:
            return
        except (OSError, ValueError):
            self._is_broken = True


def _descriptor_of(stream: IO[str]) -> int | None:
    """Return the descriptor to write to, or None where nobody can ask it whether it takes anything."""
    if sys.platform == "win32":
        return None
    try:
        return stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None


def _open_again(descriptor: int | None) -> int | None:
    """Open a terminal a second time, so that writing never waits; others, its shell too, have theirs as it was."""
    if sys.platform == "win32" or descriptor is None:
        return None
    try:
        return os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None


def _is_ready(descriptor: int, seconds: float | None) -> bool:
    """Whether a descriptor takes output, or has an error to tell, within so many seconds; None is without limit."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(None if seconds is None else seconds * 1000))
