"""Bytes out of files, pipes and streams, a block at a time, until there are no more or the reading is called off.

Called in a thread. A pipe that nobody writes to is waited for together with a pipe of our own: closing wakes it.
"""

from __future__ import annotations

import os
import select
from collections.abc import Generator, Iterator
from typing import BinaryIO

from asyncfetch.job.lines import BLOCK

__all__ = ["BlockReader"]


class BlockReader:
    """Reads sources one after the other.

    Attributes:
        closed: the reading was called off.
    """

    def __init__(self, *, may_wait: bool) -> None:
        """Prepare the reading; `may_wait` says that one of the sources is no regular file."""
        self.closed = False
        self._wake = os.pipe() if may_wait else None

    @property
    def may_wait(self) -> bool:
        """Whether one of the sources is no regular file: it cannot be read twice."""
        return self._wake is not None

    def call_off(self) -> None:
        """Let whoever waits for bytes wait no longer."""
        self.closed = True
        if self._wake is not None:
            os.write(self._wake[1], b"\0")

    def release(self) -> None:
        """Close what is our own, when nobody reads any more."""
        for descriptor in self._wake or ():
            os.close(descriptor)

    def of_file(self, path: str, *, regular: bool) -> Generator[bytes]:
        """Give the blocks of a file, or of a pipe with a name.

        Raises:
            OSError: it cannot be opened or read.
        """
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            yield from self.of_descriptor(descriptor, regular=regular)
        finally:
            os.close(descriptor)

    def of_stream(self, stream: BinaryIO, *, regular: bool) -> Iterator[bytes]:
        """Give the blocks of a stream, which stays open.

        Raises:
            OSError: it cannot be read.
        """
        try:
            descriptor = stream.fileno()
        except (OSError, ValueError, AttributeError):
            return iter(lambda: stream.read(BLOCK), b"")
        return self.of_descriptor(descriptor, regular=regular)

    def of_descriptor(self, descriptor: int, *, regular: bool) -> Iterator[bytes]:
        """Give the blocks of what is open already; a `regular` one is never waited for."""
        while not self.closed and (regular or self._is_readable(descriptor)):
            try:
                block = os.read(descriptor, BLOCK)
            except BlockingIOError:
                continue
            if not block:
                return
            yield block

    def _is_readable(self, descriptor: int) -> bool:
        """Wait until there is something to read, or the end; False when the reading is called off instead."""
        if self._wake is not None and hasattr(select, "poll"):
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.register(self._wake[0], select.POLLIN)
            poll.poll()
        return not self.closed
