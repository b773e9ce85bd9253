"""The suite runs, and would tell if a client received something wrong.

A peer that is not installed is named as missing; that is all right here, and no reason to skip.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.benchmarks.clients.base import SAVED
from tests.benchmarks.clients.every import CLIENTS
from tests.benchmarks.clients.once import Once
from tests.benchmarks.cores import Cores
from tests.benchmarks.lab import Contender, Lab, Work
from tests.benchmarks.load import Load
from tests.benchmarks.measure import Cost, RunFailed, run_contender
from tests.benchmarks.servers import NGINX, ROOT, SMALL
from tests.benchmarks.suite import Figures, Outcome, Series
from tests.benchmarks.workloads import WORKLOADS

PATIENCE = 60.0
FETCHERS = ["library", "command", "aiohttp", "httpx", "pyreqwest", "curl", "aria2", "wrk"]

pytestmark = [
    pytest.mark.nginx,
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="no nginx binary in PATH or /usr/sbin (Debian: nginx-light)"),
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab.opened(cores=Cores.choose(), scale=0.001, disk=tmp_path) as lab:
        yield lab


def small(lab: Lab, *, path: str = "small") -> Work:
    origin = lab.nginx.http
    return Work(name=path, count=8, url=lambda n: f"{origin}/{path}?n={n}", in_flight=2, alone=True)


def program(code: str) -> Contender:
    """Make a client that runs some lines of Python, and is right when it says so."""
    load = Load(list_file="", count=1, size=0, wire_size=0)
    client = Once(key="own", title="own", argv=lambda _: [sys.executable, "-c", code], says=lambda _: "right")
    return Contender(client, load, "own")


def test_the_suite_runs(tmp_path: Path) -> None:
    """A few workloads at a tiny scale: every client has figures or is named as missing, and nothing is left."""
    names = ["one-host", "live", "large-file"]
    argv = [sys.executable, "-m", "tests.benchmarks", "--scale", "0.001", "--repeats", "1"]
    argv += ["--workloads", *names, "--json", str(tmp_path / "report.json"), "--disk", str(tmp_path)]
    run = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert [workload["name"] for workload in report["workloads"]] == names
    for workload in report["workloads"]:
        assert workload["clients"][0]["runs"], "ours is never missing"
        for client in workload["clients"]:
            assert client["client"] in run.stdout
            assert len(client["runs"]) == (not client["missing"]), client
            assert not client["missing"] or client["client"] in report["missing"]
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_everything_can_be_listed() -> None:
    """`--list` names each workload and each client."""
    argv = [sys.executable, "-m", "tests.benchmarks", "--list"]
    said = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {*WORKLOADS, *CLIENTS} <= set(said)


def test_wrong_bodies_and_statuses_are_noticed(lab: Lab) -> None:
    """No client that is here gets through with bodies that are too short, or with status 404."""
    for key in FETCHERS:
        if CLIENTS[key].missing():
            continue
        short = lab.contender(replace(small(lab), size=2 * SMALL), key)
        with pytest.raises(RunFailed, match=" 0 are right"):
            run_contender(lab, short, patience=PATIENCE)
        with pytest.raises(RunFailed, match=r" 0 are right|with status"):
            run_contender(lab, lab.contender(small(lab, path="gone"), key), patience=PATIENCE)


@pytest.mark.parametrize("key", ["command", "curl", "aria2"])
def test_a_file_that_is_missing_is_noticed(lab: Lab, tmp_path: Path, key: str) -> None:
    """Saved bodies are looked for where they should be, each of them."""
    load = replace(lab.contender(small(lab), key).load, saves=True)
    (tmp_path / "stdout").write_text(f"200 {SMALL}\n" * load.count)
    records = [{"n": n, "status": 200, "bytes": SMALL} for n in range(1, load.count + 1)]
    (tmp_path / "results.jsonl").write_text("\n".join(map(json.dumps, records)))
    saved = tmp_path / SAVED / "host"
    saved.mkdir(parents=True)
    for number in range(load.count):
        assert CLIENTS[key].received(load, tmp_path).right == number
        (saved / f"{number}").write_bytes(bytes(SMALL))
    assert CLIENTS[key].received(load, tmp_path).right == load.count


def test_a_record_twice_is_noticed(tmp_path: Path) -> None:
    """Enough records are not one for each entry."""
    (tmp_path / "results.jsonl").write_text('{"n":1,"status":200,"bytes":9}\n' * 2)
    with pytest.raises(ValueError, match="one for each"):
        CLIENTS["command"].received(Load(list_file="", count=2, size=9, wire_size=9), tmp_path)


def test_costs_are_those_of_the_client(lab: Lab) -> None:
    """CPU and memory are counted, and the memory of this program is not among it."""
    busy = "import time\nwhile time.process_time() < 0.3: pass\nx = b'x' * 60_000_000\nprint('right')"
    ballast = bytes(range(256)) * 200_000
    cost = run_contender(lab, program(busy), patience=PATIENCE).cost
    assert 0.3 <= cost.cpu < 0.6
    assert cost.cpu <= cost.wall + 0.01
    assert 60e6 < cost.peak < 80e6
    assert run_contender(lab, program("print('right')"), patience=PATIENCE).cost.peak < 20e6 < len(ballast)


@pytest.mark.parametrize(
    ("code", "why"),
    [("print('wrong')", "0 are right"), ("import sys; sys.exit('no')", "status 1: no"), ("while True: pass", "-9")],
)
def test_a_client_that_fails_is_noticed(lab: Lab, code: str, why: str) -> None:
    """One that receives something wrong, one that gives up, and one that never ends."""
    with pytest.raises(RunFailed, match=why):
        run_contender(lab, program(code), patience=0.5)


@dataclass(frozen=True)
class Turn:
    """The CPU seconds per URL that ours and the peer took in one turn."""

    our: float
    their: float


def test_ratios_are_the_median_of_the_pairs() -> None:
    """A busy minute that slows both down in one turn changes nothing."""
    turns = [Turn(1.0, 3.0), Turn(1.1, 3.3), Turn(10.0, 30.0), Turn(0.9, 2.7), Turn(1.0, 9.0)]
    ours, peer = Series(program("")), Series(program(""))
    ours.figures = [figures(turn.our) for turn in turns]
    peer.figures = [figures(turn.their) for turn in turns]
    outcome = Outcome(WORKLOADS["one-host"], [ours, peer], 0.0)
    assert outcome.ratio(peer, "cpu") == pytest.approx(3.0)
    assert outcome.ratio(peer, "rate") == pytest.approx(3.0)
    ours.start = Cost(10.0, 10.0, 0)
    assert outcome.ratio(peer, "cpu") is None, "what is shorter than its start-up tells nothing"


def figures(cpu: float) -> Figures:
    return Figures(wall=cpu, rate=1 / cpu, cpu=cpu, memory=1.0, growth=0.0)


def test_the_sorted_list_is_measured() -> None:
    """Hosts behind the lines of a slow one are served, and it says how long that took and what it needed."""
    argv = [sys.executable, "-m", "tests.benchmarks.sorted_list", "--lines", "20000"]
    run = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    alone, behind, per_line = run.stdout.splitlines()
    assert alone.startswith("the fast hosts alone: ")
    assert behind.startswith("behind 20,000 lines: ")
    assert "µs a line beyond 1.2 times" in per_line
