"""Content codings: whole bodies, cut ones, garbage and bombs."""

from __future__ import annotations

import gzip
import importlib
import random
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfetch.errors import BodyTooLarge, DecodingError, FetchError
from asyncfetch.streams import decoding
from asyncfetch.streams.decoding import ACCEPT_ENCODING, Decoder, check_growth, make_decoder

MIB = 1024 * 1024

brotli: Any = importlib.import_module("brotli")
zstd: Any = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


@pytest.fixture(scope="module", params=["zlib_ng.zlib_ng", "zlib"], autouse=True)
def _inflater(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let each of the two libraries undo gzip and deflate: zlib does where zlib-ng is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "_zlib", importlib.import_module(request.param))
        patch.setattr(decoding, "_CODINGS", decoding._known_codings())
        yield


def gzipped(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=3, mtime=0)


def bare_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


ENCODERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzipped,
    b"x-gzip": gzipped,
    b"deflate": zlib.compress,
    b"Deflate": bare_deflate,
    b"br": brotli.compress,
    b"zstd": zstd.compress,
    b"identity": bytes,
}
REAL_CODINGS = [name for name in ENCODERS if name != b"identity"]
BODIES = [b"", b"x", b"hello world", b"\0" * 5000, random.Random(7).randbytes(3000)]


def new_decoder(*values: bytes, max_decoded: int | None = None) -> Decoder:
    decoder = make_decoder(values, max_decoded=max_decoded)
    assert decoder is not None
    return decoder


def decode(coding: bytes, *chunks: bytes, max_decoded: int | None = None) -> bytes:
    decoder = new_decoder(coding, max_decoded=max_decoded)
    body = b"".join(piece for chunk in chunks for piece in decoder.decode(chunk))
    decoder.finish()
    assert decoder.decoded_bytes == len(body)
    assert decoder.wire_bytes == sum(map(len, chunks))
    return body


def bytewise(wire: bytes) -> list[bytes]:
    return [wire[i : i + 1] for i in range(len(wire))]


# What is offered, and what a field means


def test_everything_installed_is_offered() -> None:
    """The Accept-Encoding value names each coding once, without the alias x-gzip."""
    assert ACCEPT_ENCODING == b"gzip, deflate, br, zstd"


@pytest.mark.parametrize("values", [[], [b""], [b"identity"], [b" , ,"], [b"Identity", b"identity"]])
def test_nothing_to_undo_needs_no_decoder(values: list[bytes]) -> None:
    """An absent or empty field, and identity, give None."""
    assert make_decoder(values) is None


@pytest.mark.parametrize(
    "values", [[b"gzip,br"], [b"GZIP", b"Br"], [b" gzip\t, identity,, BR "], [b"x-gzip", b"", b"br"]]
)
def test_lists_and_repeated_fields_are_one_list(values: list[bytes]) -> None:
    """Codings are undone in reverse order, however the list is spelt (RFC 9110 section 8.4)."""
    decoder = new_decoder(*values)
    assert b"".join(decoder.decode(brotli.compress(gzipped(b"hello")))) == b"hello"
    decoder.finish()


@pytest.mark.parametrize("name", [b"compress", b"gzip;q=1", b"g zip", b"\x1b[31m\xff", b"aes128gcm"])
def test_unknown_coding_is_named_and_escaped(name: bytes) -> None:
    """A coding that is not known is refused by name, in printable ASCII."""
    with pytest.raises(DecodingError) as caught:
        make_decoder([b"gzip, " + name])
    assert "is not known here" in str(caught.value)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


def test_at_most_five_codings() -> None:
    """Five codings are undone, six are refused."""
    body = b"deep"
    for _ in range(5):
        body = gzipped(body)
    assert decode(b"gzip," * 5, body) == b"deep"
    with pytest.raises(DecodingError, match="6 content codings"):
        make_decoder([b"gzip"] * 6)


# Whole bodies


@pytest.mark.parametrize("coding", REAL_CODINGS)
@pytest.mark.parametrize("body", BODIES, ids=len)
def test_round_trip_whole_and_byte_by_byte(coding: bytes, body: bytes) -> None:
    """Each coding gives back the body, in one chunk, byte by byte, and with empty chunks between."""
    wire = ENCODERS[coding](body)
    assert decode(coding, wire) == body
    assert decode(coding, *bytewise(wire)) == body
    assert decode(coding, b"", wire[:2], b"", wire[2:], b"") == body


