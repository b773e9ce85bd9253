"""One entry on its way: where it stands between its first turn and its result. Decides; does not await.

A fetch is a `Turn` of the scheduler's, queued once for its first attempt and again for each redirect and retry.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from asyncfetch.errors import FetchError, InvalidRedirect, InvalidURL, StatusError, TooManyRedirects
from asyncfetch.result import HeaderTypes, Request, Response, Result, Timings
from asyncfetch.scheduler import Lane, Turn
from asyncfetch.settings import Timeouts
from asyncfetch.stats import HostStats
from asyncfetch.streams.exchange import Exchange
from asyncfetch.streams.request import check_field, encode_fields
from asyncfetch.url import Url, redacted

if TYPE_CHECKING:
    import anyio

    from asyncfetch.client.batch import Batch

__all__ = ["SENSITIVE_HEADERS", "Fetch", "FieldBlocks", "merge_fields", "sensitive_names"]

FieldPairs = list[tuple[str, str]]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OURS = frozenset({"host", "content-length", "transfer-encoding"})
SENSITIVE_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
_VERSIONS = ("HTTP/1.0", "HTTP/1.1")


class FieldBlocks:
    """The fields that requests share, encoded once: as the user gave them, and without what strangers must not see.

    Attributes:
        own: for the origins that the user named.
        foreign: for origins that a redirect led to: without the sensitive fields.
    """

    __slots__ = ("_pairs", "_sensitive", "foreign", "own")

    def __init__(self, pairs: FieldPairs, sensitive: frozenset[str]) -> None:
        """Encode the fields.

        Raises:
            ValueError: a name or value cannot be sent, or is not for a header to say.
        """
        for name, _ in pairs:
            if name.lower() in _OURS:
                raise ValueError(f"{name} follows from the URL and the method, it is not for a header to say")
        self._pairs = pairs
        self._sensitive = sensitive
        self.own = encode_fields(pairs)
        self.foreign = encode_fields(self._public())

    def _public(self) -> FieldPairs:
        return [(name, value) for name, value in self._pairs if name.lower() not in self._sensitive]

    def with_authorization(self, value: str, *, is_foreign: bool) -> bytes:
        """Encode the fields with another Authorization: a URL's own user and password."""
        return encode_fields(merge_fields(self._public() if is_foreign else self._pairs, {"Authorization": value}))

    def with_fields(self, given: HeaderTypes) -> FieldBlocks:
        """Put one request's fields over these.

        Raises:
            ValueError: as in the constructor.
        """
        return FieldBlocks(merge_fields(self._pairs, given), self._sensitive)


def sensitive_names(further: Iterable[str]) -> frozenset[str]:
    """Return the names, in lower case, of the fields that only the origins that the user named may see.

    Raises:
        ValueError: one of the further names is none that a header can have; it would protect nothing.
        TypeError: they are a single string.
    """
    if isinstance(further, str):
        raise TypeError("sensitive_headers takes an iterable of names, not a single one")
    names = list(further)
    for name in names:
        check_field(name, "")
    return SENSITIVE_HEADERS.union(name.lower() for name in names)


def merge_fields(base: FieldPairs, given: HeaderTypes | None) -> FieldPairs:
    """Put given fields over a base: same names, in any case, are replaced; a value of None removes the field."""
    if not given:
        return base
    pairs = list(given.items()) if isinstance(given, Mapping) else list(given)
    names = {name.lower() for name, _ in pairs}
    kept = [(name, value) for name, value in base if name.lower() not in names]
    return kept + [(name, value) for name, value in pairs if value is not None]


