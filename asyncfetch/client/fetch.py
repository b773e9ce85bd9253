"""One entry on its way: where it stands between its first turn and its result. Decides; does not await.

A fetch is a `Turn` of the scheduler's, queued once for its first attempt and again for each redirect and retry.
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from asyncfetch.client.misuse import check_fields
from asyncfetch.client.sinks import Partial, VerifyingSink
from asyncfetch.errors import (
    FetchError,
    InvalidRedirect,
    InvalidURL,
    MessageTooLarge,
    StatusError,
    TooManyRedirects,
    shown,
)
from asyncfetch.result import HeaderTypes, Request, Response, Result, Timings
from asyncfetch.scheduler import Turn
from asyncfetch.settings import Timeouts
from asyncfetch.stats import HostStats
from asyncfetch.streams.exchange import Exchange
from asyncfetch.streams.heads import HEAD_LIMIT
from asyncfetch.streams.ranges import Rest, is_rest, range_fields
from asyncfetch.streams.request import check_field, encode_fields, encode_request, encode_request_line, encode_rest
from asyncfetch.url import Url, redacted

if TYPE_CHECKING:
    from asyncfetch.client.batch import Batch

__all__ = ["SENSITIVE_HEADERS", "Fetch", "FieldBlocks", "FieldPairs", "merge_fields", "sensitive_names"]

FieldPairs = list[tuple[str, str]]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ABOUT_RANGES = frozenset({206, 416})
_OURS = frozenset({"content-length", "transfer-encoding"})
# RFC 9110 section 7.2: Host = uri-host [ ":" port ]; of the names, what can be meant for a host
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%-]+)(?::[0-9]{1,5})?")
SENSITIVE_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
_VERSIONS = ("HTTP/1.0", "HTTP/1.1")
_RESTS_REMEMBERED = 1000
_NOBODY = HostStats("")  # of a fetch that was not queued yet


class FieldBlocks:
    """The fields that requests share, encoded once: as the user gave them, and without what strangers must not see.

    Attributes:
        own: for the origins that the user named.
        foreign: for origins that a redirect led to: without the sensitive fields.
        host: what the user wants to be sent as Host instead of the URL's, to the origins of `own`; or empty.
    """

    __slots__ = ("_pairs", "_rests", "_sensitive", "foreign", "host", "own")

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
        self.host = _host_among(pairs)
        self.own = encode_fields(_without_host(pairs))
        self.foreign = encode_fields(self._public())
        self._rests: dict[str, bytes] = {}

    def _public(self) -> FieldPairs:
        return [pair for pair in _without_host(self._pairs) if pair[0].lower() not in self._sensitive]

    def rest_for(self, authority: str) -> bytes:
        """Return what follows the request line, for an origin that the user named.

        It is encoded once for each; what was encoded is forgotten when it gets too much.
        """
        rest = self._rests.get(authority)
        if rest is None:
            if len(self._rests) >= _RESTS_REMEMBERED:
                self._rests.clear()
            rest = self._rests[authority] = encode_rest(authority, self.own)
        return rest

    def with_further(self, fields: Mapping[str, str], *, is_foreign: bool) -> bytes:
        """Encode the fields with what one turn adds or replaces, such as a URL's own user and password."""
        return encode_fields(merge_fields(self._public() if is_foreign else _without_host(self._pairs), fields))

    def without_secrets(self) -> FieldBlocks:
        """Leave out the sensitive fields for everybody."""
        return FieldBlocks([pair for pair in self._pairs if pair[0].lower() not in self._sensitive], frozenset())

    def with_fields(self, given: HeaderTypes) -> FieldBlocks:
        """Put one request's fields over these.

        Raises:
            ValueError: as in the constructor.
        """
        return FieldBlocks(merge_fields(self._pairs, given), self._sensitive)


def _host_among(pairs: FieldPairs) -> str:
    """Return the Host that the user gave, or an empty string.

    Raises:
        ValueError: there are two, or it is no host with or without a port.
    """
    hosts = [value for name, value in pairs if name.lower() == "host"]
    if len(hosts) > 1:
        raise ValueError("the header Host is given twice")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise ValueError(f"the header Host is a name or an address, with or without a port, not {shown(hosts[0])}")
    return hosts[0] if hosts else ""


