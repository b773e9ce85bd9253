"""JSON Lines: one object a line (`{"url": "...", "id": 17}`); what else is in an object is left alone."""

from __future__ import annotations

import json
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
_NULL = msgspec.Raw(b"null")


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
        self._types: dict[str, Any] = {"url": str | None, **{name: _TYPES[name] for name in names}}
        fields = [(name, kind, None) for name, kind in self._types.items()]
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("Fields", fields, rename={"url": url_field}))
        unread = [(name, msgspec.Raw, _NULL) for name in self._types]
        self._splitter = msgspec.json.Decoder(msgspec.defstruct("Unread", unread, rename={"url": url_field}))
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
        try:
            fields = msgspec.structs.asdict(self._decoder.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self._with_fault(number, line, self._find_fault(line))
        url = (fields.pop("url") or "").strip()
        if not url:
            return self._with_fault(number, line, f"the row has no URL in {shown(self._url_field)}")
        raw = msgspec.json.encode((url, *fields.values())).decode()
        return checked_row(Row(number, url, "", raw, **fields))

    def _with_fault(self, number: int, line: bytes, fault: str) -> Row:
        """Return a row that cannot be fetched, with the URL and the id that it has all the same if it is JSON."""
        raw = line.decode("latin-1")
        try:
            fields = msgspec.structs.asdict(self._lenient.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return bad_row(number, raw, fault)
        url, given = fields["url"], fields.get("id")
        is_known = isinstance(given, str | int) and not isinstance(given, bool)
        text = url.strip() if isinstance(url, str) else ""
        return Row(number, text, fault, raw, given if is_known else None)

    def _find_fault(self, line: bytes) -> str:
        """Say what is wrong with a row; how a library puts it changes from release to release."""
        try:
            line.decode()
            fields = msgspec.structs.asdict(self._splitter.decode(line))
            return self._find_faulty_field(fields) or "the row has a field twice"
        except UnicodeDecodeError:
            return "the row is not UTF-8"
        except RecursionError:
            return "the row is nested too deeply"
        except msgspec.ValidationError:
            return "the row is not a JSON object"
        except msgspec.MsgspecError:
            return f"the row is not JSON: {_where_malformed(line)}"

    def _find_faulty_field(self, fields: dict[str, msgspec.Raw]) -> str | None:
        for name, raw in fields.items():
            try:
                msgspec.json.decode(raw, type=self._types[name])
            except msgspec.ValidationError:
                if name == "url":
                    return f"the URL in {shown(self._url_field)} is not text"
                return f"the field {name} is not {_EXPECTED[name]}"
        return None


def _where_malformed(line: bytes) -> str:
    """Say where a row ceases to be JSON."""
    try:
        json.loads(line.decode())
    except json.JSONDecodeError as error:
        if error.pos < len(error.doc):
            return f"something else is expected at character {error.pos + 1}"
        return "it ends too early"
    except (ValueError, RecursionError):
        pass
    return "it has a value that JSON does not know"
