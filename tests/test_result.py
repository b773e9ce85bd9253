"""What comes out: responses as httpx has them, and results."""

from __future__ import annotations

from datetime import timedelta

import pytest

from asyncfetch import (
    HostUnavailable,
    Request,
    Response,
    Result,
    StatusError,
    Timings,
)


def response_of(headers: list[tuple[bytes, bytes]], content: bytes = b"", status: int = 200) -> Response:
    response = Response("http://h/", status, "", headers)
    response.body = content
    return response


class TestResponse:
    @pytest.mark.parametrize(
        ("content_type", "encoding"),
        [
            (None, "utf-8"),
            (b"text/html", "utf-8"),
            (b"text/html; charset=ISO-8859-1", "iso-8859-1"),
            (b'text/html; charset="windows-1252"', "windows-1252"),
            (b"text/html; charset=nonsense", "utf-8"),
            (b"text/html; charset=", "utf-8"),
            (b"text/html; charset=base64", "utf-8"),
            (b"text/html; charset=idna", "utf-8"),
            (b"text/html; charset=undefined", "utf-8"),
            (b"text/html; charset=unicode-escape", "utf-8"),
            (b"text/html; charset=raw_unicode_escape", "utf-8"),
            (b"text/html; charset=\xff\x00", "utf-8"),
            (b"text/html; charset*=utf-8''gr%C3%BC%C3%9Fe", "utf-8"),
            (b";;;=", "utf-8"),
        ],
    )
    def test_encoding(self, content_type: bytes | None, encoding: str) -> None:
        """What the Content-Type says if it is a charset for text, otherwise UTF-8; never an error."""
        headers = [] if content_type is None else [(b"Content-Type", content_type)]
        response = response_of(headers, "grüße".encode("latin-1") + b"\x00\xff" * 3)
        assert response.encoding == encoding
        assert isinstance(response.text, str)

    def test_text_replaces_what_cannot_be_decoded(self) -> None:
        """Text is never an error."""
        assert response_of([], b"a\xffb").text == "a\ufffdb"
        assert response_of([(b"content-type", b"text/plain; charset=latin-1")], b"a\xffb").text == "a\xffb"

    def test_json(self) -> None:
        """JSON is parsed when it is asked for."""
        assert response_of([], b'{"a": [1, 2]}').json() == {"a": [1, 2]}
        with pytest.raises(ValueError):
            response_of([], b"<html>").json()

    def test_headers(self) -> None:
        """Names in any case, repeated ones kept, not to be changed; raw ones as they came."""
        response = response_of([(b"X-A", b"1"), (b"x-a", b"2"), (b"B", b"\xe4")])
        assert response.headers["x-A"] == "1"
        assert response.headers.getall("X-A") == ["1", "2"]
        assert response.headers["b"] == "\xe4"
        assert response.headers is response.headers
        assert (response.field(b"x-a"), response.field(b"c")) == (b"1", None)
        with pytest.raises((TypeError, AttributeError)):
            response.headers["x"] = "y"  # type: ignore[index]

    @pytest.mark.parametrize(
        ("status", "success", "redirects", "error"),
        [
            (200, True, False, False),
            (299, True, False, False),
            (301, False, True, False),
            (304, False, False, False),
            (308, False, True, False),
            (399, False, False, False),
            (400, False, False, True),
            (999, False, False, True),
        ],
    )
    def test_kinds_of_status(self, status: int, success: bool, redirects: bool, error: bool) -> None:
        """As httpx has them; a redirect has a Location."""
        response = response_of([(b"Location", b"/")], status=status)
        assert (response.is_success, response.is_redirect, response.is_error) == (success, redirects, error)
        assert not response_of([], status=status).is_redirect

    def test_elapsed(self) -> None:
        """The total time, or none while it is not known."""
        response = response_of([])
        assert response.elapsed == timedelta(0)
        response.timings.total = 1.5
        assert response.elapsed == timedelta(seconds=1.5)

    def test_repr(self) -> None:
        """With and without a reason."""
        assert repr(response_of([])) == "<Response [200]>"
        assert repr(Response("http://h/", 404, "Not Found", [])) == "<Response [404 Not Found]>"

    async def test_from_memory(self) -> None:
        """A body in memory can be read as often as wanted, in the ways of a stream, too."""
        response = response_of([], b"abc")
        assert response.has_content
        for _ in range(2):
            assert [piece async for piece in response.aiter_bytes()] == [b"abc"]
            assert await response.aread() == b"abc"
        assert [piece async for piece in response_of([]).aiter_bytes()] == []


class TestResult:
    def test_ok_is_no_error(self) -> None:
        """A status of 400 has both response and error."""
        request = Request("http://h/")
        assert Result(1, request, response_of([])).ok
        failed = Result(1, request, response_of([], status=404), StatusError(404))
        assert (failed.ok, failed.status, failed.url) == (False, 404, "http://h/")
        assert Result(1, request, error=HostUnavailable("x")).status is None

    def test_results_share_no_lists(self) -> None:
        """Each has its own redirects and timings."""
        first, second = Result(1, Request("a")), Result(2, Request("b"))
        first.redirects.append("x")
        first.timings.total = 1.0
        assert (second.redirects, second.timings.total) == ([], None)

    def test_timings_are_rounded_to_microseconds(self) -> None:
        """What is not known stays unknown, and 0 is known."""
        assert Timings(queue=0.0, total=1.23456789).rounded() == Timings(queue=0.0, total=1.234568)
