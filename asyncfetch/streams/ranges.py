"""The rest of a body (RFC 9110 sections 13.1.5 and 14): how to ask for it, and whether an answer is it.

A part is believed only if everything says that it continues the very bytes that are there: the same strong
validator, the range that was asked for, up to the end, in one part and without a content coding. Whoever is in
doubt fetches all of it again. Pure: fields in, a decision out.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import NamedTuple

from asyncfetch.streams.heads import Head

__all__ = ["Rest", "announced_length", "is_identity", "is_rest", "range_fields", "strong_validator"]

Fields = list[tuple[bytes, bytes]]

PARTIAL_CONTENT = 206

# RFC 9110 section 8.8.3: opaque-tag = DQUOTE *etagc DQUOTE; what begins with W/ is weak
_STRONG_TAG = re.compile(rb'"[\x21\x23-\x7e\x80-\xff]*"')
# RFC 9110 section 14.4: range-resp = first-pos "-" last-pos "/" ( complete-length / "*" )
_CONTENT_RANGE = re.compile(rb"bytes ([0-9]{1,18})-([0-9]{1,18})/(?:([0-9]{1,18})|\*)", re.IGNORECASE)
# so much earlier than Date, a Last-Modified is strong although a second holds several changes, and even if the two
# clocks are not the same (RFC 9110 section 8.8.2.2; the figure is that of RFC 7232 section 2.2.2)
_STRONG_AFTER = timedelta(seconds=60)


class Rest(NamedTuple):
    """What is missing of a body.

    Attributes:
        begin: bytes that are there.
        validator: a strong one, as `strong_validator` gave it for the answer that they came from.
        complete: bytes of the whole body, None if that answer did not say.
    """

    begin: int
    validator: str
    complete: int | None = None


def strong_validator(fields: Fields) -> str | None:
    """Return what tells this representation from every other one byte by byte, for If-Range; None if nothing does.

    It is a strong ETag; only where there is no ETag at all, it may be a Last-Modified (RFC 9110 section 13.1.5)
    that is strong by section 8.8.2.2.
    """
    tags = _values(fields, b"etag")
    if tags:
        return tags[0].decode("latin-1") if len(tags) == 1 and _STRONG_TAG.fullmatch(tags[0]) else None
    modified, date = _values(fields, b"last-modified"), _values(fields, b"date")
    if len(modified) == 1 and len(date) == 1 and _is_long_before(modified[0], date[0]):
        return modified[0].decode("latin-1")
    return None


def _is_long_before(modified: bytes, date: bytes) -> bool:
    from email.utils import parsedate_to_datetime

    try:
        then, now = (parsedate_to_datetime(value.decode("latin-1")) for value in (modified, date))
        return now - then >= _STRONG_AFTER
    except (ValueError, TypeError):  # no date, or one with a time zone and one without
        return False


def is_identity(fields: Fields) -> bool:
    """Whether the body is sent without a content coding (RFC 9110 section 8.4)."""
    codings = b",".join(_values(fields, b"content-encoding")).split(b",")
    return all(coding.strip(b" \t").lower() in {b"", b"identity"} for coding in codings)


def announced_length(fields: Fields) -> int | None:
    """Return the length of an uncoded body as its head announces it, in bytes; None if it does not."""
    lengths = _values(fields, b"content-length")
    if len(lengths) != 1 or not lengths[0].isdigit() or _values(fields, b"transfer-encoding"):
        return None
    return int(lengths[0]) if len(lengths[0]) <= 18 else None


def range_fields(rest: Rest) -> dict[str, str]:
    """Return the fields that ask for the rest, or for all of it if it has changed (RFC 9110 section 13.1.5).

    Positions in a coded body would be others: no coding is accepted.
    """
    return {"Range": f"bytes={rest.begin}-", "If-Range": rest.validator, "Accept-Encoding": "identity"}


def is_rest(head: Head, length: int | None, rest: Rest) -> bool:
    """Whether an answer is exactly the rest that was asked for (RFC 9110 sections 14.4 and 15.3.7).

    Args:
        head: of the answer.
        length: bytes of its body by its framing, None if that does not tell; such an answer is not believed.
        rest: what was asked for.
    """
    ranges = _values(head.fields, b"content-range")
    matched = _CONTENT_RANGE.fullmatch(ranges[0]) if len(ranges) == 1 else None
    if head.status != PARTIAL_CONTENT or matched is None or not is_identity(head.fields):
        return False
    first, last = int(matched[1]), int(matched[2])
    complete = rest.complete if matched[3] is None else int(matched[3])
    if complete is None or rest.complete not in {None, complete}:
        return False
    is_asked = first == rest.begin and last == complete - 1
    return is_asked and length == complete - first and _is_same(head.fields, rest.validator)


def _is_same(fields: Fields, validator: str) -> bool:
    """Whether an answer has this validator, and no other one: without any, it cannot be combined (15.3.7.3)."""
    name = b"etag" if validator.startswith('"') else b"last-modified"
    return _values(fields, name) == [validator.encode("latin-1")]


def _values(fields: Fields, name: bytes) -> list[bytes]:
    return [value for found, value in fields if found.lower() == name]
