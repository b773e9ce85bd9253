"""Spare hosts, each in its own way, and see what became of it: python examples/each_host.py URL..."""

import asyncio
import sys

from asyncfetch import Client, HostSettings, Politeness, Retry

# For all hosts. How many requests at once each takes is found out besides, as are the pauses that it asks for.
POLITE = Politeness(
    rate=20.0,  # requests started a second
    failures=3,  # connections that failed, in a row: then only single probes go there
    probes=(0.2, 0.4),  # seconds before each; after the last one the host is given up
)
PATIENT = Retry(max_wait=60.0, wait_budget=300.0)  # seconds of Retry-After: at a time, and for one URL

# Some hosts are different. The closest pattern counts; what is not named stays as for all.
HOSTS = {
    "127.0.0.1": HostSettings(per_host=32, rate=1000.0, headers={"X-Team": "archive"}),  # our own
    "*.example.org": HostSettings(per_host=1, delay=2.0, limit_rate=100_000),  # seconds; bytes a second
}


async def main(urls: list[str]) -> None:
    async with Client(politeness=POLITE, retry=PATIENT, hosts=HOSTS) as client:
        async for result in client.fetch_many(urls):
            print(result.error.code if result.error else result.status, result.url)
        for host in client.stats:
            print(f"{host.key}: {host.ok} ok, {host.failed} failed, {host.state.value} {host.reason}".rstrip())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1:]))
