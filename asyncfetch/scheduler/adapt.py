"""How many requests at once, and how fast, one host takes: found out from its answers. Pure; times are seconds.

Up. A host begins with 4 places and gets twice as many after each round of answers (as many as it has places) that
used them all, up to its most. Once it has refused something, it gets one more place a round, and stays one below
what it refused (the *ceiling*) for 15 s; each time it refuses that again, twice as long.

Down. A host that says "too many" (429) can mean two things. If more requests were under way than ever went well,
it means *at once*, and loses three tenths of its places. Otherwise it means *a second*: then its answers of the
last one or two seconds were about what it takes, and requests are paced below that. The pace doubles each second
until it is refused; then it grows by a sixth a second, and near what was refused waits as the ceiling does. If the
one does not help, the next refusal is read as the other. What had been under way when it was last cut says nothing
new (`host.py` sees to that).

Two failures in a row (timeouts, resets, 503 without a field) count as "at once"; a single one is that URL's own. So
does latency three times as long, and half a second at least, while no more answers come than before.
"""

from __future__ import annotations

import math

__all__ = ["FIRST_PLACES", "Adapt"]

FIRST_PLACES = 4
_KEPT = 0.7  # of the places, when there were too many
_BELOW_WHAT_CAME, _ABOVE_WHAT_CAME = 0.95, 1.1
_MOST_AT_A_CUT = 0.7  # of a pace
_SEARCH, _GROWTH = 2.0, 1.15  # of a pace, a second: before anything is known of it, and later
_NEAR = 0.93  # of the pace that was refused
_FIRST_HOLD, _LONGEST_HOLD = 15.0, 120.0
_WINDOW = 1.0
_SLOWER, _SLOW_AT_LEAST = 3.0, 0.5
_SMOOTHING = 0.3
_RARELY = 64  # answers between two looks at a host that has all its places


class Adapt:
    """What one host was found to take.

    Attributes:
        limit: requests at once.
        rate: requests started per second, or 0 where only their number matters.
        why: the reason why it is less than it might be, for people; empty without one.
    """

    __slots__ = (
        "_answers",
        "_ceiling",
        "_earlier",
        "_fastest",
        "_grown_at",
        "_hold",
        "_latency",
        "_most",
        "_probe_at",
        "_proven",
        "_rate_ceiling",
        "_rate_hold",
        "_rate_probe_at",
        "_since",
        "_speed",
        "limit",
        "rate",
        "why",
    )

    def __init__(self, limit: int, most: int, now: float) -> None:
        self.limit = limit
        self.rate = 0.0
        self.why = ""
        self._most = most
        self._proven = 0
        self._ceiling = self._rate_ceiling = math.inf
        self._hold = self._rate_hold = _FIRST_HOLD
        self._probe_at = self._rate_probe_at = now
        self._grown_at = now
        self._since = now
        self._answers = 0
        self._earlier = (0, 0.0)
        self._latency = 0.0
        self._fastest = math.inf
        self._speed = 0.0

    @property
    def is_free(self) -> bool:
        """Whether nothing of it need be remembered: the host has never refused anything, or long ago."""
        return self._ceiling == math.inf and not self.rate

    @property
    def next_look(self) -> int:
        """After how many answers to look again: a round, and seldom where nothing is to be learnt any more."""
        if self.limit < self._most or self.rate or self._proven < self.limit:
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
        self._answers += answers
        is_full = load >= self.limit
        if is_full:
            self._proven = max(self._proven, self.limit)
            self._raise_limit(now)
        if self.rate:
            self._raise_rate(now, is_binding=not is_full)
        if latency > 0:
            self._latency += (latency - self._latency) * (_SMOOTHING if self._latency else 1.0)
        self._fastest = min(self._fastest * 1.02, self._latency)
        if now - self._since >= _WINDOW:
            self._close_window(now, is_full=is_full)

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

    def _raise_rate(self, now: float, *, is_binding: bool) -> None:
        passed = min(max(0.0, now - self._grown_at), 1.0)
        self._grown_at = max(now, self._grown_at)
        if not is_binding:
            return
        if self._rate_ceiling == math.inf:
            self.rate *= _SEARCH**passed
        elif now >= self._rate_probe_at:
            self.rate *= _GROWTH**passed
        else:
            self.rate = max(self.rate, min(self.rate * _GROWTH**passed, _NEAR * self._rate_ceiling))

    def _close_window(self, now: float, *, is_full: bool) -> None:
        """Every second or so: is a pace still of use, and is it our number that makes the host slow?"""
        seconds = now - self._since
        speed = self._answers / seconds
        if self.rate and speed < 0.5 * self.rate and is_full:  # it is not the pace that holds it back
            self.rate, self._rate_ceiling, self._rate_hold = 0.0, math.inf, _FIRST_HOLD
            self._forget_why()
        is_slow = self._latency >= max(_SLOW_AT_LEAST, _SLOWER * self._fastest)
        if is_slow and is_full and self.limit > 1 and speed <= 1.1 * self._speed:
            self._lower_limit(self.limit, now, "slow answers")
        self._speed = max(speed, 0.9 * self._speed)
        self._earlier = (self._answers, seconds)
        self._since, self._answers = now, 0

    # --- down

    def refused(self, load: int, now: float, resumes_at: float, why: str) -> None:
        """Learn from a "too many" that is news: fewer at once, or more slowly.

        Args:
            load: how many were under way when the refused request began, itself included.
            now: the time.
            resumes_at: when requests go on; what happened until then is not counted again.
            why: the reason, for people.
        """
        came = self._rate_that_came(now)
        if not came and self.why and load == 1:
            return  # the first one since it was last cut: the pause was too short, that is all
        if load > max(self._proven, 1) or not came:
            self._lower_limit(load, now, why)
        else:
            self._lower_rate(came, now, why)
            self._proven = max(1, int(load * _KEPT))
        self._earlier, self._answers = (0, 0.0), 0
        self._since = self._grown_at = max(now, resumes_at)

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

    def _lower_rate(self, came: float, now: float, why: str) -> None:
        if not self.rate:
            self.rate = _BELOW_WHAT_CAME * came
        else:
            again = now >= self._rate_probe_at
            self._rate_hold = min(2 * self._rate_hold, _LONGEST_HOLD) if again else _FIRST_HOLD
            self._rate_probe_at = now + self._rate_hold
            self._rate_ceiling = math.sqrt(self.rate * min(self.rate, _ABOVE_WHAT_CAME * came))
            self.rate = min(_BELOW_WHAT_CAME * self.rate, max(_BELOW_WHAT_CAME * came, _MOST_AT_A_CUT * self.rate))
        self.why = why

    def _rate_that_came(self, now: float) -> float:
        """Answers per second, over the last one or two seconds."""
        answers, seconds = self._earlier
        return (answers + self._answers) / max(_WINDOW, seconds + now - self._since)

    def count(self, answers: int) -> None:
        """Count answers that are no news otherwise."""
        self._answers += answers

    def _forget_why(self) -> None:
        if self._ceiling == math.inf and not self.rate:
            self.why = ""
