"""What waits for a time: turns that back off, and hosts that want to be left alone.

Two heaps and the earliest time in them. An entry is not taken out when what it stands for changes, it is put right
when it comes up: a delayed turn that was dropped is no longer in its lane's `delayed`, and a pause that has grown
longer says so itself. It knows nothing of queues and limits: what is due goes back to `frontier.py`.
Times are seconds of the caller's monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from heapq import heappop, heappush, heapreplace
from typing import Any

from asyncfetch.scheduler.lane import UNQUEUED, Lane, QueuedHost, Turn

__all__ = ["Waits"]


class Waits:
    """Delayed turns and paused hosts, by time.

    Attributes:
        next_at: nothing is due before this time; infinity if nothing waits.
    """

    __slots__ = ("_delays", "_number", "_pauses", "next_at")

    def __init__(self) -> None:
        self.next_at = math.inf
        self._delays: list[tuple[float, int, Lane]] = []
        self._pauses: list[tuple[float, int, QueuedHost]] = []
        self._number = 0

    def delay(self, turn: Turn, until: float) -> None:
        """Keep a turn that is queued nowhere until a time."""
        lane = turn.lane
        turn.ticket = self._next_number()
        lane.delayed[turn.ticket] = turn
        lane.queued += 1
        heappush(self._delays, (until, turn.ticket, lane))
        self.next_at = min(self.next_at, until)

    def watch(self, host: QueuedHost) -> None:
        """Remember when a host's pause ends; once for each pause, also if it grows longer later."""
        heappush(self._pauses, (host.paused_until, self._next_number(), host))
        self.next_at = min(self.next_at, host.paused_until)

    def due_turns(self, now: float) -> Iterator[Any]:
        """Give back every turn whose time has come, the earliest first; then they are queued nowhere."""
        delays = self._delays
        while delays and delays[0][0] <= now:
            _, ticket, lane = heappop(delays)
            turn = lane.delayed.pop(ticket, None)
            if turn is not None:
                lane.queued -= 1
                turn.ticket = UNQUEUED
                yield turn

    def rested_hosts(self, now: float) -> Iterator[QueuedHost]:
        """Give back every host whose pause is over."""
        pauses = self._pauses
        while pauses and pauses[0][0] <= now:
            _, number, host = pauses[0]
            if host.paused_until == math.inf:
                heappop(pauses)  # it is held; whoever lets it go does without us
            elif host.paused_until > now:
                heapreplace(pauses, (host.paused_until, number, host))
            else:
                heappop(pauses)
                yield host

    def reckon(self) -> None:
        """Find the earliest time again, after what was due has been given back."""
        delays, pauses = self._delays, self._pauses
        self.next_at = min(delays[0][0] if delays else math.inf, pauses[0][0] if pauses else math.inf)

    def _next_number(self) -> int:
        """Number the entries: equal times keep the order of their arrival, and nothing else is compared."""
        self._number += 1
        return self._number

    def __len__(self) -> int:
        return len(self._delays) + len(self._pauses)
