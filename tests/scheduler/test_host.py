"""One host's state: what an outcome does to it, and when it may be contacted."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfetch.scheduler import ANSWERED, CANCELLED, FAILED, SILENT, Host, Outcome
from asyncfetch.scheduler.manners import Manners
from asyncfetch.settings import Retry
from asyncfetch.stats import HostState

LONGEST = Retry().max_wait


class Began:
    """A start."""

    def __init__(self, began: float, load: int) -> None:
        self.began = began
        self.load = load

    def latency(self, now: float) -> float:
        return now - self.began


def settled(*outcomes: Outcome, now: float = 100.0) -> Host:
    host = Host("a:80", Manners(2))
    for outcome in outcomes:
        host.settle(outcome, now, Random(1))
    return host


def test_a_new_host_is_neutral_and_may_be_contacted() -> None:
    """A host starts with nothing to remember."""
    host = settled()
    assert host.may_go(0.0)
    assert host.is_neutral
    assert (host.state, host.reason, host.paused_until) == (HostState.OK, "", 0.0)
    assert repr(host) == "<Host a:80 ok 0/2>"


def test_a_full_host_may_not_be_contacted() -> None:
    """The limit counts requests in flight, and such a host has to be remembered."""
    host = settled()
    host.in_flight = 1
    assert host.may_go(0.0)
    host.in_flight = 2
    assert not host.may_go(0.0)
    assert not host.is_neutral


@pytest.mark.parametrize("outcome", [ANSWERED, CANCELLED, FAILED, SILENT, Outcome("busy")])
def test_one_outcome_alone_does_not_pause_a_host(outcome: Outcome) -> None:
    """An answer, a failure, a 503: that is this URL's own."""
    assert settled(outcome).is_neutral


@pytest.mark.parametrize("asked", [0.0, -1.0, float("nan")])
def test_a_wait_that_is_none_does_not_pause(asked: float) -> None:
    """Zero and what makes no sense is no pause."""
    assert settled(Outcome("asked", asked)).is_neutral


@given(st.floats(0.001, 1e12), st.floats(0, 1e6), st.integers(0, 1000))
def test_a_pause_lasts_as_long_as_asked_and_a_little_more(asked: float, now: float, seed: int) -> None:
    """The end is at most the longest pause, a tenth and a second away, and never before what was asked."""
    host = Host("a:80", Manners(1))
    host.settle(Outcome("throttled", asked), now, Random(seed))
    wait = min(asked, LONGEST)
    assert now + wait <= host.paused_until <= now + wait + min(0.1 * wait, 1.0) + 1e-9
    assert host.state is HostState.WAITING
    assert host.reason == "Retry-After"
    assert not host.is_neutral
    assert not host.may_go(host.paused_until - 1e-4)
    assert host.may_go(host.paused_until)


@pytest.mark.parametrize("pause", [0.03, 0.3])
def test_a_pause_is_not_caught_up_on(pause: float) -> None:
    """After it the first two starts are a whole interval apart, as if nothing had been late."""
    host = Host("a:80", Manners(6, rate=10.0))
    host.started(Began(100.0, 1), 100.0)
    host.pause(100.08 + pause, "429s")
    host.resume()
    host.started(Began(100.08 + pause, 1), 100.08 + pause)
    assert host.paused_until == pytest.approx(max(100.18 + pause, 100.2))


def test_hosts_do_not_come_back_in_step() -> None:
    """Two hosts that asked for the same wait at the same time end it at different times."""
    rng = Random(1)
    first, second = Host("a:80", Manners(1)), Host("b:80", Manners(1))
    for host in (first, second):
        host.settle(Outcome("throttled", 10.0), 0.0, rng)
    assert first.paused_until != second.paused_until


def test_a_longer_pause_is_never_cut_short() -> None:
    """The later end counts, whichever came first."""
    short, long = Outcome("throttled", 1.0), Outcome("throttled", 100.0)
    assert settled(long, short).paused_until >= 200.0
    assert settled(short, long).paused_until >= 200.0


def test_a_resumed_host_is_as_new() -> None:
    """After its pause a host has nothing to remember."""
    host = settled(Outcome("throttled", 5.0))
    host.resume()
    assert host.is_neutral
    assert (host.state, host.reason) == (HostState.OK, "")


@pytest.mark.parametrize(
    ("manners", "slowed", "note", "interval"),
    [
        (Manners(6), 0.0, "", 0.0),
        (Manners(6, rate=5.0), 0.0, "", 0.2),
        (Manners(6, rate=0.5), 0.0, "every 2 s: rate", 2.0),
        (Manners(6, rate=0.5, delay=3.0), 0.0, "every 3 s: delay", 3.0),
        (Manners(6, delay=3.0), 10.0, "every 10 s: robots.txt", 10.0),
        (Manners(6, rate=0.05, delay=3.0), 10.0, "every 20 s: rate", 20.0),
        (Manners(6, delay=90.0), 10.0, "every 90 s: delay", 90.0),
    ],
)
def test_a_host_that_is_asked_seldom_says_why(manners: Manners, slowed: float, note: str, interval: float) -> None:
    """From a second between two starts on it would else look idle; what it has been found to take comes first."""
    host = Host("a:80", manners)
    host.slow_down(slowed)
    assert (host.note, host.interval) == (note, interval)
    adapting = Host("a:80", replace(manners, adapt=True))
    adapting.slow_down(slowed)
    adapting.settle(Outcome("throttled", None, "429s"), 100.0, Random(1))
    assert adapting.note == "limit 1 of 6: 429s"
