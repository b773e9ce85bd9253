"""Watch a client at work by its statistics: python examples/watch_progress.py URL..."""

import asyncio
import sys

from asyncfetch import Client, Stats

EVERY = 0.5  # seconds


async def watch(stats: Stats) -> None:
    """Tell how far it is, for ever. Nobody is called for each URL: whoever is interested looks."""
    while True:
        await asyncio.sleep(EVERY)
        total = stats.total
        print(f"{total.done} done, {total.failed} failed, {total.in_flight} in flight, {stats.received} bytes")


async def main(urls: list[str]) -> None:
    async with Client() as client, asyncio.TaskGroup() as group:
        watcher = group.create_task(watch(client.stats))
        async for _ in client.fetch_many(urls):
            pass  # whatever the program is there for
        watcher.cancel()
    for host in client.stats:  # they stay when the client is closed
        median = host.latency.quantile(0.5) or 0.0  # seconds from the request to the head; None without an answer
        print(f"{host.key}: {host.ok} ok, {host.failed} failed {host.errors}, median {1000 * median:.0f} ms")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1:]))
