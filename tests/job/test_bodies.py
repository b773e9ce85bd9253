from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncfetch.job.bodies import Bodies, DiscardSink, FileSink
from asyncfetch.job.errors import OutputError
from asyncfetch.job.folders import Way, is_ours
from asyncfetch.result import Request, Response

MIB = 2**20


@pytest.fixture
def bodies(tmp_path: Path) -> Iterator[Bodies]:
    with Bodies(tmp_path / "out") as opened:
        yield opened


def files(directory: str | Path) -> dict[str, bytes]:
    root = Path(directory)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def filled(bodies: Bodies, url: str, *chunks: bytes, index: int = 1) -> FileSink:
    sink = bodies.sink(Request(url, index), Response(url, 200, "OK", []))
    assert sink is not None
    for chunk in chunks:
        await sink.write(chunk)
    await sink.finish()
    return sink


async def write_all(sink: FileSink, chunk: bytes, times: int) -> None:
    for _ in range(times):
        await sink.write(chunk)


async def test_a_body_becomes_a_file(bodies: Bodies) -> None:
    """A complete body appears under the name of its URL, and nothing else does."""
    sink = await filled(bodies, "http://example.org/a/b.csv", b"some ", b"bytes")
    assert files(bodies.directory) == {}
    assert bodies.save(sink) == "example.org/a/b.csv"
    assert files(bodies.directory) == {"example.org/a/b.csv": b"some bytes"}
    assert sink.size == 10
    assert not bodies._parts, "a file that was saved is not remembered"


async def test_a_small_body_is_noted_before_it_has_a_name(bodies: Bodies) -> None:
    """The note names position and path, and the inode that the file has then, for each name that is tried."""
    notes: list[tuple[int, int, str]] = []

    def note(index: int, inode: int, path: str) -> None:
        notes.append((index, inode, path))
        assert not Path(bodies.directory, path).exists() or path == "x.org/taken"

    Path(bodies.directory, "x.org").mkdir()
    Path(bodies.directory, "x.org/taken").touch()
    bodies.note = note
    saved = bodies.save(await filled(bodies, "http://x.org/taken", b"x", index=7))
    inode = Path(bodies.directory, saved).stat().st_ino
    assert notes == [(7, inode, "x.org/taken"), (7, inode, "x.org/taken~n7")]


async def test_a_sink_does_not_show_its_body(bodies: Bodies) -> None:
    """A result that is printed says whose body it has and how much, not all of it, and no password."""
    sink = await filled(bodies, "http://user:password@x.org/a", b"body " * 1000)
    assert repr(sink) == (
        "<FileSink of Request('http://***@x.org/a', index=1, method='GET', headers=[]): 5000 bytes>"
    )
    sink.discard()


async def test_an_empty_body_is_an_empty_file(bodies: Bodies) -> None:
    """A body of no bytes is a body."""
    assert bodies.save(await filled(bodies, "http://example.org/")) == "example.org/index"
    assert files(bodies.directory) == {"example.org/index": b""}


@pytest.mark.parametrize("way", list(Way))
async def test_a_large_body_leaves_memory(tmp_path: Path, way: Way) -> None:
    """Past 256 KiB a body is in a file without a name; the bytes come out whole and in order."""
    chunks = [bytes([number]) * 100_000 for number in range(30)]
    with Bodies(tmp_path, way=way) as bodies:
        sink = await filled(bodies, "http://example.org/large", *chunks)
        assert sink._held < 600_000
        bodies.save(sink)
    assert files(tmp_path) == {"example.org/large": b"".join(chunks)}


@pytest.mark.parametrize("size", [10, MIB])
async def test_an_aborted_body_is_gone(tmp_path: Path, size: int) -> None:
    """A body that failed or will be fetched again leaves nothing, small or large."""
    with Bodies(tmp_path, way=Way.LINKED) as bodies:
        sink = await filled(bodies, "http://example.org/", b"x" * size)
        await sink.abort()
        assert not sink.is_complete
        assert files(tmp_path) == {}
        assert bodies.save(await filled(bodies, "http://example.org/", b"second")) == "example.org/index"


