"""TLS: contexts made from files, real handshakes that succeed and fail, and what is said about them."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from asyncfetch.errors import CertificateError, HandshakeFailed, TLSError
from asyncfetch.settings import TLSSettings
from asyncfetch.streams import tls as tls_module
from asyncfetch.streams.tls import (
    LazyContext,
    TLSSession,
    check_files,
    describe_tls,
    make_context,
    translate_tls_error,
)

NAME = "good.test"
YEAR = timedelta(days=365)
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, a client's cert.pem, key.pem and both.pem, and files that are none of these."""
    folder = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    client = authority.issue_cert("client.test")
    client.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    client.private_key_pem.write_to_path(folder / "key.pem")
    client.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    authority.issue_cert("other.test").private_key_pem.write_to_path(folder / "other-key.pem")
    encrypted = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (folder / "encrypted.pem").write_bytes(encrypted)
    (folder / "text.pem").write_text("hello\n")
    (folder / "empty.pem").touch()
    (folder / "folder.pem").mkdir()
    return folder


def settings_with(folder: Path, names: dict[str, str]) -> TLSSettings:
    paths = {key: folder / name for key, name in names.items()}
    return TLSSettings(
        ca_file=paths.get("ca_file"), cert_file=paths.get("cert_file"), key_file=paths.get("key_file")
    )


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    context.set_alpn_protocols(["http/1.1", "h2"])
    return context


@asynccontextmanager
async def serving(answer: Callable[[socket.socket], None]) -> AsyncIterator[tuple[str, int]]:
    """Listen, and let `answer` have the first connection, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def serve() -> None:
            connection, _ = listener.accept()
            connection.settimeout(5)
            with connection, suppress(OSError):
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            while thread.is_alive():
                await asyncio.sleep(0.001)


def speaking_tls(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as session:
            session.recv(1)

    return answer


def sending(raw: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(raw)

    return answer


async def connect(address: tuple[str, int], settings: TLSSettings, host: str = NAME) -> TLSSession:
    """Open a TLS connection as connection.py does, and describe it."""
    try:
        _, writer = await asyncio.open_connection(*address, ssl=make_context(settings), server_hostname=host)
    except (ssl.SSLError, ConnectionError) as error:
        raise translate_tls_error(error, host) from error
    session = describe_tls(writer.get_extra_info("ssl_object"))
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return session


async def fail(
    answer: Callable[[socket.socket], None], settings: TLSSettings, kind: type[TLSError], host: str = NAME
) -> str:
    """Connect where it must fail with `kind`, and return the sentence."""
    async with serving(answer) as address:
        with pytest.raises(kind) as caught:
            await connect(address, settings, host)
    assert isinstance(caught.value.__cause__, OSError)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    return str(caught.value)


# Sessions


async def test_verified_session_is_described(authority: trustme.CA, files: Path) -> None:
    """A session tells version, cipher, protocol, and what the certificate says."""
    expires = NOW + YEAR
    certificate = authority.issue_cert(NAME, "127.0.0.1", common_name="common", not_after=expires)
    async with serving(speaking_tls(server_context(certificate))) as address:
        session = await connect(address, TLSSettings(ca_file=files / "ca.pem"))
    assert session.version == "TLSv1.3"
    assert session.cipher.startswith("TLS_")
    assert session.alpn == "http/1.1"
    assert "CN=common" in session.subject
    assert session.issuer.startswith("O=trustme")
    assert session.names == (NAME, "127.0.0.1")
    assert session.expires == expires


async def test_unverified_session_is_described_without_a_certificate(authority: trustme.CA) -> None:
    """Without verification anybody is accepted, and nothing is said of the certificate."""
    certificate = authority.issue_cert("somebody.else", not_after=NOW - YEAR)
    async with serving(speaking_tls(server_context(certificate))) as address:
        session = await connect(address, TLSSettings(verify=False))
    assert session.version == "TLSv1.3"
    assert (session.subject, session.issuer, session.names, session.expires) == ("", "", (), None)


async def test_address_is_verified_as_an_address(authority: trustme.CA, files: Path) -> None:
    """A certificate for an IP address is good for a URL that names the address."""
    certificate = authority.issue_cert("127.0.0.1")
    async with serving(speaking_tls(server_context(certificate))) as address:
        session = await connect(address, TLSSettings(ca_file=files / "ca.pem"), host="127.0.0.1")
    assert session.names == ("127.0.0.1",)


@pytest.mark.parametrize(
    "which", [{"cert_file": "cert.pem", "key_file": "key.pem"}, {"cert_file": "both.pem"}], ids=len
)
async def test_client_certificate_is_shown(authority: trustme.CA, files: Path, which: dict[str, str]) -> None:
    """A server that wants a client certificate gets the one of the settings, from two files or one."""
    context = server_context(authority.issue_cert(NAME))
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    authority.configure_trust(context)
    async with serving(speaking_tls(context)) as address:
        session = await connect(address, settings_with(files, {"ca_file": "ca.pem", **which}))
    assert session.version == "TLSv1.2"


async def test_text_of_a_certificate_is_escaped(tmp_path: Path) -> None:
    """Control bytes and bidi marks in a certificate's names come out as printable ASCII."""
    context, ca_file = make_own(tmp_path, common_name="\x1b[2J\u202eevil\n")
    async with serving(speaking_tls(context)) as address:
        session = await connect(address, TLSSettings(ca_file=ca_file))
    assert session.subject == session.issuer == r"CN=\x1b[2J\u202eevil\n"


