"""aiohttp: one session, its own limits, each body read whole; large ones piece by piece."""

from __future__ import annotations

import ssl
from importlib import import_module

from tests.benchmarks.clients.python import fetch_all, serve
from tests.benchmarks.load import KEPT_IN_MEMORY, Load, Tally

aiohttp = import_module("aiohttp")  # not a dependency: what is not there cannot be typed


async def fetch(load: Load, tally: Tally) -> None:
    context = ssl.create_default_context(cafile=load.ca_file) if load.ca_file else True
    connector = aiohttp.TCPConnector(limit=load.in_flight, limit_per_host=load.per_host, ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def get(url: str) -> tuple[int, int]:
            async with session.get(url) as response:
                if load.size <= KEPT_IN_MEMORY:
                    return response.status, len(await response.read())
                size = 0
                async for chunk in response.content.iter_any():
                    size += len(chunk)
                return response.status, size

        await fetch_all(load, tally, get)


if __name__ == "__main__":
    serve(fetch)
