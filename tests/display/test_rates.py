"""Rates that people can read."""

from __future__ import annotations

import pytest

from asyncfetch.display.rates import Rate


def test_a_steady_counter_has_its_rate_from_the_second_look_on() -> None:
    """The smoothing does not start from zero."""
    rate = Rate()
    assert rate.look(0.0, 500) == 0.0
    assert [round(rate.look(n / 8, 500 + 10 * n), 6) for n in range(1, 80)] == [80.0] * 79


def test_a_change_is_followed_within_the_window() -> None:
    """After one window a new speed counts for about two thirds, after five for nearly all."""
    rate = Rate(5.0)
    for second in range(60):
        rate.look(second, 100 * second)
    for second in range(5):
        rate.look(60 + second, 5900)
    assert rate.per_second == pytest.approx(37, abs=2)
    for second in range(5, 25):
        rate.look(60 + second, 5900)
    assert rate.per_second < 1


def test_two_looks_at_the_same_time_change_nothing() -> None:
    """A clock that stands still, or jumps back, does no harm."""
    rate = Rate()
    rate.look(0.0, 0)
    rate.look(1.0, 100)
    assert rate.look(1.0, 5000) == 100.0
    assert rate.look(0.5, 5000) == 100.0
