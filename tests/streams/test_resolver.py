"""The resolver, with real threads; look-ups that would need a name server are stood in for by functions."""

from __future__ import annotations

import asyncio
import errno
import gc
import resource
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from asyncfetch.errors import FetchError, NameNotFound, ResolutionFailed
from asyncfetch.settings import Network
from asyncfetch.streams import resolver as resolver_module
from asyncfetch.streams.resolver import AddrInfo, Resolver
from tests.soon import SOON

V4 = socket.AF_INET
V6 = socket.AF_INET6
TCP = (socket.SOCK_STREAM, socket.IPPROTO_TCP)


def ipv4(address: str, port: int = 0) -> AddrInfo:
    return (V4, *TCP, "", (address, port))


class Names:
    """Stands where `getaddrinfo` does: knows some names, counts calls, and can be held up."""

    def __init__(self, known: dict[str, Any] | None = None) -> None:
        self.known = known or {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.threads: set[str] = set()
        self.may_go = threading.Event()
        self.may_go.set()
        self._lock = threading.Lock()

    def __call__(self, host: str, port: None, **asked: Any) -> Sequence[AddrInfo]:
        with self._lock:
            self.calls.append((host, asked))
            self.threads.add(threading.current_thread().name)
        assert self.may_go.wait(10)
        found = self.known.get(host, [ipv4("192.0.2.1")])
        if isinstance(found, Exception):
            raise found
        return list(found)

    @property
    def hosts(self) -> list[str]:
        return [host for host, _ in self.calls]

    @contextmanager
    def stuck(self) -> Iterator[None]:
        """Let no look-up end inside."""
        self.may_go.clear()
        try:
            yield
        finally:
            self.may_go.set()


@pytest.fixture
def make_resolver() -> Iterator[Callable[..., Resolver]]:
    """Make resolvers that are closed at the end."""
    made: list[Resolver] = []

    def make(lookup: Any = socket.getaddrinfo, **settings: Any) -> Resolver:
        made.append(Resolver(Network(**settings), lookup=lookup))
        return made[-1]

    yield make
    for resolver in made:
        resolver.close()


def resolver_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("asyncfetch-dns")]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


Make = Callable[..., Resolver]


# Addresses, overrides


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", (V4, *TCP, "", ("127.0.0.1", 8080))),
        ("::1", (V6, *TCP, "", ("::1", 8080, 0, 0))),
        ("2001:db8::7", (V6, *TCP, "", ("2001:db8::7", 8080, 0, 0))),
        ("::ffff:10.0.0.1", (V6, *TCP, "", ("::ffff:10.0.0.1", 8080, 0, 0))),
    ],
)
async def test_address_needs_no_look_up(make_resolver: Make, host: str, expected: AddrInfo) -> None:
    """An IP address is answered at once: no look-up, no thread."""
    names = Names()
    assert await make_resolver(names).resolve(host, 8080) == [expected]
    assert names.calls == []
    assert resolver_threads() == []


async def test_scope_of_an_ipv6_address_is_kept(make_resolver: Make) -> None:
    """A link-local address keeps the interface that it belongs to (RFC 4007 section 11)."""
    index = socket.if_nametoindex("lo")
    [(_, _, _, _, address)] = await make_resolver(Names()).resolve("fe80::1%lo", 80)
    assert address[1:] == (80, 0, index)


@pytest.mark.parametrize(("host", "family", "version"), [("127.0.0.1", "ipv6", "IPv6"), ("::1", "ipv4", "IPv4")])
async def test_address_of_the_unwanted_family_is_not_found(
    make_resolver: Make, host: str, family: str, version: str
) -> None:
    """With only one family wanted, an address of the other is refused by name."""
    with pytest.raises(NameNotFound, match=f"'{host}' is not an {version} address"):
        await make_resolver(Names(), family=family).resolve(host, 80)


