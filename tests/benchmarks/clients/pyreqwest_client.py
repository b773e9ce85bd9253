"""pyreqwest: Rust's reqwest under Python. It has no limit per host."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from tests.benchmarks.clients.python import fetch_all, serve
from tests.benchmarks.load import Load, Tally

pyreqwest = import_module("pyreqwest.client")  # not a dependency: what is not there cannot be typed


async def fetch(load: Load, tally: Tally) -> None:
    builder = pyreqwest.ClientBuilder().max_connections(load.in_flight)
    if load.ca_file:
        builder = builder.add_root_certificate_pem(Path(load.ca_file).read_bytes())
    async with builder.build() as client:

        async def get(url: str) -> tuple[int, int]:
            response = await client.get(url).build().send()
            return response.status, len(await response.bytes())

        await fetch_all(load, tally, get)


if __name__ == "__main__":
    serve(fetch)
