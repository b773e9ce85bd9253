"""The script that somebody writes with aiohttp to fetch one URL: `python ten_lines.py LIST_FILE`."""

import asyncio
import sys
from importlib import import_module
from pathlib import Path


async def main() -> None:
    async with import_module("aiohttp").ClientSession() as session, session.get(url) as response:
        sys.stdout.write(f"{response.status} {len(await response.read())}\n")


if __name__ == "__main__":
    url = Path(sys.argv[1]).read_text().strip()
    asyncio.run(main())
