"""Requests of HTTP/1.1 (RFC 9112 section 3): a head without a body, in which nothing can end its line.

What belongs to whom is not known here; responses are read in `http1` and `heads`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from asyncfetch.errors import shown

__all__ = ["check_field", "encode_fields", "encode_request", "encode_request_line", "encode_rest"]

# RFC 9110 section 5.6.2: token = 1*tchar
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 section 5.5: a field value holds no control characters other than HTAB
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BEYOND_LATIN_1 = re.compile(r"[^\x00-\xff]")

_METHODS = frozenset({"GET", "HEAD"})
# what tells one request from the next: a second Host, or a length without a body, would let one become two
_OUR_OWN_FIELDS = frozenset({"host", "content-length", "transfer-encoding"})


def encode_fields(fields: Iterable[tuple[str, str]]) -> bytes:
    """Encode the fields that requests share, one line each (RFC 9112 section 5); values are sent as Latin-1.

    Raises:
        ValueError: a field cannot be sent; see `check_field`.
    """
    lines = []
    for name, value in fields:
        check_field(name, value)
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")


def encode_request(method: str, target: str, authority: str, fields: bytes) -> bytes:
    """Encode the head of a request without body (RFC 9112 section 3).

    Args:
        method: `GET` or `HEAD`.
        target: in origin form (section 3.2.1): path and query, percent-encoded.
        authority: the Host field's value (RFC 9110 section 7.2).
        fields: the other fields, as `encode_fields` gives them.

    Raises:
        ValueError: it is another method, or the target or the authority is empty or holds a character that could
            end its line.
    """
    return encode_request_line(method, target) + encode_rest(authority, fields)


def encode_request_line(method: str, target: str) -> bytes:
    """Encode what differs from one request to the next (RFC 9112 section 3); see `encode_request`.

    Raises:
        ValueError: it is another method, or the target is empty or holds a character that could end its line.
    """
    if not (method in _METHODS and _is_visible(target)):
        raise ValueError(f"{shown(method)} {shown(target)} cannot stand in a request")
    return f"{method} {target} HTTP/1.1\r\n".encode()


def encode_rest(authority: str, fields: bytes) -> bytes:
    """Encode what all requests to an origin share: everything after the request line; see `encode_request`.

    Raises:
        ValueError: the authority is empty or holds a character that could end its line.
    """
    if not _is_visible(authority):
        raise ValueError(f"{shown(authority)} cannot stand in a request as its host")
    return b"Host: %b\r\n%b\r\n" % (authority.encode(), fields)


def _is_visible(text: str) -> bool:
    """Whether this is what our own requests hold as target and as host: one or more of VCHAR (RFC 5234 B.1)."""
    return text.isascii() and text.isprintable() and " " not in text and text != ""


def check_field(name: str, value: str) -> None:
    """Check a field that a user wants to be sent (RFC 9110 section 5).

    Raises:
        ValueError: the name is no token, or that of a field that tells where a request goes or ends, or the value
            holds a control character or one beyond Latin-1. The value is not told: it may be a secret.
    """
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{shown(name)} is not a header name")
    if name.lower() in _OUR_OWN_FIELDS:
        raise ValueError(f"the header {name} cannot be set: it follows from the URL, and requests have no body")
    stray = _CONTROL.search(value) or _BEYOND_LATIN_1.search(value)
    if stray is not None:
        what = "line break or control character"
        if stray.re is _BEYOND_LATIN_1:
            what = "character that no header can carry (beyond Latin-1)"
        raise ValueError(f"the value of the header {name} holds a {what}: {shown(stray[0])}")
