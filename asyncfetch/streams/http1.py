"""Responses of HTTP/1.1 (RFC 9112), in the RFC's own order: the head, and how the body is framed.

Strict where leniency would guess: nothing is dropped silently, and what could be read in two ways is malformed.
Requests are encoded in `request`, bodies read in `body`; who may send what to whom is not known here.
"""

from __future__ import annotations

import re
from enum import Enum

import msgspec

from asyncfetch.errors import IncompleteMessage, MalformedMessage, MessageTooLarge, shown
from asyncfetch.streams.wire import WireReader

__all__ = [
    "HEAD_LIMIT",
    "WISHES",
    "Framing",
    "Head",
    "HeadParser",
    "choose_framing",
    "may_persist",
    "read_head",
    "take_head",
]

HEAD_LIMIT = 256 * 1024
LINE_LIMIT = 128 * 1024
FIELDS_LIMIT = 2000
INTERIM_LIMIT = 32
_REMEMBERED_AT_MOST = 1000
_REMEMBERED_UP_TO = 128  # bytes; what is longer is seldom seen again
_HEADS_AT_MOST = 250
_HEADS_UP_TO = 1024  # bytes
_END_AT_MOST = 4  # bytes that end a head, after its last line

# RFC 9110 section 5.6.2: token = 1*tchar
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9112 section 4: status-line = HTTP-version SP status-code SP [ reason-phrase ]; the last SP may be missing
_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([0-9]{3})(?: (.*))?", re.DOTALL)
# RFC 9110 section 8.6: Content-Length = 1*DIGIT; 18 digits are more than any disk holds
_LENGTH = re.compile(rb"0*[0-9]{1,18}")
_BLANKS = b" \t"
_FOLDS = (b" ", b"\t")
_START = b"HTTP/1."
_KEEP_ALIVE = [b"keep-alive"]
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


# of a line: the field; the key under which it is noted, if it is; and its value in a list, to be noted
_Known = tuple[tuple[bytes, bytes], bytes | None, list[bytes]]


# --- RFC 9112 sections 4 and 5: the head of a response


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


class HeadParser:
    """Parses heads, and remembers the lines and the heads that it has checked before.

    Servers repeat themselves: most lines of most heads cost one dictionary look-up, and so does a whole head that
    is the same as an earlier one, as those of small answers often are within a second. All is forgotten when it
    gets too much: what is common is soon learnt again.
    """

    __slots__ = ("_fields", "_heads", "_starts")

    def __init__(self) -> None:
        self._starts: dict[bytes, tuple[int, int, bytes]] = {}
        self._fields: dict[bytes, _Known] = {}
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
        remembered = self._fields.get
        fields: list[tuple[bytes, bytes]] = []
        noted: dict[bytes, list[bytes]] = {}
        is_known = len(block) <= _HEADS_UP_TO
        for line in lines:
            known = remembered(line)
            if known is None:
                if b"\n" in line or line.startswith(_FOLDS):
                    return None
                known, is_known = self._learn_field(line), False
            field, key, value = known
            fields.append(field)
            if key is not None:
                if key in noted:
                    return None
                noted[key] = value
        head = Head(*start, fields, noted)
        if is_known:
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
            known = self._fields.get(line)
            if known is None:
                if line.startswith(_FOLDS):
                    noted.clear()
                    return self.parse_fields(_unfold(lines), noted)
                known = self._learn_field(line)
            field, key, _ = known
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

    def _learn_field(self, line: bytes) -> _Known:
        """Check a field line, and remember what there is to know of it."""
        _check_line(line)
        name, colon, value = line.partition(b":")
        if not colon:
            raise MalformedMessage(f"a header line has no colon: {shown(line)}")
        if not _TOKEN.fullmatch(name):
            raise MalformedMessage(f"a header line has no valid name: {shown(line)}")
        field = (name, value.strip(_BLANKS))
        known = field, _KEYS.get(name.lower()), [field[1]]
        if len(line) <= _REMEMBERED_UP_TO:
            if len(self._fields) >= _REMEMBERED_AT_MOST:
                self._fields.clear()
            self._fields[line] = known
        return known


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
    if b"\r" in line or b"\0" in line:
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


def take_head(reader: WireReader, parser: HeadParser) -> Head | None:
    """Take the head of the final response if it is there and a usual one; None leaves it to `read_head`.

    Raises:
        MalformedMessage: as `read_head`.
        MessageTooLarge: as `read_head`.
        FetchTimeout: as `read_head`.
    """
    data = reader.take()
    block, end, rest = data.partition(b"\r\n\r\n")
    head = parser.recall(block) if end else None
    if head is None or head.status < 200:
        reader.unread(data)
        return None
    reader.pending = rest
    return head


async def read_head(reader: WireReader, parser: HeadParser) -> Head:
    """Read the head of the final response; interim responses (RFC 9110 section 15.2) are skipped.

    What follows the head stays in the reader.

    Raises:
        IncompleteMessage: the connection ended first.
        MalformedMessage: not HTTP/1.x, or a protocol switch that nobody asked for.
        MessageTooLarge: over 256 KiB, or more than 32 interim responses.
        FetchTimeout: a deadline ended the connection.
    """
    interim = 0
    while interim <= INTERIM_LIMIT:
        head = parser.parse(await _read_block(reader, await reader.receive()))
        if head.status >= 200:
            return head
        if head.status == 101:
            raise MalformedMessage("the server switches protocols (101) although nobody asked")
        interim += 1
    raise MessageTooLarge(f"more than {INTERIM_LIMIT} interim responses came before the answer")


