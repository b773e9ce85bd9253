"""The bytes of one connection, over an asyncio stream reader and writer: receive, send, and end in every way.

Knows nothing of HTTP but where a head ends. What is sent is decided by `scripts`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import struct
import sys
from time import monotonic

from asyncfetch.testing.request import MalformedRequestError
from asyncfetch.testing.tls import ServerTLS

if sys.platform != "win32":
    import fcntl
    import termios

_MAX_HEAD = 1024 * 1024
_MAX_AHEAD = 1024 * 1024
_READ_SIZE = 64 * 1024
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_DELIVERY_POLL = 0.001
_DELIVERY_POLLS = 1000
_LINGER_NOT = struct.pack("ii", 1, 0)
_NO_TEXT = re.compile(rb"[^\r\n -~]")


class Wire:
    """One connection of a client, from accept to close.

    Every method that waits raises ConnectionError, or another OSError, when the client has gone.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._tls: ServerTLS | None = None
        self._received = b""
        self.is_open = True
        writer.transport.set_write_buffer_limits(high=0)  # so that drained means handed to the kernel

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands as the server, before anything else.

        Raises:
            OSError: the handshake failed, which includes ssl.SSLError and a client that has gone.
        """
        self._tls = ServerTLS(self._reader, self._writer, context)
        await self._tls.shake_hands()

    async def read_head(self) -> bytes | None:
        """Read up to the next empty line and return what is before it, or None if the client left first.

        Raises:
            MalformedRequestError: over 1 MiB without an empty line, or bytes that are no text, such as those
                of a TLS handshake.
        """
        searched = 0
        while True:
            if searched == 0 and self._received[:2] == b"\r\n":
                self._received = self._received[2:]
            if end := _END_OF_HEAD.search(self._received, searched):
                head, self._received = self._received[: end.start()], self._received[end.end() :]
                return head
            if len(self._received) > _MAX_HEAD or _NO_TEXT.match(self._received):
                raise MalformedRequestError(f"no head {self._received[:200]!r}")
            searched = max(0, len(self._received) - 3)
            if not await self._receive():
                return None

    async def read_away(self, size: int) -> None:
        """Read and drop `size` bytes.

        Raises:
            ConnectionError: the client left before they had all come.
        """
        while len(self._received) < size:
            size -= len(self._received)
            self._received = b""
            if not await self._receive():
                raise ConnectionResetError("the client left within its request")
        self._received = self._received[size:]

    async def _receive(self) -> bool:
        """Wait for more bytes; False if the client has ended its side."""
        chunk = await self._read()
        self._received += chunk
        return bool(chunk)

    async def _read(self) -> bytes:
        return await (self._tls or self._reader).read(_READ_SIZE)

    async def send(self, payload: bytes) -> None:
        """Send `payload` and wait until the kernel has all of it.

        Raises:
            ConnectionError: the client has gone.
        """
        if self._writer.is_closing():  # uvloop raises RuntimeError for a write after this
            raise ConnectionResetError("the client left")
        self._writer.write(self._tls.encrypt(payload) if self._tls else payload)
        await self._writer.drain()

    async def pause(self, seconds: float) -> None:
        """Wait `seconds` at least, or until the client leaves. Who ends only the sending side has left, too.

        Raises:
            ConnectionError: the client left.
        """
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0:  # uvloop's timers may be a millisecond early
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    while len(self._received) < _MAX_AHEAD:
                        if not await self._receive():
                            raise ConnectionResetError("the client left")
                    await asyncio.sleep(left)

    async def until_left(self) -> None:
        """Drop whatever the client sends until it leaves."""
        self._received = b""
        while await self._read():
            pass
        self.abort()

    def close(self) -> None:
        """End the stream in good order (FIN; over TLS with close_notify) when all bytes are sent."""
        self.is_open = False
        if self._tls and not self._writer.is_closing():
            self._writer.write(self._tls.goodbye())
        self._writer.close()

    def stop_tls(self) -> None:
        """End the TCP stream (FIN) when all bytes are sent; over TLS without close_notify."""
        self.is_open = False
        self._writer.close()

    async def reset(self) -> None:
        """End the connection with RST: the client reads what was sent, then gets ECONNRESET.

        A reset overtakes and drops what the client's kernel has not got yet. So it waits for that, but not for a
        client that does not read for a second.
        """
        for _ in range(_DELIVERY_POLLS):
            if self._writer.is_closing() or _undelivered(self._socket()) == 0:
                break
            await asyncio.sleep(_DELIVERY_POLL)
        if not self._writer.is_closing():
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.abort()

    def _socket(self) -> socket.socket:
        sock: socket.socket = self._writer.get_extra_info("socket")
        return sock

    def abort(self) -> None:
        """Drop the connection at once, and what was not sent yet."""
        self.is_open = False
        self._writer.transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the connection's socket is closed, after one of the ways to end it.

        All who wait share one future of asyncio's, and one of them that is cancelled would cancel it for all.
        """
        with contextlib.suppress(OSError):
            await asyncio.shield(self._writer.wait_closed())


def _undelivered(sock: socket.socket) -> int:
    """Return how many bytes the peer's kernel has not acknowledged; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    count = bytearray(4)
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, count)
    except OSError:
        return 0
    return int.from_bytes(count, sys.byteorder)
