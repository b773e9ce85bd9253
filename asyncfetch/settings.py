"""What a user may set: frozen values, each with its unit, its default and the reason for it.

Times are seconds, sizes are bytes. None means no limit where a field says so.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "HeaderTypes",
    "HostSettings",
    "Limits",
    "Network",
    "Politeness",
    "Redirects",
    "Retry",
    "TLSSettings",
    "Timeouts",
]

HeaderTypes = Mapping[str, str | None] | Sequence[tuple[str, str | None]]

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_MAY_BE_ENDLESS = ("read", "total")


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much at once, over all and for one host, and how much may be kept.

    Attributes:
        total: requests in flight at once, 1 or more.
        per_host: of these, to one `host:port`; 6, as browsers do.
        queued: entries of one `fetch_many` that are read ahead of their turn. A window this long keeps many hosts
            busy. While all of them wait for hosts that are busy, the input is read on all the same, and what these
            hosts have beyond their next few entries waits in a temporary file without a name.
        overflow: bytes that this file may have; then the reading waits. 2 GiB hold about 20 million usual entries;
            0 never writes one.
        buffered: results of one `fetch_many` that wait for their consumer before new requests are held back.
        buffered_bytes: the same in bytes of their bodies.
        max_body: decoded bytes of a body that is kept in memory; more is `body.too_large`. None is no limit.
        max_streamed: the same of a body that is streamed or goes to a sink; None, as from the start, is no limit.
        idle_total: connections kept open without a request, over all hosts.
        idle_seconds: how long such a connection is kept. Below the 5 s that many servers allow would waste
            connections, far above it would waste requests on dead ones.
    """

    total: int = 100
    per_host: int = 6
    queued: int = 10_000
    overflow: int = 2 * GIB
    buffered: int = 200
    buffered_bytes: int = 64 * MIB
    max_body: int | None = 32 * MIB
    max_streamed: int | None = None
    idle_total: int = 512
    idle_seconds: float = 15.0

    def __post_init__(self) -> None:
        for name in ("total", "per_host", "queued", "buffered", "buffered_bytes"):
            value = getattr(self, name)
            if not isinstance(value, int):
                raise TypeError(f"Limits.{name} is a whole number, not {value!r}")
            _require(value >= 1, f"Limits.{name} must be at least 1, not {value}")
        for name in ("overflow", "max_body", "idle_total", "idle_seconds"):
            value = getattr(self, name)
            _require(value is None or value >= 0, f"Limits.{name} must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each phase may take, in seconds. None is no limit, where it is allowed: for `read` and `total`.

    Time in the queue is never counted. A body has no deadline of its own: it may not be silent (`read`) and may
    not be slower than `speed_limit` over `speed_time`; a large download that goes well is never cut.

    Attributes:
        connect: name, TCP and TLS together.
        head: from the request sent to the head complete, interim responses included.
        read: silence inside a body.
        total: one attempt with its redirects, the time in the queue not.
        speed_limit: bytes per second on the wire; 0 allows any speed.
        speed_time: the seconds over which the speed is taken.
    """

    connect: float = 10.0
    head: float = 30.0
    read: float | None = 30.0
    total: float | None = None
    speed_limit: int = 1000
    speed_time: float = 30.0

    def __post_init__(self) -> None:
        for name in ("connect", "head", "read", "total", "speed_time"):
            value = getattr(self, name)
            allowed = name in _MAY_BE_ENDLESS if value is None else value > 0
            _require(allowed, f"Timeouts.{name} must be above 0 seconds, not {value}")
        _require(self.speed_limit >= 0, "Timeouts.speed_limit must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When a request that failed is tried again: what may pass, with exponential back-off and full jitter.

    Attributes:
        attempts: tries in all, the first included; 1 never tries again.
        backoff: upper bound in seconds of the wait before the second attempt; it doubles with each further one.
        backoff_most: the upper bound never exceeds this, in seconds.
        max_wait: a host that asks for a pause (`Retry-After`) is given at most this many seconds at a time.
        wait_budget: seconds that one URL waits in all because hosts asked for it; then its answer stands.
    """

    attempts: int = 3
    backoff: float = 0.5
    backoff_most: float = 30.0
    max_wait: float = 300.0
    wait_budget: float = 900.0

    def __post_init__(self) -> None:
        _require(self.attempts >= 1, f"Retry.attempts must be at least 1, not {self.attempts}")
        for name in ("backoff", "backoff_most", "max_wait", "wait_budget"):
            _require(getattr(self, name) >= 0, f"Retry.{name} must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Politeness:
    """How hosts are spared, beside `Limits.per_host`: how fast they are asked, and what their answers teach.

    Attributes:
        rate: requests started per second at one host; None is as fast as they end.
        delay: seconds between the starts of two requests at one host, at least.
        global_rate: requests started per second over all hosts; None is no limit.
        limit_rate: bytes per second of bodies as sent, over all hosts; None is no limit.
        adapt: find the number of requests at once, and the rate, that each host takes: begin low, go up to
            `Limits.per_host`, go down when it answers 429, breaks off or gets slow. False always uses the limit.
        failures: after so many connections in a row that failed, or that were closed or silent before a byte of an
            answer, a host is broken and gets only probes; None never gives a host up.
        probes: seconds before each probe of a broken host, one request at a time. After the last one has failed
            too, what waits for the host fails as `host.unavailable`. 1, 2 and 4 s outlast a restart.
        rest: seconds until a host that was given up may be probed again.
    """

    rate: float | None = None
    delay: float = 0.0
    global_rate: float | None = None
    limit_rate: int | None = None
    adapt: bool = True
    failures: int | None = 5
    probes: tuple[float, ...] = (1.0, 2.0, 4.0)
    rest: float = 60.0

    def __post_init__(self) -> None:
        _check_speeds("Politeness", self.rate, self.delay, self.limit_rate)
        _check_speeds("Politeness", self.global_rate, None, None)
        _require(
            self.failures is None or self.failures >= 1,
            f"Politeness.failures must be at least 1, not {self.failures}",
        )
        _require(all(wait >= 0 for wait in self.probes), "Politeness.probes must not be negative")
        _require(self.rest > 0, f"Politeness.rest must be above 0 seconds, not {self.rest}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """What is different for one host; None is as for all others.

    Attributes:
        per_host: requests at once, 1 or more, instead of `Limits.per_host`.
        rate: requests started per second, instead of `Politeness.rate`.
        delay: seconds between two starts, instead of `Politeness.delay`.
        limit_rate: bytes per second of bodies from this host, besides `Politeness.limit_rate`.
        headers: fields over the client's; None as a value removes one. No other host sees them.
        timeouts: instead of the client's.
        user, password: credentials (Basic), sent only where a list or a caller named the host itself, not where a
            redirect led there.
    """

    per_host: int | None = None
    rate: float | None = None
    delay: float | None = None
    limit_rate: int | None = None
    headers: HeaderTypes | None = None
    timeouts: Timeouts | None = None
    user: str | None = None
    password: str | None = None

    def __post_init__(self) -> None:
        _check_speeds("HostSettings", self.rate, self.delay, self.limit_rate)
        _require(
            self.per_host is None or self.per_host >= 1,
            f"HostSettings.per_host must be at least 1, not {self.per_host}",
        )
        _require(self.password is None or self.user is not None, "a password needs its user")

    def __repr__(self) -> str:
        """Show which fields are set, but no values: some are credentials."""
        names = [name for name in self.__slots__ if getattr(self, name) is not None]
        return f"HostSettings({', '.join(names)})"


def _check_speeds(name: str, rate: float | None, delay: float | None, limit_rate: int | None) -> None:
    _require(rate is None or 0 < rate < math.inf, f"{name}: a rate must be above 0 per second, not {rate}")
    _require(delay is None or 0 <= delay < math.inf, f"{name}: a delay must be 0 seconds or more, not {delay}")
    _require(
        limit_rate is None or limit_rate >= 1, f"{name}: limit_rate must be 1 byte/s or more, not {limit_rate}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirects:
    """Whether 301, 302, 303, 307 and 308 with a Location are followed (RFC 9110 section 15.4).

    Attributes:
        follow: follow them.
        most: how many in a row; browsers allow 20, curl 50, most chains end after 3.
    """

    follow: bool = True
    most: int = 10

    def __post_init__(self) -> None:
        _require(self.most >= 0, f"Redirects.most must not be negative, not {self.most}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSSettings:
    """How TLS servers are verified, and what the client shows of itself.

    Attributes:
        verify: check certificate and name. False accepts anybody.
        ca_file: PEM file with the authorities to trust instead of the system's.
        cert_file: PEM file with the client's certificate (and, without `key_file`, its key).
        key_file: PEM file with the key of `cert_file`.
    """

    verify: bool = True
    ca_file: str | os.PathLike[str] | None = None
    cert_file: str | os.PathLike[str] | None = None
    key_file: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        _require(self.key_file is None or self.cert_file is not None, "a key_file needs its cert_file")


Family = Literal["any", "ipv4", "ipv6"]

_FAMILIES = {"any": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How names become addresses and addresses connections.

    Attributes:
        family: `any`, `ipv4` or `ipv6`.
        overrides: `host:port` to address, instead of a look-up (as curl's `--resolve`).
        name_ttl: seconds that the addresses of a name are kept.
        failure_ttl: seconds that a failed look-up is kept, so that a dead name in a list costs one look-up.
        resolver_threads: look-ups at once.
        stagger: seconds before the next address of a name is tried beside the first (RFC 8305 section 5).
    """

    family: Family = "any"
    overrides: Mapping[str, str] = field(default_factory=dict)
    name_ttl: float = 60.0
    failure_ttl: float = 5.0
    resolver_threads: int = 32
    stagger: float = 0.25

    def __post_init__(self) -> None:
        _require(self.family in _FAMILIES, f"Network.family must be any, ipv4 or ipv6, not {self.family!r}")
        _require(self.resolver_threads >= 1, "Network.resolver_threads must be at least 1")
        for name in ("name_ttl", "failure_ttl", "stagger"):
            _require(getattr(self, name) >= 0, f"Network.{name} must not be negative")

    @property
    def address_family(self) -> socket.AddressFamily:
        """The family as `getaddrinfo` takes it."""
        return _FAMILIES[self.family]
