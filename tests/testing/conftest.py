"""A raw client for the server's tests: it knows nothing but bytes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from asyncfetch.testing import FaultServer
from tests.soon import SOON


@pytest.fixture(autouse=True)
def nothing_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test in which asyncio complains: a task's exception that nobody took, a socket written in vain."""
    yield
    complaints = [record for record in caplog.get_records("call") if record.levelno >= logging.WARNING]
    assert not [complaint.getMessage() for complaint in complaints]


class RawClient:
    """Connections, requests and answers as bytes."""

    @contextlib.asynccontextmanager
    async def connect(
        self, server: FaultServer, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Give a connection to the server, gone at the end."""
        reader, writer = await asyncio.open_connection(host, server.port, ssl=tls)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def get(self, path: str = "/", *fields: str, method: str = "GET") -> bytes:
        """Return a request, with Host and the given field lines."""
        return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *fields, "", ""]).encode()

    async def ask(
        self, server: FaultServer, request: bytes, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> bytes:
        """Return all that the server sends on a connection with these bytes, until it closes."""
        async with self.connect(server, host=host, tls=tls) as (reader, writer):
            writer.write(request)
            return await reader.read()

    async def last(self, server: FaultServer, path: str = "/", host: str = "127.0.0.1") -> bytes:
        """Return all that the server sends for one GET with "Connection: close"."""
        return await self.ask(server, self.get(path, "Connection: close"), host=host)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds."""
        async with asyncio.timeout(SOON):
            while not condition():
                await asyncio.sleep(0.001)


@pytest.fixture
def raw() -> RawClient:
    return RawClient()
