"""What a server answers: a well-formed `Reply`, a raw `Script` of steps, or something that chooses among them.

Knows HTTP and nothing of sockets; each step plays itself on a `wire`. Who chooses for a request is `routes`.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias, Union

from asyncfetch.testing.request import SeenRequest

if TYPE_CHECKING:
    from asyncfetch.testing.wire import Wire

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

_CHUNK_SIZE = 4096


def gzip_bytes(content: bytes) -> bytes:
    """Return `content` as one gzip member, the same bytes every time."""
    return gzip.compress(content, mtime=0)


@dataclass(frozen=True, eq=False)
class Reply:
    """A well-formed answer. A field that is given in `headers` is not added a second time.

    Attributes:
        status: 100 to 999. With 1xx, 204 and 304 no body is sent.
        body: the content, before `gzip` and `chunked`.
        headers: further fields, a mapping or pairs, encoded as latin-1.
        reason: the reason phrase, None for the usual one.
        chunked: use the chunked coding; an int is the bytes of one chunk (True: 4096).
        gzip: compress the body and add Content-Encoding.
        close: add "Connection: close", and close after the answer.
        keep_alive: False closes after the answer without having said so.
        delay: seconds to wait before the first byte; the request is in progress during that time.
        content_length: False sends the body without a length and closes, which is how the client knows its end.
    """

    status: int = 200
    body: bytes = b""
    headers: Headers = ()
    reason: str | None = None
    chunked: bool | int = False
    gzip: bool = False
    close: bool = False
    keep_alive: bool = True
    delay: float = 0.0
    content_length: bool = True

    async def play(self, wire: Wire, request: SeenRequest) -> None:
        """Send the answer to `request`, and close if it or the request says so."""
        if self.delay > 0:
            await wire.pause(self.delay)
        closing = request.wants_close or self._must_close
        await wire.send(self.encode(head_only=request.method == "HEAD", closing=closing))
        if closing or not self.keep_alive:
            wire.close()

    def encode(self, *, head_only: bool = False, closing: bool = False) -> bytes:
        """Return the bytes of the answer; `closing` says in it that the connection will be closed."""
        head = self._closing_head if closing or self._must_close else self._open_head
        return head if head_only else head + self._framed

    @cached_property
    def _must_close(self) -> bool:
        return self.close or (self._has_body and not self.content_length and not self.chunked)

    @property
    def _has_body(self) -> bool:
        return self.status >= 200 and self.status not in {204, 304}

    @cached_property
    def _content(self) -> bytes:
        if not self._has_body:
            return b""
        return gzip_bytes(self.body) if self.gzip else self.body

    @cached_property
    def _framed(self) -> bytes:
        """The content as it is sent (RFC 9112, section 7.1)."""
        if not self.chunked or not self._has_body:
            return self._content
        size = _CHUNK_SIZE if self.chunked is True else self.chunked
        pieces = (self._content[start : start + size] for start in range(0, len(self._content), size))
        return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"

    @cached_property
    def _open_head(self) -> bytes:
        return self._encode_head(())

    @cached_property
    def _closing_head(self) -> bytes:
        return self._encode_head((("Connection", "close"),))

    def _encode_head(self, last: Iterable[tuple[str, str]]) -> bytes:
        given = list(self.headers.items() if isinstance(self.headers, Mapping) else self.headers)
        names = {name.lower() for name, _ in given}
        added = [(name, value) for name, value in (*self._framing(), *last) if name.lower() not in names]
        lines = [f"HTTP/1.1 {self.status} {self._phrase}", *(f"{n}: {v}" for n, v in (*given, *added))]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _framing(self) -> list[tuple[str, str]]:
        if not self._has_body:
            return []
        fields = [("Content-Encoding", "gzip")] if self.gzip else []
        if self.chunked:
            return [*fields, ("Transfer-Encoding", "chunked")]
        return [*fields, ("Content-Length", str(len(self._content)))] if self.content_length else fields

    @property
    def _phrase(self) -> str:
        if self.reason is not None:
            return self.reason
        return HTTPStatus(self.status).phrase if self.status in set(HTTPStatus) else ""


def redirect(location: str, status: int = 302) -> Reply:
    """Return an answer that leads to `location`, sent as it is."""
    return Reply(status, headers=(("Location", location),))


@dataclass(frozen=True)
class Send:
    """Send these bytes, and go on when the kernel has them all."""

    payload: bytes

    async def play(self, wire: Wire, request: SeenRequest) -> None:
        """Play this step."""
        await wire.send(self.payload)


@dataclass(frozen=True)
class Pause:
    """Say nothing for `seconds`; a client that leaves meanwhile ends the script."""

    seconds: float

    async def play(self, wire: Wire, request: SeenRequest) -> None:
        """Play this step."""
        await wire.pause(self.seconds)


@dataclass(frozen=True)
class Drip:
    """Send the bytes in pieces of `size` bytes, with `every` seconds between two pieces."""

    payload: bytes
    every: float = 0.01
    size: int = 1

    async def play(self, wire: Wire, request: SeenRequest) -> None:
        """Play this step."""
        for start in range(0, len(self.payload), self.size):
            if start:
                await wire.pause(self.every)
            await wire.send(self.payload[start : start + self.size])


@dataclass(frozen=True)
class Endless:
    """Send `chunk` again and again until the client leaves. Memory stays flat."""

    chunk: bytes

    async def play(self, wire: Wire, request: SeenRequest) -> None:
        """Play this step."""
        while True:
            await wire.send(self.chunk)
            await asyncio.sleep(0)  # sending need not wait, and others want their turn


@dataclass(frozen=True)
class Silence:
    """Hold the connection open and say nothing until the client leaves or the server closes."""

    async def play(self, wire: Wire, request: SeenRequest) -> None:
        """Play this step."""
        await wire.until_left()


@dataclass(frozen=True)
class Close:
    """End the connection in good order: FIN, over TLS with close_notify."""

    async def play(self, wire: Wire, request: SeenRequest) -> None:
        """Play this step."""
        wire.close()


@dataclass(frozen=True)
class Reset:
    """End the connection with RST: after the bytes that were sent, the client gets ECONNRESET."""

    async def play(self, wire: Wire, request: SeenRequest) -> None:
        """Play this step."""
        await wire.reset()


@dataclass(frozen=True)
class StopTLS:
    """End the TCP stream without TLS's close_notify, as a cut connection would. Without TLS like `Close`."""

    async def play(self, wire: Wire, request: SeenRequest) -> None:
        """Play this step."""
        wire.stop_tls()


