from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from asyncfetch.job.blocks import BlockReader
from asyncfetch.job.errors import SourceError
from asyncfetch.job.sources import Place, Sources, open_sources
from asyncfetch.result import Request
from tests.soon import SOON


async def read(*specs: str | Path, stdin: BinaryIO | None = None) -> list[Request]:
    with open_sources([str(spec) for spec in specs], stdin) as sources:
        return [request async for request in sources]


async def urls(*specs: str | Path, stdin: BinaryIO | None = None) -> list[str]:
    return [request.url for request in await read(*specs, stdin=stdin)]


@contextlib.contextmanager
def pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    reading, writing = os.pipe()
    with open(reading, "rb") as reader, open(writing, "wb", buffering=0) as writer:  # noqa: PTH123
        yield reader, writer


def refusal(*specs: str | Path, stdin: BinaryIO | None = None) -> str:
    with pytest.raises(SourceError) as caught:
        open_sources([str(spec) for spec in specs], stdin)
    return str(caught.value)


# --- what is read


async def test_sources_are_one_numbered_input(tmp_path: Path) -> None:
    """Files, URLs and stdin follow each other; the numbers run on, and each entry knows its file and line."""
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("http://a/\n\n# comment\nhttp://b/\n")
    second.write_text("http://d/")
    got = await read(first, "http://c/", second, "-", stdin=io.BytesIO(b"http://e/\n"))
    assert [(r.index, r.url, r.context) for r in got] == [
        (1, "http://a/", Place(str(first), 1)),
        (2, "http://b/", Place(str(first), 4)),
        (3, "http://c/", None),
        (4, "http://d/", Place(str(second), 1)),
        (5, "http://e/", Place("-", 1)),
    ]


def test_a_place_reads_like_an_address() -> None:
    """A message can name it as it stands."""
    assert (str(Place("urls.txt", 17)), str(Place("-", 3))) == ("urls.txt, line 17", "standard input, line 3")


async def test_bad_entries_say_why(tmp_path: Path) -> None:
    """An entry that cannot be a URL is in the list, with its number and the reason."""
    path = tmp_path / "urls.txt"
    path.write_bytes(b"http://a/\nhttp://\xff/\n")
    good, bad = await read(path)
    assert (good.invalid, bad.invalid) == ("", "the line is not UTF-8")
    assert (bad.index, bad.url) == (2, "http://\\xff/")


@pytest.mark.parametrize("content", [b"", b"\n", b"# only a comment", b"\xef\xbb\xbf"])
async def test_nothing_to_fetch(tmp_path: Path, content: bytes) -> None:
    """A file without entries is a list of none."""
    path = tmp_path / "urls.txt"
    path.write_bytes(content)
    with open_sources([str(path)]) as sources:
        assert sources.total is None
        assert await sources.batch() == []
        assert sources.total == 0


async def test_the_total_is_known_at_the_end(tmp_path: Path) -> None:
    """While it is read `count` grows; `total` is there when all has been read, and reading on gives nothing."""
    path = tmp_path / "urls.txt"
    path.write_text("http://a/\n" * 2500)
    with open_sources([str(path)]) as sources:
        assert len(await sources.batch()) == 1000
        assert (sources.count, sources.total) == (1000, None)
        assert [len(await sources.batch()) for _ in range(3)] == [1000, 500, 0]
        assert (sources.count, sources.total) == (2500, 2500)
        assert await sources.batch() == []


async def test_gzip_is_known_by_its_bytes(tmp_path: Path) -> None:
    """A compressed file is read whatever its name is, and a plain one too, even if it is called .gz."""
    packed, plain = tmp_path / "packed.txt", tmp_path / "plain.gz"
    packed.write_bytes(gzip.compress(b"http://a/\n" * 20_000))
    plain.write_bytes(b"http://b/\n")
    got = await urls(packed, plain)
    assert got == ["http://a/"] * 20_000 + ["http://b/"]


