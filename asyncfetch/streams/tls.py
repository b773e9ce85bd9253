"""TLS: the context that a client's connections share, a session described, failures as sentences.

What the certificate must prove is left to OpenSSL (the system's own verification on macOS and Windows). This file
opens no connection: connection.py does, with the context from here.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncfetch.errors import CertificateError, HandshakeFailed, TLSError, shown
from asyncfetch.settings import TLSSettings
from asyncfetch.streams.descriptors import require_descriptors
from asyncfetch.trace import TLSSession

__all__ = ["LazyContext", "TLSSession", "check_files", "describe_tls", "make_context", "translate_tls_error"]

_Path = str | os.PathLike[str]

_SYSTEM_VERIFIES = ("darwin", "win32")
_PLAIN_AT_MOST = 200


def make_context(tls: TLSSettings) -> ssl.SSLContext:
    """Make a client's context: TLS 1.2 and later, HTTP/1.1 by ALPN (RFC 7301). Takes about 20 ms.

    `SSLKEYLOGFILE` in the environment is honoured, except where the system verifies (macOS and Windows without
    `ca_file`).

    Raises:
        ValueError: a file cannot be read, or does not hold what it should; the sentence names it.
    """
    context = _trusting(tls, sys.platform)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file is not None:
        _load_client_certificate(context, tls.cert_file, tls.key_file)
    return context


def check_files(tls: TLSSettings) -> None:
    """Read the files that the settings and `SSLKEYLOGFILE` name, to know early whether they serve.

    Raises:
        ValueError: as `make_context`.
    """
    if tls.ca_file is not None:
        _trusting(tls, sys.platform)
    if tls.cert_file is not None:
        _load_client_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), tls.cert_file, tls.key_file)
    key_log = os.environ.get("SSLKEYLOGFILE")
    if key_log:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).keylog_filename = key_log
        except OSError as error:
            raise ValueError(_why_no_key_log(error)) from error


class LazyContext:
    """The one context of a client, made at its first https connection."""

    __slots__ = ("_context", "_tls")

    def __init__(self, tls: TLSSettings) -> None:
        self._tls = tls
        self._context: ssl.SSLContext | None = None

    def get(self) -> ssl.SSLContext:
        """Return the context, the same every time.

        Raises:
            ValueError: as `make_context`; `check_files` tells it before.
            OSError: no descriptors are left to read files; another time there may be some.
        """
        if self._context is None:
            self._context = self._make()
        return self._context

    def _make(self) -> ssl.SSLContext:
        """Make the context while descriptors can be had, before and after: else it would trust nobody for good."""
        require_descriptors()
        try:
            context = make_context(self._tls)
        except ValueError:
            require_descriptors()
            raise
        if not context.cert_store_stats()["x509_ca"]:
            require_descriptors()
        return context


def _trusting(tls: TLSSettings, platform: str) -> ssl.SSLContext:
    """Make a context that trusts the settings' authorities, or the system's."""
    if tls.ca_file is not None:
        _require_readable("CA file", tls.ca_file)
    elif tls.verify and platform in _SYSTEM_VERIFIES:
        import truststore

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return ssl.create_default_context(cafile=tls.ca_file)
    except ssl.SSLError as error:
        raise ValueError(f"the CA file {_name(tls.ca_file)} holds no certificate in PEM form") from error
    except OSError as error:
        raise ValueError(_why_no_key_log(error)) from error


def _load_client_certificate(context: ssl.SSLContext, cert_file: _Path, key_file: _Path | None) -> None:
    _require_readable("certificate file", cert_file)
    if key_file is not None:
        _require_readable("key file", key_file)
    certificate, key = _name(cert_file), _name(key_file or cert_file)

    def no_password() -> str:  # without this, OpenSSL asks for it on the terminal
        raise ValueError(f"the key in {key} is encrypted: give one without a password")

    try:
        context.load_cert_chain(cert_file, key_file, password=no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            sentence = f"the key in {key} does not belong to the certificate in {certificate}"
        elif key_file is None:
            sentence = f"the certificate file {certificate} does not hold a certificate and its key in PEM form"
        else:
            sentence = f"{certificate} and {key} do not hold a certificate and its key in PEM form"
        raise ValueError(sentence) from error


def _require_readable(what: str, path: _Path) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise ValueError(f"cannot read the {what} {_name(path)}: {error.strerror}") from error


def _why_no_key_log(error: OSError) -> str:
    return f"cannot write the file that SSLKEYLOGFILE names: {error.strerror}"


def _name(path: _Path | None) -> str:
    return shown(os.fspath(path or ""), at_most=_PLAIN_AT_MOST)


def describe_tls(ssl_object: ssl.SSLObject | ssl.SSLSocket) -> TLSSession:
    """Describe the session of a connection.

    Raises:
        ValueError: its handshake is not complete.
    """
    certificate: Any = ssl_object.getpeercert() or {}
    cipher = ssl_object.cipher()
    expires = certificate.get("notAfter")
    return TLSSession(
        version=ssl_object.version() or "",
        cipher=cipher[0] if cipher else "",
        alpn=_plain(ssl_object.selected_alpn_protocol() or ""),
        subject=_describe_name(certificate.get("subject", ())),
        issuer=_describe_name(certificate.get("issuer", ())),
        names=tuple(_plain(value) for _, value in certificate.get("subjectAltName", ())),
        expires=datetime.fromtimestamp(ssl.cert_time_to_seconds(expires), UTC) if expires else None,
    )


_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "countryName": "C",
}


def _describe_name(name: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Write a distinguished name in one line, its parts in the certificate's order (in short, RFC 4514)."""
    return ", ".join(f"{_plain(_SHORT.get(kind, kind))}={_plain(value)}" for part in name for kind, value in part)