async def test_override_stands_for_one_host_and_port(make_resolver: Make) -> None:
    """An override answers for its host and port, in any case, with or without brackets, and for no other."""
    names = Names()
    overrides = {"Example.test:443": "127.0.0.9", "v6.test:80": "[::1]", "[::2]:80": "::3"}
    resolver = make_resolver(names, overrides=overrides)
    assert await resolver.resolve("example.test", 443) == [ipv4("127.0.0.9", 443)]
    assert (await resolver.resolve("v6.test", 80))[0][4][:2] == ("::1", 80)
    assert (await resolver.resolve("::2", 80))[0][4][0] == "::3"
    assert names.calls == []
    assert await resolver.resolve("example.test", 80) == [ipv4("192.0.2.1", 80)]
    assert names.hosts == ["example.test"]


@pytest.mark.parametrize("address", ["example.org", "", "127.0.0.1:80", "\x1b[2J"])
def test_override_must_be_an_address(address: str) -> None:
    """An override that is no IP address is refused when the resolver is made, in printable words."""
    with pytest.raises(ValueError, match=r"the override of 'a.test:80' is not an IP address") as caught:
        Resolver(Network(overrides={"a.test:80": address}))
    assert str(caught.value).isprintable()


# Look-ups


async def test_real_look_up_of_localhost(make_resolver: Make) -> None:
    """The system's own look-up finds localhost on the loopback interface, with the port that was asked for."""
    infos = await make_resolver().resolve("localhost", 4321)
    assert infos
    for family, kind, _, _, address in infos:
        assert (family, address[0]) in ((V4, "127.0.0.1"), (V6, "::1"))
        assert kind == socket.SOCK_STREAM
        assert address[1] == 4321


async def test_real_look_up_of_one_family(make_resolver: Make) -> None:
    """Only addresses of the wanted family come back."""
    infos = await make_resolver(family="ipv4").resolve("localhost", 80)
    assert {info[0] for info in infos} == {V4}


async def test_what_is_asked_of_the_system(make_resolver: Make) -> None:
    """TCP addresses of the wanted family are asked for, and no port."""
    names = Names()
    await make_resolver(names, family="ipv6").resolve("a.test", 80)
    assert names.calls == [("a.test", {"family": V6, "type": socket.SOCK_STREAM})]


async def test_order_is_kept_and_doubles_and_foreign_families_are_left_out(make_resolver: Make) -> None:
    """The system's order (RFC 6724) stays; an address that is named twice is given once."""
    unix = (socket.AF_UNIX, *TCP, "", ("/tmp/x",))
    v6 = (V6, *TCP, "", ("2001:db8::1", 0, 0, 3))
    names = Names({"a.test": [v6, ipv4("192.0.2.9"), unix, v6, ipv4("192.0.2.9"), ipv4("192.0.2.3")]})
    infos = await make_resolver(names).resolve("a.test", 81)
    assert [info[4] for info in infos] == [("2001:db8::1", 81, 0, 3), ("192.0.2.9", 81), ("192.0.2.3", 81)]


# The cache


async def test_name_is_looked_up_once_for_all_ports(make_resolver: Make) -> None:
    """A name that is known is not looked up again, on no port; the list belongs to the caller."""
    names = Names()
    resolver = make_resolver(names)
    first = await resolver.resolve("a.test", 80)
    first.clear()
    assert await resolver.resolve("a.test", 80) == [ipv4("192.0.2.1", 80)]
    assert await resolver.resolve("a.test", 443) == [ipv4("192.0.2.1", 443)]
    assert names.hosts == ["a.test"]


@pytest.mark.slow
async def test_knows_what_needs_no_look_up(make_resolver: Make) -> None:
    """Addresses, names with an override for the port, and what is in the cache, good or bad, for its time."""
    names = Names({"no.test": socket.gaierror(socket.EAI_NONAME, "no such name")})
    resolver = make_resolver(names, overrides={"o.test:80": "192.0.2.9"}, name_ttl=0.5)
    assert all(resolver.knows(host, 80) for host in ("127.0.0.1", "::1", "fe80::1%lo", "o.test"))
    assert not any(resolver.knows(host, 81) for host in ("a.test", "o.test", "no.test"))
    await resolver.resolve("a.test", 80)
    with pytest.raises(NameNotFound):
        await resolver.resolve("no.test", 80)
    assert resolver.knows("a.test", 81)
    assert resolver.knows("no.test", 81)
    await asyncio.sleep(0.51)
    assert not resolver.knows("a.test", 81)


