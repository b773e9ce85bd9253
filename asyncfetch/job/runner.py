"""The run: source -> client -> bodies and journal, up to the end of the list or to an earlier one in good order.

What is fetched when is the client's; what is written when is `recorder`'s; this file knows why a run ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from asyncfetch.client import Batched
from asyncfetch.errors import FetchError, InvalidURL, LocalError
from asyncfetch.job.ends import DEADLINE, FEW_HOSTS, MAX_FAILURES, TAIL_RATE, Ends, Tail, TailSeen
from asyncfetch.job.errors import JobError, JournalError, OverflowFailed, SourceError
from asyncfetch.job.filesink import DiscardSink
from asyncfetch.job.journal import Journal
from asyncfetch.job.outcome import JobOutcome
from asyncfetch.job.recorder import Recorder
from asyncfetch.job.safeguard import Safeguard
from asyncfetch.job.sources import Place, Sources
from asyncfetch.result import Request, Response, Result

if TYPE_CHECKING:
    from asyncfetch.client import Client, FetchMany, PartialFactory, Sink
    from asyncfetch.job.bodies import Bodies
    from asyncfetch.job.preparing import Preparer

__all__ = ["Job"]

_DISCARD = DiscardSink()
_LOOK_EVERY = 1.0  # seconds
_GIVING_BACK = 1.0  # seconds that the client has to close what is in flight, when a run is cancelled


class Job:
    """One run of a list. The sources, the journal and the bodies stay the caller's to close.

    Attributes:
        outcome: what has been done so far.
    """

    def __init__(
        self,
        client: Client,
        sources: Sources,
        *,
        journal: Journal | None = None,
        bodies: Bodies | None = None,
        safeguard: Safeguard | None = None,
        preparer: Preparer | None = None,
        ends: Ends | None = None,
        on_result: Callable[[Result], None] | None = None,
        on_tail: Callable[[TailSeen], None] | None = None,
    ) -> None:
        """Prepare a run; nothing is touched before `run`.

        Args:
            client: fetches; it is open, and stays so.
            sources: the list.
            journal: where results are recorded, or None.
            bodies: where bodies of ok results are saved; None counts them and throws them away as they come.
            safeguard: keeps what it takes to go on with the job after an interruption, beside the journal.
            preparer: looks at every entry first, and may know its result already.
            ends: when to stop before the end of the list; None never does.
            on_result: called with each result as it comes, in the event loop; it should be quick. Messages
                about invalid entries then name their file and line.
            on_tail: called once, when only a few hosts are left and hardly anything comes.

        Raises:
            JournalError: the results file is one of the sources.
        """
        if journal is not None and journal.file in sources.files:
            raise JournalError(journal.name, "is one of the sources; it would be overwritten")
        self.outcome = JobOutcome()
        if journal is not None and journal.recorded is not None:
            self.outcome.earlier = len(journal.recorded.done)
            self.outcome.earlier_failed = len(journal.recorded.failed)
        self._client = client
        self._sources = sources
        self._journal = journal
        self._bodies = bodies
        self._ends = ends or Ends()
        self._counts_failures = self._ends.counts_failures
        self._on_result = on_result or _ignore
        self._on_tail = on_tail
        self._failures = self._done = self._ready = 0
        self._safeguard = safeguard
        self._preparer = preparer
        self._recorder = Recorder(
            journal, bodies, self.outcome, on_failure=self._broken, safeguard=safeguard, preparer=preparer
        )
        self._deadline = inf
        self._fetching: anyio.CancelScope | None = None
        self._results: FetchMany | None = None

    async def run(self) -> JobOutcome:
        """Fetch and record the list, to its end or until it is stopped; may be called once.

        It returns when everything is written and given back. Cancelling it gives up what is in flight, writes what
        has been fetched, and raises.

        Raises:
            JournalError: the results file cannot be emptied at the start. All later errors are in the outcome.
        """
        if self._safeguard is not None:
            await anyio.to_thread.run_sync(self._safeguard.begin)
        elif self._journal is not None:
            self._journal.begin()
        self._results = self._client.fetch_many(Batched(self._entries), sink=self._sink, partial=self._partial())
        if self.outcome.stopped_by is not None:
            self._results.stop()
        self._fetching = anyio.CancelScope(deadline=self._deadline)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._recorder.run)
            watching = anyio.CancelScope()
            tasks.start_soon(self._watch, watching)
            try:
                with self._fetching:
                    await self._take_all(self._results)
            except LocalError as error:  # not of one URL: the list itself has ended with it
                self.outcome.error = OverflowFailed("the list", error.detail)
            finally:
                watching.cancel()
                await self._give_back(self._results)
                self._recorder.close()
        self.outcome.entries = self._sources.total
        self.outcome.error = self.outcome.error or self._sources.error
        return self.outcome

    def stop(self, reason: str, grace: float = 0.0) -> None:
        """End the run early: start nothing more, and give what is in flight `grace` seconds.

        Results that are there are still recorded; what has not ended by then has no record. Called again, it can
        only shorten the time. To be called in the event loop.

        Args:
            reason: for `JobOutcome.stopped_by`; the first one counts.
            grace: seconds.
        """
        if self.outcome.stopped_by is None:
            self.outcome.stopped_by = reason
        self._end(grace)

    def _end(self, grace: float) -> None:
        if self._preparer is not None:
            self._preparer.stop()
        self._deadline = min(self._deadline, anyio.current_time() + grace)
        if self._fetching is not None:
            self._fetching.deadline = self._deadline
        if self._results is not None:
            self._results.stop()

    def _broken(self, _: JobError) -> None:
        """Stop at once: nothing more can be written."""
        self._end(0.0)

    async def _entries(self) -> list[Request]:
        """Return the next entries that are to be fetched; the results of the others are taken at once."""
        with contextlib.suppress(SourceError):  # `sources.error` says it
            while batch := await self._sources.batch():
                wanted = batch if self._preparer is None else await self._prepare(batch, self._preparer)
                if wanted:
                    return wanted
        return []

    async def _prepare(self, batch: list[Request], preparer: Preparer) -> list[Request]:
        requests, results = await anyio.to_thread.run_sync(preparer.look_at, batch)
        self._ready += len(results)
        for result in results:
            self._client.stats.ended(None, result)
            self._on_result(result)
            if not self._recorder.put([result]):
                await self._recorder.has_room()
        return requests

    async def _take_all(self, fetching: FetchMany) -> None:
        while results := await fetching.some(self._recorder.room):
            try:
                for result in results:
                    self._done += 1
                    if result.error is not None:
                        self._note_failure(result.error, result.request)
                    self._on_result(result)
            finally:  # all of them are recorded, though the callback raises for one
                has_room = self._recorder.put(results)
            if not has_room:
                with anyio.CancelScope(shield=True):  # what has come is recorded, also when it is time to stop
                    await self._recorder.has_room()

    def _note_failure(self, error: FetchError, request: Request) -> None:
        if isinstance(error, InvalidURL) and isinstance(place := request.context, Place):
            error.detail = f"{place}: {error.detail}"
        if self._counts_failures:
            self._failures += 1
            if self._ends.are_too_many(self._failures, self._done):
                self.stop(MAX_FAILURES)

    async def _watch(self, scope: anyio.CancelScope) -> None:
        """Look at the clock, and at what is left, once a second."""
        started, tail, is_told = anyio.current_time(), Tail(self._ends.tail_time), False
        ends_at = inf if self._ends.deadline is None else started + self._ends.deadline
        with scope:
            while True:
                await anyio.sleep(min(_LOOK_EVERY, max(0.0, ends_at - anyio.current_time())))
                now = anyio.current_time()
                if now >= ends_at:
                    self.stop(DEADLINE)
                    return
                seen = self._look_at_tail(tail, now)
                if seen is None:
                    continue
                if self._ends.tail_rate is not None and seen.rate < self._ends.tail_rate:
                    self.stop(TAIL_RATE)
                    return
                if seen.is_worth_a_word and not is_told and self._on_tail is not None:
                    is_told = True
                    self._on_tail(seen)

    def _look_at_tail(self, tail: Tail, now: float) -> TailSeen | None:
        """Take the counts once the whole list has been read; before that, more hosts may come."""
        if self._sources.total is None:
            return None
        busy = (host.key for host in self._client.stats if host.queued or host.in_flight)
        left = self._sources.total - self.outcome.earlier - self._ready - self._done
        return tail.look(now, self._done, left, list(islice(busy, FEW_HOSTS + 1)))

    async def _give_back(self, results: FetchMany) -> None:
        """Close what is still in flight, also while being cancelled."""
        with anyio.move_on_after(_GIVING_BACK, shield=True):
            await results.aclose()

    def _partial(self) -> PartialFactory | None:
        """Return what finds beginnings of bodies, if an earlier run has left any."""
        bodies = self._bodies
        if bodies is None or bodies.partials is None or not bodies.partials.are_there:
            return None
        return bodies.partial

    def _sink(self, request: Request, response: Response) -> Sink | None:
        return _DISCARD if self._bodies is None else self._bodies.sink(request, response)


def _ignore(_: Result) -> None:
    pass