def _plain(foreign: str) -> str:
    return foreign[:_PLAIN_AT_MOST].encode("unicode_escape").decode("ascii")


# X509_V_ERR_* of OpenSSL (include/openssl/x509_vfy.h)
_UNKNOWN_AUTHORITY = (
    "was signed by an authority that is not trusted here, or the server does not send its whole chain"
)
_CERTIFICATE_FAILURES = {
    2: _UNKNOWN_AUTHORITY,
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed",
    19: "was signed by an authority that is not trusted here",
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    23: "was revoked",
    26: "is not meant for a server",
    62: "is not valid for this name",
    64: "is not valid for this address",
}

_NO_TLS = "the server does not speak TLS on this port"
_NO_VERSION = "the server speaks no version of TLS from 1.2 on"
_OUR_CERTIFICATE = "the server did not accept the client's certificate"
_CUT = "the server closed the connection during the TLS handshake"
_HANDSHAKE_FAILURES = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _NO_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": _NO_VERSION,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server accepts no cipher of ours, or wants a client certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server wants a client certificate",
    "TLSV1_UNRECOGNIZED_NAME": "the server does not know the name that it was asked for",
    "TLSV1_ALERT_UNKNOWN_CA": _OUR_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": _OUR_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _OUR_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _OUR_CERTIFICATE,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _OUR_CERTIFICATE,
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": "the server does not support secure renegotiation (RFC 5746)",
    "DH_KEY_TOO_SMALL": "the server's key is too short to be safe",
    "UNEXPECTED_EOF_WHILE_READING": _CUT,
}


def translate_tls_error(error: Exception, host: str) -> TLSError:
    """Return what a failed handshake means, to be raised `from` the original.

    `error` is what came out of it: an `ssl.SSLError`, or a `ConnectionError` where the server closed.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateError(f"the certificate of {shown(host)} {_why_not_accepted(error)}")
    if isinstance(error, ssl.SSLEOFError) or not isinstance(error, ssl.SSLError):
        return HandshakeFailed(_CUT)
    reason = getattr(error, "reason", None) or str(error)
    known = _HANDSHAKE_FAILURES.get(reason)
    return HandshakeFailed(known or f"the TLS handshake failed: {_plain(reason.lower().replace('_', ' '))}")


def _why_not_accepted(error: ssl.SSLCertVerificationError) -> str:
    known = _CERTIFICATE_FAILURES.get(getattr(error, "verify_code", 0))
    return known or f"was not accepted: {_plain(getattr(error, 'verify_message', None) or str(error))}"
