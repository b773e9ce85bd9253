"""Fixtures for pytest: `fault_server`, `make_fault_server` and `tls_authority`.

Put `pytest_plugins = ("asyncfetch.testing.fixtures",)` into the conftest.py of the root folder. All of them are
synchronous, and the servers run in threads of their own: they serve synchronous and async tests alike, under any
plugin for async tests.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from asyncfetch.testing.server import FaultServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import trustme

    from asyncfetch.testing.scripts import Answer


class MakeFaultServer(Protocol):
    """What the fixture `make_fault_server` gives: the arguments of `FaultServer` in, a server that runs out."""

    def __call__(
        self,
        routes: Mapping[str, Answer] | None = None,
        *,
        addresses: Sequence[str] = ...,
        port: int = ...,
        ssl_context: ssl.SSLContext | None = ...,
        close_after: int | None = ...,
        accept_then_close: bool = ...,
        keep_log: int = ...,
    ) -> FaultServer:
        """Return a server that is running."""
        ...


class TLSAuthority:
    """A certificate authority for tests.

    Attributes:
        ca_file: its certificate in PEM, for a client to trust.
    """

    def __init__(self, authority: trustme.CA, ca_file: Path) -> None:
        self._authority = authority
        self._contexts: dict[tuple[str, ...], ssl.SSLContext] = {}
        self.ca_file = ca_file
        authority.cert_pem.write_to_path(ca_file)

    def server_context(self, *names: str) -> ssl.SSLContext:
        """Return a server-side context with a certificate for `names`, addresses or host names, at least one."""
        if names not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._authority.issue_cert(*names).configure_cert(context)
            self._contexts[names] = context
        return self._contexts[names]

    def client_context(self) -> ssl.SSLContext:
        """Return a new client-side context that trusts this authority and nothing else."""
        return ssl.create_default_context(cafile=self.ca_file)


@pytest.fixture
def make_fault_server() -> Iterator[MakeFaultServer]:
    """Make servers, each running in a thread of its own, and close them at the end of the test."""
    with contextlib.ExitStack() as running:

        def make(*args: Mapping[str, Answer] | None, **settings: Any) -> FaultServer:
            return running.enter_context(FaultServer(*args, **settings).in_thread())

        yield make


@pytest.fixture
def fault_server(make_fault_server: MakeFaultServer) -> FaultServer:
    """A server on 127.0.0.1 without routes, running in a thread of its own."""
    return make_fault_server()


@pytest.fixture(scope="session")
def tls_authority(tmp_path_factory: pytest.TempPathFactory) -> TLSAuthority:
    """A certificate authority; skips the test where the package trustme is not installed."""
    authority = pytest.importorskip("trustme").CA()
    return TLSAuthority(authority, tmp_path_factory.mktemp("authority") / "ca.pem")
