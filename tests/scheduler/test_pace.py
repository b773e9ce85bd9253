"""A pace: never more starts in any window than it allows, and no start lost to a timer that is a little late."""

from __future__ import annotations

from random import Random

import pytest

from asyncfetch.scheduler import ANSWERED, CANCELLED, Frontier, Manners, Pace, Turn
from asyncfetch.settings import HostSettings, Limits


def most_in_any_window(starts: list[float], window: float) -> int:
    return max(sum(first <= start <= first + window + 1e-9 for start in starts) for first in starts)


@pytest.mark.parametrize("seed", range(50))
def test_no_window_has_more_starts_than_the_rate_allows(seed: int) -> None:
    """With a clock that stands, jumps and goes on by chance, the bound of the module's docstring holds."""
    rng = Random(seed)
    interval = rng.choice([0.001, 0.02, 0.1, 3.0])
    pace, now, starts = Pace(interval), 1000.0, list[float]()
    for _ in range(300):
        now += rng.choice([0.0, interval / 7, interval, 0.0013, 5 * interval, 1000.0 * (rng.random() < 0.02)])
        if now >= pace.next_at:
            starts.append(now)
            pace.start(now)
    for window in (0.0, interval, 10 * interval, 100 * interval):
        assert most_in_any_window(starts, window) <= (window + pace.lateness) / interval + 1 + 1e-6


def test_timers_that_are_late_do_not_lower_the_rate() -> None:
    """A thousand starts, each of them a millisecond late, take no longer than they should."""
    pace, now = Pace(0.01), 0.0
    for _ in range(1000):
        now = max(now, pace.next_at) + 0.001
        pace.start(now)
    assert now == pytest.approx(10.0, rel=0.01)


def test_a_rest_is_not_caught_up_on() -> None:
    """A start after nobody wanted one was not late, so that the next one comes a whole interval after it."""
    pace = Pace(0.02)
    assert pace.start(100.0) == pytest.approx(100.02)
    assert pace.start(100.023) == pytest.approx(100.04)
    assert pace.start(100.05) == pytest.approx(100.065)
    assert pace.start(100.09) == pytest.approx(100.11)


def test_a_delay_is_kept_to_the_letter() -> None:
    """Without lateness two starts are never closer than the interval."""
    pace = Pace(1.0, 0.0)
    assert pace.start(5.9) == 6.9
    assert pace.start(7.5) == 8.5


def test_bytes_are_paid_for_by_waiting() -> None:
    """What is spent at once takes its time, whoever spends it; a rest is not saved up."""
    pace = Pace(1 / 1000, 0.0)
    assert pace.spend(500, 0.0) == pytest.approx(0.5)
    assert pace.spend(1000, 0.0) == pytest.approx(1.5)
    assert pace.spend(100, 100.0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("manners", "interval", "lateness"),
    [
        (Manners(6, rate=10.0), 0.1, 0.005),
        (Manners(6, delay=0.5), 0.5, 0.0),
        (Manners(6, rate=10.0, delay=0.5), 0.5, 0.0),
        (Manners(6, rate=1.0, delay=0.5), 1.0, 0.005),
        (Manners(6, rate=10.0).with_settings(HostSettings(rate=2.0)), 0.5, 0.005),
        (Manners(6, rate=10.0).with_settings(HostSettings(delay=2.0)), 2.0, 0.0),
    ],
)
def test_of_rate_and_delay_the_slower_counts(manners: Manners, interval: float, lateness: float) -> None:
    """A host's own settings are put over those of all."""
    pace = manners.make_pace()
    assert pace is not None
    assert pace.interval == pytest.approx(interval)
    assert pace.lateness == lateness


def taken(frontier: Frontier[Turn], now: float) -> list[str]:
    turns: list[str] = []
    while (turn := frontier.take(now)) is not None:
        turns.append(turn.host)
    return turns


def filled(frontier: Frontier[Turn], *hosts: str) -> Frontier[Turn]:
    lane = frontier.lane()
    for host in hosts:
        frontier.add(Turn(host, lane))
    return frontier


def test_a_host_with_a_pace_gets_one_turn_an_interval_and_keeps_nobody_waiting() -> None:
    """Between two of its turns it holds no place and asks to be woken; the others go on."""
    own = {"a:80": HostSettings(delay=2.0), "b:80": HostSettings(per_host=1)}
    frontier: Frontier[Turn] = Frontier(Limits(), Random(1), own=own.get)
    filled(frontier, *["a:80", "a:80", "a:80", "b:80", "b:80", "c:80", "c:80"])
    assert taken(frontier, 10.0) == ["a:80", "b:80", "c:80", "c:80"]
    assert frontier.wake_at() == 12.0
    assert taken(frontier, 11.9) == []
    assert taken(frontier, 12.0) == ["a:80"]
    assert taken(frontier, 20.0) == ["a:80"]
    assert frontier.wake_at() == 22.0
    assert frontier.limit_of("b:80") == 1
    assert frontier.limit_of("z:80") == 6


def test_a_global_rate_holds_over_all_hosts() -> None:
    """A turn that only has to wait for the rate is woken for."""
    frontier: Frontier[Turn] = Frontier(Limits(), Random(1), rate=4.0)
    filled(frontier, "a:80", "b:80", "c:80")
    assert taken(frontier, 10.0) == ["a:80"]
    assert frontier.wake_at() == 10.25
    assert taken(frontier, 10.25) == ["b:80"]
    assert taken(frontier, 10.5) == ["c:80"]
    assert frontier.wake_at() is None


def test_a_host_that_asks_to_go_slowly_is_asked_slowly_now_and_later() -> None:
    """`slow_down` holds for a host that is there, and for the same one when it comes again; the slowest counts."""
    frontier: Frontier[Turn] = Frontier(Limits(), Random(1))
    filled(frontier, "a:80", "a:80")
    frontier.slow_down("a:80", 5.0)
    frontier.slow_down("a:80", 3.0)
    frontier.slow_down("b:80", 0.0)
    assert taken(frontier, 0.0) == ["a:80"]
    assert taken(frontier, 5.0) == ["a:80"]
    for _ in range(2):
        frontier.finished("a:80", ANSWERED, 6.0)
    assert taken(frontier, 10.0) == []
    assert not frontier.hosts
    filled(frontier, "a:80", "a:80", "b:80", "b:80")
    assert taken(frontier, 20.0) == ["a:80", "b:80", "b:80"]


def test_a_host_with_a_pace_may_be_held_while_its_name_is_looked_up() -> None:
    """Its turn is taken back and comes again; nothing is left of the pause that had begun meanwhile."""
    frontier: Frontier[Turn] = Frontier(Limits(), Random(1), manners=Manners(6, delay=2.0))
    filled(frontier, "a:80")
    for let_go_at in (0.5, 60.0):
        turn = frontier.take(0.0)
        assert turn is not None
        frontier.finished("a:80", CANCELLED, 0.0, turn)
        frontier.hold("a:80")
        frontier.add(turn, front=True)
        assert taken(frontier, let_go_at) == []
        frontier.let_go("a:80")
        assert taken(frontier, let_go_at) == ["a:80"]
        frontier.finished("a:80", ANSWERED, let_go_at)
        assert taken(frontier, let_go_at + 100.0) == []
        assert not frontier.hosts
        assert not len(frontier._waits)
        filled(frontier, "a:80")
