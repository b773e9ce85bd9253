"""Where the list comes from: URLs, files of lines, standard input, plain or gzip, as one numbered input.

`open_sources` looks at every source before the first request. `Sources` then reads them one after the other, a
block at a time in a thread: a list of any length costs the memory of one block, a slow pipe delays nobody, and a
line that comes through a pipe is an entry at once. What a line is stands in `lines`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import stat
import threading
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Self

import anyio
import anyio.to_thread
import msgspec

from asyncfetch.errors import shown
from asyncfetch.job.errors import SourceError, reason_of
from asyncfetch.job.fingerprint import Fingerprint, InputDiffers
from asyncfetch.job.lines import BLOCK, GZIP_MAGIC, Line, LineSplitter, gunzipped, why_not_lines
from asyncfetch.job.recorded import Positions
from asyncfetch.result import Method, Request
from asyncfetch.url import redacted

__all__ = ["Place", "Sources", "open_sources"]

_BATCH = 1000
_WAITING_MOST = 100_000  # entries that wait in memory when a job goes on; of a file, more are read again
_ENOUGH_TO_KNOW = 4  # bytes that tell gzip, a byte order mark or a program from text
_WAIT_FOR_READER = 1.0
_LIKE_A_HOST = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,}(?::\d+)?(?:/.*)?|localhost(?::\d+)?(?:/.*)?", re.IGNORECASE)
_LIKE_A_FILE = re.compile(r"[^/]*\.(?:txt|te?xt|csv|tsv|jsonl?|gz|zst|xml|li?st|urls?|dat|log)", re.IGNORECASE)


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where an entry stands: `Request.context` of what comes from a file.

    Attributes:
        source: the file, as it was given; `-` is stdin.
        line: its line in that file, from 1, blank lines and comments counted.
    """

    source: str
    line: int

    def __str__(self) -> str:
        return f"{'standard input' if self.source == '-' else self.source}, line {self.line}"


@dataclass(frozen=True, slots=True)
class _Source:
    """One source that has been looked at.

    Attributes:
        name: as it was given, printable.
        url: the URL, if it is one.
        path: the file to open, if it is one.
        stream: stdin, or None.
        regular: a file of a known length, whose reading never waits long.
    """

    name: str
    url: str = ""
    path: str = ""
    stream: BinaryIO | None = None
    regular: bool = False


