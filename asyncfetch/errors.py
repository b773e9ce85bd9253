"""Every error that asyncfetch raises or records: one tree, one root, stable codes.

```
FetchError
├── InvalidURL              url.invalid
├── ResolutionError
│   ├── NameNotFound        dns.not_found
│   └── ResolutionFailed    dns.failed
├── ConnectError
│   ├── ConnectRefused      connect.refused
│   ├── ConnectFailed       connect.failed
│   └── ConnectBlocked      connect.blocked
├── TLSError
│   ├── CertificateError    tls.certificate
│   └── HandshakeFailed     tls.failed
├── FetchTimeout
│   ├── ConnectTimeout      timeout.connect
│   ├── HeadTimeout         timeout.head
│   ├── ReadTimeout         timeout.read
│   ├── SlowBody            timeout.slow
│   └── TotalTimeout        timeout.total
├── ProtocolError
│   ├── MalformedMessage    protocol.malformed
│   ├── IncompleteMessage   protocol.incomplete
│   └── MessageTooLarge     protocol.too_large
├── BodyError
│   ├── BodyTooLarge        body.too_large
│   ├── DecodingError       body.decoding
│   └── ChecksumMismatch    body.checksum
├── RedirectError
│   ├── TooManyRedirects    redirect.too_many
│   └── InvalidRedirect     redirect.invalid
├── HostUnavailable         host.unavailable
├── RobotsDisallowed        robots.disallowed
├── StatusError             http.4xx, http.5xx
├── LocalError              io
└── Cancelled               cancelled
```

The codes are a contract: they stand in records, and `--retry-failed` and users' scripts match on them.
This module imports nothing of ours.
"""

from __future__ import annotations

__all__ = [
    "BodyError",
    "BodyTooLarge",
    "Cancelled",
    "CertificateError",
    "ChecksumMismatch",
    "ConnectBlocked",
    "ConnectError",
    "ConnectFailed",
    "ConnectRefused",
    "ConnectTimeout",
    "DecodingError",
    "FetchError",
    "FetchTimeout",
    "HandshakeFailed",
    "HeadTimeout",
    "HostUnavailable",
    "IncompleteMessage",
    "InvalidRedirect",
    "InvalidURL",
    "LocalError",
    "MalformedMessage",
    "MessageTooLarge",
    "NameNotFound",
    "ProtocolError",
    "ReadTimeout",
    "RedirectError",
    "ResolutionError",
    "ResolutionFailed",
    "RobotsDisallowed",
    "SlowBody",
    "StatusError",
    "TLSError",
    "TooManyRedirects",
    "TotalTimeout",
    "shown",
]

_SHOWN_AT_MOST = 80


def shown(raw: bytes | str, at_most: int = _SHOWN_AT_MOST) -> str:
    """Quote foreign bytes or text for a message: printable ASCII only, shortened to `at_most` characters."""
    text = raw.decode("latin-1") if isinstance(raw, bytes) else raw
    cut = _escaped(text[:at_most]).replace("'", "\\'")
    return f"'{cut}'" if len(text) <= at_most else f"'{cut}'..."


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")


class FetchError(Exception):
    """Why one URL was not fetched. The root of every error here.

    Attributes:
        detail: what happened, as one sentence without the URL; foreign bytes in it are escaped.
        url: the URL that was being fetched, without credentials; empty until the client has attached it.
        code: the stable code, `phase.what`.
        phase: where it happened: `url`, `dns`, `connect`, `tls`, `timeout`, `protocol`, `body`, `redirect`,
            `host`, `robots`, `http`, `io` or `cancelled`.
    """

    code: str = "error"

    def __init__(self, detail: str, *, url: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.url = url

    @property
    def phase(self) -> str:
        """The first word of the code."""
        return self.code.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.url}: {self.detail}" if self.url else self.detail

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.detail, self.__dict__)


def _rebuild(kind: type[FetchError], detail: str, state: dict[str, object]) -> FetchError:
    error = kind.__new__(kind, detail)
    error.__dict__.update(state)
    return error


class InvalidURL(FetchError):
    """The text is not an http or https URL (WHATWG URL rules)."""

    code = "url.invalid"


class ResolutionError(FetchError):
    """The host's name was not turned into an address."""


class NameNotFound(ResolutionError):
    """The name does not exist, or has no address of the wanted family."""

    code = "dns.not_found"


