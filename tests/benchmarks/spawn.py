"""Run one command on one core, and print what it cost as JSON.

`measure` starts this file as a program of its own, `python -I -S spawn.py ORDER`: the peak memory that the kernel
notes for a process begins with that of whoever forked it, so that one must be small. This one takes about 8 MiB,
which is therefore the least that a table can show.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import sys
import termios
import time
from typing import Any

_ROWS, _COLUMNS = 40, 120
_READ = 65536
_NOT_STARTED = 127


def main() -> None:
    """Do as the JSON object in the first argument says; its keys are those that `measure.run_command` gives."""
    order = json.loads(sys.argv[1])
    terminal = os.openpty() if order["on_terminal"] else None
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(order, terminal)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, order["patience"])
    if terminal is not None:
        os.close(terminal[1])
        _read_away(terminal[0])
    _, status, usage = os.wait4(child, 0)
    wall = time.monotonic() - began
    cost = {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
        "status": os.waitstatus_to_exitcode(status),
    }
    sys.stdout.write(json.dumps(cost))


def _become(order: dict[str, Any], terminal: tuple[int, int] | None) -> None:
    """Turn this process, the child, into the command: never returns."""
    try:
        if order["core"] is not None:
            os.sched_setaffinity(0, {order["core"]})
        _connect(os.open(os.devnull, os.O_RDONLY), 0)
        _connect(os.open(order["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
        if terminal is None:
            _connect(os.open(order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
        else:
            fcntl.ioctl(terminal[1], termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
            os.dup2(terminal[1], 2)
        os.execvpe(order["argv"][0], order["argv"], order["environment"])
    finally:
        os._exit(_NOT_STARTED)


def _connect(descriptor: int, target: int) -> None:
    os.dup2(descriptor, target)
    if descriptor != target:
        os.close(descriptor)


def _read_away(terminal: int) -> None:
    """Be the person at the terminal, until nobody writes to it any more."""
    try:
        while os.read(terminal, _READ):
            pass
    except OSError:  # EIO: the other side is closed
        pass


if __name__ == "__main__":
    main()
