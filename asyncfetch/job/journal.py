"""The results file: one JSON line for every result, appended in batches, whole lines only.

It knows records and one descriptor. When to write and when to sync, `recorder` decides; both are called in a worker
thread, for a disk, a pipe or whoever reads it may be slow.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

import msgspec

from asyncfetch.job.errors import JournalError, JournalExists, OutputClosed, reason_of
from asyncfetch.job.jobfile import read_job_file
from asyncfetch.job.lock import Locked, holder_of, is_still_there, lock
from asyncfetch.job.recorded import Recorded, read_back
from asyncfetch.record import ErrorRecord, Record

__all__ = ["Journal", "open_journal"]

_ENCODER = msgspec.json.Encoder()
# C1 controls, line separators, bidi and other invisible format characters: JSON may hold them as they are
_ACTIVE = re.compile(
    "[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


class Journal:
    """A results file that is open for this run, or stdout. Made by `open_journal`.

    Nothing that is in the file is touched before `begin`; a file that was created and never begun is removed again.

    Attributes:
        name: as it was given; `-` is stdout.
        file: (device, inode) of a regular file, or None.
        recorded: what it says already, if the job is to go on.
    """

    def __init__(self, name: str, output: _Output, recorded: Recorded | None = None) -> None:
        self.name = name
        self.file = output.file
        self.recorded = recorded
        self._output = output
        self._end = 0 if recorded is None else recorded.end
        self._begun = self._dirty = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def begin(self) -> None:
        """Empty the file, or cut off a torn last line if the job goes on: the run starts.

        Raises:
            JournalError: it cannot be cut.
        """
        self._begun = True
        try:
            self._output.cut(self._end)
        except OSError as error:
            raise self._error(error) from error

    def write(self, records: Sequence[Record]) -> None:
        """Append a line for each record.

        Raises:
            OutputClosed: nobody reads the pipe or stdout any more.
            JournalError: not all could be written. As many lines as its `written` says are in the file, whole;
                what there was of a further one has been cut off again.
        """
        lines = _encoded(records)
        done = 0
        try:
            while done < len(lines):
                done += self._output.write(memoryview(lines)[done:])
        except BrokenPipeError as error:
            raise OutputClosed(self.name, "is closed: nobody reads it any more") from error
        except OSError as error:
            whole = lines.rfind(b"\n", 0, done) + 1
            with contextlib.suppress(OSError):
                self._output.cut(self._end + whole)
            raise self._error(error, written=lines.count(b"\n", 0, whole)) from error
        finally:
            self._dirty = True
        self._end += done

    def sync(self) -> None:
        """Wait until the disk has what was written, if it is a regular file.

        Raises:
            JournalError: the disk does not take it.
        """
        if self.file is None or not self._dirty:
            return
        self._dirty = False
        try:
            self._output.sync()
        except OSError as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Close the file. Can be called again."""
        self._output.close(remove=not self._begun)

    def _error(self, error: OSError, written: int = 0) -> JournalError:
        return JournalError(self.name, f"cannot be written: {reason_of(error)}", written=written)


