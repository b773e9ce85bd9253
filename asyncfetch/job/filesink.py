"""What takes one body that is to become a file: in memory while it is small, in a temporary file from then on.

The client writes to a `FileSink` in the event loop. What waits for a disk or computes for long is done in a worker
thread, one at a time. What the file will be called, and where it lies until then, is for `bodies` to say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import anyio.to_thread
import msgspec

from asyncfetch.client import Rest, rest_of
from asyncfetch.job.opening import is_shortage

if TYPE_CHECKING:
    from asyncfetch.job.bodies import Bodies
    from asyncfetch.job.folders import Part
    from asyncfetch.result import Request, Response

__all__ = ["WORTH_KEEPING", "DiscardSink", "FileSink"]

_IN_MEMORY = 256 * 1024  # bytes of a body until it is given a file
_AT_ONCE = 512 * 1024  # bytes that are then written at once
_COMPUTED_HERE = 64 * 1024  # bytes whose digest takes less time than a thread
WORTH_KEEPING = 1024 * 1024
"""Bytes of a body from which on its beginning is kept: less is fetched again in a tenth of a second, while keeping
it costs two files more, and every server a trial of how well it does ranges."""


class DiscardSink:
    """Takes a body that nobody keeps: the client has counted it."""

    def take(self, content: bytes) -> None:
        """Forget a whole body."""

    async def write(self, chunk: bytes) -> None:
        """Forget some bytes."""

    async def finish(self) -> None:
        """Do nothing: the body is complete."""

    async def abort(self) -> None:
        """Do nothing: the body will not be completed."""


class FileSink(msgspec.Struct, eq=False):
    """Takes a body that becomes a file: in memory while it is small, in a temporary file from then on.

    Attributes:
        request: whose body it is.
        size: bytes taken.
        is_complete: whether the body is whole.
        part: has what is not in memory any more; None while all of it is.
    """

    request: Request
    _response: Response | None  # None if an earlier run has left its beginning, see `go_on_in`
    _bodies: Bodies
    _sha256: hashlib._Hash | None  # None if it is not wanted
    size: int = 0
    is_complete: bool = False
    part: Part | None = None
    _chunks: list[bytes] = []
    _held: int = 0
    _spill_at: int = _IN_MEMORY
    _unread: bool = False
    _is_kept: bool = False

    def __repr__(self) -> str:
        """Show whose it is and how much, not the body."""
        return f"<FileSink of {self.request!r}: {self.size} bytes>"

    def take(self, content: bytes) -> None:
        """Take a whole body, which stays in memory until it is saved: it came with its head, so it is small."""
        self._chunks.append(content)
        self.size = len(content)
        self.is_complete = True

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes; waits while they are written to the disk.

        Raises:
            OSError: they cannot be written. `Bodies.failure` says so too.
        """
        self._chunks.append(chunk)
        self._held += len(chunk)
        self.size += len(chunk)
        if self._held > self._spill_at:
            self._spill_at = _AT_ONCE
            await anyio.to_thread.run_sync(self._spill)

    async def pause(self, rest: Rest) -> int:
        """Keep what has come if it is worth it, and forget it otherwise; see `asyncfetch.ResumableSink`."""
        if self.size < WORTH_KEEPING:
            await self.abort()
            return 0
        await anyio.to_thread.run_sync(self._spill)
        return self.size

    async def verify(self, sha256: str) -> bool:
        """Say whether the whole body has this digest; see `asyncfetch.VerifyingSink`."""
        if self._unread or self._held > _COMPUTED_HERE:
            await anyio.to_thread.run_sync(self.written)
        return self.sha256 == sha256

    async def finish(self) -> None:
        """Know that the body is complete and whole. It has no name before `Bodies.save`."""
        self.is_complete = True

    async def abort(self) -> None:
        """Forget everything: the request failed, was cancelled, or will be tried again."""
        if self.part is None:
            self.discard()
        else:
            await anyio.to_thread.run_sync(self.discard)

    # --- in a worker thread

    def go_on_in(self, part: Part) -> None:
        """Begin with what an earlier run has written."""
        self.part = part
        self.size = part.size
        self._is_kept = True
        self._unread = self._sha256 is not None

    def discard(self) -> None:
        """Do the same as `abort`."""
        self._chunks.clear()
        self.is_complete = False
        if self.part is not None:
            self._bodies.drop(self.part)

    def leave(self) -> None:
        """Give up for this run a body whose beginning has been kept: a later one may go on with it."""
        if not self.is_complete and self.part is not None:
            self._bodies.leave(self.part)

    def _spill(self) -> None:
        try:
            part = self.written(hurried=True)
        except OSError as error:
            if not is_shortage(
                error
            ):  # of descriptors: the client makes do with fewer, and fetches this body again
                self._bodies.failed(error)
            raise
        if self.size >= WORTH_KEEPING and not self._is_kept:
            self._is_kept = True
            self._keep(part)

    def _keep(self, part: Part) -> None:
        """Let the beginning outlive this process, if a later one can ask for the rest."""
        rest = None if self._response is None else rest_of(self._response)
        if rest is not None and self._response is not None:
            self._bodies.keep(part, self.request, self._response.url, rest)

    def written(self, *, hurried: bool = False) -> Part:
        """Write what is still in memory, and return the file that holds all of it.

        Args:
            hurried: do not wait long for a descriptor: a server waits meanwhile, whose connection has one.

        Raises:
            OSError: it cannot be written, or what an earlier run has written cannot be read.
        """
        if self.part is None:
            self.part = self._bodies.part(hurried=hurried)
        if self._unread:
            self._unread = False
            self._take_in(self.part.read())
        self.part.write(self.given_up())
        return self.part

    def given_up(self) -> list[bytes]:
        """Return what is in memory, and keep it no longer: the caller writes it."""
        chunks, self._chunks, self._held = self._chunks, [], 0
        self._take_in(chunks)
        return chunks

    def _take_in(self, blocks: Iterable[bytes]) -> None:
        if self._sha256 is not None:
            for block in blocks:
                self._sha256.update(block)

    @property
    def sha256(self) -> str | None:
        """The digest of all that was taken, in lower-case hexadecimal, if it was wanted."""
        if self._sha256 is None:
            return None
        digest = self._sha256.copy()
        for chunk in self._chunks:
            digest.update(chunk)
        return digest.hexdigest()