async def test_a_line_without_end_costs_no_memory(tmp_path: Path) -> None:
    """A line of 16 MiB in 70 KiB of gzip is one bad entry, read with the memory of a few blocks."""
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"x" * 2**24 + b"\nhttp://a/\n", 1))
    tracemalloc.start()
    try:
        long, good = await read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (long.invalid, good.url) == ("the line is longer than 64 KiB", "http://a/")
    assert peak < 2 * 2**20


# --- pipes


async def test_a_line_in_a_pipe_is_an_entry_at_once() -> None:
    """Nobody waits for a block to be full: the next line of a slow program is there when it has been written."""
    with pipe() as (reader, writer), open_sources(["-"], reader) as sources:
        for number in range(3):
            writer.write(b"http://%d/\nhttp" % number)
            (request,) = await asyncio.wait_for(sources.batch(), 5)
            assert request.url.endswith(f"http://{number}/")
        writer.close()
        assert [r.url for r in await sources.batch()] == ["http"]


async def test_a_pipe_byte_by_byte() -> None:
    """What a pipe carries is known by its first bytes, even if they come one at a time."""
    with pipe() as (reader, writer), open_sources(["-"], reader) as sources:
        content = gzip.compress(b"http://a/\n")

        def write() -> None:
            for byte in content:
                writer.write(bytes([byte]))
                time.sleep(0.001)
            writer.close()

        thread = threading.Thread(target=write)
        thread.start()
        assert [r.url for r in await sources.batch()] == ["http://a/"]
        thread.join()


async def test_a_named_pipe_is_opened_once(tmp_path: Path) -> None:
    """Neither does looking at it take anything away, nor is its writer needed before its turn comes."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with open_sources(["http://a/", str(path)]) as sources:
        assert [r.url for r in await sources.batch()] == ["http://a/"]
        reading = asyncio.create_task(sources.batch())
        await asyncio.sleep(0.05)
        assert not reading.done()
        await asyncio.to_thread(path.write_bytes, b"http://b/\n")
        assert [r.url for r in await reading] == ["http://b/"]
        assert await sources.batch() == []


async def test_a_named_pipe_without_a_writer(tmp_path: Path) -> None:
    """Closing also ends the wait for somebody to write."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with open_sources([str(path)]) as sources:
        reading = asyncio.create_task(sources.batch())
        await asyncio.sleep(0.02)
        sources.close()
        assert await asyncio.wait_for(reading, SOON) == []


async def test_process_substitution() -> None:
    """`/dev/fd/N` is read as any file."""
    with pipe() as (reader, writer):
        writer.write(b"http://a/\n")
        writer.close()
        assert await urls(f"/dev/fd/{reader.fileno()}") == ["http://a/"]


async def test_no_input_at_all() -> None:
    """/dev/null is an empty list, by name and as stdin."""
    with Path("/dev/null").open("rb") as null:
        assert await urls("/dev/null", "-", stdin=null) == []


async def test_stdin_that_is_a_file(tmp_path: Path) -> None:
    """A redirected file is read from where it stands, and stays open."""
    path = tmp_path / "urls.txt"
    path.write_text("http://a/\nhttp://b/\n")
    with path.open("rb") as stdin:
        assert await urls("-", stdin=stdin) == ["http://a/", "http://b/"]
        assert not stdin.closed


async def test_a_pipe_that_does_not_block() -> None:
    """A stdin that somebody has made non-blocking is waited for all the same."""
    with pipe() as (reader, writer), open_sources(["-"], reader) as sources:
        os.set_blocking(reader.fileno(), False)
        reading = asyncio.create_task(sources.batch())
        await asyncio.sleep(0.02)
        writer.write(b"http://a/\n")
        assert [r.url for r in await reading] == ["http://a/"]


def test_a_thief_at_the_pipe() -> None:
    """If somebody else takes what was there to read, the reading goes on waiting."""
    with pipe() as (reader, writer):
        os.set_blocking(reader.fileno(), False)
        blocks = BlockReader(may_wait=False).of_descriptor(
            reader.fileno(), regular=True
        )  # as if there always were something to read
        later = threading.Timer(0.01, writer.write, [b"http://a/\n"])
        later.start()
        assert next(blocks) == b"http://a/\n"
        later.join()


