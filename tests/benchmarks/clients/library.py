"""asyncfetch as a library: `fetch_many` for a list, `get` for one after the other, `stream` for large bodies."""

from __future__ import annotations

import asyncfetch
from tests.benchmarks.clients.python import serve
from tests.benchmarks.load import KEPT_IN_MEMORY, Load, Tally


async def fetch(load: Load, tally: Tally) -> None:
    async with asyncfetch.Client(
        limits=asyncfetch.Limits(total=load.in_flight, per_host=load.per_host),
        tls=asyncfetch.TLSSettings(ca_file=load.ca_file or None),
    ) as client:
        if load.size > KEPT_IN_MEMORY:
            await _stream(client, load, tally)
        elif load.in_flight == 1:
            for url in load.urls():
                response = await client.get(url)
                tally.add(response.status_code, len(response.content))
        else:
            async for result in client.fetch_many(load.urls()):
                tally.add(result.status, 0 if result.response is None else len(result.response.content))


async def _stream(client: asyncfetch.Client, load: Load, tally: Tally) -> None:
    for url in load.urls():
        size = 0
        async with client.stream(url) as response:
            async for chunk in response.aiter_bytes():
                size += len(chunk)
        tally.add(response.status_code, size)


if __name__ == "__main__":
    serve(fetch)
