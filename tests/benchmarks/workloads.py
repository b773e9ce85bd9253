"""The workloads: what is fetched, by whom, and what we want of it. The first client of each is ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from tests.benchmarks import slow_host
from tests.benchmarks.goals import Ceiling, Goal, both
from tests.benchmarks.lab import Contender, Lab, Work

__all__ = ["WORKLOADS", "Unit", "Workload"]

Unit = Literal["URL", "MiB", "run"]

_MIB = 1024 * 1024
_HOSTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One row of the list.

    Attributes:
        name: what `--workloads` calls it.
        title: one line that says what is done.
        enter: makes the clients with their loads; the first is ours.
        peers: keys of the others, to be named without making anything.
        goals: ratios to peers, and ceilings.
        unit: what rate and CPU are counted by.
        often: runs, as a multiple of `--repeats`; at least one.
        net: start-up is taken off.
        opt_in: it runs only if it is named.
    """

    name: str
    title: str
    enter: Callable[[Lab], list[Contender]]
    goals: tuple[Goal | Ceiling, ...] = ()
    unit: Unit = "URL"
    often: float = 1.0
    net: bool = True
    opt_in: bool = False


# --- small bodies


def _small(lab: Lab, count: int) -> Work:
    origin = lab.nginx.http
    return Work(name="small", count=count, url=lambda n: f"{origin}/small?n={n}")


def _one_host(lab: Lab) -> list[Contender]:
    work = _small(lab, 40_000)
    return lab.contenders(work, "library", "aiohttp", "httpx", "pyreqwest", "curl", "aria2", "wrk")


def _records(lab: Lab) -> list[Contender]:
    return lab.contenders(_small(lab, 40_000), "command", "aiohttp", "curl")


def _live(lab: Lab) -> list[Contender]:
    return lab.contenders(_small(lab, 40_000), "command-live", "command")


def _plain_loop(lab: Lab) -> list[Contender]:
    return lab.contenders(_small(lab, 20_000), "library-asyncio", "aiohttp-asyncio")


def _one_at_a_time(lab: Lab) -> list[Contender]:
    origin = lab.nginx.http
    work = Work(name="one", count=5_000, url=lambda n: f"{origin}/small?n={n}", in_flight=1, per_host=1)
    return lab.contenders(work, "library", "aiohttp", "pyreqwest", "curl")


def _many_hosts(lab: Lab) -> list[Contender]:
    port = lab.nginx.many_port
    work = Work(
        name="many",
        count=30_000,
        url=lambda n: f"http://127.0.0.{1 + n % _HOSTS}:{port}/small?n={n}",
        in_flight=256,
        per_host=8,
    )
    return lab.contenders(work, "library", "aiohttp")


def _slow_host(lab: Lab) -> list[Contender]:
    port, fast = lab.slow_host_port, slow_host.FAST_HOSTS
    slow = round(80 * lab.scale)

    def url(n: int) -> str:
        if n < slow:
            return f"http://{slow_host.SLOW_HOST}:{port}{slow_host.PATH_SLOW}?n={n}"
        return f"http://{fast[n % len(fast)]}:{port}{slow_host.PATH_FAST}?n={n}"

    work = Work(name="slow", count=8_000, url=url, size=slow_host.SIZE, in_flight=16, per_host=4)
    return lab.contenders(work, "library", "aiohttp")


# --- TLS


def _tls(lab: Lab) -> list[Contender]:
    origin, ca_file = lab.nginx.https, str(lab.nginx.ca_file)
    work = Work(name="tls", count=20_000, url=lambda n: f"{origin}/small?n={n}", ca_file=ca_file)
    return lab.contenders(work, "library", "aiohttp", "httpx", "pyreqwest", "curl")


def _tls_closing(lab: Lab) -> list[Contender]:
    origin, ca_file = lab.nginx.closing, str(lab.nginx.ca_file)
    work = Work(name="tls-closing", count=2_000, url=lambda n: f"{origin}/small?n={n}", ca_file=ca_file)
    return lab.contenders(work, "library", "aiohttp", "curl")