@given(
    body=st.binary(max_size=2000),
    stack=st.lists(st.sampled_from(list(ENCODERS)), min_size=1, max_size=5),
    cuts=st.lists(st.integers(0, 2500), max_size=5),
)
def test_any_stack_in_any_pieces_round_trips(body: bytes, stack: list[bytes], cuts: list[int]) -> None:
    """Any body through any stack of codings comes back, in whatever pieces it arrives."""
    wire = body
    for name in stack:
        wire = ENCODERS[name](wire)
    decoder = make_decoder([b", ".join(stack)])
    if decoder is None:
        assert wire == body
        return
    places = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    got = [piece for start, end in pairwise(places) for piece in decoder.decode(wire[start:end])]
    decoder.finish()
    assert b"".join(got) == body


@pytest.mark.parametrize("coding", REAL_CODINGS)
def test_body_of_no_bytes_is_empty(coding: bytes) -> None:
    """No bytes on the wire are an empty body, whatever the coding: servers send that."""
    assert decode(coding) == b""
    assert decode(coding, b"") == b""
    assert decode(b"gzip, " + coding, ENCODERS[coding](b"")) == b""


@pytest.mark.parametrize("coding", [b"gzip", b"zstd"])
def test_several_members_are_one_body(coding: bytes) -> None:
    """Members or frames one after the other are one body, also empty ones, however they are cut."""
    encode = ENCODERS[coding]
    wire = encode(b"one ") + encode(b"") + encode(b"two ") + encode(b"three")
    assert decode(coding, wire) == b"one two three"
    assert decode(coding, *bytewise(wire)) == b"one two three"


def test_skippable_zstd_frame_is_skipped() -> None:
    """A skippable frame (RFC 8878 section 3.1.2) carries nothing of the body."""
    wire = zstd.compress(b"a") + b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstd.compress(b"b")
    assert decode(b"zstd", wire) == b"ab"
    assert decode(b"zstd", *bytewise(wire)) == b"ab"


def test_many_tiny_members_in_one_chunk() -> None:
    """Members end and begin anywhere in a chunk that is larger than what is fed at once."""
    wire = b"".join(gzipped(b"%d," % number) for number in range(5000))
    assert len(wire) > 100_000
    assert decode(b"gzip", wire) == b"".join(b"%d," % number for number in range(5000))


@pytest.mark.parametrize("more", [1, 100, 258, 300, 1000, 2000])
def test_output_that_is_held_back_when_all_input_is_taken(more: int) -> None:
    """A piece that fills up just as the input ends does not hide that more output waits."""
    body = bytes(256 * 1024 + more)
    for coding in REAL_CODINGS:
        assert decode(coding, ENCODERS[coding](body)) == body


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd"])
def test_large_body_comes_in_bounded_pieces(coding: bytes) -> None:
    """Pieces are never empty and never over 256 KiB, fed whole or in chunks."""
    body = random.Random(3).randbytes(1000) * 3000
    wire = ENCODERS[coding](body)
    for size in (len(wire), 701):
        decoder = new_decoder(coding)
        chunks = [wire[i : i + size] for i in range(0, len(wire), size)]
        pieces = [piece for chunk in chunks for piece in decoder.decode(chunk)]
        decoder.finish()
        assert b"".join(pieces) == body
        assert 0 < min(map(len, pieces)) <= max(map(len, pieces)) <= 256 * 1024


def test_incompressible_body_larger_than_a_slice() -> None:
    """A chunk of more than 64 KiB on the wire is fed in slices, nothing lost between them."""
    body = random.Random(4).randbytes(300_000)
    for coding in (b"gzip", b"deflate", b"br", b"zstd"):
        assert decode(coding, ENCODERS[coding](body)) == body


# Cut, corrupt, followed by more


@pytest.mark.parametrize("coding", REAL_CODINGS)
@pytest.mark.parametrize("body", BODIES[:3], ids=len)
def test_cut_at_every_position_is_never_a_success(coding: bytes, body: bytes) -> None:
    """A body that is cut anywhere after its first byte ends too early."""
    wire = ENCODERS[coding](body)
    for cut in range(1, len(wire)):
        with pytest.raises(DecodingError, match="ends too early"):
            decode(coding, wire[:cut])


@pytest.mark.parametrize("coding", [b"gzip", b"zstd"])
def test_cut_in_a_later_member_is_never_a_success(coding: bytes) -> None:
    """A whole first member does not excuse a second one that is cut."""
    first, second = ENCODERS[coding](b"first"), ENCODERS[coding](b"second")
    for cut in range(1, len(second)):
        with pytest.raises(DecodingError, match="ends too early"):
            decode(coding, first + second[:cut])


