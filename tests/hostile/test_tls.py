"""TLS with servers that must not be trusted: through the client, to an error code, within the connect timeout."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from asyncfetch import (
    CertificateError,
    Client,
    FetchError,
    IncompleteMessage,
    Network,
    Retry,
    Timeouts,
    TLSSettings,
)
from asyncfetch.testing import Close, FaultServer, Reply, Reset, Script, Send, StopTLS
from asyncfetch.testing.fixtures import MakeFaultServer, TLSAuthority
from tests.soon import SOON

ONCE = Retry(attempts=1)
HOST = "127.0.0.1"
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
ENOUGH = 3 * SOON  # seconds for a handshake
SHORT = 0.4  # seconds to wait for a server that says nothing
MARGIN = SOON  # seconds that a busy machine may add to a deadline

# --- certificates that prove nothing


@dataclass
class Impostor:
    """A server's certificate, and the file with the authority that its visitors trust."""

    context: ssl.SSLContext
    ca_file: Path


def vouching_for_itself(
    folder: Path,
    *,
    begins: datetime = NOW - DAY,
    ends: datetime = NOW + DAY,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
) -> Impostor:
    """A certificate for 127.0.0.1 that signed itself, and is trusted all the same."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "itself")])
    extensions: list[x509.ExtensionType] = [
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]),
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        x509.ExtendedKeyUsage([usage]),
    ]
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begins, ends)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "both.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain) + certificate)
    (folder / "alone.pem").write_bytes(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return Impostor(context, folder / "alone.pem")


def vouched_for_by(authority: trustme.CA, trusted: trustme.CA, name: str, folder: Path) -> Impostor:
    """A certificate for `name` from one authority, while its visitors trust another, or the same."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    trusted.cert_pem.write_to_path(folder / "trusted.pem")
    return Impostor(context, folder / "trusted.pem")


def self_signed(folder: Path) -> Impostor:
    impostor = vouching_for_itself(folder)
    trustme.CA().cert_pem.write_to_path(impostor.ca_file)
    return impostor


def unknown_authority(folder: Path) -> Impostor:
    return vouched_for_by(trustme.CA(), trustme.CA(), HOST, folder)


def wrong_host(folder: Path) -> Impostor:
    authority = trustme.CA()
    return vouched_for_by(authority, authority, "localhost", folder)


IMPOSTORS: dict[str, Callable[[Path], Impostor]] = {
    "expired": lambda folder: vouching_for_itself(folder, begins=NOW - 2 * DAY, ends=NOW - DAY),
    "not yet valid": lambda folder: vouching_for_itself(folder, begins=NOW + DAY, ends=NOW + 2 * DAY),
    "self-signed": self_signed,
    "unknown authority": unknown_authority,
    "wrong host": wrong_host,
    "wrong purpose": lambda folder: vouching_for_itself(folder, usage=ExtendedKeyUsageOID.CLIENT_AUTH),
}


@pytest.mark.parametrize("kind", IMPOSTORS)
async def test_impostors_are_sent_nothing(kind: str, tmp_path: Path) -> None:
    """A certificate that proves nothing is tls.certificate, not tried again, and no request reaches its server."""
    impostor = IMPOSTORS[kind](tmp_path)
    async with FaultServer({"/": Reply(200, b"mine")}, ssl_context=impostor.context) as server:
        async with Client(tls=TLSSettings(ca_file=impostor.ca_file)) as client:
            [result] = [result async for result in client.fetch_many([server.url()])]
        assert isinstance(result.error, CertificateError)
        assert (result.error.code, result.attempts) == ("tls.certificate", 1)
        assert server.seen.requests == 0
        async with Client(tls=TLSSettings(verify=False)) as reckless:
            assert (await reckless.get(server.url())).content == b"mine"


async def test_a_name_is_verified_not_its_address(tls_authority: TLSAuthority) -> None:
    """Whoever controls a name's address needs a certificate for the name, too."""
    async with FaultServer({"/": Reply(200)}, ssl_context=tls_authority.server_context(HOST)) as server:
        network = Network(overrides={f"bank.test:{server.port}": HOST})
        async with Client(tls=TLSSettings(ca_file=tls_authority.ca_file), network=network) as client:
            assert (await client.get(server.url())).status_code == 200
            with pytest.raises(CertificateError, match=r"'bank\.test' is not valid for this name"):
                await client.get(f"https://bank.test:{server.port}/")
        assert server.seen.requests == 1


