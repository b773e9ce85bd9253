"""Where a body goes: below one directory, whole or not at all, and over nothing that was there before.

A body is written to a file that has no name yet, and gets its name when it is whole, by a call that fails if the
name is taken. A kill at any moment leaves no partial file under a final name, and on Linux nothing temporary.
Which name that is, `names` says. If it is taken, be it by the same URL earlier in the list, by an earlier run or by
somebody else, the variant `~n17` is, for entry 17. Which of two equal URLs has the shorter name depends on which is
finished first; the records tell.

Every directory below the one that was given is opened step by step from its parent's descriptor, and symbolic links
are never followed. Where a file (or a link) stands in the way of a directory, the directory is called `name~d`.

The client writes to a `FileSink` in the event loop. Everything else is called in one worker thread at a time. What
has come of a large body may outlive the run (`partials`), under a temporary name; the next run goes on with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from asyncfetch.client import Partial, Rest
from asyncfetch.job.errors import OutputError, reason_of
from asyncfetch.job.filesink import DiscardSink, FileSink
from asyncfetch.job.folders import Folders, Part, Unnamed, Way, remove_dead_parts
from asyncfetch.job.names import BodyName
from asyncfetch.job.naming import Naming
from asyncfetch.job.opening import Wait, find_file, read_file

if TYPE_CHECKING:
    from asyncfetch.job.partials import Partials
    from asyncfetch.result import Request, Response

__all__ = ["Bodies", "DiscardSink", "FileSink"]


_HURRIED = Wait(0.1)  # seconds for a descriptor, while a server waits for us


class Bodies:
    """The directory that bodies are saved under.

    Attributes:
        directory: as it was given.
        failure: the first error that kept a body from being written; the run is to stop.
        naming: says what files are called.
        note: told position, inode and path of each body just before it gets its name.
        partials: knows the beginnings of large bodies that may outlive this run; None lets none of them.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        way: Way | None = None,
        naming: Naming | None = None,
        digests: bool = False,
    ) -> None:
        """Open the directory, create it if needed, and try out how files get their names there.

        Args:
            directory: where everything goes.
            way: how files get their names; None tries.
            naming: what they are called; None is after their URL.
            digests: whether the SHA-256 of every body is wanted, not only where a request names one.

        Raises:
            OutputError: it is no directory, or nothing can be written there.
        """
        self.directory = os.fspath(directory)
        self.failure: OutputError | None = None
        self.note: Callable[[int, int, str], None] | None = None
        self.partials: Partials | None = None
        self.naming = naming or Naming()
        self._digests = digests or self.naming.needs_digest
        self._parts: dict[Part, int] = {}  # with the position of what is kept, or 0
        try:
            self._folders = Folders(directory)
            self._patient = Wait(spare=self._folders.spare)
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
        """Close all descriptors. What was not saved is gone, but for beginnings that a later run can go on with."""
        self.leave_all()
        self._folders.close()

    def clear_up(self) -> int:
        """Remove the temporary files of runs that were killed, and return how many there were."""
        keep = () if self.partials is None else self.partials.find_all(self._folders.root)
        return remove_dead_parts(self._folders.root, keep)

    def sink(self, request: Request, response: Response) -> FileSink | None:
        """Return what takes the body of an ok response, or None if there is none to expect. Fast, never waits."""
        if request.method == "HEAD" or response.status_code in {204, 304}:
            return None
        return FileSink(request, response, self, self._new_digest(request))

    def _new_digest(self, request: Request) -> hashlib._Hash | None:
        return hashlib.sha256() if self._digests or request.sha256 is not None else None

    def partial(self, request: Request) -> Partial | None:
        """Return the beginning of a body that an earlier run has left, opened; None if there is none.

        It reads nothing: that takes a few system calls, and only where there is one.
        """
        kept = None if self.partials is None else self.partials.take(request)
        if kept is None:
            return None
        try:
            part = Part.again(self._folders, self._way, kept.file, kept.inode)
        except OSError:
            return None
        self._parts[part] = request.index
        if kept.complete is not None and part.size >= kept.complete:
            part.cut_last_byte()
        sink = FileSink(request, None, self, self._new_digest(request))
        sink.go_on_in(part)
        return Partial(sink, kept.url, Rest(sink.size, kept.validator, kept.complete))

    def keep(self, part: Part, request: Request, url: str, rest: Rest) -> None:
        """Let a beginning outlive this run, if that can be remembered; if not, it will be fetched again."""
        if self.partials is not None:
            with contextlib.suppress(OSError):
                self.partials.note(request, part.keep(), part.inode, url, rest)
                self._parts[part] = request.index

    def leave(self, part: Part) -> None:
        """Close a file, and let what can outlive this run lie where it is."""
        if self._parts.get(part):
            del self._parts[part]
            with contextlib.suppress(OSError):  # its length tells what is there of it
                part.close(remove=False)
        else:
            self.drop(part)

    @property
    def computes_digests(self) -> bool:
        """Whether every body gets its SHA-256."""
        return self._digests

    def find(self, path: str) -> os.stat_result | None:
        """Return what the system says about a saved file, if it is there; may be called in any thread."""
        return find_file(self._folders.root, path)

    def read(self, path: str) -> Iterator[bytes]:
        """Give what is in such a file, a block at a time; in any thread.

        Raises:
            OSError: it cannot be read.
        """
        return read_file(self._folders.root, path)

    def leave_all(self) -> None:
        """Do so with every file that is open."""
        for part in list(self._parts):
            self.leave(part)

    def part(self, *, hurried: bool = False) -> Part:
        """Return a new file without a final name; it waits for a descriptor if there is none, `hurried` not long.

        Raises:
            OSError: it cannot be created.
        """
        wait = _HURRIED if hurried else self._patient
        part = Part.new(self._folders, self._way, wait)
        self._parts[part] = 0
        return part

    def drop(self, file: Unnamed) -> None:
        """Close a file; without a name it is gone."""
        with contextlib.suppress(OSError):
            self._close(file)

    def _close(self, file: Unnamed) -> None:
        if not isinstance(file, Part):
            file.close()
            return
        index = self._parts.pop(file, 0)
        try:
            file.close()
        finally:
            if index and self.partials is not None:
                self.partials.forget(index)

    def save(self, sink: FileSink) -> str:
        """Let a complete body appear under its name. May be called once for each sink.

        Returns:
            The path below the directory, with slashes.

        Raises:
            OutputError: it cannot be written; nothing of it remains.
        """
        request, file, name, path = sink.request, None, None, ""
        try:
            file = self._file_of(sink)
            name = self.naming.name(request, sink.sha256)
            path = self._give_name(file, name, request.index)
            self._close(file)
        except OSError as error:
            if path:  # closing it has told that not all of it has been written
                self.remove(path)
            if file is not None:
                self.drop(file)
            sink.discard()
            name = name or self.naming.name(request, "")
            raise self.failed(error, f"{name.folder}/{name.file()}".lstrip("/")) from error
        finally:
            self._folders.spare.refill()
        return path

    def _file_of(self, sink: FileSink) -> Unnamed:
        """Return a file that holds a whole body: for one that is in memory, one that only `save` knows of.

        Raises:
            OSError: it cannot be written.
        """
        if sink.part is not None or self._way is not Way.UNNAMED:
            return sink.written()
        file = Unnamed.open(self._folders, self._patient)
        try:
            file.write(sink.given_up())
        except OSError:
            self.drop(file)
            raise
        return file

    def remove(self, path: str) -> None:
        """Remove a body that `save` has just saved, because it could not be recorded; errors do not matter."""
        folder, _, file = path.rpartition("/")
        with contextlib.suppress(OSError):
            os.unlink(file, dir_fd=self._folders.open(folder)[0] if folder else self._folders.root)

    def failed(self, error: OSError, path: str = "") -> OutputError:
        """Remember the first error, and return this one as ours."""
        failure = OutputError(str(Path(self.directory, path)), f"cannot be written: {reason_of(error)}")
        self.failure = self.failure or failure
        return failure

    def _give_name(self, file: Unnamed, name: BodyName, index: int) -> str:
        descriptor, folder = self._folders.open(name.folder) if name.folder else (self._folders.root, "")
        variant = ""
        while True:
            last = name.file(variant)
            path = f"{folder}/{last}" if folder else last
            if self.note is not None:
                self.note(index, file.inode, path)
            try:
                file.give(last, descriptor)
            except FileExistsError:
                variant = f"n{index}-{os.urandom(4).hex()}" if variant else f"n{index}"
            else:
                return path

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
        part = Part.new(self._folders, way)
        name = f".asyncfetch-{os.urandom(8).hex()}.part"
        try:
            part.give(name, self._folders.root)
            os.unlink(name, dir_fd=self._folders.root)
        finally:
            part.close()


def _why_unusable(error: OSError) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "is not a directory"
    return f"cannot be used as a directory for bodies: {reason_of(error)}"
