"""One host's state: how much is in flight there, how much may be, and until when it wants to be left alone.

A state machine without queues: what an outcome does to a host is decided here, who goes there next is decided in
`frontier.py`. Adaptive limits, rates and a breaker belong here too, as further cases of `settle` and `may_go`.
Times are seconds of the caller's monotonic clock.
"""

from __future__ import annotations

from random import Random
from typing import Literal, NamedTuple

from asyncfetch.scheduler.manners import Manners
from asyncfetch.scheduler.pace import Pace
from asyncfetch.stats import HostState

__all__ = ["ANSWERED", "CANCELLED", "FAILED", "THROTTLED", "Host", "Outcome"]

_JITTER_SHARE = 0.1
_JITTER_MOST = 1.0


class Outcome(NamedTuple):
    """What one request said about its host.

    Attributes:
        kind: `ok`: it answered, whatever the status; `throttled`: it asked for fewer requests; `failed`: it did
            not answer; `cancelled`: nothing was learned.
        retry_after: seconds that the host asked to be left alone, or None.
    """

    kind: Literal["ok", "throttled", "failed", "cancelled"]
    retry_after: float | None = None


ANSWERED = Outcome("ok")
THROTTLED = Outcome("throttled")
FAILED = Outcome("failed")
CANCELLED = Outcome("cancelled")


class Host:
    """What the scheduler knows of one host.

    Attributes:
        key: `host:port`.
        manners: how it is to be treated.
        in_flight: requests under way there now.
        limit: how many may be under way at once.
        pace: how fast one may follow the other, or None if that does not matter.
        paused_until: when a pause ends; 0 without one. It is put back to 0 only by `resume`.
        state, reason: what the host is doing and why, for people.
    """

    __slots__ = ("in_flight", "key", "limit", "manners", "pace", "paused_until", "reason", "state")

    def __init__(self, key: str, manners: Manners) -> None:
        self.key = key
        self.manners = manners
        self.limit = manners.most
        self.pace: Pace | None = manners.make_pace()
        self.in_flight = 0
        self.paused_until = 0.0
        self.state = HostState.OK
        self.reason = ""

    def may_go(self, now: float) -> bool:
        """Whether one more request may go there now."""
        return self.in_flight < self.limit and self.paused_until <= now

    @property
    def is_neutral(self) -> bool:
        """Whether nothing is in flight and nothing has to be remembered."""
        return not self.in_flight and not self.paused_until

    def started(self, now: float) -> None:
        """Count a start at a host that has a pace: until the next one may be, it is paused."""
        assert self.pace is not None, "only a host with a pace counts its starts"
        until = self.pace.start(now)
        if until > now and until > self.paused_until:
            self.paused_until = until

    def slow_down(self, seconds: float) -> None:
        """Let at least so many seconds pass between two starts."""
        if self.pace is None or self.pace.interval < seconds:
            slower = Pace(seconds, 0.0)
            slower.next_at = 0.0 if self.pace is None else self.pace.next_at
            self.pace = slower

    def settle(self, outcome: Outcome, now: float, rng: Random) -> None:
        """Let what one request said change the state; at present only an asked-for pause does.

        The pause lasts `longest_pause` seconds at most, and up to a tenth (and a second) more by chance, so that
        hosts do not come back in step. It never ends a longer one.
        """
        if outcome.kind == "throttled" and outcome.retry_after is not None:
            wait = min(outcome.retry_after, self.manners.longest_pause)
            if wait > 0:
                self.pause(now + wait + rng.random() * min(wait * _JITTER_SHARE, _JITTER_MOST), "Retry-After")

    def pause(self, until: float, reason: str) -> None:
        """Let nothing go there until then, or longer if it is already so."""
        if until > self.paused_until:
            self.paused_until = until
            self.state = HostState.WAITING
            self.reason = reason

    def resume(self) -> None:
        """End a pause."""
        self.paused_until = 0.0
        self.state = HostState.OK
        self.reason = ""

    def __repr__(self) -> str:
        return f"<Host {self.key} {self.state.value} {self.in_flight}/{self.limit}>"
