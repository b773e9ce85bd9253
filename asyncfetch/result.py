"""What goes in and what comes out: Request, Response and Result.

Header mappings, text and JSON are made when they are asked for: most fetches of a list never look at them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from asyncfetch.errors import FetchError, StatusError
from asyncfetch.settings import HeaderTypes, Timeouts
from asyncfetch.url import redacted

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

__all__ = ["HeaderTypes", "Method", "Request", "Response", "Result", "Timings"]

Method = Literal["GET", "HEAD"]


class Request(msgspec.Struct):
    """One entry of a list: a URL, and what is different for it.

    Attributes:
        url: as given; it is parsed when its turn comes near.
        index: position in the input, from 1; 0 lets the client number it.
        method: `GET` or `HEAD`.
        headers: fields that replace or add to the client's; None as a value removes the client's.
        timeouts: instead of the client's.
        follow_redirects: instead of the client's setting; None leaves it.
        max_body: bytes of decoded body allowed, instead of `Limits.max_body`; None leaves it.
        context: anything; it comes back in the result.
        invalid: why this entry cannot be fetched, said by whoever read it; it then becomes `url.invalid`.
        id: what the input calls this entry; it comes back in the record.
        name: what the file of the body is to be called, if it is saved; None derives it from the URL.
        sha256: digest that the body is to have, in lower-case hexadecimal.
        max_time: seconds that one attempt may take, instead of the `total` of whatever timeouts hold for it.
    """

    url: str
    index: int = 0
    method: Method = "GET"
    headers: HeaderTypes | None = None
    timeouts: Timeouts | None = None
    follow_redirects: bool | None = None
    max_body: int | None = None
    context: Any = None
    invalid: str = ""
    id: str | int | None = None
    name: str | None = None
    sha256: str | None = None
    max_time: float | None = None

    def __repr__(self) -> str:
        """Show it without credentials, and without what may be one: the values of headers."""
        fields = self.headers.items() if isinstance(self.headers, Mapping) else self.headers or ()
        names = [field[0] for field in fields]
        return f"Request({redacted(self.url)!r}, index={self.index}, method={self.method!r}, headers={names})"


class Timings(msgspec.Struct, omit_defaults=True, gc=False):
    """Seconds of each phase; None where there was none (a reused connection has no `connect`).

    The name is looked up before the first turn, as a rule: then `dns` is a part of `queue`, and not of `total`.
    `queue` is the time until the first turn, `total` the time of the last attempt with its redirects, the waiting
    for further turns not included.
    """

    queue: float | None = None
    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    ttfb: float | None = None
    total: float | None = None

    def rounded(self) -> Timings:
        """The same to the microsecond."""
        if self.total is None and self.queue is None:
            return self
        return Timings(
            self.queue and _rounded(self.queue),
            self.dns and _rounded(self.dns),
            self.connect and _rounded(self.connect),
            self.tls and _rounded(self.tls),
            self.ttfb and _rounded(self.ttfb),
            self.total and _rounded(self.total),
        )


def _rounded(seconds: float) -> float:
    """Round to the microsecond, at a fraction of what `round` costs."""
    return (seconds * 1e6 + 0.5) // 1.0 / 1e6


class BodyStream(Protocol):
    """Where the content of a response comes from while its connection is open."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the decoded content, piece by piece."""
        ...


