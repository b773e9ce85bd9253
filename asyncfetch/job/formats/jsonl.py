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
        fields = [("url", str | None, None), *((f, _TYPES[f], None) for f in FIELDS if f != url_field)]
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("Fields", fields, rename={"url": url_field}))

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
        except UnicodeDecodeError:
            return bad_row(number, raw, "the row is not UTF-8")
        except RecursionError:
            return bad_row(number, raw, "the row is nested too deeply")
        except msgspec.MsgspecError as error:
            return bad_row(number, raw, self._describe(error))
        url = (fields.pop("url") or "").strip()
        if not url:
            return bad_row(number, raw, f"the row has no {shown(self._url_field)}")
        raw = msgspec.json.encode((url, *fields.values())).decode()
        return checked_row(Row(number, url, "", raw, **fields))

    def _describe(self, error: msgspec.MsgspecError) -> str:
        """Say it in our words."""
        where = _WHERE.search(str(error))
        if where is not None:
            return f"the row's {shown(where[1])} is not {_EXPECTED.get(where[1], 'text')}"
        if isinstance(error, msgspec.ValidationError):
            return "the row is not a JSON object"
        malformed = _MALFORMED.match(str(error))
        return f"the row is not JSON: {malformed[1] if malformed else 'it ends too early'}"
