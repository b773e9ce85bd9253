"""The body of a streamed response: read by the caller, accounted for by the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from asyncfetch.client.engine import Engine, Opened
from asyncfetch.errors import FetchError

__all__ = ["StreamedBody"]


class StreamedBody:
    """Gives the pieces of one open response, and ends its turn exactly once."""

    def __init__(self, engine: Engine, opened: Opened) -> None:
        self._engine = engine
        self._opened = opened
        self._ended = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        exchange = self._opened.exchange
        try:
            while not exchange.complete and not self._ended:
                for piece in await exchange.read():
                    self._opened.response.num_bytes = exchange.decoded
                    self._opened.response.wire_bytes = exchange.wire
                    yield piece
        except FetchError as error:
            self._fail(error)
            raise
        except asyncio.CancelledError:
            self.close()
            raise

    def _fail(self, error: FetchError) -> None:
        if not self._ended:
            self._ended = True
            self._engine.fail(self._opened, error)

    def close(self) -> None:
        """End the turn: with its connection kept if the body was read to its end, otherwise closed."""
        if self._ended:
            return
        self._ended = True
        if self._opened.exchange.complete:
            self._engine.close(self._opened)
        else:
            self._engine.cancel(self._opened)
