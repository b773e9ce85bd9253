"""Groups that wait on disk: in order for each host, in a file that nobody else has, and bounded."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfetch.client import overflow as module
from asyncfetch.client.overflow import Overflow, open_overflow, overflow_directory

PLENTY = 1 << 40

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "take", "write", "look", "drop"]),
        st.sampled_from("abc"),
        st.integers(0, 90_000),
    ),
    max_size=40,
)


@contextmanager
def opened(most: int = PLENTY) -> Iterator[Overflow]:
    overflow = open_overflow(most)
    assert overflow is not None
    try:
        yield overflow
    finally:
        overflow.close()


def take(overflow: Overflow, host: str, most: int) -> list[bytes]:
    """Take up to so many groups."""
    groups: list[bytes] = []
    while len(groups) < most and host in overflow._shelves:
        groups.append(overflow.first(host))
        overflow.drop(host)
    return groups


def take_all(overflow: Overflow, host: str) -> list[bytes]:
    return take(overflow, host, PLENTY)


@settings(max_examples=60)
@given(_STEPS)
def test_gives_back_what_it_was_given_in_order(steps: list[tuple[str, str, int]]) -> None:
    """Groups of any size, of several hosts, written or not: each host's come out first in, first out."""
    model: dict[str, deque[bytes]] = defaultdict(deque)
    seen: dict[str, bytes] = {}
    with opened() as overflow:
        for number, (step, host, size) in enumerate(steps):
            if step == "look" and model[host]:
                seen[host] = overflow.first(host)
                assert seen[host] == model[host][0]
            elif step == "drop" and host in seen:  # whatever was added and written since it was looked at
                overflow.drop(host)
                assert seen.pop(host) == model[host].popleft()
            elif step == "add":
                model[host].append(b"%d:" % number + b"x" * size)
                overflow.add(host, model[host][-1])
            elif step == "write":
                overflow.write()
            elif step == "take":
                seen.pop(host, None)
                for group in take(overflow, host, 1 + size % 3):
                    assert group == model[host].popleft()
            assert all(overflow._shelves[host].unwritten for host in overflow._dirty)
            assert [host for host in "abc" if host in overflow._shelves] == [host for host in "abc" if model[host]]
        for host, entries in model.items():
            assert take_all(overflow, host) == list(entries)
        assert not any(host in overflow._shelves for host in "abc")


def test_many_entries_of_few_hosts_are_written_in_large_chunks() -> None:
    """A host's entries are written 64 KiB at a time, so that hardly any memory is used; all of them come back."""
    entries = [b"%06d" % number + b"." * 94 for number in range(5000)]
    with opened() as overflow:
        for entry in entries:
            for host in ("a", "b"):
                overflow.add(host, entry)
                overflow.write()
        assert overflow._unwritten < 2 * module._CHUNK
        assert os.fstat(overflow._file.fileno()).st_size > 900_000
        assert take_all(overflow, "b") == entries
        assert take_all(overflow, "a") == entries


def test_few_entries_of_many_hosts_are_bounded_in_memory() -> None:
    """Beyond 4 MiB what waits longest is written, however little it is of each host."""
    entry = bytes(300)
    with opened() as overflow:
        for turn in range(3):
            for number in range(8_000):
                overflow.add(str(number), entry[turn:])
                overflow.write()
                assert overflow._unwritten <= module._UNWRITTEN + 304
        for number in (0, 1, 7_999):
            assert take(overflow, str(number), 9) == [entry, entry[1:], entry[2:]]


def test_begins_the_file_again_when_nothing_waits() -> None:
    """The disk gets its room back, and so is there room again for what is allowed."""
    with opened(200_000) as overflow:
        for _ in range(2):
            fullness = []
            for _ in range(200):
                fullness.append(overflow.is_full)
                overflow.add("a", bytes(1000))
                overflow.write()
            assert not any(fullness)
            assert overflow.is_full
            assert len(take_all(overflow, "a")) == 200
            assert os.fstat(overflow._file.fileno()).st_size == 0


def test_what_was_read_last_does_not_outlive_the_file_that_begins_again() -> None:
    """Entries that come to stand where others stood are read anew, not from what was read for those."""
    with opened() as overflow:
        for mark in (b"a", b"b"):
            entries = [mark * 9 + b"%04d" % number for number in range(6000)]
            for entry in entries:
                if overflow.add("a", entry):
                    overflow.write()
            assert os.fstat(overflow._file.fileno()).st_size > 60_000
            assert take_all(overflow, "a") == entries


def test_a_host_that_was_read_to_its_end_can_have_more() -> None:
    """Written, read, written and read again, while another host keeps the file from beginning again."""
    with opened() as overflow:
        overflow.add("other", b"1")
        for turn in (1, 2):
            for number in range(turn):
                overflow.add("a", b"%d%d" % (turn, number) + bytes(70_000))
                overflow.write()
            assert [entry[:2] for entry in take_all(overflow, "a")] == [b"10", b"20", b"21"][
                turn - 1 : 2 * turn - 1
            ]


def test_nobody_else_has_the_file() -> None:
    """It has no name, only its owner may read and write it, and its directory is as empty as before."""
    with opened() as overflow:
        found = os.fstat(overflow._file.fileno())
        assert found.st_nlink == 0
        assert stat.S_IMODE(found.st_mode) == 0o600


def test_goes_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`TMPDIR` if it is set, or /var/tmp, which is not in memory as /tmp often is."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    assert overflow_directory() == "/var/tmp"
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert overflow_directory() is None


def test_a_directory_that_cannot_be_used_means_no_overflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Then a list is read as far as its window reaches."""
    monkeypatch.setattr(module, "overflow_directory", lambda: str(tmp_path / "absent"))
    assert open_overflow(PLENTY) is None


def test_what_is_written_after_it_was_looked_at() -> None:
    """A group that was in memory when it was looked at is dropped where it is by then, in the next chunk."""
    with opened() as overflow:
        overflow.add("a", bytes(70_000))
        overflow.write()
        overflow.add("a", bytes(70_001))
        overflow.add("a", b"the last")
        overflow.first("a")
        overflow.drop("a")
        assert overflow.first("a") == bytes(70_001)
        overflow.write()
        overflow.drop("a")
        assert take_all(overflow, "a") == [b"the last"]


def test_what_cannot_be_written_is_not_lost() -> None:
    """A full disk is an error of `write`; everything is still counted, and comes back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened() as overflow:
        overflow.add("a", bytes(70_000))
        overflow.write()
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            overflow.add("a", bytes(70_001))
            with pytest.raises(OSError, match="File too large") as caught:
                overflow.write()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caught.value.errno == errno.EFBIG
        overflow.write()
        assert [len(entry) for entry in take_all(overflow, "a")] == [70_000, 70_001]


def test_a_file_that_has_become_shorter_is_an_error() -> None:
    """What cannot be read back is never taken for the end."""
    with opened() as overflow:
        overflow.add("a", bytes(70_000))
        overflow.write()
        overflow._file.truncate(1000)
        with pytest.raises(OSError, match="Input/output error"):
            overflow.first("a")
