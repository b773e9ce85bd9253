"""Lines that are said once, above the live view: failures as they come, and remarks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from asyncfetch.display import units
from asyncfetch.display.text import harmless
from asyncfetch.display.words import Words
from asyncfetch.result import Result
from asyncfetch.url import redacted

__all__ = ["Notes", "failure_line"]

_URL_AT_MOST = 300
_DETAIL_AT_MOST = 200
_MOST_REMARKS = 1000


def failure_line(result: Result, *, ascii_only: bool = False) -> Words:
    """Write one line about a result that is not ok: its code, its URL and what happened."""
    error = result.error
    code, detail = ("", "") if error is None else (error.code, error.detail)
    line = Words().append(f"{code:<18}  ", "red")
    line.append(harmless(redacted(result.url), _URL_AT_MOST, cut="middle", ascii_only=ascii_only), "bold")
    line.append(f"  {harmless(detail, _DETAIL_AT_MOST, ascii_only=ascii_only)}")
    if result.attempts > 1:
        line.append(f" ({result.attempts} attempts)", "dim")
    return line


class Notes:
    """Lines that wait for the next look. Of failures at most `per_second` are kept, the others are counted."""

    def __init__(self, clock: Callable[[], float], *, per_second: int = 20, ascii_only: bool = False) -> None:
        self._clock = clock
        self._per_second = per_second
        self._ascii_only = ascii_only
        self._lines: deque[Words] = deque(maxlen=_MOST_REMARKS)
        self._second = float("-inf")
        self._kept = self._dropped = 0

    def add(self, line: Words) -> None:
        """Keep a remark."""
        self._lines.append(line)

    def failure(self, result: Result) -> None:
        """Keep a line about a result that is not ok, or count it. Costs nothing while more come than are kept."""
        now = self._clock()
        if now - self._second >= 1.0:
            self._flush_count()
            self._second, self._kept = now, 0
        if self._kept < self._per_second:
            self._kept += 1
            self._lines.append(failure_line(result, ascii_only=self._ascii_only))
        else:
            self._dropped += 1

    def take(self, *, last: bool = False) -> list[Words]:
        """Give away what waits; the count of what was not kept once a second, and at the end."""
        if last or self._clock() - self._second >= 1.0:
            self._flush_count()
        lines = list(self._lines)
        self._lines.clear()
        return lines

    def _flush_count(self) -> None:
        if self._dropped:
            dots = "..." if self._ascii_only else "\N{HORIZONTAL ELLIPSIS}"
            self._lines.append(Words(f"{dots} and {units.counted(self._dropped, 'more failure')}", "dim"))
            self._dropped = 0
