"""Content codings undone (RFC 9110 section 8.4): piece by piece, with a bound on what comes out.

This file knows bytes and codings. It knows nothing of framing: whoever reads the body feeds it here and says when
it has ended. Nothing is ever silently dropped, and a body that is cut is never a whole one:

- a coding that has not reached its own end when the body ends is `body.decoding`; only a body of no bytes at all
  passes as empty, whatever its codings, because servers send that;
- several gzip members or zstd frames one after the other are one body (RFC 1952 section 2.2, RFC 8878 section 3);
- any other byte after the end, zero padding too, is `body.decoding`.

Bombs: output comes in pieces of at most 256 KiB, made when they are asked for. Past 32 MiB, more than 200 times the
bytes on the wire is `body.too_large`; with stacked codings this holds for what each of them gives. zstd frames may
ask for a window of at most 8 MiB (RFC 9659). Members take time even if nothing is in them: more than 1,000 that are
empty, or inside another coding, are `body.too_large` too if the wire had less than 128 bytes for each.
"""

from __future__ import annotations

import importlib
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, Protocol

from asyncfetch.errors import BodyTooLarge, DecodingError, shown

__all__ = ["ACCEPT_ENCODING", "Decoder", "check_growth", "make_decoder"]

_KIB = 1024
_PIECE = 256 * _KIB
_SLICE = 64 * _KIB  # fed at once: zlib copies what it has not used yet, at every call
_BROTLI_PIECE = 128 * _KIB  # brotli looks at its limit before it doubles: what comes is 224 KiB at most
_ZSTD_WINDOW_LOG = 23
_SUSPICIOUS_FROM = 32 * _KIB * _KIB
_SUSPICIOUS_RATIO = 200
_MOST_CODINGS = 5
_MANY_MEMBERS = 1000
_WIRE_FOR_MEMBER = 128  # bytes; beginning one takes up to 25 µs


_Buffer = bytes | memoryview


