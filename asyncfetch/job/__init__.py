"""A list, run to its end, whatever happens on the way.

- `sources` reads the list; `lines`, `formats` and `sitemaps` know what an entry is, `inputs` and `selection`
  which are wanted; `looking`, `blocks` and `packing` open what a name stands for; `fingerprint` knows the list
  again
- `plan` only looks at it, and counts with `distinct`
- `runner` lets the client fetch it and knows its `ends`; `preparing` looks at every entry first, with the
  records of an `earlier` run
- `recorder` writes in `batches`: bodies through `bodies`, then their lines through `journal`; `filesink` takes a
  body, `names` and `naming` say what it is called, `folders` and `opening` keep to the directory, `saving` and
  `partials` leave no orphan of it and no beginning behind
- `outcome` is what is left to say, `errors` what can end a run
- so that a run can be interrupted by anything, `safeguard` keeps a little more, in the `jobfile`, and `lock`
  lets one job at a time write; `recorded` reads a results file, `compact` tidies it

    with open_sources(["urls.txt"]) as sources, open_journal("results.jsonl") as journal:
        async with Client() as client:
            outcome = await Job(client, sources, journal=journal).run()

Using a name of this list loads its module only: no run waits for what it does not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncfetch.job.bodies import Bodies
    from asyncfetch.job.earlier import Earlier
    from asyncfetch.job.ends import DEADLINE, MAX_FAILURES, TAIL_RATE, Ends, TailSeen
    from asyncfetch.job.errors import JobError, JournalError, JournalExists, OutputClosed, OutputError, SourceError
    from asyncfetch.job.inputs import InputSettings
    from asyncfetch.job.jobfile import Remembered, missing_job_file, read_job_file
    from asyncfetch.job.journal import Journal, open_journal
    from asyncfetch.job.naming import Naming, check_template
    from asyncfetch.job.outcome import JobOutcome
    from asyncfetch.job.plan import Pace, Plan, Planner
    from asyncfetch.job.preparing import Preparer
    from asyncfetch.job.runner import Job
    from asyncfetch.job.safeguard import Safeguard
    from asyncfetch.job.sources import Place, Sources, open_sources

__all__ = [
    "DEADLINE",
    "MAX_FAILURES",
    "TAIL_RATE",
    "Bodies",
    "Earlier",
    "Ends",
    "InputSettings",
    "Job",
    "JobError",
    "JobOutcome",
    "Journal",
    "JournalError",
    "JournalExists",
    "Naming",
    "OutputClosed",
    "OutputError",
    "Pace",
    "Place",
    "Plan",
    "Planner",
    "Preparer",
    "Remembered",
    "Safeguard",
    "SourceError",
    "Sources",
    "TailSeen",
    "check_template",
    "missing_job_file",
    "open_journal",
    "open_sources",
    "read_job_file",
]

# The module of each name above (PEP 562), as in the package itself.
_HOMES = {
    "asyncfetch.job.bodies": "Bodies",
    "asyncfetch.job.earlier": "Earlier",
    "asyncfetch.job.ends": "DEADLINE MAX_FAILURES TAIL_RATE Ends TailSeen",
    "asyncfetch.job.errors": "JobError JournalError JournalExists OutputClosed OutputError SourceError",
    "asyncfetch.job.inputs": "InputSettings",
    "asyncfetch.job.jobfile": "Remembered missing_job_file read_job_file",
    "asyncfetch.job.journal": "Journal open_journal",
    "asyncfetch.job.naming": "Naming check_template",
    "asyncfetch.job.outcome": "JobOutcome",
    "asyncfetch.job.plan": "Pace Plan Planner",
    "asyncfetch.job.preparing": "Preparer",
    "asyncfetch.job.runner": "Job",
    "asyncfetch.job.safeguard": "Safeguard",
    "asyncfetch.job.sources": "Place Sources open_sources",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


if not TYPE_CHECKING:  # a type checker has the names from above, and is to find the misspelt ones

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_HOME[name]), name)
        return found
