"""Where bodies go instead of into memory: what a list's `sink` may give, and how it is ended when it fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol

import anyio

from asyncfetch.errors import LocalError
from asyncfetch.result import Request, Response

__all__ = ["DISCARD", "Sink", "SinkFactory", "abort", "not_saved"]

_ABORTING = 2.0  # seconds that a sink has to forget a body, even while everything around it is being cancelled


class Sink(Protocol):
    """Where a body goes instead of into memory: some `write`, then `finish` or `abort`.

    An OSError of it, `TimeoutError` included, is the `io` error of that result; anything else ends the list and is
    raised to its consumer.
    """

    async def write(self, chunk: bytes) -> None:
        """Take the next decoded bytes; the server is slowed down while this waits."""
        ...

    async def finish(self) -> None:
        """The body is complete and whole. If this fails, `abort` follows."""
        ...

    async def abort(self) -> None:
        """The body failed, was cancelled, or will be fetched again: forget all of it, within 2 seconds."""
        ...


SinkFactory = Callable[[Request, Response], Sink | None]


class _Discard:
    """Takes a body that nobody wants to keep."""

    async def write(self, chunk: bytes) -> None:
        pass

    async def finish(self) -> None:
        pass

    async def abort(self) -> None:
        pass


DISCARD = _Discard()


def not_saved(error: OSError) -> LocalError:
    """Say that this machine could not keep a body."""
    return LocalError(f"the body could not be saved: {error}")


async def abort(sink: Sink) -> None:
    """Let a sink forget its body, even while the task is being cancelled; that it cannot is no news by now."""
    with anyio.move_on_after(_ABORTING, shield=True), contextlib.suppress(OSError):
        await sink.abort()