def _import(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _import_brotli() -> ModuleType | None:
    module = _import("brotli")
    bounded = hasattr(getattr(module, "Decompressor", None), "can_accept_more_data")  # brotli 1.2 and later
    return module if bounded else None


_zlib: Any = _import("zlib_ng.zlib_ng") or zlib  # the same interface; it takes half the time
_brotli: Any = _import_brotli()
_zstd: Any = _import("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


class _Engine(Protocol):
    """One member, frame or stream being decompressed."""

    def step(self, compressed: _Buffer) -> tuple[bytes, bytes, bool]:
        """Return output, what must be fed to the next step, and whether there must be a next step."""

    @property
    def ended(self) -> bool:
        """Whether the end that the coding itself marks was reached."""

    @property
    def unused(self) -> bytes:
        """What was fed beyond the end."""


class _Inflate:
    def __init__(self, window_bits: int) -> None:
        self._inflater = _zlib.decompressobj(window_bits)

    def step(self, compressed: _Buffer) -> tuple[bytes, bytes, bool]:
        inflater = self._inflater
        piece = inflater.decompress(compressed, _PIECE)
        rest = inflater.unconsumed_tail
        return piece, rest, (bool(rest) or len(piece) == _PIECE) and not inflater.eof

    @property
    def ended(self) -> bool:
        return bool(self._inflater.eof)

    @property
    def unused(self) -> bytes:
        return bytes(self._inflater.unused_data)


class _Unbrotli:
    unused = b""

    def __init__(self) -> None:
        self._stream = _brotli.Decompressor()

    def step(self, compressed: _Buffer) -> tuple[bytes, bytes, bool]:
        stream = self._stream
        piece = stream.process(compressed, output_buffer_limit=_BROTLI_PIECE)
        # It takes all input, and says so, before it has given all output: a full piece means that more may come.
        return piece, b"", len(piece) >= _BROTLI_PIECE or not stream.can_accept_more_data()

    @property
    def ended(self) -> bool:
        return bool(self._stream.is_finished())


class _Unzstd:
    def __init__(self) -> None:
        bound = {_zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        self._frame = _zstd.ZstdDecompressor(options=bound)

    def step(self, compressed: _Buffer) -> tuple[bytes, bytes, bool]:
        frame = self._frame
        piece = frame.decompress(compressed, _PIECE)
        return piece, b"", not (frame.needs_input or frame.eof)

    @property
    def ended(self) -> bool:
        return bool(self._frame.eof)

    @property
    def unused(self) -> bytes:
        return bytes(self._frame.unused_data)


def _begin_gzip(_first: int) -> _Engine:
    return _Inflate(zlib.MAX_WBITS + 16)


def _begin_deflate(first: int) -> _Engine:
    """Tell the zlib format (RFC 1950), which RFC 9110 asks for, from bare deflate (RFC 1951), which is sent too.

    A zlib stream begins with method 8 in the low four bits and a window of at most 7 in the high ones. Bare deflate
    never begins so: it would be a stored block whose padding bits are not zero.
    """
    is_zlib = first & 0x8F == 0x08
    return _Inflate(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)


def _begin_brotli(_first: int) -> _Engine:
    return _Unbrotli()


def _begin_zstd(_first: int) -> _Engine:
    return _Unzstd()


class _Coding:
    """How to undo one coding.

    Attributes:
        name: as it stands in messages.
        begin: makes an engine, given the first byte.
        several: whether another member may follow the end of one.
        failure: what its library raises for corrupt bytes.
    """

    __slots__ = ("begin", "failure", "name", "several")

    def __init__(
        self, name: str, begin: Callable[[int], _Engine], failure: type[Exception], *, several: bool
    ) -> None:
        self.name = name
        self.begin = begin
        self.failure = failure
        self.several = several


def _known_codings() -> dict[bytes, _Coding]:
    gzip = _Coding("gzip", _begin_gzip, _zlib.error, several=True)
    deflate = _Coding("deflate", _begin_deflate, _zlib.error, several=False)
    known = {b"gzip": gzip, b"x-gzip": gzip, b"deflate": deflate}
    if _brotli is not None:
        known[b"br"] = _Coding("br", _begin_brotli, _brotli.error, several=False)
    if _zstd is not None:
        known[b"zstd"] = _Coding("zstd", _begin_zstd, _zstd.ZstdError, several=True)
    return known


_CODINGS = _known_codings()

ACCEPT_ENCODING: bytes = b", ".join(name for name in _CODINGS if name != b"x-gzip")
"""The Accept-Encoding field's value (RFC 9110 section 12.5.3): the codings that can be undone here."""


class _Stage:
    """One coding of one body: goes from engine to engine as members end."""

    __slots__ = ("_coding", "_engine", "_given_before", "_members", "_on_member", "given")

    def __init__(self, coding: _Coding, on_member: Callable[[_Stage, bool], None]) -> None:
        """Undo one coding; `on_member` is told of every member that has ended, and whether it was empty."""
        self._coding = coding
        self._on_member = on_member
        self._given_before = 0
        self._engine: _Engine | None = None
        self._members = 0
        self.given = 0

    def feed(self, compressed: bytes) -> Iterator[bytes]:
        """Give what these bytes decompress to, piece by piece."""
        if len(compressed) <= _SLICE:
            yield from self._undo(compressed)
            return
        view = memoryview(compressed)
        for start in range(0, len(view), _SLICE):
            yield from self._undo(view[start : start + _SLICE])

    def _undo(self, compressed: _Buffer) -> Iterator[bytes]:
        while compressed:
            engine = self._engine or self._begin(compressed[0])
            more = True
            while more:
                piece, compressed, more = self._step(engine, compressed)
                if piece:
                    yield piece
            if not engine.ended:
                return
            compressed = engine.unused
            self._engine = None
            self._members += 1
            self._on_member(self, self.given == self._given_before)
            self._given_before = self.given

    def _begin(self, first: int) -> _Engine:
        if self._members and not self._coding.several:
            raise DecodingError(f"more bytes follow the end of the {self._coding.name} body")
        self._engine = self._coding.begin(first)
        return self._engine

    def _step(self, engine: _Engine, compressed: _Buffer) -> tuple[bytes, bytes, bool]:
        try:
            return engine.step(compressed)
        except self._coding.failure as error:
            where = " after a whole member" if self._members else ""
            raise DecodingError(f"the {self._coding.name} body is corrupt{where}: {error}") from error

    def finish(self) -> None:
        """Say that no more bytes come."""
        if self._engine is not None:
            raise DecodingError(f"the {self._coding.name} body ends too early")


class Decoder:
    """Undoes the codings of one body.

    Attributes:
        wire_bytes: bytes fed so far, as they came in the body.
        max_decoded: the most decoded bytes allowed; None is no limit but that of `check_growth`.
    """

    __slots__ = ("_members", "_stages", "max_decoded", "wire_bytes")

    def __init__(self, codings: list[_Coding], max_decoded: int | None) -> None:
        """Take the codings in the order in which they are undone, at least one."""
        self._stages = [_Stage(coding, self._count_member) for coding in codings]
        self._members = 0
        self.max_decoded = max_decoded
        self.wire_bytes = 0

    @property
    def decoded_bytes(self) -> int:
        """Decoded bytes so far, a piece that was over the limit included."""
        return self._stages[-1].given

    def decode(self, wire: bytes) -> Iterator[bytes]:
        """Give what these body bytes decode to, in pieces of 1 byte to 256 KiB.

        Each piece is made when it is asked for. A caller who stops before the last one, or who got an error, must
        drop the decoder.

        Raises:
            DecodingError: the bytes are corrupt, or more follow after the end of the coding.
            BodyTooLarge: the piece would be over `max_decoded`, the growth is suspicious (`check_growth`), or
                there are too many members that bring nothing.
        """
        self.wire_bytes += len(wire)
        return self._through(0, wire)

    def _through(self, level: int, coded: bytes) -> Iterator[bytes]:
        stage = self._stages[level]
        level += 1
        last = level == len(self._stages)
        most = self.max_decoded if last else None
        for piece in stage.feed(coded):
            stage.given += len(piece)
            check_growth(stage.given, self.wire_bytes, most)
            if last:
                yield piece
            else:
                yield from self._through(level, piece)

    def _count_member(self, stage: _Stage, is_empty: bool) -> None:
        """Count a member that has taken time for nothing, or came out of another coding as one of millions."""
        if is_empty or stage is not self._stages[0]:
            self._members += 1
        if self._members > _MANY_MEMBERS and self._members * _WIRE_FOR_MEMBER > self.wire_bytes:
            raise BodyTooLarge(f"the body has {self._members} vain members in {self.wire_bytes} bytes on the wire")

    def finish(self) -> None:
        """Say that the body has ended; every piece has been taken before.

        Raises:
            DecodingError: a coding has not reached its end. A body of no bytes at all is accepted.
        """
        for stage in self._stages:
            stage.finish()


def check_growth(decoded: int, wire: int, max_decoded: int | None) -> None:
    """Check the size of a body so far, in bytes; for a body without codings `decoded` is `wire`.

    Raises:
        BodyTooLarge: `decoded` is over `max_decoded` (None is no limit), or is over 32 MiB and more than 200 times
            `wire`.
    """
    if max_decoded is not None and decoded > max_decoded:
        raise BodyTooLarge(f"the body is over the limit of {max_decoded} bytes")
    if decoded > _SUSPICIOUS_FROM and decoded > _SUSPICIOUS_RATIO * wire:
        raise BodyTooLarge(
            f"the body swells to {decoded} bytes from {wire} on the wire, more than {_SUSPICIOUS_RATIO} times"
        )


def make_decoder(values: Iterable[bytes], *, max_decoded: int | None = None) -> Decoder | None:
    """Make what undoes the codings that the Content-Encoding fields name, or None if there is nothing to undo.

    `values` are the values of all such fields, in order; they are read as one list (RFC 9110 section 8.4), names in
    any case. `max_decoded` is the most decoded bytes allowed, None is no limit.

    Raises:
        DecodingError: a coding is not known here, or there are more than 5, `identity` counted.
    """
    names = [name for name in (part.strip(b" \t").lower() for part in b",".join(values).split(b",")) if name]
    if len(names) > _MOST_CODINGS:
        raise DecodingError(f"the body has {len(names)} content codings, more than {_MOST_CODINGS}")
    codings = [_find_coding(name) for name in reversed(names) if name != b"identity"]
    return Decoder(codings, max_decoded) if codings else None


def _find_coding(name: bytes) -> _Coding:
    try:
        return _CODINGS[name]
    except KeyError:
        raise DecodingError(f"the content coding {shown(name)} is not known here") from None
