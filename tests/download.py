"""A large body as servers have it: with a validator, served in ranges, and cut where the test says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from asyncfetch.testing import Close, Drip, Reply, Script, SeenRequest, Send, gzip_bytes

__all__ = ["Download", "pattern"]

DATE = ("Date", "Sun, 06 Nov 1994 08:50:37 GMT")


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes of which no two stretches are the same, so that a body with a hole or a wrong piece is seen."""
    block = b"".join(b"%08x" % (number * 2654435761 * seed % 2**32) for number in range(4096))
    pieces = [b"%08d" % number + block for number in range(size // len(block) + 1)]
    return b"".join(pieces)[:size]


class Download:
    """An answer for a `FaultServer`: it understands Range and If-Range (RFC 9110 section 13.1.5).

    Attributes:
        content: the body.
        fields: what tells its version: an ETag, or Last-Modified and Date.
        cuts: after how many bytes of its body each answer breaks off; None, or nothing more here, is not at all.
        ranges: False ignores Range.
        part: fields of a 206 that are to be others than they should be; None leaves one out.
        pause: seconds between pieces of 256 KiB; 0 sends all at once.
        gzip: whether the body is coded for who accepts that.
        asked: the Range of each request, None where there was none.
    """

    def __init__(self, content: bytes, *cuts: int | None, etag: str | None = '"v1"') -> None:
        self.content = content
        self.fields: dict[str, str] = {} if etag is None else {"ETag": etag}
        self.cuts: Iterator[int | None] = iter(cuts)
        self.ranges = True
        self.part: dict[str, str | None] = {}
        self.status: int | None = None
        self.gzip = False
        self.pause = 0.0
        self.asked: list[str | None] = []

    def __call__(self, request: SeenRequest) -> Reply | Script:
        asked = request.header("range")
        self.asked.append(asked)
        begin = self._begin_of(request, asked)
        cut = next(self.cuts, None)
        if begin is None:
            return self._answer(200, self.content, dict(self.fields), cut, gzip=self._codes(request))
        if begin >= len(self.content):
            return Reply(416, headers={"Content-Range": f"bytes */{len(self.content)}"})
        where = f"bytes {begin}-{len(self.content) - 1}/{len(self.content)}"
        fields: dict[str, str | None] = {**self.fields, "Content-Range": where, **self.part}
        sent = {name: value for name, value in fields.items() if value is not None}
        return self._answer(self.status or 206, self.content[begin:], sent, cut)

    def _begin_of(self, request: SeenRequest, asked: str | None) -> int | None:
        matched = re.fullmatch(r"bytes=(\d+)-", asked or "")
        condition = request.header("if-range")
        if matched is None or not self.ranges or condition not in {*self.fields.values(), None}:
            return None
        return int(matched[1])

    def _codes(self, request: SeenRequest) -> bool:
        return self.gzip and "gzip" in (request.header("accept-encoding") or "")

    def _answer(
        self, status: int, body: bytes, fields: dict[str, str], cut: int | None, *, gzip: bool = False
    ) -> Reply | Script:
        if gzip:
            body, fields = gzip_bytes(body), {**fields, "Content-Encoding": "gzip"}
        reply = Reply(status, body, fields)
        whole = reply.encode()
        if self.pause:
            return Script(Drip(whole, self.pause, 256 * 1024))
        return reply if cut is None else Script(Send(whole[: len(whole) - len(body) + cut]), Close())
