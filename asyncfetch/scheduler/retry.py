"""Whether to try again, and when: pure decisions from an outcome, an attempt and the settings.

What may pass is tried again: a connection that failed, broke or took too long, an answer that ended too early, a
server that says it is busy. What will not change is not: a bad URL, a certificate, a blocked address, bytes that
are no HTTP, a body over its limit, a 404. Times are seconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from random import Random
from typing import NamedTuple

from asyncfetch.settings import Retry

__all__ = [
    "RETRIED_CODES",
    "RETRIED_STATUSES",
    "Again",
    "GiveUp",
    "backoff",
    "may_pass",
    "next_step",
    "parse_retry_after",
]

# A reset inside a handshake is `tls.failed` and passes; a certificate that is refused is `tls.certificate`.
RETRIED_CODES = frozenset(
    {
        "dns.failed",
        "connect.refused",
        "connect.failed",
        "tls.failed",
        "timeout.connect",
        "timeout.head",
        "timeout.read",
        "timeout.slow",
        "timeout.total",
        "protocol.incomplete",
    }
)
RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

_LEAST_CHARGE = 1.0
_LONGEST = 1e9
_MOST_DOUBLINGS = 1000  # 2.0**1000 is still a float


class GiveUp(NamedTuple):
    """This attempt was the last; what it brought stands."""


class Again(NamedTuple):
    """Try once more.

    Attributes:
        delay: seconds until then.
        uses_attempt: whether this counts as one of `Retry.attempts`. If not, the host asked for the delay: the
            whole host has to be left alone that long, and the turn can wait at the front of its queue.
        charge: seconds to add to what this URL has waited because hosts asked for it.
    """

    delay: float
    uses_attempt: bool
    charge: float = 0.0


def may_pass(code: str, status: int | None) -> bool:
    """Whether what happened may be different next time.

    Args:
        code: the error's code; an empty string or `http.…` leaves the decision to the status.
        status: the status of the answer, if there was one.
    """
    if not code or code.startswith("http."):
        return status in RETRIED_STATUSES
    return code in RETRIED_CODES


def backoff(attempt: int, retry: Retry, rng: Random) -> float:
    """Choose the wait after an attempt (the first is 1) failed: exponential with full jitter.

    Anything from 0 to the bound is equally likely, so that clients that failed together do not come back together.
    """
    bound = retry.backoff * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS)
    return rng.uniform(0.0, min(retry.backoff_most, bound))


def next_step(
    attempt: int,
    code: str,
    status: int | None,
    retry_after: float | None,
    waited: float,
    retry: Retry,
    rng: Random,
) -> GiveUp | Again:
    """Decide what follows an attempt that did not succeed.

    A retried status with a Retry-After above 0 is tried again after that time (`Retry.max_wait` at most) and uses
    no attempt, while `waited` and the charge together stay within `Retry.wait_budget`; then its answer stands.
    The charge is the wait, but one second at least. So a URL waits `wait_budget` times at most, however small the
    times that its host asks for. A Retry-After of 0, or a date that has passed, asks for no wait: it is tried
    again like anything else, with back-off, while there are attempts left.

    Args:
        attempt: the number of the attempt that ended, from 1; those that used no attempt are not counted.
        code: the error's code, as for `may_pass`.
        status: the status of the answer, if there was one.
        retry_after: what `parse_retry_after` made of its Retry-After field, if there was one.
        waited: the charges of this URL's earlier steps, in all.
        retry: the settings.
        rng: where chance comes from.
    """
    if not may_pass(code, status):
        return GiveUp()
    pause = min(retry_after or 0.0, retry.max_wait)
    if pause > 0 and status in RETRIED_STATUSES:
        charge = max(pause, _LEAST_CHARGE)
        return Again(pause, False, charge) if waited + charge <= retry.wait_budget else GiveUp()
    if attempt >= retry.attempts:
        return GiveUp()
    return Again(backoff(attempt, retry, rng), True)


_DIGITS = re.compile(rb"[0-9]+")
_TIME = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH = rb"(?P<month>" + b"|".join(_MONTHS) + rb")"
_DAY_NAME = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_DAY_NAME_LONG = rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"

# RFC 9110 section 5.6.7: HTTP-date = IMF-fixdate / rfc850-date / asctime-date
_DATES = tuple(
    re.compile(form)
    for form in (
        _DAY_NAME + rb", (?P<day>[0-9]{2}) " + _MONTH + rb" (?P<year>[0-9]{4}) " + _TIME + rb" GMT",
        _DAY_NAME_LONG + rb", (?P<day>[0-9]{2})-" + _MONTH + rb"-(?P<year>[0-9]{2}) " + _TIME + rb" GMT",
        _DAY_NAME + rb" " + _MONTH + rb" (?P<day>[ 0-9][0-9]) " + _TIME + rb" (?P<year>[0-9]{4})",
    )
)


def parse_retry_after(value: bytes, wall: float) -> float | None:
    """Read a Retry-After field (RFC 9110 section 10.2.3): seconds from now, 0 to 10**9, or None for garbage.

    Args:
        value: the field's value.
        wall: the time of day now, in seconds since the epoch, against which a date is read.
    """
    value = value.strip(b" \t")
    if _DIGITS.fullmatch(value):
        digits = value.lstrip(b"0") or b"0"
        return _LONGEST if len(digits) > 9 else float(digits)
    then = _parse_date(value, wall)
    return None if then is None else min(max(then - wall, 0.0), _LONGEST)


def _parse_date(value: bytes, wall: float) -> float | None:
    """Read an HTTP-date in any of its three forms, in seconds since the epoch; a leap second is the one before."""
    for form in _DATES:
        match = form.fullmatch(value)
        if match is not None:
            break
    else:
        return None
    day, hour, minute, second = (int(match[name]) for name in ("day", "hour", "minute", "second"))
    year, month = int(match["year"]), _MONTHS.index(match["month"]) + 1
    if len(match["year"]) == 2:
        year = _full_year(year, wall)
    try:
        return datetime(year, month, day, hour, minute, 59 if second == 60 else second, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _full_year(two_digits: int, wall: float) -> int:
    """Complete a year as RFC 9110 section 5.6.7 says: the one that is not more than 50 years in the future."""
    this_year = datetime.fromtimestamp(wall, UTC).year
    return this_year + 50 - (this_year + 50 - two_digits) % 100
