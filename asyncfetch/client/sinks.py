"""Where bodies go instead of into memory, and what becomes of one that breaks off or is not what was wanted.

A sink has to have `write`, `finish` and `abort`. It may have more: `pause`, and a body that broke off is gone on
with where it stopped (`ResumableSink`); `verify`, and a digest that the request names is compared by the sink, as
it may have a thread for that (`VerifyingSink`); `take`, and a small body that came whole needs no more than that
one call (`WholeSink`). This file pours bodies into sinks; what is asked for is decided in `fetch` and `engine`.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar, runtime_checkable

import anyio

from asyncfetch.client.misuse import explain_sink
from asyncfetch.errors import ChecksumMismatch, FetchTimeout, IncompleteMessage
from asyncfetch.result import Request, Response
from asyncfetch.streams.exchange import Exchange
from asyncfetch.streams.ranges import Rest, announced_length, is_identity, strong_validator

__all__ = [
    "DISCARD",
    "Partial",
    "PartialFactory",
    "ResumableSink",
    "Sink",
    "SinkFactory",
    "VerifyingSink",
    "WholeSink",
    "abort",
    "check_content",
    "check_digest",
    "keep_beginning",
    "pour",
    "rest_of",
    "says_nothing_against",
]

_ABORTING = 2.0  # seconds that a sink has to forget a body, even while everything around it is being cancelled
_OK = 200

T = TypeVar("T")


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


@runtime_checkable
class ResumableSink(Sink, Protocol):
    """A sink that can keep the beginning of a body, and take the rest of it from a later answer."""

    async def pause(self, rest: Rest) -> int:
        """The body broke off, or was cancelled, and could be gone on with; keep what has come, within 2 seconds.

        What follows is `write` with the bytes after those, or `abort`, or, if nobody goes on in this list, nothing:
        then the sink is the `sink` of a result that is not ok.

        Args:
            rest: what is missing, and the validator by which it can be asked for, now or by a later program.

        Returns:
            How many bytes of the body are kept: all that have come. 0 if it forgets them, as `abort` does.
        """
        ...


@runtime_checkable
class VerifyingSink(Sink, Protocol):
    """A sink that computes digests itself."""

    async def verify(self, sha256: str) -> bool:
        """Say, after the last `write` and before `finish`, whether the whole body has this digest."""
        ...


@dataclass(frozen=True, slots=True)
class Partial:
    """The beginning of a body, and what it takes to go on with it.

    Attributes:
        sink: has the bytes, and takes those that follow.
        url: the URL that they came from, after redirects: a validator says nothing about another one.
        rest: what is missing.
    """

    sink: ResumableSink
    url: str
    rest: Rest


@runtime_checkable
class WholeSink(Sink, Protocol):
    """A sink that can take a body in one step, if all of it is there and it does not have to wait."""

    def take(self, content: bytes) -> None:
        """Take the whole decoded content; nothing else is called then."""
        ...


SinkFactory = Callable[[Request, Response], Sink | None]
PartialFactory = Callable[[Request], Partial | None]


class _Discard:
    """Takes a body that nobody wants to keep."""

    def take(self, content: bytes) -> None:
        pass

    async def write(self, chunk: bytes) -> None:
        pass

    async def finish(self) -> None:
        pass

    async def abort(self) -> None:
        pass


DISCARD = _Discard()


class _Digest:
    """The digest of a body that goes into a sink: computed here, unless the sink does that."""

    def __init__(self, sink: Sink, expected: str) -> None:
        self._sink = sink
        self._expected = expected
        self._is_left_to_sink = isinstance(sink, VerifyingSink)
        self._sha256 = hashlib.sha256()

    async def write(self, chunk: bytes) -> None:
        if not self._is_left_to_sink:
            self._sha256.update(chunk)
        await self._sink.write(chunk)

    async def check(self) -> None:
        """Compare it; raises as `check_digest`."""
        if not isinstance(self._sink, VerifyingSink):
            check_digest(self._sha256.hexdigest(), self._expected)
        elif not await self._sink.verify(self._expected):
            check_digest("", self._expected)


def check_content(content: bytes, expected: str | None) -> None:
    """Compare a body in memory with the digest that its request names, if it does; raises as `check_digest`."""
    if expected is not None:
        check_digest(hashlib.sha256(content).hexdigest(), expected)


def check_digest(found: str, expected: str | None) -> None:
    """Compare the digest of a body with the one that its request names, if it does.

    Raises:
        ChecksumMismatch: it is another one.
    """
    if expected is not None and found != expected:
        raise ChecksumMismatch(f"the body does not have the SHA-256 digest that was given for it: {expected}")


async def pour(exchange: Exchange, sink: Sink, sha256: str | None) -> None:
    """Let a body, or the rest of one, run into a sink to its end, and finish it. What it raises leaves it open.

    Raises:
        FetchError: it did not come whole, or does not have this digest, if one is expected.
        OSError: the sink failed.
    """
    if sha256 is None:
        while not exchange.complete:
            for piece in await exchange.read():
                await sink.write(piece)
    else:
        digest = _Digest(sink, sha256)
        while not exchange.complete:
            for piece in await exchange.read():
                await digest.write(piece)
        await digest.check()
    await sink.finish()


async def keep_beginning(exchange: Exchange, sink: Sink, response: Response, before: Rest | None) -> Partial | None:
    """Let a sink whose body broke off keep it, if it can and the body can be gone on with; else let it forget all.

    Args:
        exchange: what brought the body, or the rest of it.
        sink: has what came.
        response: that it belongs to.
        before: what had been missing, if it brought a rest.
    """
    rest = before or rest_of(response)
    if rest is None or not isinstance(sink, ResumableSink):
        await abort(sink)
        return None
    kept = await _in_time(partial(sink.pause, rest._replace(begin=exchange.decoded)))
    return Partial(sink, response.url, rest._replace(begin=kept)) if kept else None


def says_nothing_against(error: BaseException) -> bool:
    """Whether what ended a body leaves the bytes before it good: a broken connection, a deadline, a stop."""
    return isinstance(error, IncompleteMessage | FetchTimeout) or not isinstance(error, Exception)


def rest_of(response: Response) -> Rest | None:
    """Return how the rest of a body could be asked for, nothing of it having come; None if it could not.

    That takes a strong validator, and no content coding: positions in decoded bytes mean nothing to the server.
    """
    fields = response.raw_headers
    validator = strong_validator(fields) if response.status_code == _OK and is_identity(fields) else None
    return None if validator is None else Rest(0, validator, announced_length(fields))


async def abort(sink: Sink) -> None:
    """Let a sink forget its body, even while the task is being cancelled; that it cannot is no news by now."""
    try:
        await _in_time(sink.abort)
    except TypeError as error:
        explain_sink(sink, error)
        raise


async def _in_time(call: Callable[[], Awaitable[T]]) -> T | None:
    with anyio.move_on_after(_ABORTING, shield=True), contextlib.suppress(OSError):
        return await call()
    return None
