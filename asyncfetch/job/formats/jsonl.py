"""JSON Lines: one object a line (`{"url": "...", "id": 17}`); what else is in an object is left alone."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from asyncfetch.errors import shown
from asyncfetch.job.formats.rows import FIELDS, TOO_LONG, Row, bad_row, checked_row
from asyncfetch.job.lines import LONGEST_LINE, Line, LineSplitter
from asyncfetch.job.packing import Unreadable

__all__ = ["JsonLines"]

_TYPES: dict[str, Any] = {
    "id": str | int | None,
    "name": str | None,
    "headers": dict[str, str | None] | None,
    "sha256": str | None,
    "max_time": float | None,
}
_EXPECTED = {
    "id": "text or a whole number",
    "name": "text",
    "headers": "an object of names and texts",
    "sha256": "text",
    "max_time": "a number of seconds",
}
_WHERE = re.compile(r"at `\$\.([^`\[]+)")
_MALFORMED = re.compile(r"JSON is malformed: (.*)")


class JsonLines(LineSplitter):
    """Cut blocks of bytes into entries, one for each line that is not blank: `feed` it all blocks, then `finish`.

    The text of a line that is no JSON is shown nowhere: it may hold a header with a secret.

    Raises:
        Unreadable: from `feed`: it is a JSON array.
    """

    def __init__(self, url_field: str = "url", longest: int = LONGEST_LINE) -> None:
        """Start at the beginning of a file; the URL is in the field of this name."""
        super().__init__(longest)
        self._url_field = url_field
        self._is_first = True
        names = [field for field in FIELDS if field != url_field]
        fields = [("url", str | None, None), *((name, _TYPES[name], None) for name in names)]
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("Fields", fields, rename={"url": url_field}))
        anything = [("url", Any, None), *((name, Any, None) for name in names if name == "id")]
        self._lenient = msgspec.json.Decoder(msgspec.defstruct("Anything", anything, rename={"url": url_field}))

    def _entries(self, lines: list[bytes]) -> list[Line]:
        entries: list[Line] = []
        for number, raw in enumerate(lines, self._number + 1):
            if len(raw) > self._longest and len(raw.removesuffix(b"\r")) > self._longest:
                entries.append(bad_row(number, raw[: self._longest].decode("latin-1"), TOO_LONG))
            elif line := raw.strip():
                entries.append(self._row(number, line))
        self._number += len(lines)
        return entries

    def _row(self, number: int, line: bytes) -> Row:
        if self._is_first and line.startswith(b"["):
            raise Unreadable("is a JSON array, but one object a line is expected (jq -c '.[]' makes such lines)")
        self._is_first = False
        raw = line.decode("latin-1")
        try:
            fields = msgspec.structs.asdict(self._decoder.decode(line))
        except RecursionError:
            return bad_row(number, raw, "the row is nested too deeply")
        except msgspec.ValidationError as error:
            return self._with_fault(number, line, self._describe(error))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return bad_row(number, raw, _why_no_json(line, error))
        url = (fields.pop("url") or "").strip()
        if not url:
            return self._with_fault(number, line, f"the row has no URL in {shown(self._url_field)}")
        raw = msgspec.json.encode((url, *fields.values())).decode()
        return checked_row(Row(number, url, "", raw, **fields))

    def _with_fault(self, number: int, line: bytes, fault: str) -> Row:
        """Return a row that is JSON but cannot be fetched, with the URL and the id that it has all the same."""
        raw = line.decode("latin-1")
        try:
            fields = msgspec.structs.asdict(self._lenient.decode(line))
        except (msgspec.MsgspecError, RecursionError):
            return bad_row(number, raw, fault)
        url, given = fields["url"], fields.get("id")
        is_known = isinstance(given, str | int) and not isinstance(given, bool)
        text = url.strip() if isinstance(url, str) else ""
        return Row(number, text, fault, raw, given if is_known else None)

    def _describe(self, error: msgspec.ValidationError) -> str:
        """Say it in our words."""
        where = _WHERE.search(str(error))
        if where is None:
            return "the row is not a JSON object"
        name = where[1]
        if name in _EXPECTED and name != self._url_field:
            return f"the field {name} is not {_EXPECTED[name]}"
        return f"the URL in {shown(self._url_field)} is not text"


def _why_no_json(line: bytes, error: Exception) -> str:
    """Say it in our words; that a text is not UTF-8, msgspec says in another way in each of its versions."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return "the row is not UTF-8"
    malformed = _MALFORMED.match(str(error))
    return f"the row is not JSON: {malformed[1] if malformed else 'it ends too early'}"
