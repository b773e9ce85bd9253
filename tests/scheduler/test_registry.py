"""Hosts are made when they are needed; one that comes again at once is as new, though nothing new is made."""

from __future__ import annotations

from random import Random

import pytest

from asyncfetch.scheduler import ANSWERED, FAILED, Frontier, Manners, Outcome, Turn
from asyncfetch.scheduler.lane import QueuedHost
from asyncfetch.settings import HostSettings, Limits

A, B = "a:80", "b:80"
MANNERS = Manners(64, adapt=True, failures=5, probes=(1.0,))


def facts(host: QueuedHost) -> dict[str, object]:
    """Everything that a host knows; of its empty line, that it is empty."""
    names = {name for kind in type(host).__mro__ for name in getattr(kind, "__slots__", ())}
    return {name: getattr(host, name) for name in names - {"line"}} | {"line": list(host.line)}


def ask(frontier: Frontier[Turn], outcome: Outcome, number: int = 1, now: float = 1.0) -> None:
    """Send so many requests to a host in rounds of all that it takes; then nothing is left to do there."""
    lane = frontier.lane()
    for _ in range(number):
        frontier.add(Turn(A, lane))
    while turns := [turn for _ in range(number) if (turn := frontier.take(now)) is not None]:
        for turn in turns:
            frontier.finished(A, outcome, now, turn)
    assert not frontier.hosts


@pytest.mark.parametrize("number", [1, 3, 4, 500])
@pytest.mark.parametrize("manners", [MANNERS, Manners(2)])
def test_a_host_that_comes_again_is_as_new(manners: Manners, number: int) -> None:
    """What it took before is forgotten with it, although it is the same object."""
    frontier: Frontier[Turn] = Frontier(Limits(), Random(1), manners=manners)
    first = frontier.host(A)
    ask(frontier, ANSWERED, number)
    again = frontier.host(A)
    assert again is first
    assert facts(again) == facts(QueuedHost(A, manners))


def test_it_is_not_kept_for_another_host() -> None:
    """Each has its own."""
    frontier: Frontier[Turn] = Frontier(Limits(), Random(1), manners=MANNERS)
    first = frontier.host(A)
    ask(frontier, ANSWERED)
    assert frontier.host(B) is not first
    assert frontier.host(B).key == B


def test_what_has_been_set_meanwhile_holds() -> None:
    """A delay that robots.txt asks for comes before the next request, a failure is remembered as before."""
    frontier: Frontier[Turn] = Frontier(Limits(), Random(1), manners=MANNERS)
    ask(frontier, ANSWERED)
    frontier.slow_down(A, 3.0)
    assert frontier.host(A).interval == 3.0
    frontier = Frontier(Limits(), Random(1), manners=MANNERS)
    ask(frontier, FAILED)
    assert not frontier.host(A).is_blank


def test_settings_of_its_own_are_asked_for_again() -> None:
    """Who gives them may have changed his mind."""
    limits = iter([1, 2])
    own = {A: lambda: HostSettings(per_host=next(limits))}
    frontier: Frontier[Turn] = Frontier(Limits(), Random(1), manners=MANNERS, own=lambda key: own[key]())
    ask(frontier, ANSWERED)
    assert frontier.host(A).limit == 2
