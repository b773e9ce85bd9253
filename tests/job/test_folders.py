from __future__ import annotations

import contextlib
import errno
import os
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncfetch.job.folders import Folders, Part, Unnamed, Way, is_ours
from asyncfetch.job.opening import Spare, Wait

WAYS = list(Way)


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Folders]:
    opened = Folders(tmp_path / "out")
    yield opened
    opened.close()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_directories_are_made_and_kept_open(folders: Folders, out: Path) -> None:
    """A path is created step by step; asking again gives the same descriptor."""
    descriptor, path = folders.open("a/b/c")
    assert path == "a/b/c"
    assert os.path.samestat(os.fstat(descriptor), (out / "a/b/c").stat())
    assert folders.open("a/b/c") == (descriptor, path)


def test_few_directories_are_open_at_once(folders: Folders) -> None:
    """However many directories a list needs, 32 are open, and those that were closed open again."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(100):
        folders.open(f"host{number}/a")
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 32
    assert folders.open("host0/a")[1] == "host0/a"


def test_fewer_where_files_are_scarce(tmp_path: Path) -> None:
    """With a low limit of open files only two directories are kept; a path of any depth can still be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, hard))
    try:
        folders = Folders(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert folders.open("a/b/c/d/e")[1] == "a/b/c/d/e"
    assert len(folders._open) == 2
    assert folders.open("a/b/x")[1] == "a/b/x"
    folders.close()


@pytest.mark.parametrize("kind", ["file", "link", "link to nowhere"])
def test_what_stands_in_the_way(folders: Folders, out: Path, tmp_path: Path, kind: str) -> None:
    """A file is not replaced and a link is not followed: the directory gets another name."""
    (tmp_path / "outside").mkdir()
    if kind == "file":
        (out / "a").write_text("here first")
    else:
        (out / "a").symlink_to(tmp_path / ("outside" if kind == "link" else "nowhere"))
    (out / "a~d").symlink_to(tmp_path / "outside")
    assert folders.open("a/b")[1] == "a~d2/b"
    assert (out / "a~d2/b").is_dir()
    assert list((tmp_path / "outside").iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_too_much_in_the_way(folders: Folders, out: Path) -> None:
    """Somebody who blocks every variant is told so."""
    for name in ("a", "a~d", "a~d2", "a~d3", "a~d4"):
        (out / name).touch()
    with pytest.raises(NotADirectoryError):
        folders.open("a/b")


def test_other_errors_are_not_hidden(folders: Folders) -> None:
    """A name that is too long for the file system is an error, not something in the way."""
    with pytest.raises(OSError) as caught:
        folders.open("x" * 300)
    assert caught.value.errno == errno.ENAMETOOLONG


def test_a_file_is_no_root(tmp_path: Path) -> None:
    """The root must be a directory, or one that can be made."""
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        Folders(tmp_path / "file")


@contextlib.contextmanager
def new_part(folders: Folders, way: Way) -> Iterator[Part]:
    part = Part.new(folders, way)
    try:
        yield part
    finally:
        part.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_part_appears_when_it_is_whole(folders: Folders, out: Path, way: Way) -> None:
    """Until it is given its name there is nothing to be seen but our temporary file, and then nothing of that."""
    descriptor, _ = folders.open("a")
    with new_part(folders, way) as part:
        part.write([b"some ", b"bytes"])
        assert [path.name for path in out.rglob("*") if not is_ours(path.name)] == ["a"]
        part.give("name", descriptor)
    assert [path.name for path in out.rglob("*")] == ["a", "name"]
    assert (out / "a/name").read_bytes() == b"some bytes"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["file", "directory", "link", "link to nowhere"])
def test_a_name_that_is_taken(folders: Folders, out: Path, tmp_path: Path, way: Way, kind: str) -> None:
    """Nothing is replaced and no link is followed, whatever has the name."""
    taken, outside = out / "name", tmp_path / "outside"
    outside.write_text("untouched")
    if kind == "file":
        taken.write_text("untouched")
    elif kind == "directory":
        taken.mkdir()
    else:
        taken.symlink_to(outside if kind == "link" else tmp_path / "nowhere")
    with new_part(folders, way) as part, pytest.raises(FileExistsError):
        part.give("name", folders.root)
    assert [path.name for path in out.iterdir()] == ["name"]
    assert outside.read_text() == "untouched"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("way", WAYS)
def test_a_part_without_a_name_is_gone(folders: Folders, out: Path, way: Way) -> None:
    """Closing removes what has no final name; twice is once."""
    part = Part.new(folders, way)
    part.write([b"x"])
    part.close()
    part.close()
    assert list(out.iterdir()) == []


def test_a_file_that_only_its_descriptor_knows(folders: Folders, out: Path) -> None:
    """It is nowhere to be seen until it is named, and closing it twice closes no other file that has its number."""
    file = Unnamed.open(folders, Wait(0.0))
    file.write([b"some ", b"bytes"])
    assert list(out.iterdir()) == []
    file.give("name", folders.root)
    file.close()
    other = os.open(out, os.O_RDONLY)
    file.close()
    os.close(other)
    assert (out / "name").read_bytes() == b"some bytes"


def test_without_a_way_to_a_file_that_has_no_name(folders: Folders, out: Path) -> None:
    """Where the system shows no process its open files, naming one is an error that lets another way be tried."""
    os.close(folders.opened)
    folders.opened = -1
    with new_part(folders, Way.UNNAMED) as part, pytest.raises(OSError):
        part.give("name", folders.root)
    assert list(out.iterdir()) == []


def test_a_claim_is_given_back(folders: Folders, out: Path) -> None:
    """Where a name must be claimed first and the file cannot follow, the claim does not stay."""
    with new_part(folders, Way.RENAMED) as part:
        temporary = next(out.iterdir())
        temporary.unlink()
        with pytest.raises(FileNotFoundError):
            part.give("name", folders.root)
        assert list(out.iterdir()) == []
        temporary.touch()


def test_short_writes_are_completed(folders: Folders, out: Path) -> None:
    """What the kernel takes in pieces is written whole: here it stops at a limit that is then raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with new_part(folders, Way.UNNAMED) as part:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            with pytest.raises(OSError) as caught:
                part.write([b"x" * 1500])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caught.value.errno == errno.EFBIG
        part.give("name", folders.root)
    assert (out / "name").stat().st_size == 1000


@pytest.fixture
def no_descriptor_left() -> Iterator[list[int]]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    taken: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        yield taken
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)


def test_it_waits_for_a_descriptor(folders: Folders, no_descriptor_left: list[int]) -> None:
    """When every descriptor is taken, a file waits until one is free."""
    later = threading.Timer(0.03, lambda: os.close(no_descriptor_left.pop()))
    later.start()
    began = time.monotonic()
    with new_part(folders, Way.UNNAMED):
        assert time.monotonic() - began > 0.02
    later.join()


def test_it_does_not_wait_for_ever(folders: Folders, no_descriptor_left: list[int]) -> None:
    """If none gets free, the error says so."""
    with pytest.raises(OSError) as caught:
        Part.new(folders, Way.UNNAMED, Wait(0.02))
    assert caught.value.errno == errno.EMFILE


def test_no_wait_is_none_at_all(
    folders: Folders, no_descriptor_left: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever must not wait, in the event loop, does not even for a moment."""
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waited"))
    with pytest.raises(OSError) as caught:
        Part.new(folders, Way.UNNAMED, Wait(0.0))
    assert caught.value.errno == errno.EMFILE


def test_a_few_descriptors_are_held_in_reserve(folders: Folders, no_descriptor_left: list[int]) -> None:
    """Where sockets have all others, a file and its directories can be opened at once; then they are held again."""
    part = Part.new(folders, Way.UNNAMED, Wait(0.0, folders.spare))
    folders.open("x")
    part.close()
    folders.spare.refill()
    assert folders.spare.give()


def test_a_reserve_is_given_back(tmp_path: Path) -> None:
    """Closing gives all of it back, and what is not there is not given."""
    folders = Folders(tmp_path)
    spare = Spare(folders.root)
    spare.close()
    assert not spare.give()
    folders.close()