# Certificates that are not accepted


def make_own(
    folder: Path,
    *,
    common_name: str = "own",
    names: tuple[str, ...] = (NAME,),
    begins: datetime = NOW - YEAR,
    ends: datetime = NOW + YEAR,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
) -> tuple[ssl.SSLContext, Path]:
    """Make a certificate that signs itself, a server's context with it, and a file for a client to trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    alternatives = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begins, ends)
    builder = builder.add_extension(alternatives, critical=False).add_extension(identifier, critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    both, alone = folder / "own-both.pem", folder / "own.pem"
    both.write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain) + certificate)
    alone.write_bytes(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, alone


@pytest.mark.parametrize("host", ["wrong.test", "127.0.0.1"])
async def test_certificate_for_another_name(authority: trustme.CA, files: Path, host: str) -> None:
    """A certificate for another name, or for no address, is not accepted."""
    context = server_context(authority.issue_cert(NAME))
    sentence = await fail(speaking_tls(context), TLSSettings(ca_file=files / "ca.pem"), CertificateError, host)
    kind = "name" if host == "wrong.test" else "address"
    assert sentence == f"the certificate of '{host}' is not valid for this {kind}"


@pytest.mark.parametrize(
    ("begins", "ends", "what"),
    [(NOW - 2 * YEAR, NOW - YEAR, "has expired"), (NOW + YEAR, NOW + 2 * YEAR, "is not valid yet")],
)
async def test_certificate_out_of_its_time(tmp_path: Path, begins: datetime, ends: datetime, what: str) -> None:
    """A certificate is good only in its time."""
    context, ca_file = make_own(tmp_path, begins=begins, ends=ends)
    sentence = await fail(speaking_tls(context), TLSSettings(ca_file=ca_file), CertificateError)
    assert sentence == f"the certificate of '{NAME}' {what}"


async def test_self_signed_certificate(tmp_path: Path, files: Path) -> None:
    """A certificate that vouches for itself is not accepted."""
    context, _ = make_own(tmp_path)
    sentence = await fail(speaking_tls(context), TLSSettings(ca_file=files / "ca.pem"), CertificateError)
    assert sentence == f"the certificate of '{NAME}' is self-signed"


async def test_unknown_authority(tmp_path: Path, authority: trustme.CA) -> None:
    """A certificate from an authority that is not trusted is not accepted."""
    _, other = make_own(tmp_path)
    context = server_context(authority.issue_cert(NAME))
    sentence = await fail(speaking_tls(context), TLSSettings(ca_file=other), CertificateError)
    assert "was signed by an authority that is not trusted here" in sentence


async def test_system_trust_does_not_know_the_test_authority(authority: trustme.CA) -> None:
    """Without a CA file the system's authorities count, and no others."""
    context = server_context(authority.issue_cert(NAME))
    sentence = await fail(speaking_tls(context), TLSSettings(), CertificateError)
    assert "was signed by an authority that is not trusted here" in sentence


