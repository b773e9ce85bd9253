"""The small internet of the demo: hosts of every temper on this machine's loopback addresses.

`make_hosts` says who they are and which URLs they have; the demo writes its list from that. Run as a program,
`python -m asyncfetch.cli.demo_hosts SECONDS`, this module serves them: it writes their addresses to stdout, as one
line of JSON, and ends when its stdin does. So it never outlives the demo, however that one ends.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from time import monotonic

import anyio.to_thread

from asyncfetch.cli.exits import Exit, guarded, leave, put
from asyncfetch.cli.running import run_in_loop
from asyncfetch.testing import (
    Answer,
    Close,
    Drip,
    FaultServer,
    Reply,
    Reset,
    Script,
    SeenRequest,
    Send,
    Silence,
    redirect,
    unused_port,
)

__all__ = ["DemoHost", "make_hosts", "open_servers", "serve"]

Temper = Callable[[SeenRequest], Answer]

_NETWORK = "127.0.77"
_PIECE = 16 * 1024  # bytes of a large file that are sent at once
_HTML = "text/html; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class DemoHost:
    """One host.

    Attributes:
        name: its name, under `.test` (RFC 6761).
        paths: what it is asked for.
        temper: how it answers, or None if nothing listens there.
    """

    name: str
    paths: list[str]
    temper: Temper | None


def make_hosts(seconds: int, places: Mapping[str, str]) -> list[DemoHost]:
    """Return the hosts, each with as many URLs as keep it busy for most of `seconds`, 1 or more.

    Args:
        seconds: how long the demo takes.
        places: where redirects find the `address:port` of a name, once it is known.
    """
    tempers: list[tuple[str, int, str, int, Callable[[int], Temper | None]]] = [
        ("fast", 6, "page", 24 * seconds, lambda n: _answer_well(1_500 * n, 0.05 + 0.005 * n)),
        ("gzip", 4, "log", 16 * seconds, lambda n: _answer_well(6_000 * n, 0.09, compressed=True)),
        ("flaky", 6, "item", 6 * seconds, _answer_at_times),
        ("slow", 6, "report", 7 * seconds, lambda n: _answer_well(10_000, 0.3 + 0.06 * n)),
        ("moved", 4, "old", 10 * seconds, lambda n: _answer_elsewhere(f"fast-{n}.test", places)),
        ("busy", 5, "api", 5 * seconds, lambda n: _answer_in_bursts(14, pause=1 + n // 4)),
        ("large", 4, "file", 2 * min(seconds, 12), lambda _: _answer_at_length(400_000)),
        ("gone", 3, "post", 5 * seconds, lambda _: _answer_gone),
        ("dead", 4, "page", 2 * seconds, lambda _: None),
        ("mute", 2, "page", 1, lambda _: _answer_nothing),
        ("odd", 2, "page", seconds, lambda _: _answer_oddly),
    ]
    return [
        DemoHost(f"{name}-{n}.test", [f"/{what}/{path}" for path in range(1, urls + 1)], make(n))
        for name, hosts, what, urls, make in tempers
        for n in range(1, hosts + 1)
    ]


# --- tempers


def _page(size: int) -> bytes:
    """A page of a log: it compresses as such text does."""
    random = Random(size)  # noqa: S311
    lines = [b"<!doctype html><title>a page of asyncfetch demo</title><pre>"]
    while sum(map(len, lines)) < size:
        lines.append(b"%08x  GET /%x  200  %d bytes" % (random.getrandbits(32), random.getrandbits(20), size))
    return b"\n".join(lines) + b"\n"


def _number(request: SeenRequest) -> int:
    return int(request.path.rpartition("/")[2])


def _answer_well(size: int, delay: float, *, compressed: bool = False) -> Temper:
    """Answers of eight sizes and delays, around those that are given."""
    replies = [
        Reply(
            body=_page(size * (2 + n) // 5),
            headers={"Content-Type": _TEXT if compressed else _HTML},
            gzip=compressed,
            chunked=compressed,
            delay=delay * (4 + n) / 8,
        )
        for n in range(8)
    ]
    return lambda request: replies[_number(request) % len(replies)]


def _answer_at_times(n: int) -> Temper:
    """Some items fail at first, in one way or another, and a few always."""
    well = _answer_well(8_000, 0.2 + 0.01 * n)
    failures: list[Answer] = [
        Reply(503, b"try again\n", delay=0.05),
        Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 8000\r\n\r\n" + _page(3_000)), Reset()),
        Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 8000\r\n\r\n" + _page(3_000)), Close()),
    ]
    seen: set[str] = set()

    def answer(request: SeenRequest) -> Answer:
        number = _number(request)
        if number % 30 == n:
            return Reply(500, b"out of order\n")
        if number % (3 + n) or request.path in seen:
            return well(request)
        seen.add(request.path)
        return failures[number % len(failures)]

    return answer


def _answer_in_bursts(most: int, pause: int) -> Temper:
    """So many answers, then nothing but the wish to be left alone for `pause` seconds."""
    well = _answer_well(2_000, 0.1)
    refusal = Reply(429, b"too many requests\n", {"Retry-After": str(pause)})
    left, resumes_at = most, 0.0

    def answer(request: SeenRequest) -> Answer:
        nonlocal left, resumes_at
        if left == 0 and monotonic() < resumes_at:
            return refusal
        left = (left or most) - 1
        if left == 0:
            resumes_at = monotonic() + pause
        return well(request)

    return answer


def _answer_elsewhere(other: str, places: Mapping[str, str]) -> Temper:
    """Everything has moved: most to another host, some to a new path here, and one goes round in circles."""
    well = _answer_well(6_000, 0.08)

    def answer(request: SeenRequest) -> Answer:
        number = _number(request)
        if request.path.startswith("/new/"):
            return well(request)
        if number == 7:
            return redirect(request.path)
        if number % 3 == 0:
            return redirect(f"/new/{number}", 301)
        return redirect(f"//{other}:{places[other].rpartition(':')[2]}/page/{number}", 308)

    return answer


def _answer_at_length(size: int) -> Temper:
    """Large files, at the pace of a good line."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n"
    script = Script(Send(head.encode()), Drip(bytes(size), every=0.045, size=_PIECE))
    return lambda _: script


