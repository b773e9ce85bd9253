"""Groups of entries that wait for their host, on disk: per host, first in, first out.

A temporary file without a name, so that nobody else can open it and nothing of it outlives the process, not even
after a SIGKILL. It is made of chunks, each of one host: what comes next for that host, how many bytes, the groups.
What has been read is not given back piece by piece; when nothing waits any more, the file begins again.

Memory is for each host that has something here, some hundred bytes, and for what is not written yet: 64 KiB of a
host, 4 MiB in all. Whatever the order of the hosts, a group costs one write of its share of a chunk and one read
of at most 8 KiB, or a second one if it is longer. These are of the page cache as a rule, some microseconds each,
less than the way to a thread and back; so they are done at once, in the event loop.

What is in a group, and when it comes here, is not known here: see `entries` and `backlog`.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict, deque
from struct import Struct
from typing import IO

__all__ = ["Overflow", "open_overflow"]

_CHUNK = 64 * 1024  # bytes of one host that are written at once
_UNWRITTEN = 4 * 1024 * 1024  # bytes, over all hosts; beyond that, short chunks are written
_READ = 8 * 1024  # bytes that are read at once
_HEADER = Struct("<QI")  # where the host's next chunk is, 0 while there is none; bytes of the groups in this one
_LINK = Struct("<Q")
_LENGTH = Struct("<I")  # before each group
_LENGTH_SIZE = _LENGTH.size
_START = _HEADER.size  # so that no chunk is at 0

_DIRECTORY_VARIABLES = ("TMPDIR", "TEMP", "TMP")
_DIRECTORY = "/var/tmp"  # noqa: S108 - for large files, where /tmp is often in memory
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class _Shelf:
    """What waits for one host.

    Attributes:
        count: groups.
        chunk: the chunk that is being read, 0 if none was written.
        at: where its next group is.
        left: bytes of it that have not been dropped.
        first: bytes of the first group, with its length, once it has been looked at.
        last: the chunk written last.
        unwritten: groups, with their lengths, that come after it.
        bytes: how many bytes these are.
    """

    __slots__ = ("at", "bytes", "chunk", "count", "first", "last", "left", "unwritten")

    def __init__(self) -> None:
        self.count = self.chunk = self.at = self.left = self.first = self.last = self.bytes = 0
        self.unwritten: deque[bytes] = deque()


class Overflow:
    """The groups that wait here. Made by `open_overflow`."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file = file
        self._most = most
        self._end = _START
        self._unwritten = 0
        self._piece = (0, b"")  # what was read last, and where that is
        self._shelves: dict[str, _Shelf] = {}
        self._dirty: OrderedDict[str, _Shelf] = OrderedDict()
        self._due: list[str] = []

    @property
    def is_full(self) -> bool:
        """Whether as many bytes as are allowed are used; there is room again when nothing waits any more."""
        return self._end + self._unwritten >= self._most

    def add(self, host: str, group: bytes) -> bool:
        """Put a group behind the others of its host; True if `write` must follow, now or soon."""
        shelf = self._shelves.get(host)
        if shelf is None:
            shelf = self._shelves[host] = _Shelf()
        size = _LENGTH_SIZE + len(group)
        if not shelf.bytes:
            self._dirty[host] = shelf
        shelf.unwritten.append(_LENGTH.pack(len(group)) + group)
        shelf.bytes = filled = shelf.bytes + size
        if filled - size < _CHUNK <= filled:
            self._due.append(host)
        shelf.count += 1
        self._unwritten += size
        return bool(self._due) or self._unwritten > _UNWRITTEN

    def write(self) -> None:
        """Write what has become too much for memory.

        Raises:
            OSError: it cannot be written, because the disk is full for instance; nothing is lost.
        """
        while self._due:
            shelf = self._dirty.get(self._due[-1])
            if shelf is not None and shelf.bytes >= _CHUNK:
                self._write_chunk(self._due[-1], shelf)
            self._due.pop()
        while self._unwritten > _UNWRITTEN:
            self._write_chunk(*next(iter(self._dirty.items())))

    def first(self, host: str) -> bytes:
        """Return the first group of a host for which some wait; it stays until `drop`.

        Raises:
            OSError: it cannot be read back.
        """
        shelf = self._shelves[host]
        is_written = shelf.left or self._next_chunk(shelf)
        group = self._read_first(shelf) if is_written else shelf.unwritten[0][_LENGTH_SIZE:]
        shelf.first = _LENGTH_SIZE + len(group)
        return group

    def drop(self, host: str) -> None:
        """Forget the group that `first` has returned.

        Raises:
            OSError: the file cannot be read; nothing was forgotten.
        """
        shelf = self._shelves[host]
        if shelf.left or self._next_chunk(shelf):
            shelf.at += shelf.first
            shelf.left -= shelf.first
        else:
            shelf.unwritten.popleft()
            shelf.bytes -= shelf.first
            self._unwritten -= shelf.first
            if not shelf.unwritten:
                self._dirty.pop(host, None)
        shelf.count -= 1
        if not shelf.count:
            self._remove(host)

    def close(self) -> None:
        """Forget everything; the file is gone with it. Can be called again."""
        self._unwritten = 0
        self._shelves.clear()
        self._dirty.clear()
        self._due.clear()
        self._file.close()

    # --- chunks

    def _write_chunk(self, host: str, shelf: _Shelf) -> None:
        content = b"".join(shelf.unwritten)
        at = self._end
        self._write_at(at, _HEADER.pack(0, len(content)) + content)
        if shelf.last:
            self._write_at(shelf.last, _LINK.pack(at))
        else:
            shelf.chunk, shelf.at, shelf.left = at, at + _HEADER.size, len(content)
        self._end = at + _HEADER.size + len(content)
        shelf.last = at
        self._unwritten -= shelf.bytes
        shelf.bytes = 0
        shelf.unwritten.clear()
        del self._dirty[host]

    def _next_chunk(self, shelf: _Shelf) -> bool:
        """Go on to a host's next chunk, if one has been written."""
        if shelf.chunk == shelf.last:
            return False
        (shelf.chunk,) = _LINK.unpack(self._read_at(shelf.chunk, _LINK.size))
        _, shelf.left = _HEADER.unpack(self._read_at(shelf.chunk, _HEADER.size))
        shelf.at = shelf.chunk + _HEADER.size
        return True

    def _read_first(self, shelf: _Shelf) -> bytes:
        """Return the next group of the chunk at hand; what was read last may have it."""
        at, piece = self._piece
        group = _group_in(piece, shelf.at - at)
        if group is None:
            piece = self._read_at(shelf.at, min(shelf.left, _READ))
            self._piece = shelf.at, piece
            group = _group_in(piece, 0)
        if group is None:
            (length,) = _LENGTH.unpack_from(piece)
            group = self._read_at(shelf.at + _LENGTH_SIZE, length)
        return group

    def _remove(self, host: str) -> None:
        """Forget a host for which nothing waits; when that was the last one, the file begins again."""
        del self._shelves[host]
        if not self._shelves and self._end > _START:
            self._file.truncate(0)
            self._end, self._piece = _START, (0, b"")

    # --- the file

    def _write_at(self, at: int, content: bytes) -> None:
        self._file.seek(at)
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _read_at(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        content = self._file.read(size)
        while len(content) < size:
            more = self._file.read(size - len(content))
            if not more:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            content += more
        return content


def _group_in(piece: bytes, at: int) -> bytes | None:
    """Take out the group that begins there, if all of it is in the piece."""
    begin = at + _LENGTH_SIZE
    if at < 0 or begin > len(piece):
        return None
    end = begin + _LENGTH.unpack_from(piece, at)[0]
    return piece[begin:end] if end <= len(piece) else None


def overflow_directory() -> str | None:
    """Say where the file goes: where `TMPDIR` says, or /var/tmp; None is where the system keeps such files."""
    if any(os.environ.get(name) for name in _DIRECTORY_VARIABLES) or not os.access(_DIRECTORY, os.W_OK):
        return None
    return _DIRECTORY


def open_overflow(most: int) -> Overflow | None:
    """Open an empty overflow of at most so many bytes; None if this system has no place for one.

    Raises:
        OSError: the disk is full.
    """
    import tempfile

    try:
        file = tempfile.TemporaryFile(buffering=0, prefix="asyncfetch-", dir=overflow_directory())  # noqa: SIM115
    except OSError as error:
        if error.errno in _FULL:
            raise
        return None
    return Overflow(file, most)
