"""One-liners for scripts: each opens a client of its own and closes it again.

A program that fetches more than once keeps a `Client`: then limits, connections and statistics hold for all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable

from asyncfetch.client import Client
from asyncfetch.client.batch import Source
from asyncfetch.result import Request, Response, Result
from asyncfetch.settings import Limits

__all__ = ["fetch_many", "get", "run"]


async def get(url: str | Request) -> Response:
    """Fetch one URL and return its response, the body in memory.

    Raises:
        FetchError: there is no complete response.
    """
    async with Client() as client:
        return await client.get(url)


async def fetch_many(urls: Source, *, limits: Limits | None = None) -> AsyncGenerator[Result]:
    """Fetch many URLs and give a `Result` for each, as they end.

    Leaving the loop early ends the work when the generator is closed: at once with `contextlib.aclosing`.
    """
    async with Client(limits=limits) as client, client.fetch_many(urls) as results:
        async for result in results:
            yield result


def run(urls: Iterable[str | Request], *, limits: Limits | None = None) -> list[Result]:
    """Fetch many URLs from a program without an event loop, and return all results in the order of the URLs.

    Every body is kept in memory until the last one has come; for long lists use a `Client`.

    Raises:
        RuntimeError: an event loop is running in this thread already.
    """

    async def fetch() -> list[Result]:
        async with Client(limits=limits) as client:
            return [result async for result in client.fetch_many(urls)]

    return sorted(asyncio.run(fetch()), key=lambda result: result.index)
