"""A rate as a rule about time: when the next one may start. Pure; time is an argument, in seconds.

Timers come late, by a millisecond and more on a busy machine. A pace that counted from each late start would stay
below its rate for ever, so a start may catch up on a little of what was lost (`lateness`): in any window of W
seconds there are at most `(W + lateness) / interval + 1` starts.
"""

from __future__ import annotations

__all__ = ["TIMERS_ARE_LATE", "Pace"]

TIMERS_ARE_LATE = 0.005


class Pace:
    """Starts in a row, an interval apart.

    Attributes:
        interval: seconds between two starts.
        lateness: seconds that may be caught up on; 0 never lets two starts be closer than the interval.
        next_at: when the next one may start.
    """

    __slots__ = ("interval", "lateness", "next_at")

    def __init__(self, interval: float, lateness: float = TIMERS_ARE_LATE) -> None:
        self.interval = interval
        self.lateness = lateness
        self.next_at = 0.0

    def start(self, now: float) -> float:
        """Count one start; return when the next one may be."""
        late = now - self.next_at
        if late > self.lateness and late > self.interval:  # it is no timer that was late: nobody wanted to start
            late = 0.0
        self.next_at = now - min(late, self.lateness) + self.interval
        return self.next_at

    def spend(self, amount: int, now: float) -> float:
        """Count as many starts at once, bytes for instance; return how many seconds to wait for that."""
        self.next_at = max(self.next_at, now - self.lateness) + amount * self.interval
        return max(0.0, self.next_at - now)
