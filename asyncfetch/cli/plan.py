"""`asyncfetch plan SOURCE...`: what a list would be to fetch, seen before a night's run."""

from __future__ import annotations

import json
import sys
from time import monotonic

import msgspec

from asyncfetch import Limits
from asyncfetch.cli.client_options import ClientOptions
from asyncfetch.cli.exits import Exit, UsageProblem, put, tell
from asyncfetch.cli.inputs import InputOptions
from asyncfetch.client.hosts import settings_by_host
from asyncfetch.display import (
    HostShare,
    InvalidShare,
    Outlook,
    SizeShare,
    drawn,
    open_console,
    outlook_json,
    outlook_tables,
)
from asyncfetch.job import JobError, Pace, Planner, Sources
from asyncfetch.job import Plan as Found

__all__ = ["Plan", "plan"]

_TELL_EVERY = 10.0  # seconds
_UNITS = {"s": 1, "m": 60, "h": 3600}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `plan` that do not concern the client."""

    sources: tuple[str, ...] = ()
    input_file: tuple[str, ...] = ()
    inputs: InputOptions = msgspec.field(default_factory=InputOptions)
    seconds_per_request: float = 0.5
    as_json: bool = False
    color: bool = True


def plan(options: Plan, client_options: ClientOptions) -> int:
    """Read the list and say what it would be to fetch; return the exit status.

    Raises:
        UsageProblem: it cannot begin.
        OutputProblem: stdout does not take it.
    """
    specs = [*options.sources, *options.input_file]
    if not specs and not options.inputs.sitemaps:
        raise UsageProblem("nothing to look at: give URLs, files of URLs, or - for the standard input")
    if not all(specs):
        raise UsageProblem("one of the sources has an empty name: is it a shell variable that was never set?")
    try:
        sources = options.inputs.open(specs, client_options)
    except JobError as error:
        raise UsageProblem(str(error)) from error
    with sources, Planner(_pace(options, client_options)) as planner:
        failure = _read(sources, planner)
        outlook = _outlook(planner.plan(), sources, client_options)
    _show(outlook, options)
    if outlook.sitemaps:
        tell(f"fetched {outlook.sitemaps:,} {'sitemap' if outlook.sitemaps == 1 else 'sitemaps'}, and nothing else")
    if failure is not None:
        tell(f"{failure}: this is the part before that")
    return Exit.OK if failure is None else Exit.FAILED


def _pace(options: Plan, client_options: ClientOptions) -> Pace:
    return Pace(
        seconds=options.seconds_per_request,
        limits=Limits(total=client_options.jobs, per_host=client_options.max_per_host),
        politeness=client_options.politeness,
        own=settings_by_host(client_options.host_settings),
    )


def _read(sources: Sources, planner: Planner) -> JobError | None:
    """Take in the whole list; return why it was not the whole one."""
    told = monotonic()
    try:
        while batch := sources.next_batch():
            planner.add(batch)
            if monotonic() > told + _TELL_EVERY:
                told = monotonic()
                tell(f"{sources.count:,} entries read")
    except JobError as error:
        return error
    return None


def _outlook(found: Found, sources: Sources, client_options: ClientOptions) -> Outlook:
    limits = found.pace.limits
    return Outlook(
        requests=found.requests,
        duplicates=found.duplicates,
        left_out=sources.left_out,
        sitemaps=sources.sitemaps,
        invalid=[InvalidShare(reason.text, reason.count, reason.example) for reason in found.invalid],
        hosts=[HostShare(host.key, host.requests, host.seconds) for host in found.hosts],
        host_count=found.host_count,
        sizes=[SizeShare(*size) for size in found.sizes],
        seconds=found.seconds,
        decider=found.decider,
        assumed=(found.pace.seconds, limits.total, min(limits.per_host, limits.total)),
        limits=_further_limits(client_options),
    )


def _further_limits(client_options: ClientOptions) -> list[str]:
    """Say what the time is computed from besides the requests at once."""
    said = []
    if client_options.rate is not None:
        said.append(f"{_often(client_options.rate)} to one host (--rate)")
    if client_options.delay:
        said.append(f"{client_options.delay:g} s apart at one host (--delay)")
    if client_options.global_rate is not None:
        said.append(f"{_often(client_options.global_rate)} in all (--global-rate)")
    if client_options.hosts:
        said.append("for some hosts what the configuration says")
    return said


def _often(rate: float) -> str:
    """Write a rate with the unit in which it is a number of one or more: `5/s`, `30/m`."""
    unit = next((unit for unit, seconds in _UNITS.items() if rate * seconds >= 1), "h")
    return f"{rate * _UNITS[unit]:g}/{unit}"


def _show(outlook: Outlook, options: Plan) -> None:
    if options.as_json:
        put(json.dumps(outlook_json(outlook)) + "\n")
        return
    if not outlook.entries:
        tell("no URLs in the input: there is nothing to plan")
        return
    put("")  # says so if stdout is not open
    console = open_console(sys.stdout, color=options.color)
    put(drawn(console, outlook_tables(outlook, console)))
