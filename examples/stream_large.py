"""Stream a large body into a file, in constant memory: python examples/stream_large.py URL FILE."""

import asyncio
import sys
from pathlib import Path

import anyio

from asyncfetch import Client, FetchError

STEP = 16 * 1024 * 1024  # bytes between two lines of progress


async def download(url: str, path: Path) -> None:
    part = path.with_name(path.name + ".part")  # under its own name it is always whole
    async with Client() as client, client.stream(url) as response:
        response.raise_for_status()
        expected = response.headers.get("Content-Length", "unknown")  # of the body as sent, compressed or not
        async with await anyio.open_file(part, "wb") as file:
            shown = 0
            async for chunk in response.aiter_bytes():
                await file.write(chunk)  # while the disk is slow, so is the server
                if response.wire_bytes - shown >= STEP:
                    shown = response.wire_bytes
                    print(shown, "of", expected, "bytes")
    part.replace(path)
    print(response.num_bytes, "bytes in", path)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        asyncio.run(download(sys.argv[1], Path(sys.argv[2])))
    except FetchError as error:  # no answer, one of 400 and above, or a body that is not whole
        sys.exit(f"{error.code}: {error}")
