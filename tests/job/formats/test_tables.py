from __future__ import annotations

import csv
import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfetch.job.formats.rows import Row
from asyncfetch.job.formats.tables import Table
from asyncfetch.job.lines import LONGEST_LINE
from asyncfetch.job.packing import Unreadable

SHA = "ab" * 32


def rows(*blocks: bytes, delimiter: str = ",", url_field: str = "url", longest: int = LONGEST_LINE) -> list[Row]:
    table = Table(delimiter, url_field, longest)
    entries = [entry for block in blocks for entry in table.feed(block)] + table.finish()
    return [entry for entry in entries if isinstance(entry, Row)]


def refusal(content: bytes, url_field: str = "url") -> str:
    with pytest.raises(Unreadable) as caught:
        rows(content, url_field=url_field)
    return caught.value.detail


def test_a_row_says_all_that_it_can() -> None:
    """Columns are found by their names, empty cells say nothing, other columns are left alone."""
    content = f"id,note,url,name,sha256,max_time\n7,x,http://a/,a.txt,{SHA.upper()},2.5\n,,http://b/,,,\n"
    full, bare = rows(content.encode())
    assert (full.number, full.text, full.fault) == (2, "http://a/", "")
    assert (full.id, full.name, full.sha256, full.max_time) == ("7", "a.txt", SHA, 2.5)
    assert (bare.number, bare.text, bare.id, bare.name, bare.sha256, bare.max_time) == (
        3, "http://b/", None, None, None, None,
    )  # fmt: skip


@pytest.mark.parametrize("header", ["url,id", "URL , Id", "\ufeffUrl,ID"])
def test_names_of_columns(header: str) -> None:
    """They are found in any case, with blanks around them, and after a byte order mark."""
    (row,) = rows(f"{header}\nhttp://a/,1\n".encode())
    assert (row.text, row.id) == ("http://a/", "1")


def test_a_name_as_it_stands_goes_first() -> None:
    """Where names differ by their case only, the one that was asked for is taken."""
    (row,) = rows(b"URL,url\nhttp://a/,http://b/\n")
    assert row.text == "http://b/"


def test_quoted_cells() -> None:
    """They hold separators, doubled quotes and line breaks; the number is that of the row's first line."""
    content = b'url,id\r\n"http://a/?x=1,2",1\r\n"http://b/","two\r\nlines, ""quoted"""\r\nhttp://c/,3\r\n'
    got = rows(content)
    assert [(row.number, row.text, row.id, row.fault) for row in got] == [
        (2, "http://a/?x=1,2", "1", ""),
        (3, "http://b/", 'two\r\nlines, "quoted"', ""),
        (5, "http://c/", "3", ""),
    ]


def test_tabs() -> None:
    """TSV is the same with tabs, and commas are nothing special."""
    (row,) = rows(b"id\turl\n1\thttp://a/?x=1,2\n", delimiter="\t")
    assert (row.text, row.id) == ("http://a/?x=1,2", "1")


def test_blank_rows_are_no_entries() -> None:
    """Nor are rows of empty cells; they count as lines."""
    got = rows(b"\n\nurl,id\n\n,,\nhttp://a/\n")
    assert [(row.number, row.text) for row in got] == [(6, "http://a/")]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"url\n", b"url,id"])
def test_nothing_to_fetch(content: bytes) -> None:
    """A table without rows is a list of none."""
    assert rows(content) == []


@pytest.mark.parametrize(
    ("line", "fault", "text"),
    [
        (b",7", "the row has no URL", ""),
        (b"http://a/,1,2", "the row has 3 cells, the header 2: is a cell with a separator not quoted?", ""),
        (b"http://a/\xff,1", "the row is not UTF-8", "http://a/\\xff"),
        (b"http://a/,\xff", "the row is not UTF-8", "http://a/"),
        (b"http://a/\rx,1", "the row cannot be read: new-line character seen in unquoted field", ""),
        (b"http://a/\x07,1", r"the URL contains the control character '\x07'", "http://a/\x07"),
        (b'"http://a/\n/x",1', r"the URL contains the control character '\n'", "http://a/\n/x"),
    ],
)
def test_bad_rows_say_why(line: bytes, fault: str, text: str) -> None:
    """A bad row is one entry with its reason; its neighbours are not touched."""
    first, bad, last = rows(b"url,id\nhttp://x/,1\n" + line + b"\nhttp://y/,2\n")
    assert (first.fault, bad.number, bad.text, last.text) == ("", 3, text, "http://y/")
    assert bad.fault.startswith(fault)


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("soon", "the max_time 'soon' is not a number of seconds"),
        ("-1", "the max_time -1 is not a time: seconds above 0 are expected"),
        ("nan", "the max_time nan is not a time: seconds above 0 are expected"),
        ("inf", "the max_time inf is not a time: seconds above 0 are expected"),
    ],
)
def test_a_time_that_is_none(cell: str, fault: str) -> None:
    """It is said which one."""
    (row,) = rows(f"url,max_time,id\nhttp://a/,{cell},7\n".encode())
    assert (row.text, row.fault, row.id) == ("http://a/", fault, "7")


