"""The job file, `<results>.job.json`: what must be the same when a job goes on, and what it is to go on with.

It holds the fingerprint of the input as far as it was read, and the settings that the caller puts in; no secret is
to be among them. It is written whole, under a temporary name, and renamed. No record is written before the
fingerprint of its entry is here: `cover` sees to that, about every 10,000 records, for so far is read ahead.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import msgspec

from asyncfetch.job.errors import JobFileError, reason_of
from asyncfetch.job.fingerprint import Covered, Fingerprint
from asyncfetch.job.opening import open_patiently

__all__ = ["JobFile", "Remembered", "compacted_file_of", "job_file_of", "missing_job_file", "read_job_file"]

_VERSION = 1
_SUFFIX = ".job.json"
_TEMPORARY = ".part"


class Remembered(msgspec.Struct, frozen=True):
    """What a job file says.

    Attributes:
        v: 1.
        pid: the process that has written it.
        settings: as they were put in.
        input: what has been read of the input.
    """

    v: int
    pid: int
    settings: dict[str, Any]
    input: Covered


def job_file_of(results: str | os.PathLike[str]) -> Path:
    """Return where the job file of a results file is."""
    return Path(os.fspath(results) + _SUFFIX)


def compacted_file_of(results: str | os.PathLike[str]) -> Path:
    """Return where a results file is being rewritten."""
    return Path(os.fspath(results) + ".compact.part")


def read_job_file(results: str | os.PathLike[str]) -> Remembered | None:
    """Read the job file of a results file; None if there is none.

    Raises:
        JobFileError: it cannot be read, or is not one.
    """
    path = job_file_of(results)
    try:
        remembered = msgspec.convert(json.loads(path.read_bytes()), Remembered)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JobFileError(str(path), f"cannot be read: {reason_of(error)}") from error
    except ValueError as error:
        raise JobFileError(str(path), "is not a job file, or is damaged") from error
    if remembered.v != _VERSION:
        raise JobFileError(str(path), "was written by another version of asyncfetch")
    return remembered


def missing_job_file(results: str | os.PathLike[str]) -> JobFileError:
    """Return why a results file with records in it cannot be gone on with if it has no job file."""
    return JobFileError(
        str(job_file_of(results)),
        "is missing, so nobody knows whether the list is still the same: begin anew with another -o",
    )


class JobFile:
    """The job file of this run. Who has the lock of the results file may write it; not from two threads at once."""

    def __init__(self, results: str | os.PathLike[str], settings: dict[str, Any], fingerprint: Fingerprint) -> None:
        """Prepare it; nothing is written before `start_anew` or `save`."""
        self.path = job_file_of(results)
        self._temporary = self.path.with_name(self.path.name + _TEMPORARY)
        self._settings = settings
        self._fingerprint = fingerprint
        self._saved = -1

    def start_anew(self) -> None:
        """Remove what an earlier job has left, and see that a new one can be written, before its results are lost.

        Raises:
            JobFileError: it cannot be removed, or none can be written here.
        """
        try:
            self._temporary.touch()
            self._temporary.unlink()
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._error(error) from error

    def cover(self, index: int) -> None:
        """Make sure that the entry of a record that is to be written is covered.

        Raises:
            JobFileError: the file cannot be written.
        """
        if index > self._saved:
            self.save()

    def save(self) -> None:
        """Write it with what has been read by now, if that is more than it has.

        Raises:
            JobFileError: it cannot be written; the former one is still there.
        """
        covered = self._fingerprint.covered
        if covered.entries == self._saved:
            return
        remembered = Remembered(_VERSION, os.getpid(), self._settings, covered)
        try:
            self._replace(json.dumps(msgspec.structs.asdict(remembered), default=msgspec.structs.asdict).encode())
        except OSError as error:
            raise self._error(error) from error
        self._saved = covered.entries

    def _replace(self, content: bytes) -> None:
        """Write a new file and let it take the name; a temporary one that a kill has left is removed first."""
        temporary = self._temporary
        temporary.unlink(missing_ok=True)
        descriptor = open_patiently(str(temporary), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            temporary.replace(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def _error(self, error: OSError) -> JobFileError:
        return JobFileError(str(self.path), f"cannot be written: {reason_of(error)}")
