"""Requests that run in the task of their caller: every `get`, and a `stream` up to its response.

Cancelling the caller cancels the request, without a task in between. What this file adds to that: the place that
becomes free is given out again whatever happens, and a client that closes calls off what still runs elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from asyncfetch.client.fetch import Fetch
from asyncfetch.client.turns import Turns
from asyncfetch.errors import Cancelled
from asyncfetch.url import redacted

__all__ = ["Singles"]

T = TypeVar("T")


class Singles:
    """Runs single requests."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._running: dict[Fetch, asyncio.Task[object]] = {}
        self._called_off: set[Fetch] = set()

    async def run(self, fetch: Fetch, run_turn: Callable[[Fetch], Awaitable[T | None]]) -> T:
        """Run one turn of a fetch after another until a turn gives something, and return that.

        Raises:
            Cancelled: the client was closed meanwhile.
        """
        task = asyncio.current_task()
        assert task is not None, "requests run in tasks"
        requests_before = task.cancelling()
        fetch.waiter = self._loop.create_future()
        self._running[fetch] = task
        try:
            self._turns.add(fetch)
            self._turns.pump()
            outcome = None
            while outcome is None:
                await self._turns.wait(fetch)
                outcome = await run_turn(fetch)
        except asyncio.CancelledError:
            # only `close` has cancelled the task, nobody else: asyncio.timeout finds that out in the same way
            if fetch in self._called_off and task.uncancel() <= requests_before:
                raise Cancelled("the client was closed meanwhile", url=redacted(fetch.request.url)) from None
            raise
        else:
            return outcome
        finally:
            del self._running[fetch]
            self._called_off.discard(fetch)
            self._turns.pump()

    def close(self) -> None:
        """Call off everything that runs."""
        self._called_off.update(self._running)
        for task in self._running.values():
            task.cancel()
