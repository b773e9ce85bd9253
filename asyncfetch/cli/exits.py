"""Exit statuses, and how a command ends: the only module that leaves the process."""

from __future__ import annotations

import os
import signal
import sys
from enum import IntEnum
from typing import NoReturn

__all__ = ["Exit", "UsageProblem", "leave", "leave_at_once"]


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


def leave(status: int) -> NoReturn:
    """Flush the standard streams and exit; a closed pipe on the way out changes nothing."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _point_at_nothing(stream.fileno())
    sys.exit(status)


def leave_at_once(signum: int) -> NoReturn:
    """Exit without waiting for anything: the second signal."""
    os._exit(Exit.TERMINATED if signum == signal.SIGTERM else Exit.INTERRUPTED)


def _point_at_nothing(descriptor: int) -> None:
    """Let the interpreter's own flush at exit succeed although the reader of the pipe has gone."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)
