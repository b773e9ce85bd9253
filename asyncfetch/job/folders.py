"""Files below one directory: opened step by step, written without a name, named without replacing anything.

Knows descriptors, not URLs: which names are asked for is said by `names` and `bodies`. POSIX only: it stands on
`dir_fd`. Everything here may wait for a disk and is called in worker threads.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import stat
import threading
from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Self

import msgspec

from asyncfetch.job.lock import Locked, lock
from asyncfetch.job.opening import USUAL_WAIT, Spare, Wait, open_patiently

__all__ = ["Folders", "Part", "Unnamed", "Way", "is_ours", "remove_dead_parts"]

_KEPT_OPEN = 32  # directories, and no more than a sixteenth of the open files allowed: sockets need them
_IN_THE_WAY = {errno.ENOTDIR, errno.ELOOP}
_BLOCK = 1 << 20
_PREFIX, _SUFFIX = ".asyncfetch-", ".part"


def is_ours(name: str) -> bool:
    """Whether a file of this name is one of our temporary files."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


def remove_dead_parts(folder: int, keep: Container[str] = ()) -> int:
    """Remove temporary files that killed runs have left in a directory, and return how many there were.

    Only ours, by their name, and only those that no living process holds the lock of, and none of those to `keep`.
    """
    removed = 0
    for name in [name for name in os.listdir(folder) if is_ours(name) and name not in keep]:
        with contextlib.suppress(OSError):
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            try:
                lock(descriptor)
                os.unlink(name, dir_fd=folder)
                removed += 1
            except Locked:
                pass
            finally:
                os.close(descriptor)
    return removed


class Folders:
    """The directories below a root, created as they are needed, the latest 2 to 32 of them kept open.

    Not for several threads at once.

    Attributes:
        root: descriptor of the root.
        opened: descriptor of the directory that has a link to each file of this process, or -1 where there is none.
        spare: some more of it, for hard times.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """Open the root, and create it if it does not exist.

        Raises:
            OSError: it is no directory, or cannot be created.
        """
        Path(root).mkdir(parents=True, exist_ok=True)
        self.root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.opened = -1
        with contextlib.suppress(OSError):
            self.opened = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.spare = Spare(self.root)
        self._open: OrderedDict[str, tuple[int, str]] = OrderedDict()
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = _KEPT_OPEN if allowed < 0 else max(2, min(_KEPT_OPEN, allowed // 16))

    def open(self, path: str) -> tuple[int, str]:
        """Return a directory's descriptor and its path: it differs from `path` where something was in the way.

        The descriptor is good until the next call.

        Raises:
            OSError: it can be neither opened nor created.
        """
        found = self._open.get(path)
        if found is not None:
            self._open.move_to_end(path)
            return found
        parent, _, name = path.rpartition("/")
        above, begin = self.open(parent) if parent else (self.root, "")
        descriptor, name = _enter(above, name, Wait(spare=self.spare))
        found = (descriptor, f"{begin}/{name}" if begin else name)
        self._open[path] = found
        if len(self._open) > self._most:
            os.close(self._open.popitem(last=False)[1][0])
        return found

    def close(self) -> None:
        """Close all descriptors."""
        for descriptor, _ in self._open.values():
            os.close(descriptor)
        self._open.clear()
        self.spare.close()
        if self.opened >= 0:
            os.close(self.opened)
        os.close(self.root)


def _enter(above: int, name: str, wait: Wait) -> tuple[int, str]:
    """Open the directory `name`, or `name~d` (`~d2` ...) if a file or a symbolic link has that name."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    for variant in ("", "~d", "~d2", "~d3", "~d4"):
        candidate = name + variant
        try:
            try:
                return open_patiently(candidate, flags, above, wait), candidate
            except FileNotFoundError:
                _make(candidate, above)
                return open_patiently(candidate, flags, above, wait), candidate
        except OSError as error:
            if error.errno not in _IN_THE_WAY:
                raise
    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)


def _make(name: str, above: int) -> None:
    with contextlib.suppress(FileExistsError):  # somebody was faster, or it is a link to nowhere: opening tells
        os.mkdir(name, dir_fd=above)


class Way(Enum):
    """How a file gets its name without replacing another, best first: the file system decides which one works."""

    UNNAMED = "a file without any name is linked: nothing temporary can remain (Linux)"
    LINKED = "a temporary name is linked, then removed"
    RENAMED = "the name is claimed by an empty file, which the temporary one then replaces"


# where that is not known, a directory cannot be opened like this, and another way is taken
_WITHOUT_NAME = os.O_RDWR | getattr(os, "O_TMPFILE", os.O_DIRECTORY)


