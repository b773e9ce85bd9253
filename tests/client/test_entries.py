"""Requests as bytes: what comes back equals what went in, in every field and type."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from asyncfetch import Request, Timeouts
from asyncfetch.client.entries import Entries, Entry
from asyncfetch.job import Place


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    parts: tuple[int, ...] = ()


class Nothing(msgspec.Struct, frozen=True):
    pass


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


def encode(entries: Entries, request: Request, index: int, added: float) -> bytes:
    """Write a single entry."""
    (group,) = entries.encode([(request, index, added)])
    return group


def decode(entries: Entries, group: bytes) -> Entry:
    """Read a single entry."""
    (entry,) = entries.decode(group)
    return entry


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
        found, index, added = decode(entries, encode(entries, request_, 12, 3.5))
        assert (found, index, added) == (request_, 12, 3.5)
        assert types_of(found) == types_of(request_)
        assert not entries.kept


@pytest.mark.parametrize("request_", _KEPT, ids=lambda request: type(request.context).__name__)
def test_what_has_no_bytes_is_kept_as_it_is(request_: Request) -> None:
    """The very object comes back, and is not kept any longer."""
    entries = Entries()
    entry = encode(entries, request_, 1, 0.0)
    assert len(entries.kept) == 1
    found, _, _ = decode(entries, entry)
    assert found.context is request_.context or found is request_
    assert found == request_
    assert not entries.kept


def test_what_is_kept_whole_is_kept_once() -> None:
    """An object, and beside it a number that has no bytes: no second copy stays."""
    entries = Entries()
    request = Request(URL, context=object(), id=2**70)
    entry = encode(entries, request, 1, 0.0)
    assert len(entries.kept) == 1
    assert decode(entries, entry)[0] is request
    assert not entries.kept


def test_settings_are_written_once() -> None:
    """However many requests share them; but a thousand different ones are kept like any object."""
    entries = Entries()
    requests = [Request(URL, timeouts=Timeouts(total=1 + number % 1500)) for number in range(3000)]
    written = entries.encode([(request, 1, 0.0) for request in requests])
    assert len(entries._shared) == 1000
    assert len(entries.kept) == 1000
    assert [decode(entries, entry)[0] for entry in written] == requests


def test_a_list_of_a_job_takes_few_bytes() -> None:
    """An entry costs its URL, the name of its file, and about twenty bytes."""
    request = Request("http://example.org/", 9_000_000, context=Place("urls.txt", 9_000_001))
    entries = Entries()
    written = [encode(entries, request, 9_000_000, 12345.678) for _ in range(2)]
    assert len(written[1]) <= len("http://example.org/urls.txt") + 40


# --- groups


def read_all(entries: Entries, groups: list[bytes]) -> list[Entry]:
    return [entry for group in groups for entry in entries.decode(group)]


def places(number: int) -> list[Entry]:
    """So many entries of a list, each from a line of its own."""
    return [(Request(f"{URL}&{n}", n, context=Place("list.txt", n)), n, n / 7) for n in range(1, 1 + number)]


@pytest.mark.parametrize("request_", [*_WRITTEN, *_KEPT], ids=repr)
@pytest.mark.parametrize("at", [0, 30, 63])
def test_a_group_comes_back_equal(request_: Request, at: int) -> None:
    """Whatever stands among the plain ones, and wherever: every entry comes back, in order, and nothing stays."""
    entries, written = Entries(), places(64)
    written[at] = (request_, 12, 3.5)
    found = read_all(entries, entries.encode(written))
    assert found == written
    assert [types_of(request) for request, _, _ in found] == [types_of(request) for request, _, _ in written]
    assert not entries.kept


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 64])
@pytest.mark.parametrize("request_", [*_WRITTEN, *_KEPT], ids=repr)
def test_a_group_of_the_same_comes_back_equal(request_: Request, number: int) -> None:
    """One value throughout, of each field: as many entries come back as went in."""
    entries, written = Entries(), [(request_, index, 3.5) for index in range(number)]
    found = read_all(entries, entries.encode(written))
    assert found == written
    assert {repr(types_of(request)) for request, _, _ in found} == {repr(types_of(request_))}
    assert not entries.kept


def test_plain_entries_are_one_group() -> None:
    """That of a list of a job, also where lines have names and digests; it is short, and can be read again."""
    written = places(64)
    for request, index, _ in written[::3]:
        request.id, request.name, request.sha256, request.max_time = index, f"{index}.bin", "0" * 64, 1.5
    entries = Entries()
    (group,) = entries.encode(written)
    assert entries.decode(group) == entries.decode(group) == written
    (group,) = entries.encode(places(64))
    assert len(group) < 64 * (len(URL.encode()) + len("&12") + 17)


@pytest.mark.parametrize(
    "contexts",
    [
        (1, True, 1.0, 0, False, 0.0, -0.0),
        (1, True, 1, True),
        (Place("a", 1), Place("a", 1), Place("a", True), Place("a", True)),
        (0.0, -0.0, 0.0, -0.0),
        ("a", Text("a"), "a", "a"),
        (None, 0, "", b""),
        (Place("a", 1), Place("a", True), Place("a", 2), Place("a", 1)),
        (Place("a", 1), Frozen(name="a"), Place("a", 1), Place("a", 1)),
        (Frozen(name="a"), Frozen(name="b", parts=(1,)), Frozen(name="c"), Frozen(name="d")),
        (Frozen(name="a"), Frozen(name="b"), Frozen(name=Text("c")), Frozen(name="d")),
        (Nothing(), Nothing(), Nothing(), Nothing()),
        (Place("\ud800", 1), Place("a", 1), Place("a", 1), Place("a", 1 << 64)),
        (Open("a"), Open("a"), Open("a"), Open("a")),
        ((1, 2), (1, 2), (1, 2), (1, 2)),
        (1 << 63, -(1 << 63), 1, 1),
        (1 << 64, 1, 1, 1),
    ],
    ids=repr,
)
def test_what_is_equal_is_not_the_same(contexts: tuple[Any, ...]) -> None:
    """Numbers of different types, zeros with signs, kinds of text: each comes back as what it was."""
    entries = Entries()
    written = [(Request(URL, context=context), 1, 0.0) for context in contexts]
    found = [request.context for request, _, _ in read_all(entries, entries.encode(written))]
    assert [repr(context) for context in found] == [repr(context) for context in contexts]
    assert [types_of(context) for context in found] == [types_of(context) for context in contexts]
    assert not entries.kept


def test_what_is_not_plain_is_one_group_too() -> None:
    """Headers, settings and contexts that have bytes: all entries come back, as often as they are read."""
    entries, written = Entries(), [(request, 12, 3.5) for request in _WRITTEN]
    (group,) = entries.encode(written)
    for _ in range(2):
        found = entries.decode(group)
        assert found == written
        assert [types_of(request) for request, _, _ in found] == [types_of(request) for request in _WRITTEN]
    (group,) = entries.encode(written[:2])
    assert entries.decode(group) == written[:2]


def test_what_is_kept_of_a_group_is_kept_once() -> None:
    """The attempt to write all of it at once leaves nothing behind."""
    entries, objects = Entries(), [object() for _ in range(10)]
    groups = entries.encode([(Request(URL, context=one), 1, 0.0) for one in objects])
    assert len(entries.kept) == len(groups) == 10
    assert [request.context for request, _, _ in read_all(entries, groups)] == objects
    assert not entries.kept


def test_what_an_owner_changes_later_is_not_seen() -> None:
    """Requests and their headers are written as they were."""
    entries, fields = Entries(), {"A": "b"}
    requests = [Request(URL, number, headers=fields if number == 3 else None) for number in range(8)]
    groups = entries.encode([(request, request.index, 0.0) for request in requests])
    fields["A"] = "c"
    requests[0].url = "http://other/"
    assert [entry[0] for entry in read_all(entries, groups)] == [
        Request(URL, number, headers={"A": "b"} if number == 3 else None) for number in range(8)
    ]
