"""Where the list comes from: URLs, files, standard input and sitemaps, as one numbered input.

`open_sources` looks at every source before the first request (`looking`). `Sources` then reads them one after the
other, a block at a time in a thread: a list of any length costs the memory of one block, a slow pipe delays nobody,
and a line that comes through a pipe is an entry at once. Bytes come from `blocks`, through `packing`; what an entry
is stands in `lines` and `formats`, that of a site in `sitemaps`; which are wanted says `selection`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import chain, count, repeat
from typing import TYPE_CHECKING, BinaryIO, Self

import anyio
import anyio.to_thread
import msgspec

from asyncfetch.job.blocks import BlockReader
from asyncfetch.job.errors import SourceError, reason_of
from asyncfetch.job.fingerprint import Fingerprint, InputDiffers
from asyncfetch.job.formats import Row, make_reader, why_not
from asyncfetch.job.inputs import InputSettings
from asyncfetch.job.lines import Line
from asyncfetch.job.looking import Look, Source
from asyncfetch.job.packing import Unreadable, take_head, unpacked
from asyncfetch.job.recorded import Positions
from asyncfetch.job.selection import Selection
from asyncfetch.job.sitemaps import CalledOff, Named, SitemapFetcher, SitemapWalk
from asyncfetch.result import Request

if TYPE_CHECKING:
    from asyncfetch.client import Client

__all__ = ["Place", "Sources", "open_sources"]

_BATCH = 1000
_WAITING_MOST = 100_000  # entries that wait in memory when a job goes on; of a file, more are read again
_WAIT_FOR_READER = 1.0


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


class Sources:
    """All sources as one asynchronous iterator of numbered requests. Made by `open_sources`.

    It can be iterated once, by one task. An entry that cannot be a URL has `Request.invalid` set.

    Attributes:
        count: entries read so far, those that were left out included.
        total: entries that are wanted in all, known when everything has been read; None before, and after an error.
        error: why the reading ended too early, or None. Iterating then simply ends; `batch` raises it.
        files: (device, inode) of every regular file among the sources.
        settings: how they are read.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        files: Iterable[tuple[int, int]] = (),
        *,
        settings: InputSettings | None = None,
        fetcher: SitemapFetcher | None = None,
    ) -> None:
        self.count = 0
        self.total: int | None = None
        self.error: SourceError | None = None
        self.files = frozenset(files)
        self.settings = settings or InputSettings()
        self._unread: Iterator[Request] = iter(())
        self._method = self.settings.method
        self._sources = sources
        self._fetcher = fetcher or SitemapFetcher()
        self._selection: Selection | None = None
        self._batches = self._read()
        self._done: Positions | None = None
        self._fingerprint: Fingerprint | None = None
        self._reading = threading.Lock()
        self._blocks = BlockReader(may_wait=not all(s.regular or s.is_entry for s in sources))

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

    @property
    def left_out(self) -> int:
        """Entries read so far that are not wanted."""
        return 0 if self._selection is None else self._selection.left_out

    @property
    def sitemaps(self) -> int:
        """Sitemaps that were fetched so far."""
        return self._fetcher.count

    async def batch(self) -> list[Request]:
        """Return the next entries, 1 to 1000, as soon as there are any; an empty list at the end and once closed.

        Being cancelled closes the sources.

        Raises:
            SourceError: a source could not be read to its end. What came before has been returned.
        """
        try:
            return await anyio.to_thread.run_sync(self.next_batch, abandon_on_cancel=True)
        except SourceError as error:
            self.error = error
            raise
        except BaseException:
            self.close()
            raise

    def next_batch(self) -> list[Request]:
        """Do what `batch` does in this thread, which waits.

        Raises:
            SourceError: as `batch`.
        """
        with self._reading:
            return [] if self._blocks.closed else next(filter(None, self._batches), [])

    def close(self) -> None:
        """Stop reading and close the files. A `batch` that waits returns an empty list. Can be called again."""
        if self._blocks.closed:
            return
        self._blocks.call_off()
        self._fetcher.call_off()
        if not self._reading.acquire(timeout=_WAIT_FOR_READER):
            return  # a read that hangs, on a dead network drive for instance: nothing can be done for it
        self._batches.close()
        self._blocks.release()
        self._fetcher.close()
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
        if number > _WAITING_MOST and not self._blocks.may_wait:
            self._batches.close()
            self.count, self.total = 0, None
            self._batches = self._read()
        else:
            self._batches = _in_turn(waiting, self._batches)

    # --- from entries to requests

    def _read(self) -> Generator[list[Request]]:
        selection = self._selection = Selection(self.settings) if self.settings.leaves_out else None
        for source in self._sources:
            with contextlib.closing(self._entries_of(source)) as entries:
                for name, lines in entries:
                    for start in range(0, len(lines), _BATCH):
                        yield self._requests(name, lines[start : start + _BATCH])
                        if selection is not None and selection.is_full:
                            self.total = selection.kept
                            return
        if not self._blocks.closed:
            self.total = self.count if selection is None else selection.kept

    def _requests(self, name: str, lines: list[Line]) -> list[Request]:
        """Number some entries; those that are done already, or not wanted, become no requests."""
        chosen = None if self._selection is None else self._selection.choose(lines)
        if chosen is not None:
            lines = lines[: len(chosen)]
        first = self.count + 1
        self.count += len(lines)
        if self._fingerprint is not None:
            self._fingerprint.feed(name, first, lines)
        if self._done is not None or chosen is not None or not name or type(lines[0]) is Row:
            done = () if self._done is None else self._done
            return [
                self._request(name, line, index)
                for index, line in enumerate(lines, first)
                if index not in done and (chosen is None or chosen[index - first])
            ]
        numbers, texts, faults = zip(*map(msgspec.structs.astuple, lines), strict=True)
        places, nothing = map(Place, repeat(name), numbers), repeat(None)
        columns = (texts, count(first), repeat(self._method), nothing, nothing, nothing, nothing, places, faults)
        return list(map(Request, *columns))

    def _request(self, name: str, line: Line, index: int) -> Request:
        place = Place(name, line.number) if name else None
        request = Request(line.text, index, self._method, context=place, invalid=line.fault)
        if isinstance(line, Row):
            request.id, request.name, request.sha256 = line.id, line.name, line.sha256
            request.headers, request.max_time = line.headers, line.max_time
        return request

    # --- from sources to entries

    def _entries_of(self, source: Source) -> Generator[Named]:
        """Give the entries of one source, block by block; those of an index with the names of its sitemaps.

        Raises:
            SourceError: it is no list of URLs, is corrupt, or cannot be read to its end.
        """
        if source.is_entry:
            yield "", [Line(0, source.url, "")]
            return
        try:
            if source.format == "sitemap":
                yield from self._sitemap(source)
            else:
                yield from self._list(source)
        except CalledOff:
            return
        except OSError as error:
            raise SourceError(source.name, f"cannot be read: {reason_of(error)}") from error
        except Unreadable as error:
            if not self._blocks.closed:
                raise SourceError(source.name, error.detail) from error

    def _sitemap(self, source: Source) -> Iterator[Named]:
        walk = SitemapWalk(self._fetcher, self.settings.credentials)
        if source.url:
            yield from walk.of_url(source.url)
            return
        with contextlib.closing(self._blocks_of(source)) as blocks:
            yield from walk.of_file(source.name, unpacked(blocks))

    def _list(self, source: Source) -> Iterator[Named]:
        with contextlib.closing(self._blocks_of(source)) as blocks:
            plain = unpacked(blocks)
            head = take_head(plain)
            if why := why_not(head, source.format):
                raise Unreadable(why)
            reader = make_reader(source.format, self.settings.url_field)
            for block in chain((head,), plain):
                yield source.name, reader.feed(block)
            yield source.name, reader.finish()

    def _blocks_of(self, source: Source) -> Generator[bytes]:
        if source.stream is None:
            yield from self._blocks.of_file(source.path, regular=source.regular)
        else:
            yield from self._blocks.of_stream(source.stream, regular=source.regular)


