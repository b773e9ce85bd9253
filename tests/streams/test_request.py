"""Requests: encoded as RFC 9112 section 3 says, and nothing can be injected into them."""

from __future__ import annotations

import pytest

from asyncfetch.streams.request import check_field, encode_fields, encode_request


def test_request_is_encoded() -> None:
    """A request is its line, its Host, the fields given, and an empty line."""
    fields = encode_fields([("Accept", "*/*"), ("X-Empty", ""), ("X-Latin", "caf\xe9\t!")])
    assert encode_request("GET", "/a?b", "h.test:81", fields) == (
        b"GET /a?b HTTP/1.1\r\nHost: h.test:81\r\nAccept: */*\r\nX-Empty: \r\nX-Latin: caf\xe9\t!\r\n\r\n"
    )
    assert encode_request("HEAD", "/", "[::1]", b"") == b"HEAD / HTTP/1.1\r\nHost: [::1]\r\n\r\n"


@pytest.mark.parametrize("evil", ["\r", "\n", "\r\nX: y", "\0", " ", "\t", "\x7f", "\x1b", "\xe9", "\u2028", "☃"])
def test_no_request_can_be_injected(evil: str) -> None:
    """What could end a line, or part it, is refused in target, authority and method."""
    for method, target, authority in (
        ("GET", f"/{evil}", "h"),
        ("GET", "/", f"h{evil}"),
        (f"GET{evil}", "/", "h"),
    ):
        with pytest.raises(ValueError, match="cannot stand in a request") as caught:
            encode_request(method, target, authority, b"")
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("method", "target", "authority"), [("GET", "", "h"), ("GET", "/", ""), ("POST", "/", "h")]
)
def test_a_request_has_a_target_and_a_host_and_no_body(method: str, target: str, authority: str) -> None:
    """An empty target or authority is refused, and so are methods that this fetcher does not know."""
    with pytest.raises(ValueError, match="cannot stand in a request"):
        encode_request(method, target, authority, b"")


@pytest.mark.parametrize("name", ["", " A", "A ", "A:", "A\r\n", "A\0", "Ä", "A(", "A\n", '"A"', "A/B", "\u212a"])
def test_field_names_are_tokens(name: str) -> None:
    """A name that is no token (RFC 9110 section 5.6.2) is never sent, and named harmlessly."""
    with pytest.raises(ValueError, match="is not a header name") as caught:
        check_field(name, "x")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", ["\r", "a\nb", "a\r\nB: c", "\0", "\x7f", "\x1b[2J", "\x0b", "☃\n"])
def test_field_values_cannot_break_out(value: str) -> None:
    """A value with a line end or a control character is never sent."""
    with pytest.raises(ValueError, match="the value of the header A holds a line break or control") as caught:
        encode_fields([("A", value)])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", ["☃", "price: 5 €", "\udcff", "\u2028"])
def test_field_values_are_latin_1(value: str) -> None:
    """A value with a character beyond Latin-1 is never sent, and it is not called a line break."""
    wanted = r"the value of the header A holds a character that no header can carry \(beyond Latin-1\): '\\u"
    with pytest.raises(ValueError, match=wanted) as caught:
        encode_fields([("A", value)])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["Host", "HOST", "content-length", "Transfer-Encoding"])
def test_fields_that_frame_a_request_are_not_the_users(name: str) -> None:
    """Host comes from the URL, and a request has no body: a second Host, or a length, would split requests."""
    with pytest.raises(ValueError, match=f"the header {name} cannot be set"):
        check_field(name, "5")