def test_a_quote_that_is_never_closed() -> None:
    """The row that it stands in is a bad one; where it begins is said."""
    good, bad = rows(b'url,id\nhttp://a/,1\nhttp://b/,"2\nhttp://c/,3\n')
    assert (good.text, bad.number) == ("http://a/", 3)
    assert bad.fault == "the row ends inside of quotes: a quote in it is never closed"


def test_a_long_row_is_one_entry() -> None:
    """However many lines it has, it is one bad entry; the rows after it are read."""
    inside = b"line,of,text\n" * 20_000
    reader = Table()
    blocks = [
        b'url,id\nhttp://a/,"',
        *[inside[i : i + 65536] for i in range(0, len(inside), 65536)],
        b'"\nhttp://b/,2\n',
    ]
    got = []
    for block in blocks:
        got += reader.feed(block)
        assert sum(len(line.text) for line in reader._lines.waiting) < 3 * LONGEST_LINE
    got += reader.finish()
    assert [(entry.number, entry.text) for entry in got] == [(2, ""), (20_003, "http://b/")]
    assert got[0].fault == "the row is longer than 64 KiB; is a quote in it never closed?"


def test_a_long_line_is_one_entry() -> None:
    """The same for one of a single line, whose memory is that of a block."""
    reader = Table()
    reader.feed(b"url\n")
    assert all(reader.feed(b"x" * 65536) == [] for _ in range(20))
    bad, good = reader.feed(b"\nhttp://a/\n")
    assert (bad.number, bad.fault, good.text) == (2, "the row is longer than 64 KiB", "http://a/")
    assert len(bad.raw if isinstance(bad, Row) else "") <= LONGEST_LINE


@pytest.mark.parametrize(
    ("content", "url_field", "sentence"),
    [
        (
            b"id,link\n1,http://a/\n",
            "url",
            "has no column 'url': name the one with the URLs by --url-field; there are 'id', 'link'",
        ),
        (
            b"url,id\n",
            "link",
            "has no column 'link': name the one with the URLs by --url-field; there are 'url', 'id'",
        ),
        (b"url,id,url\n", "url", "has two columns 'url'"),
        (
            b"url;id\n",
            "url",
            (
                "has no column 'url': its header has one column, 'url;id'; is ';' the separator? "
                "csv has commas, tsv has tabs"
            ),
        ),
        (b"Id,url,ID\n", "url", "has two columns 'id'"),
        (
            b"http://a/\nhttp://b/\n",
            "url",
            (
                "has no header: its first row holds a URL, but has to name the columns, one of them 'url' "
                "(a file with one URL a line is read with --input-format lines)"
            ),
        ),
        (
            ",".join(f"c{i}" for i in range(20)).encode() + b"\n",
            "url",
            "has no column 'url': name the one with the URLs by --url-field; there are "
            + ", ".join(f"'c{i}'" for i in range(12))
            + ", ...",
        ),
    ],
)
def test_headers_that_will_not_do(content: bytes, url_field: str, sentence: str) -> None:
    """A table whose URLs cannot be found is refused, with the names of its columns."""
    assert refusal(content, url_field) == sentence


cells = st.lists(st.text(st.sampled_from('a,"\n é'), max_size=6), min_size=2, max_size=2)


@given(table=st.lists(cells, max_size=6), cuts=st.lists(st.integers(0, 100)))
def test_what_csv_writes_is_read(table: list[list[str]], cuts: list[int]) -> None:
    """Whatever Python's own csv writes comes back as it was, however it is cut into blocks."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([["url", "id"], *([f"x{url}", note] for url, note in table)])
    content = written.getvalue().encode()
    at = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    got = rows(*(content[a:b] for a, b in pairwise(at)))
    assert [row.text for row in got] == [f"x{url}".strip() for url, _ in table]
    assert [row.id or "" for row in got if not row.fault] == [
        note.strip() for (_, note), row in zip(table, got, strict=True) if not row.fault
    ]


@given(content=st.lists(st.sampled_from([b'"', b",", b"\n", b"a", b"\r\n", b"\xff", b"xxxxxx"]), max_size=30))
def test_any_bytes_are_entries(content: list[bytes]) -> None:
    """No bytes bring it down, and it does not matter how they come."""
    whole = b"url,id\n" + b"".join(content)
    assert rows(whole, longest=12) == rows(*(bytes([byte]) for byte in whole), longest=12)


def test_what_tells_rows_apart() -> None:
    """For the fingerprint of the input: columns that nobody looks at do not count."""
    (first,), (second,), (third,) = (
        rows(b"url,id,note\na,1,x\n"),
        rows(b"note,id,url\ny,1,a\n"),
        rows(b"url,id\na,2\n"),
    )
    assert first.raw == second.raw != third.raw
