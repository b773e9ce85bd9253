"""When a run ends before its list does: limits that the user sets, and the tail that is not worth waiting for.

Decides from numbers; who counts them and what stopping means is in `runner.py`. Times are seconds.
"""

from __future__ import annotations

from collections import deque

import msgspec

__all__ = ["DEADLINE", "FEW_HOSTS", "MAX_FAILURES", "TAIL_RATE", "Ends", "Tail", "TailSeen"]

MAX_FAILURES = "max_failures"
"""`JobOutcome.stopped_by` of a run that had more failures than the user allows."""
DEADLINE = "deadline"
"""The same of a run that was not done in time."""
TAIL_RATE = "tail_rate"
"""The same of a run whose last few hosts were too slow."""

_SHARE_FROM = 50  # results; a share of fewer says little
FEW_HOSTS = 5
_WORTH_A_WORD = 1.0  # results a second


class Ends(msgspec.Struct, frozen=True, kw_only=True):
    """When to stop early.

    Attributes:
        deadline: seconds from the start of the run; what is in flight then is given up.
        max_failures: stop when so many results are not ok, 1 or more.
        max_failed_share: stop when more than this share (0 to 1) of the results is not ok, from the 50th on.
        tail_rate: stop when at most 5 hosts are left and fewer results a second have come for `tail_time`.
        tail_time: seconds; 30 outlast most pauses that hosts ask for.
    """

    deadline: float | None = None
    max_failures: int | None = None
    max_failed_share: float | None = None
    tail_rate: float | None = None
    tail_time: float = 30.0

    @property
    def counts_failures(self) -> bool:
        """Whether failures can end the run."""
        return self.max_failures is not None or self.max_failed_share is not None

    def are_too_many(self, failures: int, results: int) -> bool:
        """Whether so many failures among so many results end the run."""
        if self.max_failures is not None and failures >= self.max_failures:
            return True
        if self.max_failed_share is None or results < _SHARE_FROM:
            return False
        return failures > self.max_failed_share * results


class TailSeen(msgspec.Struct, frozen=True):
    """The end of a list that is slow.

    Attributes:
        hosts: that are left, by key, a few.
        rate: results per second, of late.
        left: entries that are not done.
    """

    hosts: list[str]
    rate: float
    left: int

    @property
    def is_worth_a_word(self) -> bool:
        """Whether it is so slow that whoever waits should know."""
        return self.rate < _WORTH_A_WORD


class Tail:
    """Watches the end of a list, over so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._window = seconds
        self._samples: deque[tuple[float, int]] = deque()

    def look(self, now: float, done: int, left: int, hosts: list[str]) -> TailSeen | None:
        """Take the counts, about once a second; return what is to be said if the list has come to a slow end.

        Args:
            now: the time.
            done: results so far.
            left: entries that are not done.
            hosts: some of those that are left; more than 5 are many.
        """
        samples = self._samples
        samples.append((now, done))
        while len(samples) > 1 and samples[1][0] <= now - self._window:
            samples.popleft()
        seconds = now - samples[0][0]
        if seconds < self._window or not left or not 0 < len(hosts) <= FEW_HOSTS:
            return None
        return TailSeen(hosts, (done - samples[0][1]) / seconds, left)