async def test_answers_expire(make_resolver: Make) -> None:
    """After `name_ttl` a name is looked up again."""
    names = Names()
    resolver = make_resolver(names, name_ttl=0.01)
    await resolver.resolve("a.test", 80)
    await asyncio.sleep(0.02)
    names.known["a.test"] = [ipv4("192.0.2.2")]
    assert await resolver.resolve("a.test", 80) == [ipv4("192.0.2.2", 80)]
    assert names.hosts == ["a.test", "a.test"]


@pytest.mark.slow
async def test_failures_are_kept_for_a_shorter_time(make_resolver: Make) -> None:
    """A dead name costs one look-up for `failure_ttl`, however long good names are kept."""
    names = Names({"a.test": socket.gaierror(socket.EAI_NONAME, "no such name")})
    resolver = make_resolver(names, name_ttl=60, failure_ttl=0.5)
    for _ in range(3):
        with pytest.raises(NameNotFound):
            await resolver.resolve("a.test", 80)
    assert len(names.calls) == 1
    await asyncio.sleep(0.51)
    del names.known["a.test"]
    assert await resolver.resolve("a.test", 80)
    assert len(names.calls) == 2


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
async def test_a_shortage_of_descriptors_is_not_kept(make_resolver: Make, number: int) -> None:
    """A look-up for which no descriptor was left says nothing about the name: the next one asks again."""
    names = Names({"a.test": OSError(number, "too many open files")})
    resolver = make_resolver(names, failure_ttl=60)
    with pytest.raises(ResolutionFailed):
        await resolver.resolve("a.test", 80)
    del names.known["a.test"]
    assert await resolver.resolve("a.test", 80)


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_no_such_name_is_not_believed_without_descriptors(make_resolver: Make) -> None:
    """The system says the same when it could not read its files or ask anybody: then it is a shortage."""
    resolver = make_resolver(failure_ttl=60)
    with no_descriptor_left(), pytest.raises(ResolutionFailed, match="Too many open files") as caught:
        await resolver.resolve("localhost", 80)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EMFILE
    assert await resolver.resolve("localhost", 80)


async def test_a_shortage_that_comes_during_a_look_up_is_noticed(make_resolver: Make) -> None:
    """A name that is not found while nothing can be opened any more may exist all the same."""

    def lookup(*_: object, **__: object) -> list[AddrInfo]:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        limits.append((soft, hard))
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    limits: list[tuple[int, int]] = []
    resolver = make_resolver(lookup)
    try:
        with pytest.raises(ResolutionFailed, match="Too many open files"):
            await resolver.resolve("a.test", 80)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits[0])


def test_cache_is_bounded_and_drops_the_oldest() -> None:
    """Of more than 10,000 names the ones that were stored first are forgotten; storing again renews."""
    cache = resolver_module._Cache(Network())
    for number in range(10_000):
        cache.put(str(number), [], now=0.0)
    cache.put("0", [], now=1.0)
    cache.put("new", [], now=1.0)
    assert cache.get("0", 2.0) == []
    assert cache.get("1", 2.0) is None
    assert cache.get("2", 2.0) == []
    assert cache.get("2", 60.0) is None
    assert len(cache._answers) == 10_000


# Many at once


async def test_one_look_up_per_name_in_flight(make_resolver: Make) -> None:
    """All who ask for a name at the same time share one look-up."""
    names = Names()
    resolver = make_resolver(names)
    with names.stuck():
        asking = [asyncio.ensure_future(resolver.resolve("a.test", port)) for port in range(1, 21)]
        await until(lambda: names.hosts == ["a.test"])
    assert [infos[0][4][1] for infos in await asyncio.gather(*asking)] == list(range(1, 21))
    assert names.hosts == ["a.test"]


