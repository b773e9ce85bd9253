"""aiohttp as it is usually made polite: a semaphore, and ten retries with waits that double."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from pathlib import Path

aiohttp = import_module("aiohttp")  # not a dependency: what is not there cannot be typed

_AT_ONCE, _ATTEMPTS = 6, 11


async def fetch(urls: list[str]) -> int:
    places, lost = asyncio.Semaphore(_AT_ONCE), 0
    async with aiohttp.ClientSession() as session:

        async def get(url: str) -> None:
            nonlocal lost
            async with places:
                for attempt in range(_ATTEMPTS):
                    async with session.get(url) as response:
                        await response.read()
                        if response.status == 200:
                            return
                    if attempt + 1 < _ATTEMPTS:
                        await asyncio.sleep(2.0**attempt)
            lost += 1

        await asyncio.gather(*(get(url) for url in urls))
    return lost


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(fetch(Path(sys.argv[1]).read_text().split()))} lost\n")
