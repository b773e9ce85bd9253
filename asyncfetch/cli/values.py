"""Option values: text from the command line to a checked value, or one sentence that says why not.

Each function here is an option's `type`; click names the option in front of the sentence.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re

import click

import asyncfetch
from asyncfetch.errors import FetchError, InvalidURL, StatusError, shown

__all__ = [
    "count",
    "error_codes",
    "failures",
    "filled",
    "header",
    "network",
    "number",
    "pattern",
    "pause",
    "rate",
    "resolve",
    "seconds",
    "secret_header",
    "size",
    "speed",
    "user",
]

_MOST = 1_000_000_000
_WHOLE = re.compile(r"[0-9]{1,10}")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(?:/([smh]))?")
_PER = {"s": 1, "m": 60, "h": 3600}
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_RESOLVE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^][:/\\?#@\s]+):([0-9]{1,5}):(.+)")


def filled(text: str) -> str:
    """Read the name of a file or directory: an empty one is a shell variable that was never set."""
    if not text:
        raise click.BadParameter("the name is empty")
    return text


def count(text: str | int) -> int:
    """Read a whole number, 1 or more."""
    return _whole(text, 1)


def number(text: str | int) -> int:
    """Read a whole number, 0 or more."""
    return _whole(text, 0)


def _whole(text: str | int, least: int) -> int:
    if not _WHOLE.fullmatch(str(text)) or not least <= int(text) <= _MOST:
        raise click.BadParameter(f"{shown(str(text))} is not a whole number from {least} to {_MOST:,}")
    return int(text)


def seconds(text: str | float) -> float:
    """Read a time in seconds, above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (0 < value < math.inf):
        raise click.BadParameter(f"{shown(str(text))} is not a time: give seconds above 0, such as 30 or 0.5")
    return value


def size(text: str | int) -> int:
    """Read a size in bytes; k, M, G and T are 1024s."""
    match = _SIZE.fullmatch(str(text))
    if match is None:
        raise click.BadParameter(
            f"{shown(str(text))} is not a size: give bytes, or a number with k, M or G, such as 10M"
        )
    return int(float(match[1]) * _UNITS[match[2].lower()])


def rate(text: str | float) -> float:
    """Read how often: a number per second, or with /s, /m or /h per second, minute or hour."""
    match = _RATE.fullmatch(str(text))
    value = 0.0 if match is None else float(match[1]) / _PER[match[2] or "s"]
    if not 0 < value < _MOST:
        raise click.BadParameter(
            f"{shown(str(text))} is not a rate: give a number a second, such as 5, 0.5/s or 30/m"
        )
    return value


def speed(text: str | int) -> int:
    """Read bytes per second, 1 or more; k, M and G are 1024s, and /s may stand behind."""
    value = size(str(text).removesuffix("/s"))
    if value < 1:
        raise click.BadParameter("a speed of 0 would never end: give bytes a second, such as 500k")
    return value


def pause(text: str | float) -> float:
    """Read a time in seconds, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (0 <= value < math.inf):
        raise click.BadParameter(f"{shown(str(text))} is not a time: give seconds, 0 or more, such as 1 or 0.5")
    return value


def failures(text: str | float) -> int | float:
    """Read how many failures are too many: a whole number, or a share such as `5%`, which becomes a fraction."""
    if not isinstance(text, str) or not text.endswith("%"):
        return count(str(text)) if isinstance(text, str | int) else text
    match = _PERCENT.fullmatch(text)
    if match is None or not float(match[1]) < 100:
        raise click.BadParameter(f"{shown(text)} is not a share: give a percentage below 100, such as 5%")
    return float(match[1]) / 100


def header(text: str) -> tuple[str, str | None]:
    """Read a header: `Name: value` sends it, `Name:` removes a default, `Name;` sends it empty (as with curl).

    What is wrong is said without the value, which may be a secret.
    """
    name, colon, content = text.partition(":")
    value = content.strip(" \t") or None
    if not colon:
        name, value = (text[:-1], "") if text.endswith(";") else ("", None)
    if not _TOKEN.fullmatch(name):
        raise click.BadParameter("that is not a header: write it as 'Name: value'")
    if value is None and name.lower() == "host":
        raise click.BadParameter("every request has a Host: give another value, or leave it out")
    if _CONTROL.search(text):
        raise click.BadParameter(f"the value of {name} holds a line break or control character")
    if any(ord(character) > 0xFF for character in text):
        raise click.BadParameter(f"the value of {name} holds a character that no header can carry (beyond Latin-1)")
    return name, value


def secret_header(text: str) -> tuple[str, str]:
    """Read a header with a secret in it: an empty one is a shell variable that was never set."""
    name, value = header(text)
    if not value:
        raise click.BadParameter(f"the value of {name} is empty")
    return name, value


def user(text: str) -> tuple[str, str]:
    """Read `user:password`; without a colon, ask for the password."""
    name, colon, password = text.partition(":")
    return name, password if colon else _ask_password(name)


def _ask_password(name: str) -> str:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        raise click.BadParameter(
            "the password is missing, and there is no terminal to ask for it: give USER:PASSWORD"
        ) from None
    return str(click.prompt(f"Password for {shown(name)}", hide_input=True, err=True))


def error_codes(text: str) -> frozenset[str]:
    """Read error codes or their first words, separated by commas; an empty text means all."""
    codes = frozenset(text.split(",")) if text else frozenset[str]()
    known = _known_codes()
    for code in sorted(codes - known - {code.partition(".")[0] for code in known}):
        raise click.BadParameter(f"{shown(code)} is no error code: give some such as http.5xx, or first words: dns")
    return codes


def _known_codes() -> frozenset[str]:
    kinds, codes = [FetchError], {StatusError(404).code, StatusError(503).code}
    while kinds:
        below = kinds.pop().__subclasses__()
        codes |= {kind.code for kind in below if kind is not StatusError and not kind.__subclasses__()}
        kinds += below
    return frozenset(codes)


def pattern(text: str) -> str:
    """Read a regular expression: an empty one, which is found everywhere, is a variable that was never set."""
    if not text:
        raise click.BadParameter("the expression is empty")
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise click.BadParameter(f"{shown(text)} is not a regular expression: {error}") from None
    return text


def resolve(text: str) -> tuple[str, str]:
    """Read `HOST:PORT:ADDRESS`, as curl's; an IPv6 address may stand in brackets."""
    match = _RESOLVE.fullmatch(text)
    if match is not None:
        host, port, address = match.groups()
        address = address.removeprefix("[").removesuffix("]")
        try:
            ipaddress.ip_address(address)
            return asyncfetch.Url.parse(f"http://{host}:{port}").origin.key, address
        except (ValueError, InvalidURL):
            pass
    raise click.BadParameter(f"{shown(text)} is not HOST:PORT:ADDRESS, such as example.org:443:127.0.0.1")


def network(text: str) -> str:
    """Read a network such as `10.0.0.0/8`."""
    try:
        asyncfetch.AddressGuard(deny=[text])
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return text
