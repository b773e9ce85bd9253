"""How one host is treated: what the settings say for it, in one value that all hosts without their own share.

Times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from asyncfetch.scheduler.pace import TIMERS_ARE_LATE, Pace
from asyncfetch.settings import HostSettings, Limits, Politeness, Retry

__all__ = ["Manners"]

_SELDOM = 1.0  # seconds between two starts


@dataclass(frozen=True, slots=True)
class Manners:
    """What holds for a host.

    Attributes:
        most: requests at once.
        rate, delay: as in `Politeness`.
        delayed_by: what set the delay, for people.
        adapt, failures, probes, rest: as in `Politeness`.
        backoff, backoff_most, longest_pause: as `backoff`, `backoff_most` and `max_wait` in `Retry`.
    """

    most: int
    rate: float | None = None
    delay: float = 0.0
    delayed_by: str = "delay"
    adapt: bool = False
    failures: int | None = None
    probes: tuple[float, ...] = ()
    rest: float = 60.0
    backoff: float = Retry().backoff
    backoff_most: float = Retry().backoff_most
    longest_pause: float = Retry().max_wait

    @classmethod
    def of(cls, limits: Limits, politeness: Politeness, retry: Retry) -> Manners:
        """Take what a client's settings say for every host."""
        return cls(
            most=limits.per_host,
            rate=politeness.rate,
            delay=politeness.delay,
            adapt=politeness.adapt,
            failures=politeness.failures,
            probes=politeness.probes,
            rest=politeness.rest,
            backoff=retry.backoff,
            backoff_most=retry.backoff_most,
            longest_pause=retry.max_wait,
        )

    def with_settings(self, settings: HostSettings) -> Manners:
        """Put one host's settings over these."""
        return replace(
            self,
            most=self.most if settings.per_host is None else settings.per_host,
            rate=self.rate if settings.rate is None else settings.rate,
            delay=self.delay if settings.delay is None else settings.delay,
        )

    def with_delay(self, seconds: float, delayed_by: str) -> Manners:
        """Put another delay over these."""
        return replace(self, delay=seconds, delayed_by=delayed_by)

    @property
    def note(self) -> str:
        """Why a host is asked so seldom that it seems idle, for people; empty where it is not."""
        interval = 0.0 if self.rate is None else 1.0 / self.rate
        why = self.delayed_by if self.delay >= interval else "rate"
        interval = max(interval, self.delay)
        return f"every {interval:.3g} s: {why}" if interval >= _SELDOM else ""

    def make_pace(self) -> Pace | None:
        """Return the pace at which requests may start, or None if it does not matter.

        A delay is kept to the letter; a rate may catch up on what timers lose.
        """
        interval = 0.0 if self.rate is None else 1.0 / self.rate
        if self.delay >= interval:
            return Pace(self.delay, 0.0) if self.delay else None
        return Pace(interval, TIMERS_ARE_LATE)
