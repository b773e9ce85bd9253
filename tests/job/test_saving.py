from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncfetch.job.errors import JobFileError
from asyncfetch.job.saving import Saving, remove_orphans, saving_file_of


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "r.jsonl"


@pytest.fixture
def saving(results: Path) -> Iterator[Saving]:
    with Saving(results) as opened:
        yield opened


def saved(directory: Path, *paths: str) -> list[int]:
    """Make files, and return their inodes."""
    for path in paths:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).touch()
    return [(directory / path).stat().st_ino for path in paths]


def killed(results: Path) -> Path:
    """Return the results file of a run that was killed in this moment: a copy of what is beside it now."""
    copy = results.with_name("killed.jsonl")
    shutil.copy(saving_file_of(results), saving_file_of(copy))
    return copy


def test_bodies_without_a_record_are_removed(saving: Saving, results: Path, tmp_path: Path) -> None:
    """What a killed run has named and not recorded goes; what has its record stays."""
    for index, inode in enumerate(saved(tmp_path / "out", "h/1", "h/2", "h/ü 3"), 1):
        saving.note(index, inode, ["h/1", "h/2", "h/ü 3"][index - 1])
    assert remove_orphans(killed(results), tmp_path / "out", {2}.__contains__) == 2
    assert [path.name for path in (tmp_path / "out/h").iterdir()] == ["2"]


def test_another_file_of_that_name_is_not_touched(saving: Saving, results: Path, tmp_path: Path) -> None:
    """Only that very inode goes; a name that nothing has, or that leads through a link, is passed over."""
    inode, linked = saved(tmp_path / "out", "h/1", "elsewhere/2")
    (tmp_path / "out/link").symlink_to("elsewhere")
    saving.note(1, inode + 1, "h/1")
    saving.note(2, linked, "link/2")
    saving.note(3, inode, "h/missing")
    assert remove_orphans(killed(results), tmp_path / "out", lambda _: False) == 0
    assert (tmp_path / "out/h/1").exists()
    assert (tmp_path / "out/elsewhere/2").exists()


def test_what_is_recorded_is_forgotten(saving: Saving, results: Path, tmp_path: Path) -> None:
    """Whatever is left of the notes about an earlier batch says nothing, wherever those about the next one end."""
    paths = [f"h/{number}" for number in range(20)]
    inodes = saved(tmp_path / "out", *paths)
    for path, inode in list(zip(paths, inodes, strict=True))[:15]:
        saving.note(1234, inode, path)
    saving.recorded()
    for count, number in enumerate((15, 16), 1):
        saving.note(1, inodes[number], paths[number])
        assert remove_orphans(killed(results), tmp_path / "out", lambda _: False) == 1
        assert len(list((tmp_path / "out/h").iterdir())) == 20 - count


def test_more_names_than_there_is_room_for(saving: Saving, results: Path, tmp_path: Path) -> None:
    """They are not noted, and those before them and after the next records are."""
    first, last = saved(tmp_path / "out", "h/first", "h/last")
    saving.note(1, first, "h/first")
    for index in range(100):
        saving.note(index, 1, "h/" + "x" * 1000)
    saving.note(2, last, "h/last")
    assert remove_orphans(killed(results), tmp_path / "out", lambda _: False) >= 1
    assert not (tmp_path / "out/h/first").exists()
    (last,) = saved(tmp_path / "out", "h/last")
    saving.recorded()
    saving.note(2, last, "h/last")
    assert remove_orphans(killed(results), tmp_path / "out", lambda _: False) == 1
    assert not (tmp_path / "out/h/last").exists()


def test_it_is_removed_at_the_end(results: Path) -> None:
    """Closing removes the file; twice is once, and there is nothing to remove for a job without one."""
    with Saving(results) as saving:
        assert saving_file_of(results).exists()
    saving.close()
    assert not saving_file_of(results).exists()
    assert remove_orphans(results, results.parent, lambda _: False) == 0


def test_it_cannot_be_created(tmp_path: Path) -> None:
    """Then the run does not start, and is told why."""
    with pytest.raises(JobFileError, match="cannot be written: no such file or directory"):
        Saving(tmp_path / "missing/r.jsonl")
