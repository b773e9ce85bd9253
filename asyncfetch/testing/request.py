"""Read the head of a request, as strictly as a server may: what a client sends wrong must not pass unseen.

Knows RFC 9112's grammar of a request, and nothing of connections or answers. Who reads the bytes is `wire`.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from functools import lru_cache

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# request-line = method SP request-target SP HTTP-version (RFC 9112, section 3); a target has no fragment
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!\"$-~]+) HTTP/1\.([01])")
# field-line = field-name ":" OWS field-value OWS (RFC 9112, section 5)
_FIELD_LINE = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([^\x00\r\n]*?)[ \t]*")
_ABSOLUTE_FORM = re.compile(r"https?://[^/?]*", re.IGNORECASE)


class MalformedRequestError(ValueError):
    """What arrived is not a request by RFC 9112. The message says why."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The header fields of one request, and what follows from them.

    Attributes:
        pairs: (name, value) as sent and in their order, white space around the value taken off.
        length: Content-Length in bytes, 0 if there is none.
        hosts: how many Host fields there are.
        connection: the options of all Connection fields, in lower case.
    """

    pairs: tuple[tuple[str, str], ...]
    length: int
    hosts: int
    connection: frozenset[str]


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request, as it arrived.

    Attributes:
        method: as sent, such as "GET".
        target: as sent, with the query.
        path: the target before "?", without scheme and authority if they were sent.
        version: "1.0" or "1.1".
        headers: (name, value) pairs as sent, decoded as latin-1.
        length: announced bytes of the request's body.
        wants_close: the client does not want to use the connection again.
        head: the bytes of request line and fields, without the empty line.
        host: the local end of the connection, such as "127.0.0.2:8080" or "[::1]:8080".
        connection: number of the connection on this server, from 1.
        time: when the head was complete, `time.monotonic()` in seconds.
    """

    method: str
    target: str
    path: str
    version: str
    headers: tuple[tuple[str, str], ...]
    length: int
    wants_close: bool
    head: bytes = field(repr=False)
    host: str = ""
    connection: int = 0
    time: float = 0.0

    def header(self, name: str) -> str | None:
        """Return the first value of the field `name` in any letter case, or None."""
        wanted = name.lower()
        return next((value for found, value in self.headers if found.lower() == wanted), None)


def parse_request(head: bytes, *, host: str = "", connection: int = 0) -> SeenRequest:
    """Parse request line and fields, with CRLF between the lines and none at the end.

    Raises:
        MalformedRequestError: a line breaks the grammar; Host is missing (HTTP/1.1) or repeated; the length of
            the body is not one decimal number; or a Transfer-Encoding is there, which this server cannot read.
    """
    line, _, rest = head.partition(b"\r\n")
    matched = _REQUEST_LINE.fullmatch(line)
    if matched is None:
        raise MalformedRequestError(f"request line {line[:200]!r}")
    version = "1.1" if matched[3] == b"1" else "1.0"
    fields = _parse_fields(rest)
    if fields.hosts > 1 or (fields.hosts == 0 and version == "1.1"):
        raise MalformedRequestError(f"{fields.hosts} Host fields")
    target = matched[2].decode("ascii")
    return SeenRequest(
        method=matched[1].decode("ascii"),
        target=target,
        path=_path_of(target),
        version=version,
        headers=fields.pairs,
        length=fields.length,
        wants_close="close" in fields.connection or version == "1.0",
        head=head,
        host=host,
        connection=connection,
        time=time.monotonic(),
    )


def _path_of(target: str) -> str:
    path = target.partition("?")[0]
    if path.startswith("/"):
        return path
    return _ABSOLUTE_FORM.sub("", path, count=1) or "/"


@lru_cache(maxsize=512)  # a client sends the same fields again and again
def _parse_fields(block: bytes) -> Fields:
    pairs = tuple(_parse_field(line) for line in block.split(b"\r\n")) if block else ()
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name.lower(), []).append(value)
    if "transfer-encoding" in values:
        raise MalformedRequestError("Transfer-Encoding in a request")
    options = ",".join(values.get("connection", ())).lower().split(",")
    return Fields(
        pairs=pairs,
        length=_parse_length(values.get("content-length", ["0"])),
        hosts=len(values.get("host", ())),
        connection=frozenset(option.strip() for option in options),
    )


def _parse_field(line: bytes) -> tuple[str, str]:
    matched = _FIELD_LINE.fullmatch(line)
    if matched is None:
        raise MalformedRequestError(f"field line {line[:200]!r}")
    return matched[1].decode("ascii"), matched[2].decode("latin-1")


def _parse_length(values: list[str]) -> int:
    if len(values) != 1 or re.fullmatch("[0-9]{1,15}", values[0]) is None:
        raise MalformedRequestError(f"Content-Length {', '.join(values)[:200]!r}")
    return int(values[0])
