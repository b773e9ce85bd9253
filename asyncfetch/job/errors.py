"""Why a run as a whole went wrong, as opposed to one URL of it (`asyncfetch.errors`).

```
JobError
├── SourceError         a source cannot be read, or not to its end
├── OverflowFailed      what waits for busy hosts cannot be kept
├── OutputError         a body cannot be saved
└── JournalError        the results file cannot be opened or written
    ├── JournalExists   it exists, and nobody said that it may be overwritten
    ├── JobFileError    the job file beside it cannot be read or written
    └── OutputClosed    whoever read the records has gone away
```

Each says in one sentence what happened, to what, and where it helps what to do. Foreign names are escaped.
"""

from __future__ import annotations

import os

from asyncfetch.errors import shown

__all__ = [
    "JobError",
    "JobFileError",
    "JournalError",
    "JournalExists",
    "OutputClosed",
    "OutputError",
    "OverflowFailed",
    "SourceError",
    "reason_of",
]

_NAME_AT_MOST = 300


class JobError(Exception):
    """Why a run could not start, or could not go on. The root of every error here.

    Attributes:
        name: the file or directory it happened to, as it was given; `-` is stdin or stdout.
        detail: what happened, a sentence whose subject is `name`.
    """

    noun = ""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(name, detail)
        self.name = name
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.noun}{shown(self.name, _NAME_AT_MOST)} {self.detail}"


class SourceError(JobError):
    """A source cannot be read, or not to its end.

    Raised before the first request where that is possible. A source that fails on the way ends the reading: what
    was read before is fetched.
    """

    @property
    def source(self) -> str:
        """The source, as it was given."""
        return self.name

    def __str__(self) -> str:
        return f"the standard input {self.detail}" if self.name == "-" else super().__str__()


class OverflowFailed(JobError):
    """Entries that wait for busy hosts cannot be kept on disk, so that the list cannot be read on."""

    def __str__(self) -> str:
        return self.detail


class OutputError(JobError):
    """A body cannot be saved, or the directory for bodies cannot be used."""


class JournalError(JobError):
    """The results file cannot be opened or written.

    Attributes:
        written: records of the failed call that are in the file all the same.
    """

    noun = "the results file "

    def __init__(self, name: str, detail: str, *, written: int = 0) -> None:
        super().__init__(name, detail)
        self.written = written

    def __str__(self) -> str:
        return f"the standard output {self.detail}" if self.name == "-" else super().__str__()


class JournalExists(JournalError):
    """The results file exists, and overwriting it was not asked for."""


class JobFileError(JournalError):
    """The job file beside the results file cannot be read or written, so that nothing can be recorded."""

    noun = "the job file "


class OutputClosed(JournalError):
    """Whoever read the records from stdout or a pipe has gone away: nothing to complain about."""


def reason_of(error: OSError) -> str:
    """Return what the system says about an error, without numbers and file names."""
    return (os.strerror(error.errno) if error.errno else str(error)).lower()
