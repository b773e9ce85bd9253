"""The deadlines of one exchange: numbers in, the error that they make out.

No timer, no await, no clock: whoever owns the connection asks a few times a second what has passed. Times are those
of `time.monotonic()`, in seconds.
"""

from __future__ import annotations

import math

from asyncfetch.errors import FetchTimeout, HeadTimeout, ReadTimeout, SlowBody, TotalTimeout
from asyncfetch.settings import Timeouts
from asyncfetch.streams.wire import WireReader

__all__ = ["Deadlines"]

_HEAD_IS_THERE = -math.inf


class Deadlines:
    """When head, next bytes and end of one exchange are due; before the first exchange nothing is.

    Only the server can be late: while bytes are there that we have not taken, the clocks of head and body stand.

    Attributes:
        reader: what comes, and how much did.
    """

    __slots__ = (
        "_before",
        "_head_at",
        "_progress_at",
        "_progress_received",
        "_timeouts",
        "_total_at",
        "_window_at",
        "_window_received",
        "reader",
    )

    def __init__(self, reader: WireReader) -> None:
        self.reader = reader
        self._total_at = self._head_at = math.inf
        self._before = reader.received

    def expect_head(self, now: float, timeouts: Timeouts, total_at: float) -> None:
        """Start the clocks of an exchange.

        Args:
            now: the time.
            timeouts: the head is due after `timeouts.head`.
            total_at: when the whole must be over; infinity for never.
        """
        self._timeouts = timeouts
        self._total_at = total_at
        self._head_at = now + timeouts.head
        self._before = self.reader.received

    @property
    def was_silent(self) -> bool:
        """Whether not a byte has come since the clocks of an exchange were started."""
        return self.reader.received == self._before

    def expect_body(self, now: float) -> None:
        """The head has come: from here silence and slowness count."""
        self._head_at = _HEAD_IS_THERE
        self._progress_at = self._window_at = now
        self._progress_received = self._window_received = self.reader.received

    def hurry(self, at: float) -> None:
        """Let the exchange be over at `at` at the latest."""
        self._total_at = min(self._total_at, at)

    def find_expired(self, now: float) -> FetchTimeout | None:
        """Return the deadline that has passed, or None."""
        if now >= self._total_at:
            total = self._timeouts.total
            return TotalTimeout("not finished in time" if total is None else f"not finished within {total:g} s")
        reads_body = self._head_at == _HEAD_IS_THERE
        if not self.reader.is_starving:
            if reads_body:
                self.expect_body(now)
            return None
        if reads_body:
            return self._find_silence(now) or self._find_slowness(now)
        if now >= self._head_at:
            return HeadTimeout(f"no complete response head within {self._timeouts.head:g} s")
        return None

    def _find_silence(self, now: float) -> FetchTimeout | None:
        received, most = self.reader.received, self._timeouts.read
        if received != self._progress_received:
            self._progress_at, self._progress_received = now, received
        elif most is not None and now - self._progress_at >= most:
            return ReadTimeout(f"no byte of the body for {most:g} s")
        return None

    def _find_slowness(self, now: float) -> FetchTimeout | None:
        window, least = self._timeouts.speed_time, self._timeouts.speed_limit
        if now - self._window_at < window:
            return None
        received = self.reader.received
        came = received - self._window_received
        if came < least * window:
            return SlowBody(f"{came / window:.0f} bytes/s over {window:g} s is below the limit of {least} bytes/s")
        self._window_at, self._window_received = now, received
        return None
