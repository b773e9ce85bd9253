"""The event loop of a command, and what is prepared before it starts."""

from __future__ import annotations

import asyncio
import gc
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from asyncfetch.cli.running import choose_loop, raise_open_file_limit, run_in_loop
from asyncfetch.testing import FaultServer, Reply
from tests.cli.command import environment


def test_uvloop_is_used_where_it_is_installed() -> None:
    """auto and uvloop are uvloop here; asyncio is asyncio everywhere."""
    assert choose_loop("auto") == "uvloop"
    assert choose_loop("uvloop") == "uvloop"
    assert choose_loop("asyncio") == "asyncio"


async def _loop_name() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_a_function_runs_in_the_loop_that_was_chosen() -> None:
    """What it returns is returned."""
    assert run_in_loop(_loop_name, "auto") == "uvloop"
    assert run_in_loop(_loop_name, "asyncio") == "asyncio"


async def _collector() -> tuple[int, int]:
    return gc.get_threshold()[0], gc.get_freeze_count()


def test_garbage_is_seldom_looked_for_while_the_loop_runs() -> None:
    """Requests leave hardly any, and what the start has made is there to stay; afterwards it is as before."""
    before = gc.get_threshold()
    allocations, frozen = run_in_loop(_collector, "auto")
    assert allocations > 10 * before[0]
    assert frozen > 10_000
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


WITHOUT_UVLOOP = """
import sys
sys.modules["uvloop"] = None
sys.argv = ["asyncfetch", *sys.argv[1:]]
from asyncfetch.cli import main
main()
"""


@pytest.mark.slow
def test_where_uvloop_is_missing_asyncio_serves() -> None:
    """auto falls back without a word; who insists on uvloop is told what to do instead."""
    command = [sys.executable, "-c", WITHOUT_UVLOOP]
    told = subprocess.run([*command, "info"], capture_output=True, text=True, env=environment())
    assert "event loop           asyncio\n" in told.stdout
    insisting = [*command, "get", "http://a.example/", "--loop", "uvloop"]
    refused = subprocess.run(insisting, capture_output=True, text=True, env=environment())
    assert refused.returncode == 2
    sentence = "uvloop is not installed here: leave --loop out, or use --loop asyncio"
    assert refused.stderr == f"asyncfetch: {sentence}\n"


def test_the_limit_of_open_files_is_raised_to_the_hard_one() -> None:
    """The soft limit is a habit of shells; sockets need more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        assert raise_open_file_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
def test_a_run_loads_what_it_uses_only(fault_server: FaultServer, tmp_path: Path) -> None:
    """Where nothing has a colour, neither rich nor the help is loaded; nor saved bodies that nobody asked for."""
    fault_server.route("/", Reply(200))
    code = "import sys; from asyncfetch.cli.app import run_app; sys.exit(run_app() or print(*sys.modules))"
    command = [sys.executable, "-c", code, "get", "-o", str(tmp_path / "r.jsonl"), fault_server.url("/")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    loaded = set(ran.stdout.split())
    assert {"asyncfetch.cli.get", "asyncfetch.job.runner", "click"} <= loaded
    assert not loaded & {"rich.console", "rich.text", "rich_click", "asyncfetch.job.bodies", "asyncfetch.job.plan"}
