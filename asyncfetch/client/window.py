"""How far a list is read ahead of its turns: so many entries in memory, and the rest where it harms nobody.

The window is `Limits.queued` entries long. While it has room, or while all places are in use, this is all there is
to it: the source waits. But when it is full and places are free, every entry in it waits for a host that is busy or
wants to be left alone, and further hosts may stand in the list behind these. Then:

1. What the hosts have beyond their next few entries goes to the backlog, on disk. That makes room, and the reading
   goes on. If it does not make enough, because there are many hosts, the window may become twice as long.
2. Once a host has entries there, further ones of it go there too, so that they keep their order.
3. When the last entry of such a host has left the scheduler's queue, the next few come back. If the host has been
   given up, they end there and then, and the next few after them, as far as there is room for results.

Reading ahead shares the event loop with fetching: it takes few entries at a time. The source waits in any case
while the backlog is as large as it may be (`Limits.overflow`), or too much is kept that cannot be written.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NoReturn

from asyncfetch.client.backlog import Backlog, open_backlog
from asyncfetch.client.entries import Entry
from asyncfetch.client.fetch import Fetch
from asyncfetch.client.overflow import overflow_directory
from asyncfetch.client.turns import Turns
from asyncfetch.errors import HostUnavailable, LocalError, shown
from asyncfetch.result import Request
from asyncfetch.settings import Limits

__all__ = ["Window"]

_FED_AT_LEAST, _FED_AT_MOST = 64, 512  # entries at once, if there is room; then everybody else has a go
_FED_AT_ONCE_AHEAD = 32  # the same when reading on is of no use to the requests in flight
_AT_HAND = 8  # entries of a host that stay in memory while others of it are on disk
_ENDED_AT_ONCE = 100  # entries of a host that was given up, at most; half of the results that may wait
_THINNED_EVERY = 4  # part of a window that must have come in before it is looked through again


class Window:
    """The window of one list.

    Attributes:
        lane: its queue in the scheduler.
    """

    def __init__(
        self,
        turns: Turns,
        limits: Limits,
        *,
        restore: Callable[[Request, int], Fetch | None],
        refuse: Callable[[Sequence[Entry], HostUnavailable], None],
        on_failure: Callable[[LocalError], None],
    ) -> None:
        """Begin with an empty window.

        Args:
            turns: gives the entries their turns.
            limits: how far the list is read ahead.
            restore: makes a fetch of an entry that comes back; None if it has ended at once.
            refuse: ends entries of a host that was given up.
            on_failure: called when entries cannot be kept any more; it should end the list.
        """
        self.lane = turns.frontier.lane()
        self._turns = turns
        self._queued = limits.queued
        self._most = limits.overflow
        self._restore = restore
        self._refuse = refuse
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._feeder: asyncio.Future[None] | None = None
        self._ended_at_once = max(1, min(_ENDED_AT_ONCE, limits.buffered // 2))
        # more than workers can take in one step of the loop: those who find nothing cost twice as much
        self._fed_at_once = max(_FED_AT_LEAST, min(2 * limits.total, _FED_AT_MOST))
        self._least_room = max(1, min(self._fed_at_once, limits.queued // 2))
        self._backlog: Backlog | None = None
        self._may_overflow = limits.overflow > 0
        self._added = 0
        self._thinned_at = 0
        self._held_up: set[str] = set()  # given up, with entries on disk that end once there is room for results
        self._closed = False

    # --- the feeder's side

    def add(self, fetches: Sequence[Fetch]) -> None:
        """Let entries wait for their turns."""
        self._added += len(fetches)
        self._turns.add_all(fetches)
        if self.lane.has_next() and self._turns.has_room():  # nothing may go if its host is full: the usual case
            self._turns.pump()

    def puts_away(self, host: str) -> bool:
        """Whether an entry of a host is to be `put_away` now, so that nothing need be made of it yet."""
        backlog = self._backlog
        if backlog is None:
            return False
        return host in backlog.hosts or (self.lane.queued >= self._queued and host in self.lane.queues)

    def put_away(self, host: str, entries: Sequence[Entry]) -> None:
        """Let entries of a host wait on disk until their turns are near.

        Raises:
            LocalError: the disk does not take them; the list has been told.
        """
        backlog = self._backlog
        assert backlog is not None, "puts_away() said so"
        must_write = backlog.add(host, entries)
        self._turns.count_queued(host, len(entries))
        if must_write:
            self._write(backlog)

    def at_once(self) -> int:
        """Say how many entries the source may give before it should `breathe`, 1 or more."""
        room = self._queued - self.lane.queued
        if room <= 0:
            return max(1, min(room + self._queued, _FED_AT_ONCE_AHEAD))
        is_ahead = not (self._backlog is None or self._backlog.is_empty)
        return min(room, _FED_AT_ONCE_AHEAD if is_ahead else self._fed_at_once)

    def must_wait(self) -> bool:
        """Whether nothing more should be read now."""
        if self.lane.paused or self._is_overfull:
            return True
        return self.lane.queued >= self._queued and not self._reads_on

    async def breathe(self) -> None:
        """Let everybody else go on, for as long as the source has to wait.

        Raises:
            LocalError: as `put_away`.
        """
        await asyncio.sleep(0)
        while self.must_wait() and not self._closed:
            self._feeder = self._loop.create_future()
            self._turns.starving.add(self.wake)
            try:
                await self._feeder
            finally:
                self._turns.starving.discard(self.wake)
                self._feeder = None
        if self.lane.queued >= self._queued and not self._closed:
            self._thin()

    # --- the workers' side

    def started(self, host: str) -> None:
        """Take note that a turn for a host is being run: perhaps it was the last one at hand."""
        backlog = self._backlog
        if backlog is not None and host in backlog.hosts and host not in self.lane.queues:
            self._bring_back(host, backlog)
        if self._feeder is not None:
            self.wake()

    def wake(self) -> None:
        """Let the source go on if there is room for some entries; waking it for each one would cost too much."""
        while self._held_up and not self.lane.paused:
            self.started(self._held_up.pop())
        feeder = self._feeder
        if feeder is None or feeder.done() or self.lane.paused or self._is_overfull:
            return
        if self._queued - self.lane.queued >= self._least_room or self._reads_on:
            feeder.set_result(None)

    def close(self) -> int:
        """Forget what waits on disk, and say how many entries that were; nothing is brought back any more."""
        self._closed = True
        backlog, self._backlog = self._backlog, None
        self._may_overflow = False
        if backlog is None:
            return 0
        counts = backlog.counts()
        for host, waiting in counts:
            self._turns.count_queued(host, -waiting)
        backlog.close()
        return sum(waiting for _, waiting in counts)

    # --- the backlog

    @property
    def _reads_on(self) -> bool:
        """Whether a full window is of no use: places are free, and nothing in it may go now."""
        if not self._may_overflow or self.lane.has_next() or not self._turns.has_room():
            return False
        return self.lane.queued < 2 * self._queued

    @property
    def _is_overfull(self) -> bool:
        return self._backlog is not None and self._backlog.is_full

    def _thin(self) -> None:
        """Put on disk what the hosts have in memory beyond their next few entries.

        Raises:
            LocalError: as `put_away`.
        """
        if self._added - self._thinned_at < self._queued // _THINNED_EVERY:
            return
        backlog = self._open()
        if backlog is None:
            return
        self._thinned_at = self._added
        for host, fetches in groupby(self.lane.thin(_AT_HAND, backlog.hosts), attrgetter("host")):
            backlog.add(host, [(fetch.request, fetch.index, fetch.added) for fetch in fetches])
        self._write(backlog)

    def _open(self) -> Backlog | None:
        if self._backlog is None:
            try:
                self._backlog = open_backlog(self._most, self._queued)
            except OSError as error:
                self._fail(error)
            self._may_overflow = self._backlog is not None
        return self._backlog

    def _write(self, backlog: Backlog) -> None:
        try:
            backlog.write()
        except OSError as error:
            self._fail(error)

    def _bring_back(self, host: str, backlog: Backlog) -> None:
        """Let the next entries of a host, of which nothing is left in the scheduler's queue, wait there again."""
        have_ended = True
        while have_ended and host in backlog.hosts:
            have_ended = self._bring_some_back(host, backlog)
            if have_ended and self.lane.paused:
                self._held_up.add(host)
                return
        if self._turns.has_room():
            self._turns.pump()

    def _bring_some_back(self, host: str, backlog: Backlog) -> bool:
        """Do so for a few entries; say whether each of them has ended at once."""
        why = self._turns.unavailability(host)
        most = self._ended_at_once if why is not None else _AT_HAND if self.lane.queued < self._queued else 1
        try:
            entries = backlog.take(host, most)
        except OSError as error:
            self._on_failure(_failure(error))
            return False
        self._turns.count_queued(host, -len(entries))  # they are counted again as they are added
        if why is not None:
            self._refuse(entries, why)
            return True
        have_ended = True
        for request, index, added in entries:
            fetch = self._restore(request, index)
            if fetch is not None:
                have_ended = False
                fetch.added = added
                self._turns.add(fetch)
        return have_ended

    def _fail(self, error: OSError) -> NoReturn:
        failure = _failure(error)
        self._on_failure(failure)
        raise failure from error


def _failure(error: OSError) -> LocalError:
    import tempfile

    reason = (os.strerror(error.errno) if error.errno else str(error)).lower()
    return LocalError(
        f"what waits for its host cannot be kept in {shown(overflow_directory() or tempfile.gettempdir(), 200)}: "
        f"{reason}; make room there, or let TMPDIR name another directory"
    )