def open_journal(
    name: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    go_on: bool = False,
    try_again: Callable[[str], bool] | None = None,
    stdout: BinaryIO | None = None,
) -> Journal:
    """Open a results file. What is no regular file (a pipe, a device, stdout) is simply written to.

    A regular file is locked: as long as the journal is open, nobody else can open it here.

    Args:
        name: its path, or `-`.
        overwrite: a regular file may exist, and will lose what it contains.
        go_on: a regular file may exist, is read back, and will be appended to.
        try_again: says of an error code whether it deserves another request, when the job goes on.
        stdout: the binary stream for `-`; it stays open.

    Raises:
        JournalExists: it exists, and neither `overwrite` nor `go_on` is True.
        JournalError: it cannot be opened or created, somebody else is writing it, or it is not one of ours.
    """
    name = os.fspath(name)
    if name == "-":
        if stdout is None:
            raise JournalError(name, "is not open")
        return Journal(name, _Output.on(stdout))
    try:
        output = _Output.open(Path(name), may_exist=overwrite or go_on)
    except Locked as error:
        raise JournalError(name, f"is in use: {_holder(name)} is writing it") from error
    except FileExistsError as error:
        raise JournalExists(name, "exists; go on with it (-c), name another one, or allow --overwrite") from error
    except FileNotFoundError as error:
        raise JournalError(name, "cannot be created: there is no such directory") from error
    except (OSError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise JournalError(name, f"cannot be opened: {reason}") from error
    if not go_on or output.file is None:
        return Journal(name, output)
    try:
        return Journal(name, output, read_back(name, Path(name), try_again))
    except JournalError:
        output.close(remove=False)
        raise


def _holder(name: str) -> str:
    """Name the process that has the lock; where the system does not tell, the job file does."""
    pid = holder_of(Path(name))
    if pid is None:
        with contextlib.suppress(JournalError):
            remembered = read_job_file(name)
            pid = remembered.pid if remembered is not None else None
    return "another process" if pid is None else f"process {pid}"


class _Output:
    """Where the bytes go: a descriptor, or a stream that has none.

    Attributes:
        file: (device, inode) of a regular file, or None.
    """

    def __init__(
        self, descriptor: int, *, stream: BinaryIO | None = None, path: Path | None = None, is_new: bool = False
    ) -> None:
        """Take over a descriptor.

        Args:
            descriptor: -1 for a stream without one.
            stream: whose descriptor it is, and who will close it.
            path: of a regular file that is ours to cut.
            is_new: we have created it.
        """
        self._descriptor = descriptor
        self._stream = stream
        self._path = path
        self._is_new = is_new
        found = os.fstat(descriptor) if descriptor >= 0 else None
        is_regular = found is not None and stat.S_ISREG(found.st_mode)
        self.file = (found.st_dev, found.st_ino) if found is not None and is_regular else None

    @classmethod
    def on(cls, stream: BinaryIO) -> Self:
        """Write to a stream."""
        try:
            stream.flush()
            return cls(stream.fileno(), stream=stream)
        except (OSError, ValueError, AttributeError):
            return cls(-1, stream=stream)

    @classmethod
    def open(cls, path: Path, *, may_exist: bool) -> Self:
        """Open a file for appending and lock it; create it if it is not there."""
        flags = os.O_WRONLY | os.O_CLOEXEC
        is_new = not path.exists()
        if not is_new and not path.is_file():
            return cls(os.open(path, flags))
        flags |= os.O_APPEND | os.O_CREAT | (0 if may_exist else os.O_EXCL)
        descriptor = os.open(path, flags, 0o666)
        try:
            lock(descriptor)
            if is_still_there(descriptor, path):
                return cls(descriptor, path=path, is_new=is_new)
        except Locked:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return cls.open(path, may_exist=may_exist)

    def write(self, lines: memoryview) -> int:
        """Write the beginning of some lines, at least a byte, and return how much."""
        if self._descriptor < 0:
            assert self._stream is not None, "without a descriptor there is a stream"
            self._stream.write(lines)
            self._stream.flush()
            return len(lines)
        while True:
            try:
                return os.write(self._descriptor, lines)
            except BlockingIOError:  # somebody who shares stdout with us wants it so
                select.select((), (self._descriptor,), ())

    def cut(self, end: int) -> None:
        """Let a file of ours end after so many bytes."""
        if self._path is not None:
            os.ftruncate(self._descriptor, end)

    def sync(self) -> None:
        """Wait for the disk."""
        os.fsync(self._descriptor)

    def close(self, *, remove: bool) -> None:
        """Close what is ours to close, and remove it if it is new and that is wanted."""
        if self._stream is None and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            if self._path is not None and self._is_new and remove:
                self._path.unlink()


def _encoded(records: Sequence[Record]) -> bytes:
    """Encode a line for each record; what a terminal obeys, or takes for a line's end, stands in it escaped."""
    try:
        lines = _ENCODER.encode_lines(records)
    except UnicodeEncodeError:
        lines = _ENCODER.encode_lines([_clean(record) for record in records])
    if lines.isascii() and b"\x7f" not in lines:
        return lines
    return _ACTIVE.sub(_escape, lines.decode()).encode()


def _escape(active: re.Match[str]) -> str:
    units = active[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _clean(value: Any) -> Any:
    """Return a record whose text, or a text that, can be written as UTF-8: lone surrogates are escaped."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, Record | ErrorRecord):
        return type(value)(**{name: _clean(getattr(value, name)) for name in value.__struct_fields__})
    return value