class Fetch(Turn):
    """One request from its first turn to its end.

    Attributes:
        request: what was asked for.
        index: its position, from 1.
        url: where it is going now.
        blocks: the fields to send.
        timeouts, follow, max_body: as the request or the client say.
        is_foreign: whether a redirect led away from the origin that the user named.
        attempts: attempts begun.
        waited: seconds waited because hosts asked for it.
        history: the redirects of this attempt so far.
        added: the loop's time when it was first queued.
        spent: seconds that the earlier turns of this attempt took.
        timings, ip, reused: of the latest turn.
        stats: the counters of the host it goes to.
        was_silent: whether its latest request was sent and not a byte of an answer came.
        waiter: resolved when its turn has come, for whoever runs it itself; None when a worker does.
        batch: the list it belongs to, if any.
        scope: the scope of the worker that runs it just now.
        sink: where its body goes, if not into memory.
    """

    __slots__ = (
        "added",
        "attempts",
        "batch",
        "blocks",
        "follow",
        "history",
        "index",
        "ip",
        "is_foreign",
        "max_body",
        "request",
        "scope",
        "sink",
        "spent",
        "stats",
        "timeouts",
        "timings",
        "url",
        "waited",
        "waiter",
        "was_silent",
    )

    stats: HostStats
    blocks: FieldBlocks
    timeouts: Timeouts
    follow: bool
    max_body: int | None

    def __init__(self, lane: Lane, request: Request, index: int, url: Url) -> None:
        super().__init__(url.origin.key, lane)
        self.request = request
        self.index = index
        self.url = url
        self.attempts = 0
        self.waited = 0.0
        self.history: list[Response] = []
        self.added = 0.0
        self.spent = 0.0
        self.timings = Timings()
        self.ip = ""
        self.is_foreign = False
        self.was_silent = False
        self.waiter: asyncio.Future[None] | None = None
        self.batch: Batch | None = None
        self.scope: anyio.CancelScope | None = None
        self.sink: Any = None

    def latency(self, now: float) -> float:
        """Return how many seconds the head of the answer took from the request on, or 0 if that is not known."""
        return self.timings.ttfb or 0.0

    def request_fields(self) -> bytes:
        """Return the fields to send to where it is going now: credentials only to whom they are meant for."""
        credentials = self.url.credentials
        if credentials is not None:
            token = base64.b64encode(b":".join(credentials)).decode()
            return self.blocks.with_authorization(f"Basic {token}", is_foreign=self.is_foreign)
        return self.blocks.foreign if self.is_foreign else self.blocks.own

    # --- what a response means

    def redirected(self, response: Response, most: int) -> Url | None:
        """Return where a response sends this fetch, or None if it is to be taken as it is.

        Raises:
            TooManyRedirects: it was sent on `most` times before.
            InvalidRedirect: the Location is empty, or cannot be fetched.
        """
        if response.status_code not in _REDIRECTS or not self.follow:
            return None
        location = response.field(b"location")
        if location is None:
            return None
        if len(self.history) >= most:
            raise TooManyRedirects(f"more than {most} redirects in a row")
        if not location:
            raise InvalidRedirect("the redirect cannot be followed: its Location is empty")
        try:
            return self.url.join(_decode_location(location))
        except InvalidURL as error:
            raise InvalidRedirect(f"the redirect cannot be followed: {error.detail}") from error

    def follow_to(self, url: Url, response: Response) -> None:
        """Go on to where a redirect leads; what is meant for the first origin only stays behind for good."""
        if url.origin != self.url.origin:
            self.is_foreign = True
        self.history.append(response)
        self.timings = Timings(queue=self.timings.queue)
        self.url = url
        self.host = url.origin.key

    def start_over(self) -> None:
        """Forget what the last attempt did: the next one begins with the URL as given."""
        self.spent = 0.0
        self.timings = Timings(queue=self.timings.queue)
        self.was_silent = False
        if self.history:
            self.url = Url.parse(self.request.url)
            self.host = self.url.origin.key
            self.history = []
            self.is_foreign = False

    def make_response(self, exchange: Exchange) -> Response:
        """Describe the response whose head has just come."""
        head = exchange.head
        response = Response(self.url.href, head.status, head.reason.decode("latin-1"), head.fields)
        response.http_version = _VERSIONS[head.minor > 0]
        response.ip = self.ip
        response.reused = exchange.connection.served > 0
        response.timings = self.timings
        return response

    def make_result(self, response: Response | None, error: FetchError | None) -> Result:
        """Close the book on this fetch."""
        if error is None and response is not None and response.status_code >= 400:
            error = StatusError(response.status_code, response.reason_phrase)
        if error is not None and not error.url:
            error.url = redacted(self.request.url)
        return Result(
            index=self.index,
            request=self.request,
            response=response,
            error=error,
            attempts=self.attempts,
            timings=self.timings,
            ip=self.ip,
            redirects=[hop.url for hop in self.history],
            ended=time.time(),
            sink=self.sink,
        )


def _decode_location(value: bytes) -> str:
    """Read a Location as browsers do: as UTF-8 where it is, otherwise as Latin-1 (RFC 9110 section 10.2.2)."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
