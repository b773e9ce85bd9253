"""Names to addresses: threads of its own, a cache, one look-up per name in flight.

`getaddrinfo` blocks and cannot be cancelled: a silent name server holds its thread for half a minute. So look-ups
run in daemon threads, which neither the end of the client nor the exit of the program waits for. The threads of
`concurrent.futures` are joined at exit, and those of the loop are shared with all other work of the program.

What is cached is a name's addresses, not those of `host:port`. This file decides nothing about which addresses may
be dialled (guard.py), and in which order they are tried (connection.py).
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any

from asyncfetch.errors import NameNotFound, ResolutionError, ResolutionFailed, shown
from asyncfetch.settings import Network
from asyncfetch.streams.descriptors import SHORTAGE, require_descriptors
from asyncfetch.url import is_address

__all__ = ["AddrInfo", "Lookup", "Resolver"]

AddrInfo = tuple[int, int, int, str, tuple[Any, ...]]
"""(family, type, protocol, canonical name, socket address), as `socket.getaddrinfo` gives them."""

Lookup = Callable[..., Sequence[AddrInfo]]
"""What `socket.getaddrinfo` is."""

_MOST_NAMES = 10_000
_ADDRESSES_REMEMBERED = 4096
_CLOSING_TAKES = 0.1
_NO_SUCH_NAME = frozenset(
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)
)
_IP_VERSIONS: dict[int, str] = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}


class Resolver:
    """Looks names up for one client, in one event loop.

    Attributes:
        at_once: how many names it looks up at the same time.
    """

    def __init__(self, network: Network, *, lookup: Lookup = socket.getaddrinfo) -> None:
        """Take the settings; `lookup` is called in threads, with the arguments of `socket.getaddrinfo`.

        Raises:
            ValueError: an override is not an IP address.
        """
        self.at_once = network.resolver_threads
        self._network = network
        self._lookup = lookup
        self._overrides = {key.lower(): _parse_override(key, text) for key, text in network.overrides.items()}
        self._cache = _Cache(network)
        self._in_flight: dict[str, _InFlight] = {}
        self._threads = _Threads(network.resolver_threads)
        self._closed = False

    async def resolve(self, host: str, port: int) -> list[AddrInfo]:
        """Return the addresses of a host, a name or an IP address without brackets, in the system's order.

        An IP address, and a host that `Network.overrides` names, is answered at once. The list is not empty, and
        belongs to the caller.

        Raises:
            NameNotFound: there is no such name, or it has no address of the wanted family.
            ResolutionFailed: the name server failed or did not answer, or the resolver is closed.
        """
        known = self._known_address(host, port)
        if known is not None:
            return [known]
        answer = self._cache.get(host, asyncio.get_running_loop().time())
        if answer is None:
            answer = await self._look_up(host)
        if isinstance(answer, BaseException):
            raise _translate(answer, host, self._network.address_family) from answer
        return [_with_port(info, port) for info in answer]

    def knows(self, host: str, port: int) -> bool:
        """Whether `resolve` would answer at once."""
        if is_address(host):
            return True
        if self._overrides and f"{host}:{port}" in self._overrides:
            return True
        return self._cache.get(host, time.monotonic()) is not None

    def close(self) -> None:
        """End the threads; who still waits for a name gets `ResolutionFailed`.

        A look-up that is stuck is left alone, its thread ends after it. Takes 0.1 s at most.
        """
        self._closed = True
        for in_flight in self._in_flight.values():
            in_flight.answer(_closed())
        self._in_flight.clear()
        self._threads.close()

    def _known_address(self, host: str, port: int) -> AddrInfo | None:
        address = host
        if self._overrides:
            address = self._overrides.get(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", host)
        info = _parse_address(address, port)
        if info is not None and self._network.address_family not in (socket.AF_UNSPEC, info[0]):
            wanted = _IP_VERSIONS[self._network.address_family]
            raise NameNotFound(f"{shown(address)} is not an {wanted} address, and no other is wanted")
        return info

    async def _look_up(self, host: str) -> _Answer:
        """Wait for the look-up of this name, which is begun if there is none."""
        if self._closed:
            return _closed()
        in_flight = self._in_flight.get(host)
        if in_flight is None:
            in_flight = self._in_flight[host] = _InFlight(host, asyncio.get_running_loop(), self._arrived)
            self._threads.submit(lambda: in_flight.run(self._lookup, self._network.address_family))
        try:
            return await in_flight.wait()
        finally:
            if in_flight.abandon():
                self._in_flight.pop(host, None)

    def _arrived(self, in_flight: _InFlight, answer: _Answer) -> None:
        if self._closed:
            return
        del self._in_flight[in_flight.host]
        if not _is_shortage(answer):
            self._cache.put(in_flight.host, answer, in_flight.loop.time())
        in_flight.answer(answer)


_Answer = list[AddrInfo] | BaseException
"""The addresses, without a port, or why there are none."""


def _is_shortage(answer: _Answer) -> bool:
    """Whether no descriptor was left for the look-up: that says nothing about the name."""
    return isinstance(answer, OSError) and answer.errno in SHORTAGE


class _InFlight:
    """One look-up, and who waits for it. Lives in the loop; only `run` is called in a thread."""

    def __init__(
        self, host: str, loop: asyncio.AbstractEventLoop, arrived: Callable[[_InFlight, _Answer], None]
    ) -> None:
        self.host = host
        self.loop = loop
        self._arrived = arrived
        self._waiters: set[asyncio.Future[_Answer]] = set()
        self._claim = threading.Lock()  # taken once: by the thread that begins, or by the last who leaves before

    async def wait(self) -> _Answer:
        waiter: asyncio.Future[_Answer] = self.loop.create_future()
        self._waiters.add(waiter)
        try:
            return await waiter
        finally:
            self._waiters.discard(waiter)

    def answer(self, answer: _Answer) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(answer)

    def abandon(self) -> bool:
        """Give it up if nobody waits any more and no thread has begun; one that has begun may fill the cache."""
        return not self._waiters and self._claim.acquire(blocking=False)

    def run(self, lookup: Lookup, family: int) -> None:
        """Look the name up, and bring the answer to the loop."""
        if not self._claim.acquire(blocking=False):
            return
        answer: _Answer
        try:
            answer = _usable(_ask(lookup, self.host, family))
        except Exception as error:
            answer = error.with_traceback(None)
        with suppress(RuntimeError):  # the loop was closed meanwhile
            self.loop.call_soon_threadsafe(self._arrived, self, answer)


class _Cache:
    """Answers by name, each for its time; of too many the oldest go. Times are the loop's, in seconds."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._answers: dict[str, tuple[float, _Answer]] = {}

    def get(self, host: str, now: float) -> _Answer | None:
        expires, answer = self._answers.get(host, (now, None))
        return answer if now < expires else None

    def put(self, host: str, answer: _Answer, now: float) -> None:
        self._answers.pop(host, None)
        failed = isinstance(answer, BaseException)
        ttl = self._network.failure_ttl if failed else self._network.name_ttl
        self._answers[host] = (now + ttl, answer)
        if len(self._answers) > _MOST_NAMES:
            del self._answers[next(iter(self._answers))]


