"""TLS of the server's side, over an asyncio stream reader and writer.

Not the loop's own TLS: that one hides when the last byte has gone out, always says goodbye, and differs between
asyncio and uvloop. What this server must be able to do wrong, it does itself, on `ssl.MemoryBIO`.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_T = TypeVar("_T")

_READ_SIZE = 64 * 1024


class ServerTLS:
    """The TLS layer of one connection. One task at a time may wait in it; a cancelled wait loses no bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        self._reader = reader
        self._writer = writer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def shake_hands(self) -> None:
        """Do the handshake, without a time limit.

        Raises:
            OSError: it failed, which includes ssl.SSLError, or the client left.
        """
        await self._when_readable(self._object.do_handshake)

    async def read(self, size: int) -> bytes:
        """Wait for content and return 1 to `size` bytes of it, or none at its end, with or without close_notify.

        Raises:
            OSError: the connection or its TLS broke.
        """
        try:
            return await self._when_readable(lambda: self._object.read(size))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def encrypt(self, content: bytes) -> bytes:
        """Return the records that carry `content`."""
        self._object.write(content)
        return self._outgoing.read()

    def goodbye(self) -> bytes:
        """Return the record with close_notify, or nothing where TLS cannot say it any more."""
        with contextlib.suppress(ssl.SSLError):  # it would wait for the client's own, or there is no session
            self._object.unwrap()
        return self._outgoing.read()

    async def _when_readable(self, operation: Callable[[], _T]) -> _T:
        """Call `operation` again until it needs no more bytes; each time send what it has to say, alerts too."""
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                pass
            finally:
                self._send_records()
            if received := await self._reader.read(_READ_SIZE):
                self._incoming.write(received)
            else:
                self._incoming.write_eof()

    def _send_records(self) -> None:
        if self._outgoing.pending and not self._writer.is_closing():
            self._writer.write(self._outgoing.read())