# --- handshakes that lead nowhere


ToClientHello = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def saying(answer: ToClientHello) -> AsyncIterator[str]:
    """Answer every ClientHello by `answer`, and give the https URL."""
    tasks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError):
            await reader.read(100)
            await answer(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, HOST, 0) as listener:
        yield f"https://{HOST}:{listener.sockets[0].getsockname()[1]}/"
        await asyncio.gather(*filter(None, tasks))


def sending(raw: bytes) -> ToClientHello:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return answer


def sending_then_silent(raw: bytes) -> ToClientHello:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        while await reader.read(1000):
            pass

    return answer


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begin a record of 16 KiB and send it byte by byte."""
    writer.write(b"\x16\x03\x03\x40\x00\x02")
    left = asyncio.ensure_future(reader.read())
    while not left.done():
        writer.write(b"\0")
        await asyncio.sleep(0.005)


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send handshake records without end: a message that says it is 16 MiB long."""
    first = b"\x16\x03\x03\x40\x00\x02\xff\xff\xff" + bytes(0x3FFC)
    while True:
        writer.write(first)
        await writer.drain()


GARBAGE = bytes(range(255, -1, -1)) * 8
SERVER_HELLO_CUT = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"
ALERT_OLD_VERSION = b"\x15\x03\x01\x00\x02\x02\x46"
BROKEN = {
    "a plain server": sending(Reply(400, b"what?").encode(closing=True)),
    "garbage": sending(GARBAGE),
    "an alert: old versions only": sending(ALERT_OLD_VERSION),
    "the end, at once": sending(b""),
    "the end, within a record": sending(SERVER_HELLO_CUT),
    "a message without end": flood,
}
SILENT = {
    "silence": sending_then_silent(b""),
    "silence within a record": sending_then_silent(SERVER_HELLO_CUT),
    "a drip": drip,
}


async def fail(url: str, connect: float, tls: TLSSettings | None = None) -> tuple[FetchError, float]:
    """Fetch what must fail; return why, and how many seconds it took."""
    began = monotonic()
    async with Client(timeouts=Timeouts(connect=connect), tls=tls, retry=ONCE) as client:
        with pytest.raises(FetchError) as caught:
            await client.get(url)
        took = monotonic() - began
    return caught.value, took


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("verify", [True, False])
async def test_broken_handshakes_fail_at_once(kind: str, verify: bool) -> None:
    """What is no TLS is tls.failed, without waiting for the timeout, and whether or not anybody is verified."""
    async with saying(BROKEN[kind]) as url:
        error, took = await fail(url, ENOUGH, TLSSettings(verify=verify))
    assert error.code == "tls.failed"
    assert took < MARGIN


@pytest.mark.slow
@pytest.mark.parametrize("kind", SILENT)
async def test_endless_handshakes_end_with_the_connect_timeout(kind: str) -> None:
    """A server that does not come to the point is timeout.connect, in time, and the message says in which phase."""
    async with saying(SILENT[kind]) as url:
        error, took = await fail(url, SHORT)
    assert error.code == "timeout.connect"
    assert str(error).endswith(f"not connected within {SHORT:g} s, while setting up TLS")
    assert SHORT <= took < SHORT + MARGIN


async def test_plain_server_on_the_port_gets_no_request(make_fault_server: MakeFaultServer) -> None:
    """A server that speaks HTTP where https was asked for sees no request, and the failure is tls.failed."""
    server = make_fault_server({"/": Reply(200)})
    error, _ = await fail(server.url().replace("http:", "https:"), ENOUGH)
    assert error.code == "tls.failed"
    assert server.seen.requests == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_versions_are_not_spoken(version: ssl.TLSVersion) -> None:
    """A server that has nothing newer than TLS 1.0 or 1.1 is tls.failed, verified or not."""
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(HOST).configure_cert(old)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        old.minimum_version = old.maximum_version = version
    async with FaultServer({"/": Reply(200)}, ssl_context=old) as server:
        for verify in (True, False):
            error, _ = await fail(server.url(), ENOUGH, TLSSettings(verify=verify))
            assert error.code == "tls.failed"
            assert "no version of TLS from 1.2 on" in error.detail
        assert server.seen.requests == 0