Step: TypeAlias = Send | Pause | Drip | Endless | Silence | Close | Reset | StopTLS | Reply


class Script:
    r"""Raw control over the answer: steps, played one after the other.

    Without a closing step the connection stays open for the next request, unless the client asked to close it.
    A `Reply` may be a step, too: `Script(Send(b"HTTP/1.1 103 Early Hints\r\n\r\n"), Reply(200, b"x"))`.
    """

    def __init__(self, *steps: Step) -> None:
        self.steps = steps

    def __repr__(self) -> str:
        return f"Script{self.steps!r}"

    async def play(self, wire: Wire, request: SeenRequest) -> None:
        """Play the steps up to the end, or up to one that ends the connection."""
        for step in self.steps:
            await step.play(wire, request)
            if not wire.is_open:
                return
        if request.wants_close:
            wire.close()


class Sequence:
    """One answer after the other: the n-th request to the route gets the n-th, and the last one repeats.

    Each route counts for itself, from 0 again when the route is set again.
    """

    def __init__(self, first: Answer, *others: Answer) -> None:
        self.answers = (first, *others)

    def at(self, turn: int) -> Answer:
        """Return the answer to request number `turn`, from 0."""
        return self.answers[min(turn, len(self.answers) - 1)]


@dataclass(frozen=True, eq=False)
class Throttle:
    """The answer of `throttle`."""

    limit: int
    inner: Answer
    refusal: Reply

    def at(self, in_progress: int) -> Answer:
        """Return what is answered while `in_progress` requests, this one included, are in progress."""
        return self.refusal if in_progress > self.limit else self.inner


def throttle(limit: int, inner: Answer, *, retry_after: str | float | None = None) -> Throttle:
    """Answer with `inner`, but with status 429 while more than `limit` requests are in progress on that host.

    Args:
        limit: requests, the one to be answered included.
        inner: the answer within the limit.
        retry_after: value of the field Retry-After, in seconds or a date; None sends none.
    """
    headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
    return Throttle(limit, inner, Reply(429, b"too many at once\n", headers))


Chooser: TypeAlias = Callable[[SeenRequest], Union["Answer", Awaitable["Answer"]]]
Answer: TypeAlias = Reply | Script | Sequence | Throttle | Chooser
