"""Draws the closing tables, as wide as the terminal. One URL gets one line, as does one host without failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncfetch.display import units
from asyncfetch.display.cells import cell_len
from asyncfetch.display.layout import Column, laid_out
from asyncfetch.display.marks import Marks
from asyncfetch.display.roster import host_name
from asyncfetch.display.words import PlainConsole, Words

if TYPE_CHECKING:
    from rich.console import Console

    from asyncfetch.display.summary import Ending, Example
    from asyncfetch.stats import HostStats

__all__ = ["summary"]


def summary(ending: Ending, console: Console | PlainConsole) -> Words:
    """Write what became of a job: the totals, and the tables that add something to them."""
    marks, width = Marks.of(console.encoding), console.width
    hosts = ending.hosts()
    parts = [_totals(ending, width, is_small=len(hosts) <= 1 and ending.stats.total.done <= 1)]
    if ending.stats.total.done > 1:
        if len(hosts) > 1:
            parts.append(_host_table(hosts, ending.more_hosts(), width, marks))
        if ending.more_hosts() and ending.slowest():
            parts.append(_slowest_table(ending.slowest(), width, marks))
        if ending.errors():
            parts.append(_error_table(ending.errors(), width, marks))
    return Words("\n\n").join(parts)


def _totals(ending: Ending, width: int, *, is_small: bool) -> Words:
    """`99,966 ok, 34 failed in 3 m 20 s, 5.6 GB, 28 MB/s, 500/s`, in two lines if need be."""
    outcome = _outcome(ending, is_small=is_small)
    volume = Words(units.size(ending.stats.received) if is_small else ", ".join(_volume(ending)))
    fits = cell_len(outcome.plain) + len(", ") + cell_len(volume.plain) <= width
    return Words(", " if fits else "\n").join([outcome, volume])


def _outcome(ending: Ending, *, is_small: bool) -> Words:
    total, not_done = ending.stats.total, ending.not_done
    code = f" ({next(iter(total.errors))})" if is_small and total.errors else ""
    left = "the rest not done" if not_done is None else f"{units.count(not_done)} not done"
    facts = [
        (f"{units.count(total.ok)} ok", "bold green", total.ok or not total.failed),
        (f"{units.count(total.failed)} failed{code}", "bold red", total.failed or not is_small),
        (left, "bold yellow", not_done != 0),
    ]
    outcome = Words(", ").join(Words(words, style) for words, style, is_said in facts if is_said)
    return outcome.append(f" in {units.duration(ending.seconds)}")


def _volume(ending: Ending) -> list[str]:
    stats = ending.stats
    facts = [units.size(stats.received), units.speed(ending.bytes_rate), units.rate(ending.rate)]
    if stats.total.retries:
        facts.append(units.counted(stats.total.retries, "retry", "retries"))
    if stats.connections:
        facts.append(units.counted(stats.connections, "connection"))
    return facts


def _host_table(hosts: list[HostStats], more: int, width: int, marks: Marks) -> Words:
    columns = [
        Column("host", [host_name(host.key) for host in hosts], words=True),
        Column("done", [units.count(host.done) for host in hosts]),
        Column("failed", [units.count(host.failed) for host in hosts], "red"),
        Column("retries", [units.count(host.retries) for host in hosts], "yellow", rank=4),
        Column("bytes", [units.size(host.bytes) for host in hosts], rank=3),
        Column("p50", [_quantile(host, 0.5) for host in hosts], rank=2),
        Column("p95", [_quantile(host, 0.95) for host in hosts], rank=1),
        Column("most errors", [_most_errors(host, marks) for host in hosts], "red", rank=5, left=True),
    ]
    table = laid_out(columns, width, marks)
    return table.append(f"\nand {units.counted(more, 'more host')}", "dim") if more else table


def _slowest_table(slowest: list[tuple[HostStats, float]], width: int, marks: Marks) -> Words:
    columns = [
        Column("slowest hosts", [host_name(host.key) for host, _ in slowest], words=True),
        Column("done", [units.count(host.done) for host, _ in slowest]),
        Column("p95", [units.latency(seconds) for _, seconds in slowest]),
    ]
    return laid_out(columns, width, marks)


def _error_table(errors: list[tuple[str, int, Example | None]], width: int, marks: Marks) -> Words:
    """Each error in two lines: how often with an example's URL, and the example's message."""
    codes, numbers, words = [], [], []
    for code, number, example in errors:
        told = [line for line in (example.url, example.message) if line] if example else [""]
        codes += [code, ""][: len(told)]
        numbers += [units.count(number), ""][: len(told)]
        words += told
    columns = [
        Column("error", codes, "red", left=True),
        Column("count", numbers),
        Column("for example", words, words=True),
    ]
    return laid_out(columns, width, marks)


def _quantile(host: HostStats, q: float) -> str:
    seconds = host.latency.quantile(q)
    return "" if seconds is None else units.latency(seconds)


def _most_errors(host: HostStats, marks: Marks) -> str:
    """The most frequent code, and how often it came if it is not the only one."""
    if not host.errors:
        return ""
    code = max(host.errors, key=host.errors.__getitem__)
    return code if len(host.errors) == 1 else f"{host.errors[code]:,} {marks.times} {code}"