class Unnamed(msgspec.Struct, eq=False):
    """A file in the root that has no name at all (Linux). For one thread."""

    _folders: Folders
    _descriptor: int

    @classmethod
    def open(cls, folders: Folders, wait: Wait) -> Self:
        """Create it. While there is no descriptor for it, do what `wait` says.

        Raises:
            OSError: there is no room, no permission, or the file system does not know such files.
        """
        return cls(folders, open_patiently(".", _WITHOUT_NAME, folders.root, wait))

    @property
    def inode(self) -> int:
        """What the file system knows it by, before it has a name and after."""
        return os.fstat(self._descriptor).st_ino

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append these bytes, all of them.

        Raises:
            OSError: the disk is full, or the like.
        """
        for chunk in chunks:
            written = os.write(self._descriptor, chunk)
            while written < len(chunk):
                written += os.write(self._descriptor, memoryview(chunk)[written:])

    def give(self, name: str, folder: int) -> None:
        """Let the file appear under its final name.

        Raises:
            FileExistsError: the name is taken.
            OSError: the name cannot be given.
        """
        os.link(str(self._descriptor), name, src_dir_fd=self._folders.opened, dst_dir_fd=folder)

    def close(self) -> None:
        """Close the file. Without a final name it is gone. Can be called again.

        Raises:
            OSError: it has not been written after all; network drives may say so as late as this.
        """
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Part(Unnamed):
    """A file that is being written and has no final name yet, but where need be a temporary one, in the root."""

    _way: Way
    _name: str = ""  # the temporary one
    _lock: threading.Lock = msgspec.field(default_factory=threading.Lock)

    @classmethod
    def new(cls, folders: Folders, way: Way, wait: Wait = USUAL_WAIT) -> Self:
        """Create it. While there is no descriptor for it, do what `wait` says.

        Raises:
            OSError: there is no room, no permission, or the file system does not know this way.
        """
        if way is Way.UNNAMED:
            return cls(folders, open_patiently(".", _WITHOUT_NAME, folders.root, wait), way)
        descriptor, name = _named(folders.root, wait)
        return cls(folders, descriptor, way, name)

    @classmethod
    def again(cls, folders: Folders, way: Way, name: str, inode: int) -> Self:
        """Open the one that an earlier run has left under this temporary name, and lock it; this does not wait.

        Raises:
            OSError: it is not there any more, it is another file, or somebody else has it.
        """
        descriptor = open_patiently(name, os.O_RDWR | os.O_NONBLOCK, folders.root, Wait(0.0))
        try:
            lock(descriptor)
            found = os.fstat(descriptor)
            if found.st_ino != inode or not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            os.lseek(descriptor, 0, os.SEEK_END)
        except (Locked, OSError) as error:
            os.close(descriptor)
            if isinstance(error, Locked):
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), name) from error
            raise
        return cls(folders, descriptor, way, name)

    @property
    def size(self) -> int:
        """Bytes in it."""
        return os.fstat(self._descriptor).st_size

    def keep(self) -> str:
        """Give it a temporary name, if it has none, by which it can be found after a kill; return that.

        Raises:
            OSError: that cannot be done.
        """
        if not self._name:
            name = f"{_PREFIX}{os.urandom(8).hex()}{_SUFFIX}"
            with contextlib.suppress(Locked):
                lock(self._descriptor)
            self.give(name, self._folders.root)
            self._name = name
        return self._name

    def cut_last_byte(self) -> None:
        """Forget the last byte: then there is a rest to ask for, and the answer tells whether it is right."""
        os.ftruncate(self._descriptor, self.size - 1)
        os.lseek(self._descriptor, 0, os.SEEK_END)

    def read(self) -> Iterator[bytes]:
        """Give what has been written so far, a block at a time."""
        at = 0
        while block := os.pread(self._descriptor, _BLOCK, at):
            at += len(block)
            yield block

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append these bytes, all of them, as long as it is open.

        Raises:
            OSError: the disk is full, or the like.
        """
        with self._lock:
            super().write(chunks)

    def give(self, name: str, folder: int) -> None:
        """Let the file appear under its final name, in the way that works here.

        Raises:
            FileExistsError: the name is taken.
            OSError: the name cannot be given.
        """
        if self._way is Way.UNNAMED:
            super().give(name, folder)
        elif self._way is Way.LINKED:
            os.link(self._name, name, src_dir_fd=self._folders.root, dst_dir_fd=folder, follow_symlinks=False)
        else:
            self._claim(name, folder)

    def _claim(self, name: str, folder: int) -> None:
        os.close(open_patiently(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, folder))
        try:
            os.replace(self._name, name, src_dir_fd=self._folders.root, dst_dir_fd=folder)
        except OSError:
            os.unlink(name, dir_fd=folder)
            raise
        self._name = ""

    def close(self, *, remove: bool = True) -> None:
        """Close the file, and remove its temporary name. Without a final name it is gone. Can be called again.

        A name that cannot be removed, on a disk that has become read-only for instance, is left to the next start.

        Raises:
            OSError: it has not been written after all; network drives may say so as late as this.
        """
        with self._lock:
            name, self._name = self._name, ""
            if name and remove:
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=self._folders.root)
            super().close()


def _named(root: int, wait: Wait) -> tuple[int, str]:
    """Create a file with a temporary name, locked, so that nobody takes it for one that a kill has left."""
    while True:
        name = f"{_PREFIX}{os.urandom(8).hex()}{_SUFFIX}"
        descriptor = open_patiently(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, root, wait)
        with contextlib.suppress(Locked):
            lock(descriptor)
            if os.fstat(descriptor).st_nlink:
                return descriptor, name
        os.close(descriptor)  # somebody was clearing up in this very moment
