"""From results to lines and files: one thread writes them, one batch after the other.

A result is written two milliseconds after it came, or when 16 wait, with all that is there (`batches`). When 32
wait or are being written, `put` asks the run to wait, and before that it brings no more than there is `room` for;
the command lets 32 more wait in the client, and a kill costs no more than these 64 and what is in flight. Results
for which nothing was sent (the host was given up, the URL is invalid) cost nothing to get again: 500 of them may
wait. A body has its file before its line is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from asyncfetch.errors import LocalError
from asyncfetch.job.batches import BatchThread
from asyncfetch.job.errors import JobError, JournalError, OutputError
from asyncfetch.job.filesink import FileSink
from asyncfetch.job.journal import Journal
from asyncfetch.job.outcome import JobOutcome
from asyncfetch.job.preparing import AlreadyThere, Preparer, Unchanged
from asyncfetch.job.safeguard import Safeguard
from asyncfetch.record import Record
from asyncfetch.result import Result

if TYPE_CHECKING:
    from asyncfetch.job.bodies import Bodies

__all__ = ["Recorder"]

_ENOUGH = 16  # results that are worth a batch
_MOST = 32  # results that wait here or are being written
_UNSENT = 500  # the same, if nothing was sent for them
_SYNC_EVERY = 1.0  # seconds
_attempts, _index = attrgetter("attempts"), attrgetter("index")


class Recorder:
    """Writes results down. `run` is a task; the others are called in the same loop.

    Attributes:
        outcome: counts what has been written down.
        failure: why nothing can be recorded, or no body saved, any more; or None.
    """

    def __init__(
        self,
        journal: Journal | None,
        bodies: Bodies | None,
        outcome: JobOutcome,
        *,
        on_failure: Callable[[JobError], None],
        safeguard: Safeguard | None = None,
        preparer: Preparer | None = None,
    ) -> None:
        self.outcome = outcome
        self.failure: JobError | None = None
        self._journal = journal
        self._bodies = bodies
        self._on_failure = on_failure
        self._safeguard = safeguard
        self._preparer = preparer
        self._is_broken = False  # the results file ends here
        is_needed = journal is not None or bodies is not None
        self._writer = BatchThread(self._record, _ENOUGH, _UNSENT) if is_needed else None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def room(self) -> int:
        """How many results for which something was sent may come next, 1 or more."""
        return _MOST if self._writer is None else max(1, _MOST - self._writer.waiting)

    def put(self, results: list[Result]) -> bool:
        """Take some results; False asks to wait for `has_room` before the next ones."""
        writer = self._writer
        if writer is None:
            self._write(results)
            return True
        return writer.put(results) < (_MOST if any(map(_attempts, results)) else _UNSENT)

    async def has_room(self) -> None:
        """Wait until results that wait have been written."""
        if self._writer is not None:
            await self._writer.has_room(_ENOUGH)

    def close(self) -> None:
        """Let `run` write what is left, and return."""
        if self._writer is not None:
            self._writer.close()

    async def run(self) -> None:
        """Write until `close`, and sync once a second and at the end. Cancelling it changes nothing."""
        if self._writer is None:
            return
        self._loop = asyncio.get_running_loop()
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._sync_now_and_then)
                await self._writer.run()
                tasks.cancel_scope.cancel()
            await self._sync()

    async def _sync_now_and_then(self) -> None:
        while True:
            await anyio.sleep(_SYNC_EVERY)
            await self._sync()

    async def _sync(self) -> None:
        if self._journal is None:
            return
        try:
            await anyio.to_thread.run_sync(self._journal.sync)
        except JournalError as error:
            self._is_broken = True
            self._fail(error)

    def _fail(self, error: JobError) -> None:
        if self.failure is None:
            self.failure = self.outcome.error = error
            self._on_failure(error)

    # --- in the thread

    def _record(self, batch: list[Result]) -> None:
        """Write a batch; what goes wrong is told in the event loop."""
        try:
            self._write(batch)
        except JobError as error:
            if isinstance(error, JournalError):
                self._is_broken = True  # before the next batch
            assert self._loop is not None, "run() has begun"
            self._loop.call_soon_threadsafe(self._fail, error)

    def _write(self, batch: list[Result]) -> None:
        """Save the bodies and append the lines of a batch.

        Raises:
            JobError: not all of it could be written; what could is.
        """
        if self._is_broken:
            return  # no line, no file
        if self._preparer is not None:
            for result in batch:
                self._preparer.settle(result)
        if self._bodies is None:
            self._append(batch, [] if self._preparer is None else [""] * len(batch))
            return
        saved: list[Result] = []
        paths: list[str] = []
        failure: OutputError | None = None
        for result in batch:
            try:
                paths.append(self._save(result, self._bodies))
            except OutputError as error:
                failure = error
            else:
                saved.append(result)
        self._append(saved, paths)
        if failure is not None:
            raise failure

    def _save(self, result: Result, bodies: Bodies) -> str:
        """Save the body of a result, if it is to be saved, and return its path.

        Raises:
            OutputError: this result is not to be recorded: its body has been lost, here or on its way.
        """
        failure = bodies.failure
        if failure is not None and isinstance(result.error, LocalError):
            raise failure
        sink = result.sink
        if isinstance(sink, FileSink):
            if result.error is None and sink.is_complete:
                return bodies.save(sink)
            sink.leave()
        return ""

    def _append(self, results: list[Result], paths: list[str]) -> None:
        """Append a line for each result, and count those that have one.

        Args:
            results: whose bodies, if they are to be saved, have been saved.
            paths: of the saved body of each, or ""; none at all if there can be nothing to say about bodies.

        Raises:
            JournalError: not all have one; the bodies of the others have been removed again.
        """
        recorded = len(results)
        try:
            if self._safeguard is not None and results:
                self._safeguard.cover(max(map(_index, results)))
            if self._journal is not None:
                self._journal.write(_records_of(results, paths))
            if self._safeguard is not None:
                self._safeguard.recorded()
        except JournalError as error:
            recorded = error.written
            raise
        finally:
            self._count(results[:recorded], paths)
            for path in paths[recorded:]:
                self._forget(path)

    def _count(self, results: list[Result], paths: list[str]) -> None:
        outcome = self.outcome
        outcome.count(results)
        for result, path in zip(results, paths, strict=False):
            sink = result.sink
            if sink is None:
                continue
            if path:
                outcome.count_saved(sink.size)
            else:
                outcome.skipped += isinstance(sink, AlreadyThere)
                outcome.unchanged += isinstance(sink, Unchanged)

    def _forget(self, path: str) -> None:
        if path and self._bodies is not None:
            self._bodies.remove(path)


def _records_of(results: list[Result], paths: list[str]) -> list[Record]:
    records = list(map(Record.of, results))
    for record, result, path in zip(records, results, paths, strict=False):
        sink = result.sink
        if sink is None:
            continue
        if path:
            record.path, record.sha256 = path, sink.sha256
        elif isinstance(sink, AlreadyThere | Unchanged):
            sink.describe(record)
    return records
