"""Every kind of input: what is read, what is refused before the first request, and in which words."""

from __future__ import annotations

import gzip
import io
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncfetch.job import InputSettings, Place, SourceError, Sources, open_sources
from asyncfetch.job.formats import format_of
from asyncfetch.result import Request
from asyncfetch.settings import Timeouts
from tests.job.test_packing import zstd

JSONL = b'{"url":"http://a/","id":1,"name":"a","headers":{"X":"1"},"sha256":"%b","max_time":2}\n{"url":""}\n' % (
    b"ab" * 32
)
CSV = b'url,id,max_time\n"http://a/",1,2\n,2\n'
TSV = b"id\turl\n1\thttp://a/\n2\t\n"
SITEMAP = b"<urlset><url><loc>http://a/</loc></url>\n<url><loc>" + b"x" * 70_000 + b"</loc></url></urlset>"
KINDS = {"l.jsonl": JSONL, "l.ndjson": JSONL, "l.csv": CSV, "l.tsv": TSV, "l.tab": TSV, "l.xml": SITEMAP}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstd.compress}


def reading(*specs: Path | str, stdin: Any = None, **settings: Any) -> Sources:
    return open_sources(map(str, specs), stdin, settings=InputSettings(**settings))


async def read(*specs: Path | str, stdin: Any = None, **settings: Any) -> list[Request]:
    with reading(*specs, stdin=stdin, **settings) as sources:
        return [request async for request in sources]


def refusal(*specs: Path | str, **settings: Any) -> str:
    with pytest.raises(SourceError) as caught:
        reading(*specs, **settings)
    return str(caught.value)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("name", KINDS)
async def test_kinds_are_known_by_their_names(tmp_path: Path, name: str, packing: str) -> None:
    """Each kind is read plain, as gzip and as Zstandard; its bad row is an entry with file, line and number."""
    path = tmp_path / f"{name}{packing}"
    path.write_bytes(PACKINGS[packing](KINDS[name]))
    good, bad = await read(path)
    assert (good.index, good.url, good.invalid) == (1, "http://a/", "")
    line = 3 if name[2:] in ("csv", "tsv", "tab") else 2
    assert (bad.index, bad.context) == (2, Place(str(path), line))
    assert bad.invalid


@pytest.mark.parametrize(
    ("chosen", "content"), [("jsonl", JSONL), ("csv", CSV), ("tsv", TSV), ("sitemap", SITEMAP)]
)
async def test_stdin_is_what_it_is_said_to_be(chosen: str, content: bytes) -> None:
    """`format` is for stdin and for files with any name, compressed too."""
    for packed in (content, gzip.compress(content), zstd.compress(content)):
        good, _ = await read("-", stdin=io.BytesIO(packed), format=chosen)
        assert (good.url, good.context.source) == ("http://a/", "-")


def test_names_of_files() -> None:
    """The ending decides, that of the compression left out; every other file is lines."""
    names = {
        "a/b.csv": "csv", "B.CSV.GZ": "csv", "x.tsv.zst": "tsv", "x.jsonl": "jsonl", "sitemap.xml.gz": "sitemap",
        "csv": "lines", "x.csv/urls": "lines", "x.txt": "lines", "x.gz": "lines", "x.json": "lines", ".csv": "csv",
    }  # fmt: skip
    assert {name: format_of(name) for name in names} == names


async def test_what_a_row_says_is_in_its_request(tmp_path: Path) -> None:
    """Id, name, headers and digest are the request's own; `max_time` is the total of the client's timeouts."""
    path = tmp_path / "l.jsonl"
    path.write_bytes(JSONL)
    good, _ = await read(path, timeouts=Timeouts(head=7, total=9))
    assert (good.id, good.name, good.headers, good.sha256) == (1, "a", {"X": "1"}, "ab" * 32)
    assert good.timeouts == Timeouts(head=7, total=2)
    path.write_bytes(b'{"url":"http://a/"}')
    (bare,) = await read(path)
    assert (bare.id, bare.name, bare.headers, bare.sha256, bare.timeouts) == (None, None, None, None, None)


async def test_kinds_are_one_numbered_input(tmp_path: Path) -> None:
    """Sources of every kind follow each other; sitemaps that were asked for as such come last."""
    paths = []
    for name, content in {"1.csv": CSV, "2.jsonl": JSONL, "3.xml": SITEMAP, "4": b"http://z/\n"}.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    got = await read(*paths, "http://y/", sitemaps=(str(paths[2]),))
    assert [request.index for request in got] == list(range(1, 11))
    assert [Path(r.context.source).name if r.context else "" for r in got[::2]] == [
        "1.csv", "2.jsonl", "3.xml", "4", "3.xml",
    ]  # fmt: skip


async def test_the_url_may_be_in_another_column(tmp_path: Path) -> None:
    """`url_field` is for tables and for JSON Lines."""
    table, json = tmp_path / "l.csv", tmp_path / "l.jsonl"
    table.write_text("url,link\nx,http://a/\n")
    json.write_text('{"link":"http://b/"}\n')
    assert [r.url for r in await read(table, json, url_field="link")] == ["http://a/", "http://b/"]


# --- which are wanted


