"""Fetch one URL and look at what came back: python examples/one_url.py URL."""

import asyncio
import sys

import asyncfetch


async def main(url: str) -> int:
    try:
        response = await asyncfetch.get(url)
    except asyncfetch.FetchError as error:  # the root of all: names, connections, TLS, timeouts, broken answers
        print(f"{error.code}: {error}", file=sys.stderr)
        return 1
    # A 404 is an answer, not an error; response.raise_for_status() makes an error of it.
    print(response.status_code, response.reason_phrase)
    print(response.headers.get("Content-Type", "no type"), len(response.content), "bytes")
    print(response.text[:200])
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(sys.argv[1])))
