"""What a results file says: read back line by line, for `-c`, and kept as bitmaps.

10,000,000 lines cost seconds and a few megabytes: a line of ours begins with `{"v":1,"n":`, its position stands
there, and `,"ok":false,` can stand nowhere but outside of a string, so no line needs to be decoded as JSON.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from asyncfetch.errors import shown
from asyncfetch.job.errors import JournalError, reason_of
from asyncfetch.record import Record

__all__ = ["Positions", "Recorded", "lines_of", "position_of", "read_back", "whole_lines"]

_BLOCK = 1 << 20
_START = b'{"v":1,"n":'
_BETWEEN = b"}\n" + _START
_NOT_OK = b',"ok":false,'
_CODE = re.compile(rb',"error":\{"code":"([a-z0-9_.]+)"')
_LONGEST = 16 << 20  # bytes of a line: ten redirects of 64 KiB, escaped
_MOST = 1 << 33  # a position beyond that is none of ours; its bit would cost a gigabyte


class Positions:
    """A set of positions in the input, one bit for each."""

    __slots__ = ("bits",)

    def __init__(self) -> None:
        self.bits = bytearray(4096)

    def __contains__(self, position: int) -> bool:
        byte = position >> 3
        return byte < len(self.bits) and bool(self.bits[byte] >> (position & 7) & 1)

    def __len__(self) -> int:
        return int.from_bytes(self.bits, "little").bit_count()

    def add(self, position: int) -> None:
        """Take a position in."""
        byte = position >> 3
        if byte >= len(self.bits):
            self.bits.extend(bytes(max(len(self.bits), byte + 1 - len(self.bits))))
        self.bits[byte] |= 1 << (position & 7)

    def discard(self, position: int) -> None:
        """Leave a position out."""
        if position in self:
            self.bits[position >> 3] &= ~(1 << (position & 7))


class Recorded:
    """What a results file says; the last record of a position counts.

    Attributes:
        path: the file.
        done: positions that need no further request.
        failed: those of them that are not ok.
        end: bytes of whole lines; what comes after is a torn line.
        lines: how many.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done = Positions()
        self.failed = Positions()
        self.end = 0
        self.lines = 0

    def make_room(self, position: int) -> None:
        """Let both bitmaps reach to a position."""
        for positions in (self.done, self.failed):
            if position not in positions:
                positions.add(position)
                positions.discard(position)

    def is_ok(self, position: int) -> bool:
        """Whether the last record of a position is that of an ok response: a saved body, if any, is recorded."""
        return position in self.done and position not in self.failed

    def urls(self, first: int, last: int) -> dict[int, str]:
        """Look up which URLs have been recorded for some positions.

        Raises:
            OSError: the file cannot be read any more.
        """
        found: dict[int, str] = {}
        for lines in lines_of(self.path, self.end):
            for line in lines:
                if first <= position_of(line) <= last:
                    found.setdefault(position_of(line), msgspec.json.decode(line, type=Record).url)
        return found


def read_back(name: str, path: Path, try_again: Callable[[str], bool] | None = None) -> Recorded:
    """Read a results file.

    Args:
        name: of the file, as it was given.
        path: where it is.
        try_again: says of an error code whether such a position needs another request; None: no position does.

    Raises:
        JournalError: it cannot be read, or has a line that is not one of ours.
    """
    recorded = Recorded(path)
    try:
        for lines in lines_of(path):
            _note(recorded, lines, try_again)
    except _Foreign as error:
        raise JournalError(name, f"has no record of ours in line {recorded.lines + error.line}{error}") from error
    except OSError as error:
        raise JournalError(name, f"cannot be read: {reason_of(error)}") from error
    return recorded


class _Foreign(Exception):
    """A line that is not ours.

    Attributes:
        line: its number in its batch, from 1.
    """

    def __init__(self, line: int, content: bytes) -> None:
        begin = f", but {shown(content[:40])}" if content.strip() else ", which is empty"
        super().__init__(f"{begin}: it is no results file")
        self.line = line


def lines_of(path: Path, end: int | None = None) -> Iterator[list[bytes]]:
    """Give the whole lines of a results file in batches, without their ends; a torn line at the end is left out.

    Raises:
        _Foreign: what stands at the end is not the beginning of a line of ours, or a line is endless.
        OSError: the file cannot be read.
    """
    tail, at = b"", 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK if end is None else min(_BLOCK, end - at)):
            at += len(block)
            lines = (tail + block).split(b"\n")
            tail = lines.pop()
            yield lines
            if len(tail) > _LONGEST or not _may_begin(tail):
                raise _Foreign(1, tail)


def whole_lines(name: str, path: Path) -> Iterator[list[bytes]]:
    """Give the lines of a results file that is only read, as `lines_of`.

    Raises:
        JournalError: it cannot be read, or is none.
    """
    try:
        yield from lines_of(path)
    except _Foreign as error:
        raise JournalError(name, "is not one, or is damaged at its end") from error
    except OSError as error:
        raise JournalError(name, f"cannot be read: {reason_of(error)}") from error


def _may_begin(tail: bytes) -> bool:
    return tail.startswith(_START) or _START.startswith(tail)


def position_of(line: bytes) -> int:
    """Return the position that a line of ours is about.

    Raises:
        ValueError: it is not one of ours.
    """
    digits = line[11 : line.index(b",", 11)]
    if not line.startswith(_START) or line[-1:] != b"}" or not digits.isdigit() or not 0 < int(digits) <= _MOST:
        raise ValueError("not a record")
    return int(digits)


def _note(recorded: Recorded, lines: list[bytes], try_again: Callable[[str], bool] | None) -> None:
    """Take note of some whole lines.

    Raises:
        _Foreign: one of them is not ours.
    """
    positions = _positions_of(lines)
    recorded.make_room(max(positions, default=0))
    done, failed = recorded.done.bits, recorded.failed.bits
    for position, line in zip(positions, lines, strict=True):
        byte, bit = position >> 3, 1 << (position & 7)
        if _NOT_OK not in line:
            done[byte] |= bit
            if failed[byte] & bit:
                failed[byte] ^= bit
        elif try_again is not None and try_again(_code_of(line)):
            done[byte] &= ~bit
            failed[byte] &= ~bit
        else:
            done[byte] |= bit
            failed[byte] |= bit
    recorded.lines += len(lines)
    recorded.end += sum(map(len, lines)) + len(lines)


def _positions_of(lines: list[bytes]) -> list[int]:
    """Return the position of each line; only if there is anything odd, they are looked at one by one.

    Raises:
        _Foreign: one of them is not ours.
    """
    content = b"\n".join(lines)
    if content[:11] == _START and content.endswith(b"}") and content.count(_BETWEEN) == len(lines) - 1:
        with contextlib.suppress(ValueError):
            positions = [int(line[11 : line.index(b",", 12, 23)]) for line in lines]
            if min(positions) > 0 and max(positions) <= _MOST:
                return positions
    for number, line in enumerate(lines, 1):
        try:
            position_of(line)
        except ValueError:
            raise _Foreign(number, line) from None
    return []


def _code_of(line: bytes) -> str:
    found = _CODE.search(line)
    return found[1].decode() if found else ""
