"""What a host is doing, in words: the same ones in the live view and in plain lines."""

from __future__ import annotations

import math

from asyncfetch.display.text import harmless
from asyncfetch.display.units import roughly
from asyncfetch.stats import HostState, HostStats

__all__ = ["is_broken", "is_pausing", "state_words"]


def is_pausing(host: HostStats, now: float) -> bool:
    """Whether a host gets no requests now, but will later. A pause that is over leaves its state behind."""
    return host.state is not HostState.OK and host.resumes_at > now


def is_broken(host: HostStats) -> bool:
    """Whether a host has been given up, or nearly."""
    return host.state is HostState.BROKEN


def state_words(host: HostStats, now: float, *, ascii_only: bool = False) -> tuple[str, ...]:
    """Say what a host is doing and why, in ever shorter ways; the shortest relies on a sign beside it.

    A host that nothing keeps from its work and that has nothing to tell has no words; the reason of a pause that
    is over is not told.
    """
    reason = harmless(host.reason, 80, ascii_only=ascii_only)
    pause = f"{roughly(math.ceil(host.resumes_at - now))}" if host.resumes_at > now else ""
    if is_broken(host):
        whole = _joined("broken", reason)
        tries = [f"{words}, next try in {pause}" for words in (whole, reason) if words and pause]
        return _distinct(*tries, whole, reason)
    if is_pausing(host, now):
        return _distinct(_joined(f"{host.state.value} {pause}", reason), _joined(pause, reason))
    return (reason,) if reason and not host.resumes_at else ()


def _joined(first: str, reason: str) -> str:
    return f"{first}: {reason}" if reason else first


def _distinct(*words: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for each in words if each))