async def test_closing_removes_what_was_not_saved(tmp_path: Path) -> None:
    """Results that nobody took leave no file and no descriptor."""
    with Bodies(tmp_path, way=Way.LINKED) as bodies:
        await filled(bodies, "http://example.org/", b"x" * MIB)
        assert len(files(tmp_path)) == 1
    assert files(tmp_path) == {}


async def test_the_same_url_twice_is_two_files(bodies: Bodies) -> None:
    """Each entry has its own file, told apart by its number, and a third attempt finds a name too."""
    saved = [
        bodies.save(await filled(bodies, "http://example.org/a.txt", content, index=index))
        for index, content in [(5, b"first"), (17, b"second"), (17, b"third")]
    ]
    assert saved[:2] == ["example.org/a.txt", "example.org/a~n17.txt"]
    assert saved[2].startswith("example.org/a~n17-")
    assert sorted(files(bodies.directory).values()) == [b"first", b"second", b"third"]


async def test_nothing_of_somebody_else_is_touched(bodies: Bodies, tmp_path: Path) -> None:
    """A file and a planted link that have the name keep what they have."""
    folder, outside = Path(bodies.directory, "example.org"), tmp_path / "outside"
    folder.mkdir()
    (folder / "a").write_text("mine")
    (folder / "b").symlink_to(outside)
    for name in "ab":
        saved = bodies.save(await filled(bodies, f"http://example.org/{name}", b"new", index=3))
        assert saved == f"example.org/{name}~n3"
    assert (folder / "a").read_text() == "mine"
    assert not outside.exists()


async def test_a_file_and_a_directory_of_one_name(bodies: Bodies) -> None:
    """`/a` and `/a/b` are both saved, in either order."""
    order = ["http://x.org/a", "http://x.org/a/b", "http://y.org/a/b", "http://y.org/a"]
    saved = [bodies.save(await filled(bodies, url, index=n)) for n, url in enumerate(order)]
    assert saved == ["x.org/a", "x.org/a~d/b", "y.org/a/b", "y.org/a~n3"]


async def test_a_planted_directory_link_is_not_followed(bodies: Bodies, tmp_path: Path) -> None:
    """Where a host's directory is a link to elsewhere, nothing goes there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    Path(bodies.directory, "example.org").symlink_to(outside)
    assert bodies.save(await filled(bodies, "http://example.org/a", b"x")) == "example.org~d/a"
    assert list(outside.iterdir()) == []


async def test_a_body_that_cannot_be_recorded(bodies: Bodies) -> None:
    """It is removed again; that it is gone already does not matter."""
    path = bodies.save(await filled(bodies, "http://example.org/a", b"x"))
    bodies.remove(path)
    bodies.remove(path)
    assert files(bodies.directory) == {}


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_responses_without_a_body(bodies: Bodies, method: str, status: int) -> None:
    """Where no body can come, no file is made."""
    request = Request("http://example.org/", method=method)  # type: ignore[arg-type]
    assert bodies.sink(request, Response(request.url, status, "", [])) is None


async def test_bytes_that_nobody_wants() -> None:
    """They are taken and forgotten."""
    sink = DiscardSink()
    await sink.write(b"x")
    await sink.finish()
    await sink.abort()


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """A file, a path below a file, and a place where nothing can be created are refused, each with its reason."""
    (tmp_path / "file").touch()
    for name, sentence in [
        (tmp_path / "file", "is not a directory"),
        (tmp_path / "file/below", "is not a directory"),
        (tmp_path / ("x" * 300), "cannot be used as a directory for bodies: file name too long"),
        (Path("/proc/self/fd"), "cannot be written to: "),
    ]:
        with pytest.raises(OutputError) as caught:
            Bodies(name)
        assert caught.value.detail.startswith(sentence)


@pytest.mark.usefixtures("without_root")
def test_a_directory_without_permission() -> None:
    """A directory that may be read but not written is refused before the first request."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "closed").mkdir(mode=0o500)
        with pytest.raises(OutputError, match="cannot be written to: permission denied"):
            Bodies(Path(directory, "closed"))