def test_cut_inner_coding_inside_a_whole_outer_one_is_found() -> None:
    """Each coding of a stack must reach its own end."""
    with pytest.raises(DecodingError, match="the br body ends too early"):
        decode(b"br, gzip", gzipped(brotli.compress(b"hello world")[:-1]))


@pytest.mark.parametrize("coding", REAL_CODINGS)
@pytest.mark.parametrize("tail", [b"\0", b"\0" * 512, b"\n", b"garbage, and more of it"], ids=len)
def test_anything_after_the_end_is_an_error(coding: bytes, tail: bytes) -> None:
    """Nothing is silently dropped: neither padding nor garbage may follow, in the same chunk or a later one."""
    wire = ENCODERS[coding](b"hello")
    for chunks in ([wire + tail], [wire, tail], [wire[:-1], wire[-1:] + tail]):
        with pytest.raises(DecodingError):
            decode(coding, *chunks)


def test_messages_tell_corrupt_from_followed_by_garbage() -> None:
    """The sentence says what is wrong, and the library's error is its cause."""
    damaged = bytearray(gzipped(b"hello world"))
    damaged[-5] ^= 1
    with pytest.raises(DecodingError, match=r"the gzip body is corrupt: .*data check") as caught:
        decode(b"gzip", bytes(damaged))
    assert isinstance(caught.value.__cause__, decoding._zlib.error)
    with pytest.raises(DecodingError, match=r"the gzip body is corrupt after a whole member: .*header"):
        decode(b"x-gzip", gzipped(b"hello") + b"<!-- cached -->")
    with pytest.raises(DecodingError, match="more bytes follow the end of the deflate body"):
        decode(b"deflate", zlib.compress(b"hello") + b"x")
    with pytest.raises(DecodingError, match="the br body is corrupt"):
        decode(b"br", b"<html>not brotli at all</html>")
    with pytest.raises(DecodingError, match="the zstd body is corrupt"):
        decode(b"zstd", b"<html>not zstd at all</html>")


def test_wrong_length_in_the_gzip_trailer_is_corrupt() -> None:
    """The length at the end of a member is checked (RFC 1952 section 2.3.1)."""
    wire = bytearray(gzipped(b"hello world"))
    wire[-1] ^= 1
    with pytest.raises(DecodingError, match="length check"):
        decode(b"gzip", bytes(wire))


def test_zlib_stream_with_a_preset_dictionary_is_refused() -> None:
    """A dictionary that nobody has (RFC 1950 section 2.3) is an error, not a crash."""
    compressor = zlib.compressobj(zdict=b"hello")
    with pytest.raises(DecodingError, match="the deflate body is corrupt"):
        decode(b"deflate", compressor.compress(b"hello hello") + compressor.flush())


@given(
    wire=st.binary(min_size=1, max_size=400),
    stack=st.lists(st.sampled_from(REAL_CODINGS), min_size=1, max_size=3),
    prefix=st.sampled_from(
        [b"", b"\x1f\x8b\x08\0", b"\x78\x9c", b"\x28\xb5\x2f\xfd", b"\x0b\x02\x80", b"\x50\x2a\x4d\x18"]
    ),
)
def test_garbage_raises_nothing_but_fetch_errors(wire: bytes, stack: list[bytes], prefix: bytes) -> None:
    """Whatever the bytes are, a body comes out or a FetchError, nothing else."""
    with suppress(FetchError):
        decode(b",".join(stack), prefix + wire)


@given(coding=st.sampled_from(REAL_CODINGS), place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_one_flipped_bit_raises_nothing_but_fetch_errors(coding: bytes, place: int, bit: int) -> None:
    """A damaged body is an error or, where the coding has no checksum, another body; it is no crash."""
    wire = bytearray(ENCODERS[coding](BODIES[3] + BODIES[4]))
    wire[place % len(wire)] ^= 1 << bit
    with suppress(FetchError):
        decode(coding, bytes(wire))


# Bombs


def exhaust(pieces: Iterator[bytes]) -> None:
    for _ in pieces:
        pass


def zeros_in_gzip(mebibytes: int) -> Iterator[bytes]:
    """One gzip member of so many MiB of zeros, without ever holding them."""
    compressor = zlib.compressobj(wbits=31)
    zeros = bytes(MIB)
    for _ in range(mebibytes):
        yield compressor.compress(zeros)
    yield compressor.flush()


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd"])
def test_more_than_max_decoded_is_too_large(coding: bytes) -> None:
    """Exactly the limit passes; one byte more is an error before it is given."""
    wire = ENCODERS[coding](b"ab" * 5000)
    assert len(decode(coding, wire, max_decoded=10_000)) == 10_000
    with pytest.raises(BodyTooLarge, match="over the limit of 9999 bytes"):
        decode(coding, wire, max_decoded=9999)
    with pytest.raises(BodyTooLarge):
        decode(coding, wire, max_decoded=0)
    assert decode(coding, ENCODERS[coding](b""), max_decoded=0) == b""


def test_bomb_is_stopped_just_past_32_mib() -> None:
    """Past 32 MiB decoded, growth by more than 200 times is an error, with no more memory than some pieces."""
    decoder = new_decoder(b"gzip")
    pieces = decoder.decode(b"".join(zeros_in_gzip(40)))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge, match="more than 200 times"):
            exhaust(pieces)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 32 * MIB < decoder.decoded_bytes <= 32 * MIB + 256 * 1024
    assert peak < 2 * MIB


