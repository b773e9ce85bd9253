"""Which bodies are getting their names now: so that a kill between a body and its record leaves no orphan.

Beside the results file lies a small one that names the bodies of the batch that is being written, each with the
inode of its file, before it appears under its final name. When a job goes on, a file that is named here, is still
that very inode, and has no record, is removed: its URL is fetched again. A file of anybody else is never touched.
At the end of a run the small file is removed. It is mapped into memory: what is written there survives a kill as
what is in any file does, and costs no system call.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

from asyncfetch.job.errors import JobFileError, reason_of

__all__ = ["Saving", "remove_orphans", "saving_file_of"]

_SUFFIX = ".job.saving"
_SIZE = 64 * 1024  # bytes: more than the longest names of a batch need


def saving_file_of(results: str | os.PathLike[str]) -> Path:
    """Return where the small file of a results file is."""
    return Path(os.fspath(results) + _SUFFIX)


class Saving:
    """The bodies that have a name, or are just getting it, and no record yet. Used by one thread at a time."""

    def __init__(self, results: str | os.PathLike[str]) -> None:
        """Create the file.

        Raises:
            JobFileError: it cannot be created.
        """
        self._path = saving_file_of(results)
        self._end = 0  # of what is noted, before its empty line
        try:
            self._path.unlink(missing_ok=True)
            with self._path.open("xb+", buffering=0) as file:
                file.write(bytes(_SIZE))  # room that is taken now cannot be missing later
                self._noted = mmap.mmap(file.fileno(), _SIZE)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._path.unlink()
            raise JobFileError(str(self._path), f"cannot be written: {reason_of(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def note(self, index: int, inode: int, path: str) -> None:
        """Name a body before it gets its name."""
        line = f"{index} {inode} {path}\n\n".encode()  # the empty line is the end, for now
        end = self._end + len(line)
        if end <= _SIZE:
            self._noted[self._end : end] = line
            self._end = end - 1

    def recorded(self) -> None:
        """Forget all of them: their records have been written."""
        self._end = 0

    def close(self) -> None:
        """Remove the file. Can be called again."""
        if not self._noted.closed:
            self._noted.close()
            with contextlib.suppress(OSError):
                self._path.unlink()


def remove_orphans(
    results: str | os.PathLike[str], directory: str | os.PathLike[str], is_recorded: Callable[[int], bool]
) -> int:
    """Remove the bodies that a killed run has saved and not recorded, and return how many there were.

    Args:
        results: the results file.
        directory: where the bodies are.
        is_recorded: says of a position whether its body is recorded.
    """
    removed = 0
    try:
        noted = saving_file_of(results).read_bytes()
    except OSError:
        return 0
    for line in noted.partition(b"\n\n")[0].splitlines():
        with contextlib.suppress(ValueError, OSError):
            index, inode, path = line.decode().split(" ", 2)
            if not is_recorded(int(index)):
                removed += _remove(directory, path, int(inode))
    return removed


def _remove(directory: str | os.PathLike[str], path: str, inode: int) -> bool:
    """Remove a file if it is this one; no symbolic link is followed on the way.

    Raises:
        OSError: it is not there, or cannot be removed.
    """
    *folders, name = path.split("/")
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folders:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = below
        if os.stat(name, dir_fd=folder, follow_symlinks=False).st_ino != inode:
            return False
        os.unlink(name, dir_fd=folder)
    finally:
        os.close(folder)
    return True
