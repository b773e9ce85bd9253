"""What has become of a run: the counts that an exit status and a closing sentence are made from."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from asyncfetch.job.errors import JobError
from asyncfetch.result import Result

__all__ = ["JobOutcome"]


class JobOutcome(msgspec.Struct):
    """What a run has done. Only what is recorded counts; without a results file, every result.

    Attributes:
        ok: results that are ok.
        failed: results that are not.
        errors: how often each code ended a result.
        earlier: entries that an earlier run has recorded for good.
        earlier_failed: those of them that are not ok.
        saved: bodies that have their file.
        saved_bytes: bytes in them.
        skipped: of those that are ok, what was not fetched because its file was there.
        unchanged: of those that are ok, what has not changed since the run that is refreshed.
        entries: entries in the input, or None if it was not read to its end.
        stopped_by: why it was stopped before the end of the list, as `Job.stop` was told; one of `ends`'; or None.
        error: what kept the run from going on, or a source from being read to its end; or None.
    """

    ok: int = 0
    failed: int = 0
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    earlier: int = 0
    earlier_failed: int = 0
    saved: int = 0
    saved_bytes: int = 0
    skipped: int = 0
    unchanged: int = 0
    entries: int | None = None
    stopped_by: str | None = None
    error: JobError | None = None

    @property
    def total(self) -> int:
        """Results in all."""
        return self.ok + self.failed

    @property
    def missing(self) -> int | None:
        """Entries without a result, or None if nobody knows how many there are."""
        return None if self.entries is None else self.entries - self.earlier - self.total

    def count(self, results: Sequence[Result]) -> None:
        """Count some results."""
        codes = [result.error.code for result in results if result.error is not None]
        self.ok += len(results) - len(codes)
        self.failed += len(codes)
        for code in dict.fromkeys(codes):
            self.errors[code] = self.errors.get(code, 0) + codes.count(code)

    def count_saved(self, size: int) -> None:
        """Count a body of so many bytes that was saved."""
        self.saved += 1
        self.saved_bytes += size
