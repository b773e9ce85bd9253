"""`asyncfetch get SOURCE...`: a list of URLs, fetched, recorded and shown."""

from __future__ import annotations

import json
import signal
import sys
import threading
from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc
import msgspec

from asyncfetch.cli.client_options import ClientOptions
from asyncfetch.cli.continuing import command_to_go_on, results_of, try_again
from asyncfetch.cli.exits import Exit, UsageProblem, expect_signals, leave_at_once, put
from asyncfetch.cli.inputs import InputOptions
from asyncfetch.cli.remarks import describe_interruption, describe_nothing, describe_tail, name_stopper
from asyncfetch.cli.running import raise_open_file_limit, run_in_loop
from asyncfetch.cli.saving import SavingOptions
from asyncfetch.display import (
    Ending,
    Examples,
    Mode,
    as_text,
    be_patient,
    choose_progress,
    is_terminal,
    open_console,
    open_view,
    say,
    summary,
    summary_json,
)
from asyncfetch.job import Ends, Job, JobError, OutputClosed, Safeguard, open_journal

if TYPE_CHECKING:
    from asyncfetch import Client, Result
    from asyncfetch.job import Bodies, JobOutcome, Journal, Preparer, Sources, TailSeen

__all__ = ["Get", "get"]

GRACE = 5.0  # seconds that requests in flight get after the first signal
_AT_ONCE = 0.4  # seconds that flushing gets after the second
_FOR_THE_SCREEN = 1.0  # seconds that a screen which takes nothing is waited for after a signal


