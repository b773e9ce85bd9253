"""How a task of the client's group begins, and what becomes of one that never does; whose a cancellation is.

A task that is cancelled before its first step never comes to its coroutine: nothing in there is run, no `finally`
either, and what it was given is lost. anyio's scopes let every task have its first step before they cancel it;
`asyncio.run` cancels at its end whatever there is.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from anyio.abc import TaskGroup

__all__ = ["begin", "is_cancelled", "wrap_cancelled"]


def begin(group: TaskGroup, work: Coroutine[Any, Any, None], lost: Callable[[], None]) -> None:
    """Start a task of a group; if it is cancelled before its first step, call `lost` instead of that."""
    group.start_soon(lambda: work, name=getattr(work, "__qualname__", None))
    asyncio.get_running_loop().call_soon(_see, work, lost)  # the first step comes just before this


def _see(work: Coroutine[Any, Any, None], lost: Callable[[], None]) -> None:
    if inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
        work.close()
        lost()


def is_cancelled() -> bool:
    """Whether somebody has asked for the end of the running task; otherwise a CancelledError is somebody else's."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def wrap_cancelled(error: asyncio.CancelledError, who: str) -> RuntimeError:
    """Make an ordinary error of a cancellation that is not ours: it must not end who only came across it."""
    wrapped = RuntimeError(f"the {who} of the list was cancelled by somebody else")
    wrapped.__cause__ = error
    return wrapped
