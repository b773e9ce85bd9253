"""Where bodies go instead of into memory: what a sink is, and what is said of something that is none."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Protocol

import anyio

from asyncfetch.result import Request, Response

__all__ = ["DISCARD", "Sink", "SinkFactory", "abort", "check_sink", "explain_sink"]

_METHODS = ("write", "finish", "abort")
_WANTED = "a sink is an object with the async methods write, finish and abort"
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


async def abort(sink: Sink) -> None:
    """Let a sink forget its body, even while the task is being cancelled; that it cannot is no news by now.

    Raises:
        TypeError: its `abort` is not async.
    """
    with anyio.move_on_after(_ABORTING, shield=True), contextlib.suppress(OSError):
        try:
            await sink.abort()
        except TypeError as error:
            explain_sink(sink, error)
            raise


def check_sink(sink: object) -> None:
    """Check that a sink can be used up to its end, before it is given the first byte.

    Raises:
        TypeError: a method is missing.
    """
    missing = [name for name in _METHODS if not callable(getattr(sink, name, None))]
    if missing:
        raise TypeError(f"{_WANTED}; {sink!r} has no {' and no '.join(missing)}")


def explain_sink(sink: object, error: BaseException) -> None:
    """Do nothing, unless an error came of methods that are not async.

    Raises:
        TypeError: it did; its text says which.
    """
    if not isinstance(error, TypeError) or "await" not in str(error):
        return
    plain = [name for name in _METHODS if not inspect.iscoroutinefunction(getattr(sink, name))]
    if plain:
        raise TypeError(f"{_WANTED}; of {sink!r} not async: {', '.join(plain)}") from error
