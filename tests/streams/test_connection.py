"""One connection on real sockets: opened every way, every deadline, every end."""

from __future__ import annotations

import asyncio
import math
import resource
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from time import monotonic
from typing import Any

import pytest

from asyncfetch.errors import (
    CertificateError,
    ConnectBlocked,
    ConnectFailed,
    ConnectRefused,
    ConnectTimeout,
    FetchError,
    FetchTimeout,
    HandshakeFailed,
    HeadTimeout,
    IncompleteMessage,
    NameNotFound,
    ReadTimeout,
    SlowBody,
    TLSError,
    TotalTimeout,
)
from asyncfetch.settings import Network, Timeouts, TLSSettings
from asyncfetch.streams.body import Body, open_body
from asyncfetch.streams.connection import Connection, OutOfDescriptors
from asyncfetch.streams.dialler import Dialler
from asyncfetch.streams.guard import AddressGuard, Guard, allow_all
from asyncfetch.streams.heads import Head, HeadParser
from asyncfetch.streams.http1 import choose_framing, read_head
from asyncfetch.streams.request import encode_request
from asyncfetch.streams.resolver import AddrInfo, Resolver
from asyncfetch.streams.tls import LazyContext
from asyncfetch.testing import (
    Close,
    Drip,
    Endless,
    FaultServer,
    Pause,
    Reply,
    Reset,
    Script,
    Send,
    Silence,
    StopTLS,
    blackhole,
    unused_port,
)
from asyncfetch.testing.fixtures import MakeFaultServer, TLSAuthority
from asyncfetch.trace import TLSSession, Trace
from asyncfetch.url import Origin, Url
from tests.soon import SOON

MIB = 1024 * 1024


def ipv4(address: str) -> AddrInfo:
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 0))


class Seen(Trace):
    """Keeps what a trace is told."""

    def __init__(self) -> None:
        self.steps: list[tuple[Any, ...]] = []
        self.session: TLSSession | None = None

    def resolved(self, host: str, addresses: list[str], seconds: float) -> None:
        self.steps.append(("resolved", host, addresses))

    def trying(self, address: str) -> None:
        self.steps.append(("trying", address))

    def connected(self, address: str, seconds: float) -> None:
        self.steps.append(("connected", address))

    def secured(self, session: TLSSession, seconds: float) -> None:
        self.session = session


class Dials:
    """Opens connections, to names that have the given addresses, and closes them at the end of the test."""

    def __init__(self, authority: TLSAuthority) -> None:
        self._authority = authority
        self._resolvers: list[Resolver] = []
        self._opened: list[Connection] = []

    def make(
        self,
        *addresses: str,
        guard: Guard = allow_all,
        tls: TLSSettings | None = None,
        trace: Trace | None = None,
        lookup: Callable[..., Sequence[AddrInfo]] | None = None,
        stagger: float = 0.05,
        **network: Any,
    ) -> Dialler:
        def look_up(_host: str, _port: None, **_asked: Any) -> list[AddrInfo]:
            return [ipv4(address) for address in addresses]

        resolver = Resolver(Network(**network), lookup=lookup or look_up)
        self._resolvers.append(resolver)
        context = LazyContext(tls or TLSSettings(ca_file=self._authority.ca_file))
        return Dialler(resolver, guard, context, stagger=stagger, trace=trace)

    async def open(self, url: str, *addresses: str, timeout: float = SOON, **settings: Any) -> Connection:
        connection = await self.make(*addresses, **settings).open(Url.parse(url).origin, timeout)
        self._opened.append(connection)
        return connection

    async def close(self) -> None:
        for connection in self._opened:
            connection.abort()
            await connection.wait_closed()
        for resolver in self._resolvers:
            resolver.close()


@pytest.fixture
async def dials(tls_authority: TLSAuthority) -> AsyncIterator[Dials]:
    dials = Dials(tls_authority)
    yield dials
    await dials.close()


