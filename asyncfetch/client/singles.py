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
from asyncfetch.result import HeaderTypes, Method, Request, Response, Result
from asyncfetch.settings import Timeouts
from asyncfetch.url import redacted

__all__ = ["Singles", "as_request", "response_of"]

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
        self._running[fetch] = task
        try:
            if not self._turns.begin(fetch):
                fetch.waiter = self._loop.create_future()
                self._turns.add(fetch)
                self._turns.pump()
                await self._turns.wait(fetch)
            while (outcome := await run_turn(fetch)) is None:
                await self._turns.wait(fetch)
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


def as_request(
    url: str | Request,
    method: Method,
    headers: HeaderTypes | None,
    timeouts: Timeouts | None,
    follow_redirects: bool | None,
    max_body: int | None,
) -> Request:
    """Return the Request that the arguments of `get` and `stream` make, or are.

    Raises:
        TypeError: `url` is neither text nor a Request, or is a Request beside other arguments.
    """
    if isinstance(url, str):
        return Request(
            url,
            method=method,
            headers=headers,
            timeouts=timeouts,
            follow_redirects=follow_redirects,
            max_body=max_body,
        )
    if not isinstance(url, Request):
        raise TypeError(f"a URL is text or a Request, not {url!r}")
    if method != "GET" or any(given is not None for given in (headers, timeouts, follow_redirects, max_body)):
        raise TypeError("a Request has its own settings: set them there, not beside it")
    return url


def response_of(result: Result) -> Response:
    """Return the response of a result, or raise why there is none."""
    if result.response is None:
        assert result.error is not None
        raise result.error
    return result.response
