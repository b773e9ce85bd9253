"""What a run keeps beside its results file, so that whatever interrupts it, `-c` can finish it.

The results file itself is the journal: what has a line is done (`recorded`). Beside it are the job file
(`jobfile`), with the fingerprint of the input and the settings, and, with bodies, the names of those that are just
being saved (`saving`), and what it takes to go on with large ones that are not whole (`partials`). All of it is
guarded by the lock of the results file (`lock`).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self

from asyncfetch.errors import shown
from asyncfetch.job.errors import SourceError
from asyncfetch.job.fingerprint import Covered, Fingerprint, InputDiffers
from asyncfetch.job.jobfile import JobFile, compacted_file_of, missing_job_file, read_job_file
from asyncfetch.job.partials import Partials
from asyncfetch.job.saving import Saving, remove_orphans
from asyncfetch.url import redacted

if TYPE_CHECKING:
    from asyncfetch.job.bodies import Bodies
    from asyncfetch.job.journal import Journal
    from asyncfetch.job.sources import Sources

__all__ = ["Safeguard"]

_SAME = "is not the list that the job was begun with"


class Safeguard:
    """The files beside one results file during one run. `begin` and what follows is called in worker threads."""

    def __init__(
        self, journal: Journal, sources: Sources, settings: dict[str, Any], bodies: Bodies | None = None
    ) -> None:
        """Look at what an earlier run has left, and let the sources leave out what is done. Nothing is changed yet.

        It may take seconds, for as much of the input is read as was read before.

        Args:
            journal: a regular file, just opened.
            sources: the list, not read yet.
            settings: for the job file: what JSON can hold, and no secret.
            bodies: where bodies are saved.

        Raises:
            SourceError: the list is not the one that the job was begun with, or cannot be read.
            JournalError: the job file is missing, or cannot be read.
        """
        self._journal = journal
        self._bodies = bodies
        self._saving: Saving | None = None
        self._partials = Partials(journal.name)
        self._is_new = journal.recorded is None or not journal.recorded.lines
        fingerprint = Fingerprint(Covered() if self._is_new else _covered_by(journal))
        try:
            sources.go_on(None if self._is_new or not journal.recorded else journal.recorded.done, fingerprint)
        except InputDiffers as error:
            raise _describe(error, journal) from error
        self._job_file = JobFile(journal.name, settings, fingerprint)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def begin(self) -> None:
        """Clear up after runs that were killed, and write the job file: the run starts.

        Raises:
            JournalError: the results file or one beside it cannot be written.
        """
        if self._is_new:
            self._job_file.start_anew()
        self._journal.begin()
        with contextlib.suppress(OSError):
            compacted_file_of(self._journal.name).unlink()
        if self._bodies is not None:
            recorded = self._journal.recorded
            if recorded is not None:
                remove_orphans(self._journal.name, self._bodies.directory, recorded.is_ok)
            self._partials.load(lambda index: recorded is not None and not recorded.is_ok(index))
            self._bodies.partials = self._partials
            self._bodies.clear_up()
            self._saving = Saving(self._journal.name)
            self._bodies.note = self._saving.note
        self._job_file.save()

    def cover(self, index: int) -> None:
        """Make sure that whoever goes on can compare the entry of a record that is to be written.

        Raises:
            JournalError: the job file cannot be written.
        """
        self._job_file.cover(index)

    def recorded(self) -> None:
        """Forget which bodies were being saved: their records have been written."""
        if self._saving is not None:
            self._saving.recorded()

    def close(self) -> None:
        """Close and remove what is of no use to anybody but a run that was killed."""
        if self._bodies is not None:
            self._bodies.leave_all()
            self._partials.close()
        if self._saving is not None:
            self._saving.close()


def _covered_by(journal: Journal) -> Covered:
    """Return what the earlier run has read.

    Raises:
        JobFileError: nobody knows.
    """
    remembered = read_job_file(journal.name)
    if remembered is None:
        raise missing_job_file(journal.name)
    return remembered.input


def _describe(error: InputDiffers, journal: Journal) -> SourceError:
    """Say where the input is another one: the line, if a record tells, else the lines among which it is."""
    if not error.entries:
        return SourceError(error.source, f"{_SAME}: it is shorter now")
    (first, _, begin), (last, source, end) = error.entries[0], error.entries[-1]
    was = _urls(journal, first, last)
    for index, source, line in error.entries:
        now = redacted(line.text)
        if was.get(index, now) != now and source:
            return SourceError(source, f"{_SAME}: line {line.number} is {shown(now)} and was {shown(was[index])}")
        if was.get(index, now) != now:
            return SourceError(now, f"is not what entry {index} was when the job was begun: {shown(was[index])}")
    return SourceError(source or "the list", f"{_SAME}: lines {begin.number} to {end.number} are not all the same")


def _urls(journal: Journal, first: int, last: int) -> dict[int, str]:
    with contextlib.suppress(OSError):
        return {} if journal.recorded is None else journal.recorded.urls(first, last)
    return {}