async def test_numbers_do_not_depend_on_what_is_left_out(tmp_path: Path) -> None:
    """An entry keeps its number in the input; the total is what is wanted."""
    path = tmp_path / "urls.txt"
    path.write_text("".join(f"http://{'ab'[n % 2]}/{n % 5}\n" for n in range(20)))
    with reading(path, exclude=(re.compile("//b"),), dedupe=True) as sources:
        got = [(request.index, request.url) async for request in sources]
        assert got == [(n + 1, f"http://a/{n % 5}") for n in range(0, 10, 2)]
        assert (sources.count, sources.total, sources.left_out) == (20, 5, 15)


async def test_nothing_is_read_beyond_the_limit(tmp_path: Path) -> None:
    """What comes after the last entry that is wanted does not count, nor is the next source opened."""
    path = tmp_path / "urls.txt"
    path.write_text("http://a/\n" * 5000)
    gone = tmp_path / "gone.txt"
    gone.touch()
    with reading(path, gone, limit=1500) as sources:
        gone.unlink()
        assert len([request async for request in sources]) == 1500
        assert (sources.count, sources.total) == (1500, 1500)


# --- what is refused


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("l.csv", b"a,b\n", "has no column 'url': name the one with the URLs by --url-field; there are 'a', 'b'"),
        ("l.csv.gz", gzip.compress(b"http://a/\n", mtime=0), "has no header: its first row holds a URL"),
        ("l.csv.zst", zstd.compress(b"a,b\n"), "has no column 'url'"),
        ("l.jsonl", b'[{"url":"http://a/"}]', "is a JSON array, but one object a line is expected"),
        ("l.xml", b"<html/>", "is not a sitemap: its root element is 'html', not urlset or sitemapindex"),
        ("l.xml", b"<!DOCTYPE x []><urlset/>", "has a document type declaration, which no sitemap needs"),
        ("l.xml", b"http://a/\n", "is not a sitemap: it is not XML"),
        ("l.txt", b'{"url":"http://a/"}\n', "holds JSON, not URLs: name it .jsonl, or say --input-format jsonl"),
        ("l.txt", SITEMAP, "is XML, not a list of URLs: a sitemap is read with --input-format sitemap"),
        ("l.csv", b"\x89PNG", "is a PNG image, not a list of URLs"),
        ("l.zst", b"", "ends too early: its Zstandard data was cut short"),
        ("l.zst", zstd.compress(b"http://a/\n")[:9], "ends too early: its Zstandard data was cut short"),
        ("l.zst", b"\x28\xb5\x2f\xfdjunkjunk", "is corrupt: its Zstandard data cannot be decompressed"),
        ("l.gz", gzip.compress(zstd.compress(b"a"), mtime=0), "is compressed twice, with Zstandard inside"),
    ],
)
def test_what_is_refused_before_the_first_request(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    """The sentence says what is wrong, and where it helps what to do."""
    path = tmp_path / name
    path.write_bytes(content)
    assert refusal("http://a/", path).startswith(f"'{path}' {sentence}")


async def test_the_same_of_a_pipe(tmp_path: Path) -> None:
    """What could not be looked at before ends the reading when it comes."""
    for chosen, content, sentence in (
        ("csv", b"a,b\n", "the standard input has no column 'url'"),
        ("jsonl", b"[]", "the standard input is a JSON array"),
        ("sitemap", b"<urlset>", "the standard input is not well-formed XML: it ends too early in line 1"),
        (None, b'{"url":1}\n', "the standard input holds JSON, not URLs"),
    ):
        with reading("-", stdin=io.BytesIO(content), format=chosen) as sources:
            assert [request async for request in sources] == []
            assert str(sources.error).startswith(sentence)
            assert sources.total is None


async def test_a_table_that_is_cut(tmp_path: Path) -> None:
    """Rows before the cut are entries; then the reading ends, with the reason."""
    path = tmp_path / "l.csv.zst"
    content = zstd.compress(b"url\n" + b"".join(b"http://a/%d\n" % n for n in range(50_000)))
    path.write_bytes(content[: len(content) // 2])
    with reading(path) as sources:
        assert len([request async for request in sources]) > 1000
        assert str(sources.error) == f"'{path}' ends too early: its Zstandard data was cut short"


def test_a_large_first_block_is_looked_at(tmp_path: Path) -> None:
    """A file whose first decompressed byte needs more than one block of compressed ones is no cut one."""
    path = tmp_path / "urls.zst"
    options = {zstd.CompressionParameter.compression_level: 1}
    noise = "".join(f"http://a/{n * 7919 % 1000003:x}{n * 104729 % 15485863:x}\n" for n in range(60_000))
    path.write_bytes(zstd.compress(noise.encode(), options=options))
    with reading(path) as sources:
        assert sources.files


@pytest.mark.slow
async def test_memory_of_a_row_without_end(tmp_path: Path) -> None:
    """4 MiB in one cell, of one line or of many, are one bad entry and the memory of a few blocks."""
    for filling in (b"x" * 64, b"x" * 63 + b"\n"):
        path = tmp_path / "l.csv.gz"
        path.write_bytes(
            gzip.compress(b'url,id\nhttp://a/,"' + filling * (2**22 // len(filling)) + b'"\nhttp://b/,1\n', 1)
        )
        tracemalloc.start()
        try:
            bad, good = await read(path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert bad.invalid.startswith("the row is longer than 64 KiB")
        assert (good.index, good.url, peak < 2 * 2**20) == (2, "http://b/", True), peak
