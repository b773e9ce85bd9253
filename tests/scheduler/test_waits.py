"""What waits for a time, as the frontier's callers see it: turns that back off and hosts that asked for a pause."""

from __future__ import annotations

from random import Random

from asyncfetch.scheduler import ANSWERED, Frontier, Lane, Outcome, Turn
from asyncfetch.scheduler.manners import Manners
from asyncfetch.settings import Limits
from asyncfetch.stats import HostState

A, B, C = "a:80", "b:80", "c:80"


class Named(Turn, eq=False, kw_only=True):
    name: str = ""

    def __post_init__(self) -> None:
        self.name = self.name or self.host


class NoChance(Random):
    """No jitter: every pause ends when it was asked to end."""

    def random(self) -> float:
        return 0.0


def frontier(total: int = 100, per_host: int = 100) -> Frontier[Named]:
    return Frontier(Limits(total=total, per_host=per_host), NoChance())


def fill(front: Frontier[Named], lane: Lane, *names: str) -> list[Named]:
    """Add turns named like `a1`, whose first letter is the host."""
    turns = [Named(f"{name[0]}:80", lane, name=name) for name in names]
    for turn in turns:
        front.add(turn)
    return turns


def taken(front: Frontier[Named], now: float = 0.0) -> list[str]:
    """Take until there is nothing."""
    names = []
    while (turn := front.take(now)) is not None:
        names.append(turn.name)
    return names


def throttled(seconds: float) -> Outcome:
    return Outcome("throttled", seconds)


def test_a_delayed_turn_holds_no_place_and_goes_first_when_due() -> None:
    """Until its time the others go; at its time it is before them."""
    front = frontier(total=1)
    lane = front.lane()
    front.add_later(Named(A, lane, name="a9"), 5.0)
    front.add_later(Named(A, lane, name="a8"), 4.0)
    fill(front, lane, "a1", "a2")
    assert lane.queued == 4
    assert taken(front, 3.9) == ["a1"]
    assert front.wake_at() is None, "no time can help while the global limit is reached"
    front.finished(A, ANSWERED, 3.9)
    assert front.wake_at() == 4.0
    order = []
    for now in (5.0, 5.0, 5.0):
        order += taken(front, now)
        front.finished(A, ANSWERED, now)
    assert order == ["a8", "a9", "a2"]
    assert front.wake_at() is None


def test_an_asked_for_pause_stops_the_whole_host() -> None:
    """All turns of the host wait, of whatever lane, and lose nothing; the other hosts go on."""
    front = frontier(per_host=2)
    fill(front, front.lane(), "a1", "a2", "a3", "b1")
    assert taken(front) == ["a1", "b1", "a2"]
    front.finished(A, throttled(10.0), 0.0)
    fill(front, front.lane(), "a9", "b9")
    assert taken(front) == ["b9"]
    host = front.hosts.get(A)
    assert host is not None
    assert (host.state, host.reason, host.paused_until) == (HostState.WAITING, "Retry-After", 10.0)
    assert front.wake_at() == 10.0
    assert taken(front, 9.9) == []
    assert taken(front, 10.0) == ["a3"]
    assert host.state is HostState.OK


def test_a_pause_that_grows_moves_the_time_to_wake() -> None:
    """Each pause has one entry, and the longest counts."""
    front = frontier()
    fill(front, front.lane(), "a1", "a2", "a3", "a4", "b1", "b2")
    taken(front)
    for seconds in (5.0, 20.0, 10.0):
        front.finished(A, throttled(seconds), 0.0)
    front.finished(B, throttled(8.0), 0.0)
    assert len(front._waits) == 2
    assert taken(front, 6.0) == []
    assert front.wake_at() == 8.0
    assert taken(front, 8.0) == []
    assert front.wake_at() == 20.0
    assert set(front.hosts) == {A, B}


def test_a_pause_is_bounded() -> None:
    """No host is left alone for longer than the settings say."""
    front: Frontier[Named] = Frontier(Limits(), NoChance(), manners=Manners(6, longest_pause=7.0))
    fill(front, front.lane(), "a1", "a2")
    taken(front)
    front.finished(A, throttled(1e9), 0.0)
    assert front.host(A).paused_until == 7.0


def test_a_paused_host_is_remembered_until_the_pause_is_over() -> None:
    """It goes when its time has come, without anything queued for it."""
    front = frontier()
    fill(front, front.lane(), "a1")
    taken(front)
    front.finished(A, throttled(5.0), 0.0)
    assert set(front.hosts) == {A}
    assert front.wake_at() == 5.0
    assert taken(front, 5.0) == []
    assert not front.hosts
    assert front.wake_at() is None


def test_a_paused_host_with_something_in_flight_outlives_its_pause() -> None:
    """The end of a pause does not forget what is in flight."""
    front = frontier()
    fill(front, front.lane(), "a1", "a2")
    taken(front)
    front.finished(A, throttled(5.0), 0.0)
    assert taken(front, 5.0) == []
    assert set(front.hosts) == {A}
    front.finished(A, ANSWERED, 6.0)
    assert not front.hosts


def test_three_hosts_one_of_which_asks_for_time() -> None:
    """The other two finish as if alone; the third's turns come after its pause."""
    front = frontier(total=6, per_host=2)
    lane = front.lane()
    fill(front, lane, *(f"{host}{number}" for number in range(20) for host in "abc"))
    now, ended = 0.0, {A: 0.0, B: 0.0, C: 0.0}
    asked = False
    while lane.queued:
        batch = []
        while (turn := front.take(now)) is not None:
            assert turn.host != A or not asked or now >= 3.0
            batch.append(turn.host)
        now = now + 0.1 if batch else front.wake_at() or now
        for host in batch:
            ended[host] = now
            front.finished(host, ANSWERED if asked or host != A else throttled(3.0 - now), now)
            asked = asked or host == A
    assert ended[B] <= 1.1
    assert ended[C] <= 1.1
    assert 3.0 <= ended[A] <= 4.2
