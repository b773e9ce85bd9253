"""A server that speaks HTTP and HTTPS on one port: two origins that differ in nothing but their scheme."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from asyncfetch.testing import Reply, SeenRequest
from asyncfetch.testing.request import parse_request

_TLS_HANDSHAKE = 0x16  # the first byte of a ClientHello (RFC 8446 section 5.1)
_PATIENCE = 5.0


class Visit(NamedTuple):
    """A request, and the scheme that it came by."""

    scheme: str
    request: SeenRequest


class TwoFaced:
    """Looks at the first byte of each connection, answers one request on it, and closes.

    Attributes:
        port: of 127.0.0.1.
        visits: the requests, in the order in which they came.
        replies: by path; other paths get an empty 200.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.visits: list[Visit] = []
        self.replies: Mapping[str, Reply] = {}
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def url(self, scheme: str, path: str = "/") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    @contextlib.contextmanager
    def running(self) -> Iterator[TwoFaced]:
        """Serve in a thread while the block runs."""
        thread = threading.Thread(target=self._serve)
        thread.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(_PATIENCE)
                with connection, contextlib.suppress(OSError):
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        if connection.recv(1, socket.MSG_PEEK)[0] != _TLS_HANDSHAKE:
            self._converse(connection, "http")
            return
        with self._context.wrap_socket(connection, server_side=True) as session:
            self._converse(session, "https")

    def _converse(self, connection: socket.socket, scheme: str) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        request = parse_request(received.removesuffix(b"\r\n\r\n"))
        self.visits.append(Visit(scheme, request))
        reply = self.replies.get(request.path, Reply(200))
        connection.sendall(reply.encode(closing=True))
