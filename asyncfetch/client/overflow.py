"""Entries of a list that do not fit its window, on disk: per host, first in, first out.

A temporary file without a name, so that nobody else can open it and nothing of it outlives the process, not even
after a SIGKILL. It is made of chunks, each of one host: what comes next for that host, how many bytes, the entries.
What has been read is not given back piece by piece; when nothing waits any more, the file begins again.

Memory is for each host that has something here, some hundred bytes, and for what is not written yet: 64 KiB of a
host, 4 MiB in all. Whatever the order of the hosts, an entry costs one write of its share of a chunk and one read
of at most 8 KiB. These are of the page cache as a rule, some microseconds each, less than the way to a thread and
back; so they are done at once, in the event loop.

What an entry is, and when it comes here, is not known here: see `entries` and `window`.
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
_HEADER = Struct("<QI")  # where the host's next chunk is, 0 while there is none; bytes of the entries in this one
_LINK = Struct("<Q")
_LENGTH = Struct("<I")  # before each entry
_LENGTH_SIZE = _LENGTH.size
_START = _HEADER.size  # so that no chunk is at 0

_DIRECTORY_VARIABLES = ("TMPDIR", "TEMP", "TMP")
_DIRECTORY = "/var/tmp"  # noqa: S108 - for large files, where /tmp is often in memory
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class _Shelf:
    """What waits for one host.

    Attributes:
        count: entries.
        chunk: the chunk that is being read, 0 if none was written.
        at: where its next entry is.
        left: bytes of it that have not been read.
        last: the chunk written last.
        unwritten: entries, with their lengths, that come after it.
        bytes: how many bytes these are.
    """

    __slots__ = ("at", "bytes", "chunk", "count", "last", "left", "unwritten")

    def __init__(self) -> None:
        self.count = self.chunk = self.at = self.left = self.last = self.bytes = 0
        self.unwritten: deque[bytes] = deque()


class Overflow:
    """The entries that wait here. Made by `open_overflow`.

    Attributes:
        count: entries.
    """

    def __init__(self, file: IO[bytes], most: int) -> None:
        self.count = 0
        self._file = file
        self._most = most
        self._end = _START
        self._unwritten = 0
        self._piece = (0, b"")  # what was read last, and where that is
        self._shelves: dict[str, _Shelf] = {}
        self._dirty: OrderedDict[str, _Shelf] = OrderedDict()
        self._due: list[str] = []

    def __contains__(self, host: object) -> bool:
        """Whether something waits for a host."""
        return host in self._shelves

    @property
    def is_full(self) -> bool:
        """Whether as many bytes as are allowed are used; there is room again when nothing waits any more."""
        return self._end + self._unwritten >= self._most

    def counts(self) -> list[tuple[str, int]]:
        """Say how many entries wait for each host for which some do."""
        return [(host, shelf.count) for host, shelf in self._shelves.items()]

    def add(self, host: str, entry: bytes) -> bool:
        """Put an entry behind the others of its host; True if `write` must follow, now or soon."""
        shelf = self._shelves.get(host)
        if shelf is None:
            shelf = self._shelves[host] = _Shelf()
        size = _LENGTH_SIZE + len(entry)
        if not shelf.bytes:
            self._dirty[host] = shelf
        shelf.unwritten.append(_LENGTH.pack(len(entry)) + entry)
        shelf.bytes = filled = shelf.bytes + size
        if filled - size < _CHUNK <= filled:
            self._due.append(host)
        shelf.count += 1
        self.count += 1
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

    def take(self, host: str, most: int) -> list[bytes]:
        """Take the first entries of a host, one at least and `most` at most, or none if there are none.

        Raises:
            OSError: they cannot be read back.
        """
        shelf = self._shelves.get(host)
        if shelf is None:
            return []
        entries: list[bytes] = []
        while len(entries) < most and (shelf.left or self._next_chunk(shelf)):
            entries += self._read_some(shelf, most - len(entries))
        while len(entries) < most and shelf.unwritten:
            entry = shelf.unwritten.popleft()
            shelf.bytes -= len(entry)
            self._unwritten -= len(entry)
            entries.append(entry[_LENGTH_SIZE:])
        if not shelf.unwritten:
            self._dirty.pop(host, None)
        self.count -= len(entries)
        shelf.count -= len(entries)
        if not shelf.count:
            self._remove(host)
        return entries

    def close(self) -> None:
        """Forget everything; the file is gone with it. Can be called again."""
        self.count = self._unwritten = 0
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

    def _read_some(self, shelf: _Shelf, most: int) -> list[bytes]:
        """Read up to so many entries of the chunk at hand, at least one."""
        piece = self._piece_of(shelf)
        (length,) = _LENGTH.unpack_from(piece)
        if _LENGTH_SIZE + length > len(piece):
            piece = self._read_at(shelf.at, _LENGTH_SIZE + length)
        entries: list[bytes] = []
        begin = _LENGTH_SIZE
        while begin + length <= len(piece):
            entries.append(piece[begin : begin + length])
            begin += length + _LENGTH_SIZE
            if len(entries) == most or begin > len(piece):
                break
            (length,) = _LENGTH.unpack_from(piece, begin - _LENGTH_SIZE)
        used = begin - _LENGTH_SIZE
        shelf.at += used
        shelf.left -= used
        return entries

    def _piece_of(self, shelf: _Shelf) -> bytes:
        """Return the next bytes of the chunk at hand; what was read last may have some of them."""
        at, piece = self._piece
        piece = piece[shelf.at - at :] if shelf.at >= at else b""
        if len(piece) < _LENGTH_SIZE or len(piece) < _LENGTH_SIZE + _LENGTH.unpack_from(piece)[0]:
            piece = self._read_at(shelf.at, min(shelf.left, _READ))
            self._piece = shelf.at, piece
        return piece

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
