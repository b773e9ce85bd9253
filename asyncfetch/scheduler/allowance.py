"""The pace that one host allows, found out from what it refuses. Pure; times are seconds, paces requests a second.

A server that counts requests may do it in fixed windows, in sliding ones, or with a bucket of tokens; which one,
how long and how many, it does not say. What they have in common: kept busy, it answers as many as it allows.

The search. The first refusal tells little: a burst was too much, and some answers came of it. The pace begins a
little below what came; once it has held for a second, it grows, three times as much each second, until it is
refused.

The plateau. What was refused is the *ceiling*. From a tenth below it the pace comes back along a cubic curve (the
one with which RFC 9438 lets TCP find its window): quickly at first, very slowly a little below the ceiling, then
more and more quickly beyond it, for the host may allow more by now. While refusals agree about the ceiling, the
curve takes twice as long after each: at last there is one in half a minute or so, whatever the pace.

The ceiling. A pace that went well for a while was just too much. A refusal soon after another one says that it was
far too much: then the answers that came meanwhile, pauses included, count as much as the pace. And where the host
had to be left alone for longer than it then answered, they alone count: so a server that counts by the minute is
soon asked for a minute's share.
"""

from __future__ import annotations

import math

__all__ = ["Allowance"]

_BELOW_WHAT_CAME = 0.95
_SEARCH, _BEFORE_A_SEARCH = 3.0, 1.0  # times the pace, a second; after so many seconds
_PLATEAU, _RISE = 0.97, 0.07  # parts of the ceiling
_SHORTEST, _LONGEST = 2.0, 20.0  # seconds from a refusal to the plateau
_BEYOND = 2.0  # times that: the pace is above the ceiling, which holds no longer
_STARTS = 25  # that this takes at least: a slow host should not refuse every tenth request
_SAME = 0.15  # by which two ceilings may differ and agree
_STEADY = 2.0
_MOST_AT_A_STEADY_CUT, _MOST_AT_A_CUT = 0.9, 0.6
_ABOVE_WHAT_CAME = 1.03
_STARTS_TO_WAIT = 4
_LONG = 2.0  # a pause that is a part of what a server allows
_SLOWEST = 1 / 30
_LONGEST_STEP = 5.0  # a clock may jump


class Allowance:
    """What is known of the pace that a host allows.

    Attributes:
        rate: requests that may be started per second.
    """

    __slots__ = ("_ceiling", "_curve", "_cut_at", "_grown_at", "_time", "_went_on_at", "rate")

    def __init__(self, came: float, now: float, resumes_at: float) -> None:
        """Begin after a first refusal.

        Args:
            came: answers per second until then, more than 0.
            now: the time.
            resumes_at: when requests go on.
        """
        self.rate = _BELOW_WHAT_CAME * came
        self._ceiling = math.inf
        self._curve = 0.0
        self._time = _SHORTEST
        self._cut_at = now
        self._went_on_at = resumes_at
        self._grown_at = resumes_at + _BEFORE_A_SEARCH

    def is_steady(self, now: float) -> bool:
        """Whether it has gone well for a while, so that a refusal says no more than "a little too much"."""
        return now - self._went_on_at >= max(_STEADY, _STARTS_TO_WAIT / self.rate) and self._ceiling < math.inf

    @property
    def short_pause(self) -> float:
        """Seconds that let a host that was asked a little too much catch up."""
        return _STARTS_TO_WAIT / self.rate

    @property
    def _shortest(self) -> float:
        return max(_SHORTEST, _STARTS / self._ceiling)

    def answered(self, now: float, *, is_binding: bool) -> None:
        """Let the pace grow by the time since the last call, if it was what held requests back."""
        passed = min(max(0.0, now - self._grown_at), _LONGEST_STEP)
        self._grown_at = max(now, self._grown_at)
        if not is_binding:
            return
        if self._ceiling == math.inf:
            self.rate *= _SEARCH ** min(passed, 1.0)
        else:
            self._curve += passed / (self._time if self._curve < _BEYOND else self._shortest)
            self.rate = self._ceiling * (_PLATEAU + _RISE * (self._curve - 1.0) ** 3)

    def refused(self, came: float, answers: int, now: float, resumes_at: float) -> None:
        """Lower it after a refusal.

        Args:
            came: answers per second in the last second or two.
            answers: how many came since it was last lowered.
            now: the time.
            resumes_at: when requests go on.
        """
        before = self._ceiling
        if self._went_on_at - self._cut_at > max(_LONG, now - self._went_on_at):
            self._ceiling = min(self.rate, max(_SLOWEST, answers / (now - self._cut_at)))
        elif self.is_steady(now):
            about = _ABOVE_WHAT_CAME * came + 1.0  # one more may be on its way
            self._ceiling = max(_MOST_AT_A_STEADY_CUT * self.rate, min(self.rate, about))
        else:
            self._ceiling = max(_MOST_AT_A_CUT * self.rate, math.sqrt(self.rate * min(self.rate, came)))
        agrees = abs(self._ceiling - before) < _SAME * before < math.inf
        self._time = min(2 * self._time, _LONGEST) if agrees else self._shortest
        self._curve = 0.0
        self._cut_at = now
        self.rate = (_PLATEAU - _RISE) * self._ceiling
        self.go_on(resumes_at)

    def go_on(self, resumes_at: float) -> None:
        """Take note of a pause; a search shows first that its pace holds."""
        self._went_on_at = resumes_at
        self._grown_at = resumes_at + (_BEFORE_A_SEARCH if self._ceiling == math.inf else 0.0)
