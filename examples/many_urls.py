"""Fetch many URLs, and take each result as it comes: python examples/many_urls.py URL..."""

import asyncio
import sys
from collections.abc import Iterable

from asyncfetch import Client


async def main(urls: Iterable[str]) -> None:
    # Any iterable will do, also an endless generator or an async one: it is read as far as it is needed.
    async with Client() as client:
        async for result in client.fetch_many(urls):  # nothing is raised for a URL, whatever becomes of it
            if result.error is None:
                assert result.response is not None, "without an error there is a response"
                print(result.index, result.status, len(result.response.content), "bytes", result.url)
            else:
                print(result.index, result.error.code, result.error)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1:]))