def _in_turn(first: list[list[Request]], then: Generator[list[Request]]) -> Generator[list[Request]]:
    with contextlib.closing(then):
        yield from first
        yield from then


def open_sources(
    specs: Iterable[str],
    stdin: BinaryIO | None = None,
    *,
    settings: InputSettings | None = None,
    open_client: Callable[[], Client] | None = None,
) -> Sources:
    """Look at every source and return them as one input; nothing is taken from pipes and stdin yet.

    Args:
        specs: URLs (with `://`), names of files, or `-`.
        stdin: the binary stream for `-`. It is read but never closed.
        settings: how they are read, and further sitemaps.
        open_client: makes the client that fetches sitemaps; None takes one without settings.

    Raises:
        SourceError: one of them is missing, unreadable, a directory, binary, in another encoding or format, cut
            within its first block, a sitemap that cannot be fetched, or stdin for the second time.
    """
    settings = settings or InputSettings()
    fetcher = SitemapFetcher(open_client, settings.within)
    look = Look(stdin, settings, fetcher)
    try:
        sources = [look.at(spec) for spec in specs]
        sources += [look.at(spec, "sitemap") for spec in settings.sitemaps]
    except BaseException:
        fetcher.call_off()
        fetcher.close()
        raise
    return Sources(sources, look.files, settings=settings, fetcher=fetcher)