async def test_closing_wakes_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that nobody writes to keeps nobody: closing ends the wait and the iteration, twice is once."""
    with pipe() as (reader, _), open_sources(["-"], reader) as sources:
        reading = asyncio.create_task(anext(sources))
        await asyncio.sleep(0.02)
        monkeypatch.setattr("asyncfetch.job.sources._WAIT_FOR_READER", SOON)
        sources.close()
        assert not sources._reading.locked()  # it did not have to leave it to itself
        sources.close()
        with pytest.raises(StopAsyncIteration):
            await reading
        assert sources.total is None


async def test_cancelling_wakes_a_reader() -> None:
    """A cancelled wait leaves no thread that reads, and no further entries."""
    with pipe() as (reader, writer), open_sources(["-"], reader) as sources:
        reading = asyncio.create_task(sources.batch())
        await asyncio.sleep(0.02)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        writer.write(b"http://a/\n")
        assert await sources.batch() == []


@pytest.mark.slow
def test_a_process_can_leave_while_its_stdin_is_open() -> None:
    """A reader that waits for stdin does not keep the interpreter from ending."""
    program = (
        "import asyncio, sys\n"
        "from asyncfetch.job.sources import open_sources\n"
        "async def main():\n"
        "    with open_sources(['-'], sys.stdin.buffer) as sources:\n"
        "        try: await asyncio.wait_for(sources.batch(), 0.02)\n"
        "        except TimeoutError: print('left')\n"
        "asyncio.run(main())\n"
    )
    with pipe() as (reader, _):
        done = subprocess.run([sys.executable, "-c", program], stdin=reader, capture_output=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == (b"left\n", b"", 0)


def test_a_read_that_hangs_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing waits a moment for a read that does not come back, and then lets it be."""
    monkeypatch.setattr("asyncfetch.job.sources._WAIT_FOR_READER", 0.01)
    sources = Sources([])
    with sources._reading:
        sources.close()
    assert sources.next_batch() == []


# --- what is refused before the first request


def test_what_cannot_be_found(tmp_path: Path) -> None:
    """The sentence names the source, and offers https:// where a URL seems to be meant."""
    assert refusal(tmp_path / "nope.txt") == f"'{tmp_path}/nope.txt' does not exist"
    assert refusal("urls.txt") == "'urls.txt' does not exist"
    assert refusal("example.org/a.txt").endswith(
        "does not exist; if it is a URL, write 'https://example.org/a.txt'"
    )
    assert refusal("localhost:8000").endswith("write 'https://localhost:8000'")
    assert refusal("a\0b") == "'a\\x00b' is not the name of a file"


def test_what_is_no_file(tmp_path: Path) -> None:
    """Directories, sockets and disks are refused."""
    assert "is a directory; name the files in it" in refusal(tmp_path)
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert "is a socket" in refusal(path)


@pytest.mark.usefixtures("without_root")
def test_what_may_not_be_read() -> None:
    """Without permission, for a file and for a pipe, the reason is given."""
    with tempfile.TemporaryDirectory() as directory:
        path, fifo = Path(directory, "urls.txt"), Path(directory, "fifo")
        path.touch(0)
        os.mkfifo(fifo, 0)
        assert refusal(path) == f"'{path}' cannot be read: permission denied"
        assert refusal(fifo) == f"'{fifo}' cannot be read: permission denied"


