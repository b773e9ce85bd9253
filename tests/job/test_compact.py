from __future__ import annotations

import resource
from pathlib import Path

import pytest

from asyncfetch.job import JournalError, open_journal
from asyncfetch.job.compact import compact


def line(position: int, text: str) -> bytes:
    return b'{"v":1,"n":%d,"url":"%s","ok":true}\n' % (position, text.encode())


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "results.jsonl"
    path.write_bytes(line(2, "a") + line(1, "b") + line(2, "c") + line(3, "d") + line(2, "e"))
    path.chmod(0o640)
    return path


def test_the_last_record_counts(results: Path) -> None:
    """One line is left for each position, the last one, where it stood; the file keeps its mode."""
    assert compact(results) == (2, 3)
    assert results.read_bytes() == line(1, "b") + line(3, "d") + line(2, "e")
    assert results.stat().st_mode & 0o777 == 0o640
    before = results.stat().st_ino
    assert compact(results) == (0, 3)
    assert results.stat().st_ino == before
    assert list(results.parent.iterdir()) == [results]


def test_a_torn_line_is_dropped(results: Path) -> None:
    """What a kill has left at the end is no record."""
    results.write_bytes(line(1, "a") + line(2, "b")[:-5])
    assert compact(results) == (0, 1)
    assert results.read_bytes() == line(1, "a")


def test_a_link_stays_a_link(results: Path, tmp_path: Path) -> None:
    """Where the name is a symbolic link, the file that it leads to is rewritten."""
    link = tmp_path / "link"
    link.symlink_to(results)
    assert compact(link) == (2, 3)
    assert link.is_symlink()
    assert results.read_bytes().count(b"\n") == 3


def test_not_while_it_is_written(results: Path) -> None:
    """A job that runs has the lock."""
    with (
        open_journal(results, go_on=True),
        pytest.raises(JournalError, match=r"is in use: process \d+ is writing it$"),
    ):
        compact(results)


def test_who_waited_for_the_old_file(results: Path) -> None:
    """A lock on a file that has just been replaced is worth nothing: the new one is opened."""
    compact(results)
    with open_journal(results, go_on=True) as journal:
        assert journal.file == (results.stat().st_dev, results.stat().st_ino)


def test_what_cannot_be_rewritten(results: Path, tmp_path: Path) -> None:
    """What is missing, no file or no results file is refused; a full disk leaves the old file and nothing else."""
    with pytest.raises(JournalError, match="does not exist"):
        compact(tmp_path / "missing")
    with pytest.raises(JournalError, match="is not a file"):
        compact(tmp_path)
    content = results.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard))
    try:
        with pytest.raises(JournalError, match="cannot be rewritten: file too large"):
            compact(results)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert results.read_bytes() == content
    assert list(tmp_path.iterdir()) == [results]
    results.write_bytes(content + b"{}\n")
    with pytest.raises(JournalError, match=r"no record of ours in line 6, but '\{\}'"):
        compact(results)
