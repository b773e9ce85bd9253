"""Hosts that exist on paper only: what they take, and what becomes of a list there, with a made-up clock.

Each is a policy of when to say "too many", and a time that an answer takes. Nothing is awaited: a minute of ten
thousand requests takes less than a second.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from asyncfetch.scheduler import ANSWERED, Frontier, Manners, Outcome, Turn
from asyncfetch.settings import Limits

__all__ = ["PaperHost", "Simulation", "at_once", "bucket", "fixed_window", "sliding_window"]

Policy = Callable[[float, int], bool]
"""Whether a request is taken that arrives at a time, while so many (it included) are in progress."""

_WAY = 0.0005  # seconds from us to a host


def at_once(most: int) -> Policy:
    return lambda _, in_progress: in_progress <= most


def fixed_window(most: int, seconds: float = 1.0) -> Policy:
    taken: Counter[int] = Counter()

    def take(now: float, _: int) -> bool:
        taken[int(now / seconds)] += 1
        return taken[int(now / seconds)] <= most

    return take


def sliding_window(most: int, seconds: float = 1.0) -> Policy:
    taken: deque[float] = deque()

    def take(now: float, _: int) -> bool:
        while taken and taken[0] <= now - seconds:
            taken.popleft()
        if len(taken) < most:
            taken.append(now)
            return True
        return False

    return take


def bucket(rate: float, size: float) -> Policy:
    left, at = size, 0.0

    def take(now: float, _: int) -> bool:
        nonlocal left, at
        left, at = min(size, left + (now - at) * rate), now
        if left < 1:
            return False
        left -= 1
        return True

    return take


@dataclass
class PaperHost:
    """A host that exists on paper.

    Attributes:
        policy: when it says "too many".
        latency: seconds that an answer takes, a fifth more or less by chance.
        retry_after: what it asks for then, in seconds.
    """

    policy: Policy
    latency: float = 0.05
    retry_after: float | None = None
    in_progress: int = 0
    most_at_once: int = 0
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def share_refused(self, start: float) -> float:
        answered, refused = (sum(at >= start for at in times) for times in (self.answered, self.refused))
        return refused / max(1, answered + refused)

    def rate(self, start: float, end: float) -> float:
        return sum(start <= at < end for at in self.answered) / (end - start)


class Simulation:
    """A list at hosts on paper, fetched as the client would.

    Attributes:
        now: the time.
        ended: how many turns have been answered, by host.
        starts: when turns began, by host.
    """

    def __init__(
        self, hosts: dict[str, PaperHost], urls: int, *, manners: Manners, seed: int = 1, total: int = 100
    ) -> None:
        self.now = 0.0
        self.ended: Counter[str] = Counter()
        self.starts: dict[str, list[float]] = {key: [] for key in hosts}
        self._hosts = hosts
        self._rng = Random(seed)
        self._events: list[tuple[float, int, str, Turn]] = []
        self._number = 0
        self.frontier: Frontier[Turn] = Frontier(Limits(total=total), self._rng, manners=manners)
        lane = self.frontier.lane()
        for _ in range(urls):
            for key in hosts:
                self.frontier.add(Turn(key, lane))

    def run(self, until: float = 1e9) -> None:
        """Go on until everything is answered, or until then."""
        while self.now < until and self._step():
            pass

    def _step(self) -> bool:
        while (turn := self.frontier.take(self.now)) is not None:
            self.starts[turn.host].append(self.now)
            self._later(_WAY, "arrives", turn)
        wake_at, events = self.frontier.wake_at(), self._events
        if wake_at is not None and (not events or wake_at + 0.001 < events[0][0]):
            self.now = max(self.now, wake_at + self._rng.random() * 0.001)
        elif events:
            self.now, _, what, turn = heappop(events)
            getattr(self, f"_{what}")(turn, self._hosts[turn.host])
        else:
            return False
        return True

    def _later(self, seconds: float, what: str, turn: Turn) -> None:
        self._number += 1
        heappush(self._events, (self.now + seconds, self._number, what, turn))

    def _arrives(self, turn: Turn, host: PaperHost) -> None:
        host.in_progress += 1
        host.most_at_once = max(host.most_at_once, host.in_progress)
        if host.policy(self.now, host.in_progress):
            self._later(host.latency * self._rng.uniform(0.8, 1.2), "answered", turn)
        else:
            host.in_progress -= 1
            host.refused.append(self.now)
            self._later(_WAY, "refused", turn)

    def _answered(self, turn: Turn, host: PaperHost) -> None:
        host.in_progress -= 1
        host.answered.append(self.now)
        self._later(_WAY, "finished", turn)

    def _finished(self, turn: Turn, host: PaperHost) -> None:
        self.frontier.finished(turn.host, ANSWERED, self.now, turn)
        self.ended[turn.host] += 1

    def _refused(self, turn: Turn, host: PaperHost) -> None:
        self.frontier.finished(turn.host, Outcome("throttled", host.retry_after, "429s"), self.now, turn)
        self.frontier.add(turn, front=True)
