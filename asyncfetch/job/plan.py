"""What a list would be to fetch: its entries, what is wrong with them, its hosts, and the least time that it takes.

Nothing is fetched. The memory is bounded, whatever the length of the list: duplicates and hosts are counted on the
disk if need be (`distinct`), and at most 1000 reasons are told apart.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Literal, Self

from asyncfetch.errors import InvalidURL
from asyncfetch.job.distinct import Distinct, Tally
from asyncfetch.job.selection import DIGEST, digest_of
from asyncfetch.result import Request
from asyncfetch.settings import HostSettings, Limits, Politeness
from asyncfetch.url import Url

__all__ = ["HostPlan", "Pace", "Plan", "Planner", "Reason"]

_MOST_REASONS = 1000
_LISTED = 20
_OTHER = "other reasons"
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'(?:\.\.\.)?")


def _nothing_special(_: str) -> None:
    """Say that no host has settings of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What the least time is computed from.

    Attributes:
        seconds: that one request takes; an assumption.
        limits: how many are in flight at once.
        politeness: how fast they are started.
        own: asked with `host:port`, what is different for a host.
    """

    seconds: float
    limits: Limits
    politeness: Politeness = field(default_factory=Politeness)
    own: Callable[[str], HostSettings | None] = _nothing_special

    def of_host(self, key: str, requests: int) -> float:
        """Return the least seconds for requests to one host."""
        own = self.own(key) or HostSettings()
        at_once = min(own.per_host or self.limits.per_host, self.limits.total)
        rate, delay = own.rate or self.politeness.rate, own.delay
        between = max(self.politeness.delay if delay is None else delay, 1 / rate if rate else 0.0)
        return max(self._rounds(requests, at_once), (requests - 1) * between + self.seconds)

    def of_all(self, requests: int) -> float:
        """Return the least seconds for requests to so many hosts that only the limits over all count."""
        return max(self._rounds(requests, self.limits.total), self._begun_in_turn(requests))

    def is_decided_by_rate(self, requests: int) -> bool:
        """Whether it is the rate over all that counts then, not how many are in flight at once."""
        return self._begun_in_turn(requests) > self._rounds(requests, self.limits.total)

    def _begun_in_turn(self, requests: int) -> float:
        rate = self.politeness.global_rate
        return (requests - 1) / rate + self.seconds if rate and requests else 0.0

    def _rounds(self, requests: int, at_once: int) -> float:
        return ceil(requests / at_once) * self.seconds


@dataclass(frozen=True, slots=True)
class HostPlan:
    """One host: its `host:port`, its requests, and the least seconds for them."""

    key: str
    requests: int
    seconds: float


@dataclass(slots=True)
class Reason:
    """Why entries are invalid: what their messages have in common, how many, and where the first one stands."""

    text: str
    count: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was found.

    Attributes:
        requests: entries that would be fetched, duplicates included.
        duplicates: of these, how many ask for what another one asks for.
        invalid: why others cannot be fetched, the most frequent first.
        hosts: the hosts that take longest, at most 20.
        host_count: how many hosts there are.
        sizes: (least requests of a host, how many such hosts, their requests): 1, 2 to 9, 10 to 99 and so on.
        pace: what the times are computed from.
    """

    requests: int
    duplicates: int
    invalid: list[Reason]
    hosts: list[HostPlan]
    host_count: int
    sizes: list[tuple[int, int, int]]
    pace: Pace

    @property
    def seconds(self) -> float:
        """The least time for all, in seconds: nothing fails, nobody asks for a pause."""
        slowest = self.hosts[0].seconds if self.hosts else 0.0
        return max(slowest, self.pace.of_all(self.requests))

    @property
    def decider(self) -> Literal["host", "places", "rate"]:
        """What decides on the time: the first of the hosts, or over all the places in flight, or the rate."""
        if self.hosts and self.hosts[0].seconds > self.pace.of_all(self.requests):
            return "host"
        return "rate" if self.pace.is_decided_by_rate(self.requests) else "places"


class Planner:
    """Takes in the entries of a list. To be closed."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._requests = 0
        self._reasons: dict[str, Reason] = {}
        self._hosts = Tally()
        self._urls = Distinct(DIGEST)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._urls.__exit__(*exc_info)
        self._hosts.__exit__(*exc_info)

    def add(self, requests: list[Request]) -> None:
        """Take some entries in.

        Raises:
            OSError: there is no room for them on the disk.
        """
        for request in requests:
            if request.invalid:
                self._refuse(request, request.invalid)
                continue
            try:
                url = Url.parse(request.url)
            except InvalidURL as error:
                self._refuse(request, error.detail)
                continue
            self._requests += 1
            self._urls.add(digest_of(url))
            self._hosts.add(url.origin.key)

    def _refuse(self, request: Request, why: str) -> None:
        text = _QUOTED.sub("'...'", why)
        if text not in self._reasons and len(self._reasons) >= _MOST_REASONS:
            text = _OTHER
        reason = self._reasons.get(text)
        if reason is None:
            reason = self._reasons[text] = Reason(text, 0, str(request.context or f"argument {request.index}"))
        reason.count += 1

    def plan(self) -> Plan:
        """Return what was found.

        Raises:
            OSError: what was put to the disk cannot be read.
        """
        sizes: dict[int, tuple[int, int]] = {}
        slowest = heapq.nlargest(_LISTED, self._sorted_into(sizes), key=lambda host: (host.seconds, host.requests))
        return Plan(
            requests=self._requests,
            duplicates=self._requests - self._urls.count(),
            invalid=sorted(self._reasons.values(), key=lambda reason: -reason.count),
            hosts=slowest,
            host_count=sum(hosts for hosts, _ in sizes.values()),
            sizes=[(least, *sizes[least]) for least in sorted(sizes)],
            pace=self._pace,
        )

    def _sorted_into(self, sizes: dict[int, tuple[int, int]]) -> Iterator[HostPlan]:
        """Give every host with its requests, and count both by the size of the host."""
        for key, count in self._hosts.items():
            least = 2 if 1 < count < 10 else 10 ** (len(str(count)) - 1)
            hosts, requests = sizes.get(least, (0, 0))
            sizes[least] = (hosts + 1, requests + count)
            yield HostPlan(key, count, self._pace.of_host(key, count))
