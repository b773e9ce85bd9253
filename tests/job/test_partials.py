"""The beginnings of large bodies, from one run to the next: files, notes, and what becomes of both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncfetch.client import Rest
from asyncfetch.job import Bodies
from asyncfetch.job.filesink import WORTH_KEEPING, FileSink
from asyncfetch.job.folders import Way
from asyncfetch.job.partials import Partials, partials_folder_of
from asyncfetch.result import Request, Response
from tests.download import pattern

BODY = pattern(3 * WORTH_KEEPING)
HALF = len(BODY) // 2
URL = "http://user:secret@example.org/big.bin"
FIELDS = [(b"ETag", b'"v1"'), (b"Content-Length", b"%d" % len(BODY))]
REST = Rest(HALF, '"v1"', len(BODY))


@pytest.fixture(params=list(Way))
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


class Run:
    """The bodies of one run, and the notes beside its results file."""

    def __init__(self, directory: Path, way: Way, *, is_wanted: bool = True) -> None:
        self.directory = directory
        self.bodies = Bodies(directory / "out", way=way, digests=True)
        self.partials = Partials(directory / "r.jsonl")
        self.partials.load(lambda index: is_wanted)
        self.bodies.partials = self.partials
        self.removed = self.bodies.clear_up()

    async def begin(
        self, content: bytes = BODY[:HALF], fields: list[tuple[bytes, bytes]] | None = None
    ) -> FileSink:
        response = Response("http://example.org/big.bin", 200, "OK", FIELDS if fields is None else fields)
        sink = self.bodies.sink(Request(URL, 7), response)
        assert sink is not None
        for start in range(0, len(content), 100_000):
            await sink.write(content[start : start + 100_000])
        return sink

    def close(self) -> None:
        self.bodies.leave_all()
        self.partials.close()
        self.bodies.close()

    @property
    def parts(self) -> list[Path]:
        return list((self.directory / "out").glob(".asyncfetch-*"))

    @property
    def notes(self) -> list[str]:
        folder = partials_folder_of(self.directory / "r.jsonl")
        return [path.read_text() for path in folder.iterdir()] if folder.exists() else []


@pytest.fixture
def runs(tmp_path: Path, way: Way) -> Iterator[list[Run]]:
    """Runs one after the other; the last one is closed here."""
    made = [Run(tmp_path, way)]
    yield made
    made[-1].close()


def next_run(runs: list[Run], *, is_wanted: bool = True) -> Run:
    last = runs[-1]
    last.close()
    runs.append(Run(last.directory, last.bodies._way, is_wanted=is_wanted))
    return runs[-1]


async def test_the_next_run_goes_on(runs: list[Run], tmp_path: Path) -> None:
    """It gets the sink with the bytes that are there, and all of the body in the end, with the digest of it."""
    sink = await runs[0].begin()
    assert await sink.pause(REST) == HALF
    [note] = runs[0].notes
    assert "secret" not in note
    second = next_run(runs)
    assert second.removed == 0
    partial = second.bodies.partial(Request(URL, 7))
    assert partial is not None
    assert (partial.url, partial.rest) == ("http://example.org/big.bin", REST)
    assert second.bodies.partial(Request(URL, 7)) is None, "it is given out once"
    assert isinstance(partial.sink, FileSink)
    await partial.sink.write(BODY[HALF:])
    assert await partial.sink.verify(hashlib.sha256(BODY).hexdigest())
    await partial.sink.finish()
    path = second.bodies.save(partial.sink)
    assert (tmp_path / "out" / path).read_bytes() == BODY
    assert partial.sink.sha256 == hashlib.sha256(BODY).hexdigest()
    assert (second.parts, second.notes) == ([], [])


async def test_within_a_run_too(runs: list[Run]) -> None:
    """A sink that was paused goes on with the next bytes."""
    sink = await runs[0].begin()
    await sink.pause(REST)
    await sink.write(BODY[HALF:])
    await sink.finish()
    path = runs[0].bodies.save(sink)
    assert (runs[0].directory / "out" / path).read_bytes() == BODY
    assert (runs[0].parts, runs[0].notes) == ([], [])


async def test_what_is_given_up_for_now_stays(runs: list[Run]) -> None:
    """The sink of a failed result gives its descriptor back, and leaves its file for a later run."""
    sink = await runs[0].begin()
    await sink.pause(REST)
    sink.leave()
    sink.leave()
    assert not runs[0].bodies._parts
    assert len(runs[0].parts) == len(runs[0].notes) == 1


async def test_what_is_aborted_is_gone(runs: list[Run]) -> None:
    """File and note go together."""
    sink = await runs[0].begin()
    await sink.pause(REST)
    await sink.abort()
    assert (runs[0].parts, runs[0].notes) == ([], [])


@pytest.mark.parametrize(
    ("size", "fields"),
    [(WORTH_KEEPING - 1, FIELDS), (HALF, []), (HALF, [*FIELDS, (b"Content-Encoding", b"gzip")])],
    ids=["small", "no validator", "coded"],
)
async def test_what_is_not_kept(runs: list[Run], size: int, fields: list[tuple[bytes, bytes]]) -> None:
    """What is not worth it, or cannot be gone on with, has no note, and is gone with its run."""
    sink = await runs[0].begin(BODY[:size], fields)
    await sink.pause(REST._replace(begin=size))
    assert runs[0].notes == []
    second = next_run(runs)
    assert second.parts == []
    assert second.bodies.partial(Request(URL, 7)) is None


async def test_what_nobody_wants_is_removed(runs: list[Run]) -> None:
    """A position that is done by now needs no beginning."""
    await (await runs[0].begin()).pause(REST)
    second = next_run(runs, is_wanted=False)
    assert (second.parts, second.notes, second.removed) == ([], [], 1)


async def test_another_url_at_that_position(runs: list[Run]) -> None:
    """It has no beginning."""
    await (await runs[0].begin()).pause(REST)
    assert next_run(runs).bodies.partial(Request("http://example.org/other", 7)) is None


async def test_a_whole_one_asks_for_its_last_byte(runs: list[Run]) -> None:
    """There is always a rest to ask for: the answer tells whether it is still that version."""
    await (await runs[0].begin(BODY)).pause(REST._replace(begin=len(BODY)))
    partial = next_run(runs).bodies.partial(Request(URL, 7))
    assert partial is not None
    assert partial.rest.begin == len(BODY) - 1


async def test_a_planted_link_is_not_followed(runs: list[Run], tmp_path: Path) -> None:
    """Neither is another file of that name taken."""
    await (await runs[0].begin()).pause(REST)
    runs[0].bodies.leave_all()
    [part] = runs[0].parts
    outside = tmp_path / "outside"
    outside.write_bytes(bytes(HALF))
    part.unlink()
    part.symlink_to(outside)
    second = next_run(runs)
    assert second.bodies.partial(Request(URL, 7)) is None
    assert outside.read_bytes() == bytes(HALF)


async def test_what_somebody_else_writes_is_left_alone(runs: list[Run], tmp_path: Path, way: Way) -> None:
    """A second run that finds the file locked fetches the body anew."""
    sink = await runs[0].begin()
    await sink.pause(REST)
    other = Run(tmp_path, way)
    try:
        assert other.bodies.partial(Request(URL, 7)) is None
    finally:
        other.close()
    await sink.write(BODY[HALF:])
    await sink.finish()
    assert runs[0].bodies.save(sink)


@pytest.mark.parametrize("note", ["", "{", "[]", '{"request":"","file":"../x","inode":1,"url":"","validator":""}'])
def test_notes_that_are_none(tmp_path: Path, note: str) -> None:
    """They are removed."""
    folder = partials_folder_of(tmp_path / "r.jsonl")
    folder.mkdir()
    (folder / "7").write_text(note)
    (folder / "not a number").write_text(note)
    partials = Partials(tmp_path / "r.jsonl")
    partials.load(lambda index: True)
    assert not partials.are_there
    partials.close()
    assert not folder.exists()


async def test_without_a_results_file(tmp_path: Path) -> None:
    """Nothing outlives the run."""
    with Bodies(tmp_path, way=Way.LINKED) as bodies:
        sink = bodies.sink(Request(URL, 7), Response("http://example.org/big.bin", 200, "OK", FIELDS))
        assert sink is not None
        await sink.write(BODY)
        assert await sink.pause(REST) == len(BODY)
        sink.leave()
    assert list(tmp_path.iterdir()) == []