@pytest.fixture
def tls_server(make_fault_server: MakeFaultServer, tls_authority: TLSAuthority) -> FaultServer:
    return make_fault_server(ssl_context=tls_authority.server_context("127.0.0.1", "good.test", "last.test."))


PARSER = HeadParser()


@asynccontextmanager
async def swept(connection: Connection, every: float = 0.002) -> AsyncIterator[None]:
    """Ask the connection for its deadlines all the time."""

    async def sweep() -> None:
        while True:
            connection.check(monotonic())
            await asyncio.sleep(every)

    sweeping = asyncio.ensure_future(sweep())
    try:
        yield
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])


async def begin(
    connection: Connection, timeouts: Timeouts, total_at: float = math.inf, path: str = "/"
) -> tuple[Head, Body]:
    """Send a request and read the head of its answer."""
    connection.expect_head(monotonic(), timeouts, total_at)
    connection.write(encode_request("GET", path, connection.origin.authority, b""))
    head = await read_head(connection.reader, PARSER)
    connection.expect_body(monotonic())
    return head, open_body(connection.reader, choose_framing(head, "GET"), PARSER, connection.ended_cleanly)


async def finish(body: Body) -> bytes:
    pieces = []
    while not body.complete:
        pieces.append(await body.read())
    return b"".join(pieces)


async def fetch(connection: Connection, timeouts: Timeouts | None = None, total_at: float = math.inf) -> bytes:
    _, body = await begin(connection, timeouts or Timeouts(), total_at)
    return await finish(body)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


# --- opening


async def test_connection_is_opened(fault_server: FaultServer, dials: Dials) -> None:
    """A connection knows whom it leads to, the address, and what each phase took."""
    fault_server.route("/", Reply(200, b"hello"))
    trace = Seen()
    connection = await dials.open(f"http://a.test:{fault_server.port}", "127.0.0.1", trace=trace)
    assert connection.ip == "127.0.0.1"
    assert connection.origin == Origin("http", f"a.test:{fault_server.port}")
    assert connection.dns_time is not None
    assert connection.connect_time is not None
    assert connection.tls_time is None
    assert is_quiet(connection)
    address = f"127.0.0.1 port {fault_server.port}"
    assert trace.steps == [("resolved", "a.test", ["127.0.0.1"]), ("trying", address), ("connected", address)]
    assert await fetch(connection) == b"hello"
    assert is_quiet(connection)


async def test_dead_address_is_passed_over(fault_server: FaultServer, dials: Dials) -> None:
    """An address that refuses does not matter while another one answers."""
    connection = await dials.open(f"http://a.test:{fault_server.port}", "127.0.0.2", "127.0.0.3", "127.0.0.1")
    assert connection.ip == "127.0.0.1"


async def test_silent_address_is_raced(make_fault_server: MakeFaultServer, dials: Dials) -> None:
    """While an address swallows the connect, the next is tried beside it after the stagger (RFC 8305)."""
    with blackhole("127.0.0.2") as port:
        make_fault_server(port=port)
        began = monotonic()
        connection = await dials.open(f"http://a.test:{port}", "127.0.0.2", "127.0.0.1", stagger=0.05)
        assert connection.ip == "127.0.0.1"
        assert monotonic() - began > 0.04


async def test_refused(dials: Dials) -> None:
    """Where nothing listens, the addresses are named, four at most."""
    port = unused_port()
    with pytest.raises(ConnectRefused, match=f"connection refused by 127.0.0.1 port {port}$"):
        await dials.open(f"http://127.0.0.1:{port}")
    with pytest.raises(ConnectRefused, match=r"127.0.0.2 port .*, 127.0.0.5 port \d+ and 2 more$"):
        await dials.open(f"http://a.test:{port}", *(f"127.0.0.{last}" for last in range(2, 8)))


async def test_failed(dials: Dials) -> None:
    """Where the network does not carry a connection, its reason is given."""
    with pytest.raises(ConnectFailed, match=r"could not connect to 255.255.255.255 port 80: [A-Z]"):
        await dials.open("http://a.test", "255.255.255.255")
    with pytest.raises(ConnectFailed, match=r"127.0.0.1 port .*: Multiple exceptions: .*Errno"):
        await dials.open(f"http://a.test:{unused_port()}", "255.255.255.255", "127.0.0.1")


