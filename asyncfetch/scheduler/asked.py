"""What a host asks for in the fields of an answer: how long to be left alone. Pure; garbage is no wish.

Three families are in use. Retry-After (RFC 9110 section 10.2.3) counts on redirects and on statuses that are tried
again. RateLimit with its RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers; the drafts before the eighth wrote
it otherwise, or in fields of their own) and X-RateLimit-Remaining with -Reset, which everybody writes in his own
way, count on any status, once nothing remains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from asyncfetch.scheduler.retry import RETRIED_STATUSES, parse_retry_after

__all__ = ["Asked", "find_asked"]

_LONGEST = 1e9
_EPOCH_FROM = 1e9  # a reset that is larger is no number of seconds from now, but a time of day
_MILLISECONDS_FROM = 1e12
_LONGEST_VALUE = 1000  # bytes; the longest in use are a tenth of that
_NUMBER = re.compile(rb"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PREFIXES = (b"ratelimit-", b"x-ratelimit-", b"x-rate-limit-")
# RFC 9651: a list of strings, each with parameters; q, w, r and t are integers. Nothing here goes back (*+).
_ITEM = re.compile(
    rb'[ \t]*+("(?:[^"\\]|\\.)*+"|[^;,"]*+)((?:[ \t]*+;[ \t]*+[a-z*][a-z0-9_.*-]*+(?:=[^;,"]*+)?)*+)[ \t]*+(?:,|\Z)'
)
_PARAMETER = re.compile(rb";[ \t]*([a-z]+)=([0-9]{1,15})(?=[ \t]*(?:;|\Z))")
_OLD_ITEM = re.compile(rb"(?:^|,)[ \t]*(remaining|reset)=([0-9]{1,15})(?=[ \t]*(?:[,;]|\Z))")


class Asked(NamedTuple):
    """A wish to be left alone.

    Attributes:
        seconds: from now, above 0 and up to 10**9.
        why: the field that says so.
    """

    seconds: float
    why: str


def find_asked(fields: Iterable[tuple[bytes, bytes]], status: int, wall: float) -> Asked | None:
    """Find how long the answer asks to be left alone, or None if it does not.

    Args:
        fields: all of them, names in any case.
        status: of the answer.
        wall: the time of day now, in seconds since the epoch.
    """
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        key = name.lower()
        if len(value) > _LONGEST_VALUE:
            continue
        found[key] = found[key] + b", " + value if key in found and key.startswith(b"ratelimit") else value
    if b"retry-after" in found and (status in RETRIED_STATUSES or status in _REDIRECTS):
        pause = parse_retry_after(found[b"retry-after"], wall)
        if pause is not None:
            return Asked(pause, "Retry-After") if pause > 0 else None
    reset = _draft_reset(found) or _older_draft_reset(found) or _common_reset(found, status, wall)
    return Asked(min(reset, _LONGEST), "RateLimit") if reset else None


def _draft_reset(found: dict[bytes, bytes]) -> float | None:
    """`RateLimit: "hour";r=0;t=300`: the longest `t` of what has nothing left; without it the policy's window."""
    if b"ratelimit" not in found:
        return None
    policies = dict(_items(found.get(b"ratelimit-policy", b"")))
    resets = [
        parameters.get(b"t", policies.get(name, {}).get(b"w", 0))
        for name, parameters in _items(found[b"ratelimit"])
        if parameters.get(b"r") == 0
    ]
    return float(max(resets, default=0))


def _items(value: bytes) -> list[tuple[bytes, dict[bytes, int]]]:
    """Take a list apart, up to the first thing that does not belong into one."""
    items, at = [], 0
    while at < len(value) and (match := _ITEM.match(value, at)) is not None and match.end() > at:
        at = match.end()
        items.append((match[1].strip(), {name: int(number) for name, number in _PARAMETER.findall(match[2])}))
    return items


def _older_draft_reset(found: dict[bytes, bytes]) -> float | None:
    """`RateLimit: limit=100, remaining=0, reset=30`."""
    members = {name: int(number) for name, number in _OLD_ITEM.findall(found.get(b"ratelimit", b""))}
    return float(members.get(b"reset", 0)) if members.get(b"remaining") == 0 else None


def _common_reset(found: dict[bytes, bytes], status: int, wall: float) -> float | None:
    """`X-RateLimit-Remaining: 0` and `X-RateLimit-Reset: 30`, or the time of day at which it is over."""
    for prefix in _PREFIXES:
        remaining, reset = found.get(prefix + b"remaining"), found.get(prefix + b"reset")
        left = _number(remaining)
        if reset is None or left or (left is None and (remaining is not None or status != 429)):
            continue
        seconds = _number(reset)
        if seconds is not None:
            if seconds >= _MILLISECONDS_FROM:
                seconds /= 1000
            return max(0.0, seconds - wall if seconds >= _EPOCH_FROM else seconds)
    return None


def _number(value: bytes | None) -> float | None:
    return float(value) if value is not None and _NUMBER.fullmatch(value) else None
