"""Opening files below a directory: never through a symbolic link, patiently while sockets have all descriptors."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["USUAL_WAIT", "Spare", "Wait", "find_file", "is_shortage", "open_patiently", "read_file"]

_SAFELY = os.O_NOFOLLOW | os.O_CLOEXEC
_NO_DESCRIPTOR_LEFT = {errno.EMFILE, errno.ENFILE}
_PATIENCE = 30.0
_SPARE = 4  # descriptors: what it takes to give one file its name, with the directories above it
_BLOCK = 1 << 20


def is_shortage(error: OSError) -> bool:
    """Whether it was a descriptor that was missing."""
    return error.errno in _NO_DESCRIPTOR_LEFT


class Spare:
    """Some descriptors that are held for the moment when sockets have all others: saving a file takes a few."""

    def __init__(self, folder: int) -> None:
        """Hold some for a directory that is open."""
        self._folder = folder
        self._held: list[int] = []
        self.refill()

    def give(self) -> bool:
        """Give one up, so that a file can be opened; False if there is none."""
        if not self._held:
            return False
        os.close(self._held.pop())
        return True

    def refill(self) -> None:
        """Hold as many as there should be, if there are so many."""
        if len(self._held) == _SPARE:
            return
        with contextlib.suppress(OSError):
            while len(self._held) < _SPARE:
                self._held.append(os.dup(self._folder))

    def close(self) -> None:
        """Give all of them up."""
        while self.give():
            pass


class Wait(NamedTuple):
    """What opening a file does while all descriptors are taken.

    Attributes:
        seconds: for how long it waits for one.
        spare: who may have some for it.
    """

    seconds: float = _PATIENCE
    spare: Spare | None = None


USUAL_WAIT = Wait()


def open_patiently(name: str, flags: int, folder: int | None = None, wait: Wait = USUAL_WAIT) -> int:
    """Open a file, never through a symbolic link; wait up to 30 s while all descriptors are taken, by sockets."""
    deadline = None
    while True:
        try:
            return os.open(name, flags | _SAFELY, 0o666, dir_fd=folder)
        except OSError as error:
            if not is_shortage(error):
                raise
            if wait.spare is not None and wait.spare.give():
                continue
            now = time.monotonic()
            deadline = now + wait.seconds if deadline is None else deadline
            if now >= deadline:
                raise
            time.sleep(0.01)


def find_file(root: int, path: str) -> os.stat_result | None:
    """Return what the system says about a regular file below a directory; None if it is not there.

    Nothing is created, no symbolic link is followed, and no path leads up. It may be called from any thread.
    """
    try:
        with _folder_of(root, path) as (folder, name):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except (OSError, ValueError):
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def read_file(root: int, path: str) -> Iterator[bytes]:
    """Give what is in such a file, a block at a time.

    Raises:
        OSError: it cannot be read, or is not there.
    """
    with _folder_of(root, path) as (folder, name):
        descriptor = open_patiently(name, os.O_RDONLY | os.O_NONBLOCK, folder)
    try:
        while block := os.read(descriptor, _BLOCK):
            yield block
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _folder_of(root: int, path: str) -> Iterator[tuple[int, str]]:
    """Open the directory that a path leads to, step by step, and give it with the last part of the path.

    Raises:
        OSError: it cannot be opened, or the path leads up.
    """
    *folders, name = path.split("/")
    if not {"", ".", ".."}.isdisjoint((*folders, name)):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    opened = [root]
    try:
        for part in folders:
            opened.append(open_patiently(part, os.O_RDONLY | os.O_DIRECTORY, opened[-1]))
        yield opened[-1], name
    finally:
        for descriptor in opened[1:]:
            os.close(descriptor)