def test_tiny_brotli_bomb_is_stopped() -> None:
    """A few bytes of brotli, whose input is taken at once, are bounded all the same."""
    wire = brotli.compress(bytes(40 * MIB), quality=5)
    with pytest.raises(BodyTooLarge, match="more than 200 times"):
        decode(b"br", wire)


def test_stack_that_swells_only_inside_is_stopped() -> None:
    """Each stage of a stack is bounded: here the inner one is an endless file name, and gives nothing."""
    header = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff"
    decoder = new_decoder(b"gzip, gzip")
    with pytest.raises(BodyTooLarge, match="more than 200 times"):
        exhaust(decoder.decode(gzipped(header + b"a" * (33 * MIB))))
    assert decoder.decoded_bytes == 0


def test_bomb_in_a_bomb_is_stopped() -> None:
    """What counts for every stage are the bytes on the wire."""
    decoder = new_decoder(b"gzip, gzip")
    with pytest.raises(BodyTooLarge, match="more than 200 times"):
        exhaust(decoder.decode(gzipped(b"".join(zeros_in_gzip(34)))))


def test_caller_may_stop_early() -> None:
    """Only the pieces that are asked for are made."""
    decoder = new_decoder(b"gzip")
    pieces = decoder.decode(b"".join(zeros_in_gzip(8)))
    first = next(pieces)
    assert len(first) == decoder.decoded_bytes == 256 * 1024


def test_check_growth_of_a_body_without_codings() -> None:
    """For a plain body only the limit counts, at any size."""
    check_growth(10**12, 10**12, None)
    check_growth(100, 100, 100)
    with pytest.raises(BodyTooLarge, match="limit of 100 bytes"):
        check_growth(101, 101, 100)


def test_check_growth_allows_the_ratio_itself() -> None:
    """Up to 32 MiB any growth passes, above it 200 times."""
    check_growth(32 * MIB, 1, None)
    check_growth(200 * MIB, MIB, None)
    with pytest.raises(BodyTooLarge):
        check_growth(200 * MIB + 1, MIB, None)


def test_zstd_frame_with_a_huge_window_is_refused() -> None:
    """A frame may ask for a window of 8 MiB at most (RFC 9659)."""
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    wire = compressor.compress(b"x" * 100) + compressor.flush()
    with pytest.raises(DecodingError, match="the zstd body is corrupt"):
        decode(b"zstd", wire)


# What is not installed

WITHOUT_LIBRARIES = """
import gzip
import sys
from types import ModuleType, SimpleNamespace

old_brotli = ModuleType("brotli")
old_brotli.Decompressor = SimpleNamespace
sys.modules["brotli"] = {brotli}
sys.modules["backports.zstd"] = sys.modules["compression.zstd"] = sys.modules["zlib_ng"] = None

from asyncfetch.errors import DecodingError
from asyncfetch.streams.decoding import ACCEPT_ENCODING, make_decoder

assert ACCEPT_ENCODING == b"gzip, deflate", ACCEPT_ENCODING
for name in (b"br", b"zstd"):
    try:
        make_decoder([name])
    except DecodingError as error:
        assert "is not known here" in str(error)
    else:
        raise AssertionError(name)
decoder = make_decoder([b"gzip"])
assert b"".join(decoder.decode(gzip.compress(b"hello"))) == b"hello"
"""


@pytest.mark.parametrize("brotli", ["None", "old_brotli"])
def test_missing_or_old_library_is_not_offered(brotli: str) -> None:
    """Without brotli 1.2, zstd and zlib-ng the others are offered, and a body in br or zstd is refused."""
    subprocess.run([sys.executable, "-c", WITHOUT_LIBRARIES.format(brotli=brotli)], check=True)