async def test_no_name(dials: Dials) -> None:
    """What the resolver says leaves as it is."""
    with pytest.raises(NameNotFound):
        await dials.open("http://a.test")


async def test_blocked(fault_server: FaultServer, dials: Dials) -> None:
    """The guard is asked about the addresses, before any is dialled; those that it lets pass are used."""
    url = f"http://a.test:{fault_server.port}"
    with pytest.raises(ConnectBlocked, match=r"127\.0\.0\.1 is blocked: loopback"):
        await dials.open(url, "127.0.0.1", guard=AddressGuard(public_only=True))
    assert fault_server.seen.connections == 0
    trace = Seen()
    guard = AddressGuard(deny=["127.0.0.2"])
    connection = await dials.open(url, "127.0.0.2", "127.0.0.1", guard=guard, trace=trace)
    assert connection.ip == "127.0.0.1"
    assert [step for step in trace.steps if step[0] == "trying"] == [
        ("trying", f"127.0.0.1 port {fault_server.port}")
    ]


@pytest.mark.slow
async def test_connect_timeout_says_where(dials: Dials) -> None:
    """The connect timeout holds for name, TCP and TLS together, and says which of them it was."""

    def slow(_host: str, _port: None, **_asked: Any) -> list[AddrInfo]:
        time.sleep(0.5)
        return [ipv4("127.0.0.1")]

    with pytest.raises(ConnectTimeout, match=r"not connected within 0\.3 s, while resolving the name"):
        await dials.open("http://a.test", lookup=slow, timeout=0.3)
    with blackhole() as port, pytest.raises(ConnectTimeout, match=rf"while connecting to 127\.0\.0\.1 port {port}"):
        await dials.open(f"http://127.0.0.1:{port}", timeout=0.3)
    with blackhole() as port, pytest.raises(ConnectTimeout, match=r"while connecting to 127\.0\.0\.1 port"):
        await dials.open(f"http://a.test:{port}", "127.0.0.1", "127.0.0.1", timeout=0.3)
    with pytest.raises(ConnectTimeout):
        await dials.open("http://a.test", "127.0.0.1", timeout=0)


async def test_cancelled_opening_leaves_nothing(dials: Dials) -> None:
    """Opening can be given up in every phase; the socket goes with it."""
    with blackhole() as port:
        opening = asyncio.ensure_future(dials.open(f"http://127.0.0.1:{port}"))
        await asyncio.sleep(0.01)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    with socket.create_server(("127.0.0.1", 0)) as silent:
        opening = asyncio.ensure_future(dials.open(f"https://127.0.0.1:{silent.getsockname()[1]}"))
        await asyncio.sleep(0.02)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening


async def test_cancelled_handshakes_go_on_nowhere(tls_authority: TLSAuthority, dials: Dials) -> None:
    """Cancelled after any step, a handshake goes on nowhere, and its descriptor is not the next connection's."""
    async with FaultServer({"/": Reply(200)}, ssl_context=tls_authority.server_context("127.0.0.1")) as server:
        is_done = False
        for steps in count():
            if is_done:
                break
            opening = asyncio.ensure_future(dials.open(server.url()))
            for _ in range(steps):
                await asyncio.sleep(0)
            is_done = opening.done()
            opening.cancel()
            await asyncio.wait([opening])
            connection = await dials.open(server.url())
            await fetch(connection)
            connection.abort()
            await connection.wait_closed()
        assert steps > 5


async def test_server_that_is_gone_at_once(make_fault_server: MakeFaultServer, dials: Dials) -> None:
    """A connection that the server closes right after its accept is an incomplete answer, in whatever moment."""
    server = make_fault_server(accept_then_close=True)

    async def open_and_fetch(pause: float) -> None:
        connection = await dials.open(server.url())
        await asyncio.sleep(pause)
        await fetch(connection)

    for pause in (0, 0.01):
        with pytest.raises((IncompleteMessage, ConnectFailed)):
            await open_and_fetch(pause)


