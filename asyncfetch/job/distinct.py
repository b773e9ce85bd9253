"""Counting among any number of things with memory that does not grow with them.

`Distinct` is exact: what does not fit into 32 MiB goes to 64 temporary files, each of which is counted by itself.
10,000,000 URLs are 150 MB there, and while one file is counted it takes 15 MB of memory. `Tally` keeps those that
come most often, and knows by how much it can be wrong about any.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from typing import BinaryIO, Self

__all__ = ["Distinct", "Tally"]

_PARTS = 64
_IN_MEMORY = 32 << 20


class Distinct:
    """Counts different digests of one length."""

    def __init__(self, size: int, in_memory: int = _IN_MEMORY) -> None:
        """Begin with none; each is `size` bytes long, and up to `in_memory` bytes of them are kept in memory."""
        self._size = size
        self._parts = [bytearray() for _ in range(_PARTS)]
        self._held = 0
        self._in_memory = in_memory
        self._files: list[BinaryIO] = []
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def add(self, digest: bytes) -> None:
        """Take one in.

        Raises:
            OSError: there is no room for it on the disk.
        """
        self._parts[digest[0] % _PARTS] += digest
        self._held += self._size
        if self._held >= self._in_memory:
            self._spill()

    def count(self) -> int:
        """Return how many different ones there were.

        Raises:
            OSError: what was put to the disk cannot be read.
        """
        return sum(self._count_part(number) for number in range(_PARTS))

    def _spill(self) -> None:
        if not self._files:
            for _ in range(_PARTS):
                self._files.append(self._opened.enter_context(tempfile.TemporaryFile()))  # noqa: SIM115
        for file, part in zip(self._files, self._parts, strict=True):
            file.write(part)
            part.clear()
        self._held = 0

    def _count_part(self, number: int) -> int:
        part = bytes(self._parts[number])
        if self._files:
            self._files[number].seek(0)
            part += self._files[number].read()
        size = self._size
        return len({part[start : start + size] for start in range(0, len(part), size)})


class Tally:
    """Counts how often each name comes, for the `most` that come most often.

    Attributes:
        counts: how often each came; up to `missed` less than it did.
        missed: what a count may lack, because its name had been dropped before; 0 is exact.
    """

    def __init__(self, most: int) -> None:
        self.counts: dict[str, int] = {}
        self.missed = 0
        self._most = most

    def add(self, name: str) -> bool:
        """Count a name once more, and say whether it was not among the counts."""
        counts = self.counts
        known = counts.get(name)
        if known is not None:
            counts[name] = known + 1
            return False
        if len(counts) >= self._most:
            self._drop()
        self.counts[name] = 1
        return True

    def _drop(self) -> None:
        """Drop at least half of the names, those that came least often."""
        threshold = sorted(self.counts.values())[len(self.counts) // 2]
        self.counts = {name: count for name, count in self.counts.items() if count > threshold}
        self.missed += threshold
