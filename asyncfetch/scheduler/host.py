"""One host's state: how much is in flight there, how much may be, and until when it wants to be left alone.

A state machine without queues: what an outcome does to a host is decided here, who goes there next is decided in
`frontier.py`. What it learns about a host is in `adapt.py`, whether it is there at all in `breaker.py`; here these
become a limit, a pace and pauses. Times are seconds of the caller's monotonic clock.

A host that is fine costs one integer: `credit` says after how many answers it is to be looked at again.
"""

from __future__ import annotations

import math
from random import Random
from typing import Protocol

from asyncfetch.scheduler.adapt import FIRST_PLACES, Adapt
from asyncfetch.scheduler.breaker import Breaker
from asyncfetch.scheduler.manners import Manners
from asyncfetch.scheduler.outcome import Outcome
from asyncfetch.scheduler.pace import Pace
from asyncfetch.stats import HostState

__all__ = ["Host", "Start"]

_LATENESS = 0.5  # of the time between two starts, that a pace which was found out may catch up on
_JITTER_SHARE = 0.1
_JITTER_MOST = 1.0
_NEVER = 1 << 30
_HOPELESS = 4  # refusals of everything, in a row: some 4 s of pauses
_MOST_DOUBLINGS = 1000  # 2.0**1000 is still a float


class Start(Protocol):
    """What is remembered of a request that was given out.

    Attributes:
        began: when.
        load: how many were then in flight at its host, itself included; 0 if it is not to be sent at all, because
            the host was given up.
    """

    began: float
    load: int

    def latency(self, now: float) -> float:
        """Return how many seconds it took to the head of the answer, as far as that is known at `now`."""
        ...


