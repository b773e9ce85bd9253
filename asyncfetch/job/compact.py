"""Rewrite a results file to one line for each position: the last one counts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from asyncfetch.job.errors import JournalError, reason_of
from asyncfetch.job.jobfile import compacted_file_of
from asyncfetch.job.journal import open_journal
from asyncfetch.job.recorded import Positions, lines_of, position_of

__all__ = ["Compacted", "compact"]


class Compacted(NamedTuple):
    """What `compact` has done: lines that were dropped, and lines that are there now."""

    dropped: int
    kept: int


def compact(results: str | os.PathLike[str]) -> Compacted:
    """Rewrite a results file; it is replaced as a whole when the new one is on the disk, or not at all.

    Raises:
        JournalError: it cannot be read or written, it is not one of ours, or a job is writing it.
    """
    name = os.fspath(results)
    if not Path(name).is_file():
        raise JournalError(name, "is not a file" if Path(name).exists() else "does not exist")
    with open_journal(name, go_on=True) as journal:  # for its lock, and to see that every line is ours
        assert journal.recorded is not None, "it was opened to go on"
        path, end = Path(name).resolve(), journal.recorded.end
        journal.recorded = None
        try:
            last = _last_of_repeated(path, end)
            if not last and path.stat().st_size == end:
                return Compacted(0, sum(1 for _ in _lines(path, end)))
            return _rewrite(path, end, last)
        except OSError as error:
            raise JournalError(name, f"cannot be rewritten: {reason_of(error)}") from error


def _lines(path: Path, end: int) -> Iterator[tuple[int, bytes]]:
    for lines in lines_of(path, end):
        for line in lines:
            yield position_of(line), line


def _last_of_repeated(path: Path, end: int) -> dict[int, int]:
    """Return the number of the last line of each position that has several."""
    seen, last = Positions(), dict[int, int]()
    for number, (position, _) in enumerate(_lines(path, end)):
        if position in seen:
            last[position] = number
        else:
            seen.add(position)
    return last


def _rewrite(path: Path, end: int, last: dict[int, int]) -> Compacted:
    temporary = compacted_file_of(path)
    temporary.unlink(missing_ok=True)
    dropped = kept = 0
    try:
        with temporary.open("xb") as file:
            os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
            for number, (position, line) in enumerate(_lines(path, end)):
                if last.get(position, number) == number:
                    file.write(line + b"\n")
                    kept += 1
                else:
                    dropped += 1
            _sync(file)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return Compacted(dropped, kept)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
