from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncfetch.job import Bodies, Earlier, Naming, Preparer
from asyncfetch.job.preparing import AlreadyThere, Unchanged
from asyncfetch.record import Record
from asyncfetch.result import Request, Response, Result

LINE = (
    '{"v":1,"n":1,"url":"http://x.org/a","ok":true,"bytes":3,"etag":"\\"e\\"","path":"x.org/a"%s,'
    '"attempts":1,"t":{},"ts":"2026-01-01T00:00:00Z"}\n'
)


@pytest.fixture
def bodies(tmp_path: Path) -> Iterator[Bodies]:
    with Bodies(tmp_path / "out") as opened:
        (tmp_path / "out/x.org").mkdir()
        (tmp_path / "out/x.org/a").write_bytes(b"abc")
        yield opened


@pytest.fixture
def earlier(tmp_path: Path) -> Iterator[Earlier]:
    (tmp_path / "old.jsonl").write_text(LINE % "")
    with Earlier(str(tmp_path / "old.jsonl")) as opened:
        yield opened


def answered(request: Request, status: int) -> Result:
    fields = [(b"Content-Type", b"text/new")]
    return Result(1, request, Response(request.url, status, "", fields), ended=time.time())


def test_what_has_its_file_is_not_fetched(bodies: Bodies) -> None:
    """A file of that name is it; a directory or a link is none, and what is no URL is left to whoever fetches."""
    root = Path(bodies.directory)
    (root / "x.org/dir").mkdir()
    (root / "x.org/link").symlink_to(root / "x.org/a")
    (root / "y.org").symlink_to(root / "x.org")
    (root / "7.jpg").write_bytes(b"x")
    urls = [
        "http://x.org/a",
        "http://x.org/b",
        "http://x.org/dir",
        "http://x.org/link",
        "http://y.org/a",
        "nonsense",
    ]
    entries = [Request(url, n) for n, url in enumerate(urls, 1)]
    entries += [Request("http://x.org/z", 7, name="7.jpg"), Request("http://x.org/a", 8, invalid="bad")]
    requests, results = Preparer(bodies, skip_existing=True).look_at(entries)
    assert [(r.index, r.sink) for r in results] == [(1, AlreadyThere("x.org/a", 3)), (7, AlreadyThere("7.jpg", 1))]
    assert all(result.ok and not result.attempts for result in results)
    assert [request.index for request in requests] == [2, 3, 4, 5, 6, 8]


def test_a_file_with_another_digest_is_fetched(tmp_path: Path) -> None:
    """A digest that the list gives is that of the file, or it is not what is wanted; --hash records it."""
    right = hashlib.sha256(b"abc").hexdigest()
    with Bodies(tmp_path, digests=True) as bodies:
        (tmp_path / "x.org").mkdir()
        (tmp_path / "x.org/a").write_bytes(b"abc")
        entries = [Request("http://x.org/a", n, sha256=s) for n, s in enumerate([None, right, "00"], 1)]
        preparer = Preparer(bodies, skip_existing=True)
        requests, results = preparer.look_at(entries)
        assert [r.sink for r in results] == [AlreadyThere("x.org/a", 3, right)] * 2
        assert [request.index for request in requests] == [3]
        record = Record.of(results[0])
        results[0].sink.describe(record)
        assert (record.path, record.bytes, record.sha256, record.status) == ("x.org/a", 3, right, None)
        preparer.stop()
        assert preparer.look_at(entries) == (entries, []), "a run that ends reads no more"


def test_names_that_tell_nothing_skip_nothing(tmp_path: Path) -> None:
    """A name that several URLs may have is no reason not to fetch one of them."""
    with Bodies(tmp_path, naming=Naming("{ext}")) as bodies:
        (tmp_path / "index").touch()
        entries = [Request("http://x.org/a", 1)]
        assert Preparer(bodies, skip_existing=True).look_at(entries) == (entries, [])


def test_conditions_are_added(bodies: Bodies, earlier: Earlier) -> None:
    """For a URL that has a record, and no condition of its own."""
    entries = [
        Request("http://x.org/a", 1),
        Request("http://x.org/a", 2, headers={"X": "y", "If-None-Match": "mine"}),
        Request("http://x.org/b", 3),
        Request("http://x.org/a", 4, headers=[("X", "y")]),
    ]
    requests, results = Preparer(bodies, earlier=earlier).look_at(entries)
    assert results == []
    assert requests[0].headers == [("If-None-Match", '"e"')]
    assert requests[1].headers == {"X": "y", "If-None-Match": "mine"}
    assert requests[2].headers is None
    assert requests[3].headers == [("If-None-Match", '"e"'), ("X", "y")]


@pytest.mark.parametrize("what", ["gone", "other length", "a link", "other digest", "digest wanted", "outside"])
def test_what_is_fetched_in_full(bodies: Bodies, tmp_path: Path, what: str) -> None:
    """Where the file is not the one that was saved, or a digest is wanted that nobody knows, nothing is asked."""
    file, request = Path(bodies.directory, "x.org/a"), Request("http://x.org/a", 1)
    line = LINE % ""
    if what == "gone":
        file.unlink()
    elif what == "other length":
        file.write_bytes(b"abcd")
    elif what == "a link":
        file.replace(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    elif what == "other digest":
        line, request = LINE % ',"sha256":"00"', Request("http://x.org/a", 1, sha256="11")
    elif what == "digest wanted":
        request = Request("http://x.org/a", 1, sha256="11")
    else:
        (tmp_path / "abc").write_bytes(b"abc")
        line = line.replace('x.org/a","attempts', '../abc","attempts')
    (tmp_path / "old.jsonl").write_text(line)
    with Earlier(str(tmp_path / "old.jsonl")) as earlier:
        assert earlier.count == 1
        [prepared], _ = Preparer(bodies, earlier=earlier).look_at([request])
    assert prepared.headers is None


def test_what_has_not_changed_is_described(bodies: Bodies, earlier: Earlier) -> None:
    """A 304 to our conditions gets what is known; one that was not asked for, and any other answer, does not."""
    preparer = Preparer(bodies, earlier=earlier)
    [request], _ = preparer.look_at([Request("http://x.org/a", 1)])
    result = answered(request, 304)
    preparer.settle(result)
    assert isinstance(result.sink, Unchanged)
    record = Record.of(result)
    result.sink.describe(record)
    assert (record.path, record.bytes, record.etag, record.content_type) == ("x.org/a", 3, '"e"', "text/new")
    for headers in (None, [("If-None-Match", '"mine"')]):
        preparer.settle(other := answered(Request("http://x.org/a", 1, headers=headers), 304))
        assert other.sink is None
    preparer.look_at([Request("http://x.org/a", 1)])
    preparer.settle(changed := answered(request, 200))
    assert changed.sink is None


def test_without_bodies_no_path(earlier: Earlier) -> None:
    """Where nothing is saved, a record names no file."""
    preparer = Preparer(None, earlier=earlier)
    [request], _ = preparer.look_at([Request("http://x.org/a", 1)])
    preparer.settle(result := answered(request, 304))
    record = Record.of(result)
    result.sink.describe(record)
    assert (record.path, record.etag) == (None, '"e"')