class Sources:
    """All sources as one asynchronous iterator of numbered requests. Made by `open_sources`.

    It can be iterated once, by one task. An entry that cannot be a URL has `Request.invalid` set.

    Attributes:
        count: entries read so far.
        total: entries in all, known when everything has been read; None before, and after an error.
        error: why the reading ended too early, or None. Iterating then simply ends; `batch` raises it.
        files: (device, inode) of every regular file among the sources.
    """

    def __init__(
        self, sources: Sequence[_Source], files: Iterable[tuple[int, int]] = (), *, method: Method = "GET"
    ) -> None:
        self.count = 0
        self.total: int | None = None
        self.error: SourceError | None = None
        self.files = frozenset(files)
        self._unread: Iterator[Request] = iter(())
        self._method = method
        self._sources = sources
        self._batches = self._read()
        self._done: Positions | None = None
        self._fingerprint: Fingerprint | None = None
        self._reading = threading.Lock()
        self._closed = False
        self._wake = None if all(s.regular or s.url for s in sources) else os.pipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Request:
        request = next(self._unread, None)
        if request is None:
            with contextlib.suppress(SourceError):
                self._unread = iter(await self.batch())
            request = next(self._unread, None)
            if request is None:
                raise StopAsyncIteration
        return request

    async def batch(self) -> list[Request]:
        """Return the next entries, 1 to 1000, as soon as there are any; an empty list at the end and once closed.

        Being cancelled closes the sources.

        Raises:
            SourceError: a source could not be read to its end. What came before has been returned.
        """
        try:
            return await anyio.to_thread.run_sync(self._next_batch, abandon_on_cancel=True)
        except SourceError as error:
            self.error = error
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop reading and close the files. A `batch` that waits returns an empty list. Can be called again."""
        if self._closed:
            return
        self._closed = True
        if self._wake is not None:
            os.write(self._wake[1], b"\0")
        if not self._reading.acquire(timeout=_WAIT_FOR_READER):
            return  # a read that hangs, on a dead network drive for instance: nothing can be done for it
        self._batches.close()
        for descriptor in self._wake or ():
            os.close(descriptor)
        self._reading.release()

    def go_on(self, done: Positions | None, fingerprint: Fingerprint) -> None:
        """Leave out what is done, and let all entries be taken in by a fingerprint.

        If it has entries to compare, these are read now; what is missing of them waits in memory. Files with very
        much of that are read again instead. To be called before the first `batch`.

        Raises:
            InputDiffers: what was read before is not the same any more, or not there.
            SourceError: a source cannot be read.
        """
        self._done, self._fingerprint = done, fingerprint
        waiting: list[list[Request]] = []
        number = 0
        while fingerprint.is_checking:
            batch = next(self._batches, None)
            if batch is None:
                raise InputDiffers([], self._sources[-1].name)
            if batch:
                waiting.append(batch)
                number += len(batch)
        if number > _WAITING_MOST and self._wake is None:
            self._batches.close()
            self.count, self.total = 0, None
            self._batches = self._read()
        else:
            self._batches = _in_turn(waiting, self._batches)

    def _next_batch(self) -> list[Request]:
        with self._reading:
            return [] if self._closed else next(filter(None, self._batches), [])

    def _read(self) -> Generator[list[Request]]:
        for source in self._sources:
            if source.url:
                yield self._requests("", [Line(0, source.url, "")])
                continue
            for lines in self._lines_of(source):
                for start in range(0, len(lines), _BATCH):
                    yield self._requests(source.name, lines[start : start + _BATCH])
        if not self._closed:
            self.total = self.count

    def _requests(self, name: str, lines: list[Line]) -> list[Request]:
        """Number some entries; those that are done already become no requests."""
        first = self.count + 1
        self.count += len(lines)
        if self._fingerprint is not None:
            self._fingerprint.feed(name, first, lines)
        if self._done is not None or not name:
            done = () if self._done is None else self._done
            return [self._request(name, line, i) for i, line in enumerate(lines, first) if i not in done]
        return [
            Request(line.text, index, self._method, context=Place(name, line.number), invalid=line.fault)
            for index, line in enumerate(lines, first)
        ]

    def _request(self, name: str, line: Line, index: int) -> Request:
        place = Place(name, line.number) if name else None
        return Request(line.text, index, self._method, context=place, invalid=line.fault)

    def _lines_of(self, source: _Source) -> Iterator[list[Line]]:
        with contextlib.closing(self._blocks_of(source)) as blocks:
            try:
                yield from _split(source.name, blocks)
            except (OSError, EOFError, zlib.error) as error:
                raise _cut_short(source.name, error) from error

    def _blocks_of(self, source: _Source) -> Generator[bytes]:
        if source.stream is not None:
            yield from self._stream_blocks(source.stream, regular=source.regular)
            return
        descriptor = os.open(source.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            yield from self._blocks(descriptor, regular=source.regular)
        finally:
            os.close(descriptor)

    def _stream_blocks(self, stream: BinaryIO, *, regular: bool) -> Iterator[bytes]:
        try:
            descriptor = stream.fileno()
        except (OSError, ValueError, AttributeError):
            return iter(lambda: stream.read(BLOCK), b"")
        return self._blocks(descriptor, regular=regular)

    def _blocks(self, descriptor: int, *, regular: bool) -> Iterator[bytes]:
        while not self._closed and (regular or self._is_readable(descriptor)):
            try:
                block = os.read(descriptor, BLOCK)
            except BlockingIOError:
                continue
            if not block:
                return
            yield block

    def _is_readable(self, descriptor: int) -> bool:
        """Wait until there is something to read, or the end; False when the sources are closed instead."""
        if self._wake is not None and hasattr(select, "poll"):
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.register(self._wake[0], select.POLLIN)
            poll.poll()
        return not self._closed


def _in_turn(first: list[list[Request]], then: Generator[list[Request]]) -> Generator[list[Request]]:
    with contextlib.closing(then):
        yield from first
        yield from then


def _split(name: str, blocks: Iterator[bytes]) -> Iterator[list[Line]]:
    """Give the entries of one source, block by block; decompress it if it is gzip.

    Raises:
        SourceError: it is no list of URLs, or corrupt.
    """
    head = _head(blocks)
    plain: Iterator[bytes] = chain((head,), blocks)
    if head.startswith(GZIP_MAGIC):
        plain = gunzipped(plain)
        head = _head(plain)
        plain = chain((head,), plain)
    if why := why_not_lines(head):
        raise SourceError(name, why)
    splitter = LineSplitter()
    for block in plain:
        yield splitter.feed(block)
    yield splitter.finish()


def _head(blocks: Iterator[bytes]) -> bytes:
    """Take as much as it needs to know what this is: more than one block only if a pipe gives very short ones."""
    head = b""
    for block in blocks:
        head += block
        if len(head) >= _ENOUGH_TO_KNOW or b"\n" in head:
            break
    return head


def _cut_short(name: str, error: Exception) -> SourceError:
    if isinstance(error, OSError):
        return SourceError(name, f"cannot be read: {reason_of(error)}")
    if isinstance(error, EOFError):
        return SourceError(name, "ends too early: its gzip data was cut short")
    return SourceError(name, "is corrupt: its gzip data cannot be decompressed")


def open_sources(specs: Iterable[str], stdin: BinaryIO | None = None, *, method: Method = "GET") -> Sources:
    """Look at every source and return them as one input; nothing is taken from pipes and stdin yet.

    Args:
        specs: URLs (with `://`), names of files, or `-`.
        stdin: the binary stream for `-`. It is read but never closed.
        method: of every request.

    Raises:
        SourceError: one of them is missing, unreadable, a directory, binary, in another encoding, a gzip file
            without a whole first block, or stdin for the second time.
    """
    sources: list[_Source] = []
    files: list[tuple[int, int]] = []
    for spec in specs:
        if spec == "-":
            sources.append(_look_at_stdin(stdin, again=any(source.stream for source in sources)))
        elif "://" in spec:
            sources.append(_Source(spec, url=spec))
        else:
            sources.append(_look_at_file(spec, files))
    return Sources(sources, files, method=method)


def _look_at_stdin(stdin: BinaryIO | None, *, again: bool) -> _Source:
    if stdin is None:
        raise SourceError("-", "is not open")
    if again:
        raise SourceError("-", "can be read only once, but is named twice")
    try:
        mode = os.fstat(stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        mode = 0
    return _Source("-", stream=stdin, regular=stat.S_ISREG(mode))


def _look_at_file(spec: str, files: list[tuple[int, int]]) -> _Source:
    name = spec.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    try:
        found = Path(spec).stat()
    except (OSError, ValueError) as error:
        raise SourceError(_without_password(name), _why_not_found(spec, error)) from error
    kind = stat.S_IFMT(found.st_mode)
    if kind in _NO_FILES:
        raise SourceError(name, _NO_FILES[kind])
    if kind != stat.S_IFREG:
        if not os.access(spec, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
            raise SourceError(name, "cannot be read: permission denied")
        return _Source(name, path=spec)
    _look_inside(name, spec)
    files.append((found.st_dev, found.st_ino))
    return _Source(name, path=spec, regular=True)


_NO_FILES = {
    stat.S_IFDIR: "is a directory; name the files in it",
    stat.S_IFSOCK: "is a socket, not a file of URLs",
    stat.S_IFBLK: "is a block device, not a file of URLs",
}


def _look_inside(name: str, path: str) -> None:
    """Read the beginning of a regular file.

    Raises:
        SourceError: it cannot be read, or is no list of URLs.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(BLOCK)
        if head.startswith(GZIP_MAGIC):
            head = next(gunzipped((head,)), b"")
    except (OSError, EOFError, zlib.error) as error:
        raise _cut_short(name, error) from error
    if not head and path.endswith(".gz"):
        raise _cut_short(name, EOFError())
    if why := why_not_lines(head):
        raise SourceError(name, why)


def _without_password(name: str) -> str:
    """Return a name as it may be shown: what is no file may be a URL that lacks its scheme."""
    return redacted(name) if ":" in name.partition("@")[0] else name


def _why_not_found(spec: str, error: Exception) -> str:
    if not isinstance(error, OSError):
        return "is not the name of a file"
    if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
        return f"cannot be read: {reason_of(error)}"
    if _LIKE_A_HOST.fullmatch(spec) and not _LIKE_A_FILE.fullmatch(spec):
        return f"does not exist; if it is a URL, write {shown('https://' + spec)}"
    return "does not exist"
