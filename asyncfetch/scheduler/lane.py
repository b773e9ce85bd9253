"""What the frontier queues and how it is laid out: turns, in queues, in lanes and in lines before hosts.

These are the frontier's own pieces; they keep themselves tidy and decide nothing. `frontier.py` has the story.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence
from typing import Any

import msgspec

from asyncfetch.scheduler.host import Host
from asyncfetch.scheduler.manners import Manners
from asyncfetch.scheduler.ring import Link, Ring

__all__ = ["QUEUED", "UNQUEUED", "Lane", "Queue", "QueuedHost", "Turn"]

UNQUEUED = 0
QUEUED = -1
HELD = -1  # and less: a number for each, beside those of the turns that wait for a time

_DEAD_WORTH_CLEARING = 64


class Turn(msgspec.Struct, eq=False):
    """One request that waits for its turn; the client's own class derives from this.

    Attributes:
        host: `host:port`, where it wants to go. It may change, but not while the frontier has the turn.
        lane: whose turn it is. It stays.
        dropped: it was given up and will never come out. Only the frontier sets this.
        ticket: the frontier's own: `UNQUEUED`, `QUEUED`, or the number under which it waits for a time or is held.
        began, load: when it was given out last, and how many turns were then in flight at its host, itself
            included. A `load` of 0 says that the host was given up: it is not to be sent.
    """

    host: str
    lane: Lane
    dropped: bool = False
    ticket: int = UNQUEUED
    began: float = 0.0
    load: int = 0

    def latency(self, now: float) -> float:
        """Return how many seconds it took from its start to the head of the answer, as far as that is known."""
        return now - self.began


class QueuedHost(Host):
    """A host and who waits for it.

    Attributes:
        queues: how many lanes have turns for it.
        line: queues that found it full or paused, the one that came first in front.
        called: of several queues, the one that has its next place.
    """

    __slots__ = ("called", "line", "queues")

    def __init__(self, key: str, manners: Manners) -> None:
        super().__init__(key, manners)
        self.queues = 0
        self.line: Ring[Queue] = Ring()
        self.called: Queue | None = None


class Queue(Link):
    """The turns of one lane for one host, first in, first out; those that come again go before the fresh ones.

    It never begins with a dropped turn, so that a queue is empty if and only if it has nothing to give.

    Attributes:
        ring: where it is: its lane's `ready` or `called`, or its host's `line`.
        fresh: the turns that have not come again, dropped ones included.
        again: those that have; None as long as none has.
    """

    __slots__ = ("_dead", "again", "fresh", "host", "lane", "ring")

    def __init__(self, lane: Lane, host: QueuedHost, ring: Ring[Queue]) -> None:
        self.lane = lane
        self.host = host
        self.ring = ring
        self.fresh: deque[Any] = deque()
        self.again: deque[Any] | None = None
        self._dead = 0
        ring.join(self)

    def push(self, turn: Turn, front: bool) -> None:
        """Put a turn behind the others, or in front behind the others that came again."""
        if not front:
            self.fresh.append(turn)
        elif self.again is None:
            self.again = deque((turn,))
        else:
            self.again.append(turn)

    def extend(self, turns: Sequence[Turn]) -> None:
        """Put turns that were queued nowhere behind the others."""
        for turn in turns:
            turn.ticket = QUEUED
        self.lane.queued += len(turns)
        self.fresh.extend(turns)

    def pop(self) -> Any:
        """Take the first turn out, so that it is queued nowhere; there is one."""
        turns = self.again or self.fresh
        turn = turns.popleft()
        turn.ticket = UNQUEUED
        self.lane.queued -= 1
        if self._dead:
            self.trim()
        return turn

    def bury(self) -> None:
        """Count one turn that was dropped; it goes when it is first, or when half of a long queue is dropped."""
        self._dead += 1
        self.trim()
        if self._dead > _DEAD_WORTH_CLEARING and 2 * self._dead > len(self.fresh) + len(self.again or ()):
            self.fresh = deque(turn for turn in self.fresh if not turn.dropped)
            self.again = deque(turn for turn in self.again or () if not turn.dropped)
            self._dead = 0

    def trim(self) -> None:
        """Let dropped turns go until the first one is alive."""
        for turns in (self.again, self.fresh):
            while turns and turns[0].dropped:
                turns.popleft()
                self._dead -= 1

    def turns(self) -> list[Any]:
        """Everything that is alive, in order."""
        return [turn for turns in (self.again or (), self.fresh) for turn in turns if not turn.dropped]

    def cut(self, keep: int) -> list[Any]:
        """Take out the fresh turns beyond the first `keep`, 1 or more, and give back those that are alive."""
        beyond = [self.fresh.pop() for _ in range(len(self.fresh) - keep)]
        alive = [turn for turn in reversed(beyond) if not turn.dropped]
        self._dead -= len(beyond) - len(alive)
        return alive

    def move(self, ring: Ring[Queue]) -> None:
        """Leave one ring for the end of another."""
        self.ring.leave(self)
        self.ring = ring
        ring.join(self)

    def __bool__(self) -> bool:
        return bool(self.fresh or self.again)


class Lane(Link):
    """The queue of one caller: all single requests, or one list.

    Attributes:
        queued: turns that wait here, those for a time included.
        paused: nothing of it is given out. Set by `Frontier.pause` and `Frontier.resume` only.
        closed: it takes no more turns. Set by `Frontier.close` only.
        queues: by host key; none is empty.
        ready: the queues whose hosts may have a place, as a ring.
        called: the queues to which a contested host has given its next place, as a ring.
        delayed: turns that wait for a time or are held, by ticket.
        listed: whether the lane itself is in the frontier's ring.
        favours_called: whether `called` goes before `ready` this time.
    """

    __slots__ = (
        "called",
        "closed",
        "delayed",
        "favours_called",
        "listed",
        "paused",
        "queued",
        "queues",
        "ready",
    )

    def __init__(self) -> None:
        self.queued = 0
        self.paused = self.closed = self.listed = False
        self.queues: dict[str, Queue] = {}
        self.ready: Ring[Queue] = Ring()
        self.called: Ring[Queue] = Ring()
        self.delayed: dict[int, Any] = {}
        self.favours_called = True

    def next_queue(self) -> Queue | None:
        """Say which queue is next, called and ready ones alternately, or None if there is no next."""
        called, ready = self.called.first, self.ready.first
        if called is not None and (self.favours_called or ready is None):
            self.favours_called = False
            return called
        self.favours_called = True
        return ready

    def hold(self, turn: Turn) -> bool:
        """Keep a turn that is queued nowhere until `let_go`, whatever the time; it counts as queued.

        Returns:
            False if it can no longer be queued: it was dropped, or the lane is closed. Then it is dropped.
        """
        if turn.dropped or self.closed:
            turn.dropped = True
            return False
        assert turn.ticket == UNQUEUED, "it is queued already"
        turn.ticket = HELD - id(turn)
        self.delayed[turn.ticket] = turn
        self.queued += 1
        return True

    def let_go(self, turn: Turn) -> bool:
        """Let a turn that was held be queued nowhere; say whether it is still wanted."""
        if turn.ticket >= HELD:
            return False
        del self.delayed[turn.ticket]
        turn.ticket = UNQUEUED
        self.queued -= 1
        return True

    def thin(self, keep: int, spared: Container[str]) -> list[Any]:
        """Take the fresh turns beyond the first `keep` out of every queue but those of the spared hosts.

        They are queued nowhere then, and come in the order of their hosts' queues. Costs a step for each host.
        """
        turns: list[Any] = []
        for key, queue in self.queues.items():
            if len(queue.fresh) > keep and key not in spared:
                turns += queue.cut(keep)
        for turn in turns:
            turn.ticket = UNQUEUED
        self.queued -= len(turns)
        return turns

    def has_next(self) -> bool:
        """Whether some queue is in one of its rings."""
        return self.ready.first is not None or self.called.first is not None

    def __repr__(self) -> str:
        return f"<Lane {self.queued} queued{', paused' * self.paused}{', closed' * self.closed}>"
