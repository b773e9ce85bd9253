"""What a row says of one request: checked here, whatever the row was written in.

An entry that says no more than its URL is a `Line`; one that does is a `Row`.
"""

from __future__ import annotations

import math
import re

from asyncfetch.errors import shown
from asyncfetch.job.lines import LONGEST_LINE, Line, why_odd

__all__ = ["FIELDS", "TOO_LONG", "Row", "bad_row", "checked_row"]

FIELDS = ("id", "name", "headers", "sha256", "max_time")
"""What a row can say besides its URL."""

TOO_LONG = f"the row is longer than {LONGEST_LINE // 1024} KiB"

_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")


class Row(Line, frozen=True, gc=False):
    """One entry of a table or of JSON Lines; `text` is its URL, empty if the row does not tell it.

    Attributes:
        raw: what tells it from any other row, for the fingerprint of the input.
        id: what the input calls it.
        name: what the file of its body is to be called.
        headers: fields of its own; None as a value removes the client's.
        sha256: digest that its body is to have, in lower-case hexadecimal.
        max_time: seconds that one attempt may take.
    """

    raw: str
    id: str | int | None = None
    name: str | None = None
    headers: dict[str, str | None] | None = None
    sha256: str | None = None
    max_time: float | None = None


def bad_row(number: int, raw: str, fault: str, text: str = "") -> Row:
    """Return an entry that cannot be fetched."""
    return Row(number, text, fault, raw)


def checked_row(row: Row) -> Row:
    """Return a row whose values can be used, or the same with a fault; the row's id is kept either way."""
    fault = _fault_of(row)
    if fault:
        return Row(row.number, row.text, fault, row.raw, row.id)
    sha256 = row.sha256.lower() if row.sha256 else None
    return Row(row.number, row.text, "", row.raw, row.id, row.name or None, row.headers, sha256, row.max_time)


def _fault_of(row: Row) -> str:
    if not row.text:
        return "the row has no URL"
    if not row.text.isprintable() and (odd := why_odd(row.text, "URL")):
        return odd
    if row.sha256 and not _SHA256.fullmatch(row.sha256):
        return f"the sha256 {shown(row.sha256)} is not 64 hexadecimal digits"
    if row.max_time is not None and not 0 < row.max_time < math.inf:
        return f"the max_time {row.max_time:g} is not a time: seconds above 0 are expected"
    return ""
