"""`asyncfetch get SOURCE...`: a list of URLs, fetched, recorded and shown."""

from __future__ import annotations

import json
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import anyio

from asyncfetch.cli.exits import Exit, UsageProblem, leave_at_once
from asyncfetch.cli.options import ClientOptions
from asyncfetch.cli.running import raise_open_file_limit, run_in_loop
from asyncfetch.display import (
    Ending,
    Examples,
    Mode,
    choose_progress,
    is_terminal,
    open_console,
    open_view,
    say,
    summary,
    summary_json,
)
from asyncfetch.display.text import as_text
from asyncfetch.job import (
    MAX_FAILURES,
    Bodies,
    Job,
    JobOutcome,
    Journal,
    OutputClosed,
    Sources,
    open_journal,
    open_sources,
)

if TYPE_CHECKING:
    from asyncfetch import Client, Result

__all__ = ["Get", "get"]

GRACE = 5.0  # seconds that requests in flight get after the first signal
_AT_ONCE = 0.4  # seconds that flushing gets after the second
_RESULTS = "results.jsonl"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Get:
    """The options of `get` that do not concern the client."""

    sources: tuple[str, ...]
    input_file: tuple[str, ...] = ()
    output: str | None = None
    output_dir: str | None = None
    overwrite: bool = False
    fail_early: bool = False
    max_failures: int | None = None
    quiet: bool = False
    verbose: bool = False
    progress: Mode = "auto"
    color: bool = True
    as_json: bool = False

    def specs(self) -> list[str]:
        """Name all sources in their order.

        Raises:
            UsageProblem: there is none.
        """
        specs = [*self.sources, *self.input_file]
        if not specs:
            raise UsageProblem("nothing to fetch: give URLs, files of URLs, or - for the standard input")
        return specs

    def results_name(self) -> str | None:
        """Say where the records go: a file, `-` for stdout, or None for nowhere.

        Raises:
            UsageProblem: records and summary would both go to stdout.
        """
        if self.as_json and self.output == "-":
            raise UsageProblem("--json writes the summary to stdout, so the records need a file: use -o FILE")
        if self.output is not None:
            return self.output
        if self.output_dir is not None:
            return str(Path(self.output_dir, _RESULTS))
        return None if self.as_json or is_terminal(sys.stdout) else "-"


def get(options: Get, client_options: ClientOptions) -> int:
    """Fetch the list; return the exit status.

    Raises:
        UsageProblem: it cannot begin.
        JobError: it cannot begin, because of a source or an output.
    """
    raise_open_file_limit()
    results_name = options.results_name()
    client = client_options.open_client()
    with open_sources(options.specs(), sys.stdin.buffer, method=client_options.method) as sources:
        bodies = None if options.output_dir is None else Bodies(options.output_dir)
        try:
            journal = _open_journal(results_name, options)
            try:
                run = _Run(options, client, sources, journal, bodies)
                return run_in_loop(run.run, client_options.loop)
            finally:
                if journal is not None:
                    journal.close()
        finally:
            if bodies is not None:
                bodies.close()


def _open_journal(name: str | None, options: Get) -> Journal | None:
    if name is None:
        return None
    return open_journal(name, overwrite=options.overwrite, stdout=sys.stdout.buffer)


