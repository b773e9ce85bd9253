"""`asyncfetch compact FILE`: one line for each position, the last one."""

from __future__ import annotations

from asyncfetch.cli.exits import Exit, UsageProblem, tell
from asyncfetch.job import JobError
from asyncfetch.job.compact import compact as rewrite

__all__ = ["compact"]


def compact(results: str) -> int:
    """Rewrite a results file; return the exit status.

    Raises:
        UsageProblem: it cannot be done.
    """
    try:
        done = rewrite(results)
    except JobError as error:
        raise UsageProblem(str(error)) from error
    tell(f"{done.kept:,} lines kept, {done.dropped:,} dropped: {results}")
    return Exit.OK
