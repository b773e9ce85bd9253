from __future__ import annotations

import gzip
import sys
import zlib
from importlib import import_module
from typing import Any

import pytest

from asyncfetch.job.lines import BLOCK
from asyncfetch.job.packing import Unreadable, gunzipped, unpacked, unzstd

zstd: Any = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


def chunks(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_gzip_members_and_padding(size: int) -> None:
    """Several members are one stream, zero bytes after them are padding, in whatever pieces they come."""
    content = gzip.compress(b"http://a/\n") + gzip.compress(b"") + gzip.compress(b"http://b/\n") + bytes(20)
    assert b"".join(gunzipped(chunks(content, size))) == b"http://a/\nhttp://b/\n"


def test_gzip_pieces_are_bounded() -> None:
    """A file that swells comes in pieces of one block."""
    content = gzip.compress(bytes(10 * BLOCK + 5))
    sizes = [len(piece) for piece in gunzipped([content])]
    assert sum(sizes) == 10 * BLOCK + 5
    assert max(sizes) <= BLOCK


def test_gzip_cut_at_every_position() -> None:
    """A cut file never ends well, and gives what could be read before."""
    plain = b"".join(b"http://%d/\n" % number for number in range(50))
    content = gzip.compress(plain)
    for end in range(1, len(content)):
        got: list[bytes] = []
        with pytest.raises(EOFError):
            got.extend(gunzipped([content[:end]]))
        assert plain.startswith(b"".join(got))
        assert got or end < 40
    assert b"".join(gunzipped([content])) == plain


def test_gzip_that_swells_cut_at_every_position() -> None:
    """What is still inside the decompressor at a cut is given too."""
    content = gzip.compress(bytes(3 * BLOCK))
    for end in range(20, len(content)):
        got: list[bytes] = []
        with pytest.raises(EOFError):
            got.extend(gunzipped([content[:end]]))
        assert sum(map(len, got)) == len(zlib.decompressobj(wbits=31).decompress(content[:end]))


@pytest.mark.parametrize("tail", [b"junk", gzip.compress(b"x", mtime=0)[:-8] + bytes(8)])
def test_gzip_that_is_corrupt(tail: bytes) -> None:
    """Junk after a member, and a wrong checksum, are errors."""
    with pytest.raises(zlib.error):
        list(gunzipped([gzip.compress(b"http://a/\n") + tail]))


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_zstd_frames(size: int) -> None:
    """Several frames are one stream, skippable ones hold nothing, in whatever pieces they come."""
    skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc"
    content = skippable + zstd.compress(b"http://a/\n") + zstd.compress(b"") + skippable + zstd.compress(b"b\n")
    assert b"".join(unzstd(chunks(content, size))) == b"http://a/\nb\n"
    assert b"".join(unpacked(chunks(content, size))) == b"http://a/\nb\n"


def test_zstd_pieces_are_bounded() -> None:
    """A file that swells comes in pieces of one block."""
    sizes = [len(piece) for piece in unzstd([zstd.compress(bytes(10 * BLOCK + 5))])]
    assert sum(sizes) == 10 * BLOCK + 5
    assert max(sizes) <= BLOCK


def test_zstd_cut_at_every_position() -> None:
    """A cut file never ends well, and gives what could be read before."""
    plain = b"".join(b"http://%d/\n" % number for number in range(50))
    content = zstd.compress(plain)
    for end in range(1, len(content)):
        got: list[bytes] = []
        with pytest.raises(EOFError):
            got.extend(unzstd([content[:end]]))
        assert plain.startswith(b"".join(got))
    assert b"".join(unzstd([content])) == plain


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (gzip.compress(b"http://a/\n", mtime=0)[:9], "ends too early: its gzip data was cut short"),
        (gzip.compress(b"http://a/\n", mtime=0) + b"junk", "is corrupt: its gzip data cannot be decompressed"),
        (zstd.compress(b"http://a/\n")[:9], "ends too early: its Zstandard data was cut short"),
        (zstd.compress(b"http://a/\n") + b"junk", "is corrupt: its Zstandard data cannot be decompressed"),
    ],
)
def test_what_is_wrong_is_said_in_our_words(content: bytes, sentence: str) -> None:
    """What comes out says which compression it is about, and what happened."""
    with pytest.raises(Unreadable) as caught:
        list(unpacked([content]))
    assert caught.value.detail == sentence


@pytest.mark.parametrize("content", [b"", b"h", b"http://a/\n", b"\n\x1f\x8b"])
def test_what_is_not_compressed_is_left_as_it_is(content: bytes) -> None:
    """Only what begins as a compressed file is decompressed."""
    assert b"".join(unpacked(chunks(content, 1))) == content
