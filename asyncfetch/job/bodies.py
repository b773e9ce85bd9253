"""Where a body goes: below one directory, whole or not at all, and over nothing that was there before.

A body is written to a file that has no name yet, and gets its name when it is whole, by a call that fails if the
name is taken. A kill at any moment leaves no partial file under a final name, and on Linux nothing temporary.
Which name that is, `names` says. If it is taken, be it by the same URL earlier in the list, by an earlier run or by
somebody else, the variant `~n17` is, for entry 17. Which of two equal URLs has the shorter name depends on which is
finished first; the records tell.

Every directory below the one that was given is opened step by step from its parent's descriptor, and symbolic links
are never followed. Where a file (or a link) stands in the way of a directory, the directory is called `name~d`.

The client writes to a `FileSink` in the event loop. Everything else is called in one worker thread at a time.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import anyio.to_thread

from asyncfetch.job.errors import OutputError, reason_of
from asyncfetch.job.folders import Folders, Part, Way, remove_dead_parts
from asyncfetch.job.names import BodyName, body_name

if TYPE_CHECKING:
    from asyncfetch.result import Request, Response

__all__ = ["Bodies", "DiscardSink", "FileSink"]

_IN_MEMORY = 256 * 1024  # bytes of a body until it is given a file
_AT_ONCE = 512 * 1024  # bytes that are then written at once


class DiscardSink:
    """Takes a body that nobody keeps: the client has counted it."""

    async def write(self, chunk: bytes) -> None:
        """Forget some bytes."""

    async def finish(self) -> None:
        """Do nothing: the body is complete."""

    async def abort(self) -> None:
        """Do nothing: the body will not be completed."""


class FileSink:
    """Takes a body that becomes a file: in memory while it is small, in a temporary file from then on.

    Attributes:
        request: whose body it is.
        size: bytes taken.
        is_complete: whether the body is whole.
    """

    __slots__ = ("_bodies", "_chunks", "_held", "_part", "_spill_at", "is_complete", "request", "size")

    def __init__(self, bodies: Bodies, request: Request) -> None:
        self.request = request
        self.size = 0
        self.is_complete = False
        self._bodies = bodies
        self._chunks: list[bytes] = []
        self._held = 0
        self._spill_at = _IN_MEMORY
        self._part: Part | None = None

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

    async def finish(self) -> None:
        """Know that the body is complete and whole. It has no name before `Bodies.save`."""
        self.is_complete = True

    async def abort(self) -> None:
        """Forget everything: the request failed, was cancelled, or will be tried again."""
        if self._part is None:
            self.discard()
        else:
            await anyio.to_thread.run_sync(self.discard)

    def discard(self) -> None:
        """Do the same as `abort`, in a worker thread."""
        self._chunks.clear()
        self.is_complete = False
        if self._part is not None:
            self._bodies.drop(self._part)

    def _spill(self) -> None:
        try:
            self.written()
        except OSError as error:
            self._bodies.failed(error)
            raise

    def written(self) -> Part:
        """Write what is still in memory, and return the file that holds all of it.

        Raises:
            OSError: it cannot be written.
        """
        if self._part is None:
            self._part = self._bodies.part()
        chunks, self._chunks, self._held = self._chunks, [], 0
        self._part.write(chunks)
        return self._part


class Bodies:
    """The directory that bodies are saved under.

    Attributes:
        directory: as it was given.
        failure: the first error that kept a body from being written; the run is to stop.
        note: told position, inode and path of each body just before it gets its name.
    """

    def __init__(self, directory: str | os.PathLike[str], *, way: Way | None = None) -> None:
        """Open the directory, create it if needed, and try out how files get their names there.

        Raises:
            OutputError: it is no directory, or nothing can be written there.
        """
        self.directory = os.fspath(directory)
        self.failure: OutputError | None = None
        self.note: Callable[[int, int, str], None] | None = None
        self._parts: set[Part] = set()
        try:
            self._folders = Folders(directory)
        except OSError as error:
            raise OutputError(self.directory, _why_unusable(error)) from error
        try:
            self._way = self._first_that_works([way] if way else list(Way))
        except OSError as error:
            self._folders.close()
            raise OutputError(self.directory, f"cannot be written to: {reason_of(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all descriptors. What was not saved is gone."""
        for part in list(self._parts):
            self.drop(part)
        self._folders.close()

    def clear_up(self) -> int:
        """Remove the temporary files of runs that were killed, and return how many there were."""
        return remove_dead_parts(self._folders.root)

    def sink(self, request: Request, response: Response) -> FileSink | None:
        """Return what takes the body of an ok response, or None if there is none to expect. Fast, never waits."""
        if request.method == "HEAD" or response.status_code in {204, 304}:
            return None
        return FileSink(self, request)

    def part(self) -> Part:
        """Return a new file without a final name.

        Raises:
            OSError: it cannot be created.
        """
        part = Part(self._folders.root, self._way)
        self._parts.add(part)
        return part

    def drop(self, part: Part) -> None:
        """Close a file; without a name it is gone."""
        self._parts.discard(part)
        part.close()

    def save(self, sink: FileSink) -> str:
        """Let a complete body appear under its name. May be called once for each sink.

        Returns:
            The path below the directory, with slashes.

        Raises:
            OutputError: it cannot be written; nothing of it remains.
        """
        name = body_name(sink.request.url)
        try:
            part = sink.written()
            return self._give_name(part, name, sink.request.index)
        except OSError as error:
            raise self.failed(error, f"{name.folder}/{name.file()}") from error
        finally:
            sink.discard()

    def remove(self, path: str) -> None:
        """Remove a body that `save` has just saved, because it could not be recorded; errors do not matter."""
        folder, _, file = path.rpartition("/")
        with contextlib.suppress(OSError):
            os.unlink(file, dir_fd=self._folders.open(folder)[0])

    def failed(self, error: OSError, path: str = "") -> OutputError:
        """Remember the first error, and return this one as ours."""
        failure = OutputError(str(Path(self.directory, path)), f"cannot be written: {reason_of(error)}")
        self.failure = self.failure or failure
        return failure

    def _give_name(self, part: Part, name: BodyName, index: int) -> str:
        descriptor, folder = self._folders.open(name.folder)
        variants = _variants(index)
        while True:
            file = name.file(next(variants))
            if self.note is not None:
                self.note(index, part.inode, f"{folder}/{file}")
            with contextlib.suppress(FileExistsError):
                part.give(file, descriptor)
                return f"{folder}/{file}"

    def _first_that_works(self, ways: list[Way]) -> Way:
        for way in ways[:-1]:
            try:
                self._try(way)
            except OSError:
                continue
            return way
        self._try(ways[-1])
        return ways[-1]

    def _try(self, way: Way) -> None:
        part = Part(self._folders.root, way)
        name = f".asyncfetch-{secrets.token_hex(8)}.part"
        try:
            part.give(name, self._folders.root)
            os.unlink(name, dir_fd=self._folders.root)
        finally:
            part.close()


def _variants(index: int) -> Iterator[str]:
    yield ""
    yield f"n{index}"
    while True:
        yield f"n{index}-{secrets.token_hex(4)}"


def _why_unusable(error: OSError) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "is not a directory"
    return f"cannot be used as a directory for bodies: {reason_of(error)}"
