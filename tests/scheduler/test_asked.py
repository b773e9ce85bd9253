"""What a host asks for in the fields of its answers, however that is written; garbage is no wish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfetch.scheduler import Asked, find_asked

WALL = 1_700_000_000.0


def asked(status: int, *lines: str) -> Asked | None:
    fields = [line.encode("latin-1").partition(b": ") for line in lines]
    return find_asked([(name, value) for name, _, value in fields], status, WALL)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 429, 500, 502, 503, 504])
def test_retry_after_counts_where_something_follows(status: int) -> None:
    """On redirects and on what is tried again."""
    assert asked(status, "Retry-After: 7") == (7.0, "Retry-After")


@pytest.mark.parametrize("status", [200, 204, 304, 404, 410])
def test_retry_after_is_nothing_elsewhere(status: int) -> None:
    """Nothing follows from it on an answer that is final."""
    assert asked(status, "Retry-After: 7") is None


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        (['RateLimit: "default";r=0;t=30'], 30),
        (['ratelimit: "default";r=0;t=30'], 30),
        (["RateLimit: default;r=0;t=30"], 30),
        (['RateLimit: "hour";r=5;t=9, "day";r=0;t=40'], 40),
        (['RateLimit: "a";r=0;t=9', 'RateLimit: "b";r=0;t=40'], 40),
        (['RateLimit: "a,b;c";pk=:Zm9v:;r=0;t=30'], 30),
        (['RateLimit: "default";r=0', 'RateLimit-Policy: "default";q=10;w=60'], 60),
        (['RateLimit: "default";r=0', 'RateLimit-Policy: "other";q=10;w=60'], None),
        (['RateLimit: "default";r=1;t=30'], None),
        (['RateLimit: "default";t=30'], None),
        (["RateLimit: limit=100, remaining=0, reset=20"], 20),
        (["RateLimit: limit=100, remaining=3, reset=20"], None),
        (["RateLimit-Remaining: 0", "RateLimit-Reset: 20"], 20),
        (["X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 20"], 20),
        (["X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 1.5"], 1.5),
        (["x-rate-limit-remaining: 0", f"x-rate-limit-reset: {int(WALL) + 90}"], 90),
        (["X-RateLimit-Remaining: 0", f"X-RateLimit-Reset: {(int(WALL) + 90) * 1000}"], 90),
        (["X-RateLimit-Remaining: 0", f"X-RateLimit-Reset: {int(WALL) - 90}"], None),
        (["X-RateLimit-Remaining: 1", "X-RateLimit-Reset: 20"], None),
        (["X-RateLimit-Remaining: 0"], None),
        (["X-RateLimit-Reset: 20"], None),
        (["X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 999999999999999"], 1e9),
    ],
)
def test_rate_limit_fields_count_on_every_answer_once_nothing_remains(
    lines: list[str], seconds: float | None
) -> None:
    """The draft, its predecessors, and what sites made up, seconds from now or a time of day."""
    found = asked(200, *lines)
    assert (found is None) == (seconds is None)
    assert found is None or found.why == "RateLimit"
    assert found is None or found.seconds == pytest.approx(seconds)


def test_too_many_with_a_reset_alone_is_a_wish() -> None:
    """Who says 429 need not say that nothing remains."""
    assert asked(429, "X-RateLimit-Reset: 20") == (20.0, "RateLimit")
    assert asked(429, "X-RateLimit-Remaining: 4", "X-RateLimit-Reset: 20") is None


def test_retry_after_comes_first() -> None:
    """It is the standard's; where it makes no sense, the others are looked at."""
    lines = ["X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 20"]
    assert asked(429, "Retry-After: 7", *lines) == (7.0, "Retry-After")
    assert asked(429, "Retry-After: soon", *lines) == (20.0, "RateLimit")
    assert asked(429, "Retry-After: 0", *lines) is None


GARBAGE = ["-1", "nan", "inf", "1e3", "+5", "5 s", "0x10", "٣".encode().decode("latin-1"), "", "²", "1_0"]


@pytest.mark.parametrize("value", GARBAGE)
def test_garbage_is_no_wish(value: str) -> None:
    """In any of the fields."""
    assert asked(429, f"Retry-After: {value}") is None
    assert asked(200, "X-RateLimit-Remaining: 0", f"X-RateLimit-Reset: {value}") is None
    assert asked(200, f"X-RateLimit-Remaining: {value}", "X-RateLimit-Reset: 20") is None
    assert asked(200, f'RateLimit: "a";r=0;t={value}') is None
    assert asked(200, f'RateLimit: "a";r={value};t=5') is None


def test_dates_are_bounded() -> None:
    """One that has passed asks for nothing, one far ahead for no more than others may."""
    assert asked(503, "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT") is None
    far = asked(503, "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT")
    assert far is not None
    assert far.seconds == 1e9
    assert asked(503, "Retry-After: 9999999999") == (1e9, "Retry-After")


NAMES = [b"RateLimit", b"RateLimit-Policy", b"RateLimit-Reset", b"X-RateLimit-Remaining", b"Retry-After"]
PIECES = [b'"', b";", b",", b" ", b"\t", b"r=0", b"t=", b"7", b"=", b"\\", b"remaining=0", b"reset=9", b"\xff"]


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.lists(st.sampled_from(PIECES)).map(b"".join)), max_size=6),
    st.sampled_from([200, 302, 404, 429, 503]),
)
def test_whatever_is_there_the_wish_is_bounded(fields: list[tuple[bytes, bytes]], status: int) -> None:
    """No field breaks it, and no wish is negative, none, or without an end."""
    found = find_asked(fields, status, WALL)
    assert found is None or 0 < found.seconds <= 1e9


@pytest.mark.parametrize("piece", [b" ", b"\t", b";", b",", b'"', b";r=0", b"a", b"\\", b'"a";r=0;t=1,', b"; "])
def test_a_long_field_costs_little(piece: bytes) -> None:
    """Whatever 100 kB are made of, nothing is searched again and again."""
    find_asked([(b"RateLimit", piece * (100_000 // len(piece)) + b'"')], 200, WALL)
    find_asked([(b"RateLimit", piece * (990 // len(piece)) + b'"')] * 10, 200, WALL)
