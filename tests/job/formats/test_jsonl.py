from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfetch.job.formats import make_reader
from asyncfetch.job.formats.jsonl import JsonLines
from asyncfetch.job.formats.rows import Row
from asyncfetch.job.lines import LONGEST_LINE
from asyncfetch.job.packing import Unreadable

SHA = "ab" * 32


def rows(*blocks: bytes, url_field: str = "url", longest: int = LONGEST_LINE) -> list[Row]:
    reader = JsonLines(url_field, longest)
    entries = [entry for block in blocks for entry in reader.feed(block)] + reader.finish()
    assert all(isinstance(entry, Row) for entry in entries)
    return [entry for entry in entries if isinstance(entry, Row)]


def row(**fields: object) -> Row:
    (only,) = rows(json.dumps(fields).encode())
    return only


def test_a_row_says_all_that_it_can() -> None:
    """Each field has its place, what nobody asked for is left alone, and null is as good as nothing."""
    full = row(
        url=" http://a/ ", id=17, name="a.txt", headers={"X": "1", "Y": None}, sha256=SHA.upper(), max_time=5, z=[1]
    )
    assert (full.number, full.text, full.fault) == (1, "http://a/", "")
    assert (full.id, full.name, full.headers) == (17, "a.txt", {"X": "1", "Y": None})
    assert (full.sha256, full.max_time) == (SHA, 5.0)
    bare = row(url="http://a/", id=None, name=None, headers=None, sha256="", max_time=None)
    assert (bare.id, bare.name, bare.headers, bare.sha256, bare.max_time) == (None, None, None, None, None)
    assert row(url="http://a/", id="", name="").id == ""


def test_lines_are_numbered_as_an_editor_does() -> None:
    """Blank lines are no entries but count; the last line needs no end; a byte order mark and CRs are dropped."""
    got = rows(b'\xef\xbb\xbf{"url":"a"}\r\n\n  \n{"url":"b"}')
    assert [(entry.number, entry.text, entry.fault) for entry in got] == [(1, "a", ""), (4, "b", "")]


def test_the_url_may_have_another_name() -> None:
    """Also that of a field which would otherwise mean something else."""
    (entry,) = rows(b'{"link":"http://a/","url":1,"id":2}', url_field="link")
    assert (entry.text, entry.id, entry.fault) == ("http://a/", 2, "")
    (entry,) = rows(b'{"name":"http://a/"}', url_field="name")
    assert (entry.text, entry.name) == ("http://a/", None)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{", "the row is not JSON: it ends too early"),
        (b"http://a/", "the row is not JSON: something else is expected at character 1"),
        (b'{"url":"a"} x', "the row is not JSON: something else is expected at character 13"),
        (b'{"url":"\xc3\xa9",}', "the row is not JSON: something else is expected at character 12"),
        (b'{"url":NaN}', "the row is not JSON: it has a value that JSON does not know"),
        (b'{"url":"\\ud800"}', "the row is not JSON: it has a value that JSON does not know"),
        (b'"http://a/"', "the row is not a JSON object"),
        (b"null", "the row is not a JSON object"),
        (b'{"url":"\xff"}', "the row is not UTF-8"),
        (b'{"url":"\xed\xa0\x80"}', "the row is not UTF-8"),
        (b'{"url":["\xff"]}', "the row is not UTF-8"),
        (b'{"url":"\xff', "the row is not UTF-8"),
        (b'{"url":"a","id":1.5,"name":1}', "the field id is not text or a whole number"),
        (b'{"x":' + b"[" * 50_000, "the row is nested too deeply"),
        (b"{}", "the row has no URL in 'url'"),
        (b'{"url":""}', "the row has no URL in 'url'"),
        (b'{"url":null}', "the row has no URL in 'url'"),
        (b'{"url":["a"]}', "the URL in 'url' is not text"),
        (b'{"url":"a","id":1.5}', "the field id is not text or a whole number"),
        (b'{"url":1,"url":"a"}', "the row has a field twice"),
        (b'{"url":1,', "the row is not JSON: it ends too early"),
        (b'{"url":1,"x":' + b"[" * 50_000, "the row is nested too deeply"),
        (b'{"url":"a","id":true}', "the field id is not text or a whole number"),
        (b'{"url":"a","name":1}', "the field name is not text"),
        (b'{"url":"a","headers":["X: 1"]}', "the field headers is not an object of names and texts"),
        (b'{"url":"a","headers":{"X":1}}', "the field headers is not an object of names and texts"),
        (b'{"url":"a","sha256":"xyz"}', "the sha256 'xyz' is not 64 hexadecimal digits"),
        (b'{"url":"a","max_time":"5"}', "the field max_time is not a number of seconds"),
        (b'{"url":"a","max_time":0}', "the max_time 0 is not a time: seconds above 0 are expected"),
        (b'{"url":"a","max_time":1e999}', "the field max_time is not a number of seconds"),
        (b'{"url":"a\\u0007"}', r"the URL contains the control character '\x07'"),
    ],
)
def test_bad_rows_say_why(line: bytes, fault: str) -> None:
    """A bad row is one entry with its reason; its neighbours are not touched."""
    first, bad, last = rows(b'{"url":"http://a/"}\n' + line + b'\n{"url":"http://b/"}\n')
    assert (first.fault, bad.number, bad.fault, last.text) == ("", 2, fault, "http://b/")


