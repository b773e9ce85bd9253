from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import resource
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from asyncfetch.job.errors import JournalError, JournalExists, OutputClosed
from asyncfetch.job.journal import Journal, open_journal
from asyncfetch.record import ErrorRecord, Record
from asyncfetch.result import Timings


def record(number: int, **fields: Any) -> Record:
    url = fields.pop("url", f"http://example.org/{number}")
    return Record(
        v=1,
        n=number,
        url=url,
        ok=True,
        attempts=1,
        t=Timings(total=0.5),
        ts=datetime(2030, 1, 2, tzinfo=UTC),
        **fields,
    )


def numbers(path: Path) -> list[int]:
    content = path.read_bytes()
    assert content.endswith(b"\n") or not content
    return [json.loads(line)["n"] for line in content.splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def test_a_line_for_each_record(path: Path) -> None:
    """Batches follow each other, one JSON object a line, keys in the order of the design, unknown ones absent."""
    with open_journal(path) as journal:
        journal.begin()
        journal.write([record(1), record(2, status=404, error=ErrorRecord("http.4xx", "gone"))])
        journal.write([record(3)])
        journal.sync()
    assert numbers(path) == [1, 2, 3]
    assert path.read_text().splitlines()[1] == (
        '{"v":1,"n":2,"url":"http://example.org/2","ok":true,"status":404,'
        '"error":{"code":"http.4xx","message":"gone"},"attempts":1,"t":{"total":0.5},"ts":"2030-01-02T00:00:00Z"}'
    )


@pytest.mark.parametrize("kind", ["file", "link to nowhere"])
def test_an_existing_file_is_refused(path: Path, kind: str) -> None:
    """Whatever it contains, it stays as it is."""
    if kind == "file":
        path.write_text("precious")
    else:
        path.symlink_to("nowhere")
    with pytest.raises(JournalExists) as caught:
        open_journal(path)
    assert (
        str(caught.value)
        == f"the results file '{path}' exists; go on with it (-c), name another one, or allow --overwrite"
    )
    assert kind != "file" or path.read_text() == "precious"


def test_overwriting_begins_with_the_run(path: Path) -> None:
    """A run that never starts, because something else is refused, has overwritten nothing."""
    path.write_text("precious")
    with open_journal(path, overwrite=True):
        pass
    assert path.read_text() == "precious"
    with open_journal(path, overwrite=True) as journal:
        journal.begin()
        journal.write([record(1)])
    assert numbers(path) == [1]


def test_a_run_that_never_starts_leaves_no_file(path: Path) -> None:
    """A file that was created for it is removed; one of a run without results stays, empty."""
    for overwrite in (False, True):
        with open_journal(path, overwrite=overwrite) as journal:
            assert path.exists()
        journal.close()
        assert not path.exists()
    with open_journal(path) as journal:
        journal.begin()
    assert path.read_bytes() == b""


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    """A directory, a path without its directory, and a name that is none are refused, each with its reason."""
    for name, sentence in [
        (str(tmp_path), "cannot be opened: is a directory"),
        (str(tmp_path / "no" / "results"), "cannot be created: there is no such directory"),
        ("a\0b", "cannot be opened: "),
        ("-", "is not open"),
    ]:
        with pytest.raises(JournalError) as caught:
            open_journal(name)
        assert caught.value.detail.startswith(sentence)


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    """/dev/null and a named pipe need no --overwrite, are not cut, and are not removed."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    for name in (fifo, Path("/dev/null")):
        with open_journal(name) as journal:
            assert journal.file is None
            journal.begin()
            journal.write([record(1)])
            journal.sync()
        assert name.exists()
    reader.join()
    assert json.loads(got[0])["n"] == 1


def test_its_file_is_known(path: Path) -> None:
    """Device and inode tell whether it is one of the sources."""
    with open_journal(path) as journal:
        assert journal.file == (path.stat().st_dev, path.stat().st_ino)


# --- stdout


@contextlib.contextmanager
def stdout_pipe() -> Iterator[tuple[int, Journal]]:
    reading, writing = os.pipe()
    try:
        with open(writing, "wb") as stream, open_journal("-", stdout=stream) as journal:  # noqa: PTH123
            journal.begin()
            yield reading, journal
    finally:
        os.close(reading)


def test_stdout_is_written_and_left_open() -> None:
    """What the program has printed before comes first; nothing is kept back."""
    reading, writing = os.pipe()
    with open(reading, "rb") as reader, open(writing, "wb") as stream:  # noqa: PTH123
        stream.write(b"before\n")
        with open_journal("-", stdout=stream) as journal:
            journal.begin()
            journal.write([record(1)])
            journal.sync()
        assert not stream.closed
        assert reader.readline() == b"before\n"
        assert json.loads(reader.readline())["n"] == 1


def test_stdout_without_a_descriptor() -> None:
    """A stream in memory does as well."""
    stream = io.BytesIO()
    with open_journal("-", stdout=stream) as journal:
        journal.begin()
        journal.write([record(1)])
    assert json.loads(stream.getvalue())["n"] == 1


def test_stdout_that_is_a_file_is_not_cut(tmp_path: Path) -> None:
    """A redirection may append to what others have written."""
    path = tmp_path / "log"
    path.write_text("earlier\n")
    with path.open("ab") as stream, open_journal("-", stdout=stream) as journal:
        journal.begin()
        journal.write([record(1)])
        journal.sync()
    assert path.read_text().startswith('earlier\n{"v":1,"n":1,')


def test_a_reader_that_has_left() -> None:
    """A closed pipe is an error of its own: it is no failure of anybody."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as stream, open_journal("-", stdout=stream) as journal:  # noqa: PTH123
        journal.begin()
        with pytest.raises(OutputClosed) as caught:
            journal.write([record(1)])
    assert (str(caught.value), caught.value.written) == (
        "the standard output is closed: nobody reads it any more",
        0,
    )


def test_a_slow_reader_of_a_pipe_that_does_not_block() -> None:
    """More than a pipe holds is written whole, even if somebody has made stdout non-blocking."""
    with stdout_pipe() as (reading, journal):
        os.set_blocking(journal._output._descriptor, False)
        lines: list[bytes] = []

        def read() -> None:
            with open(os.dup(reading), "rb") as reader:  # noqa: PTH123
                lines.extend(reader.readline() for _ in range(2000))

        reader = threading.Thread(target=read)
        reader.start()
        journal.write([record(number) for number in range(2000)])
        reader.join()
    assert [json.loads(line)["n"] for line in lines] == list(range(2000))


def test_a_terminal() -> None:
    """Lines go to a terminal as to anything else."""
    controller, terminal = os.openpty()
    with open(terminal, "wb") as stream, open_journal("-", stdout=stream) as journal:  # noqa: PTH123
        journal.begin()
        journal.write([record(1)])
        assert os.read(controller, 1000).startswith(b'{"v":1,"n":1')
    os.close(controller)


# --- disks


def test_a_full_disk() -> None:
    """/dev/full says what a full disk says; nothing counts as written."""
    with open_journal("/dev/full") as journal:
        journal.begin()
        with pytest.raises(JournalError) as caught:
            journal.write([record(1)])
    assert str(caught.value) == "the results file '/dev/full' cannot be written: no space left on device"
    assert caught.value.written == 0


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [299, 300, 301, 450, 599])
def test_a_torn_line_is_cut_off(path: Path, size: int) -> None:
    """When the disk takes only a part of a batch, the whole lines of it stay, and it is said how many."""
    line = len(open_and_write(path.with_name("probe"), [record(1)]))
    with open_journal(path) as journal:
        journal.begin()
        journal.write([record(1)])
        with files_of_at_most(size), pytest.raises(JournalError) as caught:
            journal.write([record(number) for number in range(2, 9)])
        assert numbers(path) == list(range(1, size // line + 1))
        assert caught.value.written == size // line - 1
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.EFBIG
        journal.write([record(9)])
    assert numbers(path) == [*range(1, size // line + 1), 9]


def open_and_write(path: Path, records: list[Record]) -> bytes:
    with open_journal(path) as journal:
        journal.begin()
        journal.write(records)
    return path.read_bytes()


def test_a_descriptor_that_fails(path: Path) -> None:
    """Whatever goes wrong when the file is emptied or synced is an error that names the file."""
    with open_journal(path) as journal:
        journal.begin()
        journal.write([record(1)])
        journal._output._descriptor, good = os.open(path, os.O_RDONLY), journal._output._descriptor
        with pytest.raises(JournalError, match="cannot be written"):
            journal.begin()
        os.close(journal._output._descriptor)
        with pytest.raises(JournalError, match="cannot be written: bad file descriptor"):
            journal.sync()
        journal._output._descriptor = good


def test_text_that_is_no_unicode(path: Path) -> None:
    """A record is written whatever its text contains: lone surrogates are escaped, its neighbours stay."""
    bad = record(
        2, url="http://\udc80/", redirects=["http://a\udc81/"], error=ErrorRecord("io", "\udc82"), etag="é", bytes=3
    )
    first, second = map(json.loads, open_and_write(path, [record(1), bad]).splitlines())
    assert first["url"] == "http://example.org/1"
    assert (second["url"], second["redirects"], second["etag"]) == ("http://\\udc80/", ["http://a\\udc81/"], "é")
    assert second["error"] == {"code": "io", "message": "\\udc82"}
    assert (second["n"], second["bytes"], second["t"]) == (2, 3, {"total": 0.5})