async def test_certificate_for_clients_only(tmp_path: Path) -> None:
    """A certificate that is not meant for a server is not accepted from one."""
    context, ca_file = make_own(tmp_path, usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    sentence = await fail(speaking_tls(context), TLSSettings(ca_file=ca_file), CertificateError)
    assert sentence == f"the certificate of '{NAME}' is not meant for a server"


def test_other_reasons_are_quoted_and_escaped() -> None:
    """A reason without a sentence of its own is given in OpenSSL's words, or the exception's."""
    error = ssl.SSLCertVerificationError(1, "text of the exception")
    assert str(translate_tls_error(error, "a.test")).endswith("'a.test' was not accepted: text of the exception")
    error.verify_code, error.verify_message = 67, "CA key\x1b too weak"
    sentence = str(translate_tls_error(error, "e\x1bvil"))
    assert sentence == r"the certificate of 'e\x1bvil' was not accepted: CA key\x1b too weak"


# Handshakes that fail


@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.9\r\n", b"220 mail.test ESMTP\r\n"]
)
async def test_server_without_tls(raw: bytes) -> None:
    """A plain server on the port is called what it is."""
    sentence = await fail(sending(raw), TLSSettings(verify=False), HandshakeFailed)
    assert sentence == "the server does not speak TLS on this port"


async def test_server_with_old_versions_only(authority: trustme.CA) -> None:
    """TLS 1.1 is not spoken, verified or not."""
    context = server_context(authority.issue_cert(NAME))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    sentence = await fail(speaking_tls(context), TLSSettings(verify=False), HandshakeFailed)
    assert sentence == "the server speaks no version of TLS from 1.2 on"


async def test_server_that_refuses_the_handshake(authority: trustme.CA) -> None:
    """A refusal names its two usual reasons."""
    context = server_context(authority.issue_cert(NAME))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES256-SHA256")
    sentence = await fail(speaking_tls(context), TLSSettings(verify=False), HandshakeFailed)
    assert sentence == "the server accepts no cipher of ours, or wants a client certificate"


async def test_server_that_does_not_know_the_name(authority: trustme.CA) -> None:
    """The alert about the name (RFC 6066 section 3) has a sentence of its own."""
    context = server_context(authority.issue_cert(NAME))
    context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    sentence = await fail(speaking_tls(context), TLSSettings(verify=False), HandshakeFailed)
    assert sentence == "the server does not know the name that it was asked for"


@pytest.mark.parametrize("raw", [b"", b"\x16\x03\x03\x00\x7a\x02"], ids=["at once", "within a record"])
async def test_server_that_closes_in_the_handshake(raw: bytes) -> None:
    """An end in the middle of the handshake is a failed handshake."""
    sentence = await fail(sending(raw), TLSSettings(verify=False), HandshakeFailed)
    assert sentence == "the server closed the connection during the TLS handshake"


def test_other_alerts_are_quoted() -> None:
    """A reason without a sentence of its own is given in OpenSSL's words; none at all is not a crash."""
    error = ssl.SSLError(1, "text of the exception")
    assert "text of the exception" in str(translate_tls_error(error, NAME))
    error.reason = "TLSV1_ALERT_INTERNAL_ERROR"
    assert str(translate_tls_error(error, NAME)) == "the TLS handshake failed: tlsv1 alert internal error"
    assert "closed the connection" in str(translate_tls_error(ssl.SSLEOFError(8, "EOF"), NAME))


# Contexts


def test_context_has_the_floor_of_the_design() -> None:
    """TLS 1.2 is the least; certificate and name are checked unless the settings say otherwise."""
    context = make_context(TLSSettings())
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    lax = make_context(TLSSettings(verify=False))
    assert lax.minimum_version == ssl.TLSVersion.TLSv1_2
    assert lax.verify_mode == ssl.CERT_NONE
    assert not lax.check_hostname


def test_ca_file_replaces_the_system_authorities(files: Path) -> None:
    """With a CA file nothing else is trusted; the path may be text."""
    context = make_context(TLSSettings(ca_file=str(files / "ca.pem")))
    assert len(context.get_ca_certs()) == 1


