"""What a host is doing, in words."""

from __future__ import annotations

import pytest

from asyncfetch.display.states import is_broken, is_pausing, state_words
from asyncfetch.stats import HostState, HostStats

NOW = 1000.0


def a_host(state: HostState, reason: str, resumes_at: float) -> HostStats:
    host = HostStats("example.org:443", 6)
    host.state, host.reason, host.resumes_at = state, reason, resumes_at
    return host


@pytest.mark.parametrize(
    ("state", "reason", "resumes_at", "words"),
    [
        (HostState.OK, "", 0, ()),
        (HostState.OK, "limit 3 of 6: 429s", 0, ("limit 3 of 6: 429s",)),
        (HostState.OK, "Retry-After", NOW - 5, ()),
        (HostState.WAITING, "Retry-After", NOW + 11.2, ("waiting 12 s: Retry-After", "12 s: Retry-After")),
        (HostState.WAITING, "", NOW + 200, ("waiting 3 m 20 s", "3 m 20 s")),
        (HostState.WAITING, "Retry-After", NOW - 1, ()),
        (HostState.BACKING_OFF, "429s", NOW + 0.1, ("backing off 1 s: 429s", "1 s: 429s")),
        (
            HostState.BROKEN,
            "connection refused",
            NOW + 20,
            (
                "broken: connection refused, next try in 20 s",
                "connection refused, next try in 20 s",
                "broken: connection refused",
                "connection refused",
            ),
        ),
        (HostState.BROKEN, "", 0, ("broken",)),
    ],
)
def test_words(state: HostState, reason: str, resumes_at: float, words: tuple[str, ...]) -> None:
    """A pause says how long and why, in ever shorter ways; one that is over is not told."""
    assert state_words(a_host(state, reason, resumes_at), NOW) == words


def test_a_hostile_reason_is_harmless() -> None:
    """A reason may come from a server."""
    host = a_host(HostState.WAITING, "\x1b[2Jé", NOW + 5)
    assert state_words(host, NOW)[0] == "waiting 5 s: \\x1b[2Jé"
    assert state_words(host, NOW, ascii_only=True)[0] == "waiting 5 s: \\x1b[2J\\xe9"


def test_a_pause_ends_by_itself() -> None:
    """Nobody changes the state when a pause is over."""
    assert is_pausing(a_host(HostState.WAITING, "", NOW + 1), NOW)
    assert not is_pausing(a_host(HostState.WAITING, "", NOW - 1), NOW)
    assert is_broken(a_host(HostState.BROKEN, "", 0))
