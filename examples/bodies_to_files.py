"""Save bodies as files with safe names: python examples/bodies_to_files.py DIRECTORY URL..."""

import asyncio
import sys

from asyncfetch import Client
from asyncfetch.job import Bodies


async def main(directory: str, urls: list[str]) -> None:
    # Names are made from the URL: they are readable, stay below the directory, and never replace a file.
    with Bodies(directory) as bodies:
        async with Client() as client:
            # A sink takes a body while it comes, instead of memory; only bodies below status 400 have one.
            async for result in client.fetch_many(urls, sink=bodies.sink):
                if result.error is not None:
                    print(result.error.code, result.url)
                elif result.sink is not None:  # None: there is no body, as with status 204
                    # The body is whole, and gets its name now. Disks are slow: not in the event loop.
                    path = await asyncio.to_thread(bodies.save, result.sink)
                    print(path, result.url)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
