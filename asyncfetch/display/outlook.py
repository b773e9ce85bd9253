"""What a list would be to fetch, as tables and as a dict: hosts and shares, what is invalid, the least time.

The facts come from whoever has read the list; nothing is counted here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from asyncfetch.display import units
from asyncfetch.display.layout import Column, laid_out
from asyncfetch.display.marks import Marks
from asyncfetch.display.roster import host_name
from asyncfetch.display.words import PlainConsole, Words

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["HostShare", "InvalidShare", "Outlook", "SizeShare", "outlook_json", "outlook_tables"]

_BAR = 24  # cells
_MOST_REASONS = 10
_NAME_AT_MOST = 80  # cells
_OVER_ALL = {"places": "the number of requests at once", "rate": "the rate over all hosts"}
_OPTIONS = {"places": "jobs", "rate": "global-rate"}


class HostShare(msgspec.Struct, frozen=True):
    """One host: `host:port`, its requests, and the least seconds for them."""

    host: str
    requests: int
    seconds: float


class InvalidShare(msgspec.Struct, frozen=True):
    """A reason why entries are invalid, how many are, and where the first of them stands."""

    reason: str
    count: int
    example: str


class SizeShare(msgspec.Struct, frozen=True):
    """Hosts of a size: those with `least` requests or more but less than the next; how many, and their requests."""

    least: int
    hosts: int
    requests: int


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """A list, looked at.

    Attributes:
        requests: what would be fetched, duplicates included.
        duplicates: of these, how many ask for what another one asks for.
        left_out: entries that are not wanted.
        sitemaps: sitemaps that were fetched to know all this.
        invalid: what cannot be fetched, by reason.
        hosts: those that take longest, in that order.
        host_count: how many hosts there are.
        sizes: how large the hosts are, the smallest first.
        seconds: the least time.
        decider: what decides on it: the first of the hosts, or over all the places in flight, or the rate.
        assumed: what it is computed from: seconds of a request, requests at once in all and to one host.
        limits: what else it is computed from, in words.
    """

    requests: int
    duplicates: int
    left_out: int
    sitemaps: int
    invalid: Sequence[InvalidShare]
    hosts: Sequence[HostShare]
    host_count: int
    sizes: Sequence[SizeShare]
    seconds: float
    decider: Literal["host", "places", "rate"]
    assumed: tuple[float, int, int]
    limits: Sequence[str] = ()

    @property
    def invalid_count(self) -> int:
        """Entries that cannot be fetched."""
        return sum(share.count for share in self.invalid)

    @property
    def entries(self) -> int:
        """All entries, lines of a file for instance."""
        return self.requests + self.invalid_count + self.left_out


def outlook_tables(outlook: Outlook, console: Console | PlainConsole) -> Words:
    """Write what a list would be to fetch, as wide as the terminal."""
    marks, width = Marks.of(console.encoding), console.width
    parts = [_counts(outlook)]
    if outlook.requests:
        parts.append(_host_table(outlook, width, marks))
    if outlook.host_count > 1:
        parts.append(_size_table(outlook, width, marks))
    if outlook.invalid:
        parts.append(_invalid_table(outlook, width, marks))
    if outlook.requests:
        parts.append(_time(outlook, marks))
    return Words("\n\n").join(parts)


def _counts(outlook: Outlook) -> Words:
    """`10,000 entries: 9,950 URLs on 41 hosts, 50 invalid, 120 duplicates`."""
    urls = f"{units.counted(outlook.requests, 'URL')} on {units.counted(outlook.host_count, 'host')}"
    facts = [
        (urls, "bold green", True),
        (f"{units.count(outlook.invalid_count)} invalid", "bold red", outlook.invalid),
        (units.counted(outlook.duplicates, "duplicate"), "bold yellow", outlook.duplicates),
        (f"{units.count(outlook.left_out)} left out", "bold yellow", outlook.left_out),
    ]
    said = Words(", ").join(Words(words, style) for words, style, is_said in facts if is_said)
    return Words(f"{units.counted(outlook.entries, 'entry', 'entries')}: ").append(said)


def _host_table(outlook: Outlook, width: int, marks: Marks) -> Words:
    hosts = outlook.hosts
    columns = [
        Column("host", [host_name(share.host) for share in hosts], words=True),
        Column("URLs", [units.count(share.requests) for share in hosts]),
        Column("share", [_share(share.requests, outlook.requests) for share in hosts], rank=1),
        Column("", [_bar(share.requests, outlook.requests, marks) for share in hosts], "cyan", rank=2, left=True),
        Column("least time", [units.roughly(share.seconds) for share in hosts]),
    ]
    table = laid_out(columns, width, marks)
    if (more := outlook.host_count - len(hosts)) > 0:
        table.append(f"\nand {units.counted(more, 'more host')}", "dim")
    return table


def _size_table(outlook: Outlook, width: int, marks: Marks) -> Words:
    """How many hosts are how large, and what part of the work is with them."""
    sizes = outlook.sizes
    columns = [
        Column("URLs of a host", [_range(share.least) for share in sizes], words=True),
        Column("hosts", [units.count(share.hosts) for share in sizes]),
        Column("their URLs", [units.count(share.requests) for share in sizes]),
        Column("share", [_share(share.requests, outlook.requests) for share in sizes], rank=1),
        Column("", [_bar(share.requests, outlook.requests, marks) for share in sizes], "cyan", rank=2, left=True),
    ]
    return laid_out(columns, width, marks)


def _invalid_table(outlook: Outlook, width: int, marks: Marks) -> Words:
    """Each reason in two lines: how often with the reason, and where the first one stands."""
    counts, words = [], []
    for share in outlook.invalid[:_MOST_REASONS]:
        counts += [units.count(share.count), ""]
        words += [share.reason, f"  first: {share.example}"]
    table = laid_out([Column("invalid", counts, "red"), Column("why", words, words=True)], width, marks)
    if (more := len(outlook.invalid) - _MOST_REASONS) > 0:
        table.append(f"\nand {units.counted(more, 'more reason')}", "dim")
    return table


def _time(outlook: Outlook, marks: Marks) -> Words:
    """Say the least time, who decides on it, and what is assumed."""
    seconds, total, per_host = outlook.assumed
    words = Words("least time: ").append(units.roughly(outlook.seconds), "bold")
    if outlook.decider == "host":
        first = outlook.hosts[0]
        name = host_name(first.host, _NAME_AT_MOST, ascii_only=marks.ascii_only)
        words.append(f", decided by {name} with {units.counted(first.requests, 'URL')}")
    else:
        words.append(f", decided by {_OVER_ALL[outlook.decider]}")
    limits = ", ".join((f"{total:,} at once (-j)", f"{per_host:,} to one host (--max-per-host)", *outlook.limits))
    assumed = f"assumed: {seconds:g} s a request (--seconds-per-request), no failures, no pauses"
    return words.append(f"\n{limits}; {assumed}", "dim")


def _share(part: int, whole: int) -> str:
    """Write a share; what is little is not nothing."""
    return units.percent(part, whole) if part * 100 >= whole else "< 1 %"


def _bar(part: int, whole: int, marks: Marks) -> str:
    return marks.full * max(1, round(part * _BAR / whole))


def _range(least: int) -> str:
    most = 9 if least == 2 else least * 10 - 1
    return "1" if least == 1 else f"{units.count(least)} to {units.count(most)}"


def outlook_json(outlook: Outlook) -> dict[str, Any]:
    """Return what the tables say. Times are seconds; foreign text is as it came."""
    seconds, total, per_host = outlook.assumed
    return {
        "entries": outlook.entries,
        "requests": outlook.requests,
        "duplicates": outlook.duplicates,
        "left_out": outlook.left_out,
        "sitemaps": outlook.sitemaps,
        "invalid": [msgspec.structs.asdict(share) for share in outlook.invalid],
        "host_count": outlook.host_count,
        "hosts": [_host_json(share, outlook.requests) for share in outlook.hosts],
        "more_hosts": outlook.host_count - len(outlook.hosts),
        "sizes": [msgspec.structs.asdict(share) for share in outlook.sizes],
        "least_seconds": round(outlook.seconds, 3),
        "decided_by": outlook.hosts[0].host if outlook.decider == "host" else _OPTIONS[outlook.decider],
        "assumed": {"seconds_per_request": seconds, "jobs": total, "max_per_host": per_host},
        "limits": list(outlook.limits),
    }


def _host_json(share: HostShare, whole: int) -> dict[str, Any]:
    return {
        "host": share.host,
        "requests": share.requests,
        "share": round(share.requests / whole, 6),
        "least_seconds": round(share.seconds, 3),
    }