@contextmanager
def resetting_server(wait: Callable[[], object]) -> Iterator[int]:
    """Give a port where connections are accepted, and reset when `wait` has returned."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                wait()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


class ResetsWhenConnected(Trace):
    """Lets the server reset a connection between TCP and TLS."""

    def __init__(self) -> None:
        self.may_reset = threading.Event()

    def connected(self, address: str, seconds: float) -> None:
        self.may_reset.set()
        time.sleep(0.02)


@pytest.mark.parametrize(("scheme", "error"), [("http", IncompleteMessage), ("https", HandshakeFailed)])
async def test_reset_before_the_first_byte(dials: Dials, scheme: str, error: type[FetchError]) -> None:
    """A server that resets what it has accepted fails as one that closes; the descriptor is closed once."""
    trace = ResetsWhenConnected()

    async def open_and_fetch(port: int) -> None:
        await fetch(await dials.open(f"{scheme}://127.0.0.1:{port}", trace=trace))

    with resetting_server(lambda: trace.may_reset.wait(5)) as port, pytest.raises(error):
        await open_and_fetch(port)


async def test_reset_before_the_socket_was_looked_at(dials: Dials) -> None:
    """A connection that is gone before a busy program has seen that it was there has failed."""

    async def busy() -> None:
        while True:
            time.sleep(0.01)
            await asyncio.sleep(0)

    blocking = asyncio.ensure_future(busy())
    with (
        resetting_server(lambda: time.sleep(0.015)) as port,
        pytest.raises(ConnectFailed, match="could not connect"),
    ):
        await dials.open(f"http://a.test:{port}", "127.0.0.1", "127.0.0.2")
    blocking.cancel()
    await asyncio.wait([blocking])


async def test_writing_to_a_lost_connection_is_an_incomplete_answer(
    fault_server: FaultServer, dials: Dials
) -> None:
    """A request on a connection whose socket is gone fails as any other that was cut, on every loop."""
    fault_server.route("/", Script(Reset()))
    connection = await dials.open(fault_server.url())
    with pytest.raises(IncompleteMessage, match="reset before the answer"):
        await fetch(connection)
    await until(lambda: connection.is_lost)
    with pytest.raises(IncompleteMessage, match="reset before the answer"):
        await fetch(connection)
    connection.abort()
    connection.close()


# --- descriptors


@contextmanager
def few_descriptors() -> Iterator[Callable[[], None]]:
    """Give what lets this process open no descriptor any more, until the end of the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]], ids=["one", "two"])
async def test_no_descriptor_is_no_failure_of_the_host(
    fault_server: FaultServer, dials: Dials, addresses: list[str]
) -> None:
    """Without a descriptor for the socket nothing is said about the host; afterwards it can be connected."""
    url = f"http://a.test:{fault_server.port}"
    with few_descriptors() as exhaust:
        exhaust()
        with pytest.raises(OutOfDescriptors, match="Too many open files"):
            await dials.open(url, *addresses)
    await dials.open(url, *addresses)


class Exhausting(Trace):
    """Takes the descriptors away when the second address is tried."""

    def __init__(self, exhaust: Callable[[], None]) -> None:
        self._exhaust = exhaust
        self._tried = 0

    def trying(self, address: str) -> None:
        self._tried += 1
        if self._tried == 2:
            self._exhaust()


async def test_descriptors_that_run_out_between_two_addresses(dials: Dials) -> None:
    """A first address that refuses does not turn the shortage for the second into a failure of the host."""
    with few_descriptors() as exhaust, pytest.raises(OutOfDescriptors, match="Too many open files"):
        await dials.open(f"http://a.test:{unused_port()}", "127.0.0.1", "127.0.0.2", trace=Exhausting(exhaust))


# --- TLS


