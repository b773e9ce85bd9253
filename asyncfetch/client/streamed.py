"""The body of a streamed response: read by the caller, accounted for by the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Self

from asyncfetch.client.engine import Engine, Opened
from asyncfetch.client.sinks import check_digest
from asyncfetch.errors import FetchError

__all__ = ["StreamedBody"]


class StreamedBody:
    """Gives the pieces of one open response, each once, and ends its turn exactly once.

    It is its own iterator: an iteration that was left, or whose wait was cancelled, goes on where it stopped. What
    cannot be given any more raises, so that the rest of a body is never taken for all of it.
    """

    def __init__(self, engine: Engine, opened: Opened, on_end: Callable[[], None]) -> None:
        """Wrap an open response; `on_end` is called when its places are free."""
        self._engine = engine
        self._opened = opened
        self._on_end = on_end
        self._pieces: Iterator[bytes] = iter(())
        self._given_out = False
        self._closed = False
        self._failure: FetchError | None = None
        self._expected = opened.fetch.expected_digest(opened.response)
        self._sha256 = hashlib.sha256()

    def __aiter__(self) -> Self:
        if self._given_out:
            raise RuntimeError("the body has been given out already, and was not kept")
        return self

    async def __anext__(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise RuntimeError("the response is closed: read its body inside of `async with client.stream(...)`")
        try:
            return await self._next()
        except FetchError as error:
            failure = self._fail(error)
            if failure is error:
                raise
            raise failure from error

    async def _next(self) -> bytes:
        exchange = self._opened.exchange
        while (piece := next(self._pieces, None)) is None:
            if exchange.complete:
                check_digest(self._sha256.hexdigest(), self._expected)
                self._given_out = True
                raise StopAsyncIteration
            self._pieces = iter(await exchange.read())
        self._count()
        if self._expected is not None:
            self._sha256.update(piece)
        return piece

    def _count(self) -> None:
        response, exchange = self._opened.response, self._opened.exchange
        response.num_bytes, response.wire_bytes = exchange.decoded, exchange.wire

    def _fail(self, error: FetchError) -> FetchError:
        """End the turn with an error; return the one to raise, now and at every further attempt to read."""
        if not self._closed:
            self._closed = True
            error = self._engine.fail(self._opened, error).error or error
            self._on_end()
        self._failure = error
        return error

    def close(self) -> None:
        """End the turn: with its connection kept if the body was read to its end, otherwise closed."""
        if self._closed:
            return
        self._closed = True
        self._count()
        if self._opened.exchange.complete:
            self._engine.close(self._opened)
        else:
            self._engine.cancel(self._opened)
        self._on_end()
