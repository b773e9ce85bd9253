"""Set limits for a client, and others for some of its requests: python examples/own_limits.py URL..."""

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import replace

from asyncfetch import Client, Limits, Request, Retry, Timeouts

LIMITS = Limits(total=20, per_host=2, max_body=1024 * 1024)  # requests at once, over all and per host; bytes
TIMEOUTS = Timeouts(connect=5.0, head=10.0, total=60.0)  # seconds
RETRY = Retry(attempts=2, backoff=0.1)  # tries in all; seconds, doubled each time

# For one request they stand instead of the client's, as a whole: replace() keeps those that it does not name.
QUICK = replace(TIMEOUTS, head=1.0, total=2.0)


def requests(urls: list[str]) -> Iterator[Request]:
    """Make requests: URLs that end with `?quick` have to answer soon and briefly, without a detour."""
    for url in urls:
        if url.endswith("?quick"):
            yield Request(url, timeouts=QUICK, max_body=1000, follow_redirects=False)
        else:
            yield Request(url, headers={"Accept-Language": "eo"})  # besides the client's headers


async def main(urls: list[str]) -> None:
    async with Client(limits=LIMITS, timeouts=TIMEOUTS, retry=RETRY) as client:
        async for result in client.fetch_many(requests(urls)):
            outcome = result.error.code if result.error else result.status
            print(outcome, "after", result.attempts, "attempts:", result.url)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1:]))
