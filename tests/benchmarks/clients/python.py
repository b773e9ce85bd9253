"""Clients that are Python modules here: how they are started, and the frame in which they fetch and count."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.benchmarks.clients.base import Command, missing_module, python
from tests.benchmarks.load import Load, Received, Tally

__all__ = ["PythonClient", "fetch_all", "serve"]

Loop = Literal["uvloop", "asyncio"]
Get = Callable[[str], Awaitable[tuple[int, int]]]

_LOAD, _REPORT = "load.json", "report.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonClient:
    """A module of this folder, run with `python -m`.

    Attributes:
        module: its name in this folder.
        needs: what must be importable.
        loop: the event loop it runs on.
    """

    key: str
    title: str
    module: str
    needs: tuple[str, ...] = ()
    loop: Loop = "uvloop"
    share: float = 1.0
    runs_for_a_time: bool = False

    def missing(self) -> str:
        return missing_module(*self.needs, *([self.loop] if self.loop != "asyncio" else []))

    def command(self, load: Load, folder: Path) -> Command:
        load.write(folder / _LOAD)
        return Command(python(f"tests.benchmarks.clients.{self.module}", str(folder), self.loop))

    def received(self, load: Load, folder: Path) -> Received:
        report = json.loads((folder / _REPORT).read_text())
        return Received(report["fetched"], report["right"], tuple(report["tenths"]))


class _Tenths(Tally):
    """A tally that notes the CPU time at each tenth of the list."""

    def __init__(self, load: Load) -> None:
        super().__init__(load)
        self.tenths: list[float] = []
        self._step = max(1, load.count // 10)
        self._next = self._step

    def add(self, status: int | None, size: int) -> None:
        super().add(status, size)
        if self.fetched == self._next:
            self._next += self._step
            self.tenths.append(time.process_time())


def serve(fetch: Callable[[Load, Tally], Awaitable[None]]) -> None:
    """Be the client: fetch what the folder in the first argument asks for, and leave there what was received."""
    folder, loop = Path(sys.argv[1]), sys.argv[2]
    load = Load.read(folder / _LOAD)
    tally = _Tenths(load)

    async def run() -> None:
        await fetch(load, tally)

    with asyncio.Runner(loop_factory=_loop_factory(loop)) as runner:
        runner.run(run())
    report = {"fetched": tally.fetched, "right": tally.right, "tenths": tally.tenths}
    (folder / _REPORT).write_text(json.dumps(report))


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return asyncio.new_event_loop


async def fetch_all(load: Load, tally: Tally, get: Get) -> None:
    """Fetch the list with a client that can fetch one URL: some tasks share the list, the cheapest way there is.

    `get` fetches a URL and returns its status and the length of its body.
    """
    urls = load.urls()
    await asyncio.gather(*(_work(urls, tally, get) for _ in range(load.in_flight)))


async def _work(urls: Iterator[str], tally: Tally, get: Get) -> None:
    for url in urls:
        tally.add(*await get(url))