async def test_threads_are_made_as_needed_and_no_more_than_allowed(make_resolver: Make) -> None:
    """One thread serves one look-up after the other; many at once get so many threads as are allowed."""
    names = Names()
    resolver = make_resolver(names, resolver_threads=3)
    for number in range(5):
        await resolver.resolve(f"{number}.test", 80)
        await asyncio.sleep(0.002)
    assert len(resolver_threads()) < 3
    with names.stuck():
        asking = [asyncio.ensure_future(resolver.resolve(f"many-{number}.test", 80)) for number in range(10)]
        await until(lambda: len(names.calls) == 8)
        assert len(resolver_threads()) == 3
    await asyncio.gather(*asking)
    assert len(set(names.hosts)) == len(names.calls) == 15
    assert all(thread.daemon for thread in resolver_threads())


async def test_stuck_name_does_not_hold_up_others(make_resolver: Make) -> None:
    """While one look-up hangs, others are answered."""
    slow, quick = Names(), Names()

    def lookup(host: str, port: None, **asked: Any) -> Sequence[AddrInfo]:
        return (slow if host == "slow.test" else quick)(host, port, **asked)

    resolver = make_resolver(lookup, resolver_threads=2)
    with slow.stuck():
        asking = asyncio.ensure_future(resolver.resolve("slow.test", 80))
        await until(lambda: bool(slow.calls))
        for number in range(10):
            await resolver.resolve(f"{number}.test", 80)
        assert not asking.done()
    await asking


# Cancellation


async def test_cancelling_one_waiter_leaves_the_others(make_resolver: Make) -> None:
    """Who is cancelled leaves at once; who still waits gets the answer."""
    names = Names()
    resolver = make_resolver(names)
    with names.stuck():
        first, second = (asyncio.ensure_future(resolver.resolve("a.test", 80)) for _ in range(2))
        await until(lambda: bool(names.calls))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert not second.done()
    assert await second
    assert names.hosts == ["a.test"]


async def test_waiter_cancelled_as_the_answer_comes(make_resolver: Make) -> None:
    """A waiter that is cancelled in the very turn of the loop in which the answer comes harms nobody."""
    names = Names()
    resolver = make_resolver(names)
    with names.stuck():
        first, second = (asyncio.ensure_future(resolver.resolve("a.test", 80)) for _ in range(2))
        await until(lambda: bool(names.calls))
        in_flight = resolver._in_flight["a.test"]
    first.cancel()
    in_flight.answer([ipv4("192.0.2.1")])
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second


async def test_look_up_that_all_left_fills_the_cache(make_resolver: Make) -> None:
    """A look-up that has begun ends even if nobody waits, and is not begun twice."""
    names = Names()
    resolver = make_resolver(names)
    with names.stuck():
        asking = asyncio.ensure_future(resolver.resolve("a.test", 80))
        await until(lambda: bool(names.calls))
        asking.cancel()
        await asyncio.wait([asking])
        again = asyncio.ensure_future(resolver.resolve("a.test", 80))
        await asyncio.sleep(0)
    assert await again
    assert await resolver.resolve("a.test", 443)
    assert names.hosts == ["a.test"]


async def test_look_up_that_all_left_before_it_began_is_dropped(make_resolver: Make) -> None:
    """A name that nobody waits for any more takes no thread; asked again, it is looked up."""
    names = Names()
    resolver = make_resolver(names, resolver_threads=1)
    with names.stuck():
        holding = asyncio.ensure_future(resolver.resolve("holding.test", 80))
        await until(lambda: bool(names.calls))
        queued = [asyncio.ensure_future(resolver.resolve(f"{number}.test", 80)) for number in range(5)]
        await asyncio.sleep(0)
        for task in queued:
            task.cancel()
        await asyncio.wait(queued)
        again = asyncio.ensure_future(resolver.resolve("3.test", 80))
    await asyncio.gather(holding, again)
    assert names.hosts == ["holding.test", "3.test"]