class _Run:
    """One run of the command: the job and what is shown of it, side by side."""

    def __init__(
        self, options: Get, client: Client, sources: Sources, journal: Journal | None, bodies: Bodies | None
    ) -> None:
        progress = choose_progress("none" if options.quiet else options.progress, sys.stderr)
        self._options = options
        self._client = client
        self._sources = sources
        self._journal = journal
        self._bodies = bodies
        self._console = open_console(sys.stderr, color=options.color)
        self._view = open_view(
            progress.shown, client.stats, console=self._console, clock=monotonic, total=lambda: sources.total
        )
        self._examples = Examples()
        self._shows_failures = options.verbose or (journal is None and not options.quiet)
        self._signal: int | None = None
        self._started = monotonic()
        if progress.remark:
            self._say(progress.remark)

    async def run(self) -> int:
        """Run the job, show it, and close with the tables; return the exit status."""
        async with self._client:
            job = Job(
                self._client,
                self._sources,
                journal=self._journal,
                bodies=self._bodies,
                max_failures=1 if self._options.fail_early else self._options.max_failures,
                on_result=self._note,
            )
            async with anyio.create_task_group() as tasks:
                await tasks.start(self._watch_signals, job)
                tasks.start_soon(self._view.run)
                outcome = await job.run()
                tasks.cancel_scope.cancel()
        self._close_with(outcome)
        return self._status(outcome)

    def _note(self, result: Result) -> None:
        if result.error is not None:
            self._examples.add(result)
            if self._shows_failures:
                self._view.failure(result)

    # --- signals

    async def _watch_signals(self, job: Job, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """The first signal ends the job in good order, the second at once."""
        with anyio.open_signal_receiver(*_SIGNALS) as signals:
            task_status.started()
            async for signum in signals:
                if self._signal is None:
                    self._signal = signum
                    self._view.note(_describe_interruption(self._client.stats.total.in_flight))
                    job.stop(signum.name, GRACE)
                else:
                    job.stop(signum.name, 0.0)
                    _leave_soon(signum)

    # --- the end

    def _close_with(self, outcome: JobOutcome) -> None:
        ending = Ending(
            stats=self._client.stats,
            seconds=monotonic() - self._started,
            not_done=outcome.missing,
            examples=self._examples,
        )
        if self._options.as_json:
            sys.stdout.write(json.dumps(summary_json(ending)) + "\n")
        if isinstance(outcome.error, OutputClosed):
            return
        if not self._options.quiet:
            self._show_closing(outcome, ending)
        if outcome.error is not None:
            self._say(f"asyncfetch: {outcome.error}")

    def _show_closing(self, outcome: JobOutcome, ending: Ending) -> None:
        if outcome.entries == 0:
            self._say("no URLs in the input")
            return
        say(self._console, summary(ending, self._console))
        for line in self._remarks(outcome):
            self._say(line)

    def _remarks(self, outcome: JobOutcome) -> list[str]:
        """Say where everything is, and why the job ended before the list did."""
        remarks = []
        if outcome.stopped_by == MAX_FAILURES:
            limit = "--fail-early" if self._options.fail_early else "--max-failures"
            remarks.append(f"stopped by {limit}: URLs without a result have no record")
        elif outcome.stopped_by is not None:
            remarks.append(f"interrupted by {outcome.stopped_by}: URLs that were not finished have no record")
        if self._journal is not None and self._journal.name != "-":
            remarks.append(f"records: {self._journal.name}")
        if self._bodies is not None:
            remarks.append(f"bodies: {self._bodies.directory} ({outcome.saved} files)")
        if self._journal is None and not self._options.as_json:
            remarks.append("nothing was kept: -o results.jsonl keeps a record of every URL, -P DIR the bodies too")
        return remarks

    def _status(self, outcome: JobOutcome) -> int:
        if isinstance(outcome.error, OutputClosed):
            return Exit.PIPE_CLOSED
        if outcome.error is not None:
            return Exit.FAILED
        if self._signal is not None:
            return Exit.TERMINATED if self._signal == signal.SIGTERM else Exit.INTERRUPTED
        if outcome.stopped_by is not None:
            return Exit.STOPPED
        return Exit.NOT_OK if outcome.failed else Exit.OK

    def _say(self, line: str) -> None:
        say(self._console, as_text(line, at_most=2000))


def _describe_interruption(in_flight: int) -> str:
    if not in_flight:
        return "stopping"
    requests = "request" if in_flight == 1 else "requests"
    return f"stopping: {in_flight} {requests} in flight have {GRACE:g} s to finish; once more to leave at once"


def _leave_soon(signum: int) -> None:
    """Make sure that the process is gone soon, whatever hangs."""
    timer = threading.Timer(_AT_ONCE, leave_at_once, [signum])
    timer.daemon = True
    timer.start()
