"""What `fetch_many` returns: the results of a list, to be iterated, and the ways to end that early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from asyncfetch.client.batch import Batch
from asyncfetch.result import Result

__all__ = ["FetchMany"]


class FetchMany:
    """The results of a list, to be iterated once: `async for result in client.fetch_many(urls)`.

    Each entry gives one result, in the order in which they end; nothing is raised for a URL. An error of the
    source itself is raised at the end, after the results of what it gave before.

    Leaving the loop early ends the work: when the iteration is dropped, what is queued is given up and what is in
    flight is cancelled. To wait until that is done, use it as a context manager or call `aclose`.
    """

    _batch: Batch | None = None
    _closed = False

    def __init__(self, start: Callable[[], Batch]) -> None:
        self._start = start

    def __repr__(self) -> str:
        """Show how far it is."""
        return f"<FetchMany {'ended' if self._closed or (self._batch and self._batch.is_done) else 'not ended'}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Result:
        if self._closed:
            raise StopAsyncIteration
        batch = self._batch or self._begin()
        if not batch.results and not await batch.wait():
            raise StopAsyncIteration
        return batch.take()

    async def some(self, most: int) -> list[Result]:
        """Return the results that are there, of which iterating would give one after the other.

        If none is there, it waits for one; an empty list is the end.

        Args:
            most: how many at most for which something was sent, 1 or more. Others come in any number.

        Raises:
            ValueError: `most` is less than 1.
            Exception: as iterating.
        """
        if most < 1:
            raise ValueError(f"at least 1 result can be asked for, not {most}")
        if self._closed:
            return []
        batch = self._batch or self._begin()
        return batch.take_some(most) if batch.results or await batch.wait() else []

    def _begin(self) -> Batch:
        if self._batch is None:
            self._batch = self._start()
        return self._batch

    def stop(self) -> None:
        """Start nothing more: the iteration ends when what is in flight has ended.

        Something that would need another turn, for a redirect or a retry, has no result then.
        """
        if self._batch is None:
            self._closed = True
        else:
            self._batch.stop()

    async def aclose(self) -> None:
        """Give up what is queued and in flight, and wait until everything is given back."""
        self._closed = True
        if self._batch is not None:
            await self._batch.aclose()

    async def __aenter__(self) -> Self:
        self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._batch is not None and not self._batch.is_done:
            self._batch.abandon()
