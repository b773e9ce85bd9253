"""What a workload should reach: so many times a peer's figure, or a figure of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Ceiling", "Goal", "Measure", "both"]

Measure = Literal["rate", "cpu", "memory"]


@dataclass(frozen=True, slots=True)
class Goal:
    """How many times as good as a peer's a figure of ours is to be: above 1 is better than the peer.

    Attributes:
        peer: the peer's label or key.
        measure: a higher rate, or less CPU or memory.
        must: at least this; None where nothing is demanded.
        aim: what would be fine.
    """

    peer: str
    measure: Measure
    must: float | None
    aim: float


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a figure of ours may be at most, whatever the peers'.

    Attributes:
        measure: seconds of a run, bytes of memory, or the CPU of the last tenth as a multiple of the first's.
        must: at most this.
    """

    measure: Literal["wall", "memory", "growth"]
    must: float


def both(peer: str, must: float, aim: float) -> tuple[Goal, Goal]:
    """Make the same goal for the rate and for CPU."""
    return Goal(peer, "rate", must, aim), Goal(peer, "cpu", must, aim)