async def test_tls(tls_server: FaultServer, dials: Dials) -> None:
    """A TLS connection carries requests, over and over, and the session is described."""
    tls_server.route("/", Reply(200, b"hello"))
    trace = Seen()
    connection = await dials.open(tls_server.url(), trace=trace)
    assert connection.tls_time is not None
    for _ in range(3):
        assert await fetch(connection) == b"hello"
        assert is_quiet(connection)
    assert trace.session is not None
    assert trace.session.version == "TLSv1.3"
    assert "good.test" in trace.session.names


@pytest.mark.parametrize(("host", "fine"), [("good.test", True), ("good.test.", True), ("bad.test", False)])
async def test_name_of_a_certificate(tls_server: FaultServer, dials: Dials, host: str, fine: bool) -> None:
    """The certificate must name the host; the dot that ends an absolute name is no part of it (RFC 6066)."""
    url = f"https://{host}:{tls_server.port}"
    if fine:
        await dials.open(url, "127.0.0.1")
        return
    with pytest.raises(CertificateError, match=r"'bad\.test' is not valid for this name"):
        await dials.open(url, "127.0.0.1")
    await dials.open(url, "127.0.0.1", tls=TLSSettings(verify=False))


async def test_unknown_authority(tls_server: FaultServer, dials: Dials) -> None:
    """A certificate of an authority that is not trusted is refused."""
    with pytest.raises(CertificateError, match="authority that is not trusted"):
        await dials.open(tls_server.url(), tls=TLSSettings())


@pytest.mark.parametrize("host", [".x.test", "x..test", "a" * 64 + ".test"])
async def test_name_that_tls_cannot_say(tls_server: FaultServer, dials: Dials, host: str) -> None:
    """A name that cannot stand in a handshake is an error of that URL, not of the program."""
    with pytest.raises(TLSError, match="name"):
        await dials.open(f"https://{host}:{tls_server.port}", overrides={f"{host}:{tls_server.port}": "127.0.0.1"})


async def test_plain_server_on_the_tls_port(fault_server: FaultServer, dials: Dials) -> None:
    """A server that speaks no TLS is told from one that fails at it."""
    with pytest.raises(HandshakeFailed, match="does not speak TLS"):
        await dials.open(f"https://127.0.0.1:{fault_server.port}")


async def test_end_in_the_handshake(make_fault_server: MakeFaultServer, dials: Dials) -> None:
    """A server that leaves in the middle of the handshake is said to have done so."""
    server = make_fault_server(accept_then_close=True)
    words = r"closed the connection during the TLS handshake|could not connect"
    with pytest.raises((HandshakeFailed, ConnectFailed), match=words):
        await dials.open(f"https://127.0.0.1:{server.port}")


