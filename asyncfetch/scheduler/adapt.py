"""How many requests at once, and how fast, one host takes: found out from its answers. Pure; times are seconds.

Up. A host begins with 4 places and gets twice as many after each round of answers (as many as it has places) that
used them all, up to its most. Once it has refused something, it gets one more place a round, and stays one below
what it refused (the *ceiling*) for 15 s; each time it refuses that again, twice as long.

Down. A host that says "too many" (429) can mean two things. If more requests were under way than ever went well,
it means *at once*, and loses three tenths of its places. Otherwise, or if nothing else was under way at all, it
means *a second*: then it gets a pace (`allowance.py`), and while that is what holds requests back, refusals are
about the pace. If several cuts of it did not help, the next refusal is read as the other. What had been under way
when it was last cut says nothing new (`host.py` sees to that).

Two failures in a row (timeouts, resets, 503 without a field) count as "at once"; a single one is that URL's own.
So does latency three times as long, and half a second at least, while no more answers come than before.
"""

from __future__ import annotations

import math

from asyncfetch.scheduler.allowance import Allowance

__all__ = ["FIRST_PLACES", "Adapt"]

FIRST_PLACES = 4
_KEPT = 0.7  # of the places, when there were too many
_FIRST_HOLD, _LONGEST_HOLD = 15.0, 120.0
_WINDOW = 1.0
_BUSY = 0.7  # of its places: more than these in use by the pace alone, and it is not the pace that binds
_USED = 0.3  # of a pace, or it does not grow
_IN_VAIN = 4  # cuts of a pace, in a row
_SLOWER, _SLOW_AT_LEAST = 3.0, 0.5
_SMOOTHING = 0.3
_RARELY = 64  # answers between two looks at a host that has all its places


