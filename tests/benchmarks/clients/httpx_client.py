"""httpx: one client with as many connections as requests in flight. It has no limit per host."""

from __future__ import annotations

import ssl
from importlib import import_module

from tests.benchmarks.clients.python import fetch_all, serve
from tests.benchmarks.load import Load, Tally

httpx = import_module("httpx")  # not a dependency: what is not there cannot be typed


async def fetch(load: Load, tally: Tally) -> None:
    context = ssl.create_default_context(cafile=load.ca_file) if load.ca_file else True
    limits = httpx.Limits(max_connections=load.in_flight, max_keepalive_connections=load.in_flight)
    async with httpx.AsyncClient(limits=limits, verify=context, timeout=60) as client:

        async def get(url: str) -> tuple[int, int]:
            response = await client.get(url)
            return response.status_code, len(response.content)

        await fetch_all(load, tally, get)


if __name__ == "__main__":
    serve(fetch)