def test_a_bad_row_shows_no_header() -> None:
    """The text of a row that cannot be read may hold a secret: it stands nowhere but in the fingerprint."""
    (bad,) = rows(b'{"url":"http://a/","headers":{"Authorization":"Bearer secret"},}')
    assert "secret" not in bad.text + bad.fault


def test_a_bad_row_keeps_its_id() -> None:
    """Whoever wrote the list finds it again."""
    faulty: list[dict[str, object]] = [
        {"max_time": -1},
        {"max_time": "x"},
        {"sha256": "x"},
        {"name": 7},
        {"headers": []},
    ]
    for fields in faulty:
        bad = row(url="http://a/", id="x-17", **fields)
        assert (bad.id, bad.text, bool(bad.fault)) == ("x-17", "http://a/", True)
    assert (row(id=17).id, row(id=17).text, row(url="a", id=[1], name=5).id) == (17, "", None)
    (deep,) = rows(b'{"url":1,"id":7,"x":' + b"[" * 50_000)
    assert (deep.id, bool(deep.fault)) == (None, True)


def test_a_long_row_is_not_kept() -> None:
    """A row of any length is one bad entry that costs the memory of one block."""
    reader = JsonLines()
    assert all(reader.feed(b"x" * LONGEST_LINE) == [] for _ in range(50))
    assert len(reader._tail) <= LONGEST_LINE + 2
    bad, good = reader.feed(b'\n{"url":"a"}\n')
    assert (bad.fault, good.text) == ("the row is longer than 64 KiB", "a")


@pytest.mark.parametrize("content", [b'[{"url":"http://a/"}]', b'\n[\n{"url":"http://a/"}\n]\n'])
def test_an_array_is_refused(content: bytes) -> None:
    """It is no list of rows, and would be one bad row after the other."""
    with pytest.raises(Unreadable, match=r"is a JSON array, but one object a line is expected \(jq -c"):
        rows(content)


pieces = st.sampled_from([b'{"url":"a"}', b'{"url":', b"\n", b"\r\n", b" ", b"\xff", b'"', b"}", b"\xef\xbb\xbf"])


@given(content=st.lists(pieces, max_size=15).map(b"".join), cuts=st.lists(st.integers(0, 60)))
def test_entries_do_not_depend_on_how_the_bytes_come(content: bytes, cuts: list[int]) -> None:
    """However a file is cut into blocks, its entries are the same."""
    at = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    assert rows(*(content[a:b] for a, b in pairwise(at)), longest=20) == rows(content, longest=20)


def test_what_tells_rows_apart() -> None:
    """For the fingerprint of the input: what a row says counts, not how it is written, nor other columns."""
    assert row(url="a", id=1).raw == row(id=1, other=5, url="a").raw
    assert len({row(url="a", id=given).raw for given in (1, "1", None, 2)}) == 4
    assert row(url="a", headers={"X": "1"}).raw != row(url="a", headers={"X": "2"}).raw


def test_it_is_made_by_its_name() -> None:
    """And looks for the URL where it is told to."""
    (entry,) = make_reader("jsonl", "u").feed(b'{"u":"http://a/"}\n')
    assert entry.text == "http://a/"