def test_lazy_context_is_made_once(files: Path) -> None:
    """A client has one context; its file is read at the first use, not before."""
    lazy = LazyContext(TLSSettings(ca_file=files / "ca.pem"))
    assert lazy.get() is lazy.get()
    missing = LazyContext(TLSSettings(ca_file=files / "missing.pem"))
    with pytest.raises(ValueError, match="cannot read the CA file"):
        missing.get()


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("given", ["system", "ca_file"])
def test_no_context_is_made_without_descriptors(files: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """It would trust nobody for good, or blame the file; once there are descriptors again, it is made."""
    monkeypatch.setenv("SSL_CERT_FILE", str(files / "ca.pem"))
    lazy = LazyContext(TLSSettings(ca_file=files / "ca.pem" if given == "ca_file" else None))
    with no_descriptor_left(), pytest.raises(OSError, match="Too many open files"):
        lazy.get()
    assert lazy.get().cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_system_verifies_where_it_can(files: Path, platform: str) -> None:
    """On macOS and Windows the system verifies, unless a CA file is given or nothing is verified."""
    truststore = pytest.importorskip("truststore")
    assert isinstance(tls_module._trusting(TLSSettings(), platform), truststore.SSLContext)
    assert type(tls_module._trusting(TLSSettings(verify=False), platform)) is ssl.SSLContext
    assert type(tls_module._trusting(TLSSettings(ca_file=files / "ca.pem"), platform)) is ssl.SSLContext
    assert type(tls_module._trusting(TLSSettings(), "linux")) is ssl.SSLContext


def test_key_log_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SSLKEYLOGFILE is honoured; a file that cannot be written is one sentence, early and late."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    check_files(TLSSettings())
    assert make_context(TLSSettings()).keylog_filename == str(tmp_path / "keys")
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "missing" / "keys"))
    for read in (check_files, make_context):
        with pytest.raises(ValueError, match="cannot write the file that SSLKEYLOGFILE names: No such file"):
            read(TLSSettings())


GOOD: list[dict[str, str]] = [
    {},
    {"ca_file": "ca.pem"},
    {"cert_file": "both.pem"},
    {"cert_file": "cert.pem", "key_file": "key.pem", "ca_file": "ca.pem"},
]

BAD: list[tuple[dict[str, str], str]] = [
    ({"ca_file": "missing.pem"}, r"cannot read the CA file '.*missing\.pem': No such file or directory"),
    ({"ca_file": "folder.pem"}, r"cannot read the CA file '.*folder\.pem': Is a directory"),
    ({"ca_file": "text.pem"}, r"the CA file '.*text\.pem' holds no certificate in PEM form"),
    ({"ca_file": "empty.pem"}, r"the CA file '.*empty\.pem' holds no certificate in PEM form"),
    ({"ca_file": "key.pem"}, r"the CA file '.*key\.pem' holds no certificate in PEM form"),
    ({"cert_file": "missing.pem"}, r"cannot read the certificate file '.*missing\.pem': No such file"),
    ({"cert_file": "cert.pem"}, r"the certificate file '.*cert\.pem' does not hold a certificate and its key"),
    ({"cert_file": "text.pem"}, r"the certificate file '.*text\.pem' does not hold a certificate and its key"),
    ({"cert_file": "cert.pem", "key_file": "missing.pem"}, r"cannot read the key file '.*missing\.pem': No such"),
    (
        {"cert_file": "cert.pem", "key_file": "text.pem"},
        r"cert\.pem' and '.*text\.pem' do not hold a certificate and its key",
    ),
    (
        {"cert_file": "cert.pem", "key_file": "other-key.pem"},
        r"the key in '.*other-key\.pem' does not belong to the certificate in '.*cert\.pem'",
    ),
    (
        {"cert_file": "cert.pem", "key_file": "encrypted.pem"},
        r"the key in '.*encrypted\.pem' is encrypted: give one without a password",
    ),
]


@pytest.mark.parametrize("names", GOOD, ids=str)
@pytest.mark.parametrize("read", [check_files, make_context])
def test_good_files(files: Path, read: Callable[[TLSSettings], object], names: dict[str, str]) -> None:
    """Files that hold what they should pass, in one file or two."""
    read(settings_with(files, names))


@pytest.mark.parametrize(
    ("names", "sentence"), BAD, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
@pytest.mark.parametrize("read", [check_files, make_context])
def test_bad_file_is_one_clear_sentence(
    files: Path, read: Callable[[TLSSettings], object], names: dict[str, str], sentence: str
) -> None:
    """A file that is missing, unreadable or something else is named, early and late, and nobody is asked."""
    with pytest.raises(ValueError, match=sentence):
        read(settings_with(files, names))


def test_unreadable_file_is_named(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A file whose mode keeps us out is one clear sentence."""
    (tmp_path / "secret.pem").touch(mode=0)
    request.getfixturevalue("without_root")
    with pytest.raises(ValueError, match=r"cannot read the CA file '.*secret\.pem': Permission denied"):
        check_files(TLSSettings(ca_file=tmp_path / "secret.pem"))


def test_file_name_is_escaped(tmp_path: Path) -> None:
    """A file name with control bytes does not reach the terminal."""
    with pytest.raises(ValueError) as caught:
        check_files(TLSSettings(ca_file=tmp_path / "\x1b[2J.pem"))
    assert str(caught.value).isprintable()
