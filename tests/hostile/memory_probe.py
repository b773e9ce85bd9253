"""Fetches hostile things in a process of its own and tells what that took: for `test_memory` (Linux).

As a program it reads one JSON object a line, and answers with one line each:

    {"small": URL, "url": URL, "how": "stream", "total": 0.5}
    {"code": "timeout.total", "idle": 41943040, "peak": 44040192, "seconds": 0.5, "blocked": 0.01}

`idle` is its resident memory after some small pages, `peak` the most that there was while it fetched `url`, in
bytes; `blocked` is the longest time, in seconds of its processor's, that nobody else in the event loop got a turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from asyncfetch import Client, FetchError, Limits, Request, Response, Retry, Timeouts, TLSSettings

_KEPT = 8 * 1024 * 1024  # bytes of a body that `get` may keep
_NAP = 0.05
_OWN = Path("/proc/self")


class Bin:
    """Takes a body that nobody wants."""

    async def write(self, chunk: bytes) -> None:
        pass

    async def finish(self) -> None:
        pass

    async def abort(self) -> None:
        pass


def throw_away(request: Request, response: Response) -> Bin:
    return Bin()


def resident(key: str) -> int:
    """Read this process's memory in bytes: `VmRSS` is now, `VmHWM` at most since the last reset."""
    status = (_OWN / "status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith(f"{key}:")]
    return int(line.split()[1]) * 1024


def reset_peak() -> None:
    """Give back what nobody uses, and let `VmHWM` begin again at `VmRSS` (proc(5): clear_refs)."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
    (_OWN / "clear_refs").write_text("5")


async def fetch(client: Client, url: str | Request, how: str) -> str:
    """Fetch in one of the ways that the library has; return the error code, or an empty string."""
    try:
        if how == "get":
            await client.get(url)
        elif how == "list":
            async for result in client.fetch_many([url], sink=throw_away):
                if result.error is not None:
                    return result.error.code
        else:
            async with client.stream(url) as response:
                async for _ in response.aiter_bytes():
                    if how == "slow reader":
                        await asyncio.sleep(_NAP)
    except FetchError as error:
        return error.code
    return ""


class Watch:
    """Wants a turn in the event loop all the time.

    Attributes:
        longest: seconds of processor time that it had to wait for one, at most.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            before = time.process_time()
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, time.process_time() - before)

    async def stop(self) -> float:
        self._task.cancel()
        await asyncio.wait([self._task])
        return self.longest


async def probe(spec: dict[str, Any]) -> dict[str, Any]:
    """Fetch the small page, then the hostile thing."""
    client = Client(
        limits=Limits(max_body=_KEPT),
        timeouts=Timeouts(total=spec["total"]),
        retry=Retry(attempts=1),
        tls=TLSSettings(verify=False),
    )
    async with client:
        small = Request(spec["small"], timeouts=Timeouts())  # it is not what is to be cut off
        for _ in range(3):
            assert await fetch(client, small, spec["how"]) == ""
        reset_peak()
        idle, began = resident("VmRSS"), time.monotonic()
        watch = Watch()
        code = await fetch(client, spec["url"], spec["how"])
        seconds = time.monotonic() - began
        blocked = await watch.stop()
    return {"code": code, "idle": idle, "peak": resident("VmHWM"), "seconds": seconds, "blocked": blocked}


def main() -> None:
    """Serve until the end of the input, on the loop that the argument names."""
    factory = uvloop.new_event_loop if sys.argv[1] == "uvloop" else None
    for line in sys.stdin:
        with asyncio.Runner(loop_factory=factory) as runner:
            print(json.dumps(runner.run(probe(json.loads(line)))), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