async def test_an_error_that_comes_at_the_very_end(tmp_path: Path) -> None:
    """Network drives may say only at closing that there was no room: then the body is not there, and it is told."""
    with Bodies(tmp_path, way=Way.LINKED) as bodies:
        bodies.save(await filled(bodies, "http://example.org/before"))  # its directory is open from now on
        sink = await filled(bodies, "http://example.org/a", b"x" * MIB)
        os.close(sink.written()._descriptor)
        with pytest.raises(OutputError, match=r"/example\.org/a' cannot be written: bad file descriptor"):
            bodies.save(sink)
        assert bodies.failure is not None
        sink = await filled(bodies, "http://example.org/b", b"x" * MIB)
        os.close(sink.written()._descriptor)
        await sink.abort()  # what is thrown away need not have been written
    assert list(files(tmp_path)) == ["example.org/before"]


async def test_a_temporary_name_that_is_gone(tmp_path: Path) -> None:
    """A body that is thrown away does not miss it; one that is to get its name has been lost, and that is told."""
    with Bodies(tmp_path, way=Way.LINKED) as bodies:
        unwanted, wanted = [await filled(bodies, f"http://example.org/{n}", b"x" * MIB) for n in "ab"]
        for sink in (unwanted, wanted):
            (tmp_path / sink.written()._name).unlink()
        await unwanted.abort()
        with pytest.raises(OutputError, match="/b' cannot be written: no such file or directory"):
            bodies.save(wanted)
    assert files(tmp_path) == {}


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize("size", [10, MIB])
async def test_a_body_that_finds_no_directory(tmp_path: Path, way: Way, size: int) -> None:
    """What cannot get its name is gone, with its file and its descriptor; the next body can be saved."""
    with Bodies(tmp_path, way=way) as bodies:
        bodies.save(await filled(bodies, "http://example.org/before"))  # its directory is open from now on
        sink = await filled(bodies, "http://blocked.org/a", b"x" * size)
        for name in ("blocked.org", *[f"blocked.org~{variant}" for variant in ("d", "d2", "d3", "d4")]):
            (tmp_path / name).touch()
        there, opened = files(tmp_path), open_files() - (sink.part is not None)
        with pytest.raises(OutputError, match=r"/blocked\.org/a' cannot be written: not a directory"):
            bodies.save(sink)
        assert open_files() == opened
        assert {name for name in there if not is_ours(name)} == set(files(tmp_path))
        assert bodies.save(await filled(bodies, "http://example.org/a", b"x" * size)) == "example.org/a"
        assert open_files() == opened


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a file system")
    yield path
    subprocess.run(["umount", path], check=True)


async def test_a_full_disk(small_disk: Path) -> None:
    """A small body that finds no room is an error that names file and reason; what was saved stays."""
    with Bodies(small_disk) as bodies:
        bodies.save(await filled(bodies, "http://example.org/fits", b"x" * 200_000))
        (small_disk / "filler").write_bytes(bytes(700_000))
        sink = await filled(bodies, "http://example.org/late", b"x" * 250_000)
        with pytest.raises(OutputError) as caught:
            bodies.save(sink)
        assert str(caught.value) == f"'{small_disk}/example.org/late' cannot be written: no space left on device"
        assert bodies.failure is caught.value
    assert sorted(files(small_disk)) == ["example.org/fits", "filler"]
    assert os.statvfs(small_disk).f_bavail > 10


async def test_a_disk_that_fills_while_a_body_comes(small_disk: Path) -> None:
    """The one who writes the bytes gets the error, and the run can see it."""
    with Bodies(small_disk) as bodies:
        sink = bodies.sink(Request("http://example.org/"), Response("http://example.org/", 200, "", []))
        assert sink is not None
        with pytest.raises(OSError, match="No space left"):
            await write_all(sink, b"x" * 100_000, 20)
        await sink.abort()
        assert str(bodies.failure) == f"'{small_disk}' cannot be written: no space left on device"
    assert files(small_disk) == {}
