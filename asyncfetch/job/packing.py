"""gzip and Zstandard on the way from a file to its entries, known by their first bytes, whatever the name says.

Pure: fed with bytes that somebody else has read. What is decompressed comes in pieces of at most `BLOCK` bytes, so
a file that swells costs no more memory than any other.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from asyncfetch.job.lines import BLOCK, GZIP_MAGIC, ZSTD_MAGIC

__all__ = ["Unreadable", "gunzipped", "take_head", "unpacked", "unzstd"]

_ENOUGH_TO_KNOW = 4  # bytes that tell gzip, a byte order mark or a program from text
_SKIPPABLE = tuple(bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60))  # RFC 8878 section 3.1.2


class Unreadable(Exception):
    """A source is not what it is taken for.

    Attributes:
        detail: what is the matter, a sentence whose subject is the source.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def unpacked(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Give the bytes of a source, decompressed if they are gzip or Zstandard.

    Raises:
        Unreadable: they end too early, or are corrupt; everything before has been given.
    """
    blocks = iter(blocks)
    head = take_head(blocks)
    whole: Iterator[bytes] = chain((head,), blocks) if head else blocks
    if head.startswith(GZIP_MAGIC):
        return _translated("gzip", gunzipped(whole), lambda error: isinstance(error, zlib.error))
    if head.startswith((ZSTD_MAGIC, *_SKIPPABLE)):
        return _translated("Zstandard", unzstd(whole), lambda error: type(error).__name__ == "ZstdError")
    return whole


def take_head(blocks: Iterator[bytes]) -> bytes:
    """Take as much as it needs to know what this is: more than one block only if a pipe gives very short ones."""
    head = b""
    for block in blocks:
        head += block
        if len(head) >= _ENOUGH_TO_KNOW or b"\n" in head:
            break
    return head


def _translated(name: str, pieces: Iterator[bytes], is_corrupt: Callable[[Exception], bool]) -> Iterator[bytes]:
    """Give the pieces, and say in our words what is wrong with them."""
    try:
        yield from pieces
    except EOFError as error:
        raise Unreadable(f"ends too early: its {name} data was cut short") from error
    except Exception as error:
        if not is_corrupt(error):
            raise
        raise Unreadable(f"is corrupt: its {name} data cannot be decompressed") from error


def gunzipped(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress gzip (RFC 1952), of one or several members, in pieces of at most `BLOCK` bytes.

    Zero bytes after the last member are padding.

    Raises:
        EOFError: the data ends too early; everything before has been given.
        zlib.error: the data is corrupt.
    """
    member = zlib.decompressobj(wbits=31)
    for block in blocks:
        rest = block
        while rest:
            if member.eof:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                member = zlib.decompressobj(wbits=31)
            if piece := member.decompress(rest, BLOCK):
                yield piece
            rest = member.unused_data or member.unconsumed_tail
    if not member.eof:
        if piece := member.flush():
            yield piece
        raise EOFError("the gzip data ends too early")


def unzstd(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress Zstandard (RFC 8878), of one or several frames, in pieces of at most `BLOCK` bytes.

    Raises:
        EOFError: the data ends too early; everything before has been given.
        ZstdError: the data is corrupt.
    """
    begin = _zstd().ZstdDecompressor
    frame = begin()
    for block in blocks:
        rest = block
        while rest or not (frame.needs_input or frame.eof):
            if frame.eof:
                frame = begin()
            if piece := frame.decompress(rest, BLOCK):
                yield piece
            rest = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise EOFError("the Zstandard data ends too early")


def _zstd() -> Any:
    """Load the library when the first such file is met: most lists are not compressed with it.

    Raises:
        Unreadable: this installation has none.
    """
    import importlib

    try:
        return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ImportError:
        raise Unreadable("is compressed with Zstandard, which this installation does not know") from None
