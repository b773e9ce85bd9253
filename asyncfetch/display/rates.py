"""How fast a counter grows, smoothed so that a person can read it."""

from __future__ import annotations

import math

__all__ = ["Rate"]


class Rate:
    """The growth of a counter per second, where what is `window` seconds old counts about a third.

    Growth and time fade together, so the first seconds are right too, and looks may be far apart or close.

    Attributes:
        per_second: the growth at the latest look; 0 before the second one.
    """

    __slots__ = ("_count", "_growth", "_now", "_time", "_window", "per_second")

    def __init__(self, window: float = 5.0) -> None:
        self._window = window
        self._count: float | None = None
        self._now = self._growth = self._time = 0.0
        self.per_second = 0.0

    def look(self, now: float, count: float) -> float:
        """Take the counter's value at the time `now`, in seconds, and return the rate."""
        if self._count is None:
            self._now, self._count = now, count
            return 0.0
        passed = now - self._now
        if passed > 0:
            fading = math.exp(-passed / self._window)
            self._growth = self._growth * fading + count - self._count
            self._time = self._time * fading + passed
            self._now, self._count = now, count
            self.per_second = self._growth / self._time
        return self.per_second