# --- who is not verified stays apart


async def test_unverified_connections_are_never_shared(tmp_path: Path) -> None:
    """A client without verification and one with it share no connection and no context, whoever comes first."""
    impostor = self_signed(tmp_path)
    strict_settings = TLSSettings(ca_file=impostor.ca_file)
    async with (
        FaultServer({"/": Reply(200)}, ssl_context=impostor.context) as server,
        Client(tls=TLSSettings(verify=False)) as reckless,
        Client(tls=strict_settings, retry=ONCE) as strict,
    ):
        for _ in range(2):
            assert (await reckless.get(server.url())).status_code == 200
            assert reckless._pool.idle == 1
            with pytest.raises(CertificateError):
                await strict.get(server.url())
        assert strict._pool.idle == 0
        assert reckless._tls.get() is not strict._tls.get()
        assert strict._tls.get().verify_mode is ssl.CERT_REQUIRED
        assert strict._tls.get().check_hostname
        assert (server.seen.requests, server.seen.connections) == (2, 3)


# --- the end of a body (RFC 9112 section 9.8)


async def test_end_without_close_notify_is_incomplete(tls_authority: TLSAuthority) -> None:
    """Without a length, a body is whole only if the server says goodbye; with a length it needs none."""
    context = tls_authority.server_context(HOST)
    endless, counted = Reply(200, b"x" * 5000, content_length=False).encode(), Reply(200, b"x" * 5000).encode()
    routes = {
        "/goodbye": Script(Send(endless), Close()),
        "/cut": Script(Send(endless), StopTLS()),
        "/reset": Script(Send(endless), Reset()),
        "/counted": Script(Send(counted), StopTLS()),
    }
    async with (
        FaultServer(routes, ssl_context=context) as server,
        Client(tls=TLSSettings(ca_file=tls_authority.ca_file), retry=ONCE) as client,
    ):
        for path in ("/goodbye", "/counted"):
            assert len((await client.get(server.url(path))).content) == 5000
        for path in ("/cut", "/reset"):
            with pytest.raises(IncompleteMessage):
                await client.get(server.url(path))


BUFFERED = 2 * 1024 * 1024  # bytes after which a StreamReader asks for no more
ENDS: dict[str, tuple[Close | StopTLS | Reset, bool, bool]] = {
    "goodbye": (Close(), False, True),
    "cut": (StopTLS(), False, False),
    "reset": (Reset(), False, False),
    "counted, goodbye": (Close(), True, True),
    "counted, cut": (StopTLS(), True, True),
    "counted, reset": (Reset(), True, True),
}


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("beyond", [100_000, 200_000, 300_000])
async def test_end_that_comes_while_reading_is_paused(
    end: str, beyond: int, tls_authority: TLSAuthority, make_fault_server: MakeFaultServer
) -> None:
    """A reader that is slower than its server gets every byte, and takes a cut body for whole on neither loop.

    When a StreamReader has enough, the loop's TLS layer keeps what comes after that; uvloop forgets it when the
    connection ends, and asyncio after a reset.
    """
    how, counted, whole = ENDS[end]
    body = b"".join(b"%07d " % number for number in range((BUFFERED + beyond) // 8))
    server = make_fault_server(
        {"/": Script(Send(Reply(200, body, content_length=counted).encode()), how)},
        ssl_context=tls_authority.server_context(HOST),
    )
    received = bytearray()
    failure: FetchError | None = None
    async with (
        Client(tls=TLSSettings(ca_file=tls_authority.ca_file), retry=ONCE) as client,
        client.stream(server.url()) as response,
    ):
        while server.seen.open_connections:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        try:
            async for piece in response.aiter_bytes():
                received += piece
                await asyncio.sleep(0.002)
        except FetchError as error:
            failure = error
    assert received == body
    assert (failure is None) is whole
    assert whole or isinstance(failure, IncompleteMessage)
