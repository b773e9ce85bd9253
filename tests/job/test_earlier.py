from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from asyncfetch.job import Earlier, JournalError
from asyncfetch.job import earlier as module
from asyncfetch.job.earlier import conditions
from asyncfetch.record import Record

LINE = '{"v":1,"n":%d,"url":"%s","ok":%s,"etag":"%s","attempts":1,"t":{},"ts":"2026-01-01T00:00:00Z"}\n'


def line(number: int, url: str, *, ok: bool = True, etag: str = "x") -> str:
    return LINE % (number, url, "true" if ok else "false", etag.replace('"', '\\"'))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return tmp_path / "old.jsonl"


def test_records_are_found_by_their_url(old: Path) -> None:
    """The last one of a URL that is ok and has a validator; credentials do not tell, as no record holds them."""
    plain = line(3, "http://a/3").replace('"etag":"x",', "")
    old.write_text(
        line(1, "http://a/1", etag="first")
        + line(2, "http://***@a/2")
        + plain
        + line(1, "http://a/1", etag="second")
        + line(1, "http://a/1", ok=False, etag="failed")
        + line(4, "http://a/" + "long" * 9000)
    )
    with Earlier(str(old)) as earlier:
        assert earlier.count == 4
        found = earlier.find("http://a/1")
        assert found is not None
        assert found.etag == "second"
        assert earlier.find("http://user:secret@a/2") is not None
        assert earlier.find("http://a/" + "long" * 9000) is not None
        assert earlier.find("http://a/3") is earlier.find("http://a/none") is None


def test_equal_hashes_do_no_harm(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found is compared with what was looked for."""
    monkeypatch.setattr(module, "_key_of", lambda url: (1, b"\0" * 6))
    old.write_text("".join(line(n, f"http://a/{n}") for n in range(1, 40)))
    with Earlier(str(old)) as earlier:
        for number in range(1, 40):
            found = earlier.find(f"http://a/{number}")
            assert found is not None
            assert found.n == number
        assert earlier.find("http://a/40") is None


@pytest.mark.slow
def test_many_records(old: Path) -> None:
    """Of 30,000 records each is found."""
    old.write_text("".join(line(n, f"http://host{n % 100}/{n}") for n in range(1, 30_001)))
    with Earlier(str(old)) as earlier:
        for number in range(1, 30_001, 7):
            found = earlier.find(f"http://host{number % 100}/{number}")
            assert found is not None
            assert found.n == number


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("http://a/\n", "has no record in line 1, but 'http://a/'"),
        (line(1, "http://a/") + "[]\n", "has no record in line 2, but '[]'"),
        (line(1, "http://a/") + "my notes", "is not one, or is damaged at its end"),
    ],
)
def test_what_is_no_results_file(old: Path, content: str, sentence: str) -> None:
    """It is refused, with its first odd line; a torn last line is none."""
    old.write_text(content)
    with pytest.raises(JournalError) as caught:
        Earlier(str(old))
    assert str(caught.value) == f"the results file '{old}' {sentence}"
    old.write_text(line(1, "http://a/1") + line(2, "http://a/2")[:30])
    with Earlier(str(old)) as earlier:
        assert earlier.count == 1


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """Each with its reason."""
    for name, sentence in [
        ("none", "does not exist"),
        (".", "cannot be read: is a directory"),
        ("a\0", "cannot be"),
    ]:
        with pytest.raises(JournalError, match=sentence):
            Earlier(str(tmp_path / name))


@pytest.mark.parametrize(
    ("etag", "modified", "names"),
    [
        ('"x"', "Sat, 05 Nov 1994 08:50:37 GMT", ["If-None-Match", "If-Modified-Since"]),
        ('W/"x"', None, ["If-None-Match"]),
        ("x", None, []),
        ('"x"\r\nEvil: 1', "Sat, 05 Nov 1994\r\nEvil: 1", []),
        ('"\u20ac"', "yesterday", []),
        (None, None, []),
    ],
)
def test_what_is_asked(etag: str | None, modified: str | None, names: list[str]) -> None:
    """Both validators, as far as they can be ones: nothing in a file can end a line of a request."""
    record = msgspec.json.decode(line(1, "http://a/").encode(), type=Record)
    record.etag, record.last_modified = etag, modified
    assert [name for name, _ in conditions(record)] == names