def _without_host(pairs: FieldPairs) -> FieldPairs:
    return [pair for pair in pairs if pair[0].lower() != "host"]


def sensitive_names(further: Iterable[str]) -> frozenset[str]:
    """Return the names, in lower case, of the fields that only the origins that the user named may see.

    Raises:
        ValueError: one of the further names is none that a header can have; it would protect nothing.
        TypeError: they are a single string, or something else than strings.
    """
    if isinstance(further, str):
        raise TypeError("sensitive_headers takes an iterable of names, not a single one")
    names = list(further)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"sensitive_headers takes names, not {name!r}")
        check_field(name, "")
    return SENSITIVE_HEADERS.union(name.lower() for name in names)


def merge_fields(base: FieldPairs, given: HeaderTypes | None) -> FieldPairs:
    """Put given fields over a base: same names, in any case, are replaced; a value of None removes the field.

    Raises:
        TypeError: they are no fields.
    """
    if not given:
        return base
    pairs = list(given.items()) if isinstance(given, Mapping) else list(given)
    check_fields(pairs)
    names = {name.lower() for name, _ in pairs}
    kept = [(name, value) for name, value in base if name.lower() not in names]
    return kept + [(name, value) for name, value in pairs if value is not None]


class Fetch(Turn, eq=False, kw_only=True):
    """One request from its first turn to its end.

    Attributes:
        request: what was asked for.
        index: its position, from 1.
        url: where it is going now.
        blocks: the fields to send.
        timeouts, follow, max_body: as the request or the client say.
        is_foreign: whether a redirect led away from the origin that the user named.
        is_named: whether its name has been looked up before this turn, or needs not be; `naming` seconds that took.
        connect_error: why it need not be tried to connect this time, or None.
        for_robots: whether it is a robots.txt that the client itself asks for: no result, and nobody's list.
        refused: why it has no turn any more, for whoever waits for one.
        attempts: attempts begun.
        waited: seconds waited because hosts asked for it.
        history: the redirects of this attempt so far.
        redirect_bytes: the heads of these.
        added: the loop's time when it was first queued.
        spent: seconds that the earlier turns of this attempt took.
        timings, ip: of the latest turn.
        over: the loop's time when it was answered, if its worker has its places to pass on; otherwise 0.
        stats: the counters of the host it goes to.
        was_silent: whether its latest request was sent and not a byte of an answer came.
        waiter: resolved when its turn has come, for whoever runs it itself; None when a worker does.
        batch: the list it belongs to, if any.
        sink: where its body goes, if not into memory.
        partial: the beginning of its body, if one has come and was kept.
    """

    request: Request
    index: int
    url: Url
    stats: HostStats = _NOBODY
    blocks: FieldBlocks
    timeouts: Timeouts
    follow: bool
    max_body: int | None = None
    is_foreign: bool = False
    is_named: bool = False
    naming: float = 0.0
    connect_error: FetchError | None = None
    for_robots: bool = False
    refused: FetchError | None = None
    attempts: int = 0
    waited: float = 0.0
    history: list[Response] = []  # noqa: RUF012 - each has its own
    redirect_bytes: int = 0
    added: float = 0.0
    spent: float = 0.0
    timings: Timings = msgspec.field(default_factory=Timings)
    ip: str = ""
    over: float = 0.0
    was_silent: bool = False
    waiter: asyncio.Future[None] | None = None
    batch: Batch | None = None
    sink: Any = None
    partial: Partial | None = None

    def latency(self, now: float) -> float:
        """Return how many seconds the head of the answer took from the request on, or 0 if that is not known."""
        return self.timings.ttfb or 0.0

    def encode_request(self) -> bytes:
        """Encode the request to where it is going now: credentials only to whom they are meant for."""
        method, url = self.request.method, self.url
        if not (url.userinfo or self.is_foreign or self.partial is not None):
            blocks = self.blocks
            return encode_request_line(method, url.target) + blocks.rest_for(blocks.host or url.origin.authority)
        further: dict[str, str] = {}
        if url.credentials is not None:
            further["Authorization"] = f"Basic {base64.b64encode(b':'.join(url.credentials)).decode()}"
        if (rest := self.rest) is not None:
            further |= range_fields(rest)
        fields = self.blocks.foreign
        if further or not self.is_foreign:
            fields = self.blocks.with_further(further, is_foreign=self.is_foreign)
        return encode_request(method, url.target, self.authority, fields)

    @property
    def authority(self) -> str:
        """What is sent as Host: the user's own word to the origins that the user named, the URL's to all others."""
        return (not self.is_foreign and self.blocks.host) or self.url.origin.authority

    @property
    def rest(self) -> Rest | None:
        """What is missing of a body that has come in part, if it is asked for where this is going now."""
        partial = self.partial
        if partial is None or partial.url != self.url.href:
            return None
        if self.request.sha256 is not None and not isinstance(partial.sink, VerifyingSink):
            return None  # nobody could tell the digest of all of it
        return partial.rest

    def has_to_begin_anew(self, exchange: Exchange) -> bool:
        """Whether an answer to the request for a rest is of no use: not this rest, and not the whole either."""
        rest = self.rest
        if rest is None or exchange.head.status not in _ABOUT_RANGES:
            return False
        return not is_rest(exchange.head, exchange.length, rest)

    def expected_digest(self, response: Response) -> str | None:
        """Return the digest that the body of a response must have; that of an error is not compared."""
        is_body = self.request.method == "GET" and response.status_code < 300 and response.status_code != 204
        return self.request.sha256.lower() if is_body and self.request.sha256 is not None else None

    # --- what a response means

    def redirected(self, response: Response, most: int) -> Url | None:
        """Return where a response sends this fetch, or None if it is to be taken as it is.

        Raises:
            TooManyRedirects: it was sent on `most` times before.
            MessageTooLarge: the heads of its redirects, which are kept, have together more than 256 KiB.
            InvalidRedirect: the Location is empty, or cannot be fetched.
        """
        if response.status_code not in _REDIRECTS or not self.follow:
            return None
        location = response.field(b"location")
        if location is None:
            return None
        if len(self.history) >= most:
            raise TooManyRedirects(f"more than {most} redirects in a row")
        self.redirect_bytes += sum(len(name) + len(value) + 4 for name, value in response.raw_headers)
        if self.redirect_bytes > HEAD_LIMIT:
            raise MessageTooLarge(f"the heads of the redirects are together larger than {HEAD_LIMIT // 1024} KiB")
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
        response.history = []
        self.history.append(response)
        self.is_named = url.origin.is_address
        self.timings = Timings(queue=self.timings.queue)
        self.url = url
        self.host = url.origin.key

    def start_over(self) -> None:
        """Forget what the last attempt did: the next one begins with the URL as given."""
        self.spent = 0.0
        self.redirect_bytes = 0
        self.is_named = self.url.origin.is_address
        self.timings = Timings(queue=self.timings.queue)
        self.was_silent = False
        if self.history:
            self.url = Url.parse(self.request.url)
            self.host = self.url.origin.key
            self.is_named = self.url.origin.is_address
            self.history = []
            self.is_foreign = False

    def make_response(self, exchange: Exchange) -> Response:
        """Describe the response whose head has just come."""
        head, timings = exchange.head, self.timings
        timings.ttfb = exchange.ttfb
        return Response(
            self.url.href,
            head.status,
            head.reason.decode("latin-1"),
            head.fields.copy(),
            _VERSIONS[head.minor > 0],
            self.ip,
            exchange.connection.served > 0,
            timings,
            self.history,
            noted=head.noted,
        )

    def make_result(self, response: Response | None, error: FetchError | None) -> Result:
        """Close the book on this fetch."""
        if error is None and response is not None and response.status_code >= 400:
            error = StatusError(response.status_code, response.reason_phrase)
        if error is not None and not error.url:
            error.url = redacted(self.request.url)
        return Result(
            self.index,
            self.request,
            response,
            error,
            self.attempts,
            self.timings,
            self.ip,
            [hop.url for hop in self.history] if self.history else [],
            time.time(),
            self.partial.sink if self.partial is not None and error is not None else self.sink,
        )


def _decode_location(value: bytes) -> str:
    """Read a Location as browsers do: as UTF-8 where it is, otherwise as Latin-1 (RFC 9110 section 10.2.2)."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
