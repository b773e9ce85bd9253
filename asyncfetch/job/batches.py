"""One thread that is given things, some at a time, and takes what has come in batches.

It costs the event loop next to nothing: handing over is a step of a queue, and nobody is told that a batch is done,
unless somebody waits for room. The thread looks when something has come, gives company a moment to come, or until
there are some, and takes all that is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import anyio

__all__ = ["BatchThread"]

T = TypeVar("T")

_PATIENCE = 0.002  # seconds


class BatchThread(Generic[T]):
    """Lets a function take batches in a thread. `run` is a task; `put`, `has_room` and `close` are for its loop."""

    def __init__(self, take: Callable[[list[T]], None], enough: int, at_once: int) -> None:
        """Be given nothing yet.

        Args:
            take: called in the thread with each batch, in order.
            enough: how many are worth a batch without a further wait.
            at_once: a batch with so many is not added to; what was given together stays together.
        """
        self._take = take
        self._enough = enough
        self._at_once = at_once
        self._queue: SimpleQueue[Sequence[T] | None] = SimpleQueue()
        self._nudges: SimpleQueue[None] = SimpleQueue()
        self._given = self._done = 0
        self._is_last = self._has_ended = False
        self._failure: BaseException | None = None
        self._waiting_for_room: list[asyncio.Future[None]] = []

    @property
    def waiting(self) -> int:
        """How many things have been given and not been taken to the end."""
        return self._given - self._done

    def put(self, items: Sequence[T]) -> int:
        """Hand some things over; return how many are `waiting` now."""
        before = self._given - self._done
        waiting = before + len(items)
        self._given += len(items)
        self._queue.put(items)
        if before < self._enough <= waiting:
            self._nudges.put(None)
        return waiting

    async def has_room(self, at_most: int) -> None:
        """Wait until no more than so many have been given and not been taken, or the thread has ended."""
        loop, is_roomy = asyncio.get_running_loop(), False
        while not is_roomy:
            room = loop.create_future()
            self._waiting_for_room.append(room)
            # the thread counts first and looks for who waits then; here it is the reverse
            is_roomy = self._has_ended or self.waiting <= at_most
            if not is_roomy:
                await room

    def close(self) -> None:
        """Let `run` return when everything has been taken."""
        self._queue.put(None)
        self._nudges.put(None)

    async def run(self) -> None:
        """Let the thread work until `close`; cancelling changes nothing.

        Raises:
            Exception: what `take` raised; the thread has then ended.
        """
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        # a daemon: a disk that never answers must not keep a program alive that does not wait for us any more
        threading.Thread(target=self._work, args=(loop, ended), name="asyncfetch-batches", daemon=True).start()
        with anyio.CancelScope(shield=True):
            await ended
        if self._failure is not None:
            raise self._failure

    # --- in the thread

    def _work(self, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
        try:
            while batch := self._next():
                self._take(batch)
                self._done += len(batch)
                if self._waiting_for_room:
                    _tell(loop, self._give_room)
        except BaseException as error:
            self._failure = error
        finally:
            _tell(loop, self._end, ended)

    def _next(self) -> list[T]:
        """Wait for the next batch; an empty one is the end."""
        first = None if self._is_last else self._queue.get()
        if first is None:
            return []
        with contextlib.suppress(Empty):
            if self.waiting <= self._enough:
                self._nudges.get(timeout=_PATIENCE)
            while True:  # what is said of things that are taken now need not cut the next wait short
                self._nudges.get_nowait()
        batch = list(first)
        while len(batch) < self._at_once and not self._is_last and self._queue.qsize():
            items = self._queue.get()
            if items is None:
                self._is_last = True
            else:
                batch += items
        return batch

    # --- from the thread, in the event loop

    def _give_room(self) -> None:
        waiting, self._waiting_for_room = self._waiting_for_room, []
        for room in waiting:
            if not room.done():
                room.set_result(None)

    def _end(self, ended: asyncio.Future[None]) -> None:
        self._has_ended = True
        self._give_room()
        if not ended.done():
            ended.set_result(None)


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *arguments: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody is there any more
        loop.call_soon_threadsafe(what, *arguments)
