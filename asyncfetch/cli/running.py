"""The event loop of a command: which one, and what is prepared before it starts."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Literal, TypeVar

from asyncfetch.cli.exits import UsageProblem

__all__ = ["LoopName", "choose_loop", "raise_open_file_limit", "run_in_loop"]

T = TypeVar("T")
LoopName = Literal["auto", "asyncio", "uvloop"]

_LARGE_BLOCK = 30 * 1024 * 1024  # glibc looks at blocks of at most 32 MiB, their header included


def choose_loop(wanted: LoopName) -> Literal["asyncio", "uvloop"]:
    """Return the event loop to use: uvloop where it is installed, unless another one is wanted.

    Raises:
        UsageProblem: uvloop is wanted and not installed.
    """
    installed = find_spec("uvloop") is not None
    if wanted == "uvloop" and not installed:
        raise UsageProblem("uvloop is not installed here: leave --loop out, or use --loop asyncio")
    return "uvloop" if installed and wanted != "asyncio" else "asyncio"


def run_in_loop(function: Callable[[], Awaitable[T]], loop: LoopName) -> T:
    """Run an async function to its end in the chosen event loop.

    Raises:
        UsageProblem: the loop is not installed.
    """
    import anyio

    use_uvloop = choose_loop(loop) == "uvloop"
    _calm_the_allocator()
    return anyio.run(function, backend="asyncio", backend_options={"use_uvloop": use_uvloop})


def raise_open_file_limit() -> int | None:
    """Raise the soft limit of open files to the hard one; return the limit in force, None where there is none."""
    try:
        import resource
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft


def _calm_the_allocator() -> None:
    """Free one large block, so that glibc serves read buffers from its heap and not by a new mapping each.

    The threshold for mappings follows the largest block freed; event loops take 256 KiB for every read.
    """
    bytes(_LARGE_BLOCK)  # from calloc: its pages are never touched
