from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfetch.job.lines import BLOCK, LONGEST_LINE, Line, LineSplitter, why_not_lines

BOM = b"\xef\xbb\xbf"


def split(*blocks: bytes, longest: int = LONGEST_LINE) -> list[Line]:
    splitter = LineSplitter(longest)
    entries = [line for block in blocks for line in splitter.feed(block)]
    return entries + splitter.finish()


def texts(*blocks: bytes) -> list[str]:
    return [line.text for line in split(*blocks)]


def reference(content: bytes, longest: int) -> list[tuple[int, str, str]]:
    """Say the same as `LineSplitter` about a whole file: (number, text, first word that tells the fault)."""
    entries = []
    for number, raw in enumerate(content.removeprefix(BOM).split(b"\n"), 1):
        line = raw.strip()
        if line.startswith(b"#"):
            continue
        if len(raw.removesuffix(b"\r")) > longest:
            entries.append((number, "", "longer"))
        elif not line:
            continue
        elif line.decode("utf-8", "ignore").encode() != line:
            entries.append((number, line.decode("utf-8", "backslashreplace"), "UTF-8"))
        else:
            fault = "control" if re.search(rb"[\x00-\x1f\x7f]", line) else ""
            entries.append((number, line.decode(), fault))
    return entries


pieces = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b"#", b" ", b"\t", b"a", b"http://h/", b"\xff", b"\xc3\xa9", b"\0", BOM]
)
contents = st.lists(pieces | st.binary(max_size=4), max_size=20).map(b"".join)


@given(content=contents, cuts=st.lists(st.integers(0, 100)))
def test_entries_do_not_depend_on_how_the_bytes_come(content: bytes, cuts: list[int]) -> None:
    """However a file is cut into blocks, its entries are those of a simple reading of the whole."""
    at = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    blocks = [content[start:end] for start, end in pairwise(at)]
    got = split(*blocks, longest=12)
    expected = reference(content, longest=12)
    assert [line.number for line in got] == [number for number, _, _ in expected]
    for line, (_, text, fault) in zip(got, expected, strict=True):
        assert fault in line.fault
        assert bool(fault) == bool(line.fault)
        assert fault == "longer" or line.text == text


def test_lines_are_numbered_as_an_editor_does() -> None:
    """Blank lines and comments are no entries, but they count as lines."""
    content = b"http://a/\n\n   \n# a comment\n  # another\nhttp://b/\n"
    assert split(content) == [Line(1, "http://a/", ""), Line(6, "http://b/", "")]


def test_ends_of_lines() -> None:
    """LF and CRLF end a line, blanks at both ends are taken off, and the last line needs no end."""
    assert texts(b"http://a/ \r\n\thttp://b/\r\nhttp://c/") == ["http://a/", "http://b/", "http://c/"]


@pytest.mark.parametrize("cut", range(5))
def test_a_byte_order_mark_is_no_part_of_the_first_line(cut: int) -> None:
    """A UTF-8 byte order mark is dropped, also when it comes in pieces."""
    content = BOM + b"http://a/\n"
    assert texts(content[:cut], content[cut:]) == ["http://a/"]
    assert texts(BOM) == []
    assert texts(BOM[:2]) == ["\\xef\\xbb"]


def test_a_line_that_is_not_utf8() -> None:
    """It is one bad entry whose bytes are shown escaped; its neighbours are not touched."""
    first, bad, last = split(b"http://a/\xc3\xa9\nhttp://b/\xe9\nhttp://c/\n")
    assert (first.text, last.text) == ("http://a/é", "http://c/")
    assert bad == Line(2, "http://b/\\xe9", "the line is not UTF-8")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"http://a/\0", r"the line contains the control character '\x00'"),
        (b"http://a/\rhttp://b/", r"the line contains the control character '\r'"),
        (b"http://a/\x1b[2J", r"the line contains the control character '\x1b'"),
        (
            b"http://a/\t17",
            r"the line contains the control character '\t'; is this a table? One URL a line is expected",
        ),
    ],
)
def test_control_characters_spoil_their_line(line: bytes, fault: str) -> None:
    """A URL parser would drop some of them without a word and fetch something else."""
    assert [entry.fault for entry in split(b"http://x/\n" + line + b"\nhttp://y/\n")] == ["", fault, ""]


def test_what_cannot_be_printed_may_be_in_a_url() -> None:
    """Other unprintable characters are left for the URL parser."""
    assert split("http://a/\u200f\ue000".encode()) == [Line(1, "http://a/\u200f\ue000", "")]


def test_the_longest_line_is_64_kib() -> None:
    """A line of 65,536 bytes is an entry, with one more it is a bad one that is cut."""
    fits = b"http://a/".ljust(LONGEST_LINE, b"x")
    assert split(fits + b"\r\n" + fits) == [Line(1, fits.decode(), ""), Line(2, fits.decode(), "")]
    (long,) = split(fits + b"x\r\n")
    assert long == Line(1, fits[:200].decode() + "...", "the line is longer than 64 KiB")


def test_a_long_line_is_not_kept() -> None:
    """Whatever the length of a line, it is one entry and costs the memory of one block."""
    splitter = LineSplitter()
    block = b"x" * BLOCK
    assert all(splitter.feed(block) == [] for _ in range(100))
    assert len(splitter._tail) <= LONGEST_LINE + 2
    assert [line.fault for line in splitter.feed(b"\nhttp://a/\n")] == ["the line is longer than 64 KiB", ""]


def test_a_line_cut_at_a_carriage_return() -> None:
    """A CR where a long line is cut is not taken for its end."""
    assert [line.fault for line in split(b"x" * 12 + b"\rlost", b"\n", longest=12)] == [
        "the line is longer than 0 KiB"
    ]


def test_long_lines_that_are_no_urls() -> None:
    """A long comment is a comment; nobody knows what follows on a line that is blank for 64 KiB."""
    assert split(b"#" + b"x" * 70_000 + b"\n") == []
    assert split(b" " * 70_000 + b"\n") == [Line(1, "...", "the line is longer than 64 KiB")]
    assert split(b" " * 60_000 + b"\n") == []


def test_a_long_line_cut_inside_a_character() -> None:
    """What is shown of it is escaped where it was cut."""
    (line,) = split(b"x" + "é".encode() * 40_000)
    assert line.text.endswith("\\xc3...")


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (b"\xff\xfeh\0t\0", "UTF-16"),
        (b"\xfe\xff\0h\0t", "UTF-16"),
        (b"\xff\xfe\0\0h\0\0\0", "UTF-32"),
        (b"\0\0\xfe\xff\0\0\0h", "UTF-32"),
        (b"h\0t\0t\0p\0", "NUL"),
        (b"\x7fELF\x02", "program"),
        (b"\x89PNG\r\n", "PNG"),
        (b"PK\x03\x04", "ZIP"),
        (b"\x28\xb5\x2f\xfd", "Zstandard"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_files_that_are_no_lists(head: bytes, word: str) -> None:
    """A file of another kind is told by its first bytes, and the sentence says which kind."""
    assert word in why_not_lines(head)


@pytest.mark.parametrize("head", [b"", b"http://a/\n", BOM + b"http://a/", b"\xe9", b"# \xff\n"])
def test_files_that_may_be_lists(head: bytes) -> None:
    """Text is never refused, whatever its encoding."""
    assert why_not_lines(head) == ""
