"""Which core the client gets and which one everything else: what shares a core measures the scheduler instead."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Cores", "on_core"]


@dataclass(frozen=True, slots=True)
class Cores:
    """The core of the clients, and that of the servers and of this program; None where cores cannot be chosen."""

    client: int | None
    server: int | None

    @classmethod
    def choose(cls) -> Cores:
        """Take the last and the first of the cores that this program may use."""
        if not hasattr(os, "sched_setaffinity"):
            return cls(None, None)
        allowed = sorted(os.sched_getaffinity(0))
        return cls(allowed[-1], allowed[0])

    def __str__(self) -> str:
        if self.client is None:
            return "cores cannot be chosen on this system: client and server share them"
        if self.client == self.server:
            return f"client and server share the only core, {self.client}: rates are not those of the client alone"
        return f"clients on core {self.client}, servers on core {self.server}"


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Let what is started in this block, by this thread, run on one core."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
