"""Numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfetch.display import units


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (999, "999"), (1234567, "1,234,567")],
)
def test_count(number: int, shown: str) -> None:
    """Thousands are separated."""
    assert units.count(number) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [(999_999, "999,999"), (1_000_000, "1.0 M"), (12_345_678, "12 M"), (5_000_000_000, "5.0 G"), (10**14, "100 T")],
)
def test_short_count(number: int, shown: str) -> None:
    """From a million on, a unit takes the place of digits."""
    assert units.short_count(number) == shown


@pytest.mark.parametrize(
    ("number", "width", "shown"),
    [(99_999, 6, "99,999"), (100_000, 6, "100 k"), (4_500, 5, "4,500")],
)
def test_short_counts_in_narrow_columns(number: int, width: int, shown: str) -> None:
    """Thousands become a unit where millions do not fit."""
    assert units.short_count(number, width) == shown


@pytest.mark.parametrize(("number", "shown"), [(0, "0 hosts"), (1, "1 host"), (1234, "1,234 hosts")])
def test_counted(number: int, shown: str) -> None:
    """One is one, all else is many."""
    assert units.counted(number, "host") == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1.0 kB"),
        (5_600_000, "5.6 MB"),
        (9_960_000, "10 MB"),
        (999_600, "1.0 MB"),
        (56_000_000_000, "56 GB"),
        (1e20, "100,000 PB"),
    ],
)
def test_size(number: float, shown: str) -> None:
    """Sizes are decimal, with two or three digits."""
    assert units.size(number) == shown


@settings(deadline=None)
@given(st.floats(0, 9e17), st.integers(0, 10**15 - 10**12), st.floats(0, 500_000))
def test_columns_hold_what_they_are_made_for(number: float, whole: int, seconds: float) -> None:
    """No size, count or latency is wider than its column."""
    assert len(units.size(number)) <= 6
    assert len(units.short_count(whole)) <= 7
    assert len(units.short_count(whole, 6)) <= 6
    assert len(units.latency(seconds)) <= 6


@pytest.mark.parametrize(("number", "shown"), [(0, "0/s"), (0.04, "0/s"), (3.44, "3.4/s"), (1234.4, "1,234/s")])
def test_rate(number: float, shown: str) -> None:
    """A digit behind the point only where it says something."""
    assert units.rate(number) == shown


def test_speed() -> None:
    """Bytes per second are a size per second."""
    assert units.speed(5_600_000) == "5.6 MB/s"


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(0, 5, "0 %"), (999_999, 1_000_000, "99 %"), (5, 5, "100 %"), (7, 5, "100 %"), (0, 0, "100 %")],
)
def test_percent(part: int, whole: int, shown: str) -> None:
    """100 % means that nothing is left."""
    assert units.percent(part, whole) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0004, "0.4 ms"),
        (0.0123, "12 ms"),
        (0.123, "0.12 s"),
        (1.23, "1.2 s"),
        (42.3, "42 s"),
        (200, "3 m 20 s"),
        (7500, "2 h 5 m"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_duration(seconds: float, shown: str) -> None:
    """A time has the two units that matter."""
    assert units.duration(seconds) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(0.2, "0 s"), (41.7, "42 s"), (200, "3 m 20 s")])
def test_clock(seconds: float, shown: str) -> None:
    """A time that runs is in whole seconds."""
    assert units.clock(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.1, "1 s"), (41.7, "42 s"), (201.7, "3 m 20 s"), (1500, "25 m"), (3599, "1 h 0 m"), (7500, "2 h 5 m")],
)
def test_roughly(seconds: float, shown: str) -> None:
    """An estimate is not more exact than it can be."""
    assert units.roughly(seconds) == shown