# --- bodies


def _save(lab: Lab, *, on_disk: bool) -> list[Contender]:
    origin = lab.nginx.http
    work = Work(name="files", count=20_000, url=lambda n: f"{origin}/file/{n:06}.bin", saves=True, on_disk=on_disk)
    return lab.contenders(work, "command", "curl", "aria2")


def _large(lab: Lab, *keys: str, saves: bool) -> list[Contender]:
    origin = lab.nginx.http
    work = Work(
        name="large",
        count=1,
        url=lambda _: f"{origin}/large",
        size=lab.large_size,
        saves=saves,
        alone=True,
        in_flight=1,
    )
    return lab.contenders(work, *keys)


def _gzip(lab: Lab) -> list[Contender]:
    nginx = lab.nginx
    origin = nginx.http
    work = Work(
        name="gzip",
        count=100,
        url=lambda n: f"{origin}/text.txt?n={n}",
        size=nginx.text_size,
        wire_size=nginx.text_wire_size,
        in_flight=16,
        per_host=16,
    )
    return lab.contenders(work, "library", "aiohttp", "pyreqwest", "curl")


# --- start-up


def _starting(lab: Lab, *keys: str) -> list[Contender]:
    origin = lab.nginx.http
    return lab.contenders(Work(name="start", count=1, url=lambda _: f"{origin}/small", alone=True), *keys)


# --- scale


def _lines(lab: Lab) -> list[Contender]:
    origin = lab.nginx.http

    def work(count: int) -> Work:
        return Work(name="lines", count=count, url=lambda n: f"{origin}/small?n={n}", on_disk=True)

    return [
        lab.contender(work(10_000_000), "command", "asyncfetch get, 10 M lines"),
        lab.contender(work(100_000), "command", "asyncfetch get, 100 k lines"),
    ]


def _hosts(lab: Lab, *keys: str) -> list[Contender]:
    port = lab.nginx.many_port
    pattern = [host for host in range(10) for _ in range(host + 1)]  # ten hosts, with 1 to 10 URLs

    def url(n: int) -> str:
        tens, place = divmod(n, len(pattern))
        host = 10 * tens + pattern[place]
        return f"http://127.{1 + host // 62_500}.{host // 250 % 250}.{1 + host % 250}:{port}/small?n={n}"

    work = Work(name="hosts", count=550_000, url=url, in_flight=256, per_host=8, on_disk=True)
    return lab.contenders(work, *keys)


