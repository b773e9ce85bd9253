"""From results to lines and files: collects for a moment, then writes in a thread, one batch at a time.

A batch is written when it has 20 results, or 10 ms after its first one. While it is being written the next one is
collected; when that is full too, `put` asks the run to wait. So at most 40 results are here without having been
given to the kernel; the command lets 24 more wait in the client, and a kill costs no more than these 64 and what is
in flight. Results for which nothing was sent (the host was given up, the URL is invalid) cost nothing to get again:
up to 500 of them are one batch. A body has its file before its line is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
import anyio.to_thread

from asyncfetch.errors import LocalError
from asyncfetch.job.bodies import Bodies, FileSink
from asyncfetch.job.errors import JobError, JournalError, OutputError
from asyncfetch.job.journal import Journal
from asyncfetch.job.outcome import JobOutcome
from asyncfetch.job.preparing import AlreadyThere, Preparer, Unchanged
from asyncfetch.job.safeguard import Safeguard
from asyncfetch.record import Record
from asyncfetch.result import Result

__all__ = ["Recorder"]

_BATCH = 20  # results
_UNSENT = 500  # results for which nothing was sent
_PATIENCE = 0.01  # seconds
_SYNC_EVERY = 1.0  # seconds


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
        self._waiting: list[Result] = []
        self._some = asyncio.Event()
        self._many = asyncio.Event()
        self._room = asyncio.Event()
        self._is_full = self._closed = self._ended = False

    def put(self, result: Result) -> bool:
        """Take a result; False asks to wait for `has_room` before the next one."""
        waiting = self._waiting
        waiting.append(result)
        if len(waiting) == 1:
            self._some.set()
        elif len(waiting) % _BATCH == 0 and not self._is_full:
            self._is_full = len(waiting) >= _UNSENT or any(late.attempts for late in waiting[-_BATCH:])
            if self._is_full:
                self._many.set()
        return not self._is_full

    async def has_room(self) -> None:
        """Wait until the results that wait are being written."""
        self._room.clear()
        if not self._ended:
            await self._room.wait()

    def close(self) -> None:
        """Let `run` write what is left, and return."""
        self._closed = True
        self._some.set()
        self._many.set()

    async def run(self) -> None:
        """Write until `close`, and sync once a second and at the end. Cancelling it changes nothing."""
        try:
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._sync_now_and_then)
                    while self._waiting or not self._closed:
                        await self._collect()
                        await self._flush()
                    tasks.cancel_scope.cancel()
                await self._sync()
        finally:
            self._ended = True
            self._room.set()

    async def _collect(self) -> None:
        await self._some.wait()
        if not self._is_full and not self._closed:
            with anyio.move_on_after(_PATIENCE):
                await self._many.wait()

    async def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        self._is_full = False
        if not self._closed:
            self._some.clear()
            self._many.clear()
        self._room.set()
        if self._journal is None and self._bodies is None:
            self._write(batch)
        elif batch:
            await self._in_thread(self._write, batch)

    async def _sync_now_and_then(self) -> None:
        while True:
            await anyio.sleep(_SYNC_EVERY)
            await self._sync()

    async def _sync(self) -> None:
        if self._journal is not None:
            await self._in_thread(self._journal.sync)

    async def _in_thread(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            await anyio.to_thread.run_sync(function, *arguments)
        except JobError as error:
            self._fail(error)

    def _fail(self, error: JobError) -> None:
        if self.failure is None:
            self.failure = self.outcome.error = error
            self._on_failure(error)

    # --- in the thread

    def _write(self, batch: list[Result]) -> None:
        """Save the bodies and append the lines of a batch.

        Raises:
            JobError: not all of it could be written; what could is.
        """
        if isinstance(self.failure, JournalError):
            return  # no line, no file
        saved: list[tuple[Result, str]] = []
        failure: OutputError | None = None
        for result in batch:
            if self._preparer is not None:
                self._preparer.settle(result)
            try:
                saved.append((result, self._save(result)))
            except OutputError as error:
                failure = error
        self._append(saved)
        if failure is not None:
            raise failure

    def _save(self, result: Result) -> str:
        """Save the body of a result, if it is to be saved, and return its path.

        Raises:
            OutputError: this result is not to be recorded: its body has been lost, here or on its way.
        """
        if self._bodies is None:
            return ""
        failure = self._bodies.failure
        if failure is not None and isinstance(result.error, LocalError):
            raise failure
        sink = result.sink
        if isinstance(sink, FileSink):
            if result.error is None and sink.is_complete:
                return self._bodies.save(sink)
            sink.leave()
        return ""

    def _append(self, saved: list[tuple[Result, str]]) -> None:
        """Append a line for each result, and count those that have one.

        Raises:
            JournalError: not all have one; the bodies of the others have been removed again.
        """
        recorded = len(saved)
        try:
            if self._safeguard is not None and saved:
                self._safeguard.cover(max([result.index for result, _ in saved]))
            if self._journal is not None:
                self._journal.write([_record_of(result, path) for result, path in saved])
            if self._safeguard is not None:
                self._safeguard.recorded()
        except JournalError as error:
            recorded = error.written
            raise
        finally:
            for result, path in saved[:recorded]:
                self.outcome.count(result, result.sink.size if path else None)
                if result.sink is not None:
                    self.outcome.skipped += isinstance(result.sink, AlreadyThere)
                    self.outcome.unchanged += isinstance(result.sink, Unchanged)
            for _, path in saved[recorded:]:
                self._forget(path)

    def _forget(self, path: str) -> None:
        if path and self._bodies is not None:
            self._bodies.remove(path)


def _record_of(result: Result, path: str) -> Record:
    record = Record.of(result)
    if path:
        record.path, record.sha256 = path, result.sink.sha256
    elif isinstance(result.sink, AlreadyThere | Unchanged):
        result.sink.describe(record)
    return record
