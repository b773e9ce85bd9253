"""The event loop of a command: which one, and what is prepared before it starts."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Awaitable, Callable, Iterator
from importlib.util import find_spec
from typing import Literal, TypeVar

from asyncfetch.cli.exits import UsageProblem

__all__ = ["LoopName", "choose_loop", "raise_open_file_limit", "run_in_loop"]

T = TypeVar("T")
LoopName = Literal["auto", "asyncio", "uvloop"]

_ALLOCATIONS = 20_000
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
    with _seldom_collected():
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


@contextlib.contextmanager
def _seldom_collected() -> Iterator[None]:
    """Let the garbage collector look every 20,000 allocations, and never at what the start has made.

    It looks for cycles, of which requests leave next to none: every 700 allocations it costs a tenth of everything.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _calm_the_allocator() -> None:
    """Free one large block, so that glibc serves read buffers from its heap and not by a new mapping each.

    The threshold for mappings follows the largest block freed; event loops take 256 KiB for every read.
    """
    bytes(_LARGE_BLOCK)  # from calloc: its pages are never touched
