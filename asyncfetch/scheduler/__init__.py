"""TURNS: whose turn it is. Pure: no await, no I/O, no clock of its own; time is an argument.

- `frontier.py`: the queues, the limits and their algorithm; `lane.py`, `ring.py` and `waits.py` are its pieces
- `host.py`: one host's state
- `retry.py`: whether to try again, and when
- `robots.py`: what the robots.txt of an origin allows

It knows nothing of bytes, connections or tasks, and imports only the values.
"""

from __future__ import annotations

from asyncfetch.scheduler.frontier import Frontier
from asyncfetch.scheduler.host import ANSWERED, CANCELLED, FAILED, THROTTLED, Host, Outcome
from asyncfetch.scheduler.lane import Lane, Turn
from asyncfetch.scheduler.manners import Manners
from asyncfetch.scheduler.pace import Pace
from asyncfetch.scheduler.retry import (
    RETRIED_CODES,
    RETRIED_STATUSES,
    Again,
    GiveUp,
    backoff,
    may_pass,
    next_step,
    parse_retry_after,
)

__all__ = [
    "ANSWERED",
    "CANCELLED",
    "FAILED",
    "RETRIED_CODES",
    "RETRIED_STATUSES",
    "THROTTLED",
    "Again",
    "Frontier",
    "GiveUp",
    "Host",
    "Lane",
    "Manners",
    "Outcome",
    "Pace",
    "Turn",
    "backoff",
    "may_pass",
    "next_step",
    "parse_retry_after",
]
