"""Option values: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import pytest

from asyncfetch.cli import values


def refusal(read: Callable[[str], Any], text: str) -> str:
    with pytest.raises(click.BadParameter) as caught:
        read(text)
    return caught.value.message


@pytest.mark.parametrize(("text", "expected"), [("1", 1), ("006", 6), ("1000000000", 10**9), (7, 7)])
def test_counts_are_whole_numbers_from_one(text: str | int, expected: int) -> None:
    """A count is written in digits; click also hands over the default, as a number."""
    assert values.count(text) == expected


@pytest.mark.parametrize("text", ["0", "-1", "+1", "1.5", "1_0", "ten", "", " 1", "٣", "1000000001", "9" * 5000])
def test_other_counts_are_refused(text: str) -> None:
    """Everything else is refused in a sentence that says what is allowed, and is not longer for a long text."""
    sentence = refusal(values.count, text)
    assert sentence.endswith("is not a whole number from 1 to 1,000,000,000")
    assert len(sentence) < 200


def test_a_number_may_be_zero() -> None:
    """Retries and redirects may be none at all."""
    assert values.number("0") == 0
    assert "from 0 to" in refusal(values.number, "-1")


@pytest.mark.parametrize(
    ("text", "expected"), [("30", 30.0), ("0.5", 0.5), (".25", 0.25), ("1e3", 1e3), (10, 10.0)]
)
def test_seconds_are_numbers_above_zero(text: str | float, expected: float) -> None:
    """A time may have decimals."""
    assert values.seconds(text) == expected


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e999", "soon", "", "5s"])
def test_other_times_are_refused(text: str) -> None:
    """What is no time is refused, with examples of what is one."""
    assert "is not a time: give seconds above 0, such as 30 or 0.5" in refusal(values.seconds, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1000", 1000),
        ("1k", 1024),
        ("1K", 1024),
        ("10M", 10 * 1024**2),
        ("10 MB", 10 * 1024**2),
        ("2GiB", 2 * 1024**3),
        ("1t", 1024**4),
        ("1.5k", 1536),
        (1000, 1000),
    ],
)
def test_sizes_are_bytes_with_units_of_1024(text: str | int, expected: int) -> None:
    """k, M, G and T are 1024s, in either case, with or without a B."""
    assert values.size(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "k", "1x", "1kk", "1e3", "1,5k", "٣", "9" * 400, "1." + "9" * 400])
def test_other_sizes_are_refused(text: str) -> None:
    """What is no size, or one beyond all disks, is refused with an example."""
    assert "is not a size: give bytes, or a number with k, M or G, such as 10M" in refusal(values.size, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("X-A: 1", ("X-A", "1")),
        ("X-A:1", ("X-A", "1")),
        ("X-A:  two words\t", ("X-A", "two words")),
        ("X-A: a:b;c", ("X-A", "a:b;c")),
        ("Accept:", ("Accept", None)),
        ("Accept:  ", ("Accept", None)),
        ("X-Empty;", ("X-Empty", "")),
        ("X-A: é", ("X-A", "é")),
    ],
)
def test_headers_are_read_as_curl_does(text: str, expected: tuple[str, str | None]) -> None:
    """`Name: value` sends, `Name:` removes, `Name;` sends an empty value."""
    assert values.header(text) == expected


@pytest.mark.parametrize("text", ["", "no colon", ": value", "a b: c", "a\nb: c", ";", "é: c", "@file"])
def test_what_has_no_name_is_no_header(text: str) -> None:
    """A name is a token of RFC 9110."""
    assert refusal(values.header, text) == "that is not a header: write it as 'Name: value'"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("se\ncret", "holds a line break or control character"),
        ("se\r\nX: cret", "holds a line break or control character"),
        ("se\x00cret", "holds a line break or control character"),
        ("se\N{SNOWMAN}cret", "holds a character that no header can carry (beyond Latin-1)"),
        ("se\udcffcret", "holds a character that no header can carry (beyond Latin-1)"),
    ],
)
def test_what_is_wrong_with_a_header_is_said_without_its_value(value: str, why: str) -> None:
    """The name tells which one; the value may be a secret and stays out of logs."""
    sentence = refusal(values.header, f"Authorization: {value}")
    assert sentence == f"the value of Authorization {why}"


def test_user_and_password_are_parted_at_the_first_colon() -> None:
    """A password may contain colons, and be empty."""
    assert values.user("bob:a:b") == ("bob", "a:b")
    assert values.user("bob:") == ("bob", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.org:443:127.0.0.1", ("example.org:443", "127.0.0.1")),
        ("EXAMPLE.org:080:127.0.0.1", ("example.org:80", "127.0.0.1")),
        ("bücher.example:80:127.0.0.1", ("xn--bcher-kva.example:80", "127.0.0.1")),
        ("example.org:8080:::1", ("example.org:8080", "::1")),
        ("example.org:8080:[::1]", ("example.org:8080", "::1")),
        ("[2001:DB8::1]:80:::1", ("[2001:db8::1]:80", "::1")),
    ],
)
def test_resolve_reads_host_port_and_address(text: str, expected: tuple[str, str]) -> None:
    """The key is the host's as the scheduler and the resolver write it."""
    assert values.resolve(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org",
        "example.org:443",
        "example.org:443:",
        "example.org:443:name.example",
        "example.org:0443x:127.0.0.1",
        "example.org:99999:127.0.0.1",
        ":443:127.0.0.1",
        "a@b:443:127.0.0.1",
        "a b:443:127.0.0.1",
    ],
)
def test_other_resolves_are_refused(text: str) -> None:
    """The sentence shows what one looks like."""
    assert "is not HOST:PORT:ADDRESS, such as example.org:443:127.0.0.1" in refusal(values.resolve, text)


def test_networks_are_checked_by_the_guard_itself() -> None:
    """What the guard takes is taken, and what it says of the rest helps."""
    assert values.network("10.0.0.0/8") == "10.0.0.0/8"
    assert values.network("fd00::1") == "fd00::1"
    assert "did you mean 10.0.0.0/8?" in refusal(values.network, "10.1.2.3/8")
    assert "is not a network such as" in refusal(values.network, "example.org")


def test_a_name_must_not_be_empty() -> None:
    """An empty file name is a shell variable that was never set; the current directory would be a bad guess."""
    assert values.filled("x") == "x"
    assert refusal(values.filled, "") == "the name is empty"
