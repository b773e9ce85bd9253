"""Whether to try again, and when."""

from __future__ import annotations

import inspect
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfetch import errors
from asyncfetch.scheduler import (
    RETRIED_CODES,
    RETRIED_STATUSES,
    Again,
    GiveUp,
    backoff,
    may_pass,
    next_step,
    parse_retry_after,
)
from asyncfetch.settings import Retry

WALL = datetime(1994, 11, 6, 8, 49, 7, tzinfo=UTC).timestamp()


def step(
    attempt: int = 1,
    *,
    code: str = "http.5xx",
    status: int | None = 503,
    retry_after: float | None = None,
    waited: float = 0.0,
    retry: Retry | None = None,
) -> GiveUp | Again:
    return next_step(attempt, code, status, retry_after, waited, retry or Retry(), Random(1))


# What may pass


@pytest.mark.parametrize("code", sorted(RETRIED_CODES))
def test_failures_that_may_pass_are_tried_again(code: str) -> None:
    """Connections, time-outs and cut answers may go better next time, whatever status was seen before."""
    assert may_pass(code, None)
    assert may_pass(code, 200)


def test_every_code_is_known() -> None:
    """Each retried code is one of the error tree, and exactly the lasting ones are left out."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.FetchError)]
    codes = {kind.code for kind in kinds} - {"error"}
    assert codes - RETRIED_CODES == {
        "url.invalid",
        "dns.not_found",
        "connect.blocked",
        "tls.certificate",
        "protocol.malformed",
        "protocol.too_large",
        "body.too_large",
        "body.checksum",
        "body.decoding",
        "redirect.too_many",
        "redirect.invalid",
        "host.unavailable",
        "robots.disallowed",
        "io",
        "cancelled",
    }
    assert codes > RETRIED_CODES


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_busy_answers_are_tried_again(status: int) -> None:
    """The statuses that say "not now" may pass, with their code or without one."""
    assert may_pass("http.4xx" if status < 500 else "http.5xx", status)
    assert may_pass("", status)


@pytest.mark.parametrize("status", [None, 200, 301, 400, 404, 410, 501, 505, 600])
def test_final_answers_stand(status: int | None) -> None:
    """Any other status is an answer."""
    assert not may_pass("http.4xx", status)


def test_the_code_decides_over_the_status() -> None:
    """A 503 whose body was too large is not tried again."""
    assert not may_pass("body.too_large", 503)
    assert step(code="body.too_large", retry_after=1.0) == GiveUp()


# Back-off


@given(st.integers(1, 10**9), st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 100))
def test_backoff_stays_within_its_bound(attempt: int, base: float, most: float, seed: int) -> None:
    """The wait is between 0 and the bound, which doubles until it reaches the most, for attempts of any number."""
    wait = backoff(attempt, Retry(backoff=base, backoff_most=most), Random(seed))
    assert 0 <= wait <= most
    assert wait <= base * 2.0 ** min(attempt - 1, 1000)


def test_backoff_uses_its_whole_range() -> None:
    """Full jitter: over many draws the mean is half the bound, and the ends are reached."""
    rng = Random(7)
    for attempt, bound in ((1, 0.5), (2, 1.0), (3, 2.0), (20, 30.0)):
        waits = [backoff(attempt, Retry(), rng) for _ in range(2000)]
        assert sum(waits) / len(waits) == pytest.approx(bound / 2, rel=0.1)
        assert min(waits) < 0.02 * bound
        assert max(waits) > 0.98 * bound


# The next step


def test_attempts_are_counted() -> None:
    """Without a wanted pause there are as many tries as the settings say, each after a back-off."""
    for attempt in (1, 2):
        again = step(attempt, code="connect.refused", status=None)
        assert isinstance(again, Again)
        assert again.uses_attempt
        assert again.charge == 0.0
        assert 0 <= again.delay <= 1.0
    assert step(3, code="connect.refused", status=None) == GiveUp()
    assert step(1, code="connect.refused", status=None, retry=Retry(attempts=1)) == GiveUp()


def test_what_lasts_is_given_up_at_once() -> None:
    """A certificate is not tried again, nor a 404 that names a time."""
    assert step(code="tls.certificate", status=None) == GiveUp()
    assert step(code="http.4xx", status=404, retry_after=5.0) == GiveUp()


@pytest.mark.parametrize("status", sorted(RETRIED_STATUSES))
def test_a_wait_that_the_host_asked_for_uses_no_attempt(status: int) -> None:
    """Retry-After is obeyed even after the last attempt."""
    assert step(3, code="", status=status, retry_after=7.0) == Again(7.0, False, 7.0)


def test_a_wait_is_cut_to_the_longest_allowed() -> None:
    """Who asks for a year is given five minutes."""
    assert step(retry_after=1e9) == Again(300.0, False, 300.0)


def test_the_budget_ends_the_waiting() -> None:
    """A wait that would go past the budget is not begun; the answer stands, attempts left or not."""
    assert step(retry_after=300.0, waited=600.0) == Again(300.0, False, 300.0)
    assert step(retry_after=300.0, waited=600.1) == GiveUp()
    assert step(retry_after=5.0, retry=Retry(wait_budget=0)) == GiveUp()


@pytest.mark.parametrize("asked", [1e-9, 0.3, 1.0, 4.0, 1e9])
def test_no_host_can_keep_a_url_for_ever(asked: float) -> None:
    """However small a wait is asked for, again and again, it ends after at most a wait for each budgeted second."""
    waited, waits = 0.0, 0
    while isinstance(again := step(retry_after=asked, waited=waited), Again):
        assert not again.uses_attempt
        waited += again.charge
        waits += 1
    assert 1 <= waits <= 900
    assert waited <= 900


def test_a_wait_of_nothing_is_an_ordinary_retry() -> None:
    """Retry-After: 0 uses attempts, so a server that always says so is left after the last of them."""
    again = step(2, retry_after=0.0)
    assert isinstance(again, Again)
    assert again.uses_attempt
    assert step(3, retry_after=0.0) == GiveUp()
    assert step(3, retry_after=5.0, retry=Retry(max_wait=0)) == GiveUp()


def test_a_broken_answer_does_not_wait_for_its_host() -> None:
    """A Retry-After on a status that is not retried means nothing, even if the answer broke."""
    again = step(code="protocol.incomplete", status=200, retry_after=50.0)
    assert isinstance(again, Again)
    assert again.uses_attempt


# Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0.0),
        (b"3", 3.0),
        (b" 120\t", 120.0),
        (b"007", 7.0),
        (b"999999999", 999999999.0),
        (b"1000000000", 1e9),
        (b"9999999999", 1e9),
        (b"9" * 5000, 1e9),
        (b"0" * 5000, 0.0),
        (b"0" * 5000 + b"5", 5.0),
        (b"Sun, 06 Nov 1994 08:49:37 GMT", 30.0),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", 30.0),
        (b"Sun Nov  6 08:49:37 1994", 30.0),
        (b"Sun Nov 06 08:49:37 1994", 30.0),
        (b"Sun, 06 Nov 1994 08:48:60 GMT", 0.0),
        (b"Sun, 06 Nov 1994 08:49:60 GMT", 52.0),
        (b"Sat, 05 Nov 1994 08:49:37 GMT", 0.0),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", 1e9),
        (b"Mon, 01 Jan 0001 00:00:00 GMT", 0.0),
    ],
)
def test_seconds_and_dates_are_read(value: bytes, seconds: float) -> None:
    """Digits are seconds; the three forms of a date count from now, a past one is no wait, a far one is bounded."""
    assert parse_retry_after(value, WALL) == seconds


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"-1",
        b"+1",
        b"1.5",
        b"1e3",
        b"1_0",
        b"0x10",
        b"1, 2",
        b"1 2",
        b"1\n",
        b"nan",
        b"inf",
        b"soon",
        "٣".encode(),
        b"\xb2",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"sun, 06 nov 1994 08:49:37 gmt",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 31 Feb 1994 08:49:37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:60:37 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT, 5",
        b"Sun Nov    08:49:37 1994",
        b"Xyz, 06 Nov 1994 08:49:37 GMT",
    ],
)
def test_garbage_is_no_time(value: bytes) -> None:
    """What is neither digits nor a date means nothing, and never raises."""
    assert parse_retry_after(value, WALL) is None


@pytest.mark.parametrize(
    ("year", "wall_year", "full"), [(94, 2026, 1994), (76, 2026, 2076), (77, 2026, 1977), (0, 1999, 2000)]
)
def test_two_digits_of_a_year_are_at_most_fifty_years_ahead(year: int, wall_year: int, full: int) -> None:
    """The obsolete form's year is completed as RFC 9110 section 5.6.7 says."""
    wall = datetime(wall_year, 1, 1, tzinfo=UTC).timestamp()
    then = datetime(full, 6, 1, tzinfo=UTC).timestamp()
    value = b"Monday, 01-Jun-%02d 00:00:00 GMT" % year
    assert parse_retry_after(value, wall) == min(max(then - wall, 0.0), 1e9)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)), st.integers(0, 10**6))
def test_dates_as_others_write_them_are_read(moment: datetime, ahead: int) -> None:
    """Whatever the standard library writes as an HTTP date is understood to the second."""
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    wall = moment.timestamp() - ahead
    assert parse_retry_after(format_datetime(moment, usegmt=True).encode(), wall) == pytest.approx(ahead)


@given(st.binary(max_size=40) | st.from_regex(rb"[0-9A-Za-z,: -]{0,40}"))
def test_any_bytes_give_a_bounded_time_or_none(value: bytes) -> None:
    """No bytes raise, and no time is negative or beyond the bound."""
    seconds = parse_retry_after(value, WALL)
    assert seconds is None or 0.0 <= seconds <= 1e9


@pytest.mark.parametrize("value", [b"0" * 100_000 + b"x", b"1" * 100_000 + b"x", b" " * 100_000 + b"x"])
def test_long_garbage_costs_no_more_than_its_length(value: bytes) -> None:
    """A field as long as a head allows is refused at once, without trying every way to read it."""
    before = time.process_time()
    assert parse_retry_after(value, WALL) is None
    assert time.process_time() - before < 0.1
