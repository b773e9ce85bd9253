"""A URL, parsed once by the WHATWG rules, in the pieces that a fetcher needs.

The parser is ada (the one in Node.js): it reads hostile spellings as browsers do. What it returns is normalised,
which is why plain string operations may take it apart here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

import ada_url
import msgspec

from asyncfetch.errors import InvalidURL, shown

__all__ = ["Origin", "Url", "is_address", "redacted"]

_DEFAULT_PORTS = {"http": 80, "https": 443}

_DROPPED = str.maketrans("", "", "\t\n\r")  # a URL parser overlooks them, wherever they stand
_OUTER = "".join(map(chr, range(0x21)))  # and these, at both ends
_LEAD = r"(https?:[/\\]*|(?:[^@/\\?#]*:[/\\]{2,})+|[/\\]*)"
_USERINFO = re.compile(_LEAD + r"[^/\\?#]*@", re.IGNORECASE)
# a password with a / ? or # that ought to be percent-encoded: what follows the colon is no port
_BROKEN_USERINFO = re.compile(_LEAD + r"[^/\\?#@:\[]*:(?![0-9]*(?:[/\\?#]|$)).*@", re.IGNORECASE | re.DOTALL)


# An origin, and a target in which there is nothing to encode or to strip, and no fragment. The rules leave it as it
# is if it has no dot segment either, not even an encoded one.
_PLAIN = re.compile(r"(https?://[^/]*)(/[A-Za-z0-9/?._~!$&()*+,;=:@%-]*)")
_ORIGIN = re.compile(r"https?://[^?#@\\\s]+")
_ORIGINS_REMEMBERED = 4096


def redacted(text: str) -> str:
    """Replace the user and password of a URL, valid or not, by `***`, for records and messages."""
    if "@" not in text:
        return text
    clean = text.translate(_DROPPED).strip(_OUTER)
    found = _USERINFO.match(clean) or _BROKEN_USERINFO.match(clean)
    return text if found is None else f"{found[1]}***{clean[found.end() - 1 :]}"


def is_address(host: str) -> bool:
    """Whether a host of a URL is no name: only an IP address ends in a digit, or has a colon (WHATWG URL, 3.5)."""
    return host[-1:].isdigit() or ":" in host


class Origin:
    """Scheme, host and port (RFC 9110 section 4.3.1): who may be sent what, and which connections are alike.

    Attributes:
        scheme: `http` or `https`.
        host: the name or address without brackets, lower case, ASCII (punycode).
        port: 0 to 65535.
        key: `host:port`, the key of the host's queue and limits; an IPv6 address stands in brackets.
        authority: the Host field's value: the port only where it is not the scheme's own.
        name: the origin as one string, `scheme://authority`.
        is_address: whether the host is an IP address.
    """

    __slots__ = ("authority", "host", "is_address", "key", "name", "port", "scheme")

    def __init__(self, scheme: str, authority: str) -> None:
        host, colon, port = authority.rpartition(":")
        if not colon or "]" in port:
            host, port = authority, ""
        self.scheme = scheme
        self.authority = authority
        self.port = int(port) if port else _DEFAULT_PORTS[scheme]
        self.host = host.strip("[]")
        self.is_address = is_address(self.host)
        self.key = f"{host}:{self.port}"
        self.name = f"{scheme}://{authority}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Origin({self.name!r})"


@lru_cache(_ORIGINS_REMEMBERED)
def _plain_origin(text: str) -> Origin | None:
    """Return the origin if this is how the rules write it: the parser decides, once for each."""
    if not _ORIGIN.fullmatch(text):
        return None
    try:
        if ada_url.normalize_url(f"{text}/") != f"{text}/":
            return None
    except ValueError:
        return None
    scheme, _, authority = text.partition("://")
    return Origin(scheme, authority)


class Url(msgspec.Struct, eq=False, gc=False):
    """An http or https URL.

    Attributes:
        href: the whole URL, normalised, without credentials and fragment: safe to record and to show.
        origin: scheme, host and port.
        target: the request target in origin form (RFC 9112 section 3.2.1): path and query.
        userinfo: `user:password`, still percent-encoded, or an empty string.
    """

    href: str
    origin: Origin
    target: str
    userinfo: str

    @classmethod
    def parse(cls, text: str) -> Url:
        """Parse an absolute URL.

        Most URLs of a list are written as the rules would write them, at an origin that has been seen before:
        such a one is only taken apart.

        Raises:
            InvalidURL: it is no URL, not http or https, or names no host.
        """
        plain = _PLAIN.fullmatch(text)
        if plain is not None and "/." not in text and "/%2" not in text:
            origin = _plain_origin(plain[1])
            if origin is not None:
                return cls(text, origin, plain[2], "")
        try:
            href = ada_url.normalize_url(text)
        except ValueError:
            raise InvalidURL(_why_invalid(text)) from None
        return cls._split(href)

    def join(self, reference: str) -> Url:
        """Resolve a reference, as a Location field gives it, against this URL.

        User and password go along within the origin, unless the reference brings its own.

        Raises:
            InvalidURL: the result is no http or https URL.
        """
        try:
            href = ada_url.join_url(self.href, reference)
        except ValueError:
            raise InvalidURL(f"{shown(redacted(reference))} is not a URL") from None
        joined = self._split(href)
        if joined.origin == self.origin and not joined.userinfo:
            joined.userinfo = self.userinfo
        return joined

    @classmethod
    def _split(cls, href: str) -> Url:
        scheme, _, rest = href.partition("://")
        if scheme not in _DEFAULT_PORTS:
            raise InvalidURL(_why_not_http(href))
        rest = rest.partition("#")[0]
        authority, slash, path = rest.partition("/")
        target = slash + path
        userinfo, at, host = authority.rpartition("@")
        if at:
            authority = host
        origin = Origin(scheme, authority)
        return cls(origin.name + target, origin, target, userinfo)

    @property
    def credentials(self) -> tuple[bytes, bytes] | None:
        """User and password, percent-decoded, or None when the URL has none."""
        if not self.userinfo:
            return None
        user, _, password = self.userinfo.partition(":")
        return unquote_to_bytes(user), unquote_to_bytes(password)

    def __str__(self) -> str:
        return self.href

    def __repr__(self) -> str:
        return f"Url({self.href!r})"


_SURROGATE = re.compile("[\ud800-\udfff]")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(.*)", re.IGNORECASE | re.DOTALL)
_PORT = re.compile(r"[0-9]+(?![^/?#])")
_NEARLY = {
    **dict.fromkeys(("htp", "htpp", "htttp", "ttp", "hhtp"), "http"),
    **dict.fromkeys(("htps", "httpss", "htpps", "ttps", "hhtps", "httsp"), "https"),
}


def _why_not_http(href: str) -> str:
    scheme, _, rest = href.partition(":")
    if _PORT.match(rest):  # it was the name of a host
        return _why_no_scheme(href)
    hint = f"; did you mean {_NEARLY[scheme]}://?" if scheme in _NEARLY else ""
    return f"the scheme {shown(scheme)} is not http or https{hint}"


def _why_invalid(text: str) -> str:
    """Find the one sentence that helps most, for a text that the parser refused."""
    clean = text.translate(_DROPPED).strip(_OUTER)
    bare = redacted(clean)
    if not bare:
        return "the URL is empty"
    if _SURROGATE.search(bare):
        return f"{shown(bare)} holds a character that cannot be encoded"
    match = _SCHEME.fullmatch(bare)
    if match is None:
        return _why_no_scheme(bare)
    if match[1].lower() not in _DEFAULT_PORTS:
        return _why_not_http(bare.lower())
    if _BROKEN_USERINFO.match(clean) and not _USERINFO.match(clean):
        return "a / ? or # in a user name or password must be percent-encoded"
    authority = re.split(r"[/\\?#]", match[2].lstrip("/\\"), maxsplit=1)[0].rpartition("@")[2]
    return _why_no_host(authority) or f"{shown(bare)} names no host"


def _why_no_host(authority: str) -> str | None:
    if authority.startswith("["):
        return f"{shown(authority)} is not a valid IPv6 address"
    host, colon, port = authority.rpartition(":")
    if not colon:
        host = authority
    if not host:
        return None
    if colon and not (port.isascii() and port.isdigit() and int(port[:6]) <= 65535):
        return f"{shown(port)} is not a valid port"
    return f"{shown(host)} is not a valid host name"


def _why_no_scheme(bare: str) -> str:
    rest = bare.removeprefix("//")
    looks_like_a_host = ("." in rest or "localhost" in rest) and rest[0] not in "/\\." and " " not in rest
    if looks_like_a_host and ada_url.check_url(f"https://{rest}"):
        return f"no scheme; did you mean {shown(f'https://{rest}')}?"
    return f"{shown(bare)} is not a URL: it has no scheme such as https://"