class Get(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `get` that do not concern the client."""

    sources: tuple[str, ...] = ()
    input_file: tuple[str, ...] = ()
    inputs: InputOptions = msgspec.field(default_factory=InputOptions)
    output: str | None = None
    output_dir: str | None = None
    overwrite: bool = False
    go_on: bool = False
    retry_failed: frozenset[str] | None = None
    saving: SavingOptions = msgspec.field(default_factory=SavingOptions)
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    fail_early: bool = False
    max_failures: int | float | None = None
    deadline: float | None = None
    tail_rate: float | None = None
    quiet: bool = False
    verbose: bool = False
    progress: Mode = "auto"
    color: bool = True
    as_json: bool = False

    def check(self) -> None:
        """See whether the options make sense together.

        Raises:
            UsageProblem: they do not.
        """
        if not self.specs and not self.inputs.sitemaps:
            raise UsageProblem(describe_nothing(go_on=self.go_on))
        if not all(self.specs):
            raise UsageProblem("one of the sources has an empty name: is it a shell variable that was never set?")
        if self.quiet and self.verbose:
            raise UsageProblem("-q and -v exclude each other: leave one out")
        if self.retry_failed is not None and not self.go_on:
            raise UsageProblem("--retry-failed goes on with a job: add -c")
        if self.as_json and self.output == "-":
            raise UsageProblem("--json writes the summary to stdout, so the records need a file: use -o FILE")

    @property
    def ends(self) -> Ends:
        """When to stop before the end of the list."""
        most = 1 if self.fail_early else self.max_failures
        return Ends(
            deadline=self.deadline,
            max_failures=most if isinstance(most, int) else None,
            max_failed_share=most if isinstance(most, float) else None,
            tail_rate=self.tail_rate,
        )

    @property
    def specs(self) -> list[str]:
        """All sources in their order."""
        return [*self.sources, *self.input_file]

    @property
    def results_name(self) -> str | None:
        """Where the records go: a file, `-` for stdout, or None for nowhere."""
        if (results := results_of(self.output, self.output_dir)) is not None:
            return results
        return None if self.as_json or is_terminal(sys.stdout) else "-"

    @property
    def is_typed(self) -> bool:
        """Whether the URLs are being typed, on a terminal."""
        return "-" in self.specs and is_terminal(sys.stdin)

    @property
    def how_to_show(self) -> Mode:
        """How progress is to be shown; a live view would be torn up by what is typed or printed beside it."""
        if self.quiet:
            return "none"
        beside = self.is_typed or (self.results_name == "-" and is_terminal(sys.stdout))
        return "plain" if self.progress in ("auto", "live") and beside else self.progress


def get(options: Get, client_options: ClientOptions) -> int:
    """Fetch the list; return the exit status.

    Raises:
        UsageProblem: it cannot begin.
        OutputProblem: the summary cannot be written.
    """
    options.check()
    began = monotonic()
    raise_open_file_limit()
    client = client_options.open_client()
    try:
        with ExitStack() as opened:
            sources = opened.enter_context(options.inputs.open(options.specs, client_options, options.deadline))
            if options.deadline is not None:  # of which sitemaps may have taken some
                options = msgspec.structs.replace(
                    options, deadline=max(0.0, options.deadline + began - monotonic())
                )
            bodies = None
            if options.output_dir is not None:
                bodies = opened.enter_context(options.saving.open_bodies(options.output_dir))
            journal = None
            if options.results_name is not None:
                journal = opened.enter_context(_open_journal(options.results_name, options))
            safeguard = None
            if journal is not None and journal.file is not None and journal.name != "-":  # stdout has no name
                safeguard = opened.enter_context(Safeguard(journal, sources, options.settings, bodies))
            preparer = options.saving.open_preparer(opened, bodies, journal)
            run = _Run(options, client, sources, _Beside(journal, bodies, safeguard, preparer))
            outcome = run_in_loop(run.run, client_options.loop)
    except JobError as error:
        raise UsageProblem(str(error)) from error
    expect_signals()
    run.close_with(outcome)
    return run.status(outcome)


def _open_journal(name: str, options: Get) -> Journal:
    return open_journal(
        name,
        overwrite=options.overwrite,
        go_on=options.go_on,
        try_again=try_again(options.retry_failed),
        stdout=None if sys.stdout is None else sys.stdout.buffer,
    )


class _Beside(msgspec.Struct, frozen=True):
    """What a run writes and looks at beside the network; each is there if it is wanted."""

    journal: Journal | None
    bodies: Bodies | None
    safeguard: Safeguard | None
    preparer: Preparer | None


class _Run:
    """One run of the command: the job and what is shown of it, side by side."""

    def __init__(self, options: Get, client: Client, sources: Sources, beside: _Beside) -> None:
        progress = choose_progress(options.how_to_show, sys.stderr)
        self._options = options
        self._client = client
        self._sources = sources
        self._journal = journal = beside.journal
        self._bodies = beside.bodies
        self._safeguard = beside.safeguard
        self._preparer = beside.preparer
        self._job: Job | None = None
        self._console = open_console(sys.stderr, color=options.color)
        be_patient(self._console, 0.0)  # a signal could do nothing while the loop waits for the screen
        self._view = open_view(
            progress.shown, client.stats, console=self._console, clock=monotonic, total=self._total
        )
        self._examples = Examples()
        self._shows_failures = options.verbose or (journal is None and not options.quiet)
        self._signal: signal.Signals | None = None
        self._started = monotonic()
        if progress.remark:
            self._say(progress.remark)
        elif options.progress == "live" and options.how_to_show == "plain":
            self._say("no live view: what is typed or printed on the same terminal would tear it up")
        if options.is_typed and not options.quiet:
            self._say("type URLs, one a line; Ctrl-D at the beginning of a line ends the list")

    async def run(self) -> JobOutcome:
        """Run the job and show it.

        Raises:
            JobError: it cannot begin.
        """
        outcome: JobOutcome | JobError
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._watch_signals)
            tasks.start_soon(self._view.run)
            try:
                outcome = await self._fetch()
            except JobError as error:
                outcome = error
            tasks.cancel_scope.cancel()
        if isinstance(outcome, JobError):
            raise outcome
        return outcome

    def _total(self) -> int | None:
        """How many entries this run has to fetch, when that is known."""
        earlier = 0 if self._job is None else self._job.outcome.earlier
        return None if self._sources.total is None else self._sources.total - earlier

    async def _fetch(self) -> JobOutcome:
        async with self._client:
            self._job = Job(
                self._client,
                self._sources,
                journal=self._journal,
                bodies=self._bodies,
                safeguard=self._safeguard,
                preparer=self._preparer,
                ends=self._options.ends,
                on_result=self._note if self._shows_failures else self._examples.add,
                on_tail=self._tell_of_tail,
            )
            if self._signal is not None:
                self._job.stop(self._signal.name)
            return await self._job.run()

    def _note(self, result: Result) -> None:
        if result.error is not None:
            self._examples.add(result)
            self._view.failure(result)

    def _tell_of_tail(self, tail: TailSeen) -> None:
        """Say that little is left and hardly anything comes, and what can be done about it."""
        if not self._options.quiet:
            self._view.note(describe_tail(tail))

    # --- signals

    async def _watch_signals(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """The first signal ends the job in good order, the second at once; who started us may have both ignored."""
        wanted = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is not signal.SIG_IGN]
        with anyio.open_signal_receiver(*wanted) as signals:
            task_status.started()
            async for signum in signals:
                if self._signal is None:
                    self._signal = signum
                    self._stop(signum)
                else:
                    self._stop_at_once(self._signal)

    def _stop(self, signum: signal.Signals) -> None:
        if not self._options.quiet:
            self._view.note(describe_interruption(signum, self._client.stats.total.in_flight, GRACE))
        if self._job is not None:
            self._job.stop(signum.name, GRACE)

    def _stop_at_once(self, signum: signal.Signals) -> None:
        """Give up what is in flight, and make sure that the process is gone soon, whatever hangs."""
        if self._job is not None:
            self._job.stop(signum.name, 0.0)
        timer = threading.Timer(_AT_ONCE, leave_at_once, [signum])
        timer.daemon = True
        timer.start()

    # --- the end

    def close_with(self, outcome: JobOutcome) -> None:
        """Show what became of the job.

        Raises:
            OutputProblem: the summary cannot be written.
            BrokenPipeError: nobody reads it.
        """
        be_patient(self._console, None if self._signal is None else _FOR_THE_SCREEN)
        ending = Ending(
            stats=self._client.stats,
            seconds=monotonic() - self._started,
            not_done=self._not_done(outcome),
            examples=self._examples,
        )
        if isinstance(outcome.error, OutputClosed):
            return
        if not self._options.quiet:
            self._show_closing(outcome, ending)
        if outcome.error is not None:
            self._say(f"asyncfetch: {outcome.error}")
        if self._options.as_json:
            put(json.dumps(summary_json(ending)) + "\n")

    def _unrecorded(self, outcome: JobOutcome) -> int:
        """How many results were lost because nothing could be written any more."""
        return 0 if outcome.error is None else max(0, self._client.stats.total.done - outcome.total)

    def _not_done(self, outcome: JobOutcome) -> int | None:
        return None if outcome.missing is None else outcome.missing - self._unrecorded(outcome)

    def _show_closing(self, outcome: JobOutcome, ending: Ending) -> None:
        if outcome.entries == 0 and outcome.stopped_by is None:
            self._say(f"{self._why_nothing()}: nothing was fetched")
            return
        if outcome.earlier and outcome.earlier == outcome.entries:
            failed = f", {outcome.earlier_failed:,} not ok (--retry-failed)" if outcome.earlier_failed else ""
            self._say(f"nothing left to fetch: all {outcome.earlier:,} URLs have their records{failed}")
            return
        tables = summary(ending, self._console)
        say(self._console, tables)
        if "\n\n" in tables.plain:
            self._say("")
        for line in self._remarks(outcome):
            self._say(line)

    def _why_nothing(self) -> str:
        left_out = self._sources.left_out
        return (
            f"{self._options.inputs.leaving_out} left all {left_out:,} URLs out"
            if left_out
            else "no URLs in the input"
        )

    def _remarks(self, outcome: JobOutcome) -> list[str]:
        """Say where everything is, and why the job ended before the list did."""
        remarks = []
        if left_out := self._sources.left_out:
            remarks.append(f"{left_out:,} left out by {self._options.inputs.leaving_out}")
        if outcome.earlier:
            remarks.append(f"{outcome.earlier:,} had been recorded before ({outcome.earlier_failed:,} not ok)")
        remarks += self._options.saving.remarks(outcome)
        if outcome.stopped_by is not None:
            stopper = name_stopper(outcome.stopped_by, fail_early=self._options.fail_early)
            remarks.append(f"stopped by {stopper}: what was not done has no record")
        if unrecorded := self._unrecorded(outcome):
            remarks.append(f"{unrecorded:,} of these could not be recorded: fetch them again")
        if self._journal is not None and self._journal.name != "-":
            remarks.append(f"records: {self._journal.name}")
        if self._bodies is not None:
            files = "1 file" if outcome.saved == 1 else f"{outcome.saved:,} files"
            remarks.append(f"bodies: {self._bodies.directory} ({files})")
        if self._journal is None and not self._options.as_json:
            remarks.append("nothing was kept: -o results.jsonl keeps a record of every URL, -P DIR the bodies too")
        if self._safeguard is not None and (outcome.stopped_by or outcome.error):
            remarks.append(command_to_go_on(self._options.results_name or "", self._options.settings))
        return remarks

    def status(self, outcome: JobOutcome) -> int:
        """Return the exit status: if several apply, our own failure, a signal, a limit, URLs that are not ok."""
        if isinstance(outcome.error, OutputClosed):
            return Exit.PIPE_CLOSED
        if outcome.error is not None:
            return Exit.FAILED
        if self._signal is not None:
            return Exit.TERMINATED if self._signal == signal.SIGTERM else Exit.INTERRUPTED
        if outcome.stopped_by is not None:
            return Exit.STOPPED
        return Exit.NOT_OK if outcome.failed or outcome.earlier_failed else Exit.OK

    def _say(self, line: str) -> None:
        say(self._console, as_text(line, at_most=2000))
