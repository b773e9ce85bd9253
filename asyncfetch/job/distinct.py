"""Counting among any number of things with memory that does not grow with them, and exactly.

What does not fit into memory goes to 64 temporary files, by what it is; at the end each file is counted by itself.
10,000,000 different URLs are 150 MB there, and take 15 MB of memory while a file is counted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO, Self
from zlib import crc32

__all__ = ["Distinct", "Tally"]

_PARTS = 64
_IN_MEMORY = 32 << 20
_NAMES_IN_MEMORY = 100_000


class _Parts:
    """Temporary files without names, opened when they are needed."""

    def __init__(self) -> None:
        self._files: list[BinaryIO] = []
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def _append(self, parts: list[bytearray]) -> None:
        """Move what each part holds to its file.

        Raises:
            OSError: there is no room for it on the disk.
        """
        if not self._files:
            for _ in range(_PARTS):
                self._files.append(self._opened.enter_context(tempfile.TemporaryFile()))  # noqa: SIM115
        for file, part in zip(self._files, parts, strict=True):
            file.write(part)
            part.clear()

    def _take(self, number: int) -> bytes:
        """Return what was moved to a file.

        Raises:
            OSError: it cannot be read.
        """
        if not self._files:
            return b""
        self._files[number].seek(0)
        return self._files[number].read()


class Distinct(_Parts):
    """Counts different digests of one length."""

    def __init__(self, size: int, in_memory: int = _IN_MEMORY) -> None:
        """Begin with none; each is `size` bytes long, and up to `in_memory` bytes of them are kept in memory."""
        super().__init__()
        self._size = size
        self._parts = [bytearray() for _ in range(_PARTS)]
        self._held = 0
        self._in_memory = in_memory

    def add(self, digest: bytes) -> None:
        """Take one in.

        Raises:
            OSError: there is no room for it on the disk.
        """
        self._parts[digest[0] % _PARTS] += digest
        self._held += self._size
        if self._held >= self._in_memory:
            self._append(self._parts)
            self._held = 0

    def count(self) -> int:
        """Return how many different ones there were.

        Raises:
            OSError: what was put to the disk cannot be read.
        """
        size, different = self._size, 0
        for number in range(_PARTS):
            part = self._take(number) + self._parts[number]
            different += len({part[start : start + size] for start in range(0, len(part), size)})
        return different


class Tally(_Parts):
    """Counts how often each name comes; a name is ASCII without blanks."""

    def __init__(self, in_memory: int = _NAMES_IN_MEMORY) -> None:
        """Begin with none; the counts of so many names are kept in memory."""
        super().__init__()
        self._counts: dict[str, int] = {}
        self._in_memory = in_memory
        self._has_moved = False

    def add(self, name: str) -> None:
        """Count a name once more.

        Raises:
            OSError: there is no room for more names on the disk.
        """
        counts = self._counts
        counts[name] = counts.get(name, 0) + 1
        if len(counts) > self._in_memory:
            self._move()

    def items(self) -> Iterator[tuple[str, int]]:
        """Give each name once, and how often it came.

        Raises:
            OSError: what was put to the disk cannot be read.
        """
        if not self._has_moved:
            yield from self._counts.items()
            return
        self._move()
        for number in range(_PARTS):
            counts: dict[str, int] = {}
            for line in self._take(number).splitlines():
                name, _, count = line.decode("ascii").partition(" ")
                counts[name] = counts.get(name, 0) + int(count)
            yield from counts.items()

    def _move(self) -> None:
        parts = [bytearray() for _ in range(_PARTS)]
        for name, count in self._counts.items():
            parts[crc32(name.encode("ascii")) % _PARTS] += b"%b %d\n" % (name.encode("ascii"), count)
        self._append(parts)
        self._counts.clear()
        self._has_moved = True
