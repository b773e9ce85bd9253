"""Decide yourself where bodies go, here into a checksum: python examples/own_sink.py URL..."""

import asyncio
import hashlib
import sys

from asyncfetch import Client, Request, Response


class Checksum:
    """Takes one body, piece by piece, and forgets it. A sink is any object with these three methods."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    async def write(self, chunk: bytes) -> None:
        self.digest.update(chunk)  # a slow sink may await here: the server is then slowed down

    async def finish(self) -> None:
        """Do nothing more: the body is complete."""

    async def abort(self) -> None:
        """Forget it all: the body broke off. If it is tried again, there will be a new sink."""


def open_sink(request: Request, response: Response) -> Checksum | None:
    # The head is known, the body is still to come. None would keep it in memory.
    return Checksum()


async def main(urls: list[str]) -> None:
    async with Client() as client:
        async for result in client.fetch_many(urls, sink=open_sink):
            print(result.error.code if result.error else result.sink.digest.hexdigest(), result.url)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1:]))