class Host:
    """What the scheduler knows of one host.

    Attributes:
        key: `host:port`.
        manners: how it is to be treated.
        in_flight: requests under way there now.
        limit: how many may be under way at once.
        credit: after how many answers to look at it again.
        paused_until: when a pause ends; 0 without one. It is put back to 0 only by `resume`.
        state, reason: what the host is doing and why, for people.
        is_special: whether it must be told of each start.
    """

    __slots__ = (
        "_adapt",
        "_breaker",
        "_cut_at",
        "_granted",
        "_has_answered",
        "_pace",
        "_streak",
        "_strikes",
        "credit",
        "in_flight",
        "is_special",
        "key",
        "limit",
        "manners",
        "paused_until",
        "reason",
        "state",
    )

    def __init__(self, key: str, manners: Manners) -> None:
        self.key = key
        self.manners = manners
        self.in_flight = 0
        self.paused_until = 0.0
        self.state = HostState.OK
        self.reason = ""
        self._pace = manners.make_pace()
        self.is_special = self._pace is not None
        self.begin_anew()

    def begin_anew(self) -> None:
        """Know nothing of a host whose manners are those that it began with, and that is neutral."""
        manners = self.manners
        self._streak = self._strikes = 0
        self._has_answered = False
        self._cut_at = -math.inf
        self._adapt: Adapt | None = None
        self._breaker: Breaker | None = None
        if manners.adapt and manners.most > FIRST_PLACES:
            self.limit = self.credit = self._granted = FIRST_PLACES
        else:
            self.limit = manners.most
            self.credit = self._granted = 2 * manners.most if manners.adapt else _NEVER

    def may_go(self, now: float) -> bool:
        """Whether one more request may go there now."""
        return self.in_flight < self.limit and self.paused_until <= now

    @property
    def is_neutral(self) -> bool:
        """Whether nothing is in flight and no pause has to be waited for."""
        return not self.in_flight and not self.paused_until

    @property
    def is_blank(self) -> bool:
        """Whether a new host would do as well: nothing bad was learnt of this one."""
        return self._breaker is None and not self._strikes and (self._adapt is None or self._adapt.is_free)

    @property
    def only_throttles(self) -> bool:
        """Whether it has answered something, and has not refused everything too often in a row since."""
        return (self._has_answered or self._granted > self.credit) and self._streak < _HOPELESS

    @property
    def given_up_until(self) -> float:
        """When it will have rested, if it was given up and is not being probed; otherwise 0."""
        breaker = self._breaker
        return breaker.rests_until if breaker is not None and breaker.is_resting else 0.0

    @property
    def why_given_up(self) -> str:
        """Why nothing is sent to it any more, in a sentence."""
        breaker = self._breaker
        assert breaker is not None, "it was given up"
        return f"the host was given up after {breaker.failures} failures in a row: {breaker.why}"

    @property
    def note(self) -> str:
        """What there is to say of a host that is otherwise fine."""
        adapt = self._adapt
        if adapt is not None and adapt.why and adapt.rate:
            return f"{adapt.rate:.3g}/s: {adapt.why}"
        if adapt is not None and adapt.why and adapt.limit < self.manners.most:
            return f"limit {adapt.limit} of {self.manners.most}: {adapt.why}"
        return self.manners.note

    @property
    def interval(self) -> float:
        """Seconds from one start to the next, at least."""
        return 0.0 if self._pace is None else self._pace.interval

    # --- starts

    def started(self, start: Start, now: float) -> None:
        """Take note of a start: the next one may have to wait, or this one is not to be sent at all."""
        breaker = self._breaker
        if breaker is not None and breaker.given_up:
            if not breaker.may_probe(now):
                start.load = 0
                return
            self.limit = 1
        if self._pace is not None:
            until = self._pace.start(now)
            if until > now and until > self.paused_until:
                self.paused_until = until

    def slow_down(self, seconds: float) -> None:
        """Let at least so many seconds pass between two starts."""
        if seconds > self.manners.delay:
            self.manners = self.manners.with_delay(seconds, "robots.txt")
            self._set_pace()

    # --- outcomes

    def settle(self, outcome: Outcome, now: float, rng: Random, start: Start | None = None) -> None:
        """Let what one request said change the state.

        A pause that was asked for lasts `longest_pause` seconds at most, and up to a tenth (and a second) more by
        chance, so that hosts do not come back in step. It never ends a longer one.
        """
        kind = outcome.kind
        if kind == "ok":
            self._answered(now, start)
            return
        self.credit += 1  # only answers use it up
        if kind == "cancelled":
            if self._breaker is not None and start is not None and start.load:
                self._breaker.was_cancelled(now)
            return
        is_news = start is None or start.began > self._cut_at
        if kind == "silent":
            self._failed_silently(outcome, now, start)
        else:
            self._revive()
        if kind == "asked":
            self._answered(now, start)
        elif kind == "throttled":
            self._refused(outcome, now, rng, start, is_news=is_news)
        elif is_news:
            self._struck(outcome, now, rng, start)
        self._pause_as_asked(outcome, now, rng)

    def _answered(self, now: float, start: Start | None) -> None:
        self._has_answered = True
        self._streak = self._strikes = 0
        if self._breaker is not None:
            self._revive()
        if not self.manners.adapt:
            self.credit = self._granted = _NEVER
            return
        adapt = self._learning(now)
        answers = self._granted - self.credit
        if start is not None and start.began <= self._cut_at:
            adapt.count(answers)
            self.credit = self._granted = 1
            return
        adapt.answered(answers, *((1, 0.0) if start is None else (start.load, start.latency(now))), now)
        if adapt.limit < self.limit:
            self._cut_at = now
        self._adopt(adapt)

    def _refused(self, outcome: Outcome, now: float, rng: Random, start: Start | None, *, is_news: bool) -> None:
        """It gets too many: leave it alone, and come back with less."""
        self._look_soon()
        if not is_news:
            return
        adapt = self._learning(now) if self.manners.adapt else None
        shortest = math.inf if adapt is None else adapt.short_pause(now)
        if shortest == math.inf:
            self._streak += 1
        if not outcome.retry_after:
            self._back_off(now, rng, outcome.why, shortest)
        self._cut_at = now
        if adapt is not None:
            asked = min(outcome.retry_after or 0.0, self.manners.longest_pause)
            adapt.refused(1 if start is None else start.load, now, max(self.paused_until, now + asked), outcome.why)
            self._adopt(adapt, look_soon=True)

    def _struck(self, outcome: Outcome, now: float, rng: Random, start: Start | None) -> None:
        """It failed, or said that it cannot answer: once is that URL's own, twice in a row is about the host."""
        self._strikes += 1
        self._look_soon()
        if self._strikes < 2:
            return
        if outcome.kind == "busy":
            self._streak += 1
            self._back_off(now, rng, outcome.why)
        self._cut_at = now
        if self.manners.adapt and not (self._breaker is not None and self._breaker.is_broken):
            adapt = self._learning(now)
            adapt.failed(1 if start is None else start.load, now, outcome.why)
            self._adopt(adapt, look_soon=True)

    # --- pauses

    def _pause_as_asked(self, outcome: Outcome, now: float, rng: Random) -> None:
        wait = min(outcome.retry_after or 0.0, self.manners.longest_pause)
        if wait > 0:
            wait += rng.random() * min(wait * _JITTER_SHARE, _JITTER_MOST)
            self.pause(now + wait, outcome.why or "Retry-After")

    def _back_off(self, now: float, rng: Random, why: str, most: float = math.inf) -> None:
        """Pause because it refuses: twice as long each time in a row, by chance between a half and all of that."""
        bound = min(most, self.manners.backoff * 2.0 ** min(self._streak - 1, _MOST_DOUBLINGS))
        wait = min(self.manners.backoff_most, bound) * (1.0 + rng.random()) / 2
        if wait > 0:
            self.pause(now + wait, why, HostState.BACKING_OFF)

    def pause(self, until: float, reason: str, state: HostState = HostState.WAITING) -> None:
        """Let nothing go there until then, or longer if it is already so."""
        if until > self.paused_until:
            self.paused_until = until
            self.state = state
            self.reason = reason
            if self._pace is not None and until < math.inf:  # what starts next is not late because of this
                self._pace.next_at = max(self._pace.next_at, until)

    def resume(self) -> None:
        """End a pause."""
        self.paused_until = 0.0
        if self.state is not HostState.BROKEN:
            self.state = HostState.OK
            self.reason = ""

    # --- the breaker

    def _failed_silently(self, outcome: Outcome, now: float, start: Start | None) -> None:
        if self.manners.failures is None:
            return
        breaker = self._breaker = self._breaker or Breaker()
        probe_at = breaker.failed(now if start is None else start.began, now, self.manners, outcome.why)
        if breaker.given_up:
            self.limit = self.manners.most
            self.is_special = True
            self.state, self.reason = HostState.BROKEN, breaker.why
        elif probe_at:
            self.limit = 1
            self.paused_until = max(self.paused_until, probe_at)
            self.state, self.reason = HostState.BROKEN, breaker.why

    def _revive(self) -> None:
        """It is there: if it was broken, begin as with a new one."""
        breaker, self._breaker = self._breaker, None
        if breaker is not None and breaker.is_broken:
            self.state, self.reason = HostState.OK, ""
            self._adapt = None
            self.limit = min(FIRST_PLACES, self.manners.most) if self.manners.adapt else self.manners.most
            self.credit = self._granted = self.limit
            self._set_pace()

    # --- what was learnt

    def _learning(self, now: float) -> Adapt:
        if self._adapt is None:
            self._adapt = Adapt(self.limit, self.manners.most, now)
        return self._adapt

    def _look_soon(self) -> None:
        """Count the answers since the last look, for something else is learnt now, and look at the next one."""
        answers = self._granted - self.credit
        if answers > 0:
            self._has_answered = True
            if self._adapt is not None:
                self._adapt.count(answers)
        self.credit = self._granted = 1

    def _adopt(self, adapt: Adapt, *, look_soon: bool = False) -> None:
        self.limit = adapt.limit
        self.credit = self._granted = 1 if look_soon else adapt.next_look
        self._set_pace()

    def _set_pace(self) -> None:
        """Let the slower of what the settings say and what was learnt hold."""
        given = self.manners.make_pace()
        rate = 0.0 if self._adapt is None else self._adapt.rate
        if rate and (given is None or given.interval * rate < 1.0):
            given = Pace(1.0 / rate, _LATENESS / rate if given is None else given.lateness)
        if given is not None and self._pace is not None:
            given.next_at = min(self._pace.next_at, self._pace.next_at - self._pace.interval + given.interval)
        self._pace = given
        self.is_special = given is not None or (self._breaker is not None and self._breaker.given_up)

    def __repr__(self) -> str:
        return f"<Host {self.key} {self.state.value} {self.in_flight}/{self.limit}>"