@pytest.mark.slow
async def test_silence_in_the_handshake(dials: Dials) -> None:
    """A handshake that nobody answers ends with the connect timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConnectTimeout, match=r"not connected within 0\.3 s, while setting up TLS"):
            await dials.open(url, timeout=0.3)


# --- how a body without a length ends

UNTIL_CLOSE = Send(b"HTTP/1.1 200 OK\r\n\r\nhello")


@pytest.mark.parametrize("patience", [0.0, 0.02], ids=["at once", "slowly"])
async def test_clean_end_over_tls(tls_server: FaultServer, dials: Dials, patience: float) -> None:
    """A body without a length is whole when close_notify has come, however late it is read."""
    tls_server.route("/", Script(UNTIL_CLOSE, Close()))
    connection = await dials.open(tls_server.url())
    _, body = await begin(connection, Timeouts())
    await asyncio.sleep(patience)
    assert await finish(body) == b"hello"


@pytest.mark.parametrize("patience", [0.0, 0.02], ids=["at once", "slowly"])
@pytest.mark.parametrize("end", [StopTLS(), Reset()], ids=["cut", "reset"])
async def test_ragged_end_over_tls(
    tls_server: FaultServer, dials: Dials, end: StopTLS | Reset, patience: float
) -> None:
    """Without close_notify somebody may have cut the body."""
    tls_server.route("/", Script(UNTIL_CLOSE, end))
    connection = await dials.open(tls_server.url())
    _, body = await begin(connection, Timeouts())
    await asyncio.sleep(patience)
    with pytest.raises(IncompleteMessage):
        await finish(body)


@pytest.mark.parametrize(("end", "whole"), [(Close(), True), (StopTLS(), True), (Reset(), False)])
async def test_end_without_tls(fault_server: FaultServer, dials: Dials, end: Close | Reset, whole: bool) -> None:
    """Without TLS an end is an end; a reset is none."""
    fault_server.route("/", Script(UNTIL_CLOSE, end))
    connection = await dials.open(fault_server.url())
    if whole:
        assert await fetch(connection) == b"hello"
        return
    with pytest.raises(IncompleteMessage, match="the connection was reset in a body without a length"):
        await fetch(connection)


async def test_what_we_abort_ourselves_is_not_whole(fault_server: FaultServer, dials: Dials) -> None:
    """A body without a length that is being read while its connection is given up did not end: it was cut by us."""
    fault_server.route("/", Script(UNTIL_CLOSE, Silence()))
    connection = await dials.open(fault_server.url())
    _, body = await begin(connection, Timeouts())
    assert await body.read() == b"hello"
    reading = asyncio.ensure_future(body.read())
    await asyncio.sleep(0)
    connection.abort()
    with pytest.raises(IncompleteMessage, match="given up here"):
        await reading
    assert not body.complete


@pytest.mark.parametrize("end", [Close(), StopTLS(), Reset()], ids=["clean", "ragged", "reset"])
@pytest.mark.parametrize("has_length", [True, False], ids=["length", "until close"])
async def test_end_while_nobody_reads_over_tls(
    tls_server: FaultServer, dials: Dials, has_length: bool, end: Close | StopTLS | Reset
) -> None:
    """Bytes that came before the end are given out to the last, also if reading was paused when it came."""
    content = bytes(range(256)) * 10_000  # more than the reader takes ahead, less than TLS takes beyond that
    length = f"Content-Length: {len(content)}\r\n" if has_length else ""
    tls_server.route("/", Script(Send(f"HTTP/1.1 200 OK\r\n{length}\r\n".encode() + content), end))
    connection = await dials.open(tls_server.url())
    _, body = await begin(connection, Timeouts())
    await asyncio.sleep(0.1)
    if has_length or isinstance(end, Close):
        assert await finish(body) == content
        return
    with pytest.raises(IncompleteMessage):
        await finish(body)


@pytest.mark.slow
@pytest.mark.parametrize("end", [Close(), StopTLS()], ids=["clean", "ragged"])
async def test_large_body_and_a_slow_reader_over_tls(
    tls_server: FaultServer, dials: Dials, end: Close | StopTLS
) -> None:
    """A reader so slow that the server's end is there long before loses no byte of 6 MiB."""
    content = bytes(range(256)) * (6 * MIB // 256)
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    tls_server.route("/", Script(Send(head + content), end))
    connection = await dials.open(tls_server.url())
    _, body = await begin(connection, Timeouts())
    pieces = []
    while not body.complete:
        await asyncio.sleep(0.03)
        pieces.append(await body.read())
    assert b"".join(pieces) == content


# --- deadlines

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
HEAD_SOON = Timeouts(head=0.1)
BYTES_SOON = Timeouts(head=2 * SOON, read=0.1)
FASTER = Timeouts(head=2 * SOON, read=2 * SOON, speed_limit=1000, speed_time=0.1)

DEADLINES: dict[str, tuple[Script, Timeouts, type[FetchTimeout], str]] = {
    "silence": (Script(Silence()), HEAD_SOON, HeadTimeout, "no complete response head within 0.1 s"),
    "half a head": (Script(Send(HEAD[:20]), Silence()), HEAD_SOON, HeadTimeout, "no complete response head"),
    "dripping head": (
        Script(Drip(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 500, every=0.005)),
        HEAD_SOON,
        HeadTimeout,
        "head",
    ),
    "dripping interim responses": (
        Script(Drip(b"HTTP/1.1 102 Wait\r\n\r\n" * 30, every=0.01, size=21)),
        HEAD_SOON,
        HeadTimeout,
        "head",
    ),
    "silence before the body": (
        Script(Send(HEAD), Silence()),
        BYTES_SOON,
        ReadTimeout,
        "no byte of the body for 0.1 s",
    ),
    "silence in the body": (
        Script(Send(HEAD + b"x" * 50), Silence()),
        BYTES_SOON,
        ReadTimeout,
        "no byte of the body for 0.1 s",
    ),
    "slow body": (
        Script(Send(HEAD), Drip(b"x" * 100, every=0.01)),
        FASTER,
        SlowBody,
        r"\d+ bytes/s over 0.1 s is below the limit of 1000 bytes/s",
    ),
}


@pytest.mark.parametrize("name", DEADLINES)
async def test_deadline(fault_server: FaultServer, dials: Dials, name: str) -> None:
    """Each deadline ends the wait in its time, with an error of its own."""
    script, timeouts, error, words = DEADLINES[name]
    fault_server.route("/", script)
    connection = await dials.open(fault_server.url())
    began = monotonic()
    async with swept(connection):
        with pytest.raises(error, match=words):
            await fetch(connection, timeouts)
    assert 0.09 < monotonic() - began < SOON
    await until(lambda: connection.is_lost)


@pytest.mark.parametrize(
    "script",
    [
        Script(Silence()),
        Script(Drip(b"HTTP/1.1 102 Wait\r\n\r\n" * 30, every=0.01, size=21)),
        Script(Send(HEAD), Drip(b"x" * 100, every=0.01)),
        Script(Send(b"HTTP/1.1 200 OK\r\n\r\n"), Endless(b"x" * 1000)),
        Script(Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Endless(b"1\r\nx\r\n")),
    ],
    ids=["silence", "interim responses", "slow body", "endless body", "endless tiny chunks"],
)
async def test_total(fault_server: FaultServer, dials: Dials, script: Script) -> None:
    """The total holds whatever the server does, also for a body that comes well."""
    fault_server.route("/", script)
    connection = await dials.open(fault_server.url())
    timeouts = Timeouts(total=0.1)
    began = monotonic()
    async with swept(connection):
        with pytest.raises(TotalTimeout, match=r"not finished within 0\.1 s"):
            await fetch(connection, timeouts, began + 0.1)
    assert monotonic() - began < SOON


@pytest.mark.parametrize("total", [None, 30.0])
async def test_hurry(fault_server: FaultServer, dials: Dials, total: float | None) -> None:
    """An exchange that is hurried ends soon, with a total timeout and without."""
    fault_server.route("/", Script(Send(HEAD), Silence()))
    connection = await dials.open(fault_server.url())
    _, body = await begin(connection, Timeouts(total=total), math.inf if total is None else monotonic() + total)
    connection.hurry(monotonic() + 0.05)
    connection.hurry(monotonic() + 10)
    connection.check(monotonic())
    assert connection.reader.expired is None
    connection.check(monotonic() + 0.06)
    with pytest.raises(TotalTimeout):
        await body.read()


async def test_first_deadline_is_the_one_that_counts(fault_server: FaultServer, dials: Dials) -> None:
    """A connection that has been ended by a deadline is not ended again by the next one."""
    fault_server.route("/", Script(Silence()))
    connection = await dials.open(fault_server.url())
    connection.check(monotonic() + 1e6)
    assert connection.reader.expired is None
    connection.expect_head(0.0, Timeouts(head=1), 5.0)
    connection.check(2.0)
    connection.check(9.0)
    assert isinstance(connection.reader.expired, HeadTimeout)


async def test_body_that_goes_well_is_not_cut(fault_server: FaultServer, dials: Dials) -> None:
    """A body faster than the lowest speed, with pauses shorter than the silence allowed, takes longer than that."""
    content = b"x" * 6000
    fault_server.route(
        "/", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 6000\r\n\r\n"), Drip(content, every=0.06, size=500))
    )
    connection = await dials.open(fault_server.url())
    began = monotonic()
    async with swept(connection):
        assert await fetch(connection, Timeouts(read=0.6, speed_limit=500, speed_time=0.6)) == content
    assert monotonic() - began > 0.6


async def test_any_speed_and_any_silence(fault_server: FaultServer, dials: Dials) -> None:
    """Without a lowest speed and without a read timeout a body may take its time."""
    script = Script(Send(HEAD), Pause(0.15), Send(b"x" * 100))
    fault_server.route("/", script)
    connection = await dials.open(fault_server.url())
    async with swept(connection):
        assert await fetch(connection, Timeouts(read=None, speed_limit=0, speed_time=0.02)) == b"x" * 100


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 3 * MIB])
async def test_slow_consumer_is_not_the_server(fault_server: FaultServer, dials: Dials, size: int) -> None:
    """Who takes his time to read, before or within a body that is there, loses neither body nor connection."""
    fault_server.route("/", Reply(200, b"x" * size))
    connection = await dials.open(fault_server.url())
    async with swept(connection):
        _, body = await begin(connection, Timeouts(read=0.15, speed_time=0.15))
        await asyncio.sleep(0.25)
        first = await body.read()
        if size > len(first):
            await asyncio.sleep(0.25)
        assert len(first + await finish(body)) == size
        assert is_quiet(connection)


