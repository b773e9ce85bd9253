"""The body of a response on its way to where it goes: into memory, into a new sink, or on into one that has a part.

Knows streams and sinks; whose turn it is, and what follows a body that failed, is `engine`'s.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from asyncfetch.client.fetch import Fetch
from asyncfetch.client.flow import BUFFERED, Flow
from asyncfetch.client.misuse import check_sink, explain_sink
from asyncfetch.client.sinks import (
    DISCARD,
    Partial,
    Sink,
    SinkFactory,
    WholeSink,
    abort,
    check_content,
    keep_beginning,
    pour,
    says_nothing_against,
)
from asyncfetch.errors import LocalError
from asyncfetch.result import Response
from asyncfetch.scheduler import ANSWERED, Outcome
from asyncfetch.settings import Limits
from asyncfetch.stats import Stats
from asyncfetch.streams.exchange import Exchange
from asyncfetch.streams.ranges import Rest

__all__ = ["Opened", "Receiver"]

_PARTIAL_CONTENT = 206


class Opened(msgspec.Struct, eq=False):
    """A fetch whose final head has come; its place is held until the body is done with.

    Attributes:
        fetch, exchange, response: what it is about.
        host: where its place is.
        outcome: what its head says to the scheduler.
        sink: where its body goes, or None for memory; made by `Receiver.take`.
    """

    fetch: Fetch
    exchange: Exchange
    response: Response
    host: str
    outcome: Outcome = ANSWERED
    sink: Sink | None = None


class Receiver:
    """Reads bodies."""

    def __init__(self, stats: Stats, limits: Limits, flow: Flow | None) -> None:
        self._stats = stats
        self._flow = flow
        self._max_body = limits.max_body
        self._max_streamed = limits.max_streamed
        self._whole_sinks: dict[type, bool] = {type(DISCARD): True}  # of each known kind: is it one?

    def take(self, opened: Opened) -> bool:
        """Deal with a body that has come together with its head, as most small ones do; False leaves it to `read`.

        Raises:
            LocalError: it cannot be saved.
            TypeError: what it is given is no sink.
        """
        fetch, response = opened.fetch, opened.response
        if fetch.partial is not None:
            return False
        sink = None
        if fetch.batch is not None and fetch.batch.sink is not None:
            sink = opened.sink = self._make_sink(fetch.batch.sink, fetch, response)
        if self._flow is not None or fetch.request.sha256 is not None:
            return False
        if sink is not None and not self._whole_sinks[type(sink)]:
            return False
        most = fetch.max_body
        if most is None:
            most = self._max_body if sink is None else self._max_streamed
        content = opened.exchange.take_whole(most)
        if content is None:
            return False
        size = len(content)
        self._stats.came(fetch.stats, size)
        response.num_bytes = response.wire_bytes = size
        if sink is None:
            response.body = content
        else:
            self._give_whole(fetch, sink, content)
        return True

    def _give_whole(self, fetch: Fetch, sink: Any, content: bytes) -> None:
        try:
            sink.take(content)
        except OSError as error:
            raise _not_saved(error) from error
        if sink is not DISCARD:
            fetch.sink = sink

    def accept(self, opened: Opened) -> None:
        """Prepare to read the body piece by piece; as `Exchange.accept`."""
        self._accept(opened, self._max_streamed)

    def _accept(self, opened: Opened, usual: int | None, begin: int = 0) -> None:
        """Prepare to read the body, of the usual size at most or what its request says; as `Exchange.accept`."""
        fetch = opened.fetch
        max_body = usual if fetch.max_body is None else fetch.max_body
        if self._flow is None:
            opened.exchange.accept(max_body, partial(self._stats.came, fetch.stats), begin)
        else:
            opened.exchange.accept(max_body, self._flow.counter(fetch.stats, opened.host), begin)
            opened.exchange.connection.reader.hold_back(BUFFERED)

    async def read(self, opened: Opened) -> None:
        """Read the whole body that `take` has left, into memory or into the sink of the list.

        Raises:
            FetchError: it did not come whole, is not what it should be, or cannot be saved.
        """
        fetch, response, exchange = opened.fetch, opened.response, opened.exchange
        rest = None
        if fetch.partial is None:
            sink = opened.sink
        else:
            rest = fetch.rest if response.status_code == _PARTIAL_CONTENT else None
            sink = await self._take_sink(fetch, fetch.partial, response, rest)
        if sink is None:
            self._accept(opened, self._max_body)
            response.body = content = await exchange.read_all()
            check_content(content, fetch.expected_digest(response))
        else:
            await self._pour(opened, sink, rest)
            if sink is not DISCARD:
                fetch.sink = sink
        response.num_bytes, response.wire_bytes = exchange.decoded, exchange.wire

    async def _take_sink(
        self, fetch: Fetch, partial: Partial, response: Response, rest: Rest | None
    ) -> Sink | None:
        """Return the sink that has the beginning if this is the rest; for another answer that is ok, a new one."""
        if not response.is_error:
            fetch.partial = None
            if rest is not None:
                return partial.sink
            await abort(partial.sink)
        factory = None if fetch.batch is None else fetch.batch.sink
        return None if factory is None else self._make_sink(factory, fetch, response)

    def _make_sink(self, factory: SinkFactory, fetch: Fetch, response: Response) -> Sink | None:
        """Ask the list where the body goes, unless nobody wants it; None is into memory.

        Raises:
            LocalError: it cannot be opened.
            TypeError: what it is given is no sink.
        """
        if response.is_error:
            return DISCARD
        try:
            sink = factory(fetch.request, response)
        except OSError as error:
            raise _not_saved(error) from error
        if sink is not None and type(sink) not in self._whole_sinks:
            check_sink(sink)
            self._whole_sinks[type(sink)] = isinstance(sink, WholeSink)
        return sink

    async def _pour(self, opened: Opened, sink: Sink, rest: Rest | None) -> None:
        fetch, response = opened.fetch, opened.response
        try:
            self._accept(opened, self._max_streamed, begin=0 if rest is None else rest.begin)
            await pour(opened.exchange, sink, fetch.expected_digest(response))
        except OSError as error:
            await abort(sink)
            raise _not_saved(error) from error
        except BaseException as error:
            if says_nothing_against(error):
                fetch.partial = await keep_beginning(opened.exchange, sink, response, rest)
            else:
                await abort(sink)
            explain_sink(sink, error)
            raise


def _not_saved(error: OSError) -> LocalError:
    return LocalError(f"the body could not be saved: {error}")