async def test_leaving_a_queued_look_up_to_others(make_resolver: Make) -> None:
    """A look-up that has not begun goes on as long as one waits for it."""
    names = Names()
    resolver = make_resolver(names, resolver_threads=1)
    with names.stuck():
        holding = asyncio.ensure_future(resolver.resolve("holding.test", 80))
        await until(lambda: bool(names.calls))
        first, second = (asyncio.ensure_future(resolver.resolve("a.test", 80)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
    async with asyncio.timeout(5):
        await asyncio.gather(holding, second)
    assert names.hosts == ["holding.test", "a.test"]


# Failures


@pytest.mark.parametrize(
    ("raised", "kind", "sentence"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), NameNotFound, "'a.test' does not exist, or has no address"),
        (socket.gaierror(socket.EAI_NODATA, "x"), NameNotFound, "'a.test' does not exist, or has no address"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), ResolutionFailed, "did not answer for 'a.test'"),
        (socket.gaierror(socket.EAI_FAIL, "It broke"), ResolutionFailed, "of 'a.test' failed: It broke"),
        (OSError(5, "I/O error"), ResolutionFailed, "of 'a.test' failed: I/O error"),
        (OSError(), ResolutionFailed, "of 'a.test' failed: OSError"),
        (UnicodeError("label too long"), ResolutionFailed, "'a.test' cannot be looked up"),
        (RuntimeError("can't start"), ResolutionFailed, "of 'a.test' failed: RuntimeError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_failures_are_translated(
    make_resolver: Make, raised: Exception, kind: type[FetchError], sentence: str
) -> None:
    """Each failure becomes one of two errors that name the host, from the original."""
    with pytest.raises(kind, match=sentence) as caught:
        await make_resolver(Names({"a.test": raised})).resolve("a.test", 80)
    assert type(caught.value) is kind
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("addresses", [[], [(socket.AF_UNIX, *TCP, "", ("/x",))]])
async def test_no_usable_address_is_not_found(make_resolver: Make, addresses: list[AddrInfo]) -> None:
    """A name without an IP address is one that was not found; the wanted family is named."""
    with pytest.raises(NameNotFound, match="has no IPv4 address"):
        await make_resolver(Names({"a.test": addresses}), family="ipv4").resolve("a.test", 80)


@pytest.mark.parametrize("host", ["a..test", "x" * 64 + ".test", "\x1b[2J\n.test"])
async def test_impossible_names_with_the_real_look_up(make_resolver: Make, host: str) -> None:
    """A name that DNS cannot carry fails without asking anybody, in printable words."""
    with pytest.raises(FetchError) as caught:
        await make_resolver().resolve(host, 80)
    assert caught.value.phase == "dns"
    assert str(caught.value).isprintable()


async def test_every_waiter_gets_its_own_error(make_resolver: Make) -> None:
    """No exception instance is raised twice, from the look-up or from the cache, and none keeps frames alive."""
    names = Names({"a.test": socket.gaierror(socket.EAI_NONAME, "no such name")})
    resolver = make_resolver(names)
    with names.stuck():
        asking = [asyncio.ensure_future(resolver.resolve("a.test", 80)) for _ in range(3)]
        await until(lambda: bool(names.calls))
    errors = await asyncio.gather(*asking, resolver.resolve("a.test", 80), return_exceptions=True)
    assert len({id(error) for error in errors}) == 4
    for error in errors:
        assert isinstance(error, NameNotFound)
        assert error.__cause__ is not None
        assert error.__cause__.__traceback__ is None


# The end


async def test_close_ends_idle_threads(make_resolver: Make) -> None:
    """After `close` no idle thread is left, and it takes no time; a second `close` is harmless."""
    resolver = make_resolver(Names())
    await asyncio.gather(*(resolver.resolve(f"{number}.test", 80) for number in range(20)))
    started = time.monotonic()
    resolver.close()
    assert time.monotonic() - started < SOON
    assert resolver_threads() == []
    resolver.close()


async def test_close_waits_for_no_stuck_look_up(make_resolver: Make) -> None:
    """`close` leaves stuck look-ups alone and drops the queued ones; who waits gets an error at once."""
    names = Names()
    resolver = make_resolver(names, resolver_threads=2)
    with names.stuck():
        asking = [asyncio.ensure_future(resolver.resolve(f"{number}.test", 80)) for number in range(5)]
        await until(lambda: len(names.calls) == 2)
        started = time.monotonic()
        resolver.close()
        assert time.monotonic() - started < SOON
        assert len(resolver_threads()) == 2
    for thread in resolver_threads():
        thread.join(1)
    assert len(names.calls) == 2
    for task in asking:
        with pytest.raises(ResolutionFailed, match="the resolver is closed"):
            await task


async def test_closed_resolver_looks_nothing_up(make_resolver: Make) -> None:
    """After `close`, what is known is still answered, and a new name is an error."""
    names = Names()
    resolver = make_resolver(names)
    await resolver.resolve("a.test", 80)
    resolver.close()
    assert await resolver.resolve("a.test", 80)
    assert await resolver.resolve("127.0.0.1", 80)
    with pytest.raises(ResolutionFailed, match="the resolver is closed"):
        await resolver.resolve("b.test", 80)
    assert resolver_threads() == []


async def test_answer_after_close_is_ignored(make_resolver: Make) -> None:
    """A look-up that ends after `close` changes nothing."""
    names = Names()
    resolver = make_resolver(names)
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    with names.stuck():
        asking = asyncio.ensure_future(resolver.resolve("a.test", 80))
        await until(lambda: bool(names.calls))
        resolver.close()
        await asyncio.wait([asking])
    await until(lambda: not resolver_threads())
    await asyncio.sleep(0.001)
    assert isinstance(asking.exception(), ResolutionFailed)
    assert complaints == []
    assert resolver._cache.get("a.test", 0.0) is None


def test_answer_after_the_loop_is_closed_is_ignored() -> None:
    """A look-up that outlives its event loop ends its thread quietly."""
    names = Names()
    resolver = Resolver(Network(), lookup=names)

    async def ask_and_leave() -> None:
        asking = asyncio.ensure_future(resolver.resolve("a.test", 80))
        await until(lambda: bool(names.calls))
        asking.cancel()
        await asyncio.wait([asking])

    with names.stuck():
        asyncio.run(ask_and_leave())
    resolver.close()
    for thread in resolver_threads():
        thread.join(1)


STUCK = """
import asyncio, sys, threading, time
from asyncfetch.settings import Network
from asyncfetch.streams.resolver import Resolver

begun = threading.Event()

def lookup(host, port, **asked):
    begun.set()
    time.sleep(60)

async def main():
    resolver = Resolver(Network(), lookup=lookup)
    asking = asyncio.ensure_future(resolver.resolve("a.test", 80))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    asking.cancel()
    resolver.close()

asyncio.run(main())
print(time.time())
"""


@pytest.mark.slow
def test_stuck_look_up_does_not_delay_the_exit() -> None:
    """A program with a stuck look-up exits at its end."""
    out = subprocess.run([sys.executable, "-c", STUCK], check=True, capture_output=True, timeout=20).stdout
    assert time.time() - float(out) < SOON


async def test_idle_threads_keep_nothing_alive(make_resolver: Make) -> None:
    """A thread that waits for work does not hold on to its last look-up."""
    names = Names()
    resolver = make_resolver(names)
    with names.stuck():
        asking = asyncio.ensure_future(resolver.resolve("a.test", 80))
        await until(lambda: bool(names.calls))
        in_flight = weakref.ref(resolver._in_flight["a.test"])
    await asking
    gc.collect()
    await until(lambda: in_flight() is None)
