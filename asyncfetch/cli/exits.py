"""Exit statuses, and how a command ends: the only module that leaves the process.

It imports nothing of ours and nothing that is slow: from the moment it is there, a signal ends the process quietly.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import NoReturn

__all__ = [
    "Exit",
    "OutputProblem",
    "Terminated",
    "UsageProblem",
    "expect_signals",
    "guarded",
    "leave",
    "leave_at_once",
    "put",
    "tell",
]

_SHOW_CURSOR = b"\x1b[?25h"


class Exit(IntEnum):
    """What the exit status says; if several apply, the order is FAILED, a signal, STOPPED, NOT_OK."""

    OK = 0
    FAILED = 1
    REFUSED = 2
    NOT_OK = 3
    STOPPED = 4
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    TERMINATED = 143


class UsageProblem(Exception):
    """The command cannot begin: one sentence that says what is wrong and, where it helps, what to do."""


class OutputProblem(Exception):
    """The standard output does not take what has to be written there: one sentence that says why."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came where nobody waited for it; like Ctrl-C, it passes through everything."""


def guarded(run: Callable[[], int]) -> int:
    """Run a command, and return its exit status; every expected end has one, and at most one sentence on stderr."""
    try:
        _replace_missing_streams()
        expect_signals()
        return run()
    except UsageProblem as error:
        tell(str(error))
        return Exit.REFUSED
    except OutputProblem as error:
        tell(str(error))
        return Exit.FAILED
    except BrokenPipeError:
        return Exit.PIPE_CLOSED
    except OSError as error:
        tell(f"this machine does not let it go on: {_reason_of(error)}")
        return Exit.FAILED
    except Terminated:
        return Exit.TERMINATED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def expect_signals() -> None:
    """Let SIGTERM end the process as quietly as Ctrl-C does; who started it may have chosen to ignore it."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def _replace_missing_streams() -> None:
    """Open what the caller has closed, lest a socket or a results file becomes descriptor 0, 1 or 2.

    `sys.stdin` and `sys.stdout` stay None then: who needs them has to know.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115


def put(text: str) -> None:
    """Write text to the standard output, at once.

    Raises:
        BrokenPipeError: its reader has gone.
        OutputProblem: it cannot be written.
    """
    if sys.stdout is None:
        raise OutputProblem("the standard output is not open")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise OutputProblem(_why_not_written(error)) from error


def _why_not_written(error: OSError | ValueError) -> str:
    reason = _reason_of(error) if isinstance(error, OSError) else str(error)
    return f"the standard output cannot be written: {reason}"


def _reason_of(error: OSError) -> str:
    """Say it in the system's words, with the file's name if there is one."""
    reason = (error.strerror or str(error)).lower()
    return f"{reason}: {str(error.filename)!r}" if error.filename else reason


def tell(sentence: str) -> None:
    """Write one sentence to stderr, made harmless; where nobody can read it, nothing happens."""
    from asyncfetch.display.text import harmless

    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"asyncfetch: {harmless(' '.join(sentence.split()), 2000)}\n")
        sys.stderr.flush()


def leave(status: int) -> NoReturn:
    """Flush the standard output and exit; if that fails, the status says so.

    From here on a signal ends the process at once: there is nothing left to do. After a signal, nobody is waited
    for who does not take what is left in a buffer.
    """
    for signum in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, signal.SIG_DFL)
    if status in (Exit.INTERRUPTED, Exit.TERMINATED):
        _point_at_nothing(1)
        _point_at_nothing(2)
    sys.exit(_flushed(status))


def _flushed(status: int) -> int:
    """Flush, and return the status that is then right."""
    if sys.stdout is None:
        return status
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _point_at_nothing(sys.stdout.fileno())
        return status if status in _STRONGER else Exit.PIPE_CLOSED
    except (OSError, ValueError) as error:
        tell(_why_not_written(error))
        _point_at_nothing(1)
        return Exit.FAILED
    return status


_STRONGER = (Exit.FAILED, Exit.REFUSED, Exit.INTERRUPTED, Exit.TERMINATED)


def leave_at_once(signum: int) -> NoReturn:
    """Exit without waiting for anything, with the cursor back on a terminal: the second signal."""
    if os.isatty(2):
        with contextlib.suppress(OSError):
            os.write(2, _SHOW_CURSOR)
    os._exit(Exit.TERMINATED if signum == signal.SIGTERM else Exit.INTERRUPTED)


def _point_at_nothing(descriptor: int) -> None:
    """Let the interpreter's own flush at exit succeed although nobody takes what is left."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)
