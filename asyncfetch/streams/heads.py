"""Heads of responses as values (RFC 9112 sections 4 and 5): status line and fields.

Strict where leniency would guess: nothing is dropped silently, and what could be read in two ways is malformed.
How a head is found among the bytes that come, and what it means for the body, is in `http1`.
"""

from __future__ import annotations

import re
from enum import Enum

import msgspec

from asyncfetch.errors import MalformedMessage, MessageTooLarge, shown

__all__ = ["HEAD_LIMIT", "LINE_LIMIT", "WISHES", "Framing", "Head", "HeadParser"]

HEAD_LIMIT = 256 * 1024
LINE_LIMIT = 128 * 1024
FIELDS_LIMIT = 2000
_REMEMBERED_AT_MOST = 1000
_REMEMBERED_UP_TO = 128  # bytes; what is longer is seldom seen again
_HEADS_AT_MOST = 250
_HEADS_UP_TO = 1024  # bytes

# RFC 9110 section 5.6.2: token = 1*tchar
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9112 section 4: status-line = HTTP-version SP status-code SP [ reason-phrase ]; the last SP may be missing
_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([0-9]{3})(?: (.*))?", re.DOTALL)
_BLANKS = b" \t"
_CR, _LF = b"\r\n"  # as numbers: bytes look for a number without a detour
_FOLDS = (b" ", b"\t")
_FRAMING_FIELDS = frozenset({b"content-length", b"transfer-encoding", b"connection", b"content-encoding"})
_DESCRIBING_FIELDS = frozenset({b"content-type", b"etag", b"last-modified"})
WISHES = b"wishes"  # no field's name: the key of all those by which a server says how it wants to be asked
_KEYS = {name: name for name in _FRAMING_FIELDS | _DESCRIBING_FIELDS} | dict.fromkeys(
    (
        b"retry-after",
        b"ratelimit",
        b"ratelimit-reset",
        b"x-ratelimit-reset",
        b"x-rate-limit-reset",
    ),
    WISHES,
)


class Framing(Enum):
    """How the end of a body is known; a known length is given as an int instead."""

    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"


class Head(msgspec.Struct, eq=False, gc=False):
    """Status line and fields of one response, or of several that are the same: none of it is to be changed.

    Attributes:
        minor: the digit after `HTTP/1.`.
        status: 100 to 999.
        reason: the reason phrase; may be empty.
        fields: (name, value) as received, in order; values without blanks around them.
        noted: values of the fields that frame or describe the message, by lower-case name; those by which a server
            says how it wants to be asked (Retry-After, RateLimit and their kin) are together under `WISHES`.
        framing: what `choose_framing` says of it as the answer to a GET; None until it was asked.
        persists: what `may_persist` says; None until it was asked.
    """

    minor: int
    status: int
    reason: bytes
    fields: list[tuple[bytes, bytes]]
    noted: dict[bytes, list[bytes]]
    framing: int | Framing | None = None
    persists: bool | None = None

    @property
    def content_encoding(self) -> list[bytes] | None:
        """The values of the Content-Encoding fields, or None."""
        return self.noted.get(b"content-encoding")


class _UnusualLine(Exception):
    """The line is folded (RFC 9112 section 5.2), or holds the end of another one."""


# of a line: the field; the key under which it is noted, if it is; and its value in a list, to be noted
_Known = tuple[tuple[bytes, bytes], bytes | None, list[bytes]]


class _FieldLines(dict[bytes, _Known]):
    """What is known of the field lines that have come before; others are checked when they are asked for.

    Attributes:
        learnt: how many were new.
    """

    def __init__(self) -> None:
        super().__init__()
        self.learnt = 0

    def __missing__(self, line: bytes) -> _Known:
        if line.startswith(_FOLDS) or _LF in line:
            raise _UnusualLine
        _check_line(line)
        name, colon, value = line.partition(b":")
        if not colon:
            raise MalformedMessage(f"a header line has no colon: {shown(line)}")
        if not _TOKEN.fullmatch(name):
            raise MalformedMessage(f"a header line has no valid name: {shown(line)}")
        field = (name, value.strip(_BLANKS))
        known = field, _KEYS.get(name.lower()), [field[1]]
        self.learnt += 1
        if len(line) <= _REMEMBERED_UP_TO:
            if len(self) >= _REMEMBERED_AT_MOST:
                self.clear()
            self[line] = known
        return known