async def _read_block(reader: WireReader, data: bytes) -> bytes:
    """Read on after `data` up to the first empty line, and return what stands before it."""
    end, rest = _find_end(data, 0)
    if end < 0:
        data, end, rest = await _gather_block(reader, data)
    if end > HEAD_LIMIT:
        raise _too_large_head()
    reader.unread(data[rest:])
    return data[:end]


async def _gather_block(reader: WireReader, data: bytes) -> tuple[bytes, int, int]:
    """Read on until an empty line has come; return all that has come, and what `_find_end` says of it."""
    gathered = bytearray()
    while data:
        searched = max(0, len(gathered) - _END_AT_MOST)
        gathered += data
        if searched < len(_START):
            _check_start(gathered)
        end, rest = _find_end(gathered, searched)
        if end >= 0:
            return bytes(gathered), end, rest
        if len(gathered) >= HEAD_LIMIT + _END_AT_MOST:
            raise _too_large_head()
        data = await reader.receive()
    raise IncompleteMessage(
        f"{reader.describe_end()} {'in the middle of the head' if gathered else 'before the answer'}"
    )


def _find_end(data: bytes | bytearray, start: int) -> tuple[int, int]:
    """Find the first empty line: where the lines before it end, and where the rest starts; -1 without one."""
    crlf = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start, crlf + 1 if crlf >= 0 else len(data))
    if bare >= 0:
        end, rest = bare, bare + 2
    elif crlf >= 0:
        end, rest = crlf, crlf + 3
    else:
        return -1, -1
    if end and data[end - 1] == 0x0D:
        end -= 1
    return end, rest


def _check_start(data: bytearray) -> None:
    """Refuse another protocol at its first bytes: its server may well wait for us to speak first."""
    if not data.startswith(_START[: len(data)]):
        raise MalformedMessage(f"the answer is not HTTP/1.x: {shown(bytes(data[:LINE_LIMIT]))}")


def _too_large_head() -> MessageTooLarge:
    return MessageTooLarge(f"the head is larger than {HEAD_LIMIT // 1024} KiB")


# --- RFC 9112 section 6: how long the body is


class Framing(Enum):
    """How the end of a body is known; a known length is given as an int instead."""

    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"


def choose_framing(head: Head, method: str) -> int | Framing:
    """Return the body's length in bytes, or how else its end is known (RFC 9112 section 6.3).

    Raises:
        MalformedMessage: a Transfer-Encoding other than `chunked`, or a Content-Length that is no number or
            contradicts another one.
    """
    if method == "HEAD":
        return 0
    if head.framing is None:
        head.framing = _find_framing(head.status, head.noted)
    return head.framing


def _find_framing(status: int, noted: dict[bytes, list[bytes]]) -> int | Framing:
    if status == 204 or status == 304:
        return 0
    if b"transfer-encoding" in noted:
        codings = b",".join(noted[b"transfer-encoding"])
        if codings.strip(_BLANKS).lower() != b"chunked":
            raise MalformedMessage(f"the transfer coding {shown(codings)} is not chunked")
        return Framing.CHUNKED
    values = noted.get(b"content-length")
    if values is None:
        return Framing.UNTIL_CLOSE
    value = values[0]
    return int(value) if value.isdigit() and len(value) <= 18 and len(values) == 1 else _parse_length(values)


def _parse_length(values: list[bytes]) -> int:
    listed = [value.strip(_BLANKS) for value in b",".join(values).split(b",")]
    if not all(_LENGTH.fullmatch(value) for value in listed):
        raise MalformedMessage(f"the Content-Length {shown(b','.join(values))} is not a length")
    lengths = {int(value.lstrip(b"0") or b"0") for value in listed}
    if len(lengths) > 1:
        raise MalformedMessage(f"the Content-Lengths contradict each other: {shown(b', '.join(values))}")
    return lengths.pop()


# --- RFC 9112 section 9.3: may the connection be used again


def may_persist(head: Head) -> bool:
    """Whether the head allows another request on its connection, provided that the body comes whole.

    Not after `Connection: close`, not with HTTP/1.0 unless it says keep-alive, and not where somebody may see the
    message's end elsewhere: Content-Length and Transfer-Encoding both frame it, HTTP/1.0 says chunked (both section
    6.1), or a 204 announces a body, which it must not have (RFC 9110 section 8.6).
    """
    if head.persists is None:
        head.persists = _find_persistence(head.minor, head.status, head.noted)
    return head.persists


def _find_persistence(minor: int, status: int, noted: dict[bytes, list[bytes]]) -> bool:
    if b"transfer-encoding" in noted and (b"content-length" in noted or minor == 0 or status == 204):
        return False
    if status == 204 and noted.get(b"content-length", [b"0"]) != [b"0"]:
        return False
    wishes = noted.get(b"connection")
    if wishes is None:
        return minor >= 1
    if wishes == _KEEP_ALIVE:
        return True
    options = {option.strip(_BLANKS) for option in b",".join(wishes).lower().split(b",")}
    if b"close" in options:
        return False
    return minor >= 1 or b"keep-alive" in options
