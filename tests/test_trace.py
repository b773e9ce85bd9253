"""A trace does nothing unless it is told to; what it is told of is tested where it happens."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from asyncfetch import TLSSession, Trace

SESSION = TLSSession(
    version="TLSv1.3",
    cipher="TLS_AES_256_GCM_SHA384",
    alpn="",
    subject="CN=h",
    issuer="CN=ca",
    names=("h",),
    expires=datetime(2030, 1, 1, tzinfo=UTC),
)


def test_every_step_may_be_ignored() -> None:
    """Who overrides one method need not know the others."""
    trace = Trace()
    trace.resolved("h", ["127.0.0.1"], 0.1)
    trace.trying("127.0.0.1 port 80")
    trace.connected("127.0.0.1 port 80", 0.1)
    trace.secured(SESSION, 0.1)
    trace.reusing("127.0.0.1")
    trace.sent(b"GET / HTTP/1.1\r\n\r\n")
    trace.received(b"HTTP/1.1 200 OK\r\n\r\n")


def test_a_session_is_a_value() -> None:
    """It can be compared and kept, and not be changed."""
    assert dataclasses.replace(SESSION) == SESSION
    with pytest.raises(dataclasses.FrozenInstanceError):
        SESSION.version = "TLSv1"  # type: ignore[misc]
