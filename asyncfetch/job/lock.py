"""One job at a time: a lock on the results file that dies with its process, and who holds it.

The lock is `flock` on the file itself: nothing has to be cleaned up after a kill. Where the system has none
(Windows) or the file system refuses (some network drives), there is none: two jobs on one file are to be avoided.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path

__all__ = ["Locked", "holder_of", "is_still_there", "lock"]

_BUSY = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK}


class Locked(Exception):
    """Another process, or another part of this one, holds the lock."""


def lock(descriptor: int) -> None:
    """Lock an open file until its descriptor is closed, or the process is gone.

    Raises:
        Locked: somebody else has it.
    """
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _BUSY:
                raise Locked from error


def is_still_there(descriptor: int, path: Path) -> bool:
    """Whether the path still leads to the open file: a lock may have been got on one that was just replaced."""
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def holder_of(path: Path) -> int | None:
    """Return the process that holds the lock of a file, if the system tells (Linux)."""
    with contextlib.suppress(OSError, ValueError):
        inode = str(path.stat().st_ino)
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()  # 1: FLOCK ADVISORY WRITE 4711 08:01:131090 0 EOF
            if words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode:
                return int(words[4]) if int(words[4]) > 0 else None
    return None
