"""One-liners for scripts: each opens a client of its own and closes it again.

A program that fetches more than once keeps a `Client`: then limits, connections and statistics hold for all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import TypedDict, Unpack

from asyncfetch.client import Client
from asyncfetch.client.feeding import Source
from asyncfetch.client.hosts import HostTable
from asyncfetch.result import HeaderTypes, Request, Response, Result
from asyncfetch.settings import Limits, Network, Politeness, Redirects, Retry, Timeouts, TLSSettings
from asyncfetch.streams.guard import Guard
from asyncfetch.trace import Trace

__all__ = ["fetch_many", "get", "run"]


class ClientSettings(TypedDict, total=False):
    """What `Client` takes."""

    limits: Limits
    timeouts: Timeouts
    retry: Retry
    politeness: Politeness
    hosts: HostTable
    redirects: Redirects
    tls: TLSSettings
    network: Network
    headers: HeaderTypes
    sensitive_headers: Iterable[str]
    guard: Guard
    robots: bool
    trace: Trace


async def get(url: str | Request, **settings: Unpack[ClientSettings]) -> Response:
    """Fetch one URL and return its response, the body in memory. The settings are those of `Client`.

    Raises:
        FetchError: there is no complete response.
    """
    async with Client(**settings) as client:
        return await client.get(url)


async def fetch_many(urls: Source, **settings: Unpack[ClientSettings]) -> AsyncGenerator[Result]:
    """Fetch many URLs and give a `Result` for each, as they end. The settings are those of `Client`.

    Leaving the loop early ends the work when the generator is closed: at once with `contextlib.aclosing`.
    """
    async with Client(**settings) as client, client.fetch_many(urls) as results:
        async for result in results:
            yield result


def run(urls: Iterable[str | Request], **settings: Unpack[ClientSettings]) -> list[Result]:
    """Fetch many URLs from a program without an event loop, and return all results in the order of the URLs.

    The settings are those of `Client`. Every body is kept in memory until the last one has come; for long lists
    use a `Client`.

    Raises:
        RuntimeError: an event loop is running in this thread already.
    """

    async def fetch() -> list[Result]:
        async with Client(**settings) as client:
            return [result async for result in client.fetch_many(urls)]

    if _is_loop_running():
        raise RuntimeError("run() is for programs without an event loop; here one is running: use fetch_many")
    return sorted(asyncio.run(fetch()), key=lambda result: result.index)


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