def _answer_gone(request: SeenRequest) -> Answer:
    """Half of what was here is not here any more."""
    status = (404, 200, 410, 200)[_number(request) % 4]
    return Reply(status, _page(1_000), {"Content-Type": _HTML}, delay=0.25)


def _answer_nothing(_: SeenRequest) -> Answer:
    """The request is taken, and that was it."""
    return Script(Silence())


def _answer_oddly(request: SeenRequest) -> Answer:
    """Something that is no HTTP, or contradicts itself."""
    odd = (
        b"SSH-2.0-OpenSSH_9.7\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\nnot zip",
    )
    return Script(Send(odd[_number(request) % len(odd)]), Close())


# --- the servers


async def open_servers(
    hosts: list[DemoHost], places: dict[str, str], stack: AsyncExitStack, *, network: str = _NETWORK
) -> None:
    """Serve the hosts until the stack is closed.

    Each has a loopback address of its own; where the system has only one (macOS), a port of its own.

    Args:
        hosts: who is served.
        places: gets the `address:port` of each, by name.
        stack: closes the servers.
        network: the first three numbers of the addresses.

    Raises:
        OSError: this machine does not let it listen.
    """
    addresses = {host.name: f"{network}.{n}" for n, host in enumerate(hosts, 1)}
    tempers = {addresses[host.name]: host.temper for host in hosts if host.temper is not None}

    def answer(request: SeenRequest) -> Answer:
        return tempers[request.host.rpartition(":")[0]]

    try:
        server = await stack.enter_async_context(FaultServer({"*": answer}, addresses=list(tempers), keep_log=0))
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        await _open_by_port(hosts, places, stack)
    else:
        places.update({name: f"{address}:{server.port}" for name, address in addresses.items()})


async def _open_by_port(hosts: list[DemoHost], places: dict[str, str], stack: AsyncExitStack) -> None:
    for host in hosts:
        if host.temper is None:
            places[host.name] = f"127.0.0.1:{unused_port()}"
        else:
            server = await stack.enter_async_context(FaultServer({"*": host.temper}, keep_log=0))
            places[host.name] = f"127.0.0.1:{server.port}"


async def serve(seconds: int) -> None:
    """Serve the hosts of a demo that takes so long, until stdin ends."""
    places: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        await open_servers(make_hosts(seconds, places), places, stack)
        put(json.dumps(places) + "\n")
        await anyio.to_thread.run_sync(sys.stdin.buffer.read)


def _serve_and_leave() -> int:
    run_in_loop(lambda: serve(int(sys.argv[1])), "auto")
    return Exit.OK


if __name__ == "__main__":
    leave(guarded(_serve_and_leave))