def test_a_link_to_itself(tmp_path: Path) -> None:
    """Whatever else keeps a source from being found is said in the system's words."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert refusal(loop) == f"'{loop}' cannot be read: too many levels of symbolic links"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("image", b"\x89PNG\r\n\x1a\n", "is a PNG image, not a list of URLs"),
        ("utf16.txt", "http://a/\n".encode("utf-16"), "is text in UTF-16; convert it to UTF-8 first"),
        ("nul", b"http://a/\n\0", "is a binary file, not a list of URLs: it contains NUL bytes"),
        ("image.gz", gzip.compress(b"\x89PNG\r\n\x1a\n", mtime=0), "is a PNG image"),
        ("twice.gz", gzip.compress(gzip.compress(b"x\n", mtime=0), mtime=0), "is compressed with gzip twice"),
        ("head.gz", gzip.compress(b"http://a/\n", mtime=0)[:5], "ends too early: its gzip data was cut short"),
        ("empty.gz", b"", "ends too early"),
        ("junk.gz", b"\x1f\x8bjunkjunkjunk", "is corrupt: its gzip data cannot be decompressed"),
    ],
)
def test_what_is_no_list(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    """Content that is no list of URLs is refused before anything is fetched, even after good sources."""
    path = tmp_path / name
    path.write_bytes(content)
    assert sentence in refusal("http://a/", path)


def test_stdin_once() -> None:
    """Stdin can be read only once, and only if it is there."""
    assert refusal("-", "-", stdin=io.BytesIO()) == "the standard input can be read only once, but is named twice"
    assert refusal("-") == "the standard input is not open"


def test_a_name_that_is_not_unicode(tmp_path: Path) -> None:
    """A file whose name is not UTF-8 can be read, and is named with escapes."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")
    Path(path).write_text("http://a/\n")
    (request,) = asyncio.run(read(path))
    assert request.context.source.endswith("\\xff.txt")


def test_files_can_be_told_apart(tmp_path: Path) -> None:
    """Regular files are known by device and inode, so that nobody writes over a source."""
    path = tmp_path / "urls.txt"
    path.touch()
    with open_sources([str(path), "http://a/", "/dev/null"]) as sources:
        assert sources.files == {(path.stat().st_dev, path.stat().st_ino)}


# --- what fails on the way


async def all_and_error(sources: Sources) -> tuple[int, str]:
    count = len([request async for request in sources])
    assert sources.total is None
    with pytest.raises(StopAsyncIteration):
        await anext(sources)
    return count, str(sources.error)


async def test_gzip_that_ends_too_early(tmp_path: Path) -> None:
    """Every whole line before the cut is an entry; then the iteration ends, with the reason at hand."""
    path = tmp_path / "cut.gz"
    content = gzip.compress(b"".join(b"http://%d/\n" % number for number in range(5000)))
    path.write_bytes(content[: len(content) // 2])
    with open_sources([str(path), "http://never/"]) as sources:
        count, error = await all_and_error(sources)
    assert 1000 < count < 4999
    assert error == f"'{path}' ends too early: its gzip data was cut short"


async def test_gzip_that_is_corrupt(tmp_path: Path) -> None:
    """The same for data that is damaged in the middle."""
    path = tmp_path / "damaged.gz"
    whole = gzip.compress(b"".join(b"http://%d/\n" % number for number in range(50_000)))
    path.write_bytes(whole + b"junk")
    with open_sources([str(path)]) as sources:
        assert await all_and_error(sources) == (
            50_000,
            f"'{path}' is corrupt: its gzip data cannot be decompressed",
        )


async def test_a_file_that_goes_away(tmp_path: Path) -> None:
    """A file that was there at the start and is gone when its turn comes is an error, not an empty list."""
    path = tmp_path / "urls.txt"
    path.write_text("http://a/\n")
    with open_sources([str(path)]) as sources:
        path.unlink()
        with pytest.raises(SourceError, match="cannot be read: no such file or directory") as caught:
            await sources.batch()
    assert (caught.value.source, sources.error) == (str(path), caught.value)


async def test_a_pipe_that_carries_something_else() -> None:
    """What could not be looked at before is looked at when it comes."""
    with pipe() as (reader, writer), open_sources(["-"], reader) as sources:
        writer.write(b"\x7fELF\x02\x01\x01\0")
        writer.close()
        assert await all_and_error(sources) == (0, "the standard input is a program, not a list of URLs")
