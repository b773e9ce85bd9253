"""What `get` remarks on its way: sentences about interruptions, slow ends and who stopped the job."""

from __future__ import annotations

import signal

from asyncfetch.job import DEADLINE, MAX_FAILURES, TAIL_RATE, TailSeen

__all__ = ["describe_interruption", "describe_nothing", "describe_tail", "name_stopper"]

_STOPPERS = {MAX_FAILURES: "--max-failures", DEADLINE: "--deadline", TAIL_RATE: "--tail-rate"}


def name_stopper(reason: str, *, fail_early: bool) -> str:
    """Name the option that stopped the job, or the signal."""
    return "--fail-early" if fail_early and reason == MAX_FAILURES else _STOPPERS.get(reason, reason)


def describe_nothing(*, go_on: bool) -> str:
    """Say that there is nothing to fetch, as with `-c` where there is no job yet, and what is wanted."""
    missing = "there is no such results file to go on with; " if go_on else ""
    return f"nothing to fetch: {missing}give URLs, files of URLs, or - for the standard input"


def describe_tail(tail: TailSeen) -> str:
    """Say that little is left and hardly anything comes, and what can be done about it."""
    left = "1 URL is" if tail.left == 1 else f"{tail.left:,} URLs are"
    came = f"{tail.rate:.1g} a second" if tail.rate else "nothing"
    return (
        f"{left} left, at {', '.join(tail.hosts)}, and {came} came of late: Ctrl-C ends the job "
        "here, -c goes on with it another time; --tail-rate stops such jobs by itself"
    )


def describe_interruption(signum: signal.Signals, in_flight: int, grace: float) -> str:
    """Say what a first signal does, and what a second one would do; `grace` is in seconds."""
    if not in_flight:
        return f"{signum.name}: stopping"
    have = "1 request in flight has" if in_flight == 1 else f"{in_flight:,} requests in flight have"
    again = "Ctrl-C again" if signum == signal.SIGINT else "a second signal"
    return f"{signum.name}: {have} {grace:g} s to finish; {again} leaves at once"