class _Threads:
    """Up to so many daemon threads, made when there is work and nobody idle."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def submit(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)
        if self._idle.acquire(blocking=False) or len(self._threads) == self._most:
            return
        name = f"asyncfetch-dns-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job
            self._idle.release()

    def close(self) -> None:
        """Drop the jobs that no thread has taken, and end the threads; those that are idle are gone on return."""
        with suppress(Empty):
            while True:
                self._jobs.get_nowait()
        for _ in self._threads:
            self._jobs.put(None)
        until = time.monotonic() + _CLOSING_TAKES
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))


def _ask(lookup: Lookup, host: str, family: int) -> Sequence[AddrInfo]:
    """Look a name up; a failure is believed only if there were descriptors for it, before and after.

    Raises:
        OSError: the look-up failed, or had no descriptors.
    """
    require_descriptors()
    try:
        return lookup(host, None, family=family, type=socket.SOCK_STREAM)
    except socket.gaierror:
        require_descriptors()
        raise


def _usable(infos: Sequence[AddrInfo]) -> list[AddrInfo]:
    """Keep what can be dialled, each address once; a hosts file may name one twice."""
    usable = list(dict.fromkeys(info for info in infos if info[0] in _IP_VERSIONS))
    if not usable:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    return usable


def _with_port(info: AddrInfo, port: int) -> AddrInfo:
    family, kind, protocol, canonical_name, address = info
    return family, kind, protocol, canonical_name, (address[0], port, *address[2:])


def _parse_address(text: str, port: int) -> AddrInfo | None:
    """Read an IP address, IPv6 with its scope, or return None for a name."""
    read = _read_address if "%" in text else _remember_address  # scopes come and go
    try:
        return read(text, port)
    except (ValueError, OSError):
        return None


def _read_address(text: str, port: int) -> AddrInfo:
    ipaddress.ip_address(text)
    # Numeric only: the system reads it, and knows its own scopes, without asking anybody.
    return socket.getaddrinfo(text, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0]


_remember_address = lru_cache(_ADDRESSES_REMEMBERED)(_read_address)


def _parse_override(key: str, text: str) -> str:
    address = text.strip().removeprefix("[").removesuffix("]")
    if _parse_address(address, 0) is None:
        raise ValueError(f"the override of {shown(key)} is not an IP address: {shown(text)}")
    return address


def _translate(error: BaseException, host: str, family: int) -> ResolutionError:
    name = shown(host)
    if isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_NAME:
        wanted = f"no {_IP_VERSIONS[family]} address" if family in _IP_VERSIONS else "no address"
        return NameNotFound(f"the name {name} does not exist, or has {wanted}")
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return ResolutionFailed(f"the name server did not answer for {name}, for now")
    if isinstance(error, UnicodeError):
        return ResolutionFailed(f"{name} cannot be looked up: a label is empty or longer than 63 bytes")
    reason = error.strerror if isinstance(error, OSError) else None
    return ResolutionFailed(f"the look-up of {name} failed: {reason or type(error).__name__}")


def _closed() -> OSError:
    return OSError(errno.ECANCELED, "the resolver is closed")
