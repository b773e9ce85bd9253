"""Option values: text from the command line to a checked value, or one sentence that says why not.

Each function here is an option's `type`; click names the option in front of the sentence.
"""

from __future__ import annotations

import ipaddress
import math
import re

import click

from asyncfetch.errors import shown

__all__ = ["COUNT", "NUMBER", "header", "network", "resolve", "seconds", "size", "user"]

COUNT = click.IntRange(min=1)
NUMBER = click.IntRange(min=0)

_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


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


def header(text: str) -> tuple[str, str | None]:
    """Read a header: `Name: value` sends it, `Name:` removes a default, `Name;` sends it empty (as with curl)."""
    if _CONTROL.search(text):
        raise click.BadParameter(f"{shown(text)} contains a line break or control character")
    if text.endswith(";") and ":" not in text:
        name, value = text[:-1], ""
    else:
        name, colon, content = text.partition(":")
        value = content.strip(" \t") or None
        name = name if colon else ""
    if not _TOKEN.fullmatch(name):
        raise click.BadParameter(f"{shown(text)} is not a header: write it as 'Name: value'")
    if any(ord(character) > 0xFF for character in text):
        raise click.BadParameter(f"{shown(text)} contains characters that a header cannot carry (beyond Latin-1)")
    return name, value


def user(text: str) -> tuple[str, str]:
    """Read `user:password`; without a colon, ask for the password."""
    name, colon, password = text.partition(":")
    if not colon:
        password = click.prompt(f"Password for {shown(name)}", hide_input=True, err=True)
    return name, password


def resolve(text: str) -> tuple[str, str]:
    """Read `HOST:PORT:ADDRESS`, as curl's; an IPv6 address may stand in brackets."""
    host, _, rest = text.partition(":")
    port, _, address = rest.partition(":")
    address = address.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(address)
        is_usable = bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 65536
    except ValueError:
        is_usable = False
    if not is_usable:
        raise click.BadParameter(f"{shown(text)} is not HOST:PORT:ADDRESS, such as example.org:443:127.0.0.1")
    return f"{host.lower()}:{int(port)}", address


def network(text: str) -> str:
    """Read a network such as `10.0.0.0/8`."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise click.BadParameter(
            f"{shown(text)} is not a network: write it as 10.0.0.0/8 or fd00::/8, no bits set after the prefix"
        ) from None
    return text