class HeadParser:
    """Parses heads, and remembers the lines and the heads that it has checked before.

    Servers repeat themselves: most lines of most heads cost one dictionary look-up, and so does a whole head that
    is the same as an earlier one, as those of small answers often are within a second. All is forgotten when it
    gets too much: what is common is soon learnt again.
    """

    __slots__ = ("_fields", "_heads", "_starts")

    def __init__(self) -> None:
        self._starts: dict[bytes, tuple[int, int, bytes]] = {}
        self._fields = _FieldLines()
        self._heads: dict[bytes, Head] = {}

    def recall(self, block: bytes) -> Head | None:
        """Return what a head says if it is a usual one, or None; `parse` knows the others.

        Usual is: its status line has come before, no line is folded, and each field that frames or describes the
        message is there once. It has to be given whole up to its first CRLF CRLF: then only lines that are new
        need a look at whether they end otherwise, too.

        Raises:
            MalformedMessage: as `parse`.
            MessageTooLarge: as `parse`.
        """
        return self._heads.get(block) or self._recall_lines(block)

    def _recall_lines(self, block: bytes) -> Head | None:
        lines = block.split(b"\r\n")
        start = self._starts.get(lines.pop(0))
        if start is None or len(lines) > FIELDS_LIMIT or len(block) > HEAD_LIMIT:
            return None
        learnt = self._fields.learnt
        fields: list[tuple[bytes, bytes]] = []
        noted: dict[bytes, list[bytes]] = {}
        try:
            for field, key, value in map(self._fields.__getitem__, lines):
                fields.append(field)
                if key is not None:
                    if key in noted:
                        return None
                    noted[key] = value
        except _UnusualLine:
            return None
        head = Head(*start, fields, noted)
        if self._fields.learnt == learnt and len(block) <= _HEADS_UP_TO:
            if len(self._heads) >= _HEADS_AT_MOST:
                self._heads.clear()
            self._heads[block] = head
        return head

    def parse(self, block: bytes) -> Head:
        """Parse a head (RFC 9112 sections 4 and 5), given without the empty line that ends it.

        Raises:
            MalformedMessage: the block breaks the grammar.
            MessageTooLarge: a line or the number of fields is over its limit.
        """
        lines = _split_lines(block)
        first = lines.pop(0)
        start = self._starts.get(first) or self._learn_start(first)
        noted: dict[bytes, list[bytes]] = {}
        return Head(*start, self.parse_fields(lines, noted), noted)

    def parse_fields(self, lines: list[bytes], noted: dict[bytes, list[bytes]]) -> list[tuple[bytes, bytes]]:
        """Parse field lines (RFC 9112 section 5).

        Values of the fields that frame or describe a message are added to `noted` too. Folded lines are joined by
        one space.

        Raises:
            MalformedMessage: a line is no field.
            MessageTooLarge: a line is over 128 KiB, or there are more than 2,000 fields.
        """
        fields: list[tuple[bytes, bytes]] = []
        for line in lines:
            try:
                field, key, _ = self._fields[line]
            except _UnusualLine:
                noted.clear()
                return self.parse_fields(_unfold(lines), noted)
            fields.append(field)
            if key:
                noted.setdefault(key, []).append(field[1])
        if len(fields) > FIELDS_LIMIT:
            raise MessageTooLarge(f"there are more than {FIELDS_LIMIT} fields")
        return fields

    def _learn_start(self, line: bytes) -> tuple[int, int, bytes]:
        _check_line(line)
        match = _STATUS_LINE.fullmatch(line)
        if match is None or int(match[2]) < 100:
            raise MalformedMessage(f"the answer does not start with an HTTP/1.x status line: {shown(line)}")
        start = (int(match[1]), int(match[2]), match[3] or b"")
        if len(line) <= _REMEMBERED_UP_TO:
            if len(self._starts) >= _REMEMBERED_AT_MOST:
                self._starts.clear()
            self._starts[line] = start
        return start


def _split_lines(block: bytes) -> list[bytes]:
    """Split at CRLF, or at LF alone (RFC 9112 section 2.2)."""
    lines = block.split(b"\r\n")
    if block.count(b"\n") >= len(lines):
        lines = block.replace(b"\r\n", b"\n").split(b"\n")
    return lines


def _check_line(line: bytes) -> None:
    """Refuse what no line may hold (RFC 9112 section 2.2), and a line over its limit."""
    if len(line) > LINE_LIMIT:
        raise MessageTooLarge(f"a header line is longer than {LINE_LIMIT // 1024} KiB")
    if _CR in line or 0 in line:
        raise MalformedMessage("the head contains a bare CR or a NUL")


def _unfold(lines: list[bytes]) -> list[bytes]:
    """Join folded lines (RFC 9112 section 5.2) to the one before, by one space.

    Raises:
        MalformedMessage: the first line is one.
    """
    joined: list[list[bytes]] = []
    for line in lines:
        if not line.startswith(_FOLDS):
            joined.append([line.rstrip(_BLANKS)])
        elif joined:
            joined[-1].append(line.strip(_BLANKS))
        else:
            raise MalformedMessage("the first header line starts with white space")
    return [b" ".join(parts) for parts in joined]
