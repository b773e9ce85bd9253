"""Every client that a workload can name, by key."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.benchmarks.clients.aria2 import Aria2
from tests.benchmarks.clients.base import Client, python
from tests.benchmarks.clients.command import AsyncfetchCommand
from tests.benchmarks.clients.curl import Curl
from tests.benchmarks.clients.once import Once
from tests.benchmarks.clients.python import PythonClient
from tests.benchmarks.clients.wrk import Wrk
from tests.benchmarks.load import Load

__all__ = ["CLIENTS", "PEERS"]


def _importing(module: str) -> Callable[[Load], list[str]]:
    return lambda _: [sys.executable, "-c", f"import {module}"]


_ALL: list[Client] = [
    PythonClient(key="library", title="asyncfetch, uvloop", module="library"),
    PythonClient(key="library-asyncio", title="asyncfetch, asyncio", module="library", loop="asyncio"),
    AsyncfetchCommand(),
    AsyncfetchCommand(key="command-live", title="asyncfetch get, live display", live=True),
    PythonClient(key="aiohttp", title="aiohttp, uvloop", module="aiohttp_client", needs=("aiohttp",)),
    PythonClient(
        key="aiohttp-asyncio", title="aiohttp, asyncio", module="aiohttp_client", needs=("aiohttp",), loop="asyncio"
    ),
    PythonClient(key="httpx", title="httpx, uvloop", module="httpx_client", needs=("httpx",), share=0.075),
    PythonClient(key="pyreqwest", title="pyreqwest, uvloop", module="pyreqwest_client", needs=("pyreqwest",)),
    Curl(),
    Aria2(),
    Wrk(),
    Once(key="import-asyncfetch", title="import asyncfetch", argv=_importing("asyncfetch")),
    Once(key="import-asyncio", title="import asyncio", argv=_importing("asyncio")),
    Once(key="import-aiohttp", title="import aiohttp", argv=_importing("aiohttp"), needs=("aiohttp",)),
    Once(key="import-httpx", title="import httpx", argv=_importing("httpx"), needs=("httpx",)),
    Once(
        key="help",
        title="asyncfetch --help",
        argv=lambda _: python("asyncfetch", "--help"),
        says=lambda _: "Usage:",
    ),
    Once(
        key="ten-lines",
        title="ten lines of aiohttp",
        argv=lambda load: python("tests.benchmarks.clients.ten_lines", load.list_file),
        says=lambda load: f"200 {load.size}\n",
        needs=("aiohttp",),
    ),
]

CLIENTS = {client.key: client for client in _ALL}
PEERS = ("aiohttp", "aiohttp-asyncio", "httpx", "pyreqwest", "curl", "aria2", "wrk")
