"""TURNS: whose turn it is. Pure: no await, no I/O, no clock of its own; time is an argument.

- `frontier.py`: the queues, the limits and their algorithm; `lane.py`, `lines.py`, `ring.py` and `waits.py` are its
  pieces
- `host.py`: one host's state; `adapt.py` learns what it takes at once, `allowance.py` what it allows a second,
  `breaker.py` whether it is there
- `pace.py`: a rate
- `manners.py`: how a host is to be treated; `registry.py`: which hosts there are
- `outcome.py`: what one request says about its host; `asked.py`: what an answer's fields ask for
- `retry.py`: whether to try again, and when
- `robots.py`: what the robots.txt of an origin allows

It knows nothing of bytes, connections or tasks, and imports only the values.
"""

from __future__ import annotations

from asyncfetch.scheduler.asked import Asked, find_asked
from asyncfetch.scheduler.frontier import Frontier
from asyncfetch.scheduler.host import Host
from asyncfetch.scheduler.lane import Lane, Turn
from asyncfetch.scheduler.manners import Manners
from asyncfetch.scheduler.outcome import (
    ANSWERED,
    CANCELLED,
    FAILED,
    SILENT,
    THROTTLED,
    Outcome,
    outcome_of_failure,
    outcome_of_status,
)
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
    "SILENT",
    "THROTTLED",
    "Again",
    "Asked",
    "Frontier",
    "GiveUp",
    "Host",
    "Lane",
    "Manners",
    "Outcome",
    "Pace",
    "Turn",
    "backoff",
    "find_asked",
    "may_pass",
    "next_step",
    "outcome_of_failure",
    "outcome_of_status",
    "parse_retry_after",
]
