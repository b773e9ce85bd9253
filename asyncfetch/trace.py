"""What happens below one request, for whoever wants to watch: subclass `Trace` and give it to the `Client`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = ["TLSSession", "Trace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSSession:
    """What was agreed with a server. Text from its certificate is printable ASCII, the rest escaped.

    Attributes:
        version: such as `TLSv1.3`.
        cipher: OpenSSL's name of the cipher suite.
        alpn: the protocol that the server chose, or an empty string.
        subject: whom the certificate names, as `CN=example.org, O=Example`. This and what follows is empty when the
            certificate was not verified: Python then does not read it.
        issuer: who signed it.
        names: the host names and addresses that it is valid for.
        expires: its last moment, UTC.
    """

    version: str
    cipher: str
    alpn: str
    subject: str
    issuer: str
    names: tuple[str, ...]
    expires: datetime | None


class Trace:
    """Sees the steps of every request of a client; each method does nothing unless it is overridden.

    The methods are called from the event loop and must not block. Seconds are durations.
    """

    def resolved(self, host: str, addresses: list[str], seconds: float) -> None:
        """A name has become addresses."""

    def trying(self, address: str) -> None:
        """A connection to this address is being tried; more may be tried beside it."""

    def connected(self, address: str, seconds: float) -> None:
        """TCP is connected."""

    def secured(self, session: TLSSession, seconds: float) -> None:
        """TLS is set up."""

    def reusing(self, address: str) -> None:
        """The request goes over a connection that an earlier one had used."""

    def sent(self, head: bytes) -> None:
        """The request was written, as it stands here."""

    def received(self, data: bytes) -> None:
        """Bytes came from the server, exactly these: heads, framing and bodies."""
