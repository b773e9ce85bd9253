"""Whether a host is there at all: closed, broken with single probes, or given up. Pure; times are seconds.

Only failures without a byte of an answer count, and only in a row: any answer, of whatever status, shows that the
host is there.
"""

from __future__ import annotations

import math

from asyncfetch.scheduler.manners import Manners

__all__ = ["Breaker"]


class Breaker:
    """The breaker of one host that has failed at least once.

    Attributes:
        failures: in a row, so far.
        why: how the latest one failed, for people.
        is_broken: only probes may go; where it is given up, not even they, until `rests_until`.
        given_up: no probe helped.
        rests_until: when a host that was given up may be probed again.
    """

    __slots__ = ("_failed_at", "_probe", "failures", "given_up", "is_broken", "rests_until", "why")

    def __init__(self) -> None:
        self.failures = 0
        self.why = ""
        self.is_broken = self.given_up = False
        self.rests_until = math.inf
        self._probe = 0
        self._failed_at = -math.inf

    @property
    def is_resting(self) -> bool:
        """Whether the host was given up, and no probe is due or under way."""
        return self.given_up and self.rests_until < math.inf

    def failed(self, began: float, now: float, manners: Manners, why: str) -> float:
        """Count a failure; return when the next probe is due, or 0 if the host is not waiting for one.

        What had begun before the breaker opened, or before the last probe failed, says nothing new.
        """
        if self.is_broken and began <= self._failed_at:
            return 0.0
        self.failures += 1
        self.why = why
        if self.is_broken:
            self._probe += 1
        elif self.failures < (manners.failures or math.inf):
            return 0.0
        self.is_broken = True
        self._failed_at = now
        if self.given_up or self._probe >= len(manners.probes):
            self.given_up = True
            self.rests_until = now + manners.rest
            return 0.0
        return now + manners.probes[self._probe]

    def may_probe(self, now: float) -> bool:
        """Whether a host that was given up has rested; it is then due for one probe, and counts as begun."""
        if now < self.rests_until:
            return False
        self.rests_until = math.inf
        return True

    def was_cancelled(self, now: float) -> None:
        """A request of a host that was given up was not finished: if it was the probe, another one is due."""
        if self.given_up and self.rests_until == math.inf:
            self.rests_until = now