class Adapt:
    """What one host was found to take.

    Attributes:
        limit: requests at once.
        why: the reason why it is less than it might be, for people; empty without one.
    """

    __slots__ = (
        "_allowance",
        "_answers",
        "_ceiling",
        "_earlier",
        "_fastest",
        "_hold",
        "_in_vain",
        "_latency",
        "_most",
        "_news",
        "_probe_at",
        "_proven",
        "_since",
        "_speed",
        "limit",
        "why",
    )

    def __init__(self, limit: int, most: int, now: float) -> None:
        self.limit = limit
        self.why = ""
        self._most = most
        self._proven = 0
        self._ceiling = math.inf
        self._hold = _FIRST_HOLD
        self._probe_at = now
        self._allowance: Allowance | None = None
        self._in_vain = 0
        self._since = now
        self._answers = self._news = 0
        self._earlier = (0, 0.0)
        self._latency = 0.0
        self._fastest = math.inf
        self._speed = 0.0

    @property
    def rate(self) -> float:
        """Requests started per second, or 0 where only their number matters."""
        return 0.0 if self._allowance is None else self._allowance.rate

    @property
    def is_free(self) -> bool:
        """Whether nothing of it need be remembered: the host has never refused anything, or long ago."""
        return self._ceiling == math.inf and self._allowance is None

    @property
    def next_look(self) -> int:
        """After how many answers to look again: a round, and seldom where nothing is to be learnt any more."""
        if self._allowance is not None:
            return max(1, min(self.limit, int(self.rate)))
        if self.limit < self._most or self._proven < self.limit:
            return self.limit
        return max(_RARELY, 2 * self.limit)

    # --- up

    def answered(self, answers: int, load: int, latency: float, now: float) -> None:
        """Learn from a round of answers.

        Args:
            answers: how many came since the last time.
            load: how many were under way when the latest one began, itself included.
            latency: seconds from that request to the head of its answer; 0 if that is not known.
            now: the time.
        """
        self.count(answers)
        is_full = load >= self.limit
        if is_full:
            self._proven = max(self._proven, self.limit)
            self._raise_limit(now)
        if latency > 0:
            self._latency += (latency - self._latency) * (_SMOOTHING if self._latency else 1.0)
        self._fastest = min(self._fastest * 1.02, self._latency)
        if self._allowance is not None:
            is_binding = self._is_paced(is_full=is_full) and self._rate_that_came(now) >= _USED * self.rate
            self._allowance.answered(now, is_binding=is_binding)
        if now - self._since >= _WINDOW:
            self._close_window(now, is_full=is_full)

    def _is_paced(self, *, is_full: bool) -> bool:
        """Whether it is the pace that holds requests back, not the number of places."""
        return not is_full or self.rate * self._latency < _BUSY * self.limit

    def _raise_limit(self, now: float) -> None:
        if self._ceiling == math.inf:
            self.limit = min(2 * self.limit, self._most)
            return
        if self.limit + 1 >= self._ceiling:
            if now < self._probe_at:
                return
            if self.limit >= self._ceiling:  # a whole round above what it refused: it takes more now
                self._ceiling, self._hold = math.inf, _FIRST_HOLD
                self._forget_why()
                return
        self.limit = min(self.limit + 1, self._most)

    def _close_window(self, now: float, *, is_full: bool) -> None:
        """Every second or so: is a pace still of use, and is it our number that makes the host slow?"""
        seconds = now - self._since
        speed = self._answers / seconds
        if speed < 0.5 * self.rate and not self._is_paced(is_full=is_full):
            self._allowance = None
            self._forget_why()
        is_slow = self._latency >= max(_SLOW_AT_LEAST, _SLOWER * self._fastest)
        if is_slow and is_full and self.limit > 1 and speed <= 1.1 * self._speed:
            self._lower_limit(self.limit, now, "slow answers")
        self._speed = max(speed, 0.9 * self._speed)
        self._earlier = (self._answers, seconds)
        self._since, self._answers = now, 0

    # --- down

    def short_pause(self, now: float) -> float:
        """Seconds to leave it alone for a refusal now: infinity, but at a pace that went well it takes little."""
        allowance = self._allowance
        return allowance.short_pause if allowance is not None and allowance.is_steady(now) else math.inf

    def refused(self, load: int, now: float, resumes_at: float, why: str) -> None:
        """Learn from a "too many" that is news: fewer at once, or more slowly.

        Args:
            load: how many were under way when the refused request began, itself included.
            now: the time.
            resumes_at: when requests go on.
            why: the reason, for people.
        """
        came = self._rate_that_came(now)
        is_paced = self._allowance is not None and self._in_vain < _IN_VAIN
        if not self._news and self.why and (load == 1 or is_paced):
            if self._allowance is not None:
                self._allowance.go_on(resumes_at)
            return  # nothing was answered since it was last cut: the pause was too short, that is all
        if came and (load <= max(self._proven, 1) or is_paced):
            self._lower_rate(came, now, max(now, resumes_at), load)
        else:
            self._lower_limit(load, now, why)
            self._allowance, self._in_vain = None, 0
        self._news = 0
        self.why = why

    def failed(self, load: int, now: float, why: str) -> None:
        """Learn from failures in a row that are news: fewer at once."""
        self._lower_limit(load, now, why)

    def _lower_limit(self, load: int, now: float, why: str) -> None:
        load = min(load, self.limit)
        self._hold = min(2 * self._hold, _LONGEST_HOLD) if load >= self._ceiling else _FIRST_HOLD
        self._probe_at = now + self._hold
        self._ceiling = load
        self.limit = max(1, int(load * _KEPT))
        self.why = why

    def _lower_rate(self, came: float, now: float, resumes_at: float, load: int) -> None:
        if self._allowance is None:
            self._allowance = Allowance(came, now, resumes_at)
        else:
            self._in_vain = 0 if self._allowance.is_steady(now) else self._in_vain + 1
            self._allowance.refused(came, self._news, now, resumes_at)
        self._proven = max(1, int(load * _KEPT))
        if load == 1:  # nothing else was under way: it cannot have been too many at once
            self._ceiling, self._hold = math.inf, _FIRST_HOLD
            self.limit = max(self.limit, min(FIRST_PLACES, self._most))

    def _rate_that_came(self, now: float) -> float:
        """Answers per second, over the last one or two seconds."""
        answers, seconds = self._earlier
        return (answers + self._answers) / max(_WINDOW, seconds + now - self._since)

    def count(self, answers: int) -> None:
        """Count answers from which nothing else is learnt."""
        self._answers += answers
        self._news += answers

    def _forget_why(self) -> None:
        if self.is_free:
            self.why = ""
