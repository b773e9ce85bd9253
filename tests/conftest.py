"""What every test runs under: both event loops, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import uvloop

hypothesis.settings.register_profile("untimed", parent=hypothesis.settings(), deadline=None)
hypothesis.settings.register_profile("fixed", parent=hypothesis.settings.get_profile("untimed"), derandomize=True)
hypothesis.settings.load_profile("untimed")

pytest_plugins = ("asyncfetch.testing.fixtures",)

_FOR_A_THREAD = 5.0  # seconds

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every async test on asyncio and on uvloop."""
    return LOOPS


def _open_descriptors() -> set[tuple[str, str]]:
    """The files and sockets that this process holds, as (descriptor, what it is)."""
    found: set[tuple[str, str]] = set()
    folder = Path("/proc/self/fd")
    for entry in folder.iterdir() if folder.exists() else ():
        try:
            found.add((entry.name, str(entry.readlink())))
        except OSError:
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a socket, a file or a thread behind.

    Tasks are seen too: the loop of an async test closes with the test, and a task that is destroyed while it is
    pending is a warning, and warnings are errors.
    """
    threads_before = set(threading.enumerate())
    before = _open_descriptors()
    yield
    if _left(before, threads_before):
        gc.collect()
        for thread in _threads_left(threads_before):
            thread.join(_FOR_A_THREAD)  # those of anyio are told to end with a test, and nobody waits for that
    left = _left(before, threads_before)
    assert not left, f"left behind: {left}"


def _left(before: set[tuple[str, str]], threads_before: set[threading.Thread]) -> list[object]:
    """What is there now and was not before."""
    descriptors = [
        (number, target)
        for number, target in _open_descriptors() - before
        if target.startswith("socket:") or (target.startswith("/") and not target.startswith("/dev/"))
    ]
    return [*descriptors, *_threads_left(threads_before)]


def _threads_left(threads_before: set[threading.Thread]) -> list[threading.Thread]:
    """Threads that were not there before; those of an event loop's own pool end with the loop."""
    new = set(threading.enumerate()) - threads_before
    return [thread for thread in new if not thread.name.startswith("asyncio_")]


@pytest.fixture
def without_root() -> Iterator[None]:
    """Let file modes hold: where the tests run as root, whom none keeps out, become nobody for the time being."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    yield
    if is_root:
        os.seteuid(0)


@pytest.fixture
def as_root() -> bool:
    """Whether the tests run as root, whom no file mode keeps out."""
    return os.geteuid() == 0
