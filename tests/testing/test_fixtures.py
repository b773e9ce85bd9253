"""The fixtures, as somebody else's tests use them."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import asyncfetch.testing
from asyncfetch.testing import FaultServer, Reply, Script, Silence
from tests.soon import SOON

if TYPE_CHECKING:
    from asyncfetch.testing.fixtures import MakeFaultServer, TLSAuthority
    from tests.testing.conftest import RawClient

WITHOUT_TRUSTME = 'import sys; sys.modules["trustme"] = None\n'

USERS_TESTS = """
    import asyncio
    import socket
    import threading
    import pytest
    from asyncfetch.testing import Reply

    PORTS = []

    def ask(server):
        with socket.create_connection(("127.0.0.1", server.port), timeout=15) as client:
            client.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            return client.recv(1000)

    def test_plain(fault_server, make_fault_server):
        fault_server.route("/", Reply(200, b"x"))
        assert b"200 OK" in ask(fault_server)
        other = make_fault_server({"/": Reply(500)})
        assert b"500" in ask(other)
        PORTS.extend([fault_server.port, other.port])

    def test_closed():
        assert threading.active_count() == 1
        for port in PORTS:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=15)

    def test_tls(tls_authority):
        assert tls_authority.ca_file.read_text().startswith("-----BEGIN CERTIFICATE-----")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("conftest", "outcome"), [("", "3 passed"), (WITHOUT_TRUSTME, "2 passed, 1 skipped")])
def test_fixtures_serve_somebody_elses_tests(tmp_path: Path, conftest: str, outcome: str) -> None:
    """One line in conftest.py is enough, without a plugin for async tests; without trustme only TLS is skipped."""
    (tmp_path / "conftest.py").write_text(conftest + 'pytest_plugins = ("asyncfetch.testing.fixtures",)')
    (tmp_path / "test_users.py").write_text(textwrap.dedent(USERS_TESTS))
    command = [sys.executable, "-X", "dev", "-m", "pytest", "-p", "no:asyncio", "-W", "error", "-q"]
    ran = subprocess.run(command, cwd=tmp_path, env=_with_this_package(), capture_output=True, text=True)
    assert outcome in ran.stdout, ran.stdout + ran.stderr


def _with_this_package() -> dict[str, str]:
    """Let somebody else's tests find it; what these here were called with is not for them."""
    root = str(Path(asyncfetch.testing.__file__).parents[2])
    kept = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    return {**kept, "PYTHONPATH": os.pathsep.join([root, *sys.path])}


async def test_fixture_serves_async_tests(raw: RawClient, fault_server: FaultServer) -> None:
    """The server runs in its own thread, whatever loop the test has."""
    fault_server.route("/", Reply(200, b"x"))
    assert (await raw.last(fault_server)).endswith(b"x")


async def test_server_in_the_middle_of_an_answer_is_no_leak(raw: RawClient, fault_server: FaultServer) -> None:
    """A request that still hangs at the end of a test is ended with the server."""
    fault_server.route("/", Script(Silence()))
    async with raw.connect(fault_server) as (reader, writer):
        writer.write(raw.get())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.01)


def test_factory_passes_its_arguments_on(make_fault_server: MakeFaultServer, tls_authority: TLSAuthority) -> None:
    """Whatever FaultServer takes the factory takes, and TLS clients trust the authority's file."""
    context = tls_authority.server_context("127.0.0.2", "localhost")
    server = make_fault_server({"/": Reply(200, b"x")}, addresses=("127.0.0.1", "127.0.0.2"), ssl_context=context)
    with urllib.request.urlopen(
        server.url("/", host="127.0.0.2"), context=tls_authority.client_context(), timeout=SOON
    ) as answer:
        assert answer.read() == b"x"
    socket.create_connection(("127.0.0.1", server.port), timeout=SOON).close()


def test_context_for_the_same_names_is_made_once(tls_authority: TLSAuthority) -> None:
    """Making keys takes time, so contexts are shared."""
    assert tls_authority.server_context("localhost") is tls_authority.server_context("localhost")
    assert tls_authority.server_context("localhost") is not tls_authority.server_context("127.0.0.1")
