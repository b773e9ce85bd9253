"""Who is on the screen, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfetch.display.roster import Roster, Row, host_name
from asyncfetch.stats import HostState, HostStats, Stats

if TYPE_CHECKING:
    from tests.display.conftest import Clock, Finish

LOOK = 0.125


def keys(rows: list[Row]) -> list[str]:
    return [row.host.key for row in rows]


def busy(stats: Stats, key: str, done: int) -> HostStats:
    host = stats.host(key, 6)
    host.done = done
    stats.started(host)
    return host


def test_the_most_active_hosts_are_shown(stats: Stats, clock: Clock) -> None:
    """Of hosts with something in flight, those that have done most; idle ones only where there is room."""
    for number in range(10):
        busy(stats, f"busy{number}", number)
    stats.host("idle").done = 500
    assert set(keys(Roster(stats).look(clock.now, 3))) == {"busy9", "busy8", "busy7"}
    assert len(Roster(stats).look(clock.now, 50)) == 11


def test_active_hosts_stay_where_they_are(stats: Stats, clock: Clock) -> None:
    """A little more done elsewhere moves nobody; twice as much does, and then only one place changes."""
    hosts = [busy(stats, f"host{number}", 100 + number) for number in range(10)]
    roster = Roster(stats)
    before = keys(roster.look(clock.now, 4))
    for number, host in enumerate(hosts):
        host.done += 10 * (10 - number)
    assert keys(roster.look(clock.now + LOOK, 4)) == before
    hosts[0].done = 1000
    after = keys(roster.look(clock.now + 2 * LOOK, 4))
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1
    assert "host0" in after


def test_a_host_that_is_idle_gives_its_place_away(stats: Stats, clock: Clock) -> None:
    """Not at once, for it may only have a moment's rest, but after two seconds; and in that very place."""
    first, second = busy(stats, "first", 100), busy(stats, "second", 90)
    roster = Roster(stats)
    assert keys(roster.look(clock.now, 2)) == ["first", "second"]
    busy(stats, "third", 5)
    stats.stopped(first)
    assert keys(roster.look(clock.now + LOOK, 2)) == ["first", "second"]
    assert keys(roster.look(clock.now + 2.5, 2)) == ["third", "second"]
    stats.stopped(second)
    assert keys(roster.look(clock.now + 5, 2)) == ["third", "second"]


def test_pausing_hosts_have_a_third_of_the_places(stats: Stats, clock: Clock) -> None:
    """They keep a job waiting, but they must not hide the ones that work."""
    for number in range(20):
        busy(stats, f"busy{number}", 50)
        stats.paused(stats.host(f"pausing{number}"), HostState.WAITING, "Retry-After", clock.now + 60)
    shown = keys(Roster(stats).look(clock.now, 9))
    assert sum(key.startswith("pausing") for key in shown) == 3
    assert sum(key.startswith("busy") for key in shown) == 6


def test_pausing_hosts_take_what_is_free(stats: Stats, clock: Clock) -> None:
    """Where little is in flight, pausing hosts come before idle ones."""
    busy(stats, "busy", 1)
    for number in range(9):
        stats.paused(stats.host(f"pausing{number}"), HostState.BROKEN, "refused", clock.now + 60)
        stats.host(f"idle{number}").done = 100
    shown = keys(Roster(stats).look(clock.now, 6))
    assert sum(key.startswith("pausing") for key in shown) == 5
    assert "busy" in shown


def test_of_thousands_of_hosts_a_few_hundred_are_examined_at_a_time(clock: Clock) -> None:
    """The one active host among 5,000 is found within one round, whatever its place."""
    stats = Stats()
    for number in range(5000):
        stats.host(f"host{number}")
    busy(stats, "host4321", 1)
    roster = Roster(stats)
    looks = 0
    while "host4321" not in keys(roster.look(clock.now + looks * LOOK, 5)):
        looks += 1
    assert looks < 10
    assert "host4321" in keys(roster.look(clock.now + 20 * LOOK, 5))


def test_hosts_that_are_counted_together_are_one_more(clock: Clock) -> None:
    """Beyond what `Stats` keeps apart there is one line for all others."""
    stats = Stats(most_hosts=2)
    for number in range(3):
        busy(stats, f"host{number}", number)
    roster = Roster(stats)
    assert len(roster) == 3
    assert set(keys(roster.look(clock.now, 5))) == {"host0", "host1", "(other hosts)"}


def test_a_row_knows_speed_and_latencies(stats: Stats, clock: Clock, finish: Finish) -> None:
    """Bytes per second at each look; latencies are taken as soon as there are any, then once a second."""
    host = stats.host("example.org:443", 6)
    row = Row(host, 0)
    row.look(clock.now)
    assert (row.p50, row.p95, row.bytes_rate) == (None, None, 0.0)
    finish(times=10, size=1000, latency=0.1)
    row.look(clock.now + 1)
    assert row.bytes_rate == 10_000
    assert row.p50 == pytest.approx(0.1, rel=0.05)
    finish(times=100, latency=1.0)
    seen = []
    for look in range(8):
        row.look(clock.now + 1 + look * LOOK)
        seen.append(row.p50)
    assert seen[0] == pytest.approx(0.1, rel=0.05)
    assert seen[-1] == pytest.approx(1.0, rel=0.05)


CHANGES = st.tuples(st.integers(0, 30), st.integers(0, 3), st.integers(0, 50))


@settings(max_examples=40, deadline=None)
@given(st.lists(CHANGES, max_size=40), st.integers(0, 9))
def test_rows_are_always_hosts_once_each(changes: list[tuple[int, int, int]], places: int) -> None:
    """Whatever happens, no host is shown twice, none is missing while there is room, who stays does not move."""
    stats, now = Stats(), 0.0
    roster = Roster(stats)
    before: list[str] = []
    for number, in_flight, done in changes:
        host = stats.host(f"host{number}")
        host.in_flight, host.done = in_flight, host.done + done
        now += LOOK
        shown = keys(roster.look(now, places))
        assert len(set(shown)) == len(shown) == min(places, len(stats.hosts))
        assert all(shown.index(key) == place for place, key in enumerate(before) if key in shown)
        before = shown


def test_the_longest_name_only_grows(stats: Stats, clock: Clock) -> None:
    """Columns that follow it do not jump when hosts come and go."""
    host = busy(stats, "a-rather-long-name.example.org:80", 1)
    roster = Roster(stats)
    roster.look(clock.now, 1)
    stats.stopped(host)
    busy(stats, "short:80", 1)
    assert keys(roster.look(clock.now + 5, 1)) == ["short:80"]
    assert roster.longest_name == len("a-rather-long-name.example.org:80")


@pytest.mark.parametrize(
    ("key", "at_most", "shown"),
    [
        ("example.org:443", 20, "example.org"),
        ("example.org:8443", 20, "example.org:8443"),
        ("example.org:8443", 12, "example.org"),
        ("[::1]:8080", 8, "[::1]"),
        ("a.very.long.name.example.org:80", 12, "a.very…e.org"),
        ("(other hosts)", 9, "(oth…sts)"),
        ("\x1b[2J\u202e:80", 20, "\\x1b[2J\\u202e:80"),
    ],
)
def test_host_names(key: str, at_most: int, shown: str) -> None:
    """The port of https goes without saying, other ports go when there is no room, and then the middle."""
    assert host_name(key, at_most) == shown
