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

__all__ = ["PaperHost", "Run", "at_once", "bucket", "fixed_window", "simulate", "sliding_window"]

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


@dataclass
class Run:
    """What became of a list."""

    seconds: float
    ended: Counter[str]
    starts: dict[str, list[float]]


def simulate(
    hosts: dict[str, PaperHost], urls: int, *, manners: Manners, seed: int = 1, until: float = 1e9, total: int = 100
) -> Run:
    """Fetch so many URLs from each host, as the client would, and say how that went."""
    rng = Random(seed)
    frontier: Frontier[Turn] = Frontier(Limits(total=total), rng, manners=manners)
    lane = frontier.lane()
    for _ in range(urls):
        for key in hosts:
            frontier.add(Turn(key, lane))
    run = Run(0.0, Counter(), {key: [] for key in hosts})
    events: list[tuple[float, int, str, Turn]] = []
    now, number = 0.0, 0

    def later(seconds: float, what: str, turn: Turn) -> None:
        nonlocal number
        number += 1
        heappush(events, (now + seconds, number, what, turn))

    while now < until:
        while (turn := frontier.take(now)) is not None:
            run.starts[turn.host].append(now)
            later(_WAY, "arrives", turn)
        wake_at = frontier.wake_at()
        if not events and wake_at is None:
            break
        if not events or (wake_at is not None and wake_at + 0.001 < events[0][0]):
            assert wake_at is not None
            now = max(now, wake_at + rng.random() * 0.001)
            continue
        now, _, what, turn = heappop(events)
        host = hosts[turn.host]
        if what == "arrives":
            host.in_progress += 1
            host.most_at_once = max(host.most_at_once, host.in_progress)
            if host.policy(now, host.in_progress):
                later(host.latency * rng.uniform(0.8, 1.2), "answered", turn)
            else:
                host.in_progress -= 1
                host.refused.append(now)
                later(_WAY, "refused", turn)
        elif what == "answered":
            host.in_progress -= 1
            host.answered.append(now)
            later(_WAY, "ended", turn)
        elif what == "ended":
            frontier.finished(turn.host, ANSWERED, now, turn)
            run.ended[turn.host] += 1
        else:
            frontier.finished(turn.host, Outcome("throttled", host.retry_after, "429s"), now, turn)
            frontier.add(turn, front=True)
    run.seconds = now
    return run
