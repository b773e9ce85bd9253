"""A bounded run of what is fuzzed: any bytes give a result or a FetchError, in bounded time and memory."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fuzz.entries import ENTRIES, SEEDS, fuzz

AT_MOST = 2.0  # seconds of the processor

bounded = settings(
    max_examples=300, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)

# words of the protocols that the entries read, so that chance comes upon something
WORDS = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 ", b"HTTP/1.1 100 \n\n", b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t"),
        *(b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n", b"Connection: "),
        *(b"close", b"keep-alive", b"0\r\n", b"5\r\nhello\r\n", b"f" * 16, b"0" * 20, b"1;x", b"+5", b"1_0", b":"),
        *(b"https://", b"http:", b"//", b"\\", b"/..", b"%2e", b"%00", b"@", b"[::1]", b":80", b"?", b"#", b"xn--"),
        *(b"Sun, 06 Nov 1994 08:49:37 GMT", b"Feb", b"29", b"9" * 12, "\xdf\u3002\u202e".encode(), b"\xed\xb0\x8a"),
        *(b"\x1f\x8b\x08\0\0\0\0\0\0\xff", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18", b"\x78\x9c", b"\x03\0"),
        *(seed for seeds in SEEDS.values() for seed in seeds),
    ]
)
BYTES = st.binary(max_size=200) | st.lists(WORDS | st.binary(max_size=4), max_size=12).map(b"".join)


@st.composite
def damaged(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with a piece cut out, and something else in its place."""
    seed = draw(st.sampled_from(seeds))
    start = draw(st.integers(0, len(seed)))
    end = draw(st.integers(start, len(seed)))
    return seed[:start] + draw(BYTES) + seed[end:]


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__)
def test_any_bytes_give_a_result_or_a_fetch_error(entry: Callable[[bytes], None]) -> None:
    """Each entry holds what it promises, for seeds, damaged seeds, words of its protocol, and chance."""

    @bounded
    @given(st.tuples(st.binary(min_size=1, max_size=1), BYTES).map(b"".join) | damaged(SEEDS[entry]))
    def check(data: bytes) -> None:
        began = process_time()
        entry(data)
        assert process_time() - began < AT_MOST

    for seed in SEEDS[entry]:
        entry(seed)
        for cut in range(len(seed)):
            entry(seed[:cut])
    check()


@given(st.binary(max_size=100))
@example(b"")
def test_the_first_byte_chooses(data: bytes) -> None:
    """The target that atheris calls takes any bytes, none included."""
    fuzz(data)


def test_every_entry_has_seeds() -> None:
    """Nothing is fuzzed from nothing."""
    assert set(SEEDS) == set(ENTRIES)
    assert all(SEEDS.values())