async def test_head_that_waits_for_us_is_not_late(fault_server: FaultServer, dials: Dials) -> None:
    """A head that has come, but was not looked at yet because this program was busy, is not the server's fault."""
    fault_server.route("/", Reply(200, b"hello"))
    connection = await dials.open(fault_server.url())
    connection.expect_head(monotonic(), Timeouts(head=0.05), math.inf)
    connection.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    await until(lambda: connection.reader.received > 0)
    connection.check(monotonic() + 1)
    assert connection.reader.expired is None
    assert (await read_head(connection.reader, PARSER)).status == 200


# --- quiet or not


def is_quiet(connection: Connection) -> bool:
    """Whether nothing has come that was not read, no end either: not even to this machine's kernel."""
    return not connection.is_lost and connection.reader.is_quiet() and not connection.has_news()


def is_heard_in_time(connection: Connection) -> bool:
    """Wait until a connection is not quiet, so that the loop cannot look meanwhile."""
    latest = monotonic() + SOON
    while is_quiet(connection) and monotonic() < latest:
        time.sleep(0.005)
    return not is_quiet(connection)


async def test_bytes_in_the_kernel_are_not_quiet(fault_server: FaultServer, dials: Dials) -> None:
    """What has come to this machine, but not to the loop yet, is seen: bytes and an end."""
    fault_server.route("/", Reply(200))
    for path, step in (("/bytes", Send(b"stray")), ("/close", Close()), ("/reset", Reset())):
        fault_server.route(path, Script(step))
        connection = await dials.open(fault_server.url())
        await begin(connection, Timeouts())
        assert is_quiet(connection)
        connection.write(encode_request("GET", path, connection.origin.authority, b""))
        assert is_heard_in_time(connection)
        assert connection.reader.is_quiet()


async def test_lost_connection_is_not_quiet(fault_server: FaultServer, dials: Dials) -> None:
    """A connection whose socket is gone is not quiet."""
    connection = await dials.open(fault_server.url())
    connection.close()
    await connection.wait_closed()
    assert connection.is_lost
    assert not is_quiet(connection)


async def test_owner_is_told_when_the_socket_goes(tls_server: FaultServer, dials: Dials) -> None:
    """The owner hears of the end of the socket, once, also over TLS."""
    connection = await dials.open(tls_server.url())
    told: list[Connection] = []
    connection.on_lost = told.append
    connection.close()
    await connection.wait_closed()
    connection.abort()
    assert told == [connection]