_ALL = [
    Workload(
        name="one-host",
        title="1 KiB bodies, http, keep-alive, one host, 64 in flight: the library",
        enter=_one_host,
        goals=(*both("aiohttp", 4, 5), *both("curl", 1, 1.2), Goal("wrk", "rate", None, 0.4)),
    ),
    Workload(
        name="command",
        title="the same through the command, a record of each URL into a file, display off",
        enter=_records,
        goals=(*both("aiohttp", 3, 4), *both("curl", 0.9, 1)),
    ),
    Workload(
        name="live",
        title="the same with the live display on a terminal, at most 8 % more CPU (aim 5 %)",
        enter=_live,
        goals=(Goal("command", "cpu", 1 / 1.08, 1 / 1.05),),
    ),
    Workload(
        name="many-hosts",
        title="1 KiB over 100 hosts, 256 in flight, 8 per host",
        enter=_many_hosts,
        goals=both("aiohttp", 3.5, 4.5),
    ),
    Workload(
        name="tls",
        title="1 KiB, https, keep-alive, 64 in flight",
        enter=_tls,
        goals=(*both("aiohttp", 3, 4), *both("curl", 0.9, 1)),
    ),
    Workload(
        name="tls-new",
        title="1 KiB, https, a new connection with a full handshake for each URL, 64 in flight",
        enter=_tls_closing,
        goals=(Goal("aiohttp", "cpu", 1, 1), Goal("curl", "cpu", 1 / 1.1, 1)),
    ),
    Workload(
        name="save-memory",
        title="files of 1 KiB saved, 64 in flight, in memory",
        enter=partial(_save, on_disk=False),
        goals=(*both("curl", 0.75, 1), *both("aria2", 10, 10)),
    ),
    Workload(
        name="save-disk",
        title="files of 1 KiB saved, 64 in flight, on disk",
        enter=partial(_save, on_disk=True),
        goals=(*both("curl", 0.75, 1), *both("aria2", 10, 10)),
    ),
    Workload(
        name="large",
        title="one body of 1 GiB, discarded",
        enter=lambda lab: _large(lab, "command", "library", "aiohttp", "curl", saves=False),
        goals=both("curl", 0.75, 0.9),
        unit="MiB",
    ),
    Workload(
        name="large-file",
        title="one body of 1 GiB into a file in memory",
        enter=lambda lab: _large(lab, "command", "curl", saves=True),
        goals=both("curl", 0.75, 0.9),
        unit="MiB",
    ),
    Workload(
        name="gzip",
        title="gzip bodies, 1 MiB that decode to 10 MiB, 16 in flight",
        enter=_gzip,
        goals=both("aiohttp", 0.95, 1),
        unit="MiB",
    ),
    Workload(
        name="plain-loop",
        title="1 KiB bodies as in one-host, on the plain asyncio loop",
        enter=_plain_loop,
        goals=both("aiohttp-asyncio", 3, 4.5),
    ),
    Workload(
        name="one-at-a-time",
        title="one request at a time on one connection: the rate is one by the latency",
        enter=_one_at_a_time,
        goals=(Goal("aiohttp", "rate", 1 / 0.7, 1 / 0.6), Goal("aiohttp", "cpu", 1 / 0.5, 1 / 0.35)),
    ),
    Workload(
        name="slow-host",
        title="20 hosts of a FaultServer, the first slow (0.1 s), sorted by host, 16 in flight, 4 per host",
        enter=_slow_host,
    ),
    Workload(
        name="import",
        title="import asyncfetch",
        enter=lambda lab: _starting(lab, "import-asyncfetch", "import-asyncio", "import-aiohttp", "import-httpx"),
        goals=both("import-asyncio", 1 / 1.4, 1 / 1.4),
        unit="run",
        often=4,
        net=False,
    ),
    Workload(
        name="help",
        title="asyncfetch --help",
        enter=lambda lab: _starting(lab, "help"),
        goals=(Ceiling("wall", 0.2),),
        unit="run",
        often=2,
        net=False,
    ),
    Workload(
        name="one-url",
        title="asyncfetch get of one URL, from nothing to its end",
        enter=lambda lab: _starting(lab, "command", "ten-lines"),
        goals=both("ten-lines", 1, 1),
        unit="run",
        often=2,
        net=False,
    ),
    Workload(
        name="lines",
        title="lists of 10,000,000 and of 100,000 lines, records into a file",
        enter=_lines,
        goals=(
            Ceiling("memory", 120 * _MIB),
            Goal("asyncfetch get, 100 k lines", "memory", 1 / 1.1, 1 / 1.1),
            Goal("asyncfetch get, 100 k lines", "cpu", 1 / 1.1, 1 / 1.1),
        ),
        often=0.2,
        opt_in=True,
    ),
    Workload(
        name="hosts",
        title="100,000 hosts with 1 to 10 URLs each, records into a file, 256 in flight, 8 per host",
        enter=lambda lab: _hosts(lab, "command"),
        goals=(Ceiling("memory", 250 * _MIB),),
        often=0.2,
        opt_in=True,
    ),
    Workload(
        name="hosts-flat",
        title="the same by the library: the CPU of the last tenth against the first's",
        enter=lambda lab: _hosts(lab, "library"),
        goals=(Ceiling("growth", 1.2),),
        often=0.2,
        opt_in=True,
    ),
]

WORKLOADS = {workload.name: workload for workload in _ALL}
