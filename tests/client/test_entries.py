"""Requests as bytes: what comes back equals what went in, in every field and type."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from asyncfetch import Request, Timeouts
from asyncfetch.client.entries import Entries
from asyncfetch.job import Place


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    parts: tuple[int, ...] = ()


class Open(msgspec.Struct):
    name: str


class Special(Request):
    more: str = "kept"


class Text(str):
    pass


URL = "http://example.org/?q=\N{GRINNING FACE}"

_WRITTEN = [
    Request(URL),
    Request(URL, 5, "HEAD", {"A": "b", "C": None}, Timeouts(total=3), False, 10, 7, "is no URL"),
    Request(URL, headers=[("A", "b"), ("A", None)]),
    Request(URL, headers=(("A", "b"),)),
    Request(URL, context=Place("list.txt", 3)),
    Request(URL, context=Frozen(name="a", parts=(1, 2))),
    Request(URL, context=("row", 17, (b"\0", 1.5, None, True))),
    Request(URL, max_time=2.5),
    Request(URL, follow_redirects=True, max_body=0, context=1 << 63),
]

_KEPT = [
    Request(URL, context={"its": "owner goes on using it"}),
    Request(URL, context=Open("a")),
    Request(URL, context=object()),
    Request(URL, context=(1, [2])),
    Request(URL, context=Text("a kind of text")),
    Request(URL, context=1 << 64),
    Request(URL, context="\ud800"),
    Request(URL, context=(1 << 70,)),
    Special(URL),
]


def types_of(value: Any) -> Any:
    """The type of a value, and those of what it is made of."""
    if isinstance(value, tuple | list):
        return type(value), [types_of(part) for part in value]
    if isinstance(value, msgspec.Struct):
        return type(value), [types_of(part) for part in msgspec.structs.astuple(value)]
    return type(value)


@pytest.mark.parametrize("request_", _WRITTEN, ids=repr)
def test_comes_back_equal(request_: Request) -> None:
    """Every field has its value and its type, together with the position and the time; nothing is kept."""
    entries = Entries()
    for _ in range(2):
        found, index, added = entries.decode(entries.encode(request_, 12, 3.5))
        assert (found, index, added) == (request_, 12, 3.5)
        assert types_of(found) == types_of(request_)
        assert not entries.kept


@pytest.mark.parametrize("request_", _KEPT, ids=lambda request: type(request.context).__name__)
def test_what_has_no_bytes_is_kept_as_it_is(request_: Request) -> None:
    """The very object comes back, and is not kept any longer."""
    entries = Entries()
    entry = entries.encode(request_, 1, 0.0)
    assert len(entries.kept) == 1
    found, _, _ = entries.decode(entry)
    assert found.context is request_.context or found is request_
    assert found == request_
    assert not entries.kept


def test_what_is_kept_whole_is_kept_once() -> None:
    """An object, and beside it a number that has no bytes: no second copy stays."""
    entries = Entries()
    request = Request(URL, context=object(), id=2**70)
    entry = entries.encode(request, 1, 0.0)
    assert len(entries.kept) == 1
    assert entries.decode(entry)[0] is request
    assert not entries.kept


def test_settings_are_written_once() -> None:
    """However many requests share them; but a thousand different ones are kept like any object."""
    entries = Entries()
    requests = [Request(URL, timeouts=Timeouts(total=1 + number % 1500)) for number in range(3000)]
    written = [entries.encode(request, 1, 0.0) for request in requests]
    assert len(entries._shared) == 1000
    assert len(entries.kept) == 1000
    assert [entries.decode(entry)[0] for entry in written] == requests


def test_a_list_of_a_job_takes_few_bytes() -> None:
    """An entry costs its URL, the name of its file, and about twenty bytes."""
    request = Request("http://example.org/", 9_000_000, context=Place("urls.txt", 9_000_001))
    entries = Entries()
    written = [entries.encode(request, 9_000_000, 12345.678) for _ in range(2)]
    assert len(written[1]) <= len("http://example.org/urls.txt") + 40
