"""Asking for the rest of a body, and believing an answer: pure, field by field."""

from __future__ import annotations

import pytest

from asyncfetch.streams.heads import Head, HeadParser
from asyncfetch.streams.ranges import Rest, announced_length, is_identity, is_rest, range_fields, strong_validator

REST = Rest(begin=100, validator='"a"', complete=1000)
DATE = "Date: Sun, 06 Nov 1994 08:50:37 GMT"


def head(*lines: str, status: int = 200) -> Head:
    return HeadParser().parse("\r\n".join([f"HTTP/1.1 {status} ", *lines]).encode("latin-1"))


@pytest.mark.parametrize(
    ("lines", "validator"),
    [
        (['ETag: "abc"'], '"abc"'),
        (['etag: "abc"', DATE, "Last-Modified: Sat, 05 Nov 1994 08:50:37 GMT"], '"abc"'),
        (['ETag: "\xe9"'], '"\xe9"'),
        (['ETag: W/"abc"'], None),
        (['ETag: W/"abc"', DATE, "Last-Modified: Sat, 05 Nov 1994 08:50:37 GMT"], None),
        (["ETag: abc"], None),
        (['ETag: "a"b"'], None),
        (['ETag: "a"', 'ETag: "b"'], None),
        ([], None),
        ([DATE, "Last-Modified: Sat, 05 Nov 1994 08:50:37 GMT"], "Sat, 05 Nov 1994 08:50:37 GMT"),
        ([DATE, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"], "Sun, 06 Nov 1994 08:49:37 GMT"),
        ([DATE, "Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT"], None),
        ([DATE, "Last-Modified: Sun, 06 Nov 1994 08:50:37 GMT"], None),
        ([DATE, "Last-Modified: Mon, 07 Nov 1994 08:50:37 GMT"], None),
        ([DATE, "Last-Modified: yesterday"], None),
        ([DATE, "Last-Modified: Sat, 05 Nov 1994 08:50:37 -0000"], None),
        (["Last-Modified: Sat, 05 Nov 1994 08:50:37 GMT"], None),
    ],
)
def test_which_validator_is_strong(lines: list[str], validator: str | None) -> None:
    """A strong ETag is; without any ETag, a Last-Modified that is a minute older than Date."""
    assert strong_validator(head(*lines).fields) == validator


def test_what_is_asked_for() -> None:
    """The rest, if the validator is still the same, and no coding, in which positions would be others."""
    fields = {"Range": "bytes=100-", "If-Range": '"a"', "Accept-Encoding": "identity"}
    assert range_fields(REST) == fields


@pytest.mark.parametrize(
    ("lines", "identity"),
    [
        ([], True),
        (["Content-Encoding: Identity"], True),
        (["Content-Encoding: gzip"], False),
        (["Content-Encoding: identity", "Content-Encoding: br"], False),
    ],
)
def test_what_has_no_coding(lines: list[str], identity: bool) -> None:
    """`identity` is none; any other is one."""
    assert is_identity(head(*lines).fields) is identity


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        (["Content-Length: 12"], 12),
        ([], None),
        (["Content-Length: 12", "Content-Length: 12"], None),
        (["Content-Length: 12", "Transfer-Encoding: chunked"], None),
        (["Content-Length: " + "9" * 19], None),
        (["Content-Length: +1"], None),
    ],
)
def test_what_length_is_announced(lines: list[str], length: int | None) -> None:
    """One plain number is; anything else is none, and the rest has to say it."""
    assert announced_length(head(*lines).fields) == length


TAG = 'ETag: "a"'
WHERE = "Content-Range: bytes 100-999/1000"


@pytest.mark.parametrize(
    ("lines", "rest"),
    [
        ([TAG, WHERE], REST),
        ([TAG, "content-range: Bytes 100-999/*"], REST),
        ([TAG, WHERE], Rest(100, '"a"')),
        (["Last-Modified: x", WHERE, 'ETag: "z"'], Rest(100, "x", 1000)),
    ],
)
def test_the_rest(lines: list[str], rest: Rest) -> None:
    """The same validator, and the range from there to the end."""
    assert is_rest(head(*lines, status=206), 900, rest)


@pytest.mark.parametrize(
    ("lines", "length", "rest"),
    [
        ([WHERE], 900, REST),
        (['ETag: "b"', WHERE], 900, REST),
        (['ETag: W/"a"', WHERE], 900, REST),
        ([TAG, 'ETag: "b"', WHERE], 900, REST),
        (["Last-Modified: y", WHERE], 900, Rest(100, "x", 1000)),
        ([TAG], 900, REST),
        ([TAG, WHERE, WHERE], 900, REST),
        ([TAG, "Content-Range: bytes 99-999/1000"], 901, REST),
        ([TAG, "Content-Range: bytes 101-999/1000"], 899, REST),
        ([TAG, "Content-Range: bytes 100-998/1000"], 899, REST),
        ([TAG, "Content-Range: bytes 100-998/999"], 899, REST),
        ([TAG, "Content-Range: bytes 100-1000/1000"], 901, REST),
        ([TAG, "Content-Range: bytes 100-999/*"], 900, Rest(100, '"a"')),
        ([TAG, "Content-Range: bytes */1000"], 900, REST),
        ([TAG, "Content-Range: lines 100-999/1000"], 900, REST),
        ([TAG, "Content-Range: bytes 100-999"], 900, REST),
        ([TAG, "Content-Range: bytes +100-999/1000"], 900, REST),
        ([TAG, WHERE], 899, REST),
        ([TAG, WHERE], None, REST),
        ([TAG, WHERE, "Content-Encoding: gzip"], 900, REST),
    ],
)
def test_what_is_not_the_rest(lines: list[str], length: int | None, rest: Rest) -> None:
    """Whatever is another range, another representation, or not said plainly is not believed."""
    assert not is_rest(head(*lines, status=206), length, rest)


def test_the_whole_is_not_the_rest() -> None:
    """Only a 206 is a part, whatever its fields say."""
    assert not is_rest(head(TAG, WHERE, status=200), 900, REST)
