"""When a run ends early: decided from numbers, and done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncfetch.client import Client
from asyncfetch.job import DEADLINE, TAIL_RATE, Bodies, Ends, Job, JobOutcome, Preparer, TailSeen, open_sources
from asyncfetch.job.ends import Tail
from asyncfetch.testing import Answer, FaultServer, Reply, Script, Silence

FAST, SLOW = "127.0.0.1", "127.0.0.2"


@pytest.mark.parametrize(
    ("ends", "failures", "results", "too_many"),
    [
        (Ends(), 10**6, 10**6, False),
        (Ends(max_failures=3), 2, 1000, False),
        (Ends(max_failures=3), 3, 3, True),
        (Ends(max_failed_share=0.1), 49, 49, False),
        (Ends(max_failed_share=0.1), 5, 50, False),
        (Ends(max_failed_share=0.1), 6, 50, True),
        (Ends(max_failed_share=0.1, max_failures=2), 2, 10, True),
    ],
)
def test_failures_that_are_too_many(ends: Ends, failures: int, results: int, too_many: bool) -> None:
    """A number counts from the start, a share from the 50th result on."""
    assert ends.are_too_many(failures, results) is too_many


def test_a_tail_is_seen_when_few_hosts_and_little_come() -> None:
    """Over the last 30 s, not before, and not while many hosts are left or nothing is."""
    tail = Tail(30.0)
    for second in range(30):
        assert tail.look(float(second), 1000 + 10 * second, 500, ["a:80"]) is None
    seen = tail.look(30.0, 1300, 500, ["a:80", "b:80"])
    assert seen is not None
    assert (seen.hosts, seen.rate, seen.left, seen.is_worth_a_word) == (["a:80", "b:80"], 10.0, 500, False)
    assert tail.look(31.0, 1300, 500, [f"{n}:80" for n in range(6)]) is None
    assert tail.look(32.0, 1300, 500, []) is None
    assert tail.look(33.0, 1300, 0, ["a:80"]) is None
    for second in range(34, 64):
        seen = tail.look(float(second), 1300 + second // 10, 500, ["a:80"])
    assert seen is not None
    assert seen.rate < 1
    assert seen.is_worth_a_word


# --- through real sockets


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    routes: dict[str, Answer] = {"/silent": Script(Silence()), "*": Reply(200, b"x")}
    async with FaultServer(routes, addresses=(FAST, SLOW)) as running:
        yield running


async def run(server: FaultServer, folder: Path, ends: Ends, seen: list[TailSeen], *, there: int = 0) -> JobOutcome:
    """Run 20 URLs of a host that answers and 8 of one that never does; the files of some are there already."""
    urls = [server.url(f"/{n}", FAST) for n in range(20)] + [server.url("/silent", SLOW)] * 8
    (folder / "urls.txt").write_text("\n".join(urls))
    names = folder / "bodies" / f"{FAST}+{server.port}"
    with Bodies(folder / "bodies") as bodies, open_sources([str(folder / "urls.txt")]) as sources:
        names.mkdir()
        for n in range(there):
            (names / f"{n}").touch()
        async with Client() as client:
            preparer = Preparer(bodies, skip_existing=True)
            return await Job(
                client, sources, bodies=bodies, preparer=preparer, ends=ends, on_tail=seen.append
            ).run()


@pytest.mark.slow
async def test_a_slow_tail_is_cut(server: FaultServer, tmp_path: Path) -> None:
    """What was not done has no result, and the run says why it ended."""
    seen: list[TailSeen] = []
    outcome = await run(server, tmp_path, Ends(tail_rate=30, tail_time=1, deadline=20), seen)
    assert (outcome.stopped_by, outcome.total, outcome.missing, seen) == (TAIL_RATE, 20, 8, [])


@pytest.mark.slow
@pytest.mark.parametrize("there", [0, 5])
async def test_a_slow_tail_is_told_once(server: FaultServer, tmp_path: Path, there: int) -> None:
    """Without a rate that cuts it: where it is, and how much is left; what needed no fetching is none of that."""
    seen: list[TailSeen] = []
    outcome = await run(server, tmp_path, Ends(tail_time=1, deadline=3.5), seen, there=there)
    assert (outcome.stopped_by, outcome.total, outcome.missing) == (DEADLINE, 20, 8)
    [tail] = seen
    assert (tail.hosts, tail.rate, tail.left) == ([f"{SLOW}:{server.port}"], 0.0, 8)
