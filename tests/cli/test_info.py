"""`asyncfetch info`: what this installation can do, in lines that a bug report can quote."""

from __future__ import annotations

import platform
import resource
import ssl

import pytest

from asyncfetch import __version__
from asyncfetch.cli.info import _version_of, describe_installation
from tests.cli.command import run

pytestmark = pytest.mark.slow


def test_it_tells_what_a_bug_report_needs() -> None:
    """Versions, event loop, TLS, authorities, codings and the limit of open files, a line each, on stdout."""
    ran = run("info")
    assert (ran.status, ran.err) == (0, "")
    facts = dict(line.split("  ", 1) for line in ran.out.decode().splitlines())
    facts = {name: fact.strip() for name, fact in facts.items()}
    assert facts["asyncfetch"] == __version__
    assert facts["Python"].startswith(platform.python_version())
    assert facts["event loop"] == "uvloop"
    assert facts["TLS"] == ssl.OPENSSL_VERSION
    assert facts["content codings"] == "gzip, deflate, br, zstd"
    assert facts["open files allowed"] == str(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    assert "anyio " in facts["libraries"]
    assert "(not installed)" not in facts["libraries"]


def test_it_says_where_authorities_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL's own environment variables move the store; where nothing is, it says what to do."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/cert.pem")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    assert "none found: give --cacert FILE for https" in describe_installation()


def test_what_is_not_installed_is_said() -> None:
    """uvloop and brotli are not everywhere."""
    assert _version_of("no-such-package") == "(not installed)"