class ResolutionFailed(ResolutionError):
    """The name server did not answer, or failed; it may work later."""

    code = "dns.failed"


class ConnectError(FetchError):
    """No connection to any of the host's addresses."""


class ConnectRefused(ConnectError):
    """Nothing listens on that port."""

    code = "connect.refused"


class ConnectFailed(ConnectError):
    """The network did not carry the connection."""

    code = "connect.failed"


class ConnectBlocked(ConnectError):
    """The address guard does not let this address be dialled."""

    code = "connect.blocked"


class TLSError(FetchError):
    """No TLS session with the server."""


class CertificateError(TLSError):
    """The server's certificate was not accepted."""

    code = "tls.certificate"


class HandshakeFailed(TLSError):
    """The TLS handshake failed for another reason than the certificate."""

    code = "tls.failed"


class FetchTimeout(FetchError):
    """A deadline passed."""


class ConnectTimeout(FetchTimeout):
    """Name, TCP and TLS took longer than the connect timeout."""

    code = "timeout.connect"


class HeadTimeout(FetchTimeout):
    """The response's head was not complete in time."""

    code = "timeout.head"


class ReadTimeout(FetchTimeout):
    """The server was silent in the middle of a body."""

    code = "timeout.read"


class SlowBody(FetchTimeout):
    """The body came slower than the lowest speed."""

    code = "timeout.slow"


class TotalTimeout(FetchTimeout):
    """One attempt, its redirects included, took longer than the total timeout."""

    code = "timeout.total"


class ProtocolError(FetchError):
    """What came is not a whole HTTP/1.1 message (RFC 9112)."""


class MalformedMessage(ProtocolError):
    """The bytes break the grammar, or say contradictory things."""

    code = "protocol.malformed"


class IncompleteMessage(ProtocolError):
    """The connection ended before the message did."""

    code = "protocol.incomplete"


class MessageTooLarge(ProtocolError):
    """A head, line, chunk line or trailer section, or their number, is over its limit."""

    code = "protocol.too_large"


class BodyError(FetchError):
    """The message was whole, its content is not acceptable."""


class BodyTooLarge(BodyError):
    """The decoded body is over the limit, or swells suspiciously while it is decoded."""

    code = "body.too_large"


class DecodingError(BodyError):
    """The content coding is unknown, corrupt, or ends too early."""

    code = "body.decoding"


class ChecksumMismatch(BodyError):
    """The body is whole, but does not have the digest that its request names."""

    code = "body.checksum"


class RedirectError(FetchError):
    """The redirect was not followed."""


class TooManyRedirects(RedirectError):
    """More redirects in a row than allowed."""

    code = "redirect.too_many"


class InvalidRedirect(RedirectError):
    """The Location field is missing its URL, or names one that cannot be fetched."""

    code = "redirect.invalid"


class HostUnavailable(FetchError):
    """The host was given up after repeated failures; nothing was sent for this URL any more.

    Attributes:
        host: `host:port`.
    """

    code = "host.unavailable"

    def __init__(self, detail: str, *, url: str = "", host: str = "") -> None:
        super().__init__(detail, url=url)
        self.host = host

    def of(self, url: str) -> HostUnavailable:
        """Return the same error of another URL, in half the time: a dead host has one for each of its entries."""
        error = HostUnavailable.__new__(HostUnavailable, self.detail)
        error.detail, error.url, error.host = self.detail, url, self.host
        return error


class RobotsDisallowed(FetchError):
    """The robots.txt of its origin does not let this URL be fetched, or could not be had (RFC 9309)."""

    code = "robots.disallowed"


class StatusError(FetchError):
    """The server answered completely, with a status of 400 or above.

    In lists this is a value beside the response; as an exception it leaves only `raise_for_status()`.
    """

    def __init__(self, status: int, reason: str = "", *, url: str = "") -> None:
        words = _escaped(reason[:_SHOWN_AT_MOST]) + ("..." if len(reason) > _SHOWN_AT_MOST else "")
        super().__init__(f"the server answered {status} {words}".rstrip(), url=url)
        self.status = status
        self.code = "http.4xx" if status < 500 else "http.5xx"


class LocalError(FetchError):
    """This machine could not do its part: a file, a descriptor, a disk."""

    code = "io"


class Cancelled(FetchError):
    """The work was given up by the program that asked for it. Library only: a job has no such record."""

    code = "cancelled"
