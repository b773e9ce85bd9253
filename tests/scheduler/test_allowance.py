"""The pace that a host allows is found out: at hosts on paper that count in their ways, with a made-up clock."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from asyncfetch.scheduler import Manners
from asyncfetch.scheduler.allowance import Allowance
from tests.scheduler.simulation import PaperHost, Policy, Simulation, bucket, fixed_window, sliding_window

A = "a:80"
WINDOWS = [fixed_window, sliding_window]
BUCKETS = [lambda rate: bucket(rate, 10), lambda rate: bucket(rate, 50)]


def fetched(policy: Policy, latency: float, seconds: float, urls: int = 20_000) -> PaperHost:
    host = PaperHost(policy, latency)
    Simulation({A: host}, urls, manners=Manners(6, adapt=True), seed=1).run(seconds)
    return host


# --- whole runs


@pytest.mark.slow
@pytest.mark.parametrize("policy", [*WINDOWS, *BUCKETS], ids=["fixed", "sliding", "bucket of 10", "bucket of 50"])
@pytest.mark.parametrize(
    ("rate", "latency"),
    [(5, 0.001), (5, 0.02), (5, 0.2), (20, 0.001), (20, 0.02), (20, 0.2), (50, 0.001), (50, 0.02), (200, 0.001)],
)
def test_whatever_a_server_counts_by_it_is_kept_busy(
    policy: Callable[[int], Policy], rate: int, latency: float
) -> None:
    """Eight tenths of what it allows in a minute, nine after the first 5 s, and three refusals of 100 at most."""
    host = fetched(policy(rate), latency, 60.0)
    assert host.rate(0, 60) >= 0.8 * rate
    assert host.rate(5, 60) >= 0.9 * rate
    assert host.share_refused(5) <= 0.03


@pytest.mark.slow
@pytest.mark.parametrize("rate", [5, 20, 50])
@pytest.mark.parametrize("latency", [0.001, 0.02])
def test_a_server_that_takes_no_two_requests_together_is_found_out(rate: int, latency: float) -> None:
    """A bucket of one: the first burst shows nothing of its pace, so it takes a while; then it is nine tenths."""
    host = fetched(bucket(rate, 1), latency, 60.0)
    assert host.rate(0, 60) >= 0.8 * rate
    assert host.rate(20, 60) >= 0.9 * rate
    assert host.share_refused(5) <= 0.03


@pytest.mark.slow
def test_a_server_that_counts_by_the_minute_gets_a_minutes_share() -> None:
    """After the first minutes it is asked about once a second, not 60 times at once and then for long in vain."""
    host = fetched(fixed_window(60, 60.0), 0.02, 1200.0)
    assert host.rate(300, 1200) >= 0.85
    assert host.share_refused(300) <= 0.15
    in_a_row = [later - earlier for earlier, later in pairwise(at for at in host.answered if at >= 300)]
    assert sorted(in_a_row)[len(in_a_row) // 4] >= 0.3


@pytest.mark.slow
def test_a_host_that_allows_more_than_before_is_followed() -> None:
    """Ten times as many within the time of a plateau, and back within seconds."""
    rates = {0: sliding_window(20), 1: sliding_window(200), 2: sliding_window(20)}
    host = fetched(lambda now, busy: rates[int(now / 60)](now, busy), 0.005, 180.0, urls=40_000)
    assert host.rate(10, 60) >= 0.9 * 20
    assert host.rate(110, 120) >= 0.9 * 200
    assert host.rate(130, 180) >= 0.9 * 20
    assert host.share_refused(5) <= 0.03


@pytest.mark.slow
def test_a_refusal_at_a_pace_that_went_well_costs_little() -> None:
    """Once the pace is known, nothing stops for more than a tenth of a second at 50 a second."""
    host = fetched(sliding_window(50), 0.005, 60.0)
    late = [at for at in host.answered if at >= 15]
    assert [at for at in host.refused if at >= 15], "it was refused now and then"
    assert max(later - earlier for earlier, later in pairwise(late)) <= 0.15


# --- steps


def known(rate: float, now: float) -> Allowance:
    """Return a pace that was refused twice, and has gone well since."""
    allowance = Allowance(rate, now - 11.0, now - 10.0)
    allowance.refused(rate, 50, now - 9.0, now - 8.5)
    return allowance


def grown(allowance: Allowance, now: float, seconds: float) -> float:
    for step in range(int(seconds / 0.1)):
        allowance.answered(now + 0.1 * step, is_binding=True)
    return allowance.rate


def test_a_search_waits_a_second_and_then_grows_until_it_is_refused() -> None:
    """The first pace is a little below what came; a second later it grows, three times as much each second."""
    allowance = Allowance(10.0, 99.5, 100.0)
    assert grown(allowance, 100.0, 1.0) == pytest.approx(9.5)
    assert grown(allowance, 101.0, 2.1) == pytest.approx(9 * 9.5, rel=0.01)
    assert not allowance.is_steady(103.0)
    allowance.refused(40.0, 90, 103.0, 103.5)
    assert 40.0 <= allowance.rate <= 9 * 9.5 * 0.9


def test_a_known_pace_comes_back_quickly_and_passes_the_ceiling_slowly() -> None:
    """A tenth below what was refused, 3 in 100 below after two seconds, and above after three and a half."""
    allowance = Allowance(50.0, 98.5, 99.0)
    allowance.refused(47.0, 24, 99.5, 100.0)
    ceiling = allowance.rate / 0.9
    assert grown(allowance, 100.0, 2.0) == pytest.approx(0.97 * ceiling, rel=0.02)
    assert grown(allowance, 102.0, 1.3) < ceiling
    assert grown(allowance, 103.3, 3.0) > 1.1 * ceiling


def test_a_pace_that_holds_nothing_back_does_not_grow() -> None:
    """What was not used was not shown to go well."""
    allowance = known(50.0, 100.0)
    before = allowance.rate
    allowance.answered(200.0, is_binding=False)
    assert allowance.rate == before


def test_a_clock_that_jumps_lets_it_grow_by_little() -> None:
    """An hour counts as a few seconds; an hour back counts as nothing."""
    allowance = known(50.0, 100.0)
    ceiling = allowance.rate / 0.9
    allowance.answered(50.0, is_binding=True)
    assert allowance.rate <= ceiling
    allowance.answered(3700.0, is_binding=True)
    assert allowance.rate <= 1.3 * ceiling


def test_a_host_that_was_left_alone_for_long_gets_what_came_in_all_that_time() -> None:
    """A burst of 60 answers after a minute in vain is one a second; one answer in an hour is two a minute."""
    for answers, seconds, expected in ((60, 60.0, 0.9), (1, 3600.0, 0.03)):
        allowance = known(50.0, 100.0)
        allowance.refused(50.0, 100, 100.0, 100.5)
        allowance.go_on(100.0 + seconds)
        allowance.refused(50.0, answers, 101.0 + seconds, 101.5 + seconds)
        assert allowance.rate == pytest.approx(expected, rel=0.05)


def test_only_a_pace_that_went_well_is_forgiven() -> None:
    """Soon after a pause, and during a search, a refusal says more than "a little too much"."""
    allowance = known(50.0, 100.0)
    assert allowance.is_steady(100.0)
    assert allowance.short_pause <= 0.1
    allowance.go_on(101.0)
    assert not allowance.is_steady(102.0)
    assert allowance.is_steady(103.0)