class Response(msgspec.Struct, eq=False, weakref=True):
    """A response, in the words of httpx where the thing is the same.

    Attributes:
        url: the URL that answered, after redirects; without credentials.
        status_code: 100 to 999.
        reason_phrase: as the server sent it; may be empty.
        http_version: `HTTP/1.1` or `HTTP/1.0`.
        raw_headers: (name, value) pairs in the order received, names as received, values without outer blanks.
        history: the redirect responses that led here, first to last, without bodies.
        ip: the address that was connected.
        reused: whether an earlier request had used the connection.
        timings: seconds of each phase.
        num_bytes: decoded bytes of the body received so far.
        wire_bytes: body bytes received as sent, framing not counted.
        noted: values of the fields that frame or describe a response, by lower-case name, as the parser has noted
            them, not to be changed; None of a response that was not parsed.
        body: the whole decoded body, if it is in memory.
    """

    url: str
    status_code: int
    reason_phrase: str
    raw_headers: list[tuple[bytes, bytes]]
    http_version: str = "HTTP/1.1"
    ip: str = ""
    reused: bool = False
    timings: Timings = msgspec.field(default_factory=Timings)
    history: list[Response] = []
    num_bytes: int = 0
    wire_bytes: int = 0
    stream: BodyStream | None = None
    noted: dict[bytes, list[bytes]] | None = None
    body: bytes | None = None
    _headers: CIMultiDictProxy[str] | None = None

    def field(self, name: bytes) -> bytes | None:
        """Return the first value of a field, or None. `name` in lower case."""
        for found, value in self.raw_headers:
            if found.lower() == name:
                return value
        return None

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """All fields, read-only, names in any case; values are decoded as Latin-1."""
        if self._headers is None:
            from multidict import CIMultiDict, CIMultiDictProxy

            self._headers = CIMultiDictProxy(
                CIMultiDict((n.decode("latin-1"), v.decode("latin-1")) for n, v in self.raw_headers)
            )
        return self._headers

    @property
    def content(self) -> bytes:
        """The whole decoded body.

        Raises:
            RuntimeError: it is not in memory: it is to be read from a stream, or was not kept (that of a redirect,
                or one that went into a sink).
        """
        if self.body is None:
            raise RuntimeError(
                "the body was not kept"
                if self.stream is None
                else "the body is not in memory: it is streamed; use aiter_bytes() or aread()"
            )
        return self.body

    @property
    def has_content(self) -> bool:
        """Whether the body is in memory."""
        return self.body is not None

    @property
    def encoding(self) -> str:
        """The charset that the Content-Type names if it is one, or utf-8."""
        from email.message import Message

        message = Message()
        message["content-type"] = (self.field(b"content-type") or b"").decode("latin-1")
        charset = message.get_content_charset() or "utf-8"
        try:
            b"\xff".decode(charset, "replace")  # not every codec is for text, or can replace what it cannot decode
        except (LookupError, ValueError):
            return "utf-8"
        return "utf-8" if "unicode" in charset else charset  # such as Python's own unicode_escape

    @property
    def text(self) -> str:
        """The body decoded by `encoding`; what cannot be decoded becomes U+FFFD."""
        return self.content.decode(self.encoding, "replace")

    def json(self) -> Any:
        """Parse the body as JSON.

        Raises:
            ValueError: it is not JSON.
        """
        import json

        return json.loads(self.content)

    @property
    def elapsed(self) -> timedelta:
        """The time of the last attempt, redirects included."""
        return timedelta(seconds=self.timings.total or 0.0)

    @property
    def is_success(self) -> bool:
        """Whether the status is 200 to 299."""
        return 200 <= self.status_code < 300

    @property
    def is_redirect(self) -> bool:
        """Whether the status is one of the redirects and names a Location."""
        return self.status_code in (301, 302, 303, 307, 308) and self.field(b"location") is not None

    @property
    def is_error(self) -> bool:
        """Whether the status is 400 or above."""
        return self.status_code >= 400

    def raise_for_status(self) -> Response:
        """Return the response itself if its status is below 400.

        Raises:
            StatusError: the status is 400 or above.
        """
        if self.is_error:
            raise StatusError(self.status_code, self.reason_phrase, url=self.url)
        return self

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Give the decoded body piece by piece, as it comes; from memory if it is there.

        A stream gives each piece once; an iteration that was left goes on where it stopped.

        Raises:
            FetchError: the body did not come whole.
            RuntimeError: the body was not kept, has been given out to its end, or its stream is closed.
        """
        if self.body is None and self.stream is not None:
            return aiter(self.stream)
        return _in_one_piece(self.content)

    async def aread(self) -> bytes:
        """Read the body into memory and return it.

        Raises:
            FetchError: the body did not come whole.
            RuntimeError: as `aiter_bytes`, or a part of the body has been given out by it already.
        """
        if self.body is None:
            if self.num_bytes:
                raise RuntimeError("a part of the body has been given out already; go on with aiter_bytes()")
            self.body = b"".join([chunk async for chunk in self.aiter_bytes()])
        return self.body

    def __repr__(self) -> str:
        return f"<Response [{self.status_code} {self.reason_phrase}]>".replace(" ]", "]")


async def _in_one_piece(content: bytes) -> AsyncIterator[bytes]:
    if content:
        yield content


class Result(msgspec.Struct):
    """What became of one entry. Exactly one of these comes out of `fetch_many` for each entry that went in.

    A status of 400 and above has both: the response, and a `StatusError` that gives it a code.

    Attributes:
        index: the entry's position in the input, from 1.
        request: what was asked for.
        response: the final response, if one came whole.
        error: why the result is not ok.
        attempts: tries made; a resend on a connection that had died while idle is none.
        timings: seconds of each phase, of a failure too as far as it came.
        ip: the address that was connected last, or an empty string.
        redirects: the URLs that redirected, first to last.
        ended: seconds since the epoch when it ended.
        sink: what the `sink` of `fetch_many` made for the body, if it took it to the end; of a result that is not
            ok, a `ResumableSink` that has kept the beginning of it.
    """

    index: int
    request: Request
    response: Response | None = None
    error: FetchError | None = None
    attempts: int = 0
    timings: Timings = msgspec.field(default_factory=Timings)
    ip: str = ""
    redirects: list[str] = []
    ended: float = 0.0
    sink: Any = None

    @property
    def ok(self) -> bool:
        """A complete response with a status below 400."""
        return self.error is None

    @property
    def url(self) -> str:
        """The URL as given."""
        return self.request.url

    @property
    def code(self) -> str | None:
        """The code of the error, such as `timeout.read`, or None if the result is ok."""
        return None if self.error is None else self.error.code

    @property
    def status(self) -> int | None:
        """The status of the final response, or None."""
        return None if self.response is None else self.response.status_code
