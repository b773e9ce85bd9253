"""The options about politeness and early ends, through the real command."""

from __future__ import annotations

import asyncio
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from asyncfetch.testing import Close, FaultServer, Reply, Script, SeenRequest, unused_port
from asyncfetch.testing.fixtures import MakeFaultServer
from tests.cli.command import Terminal, read_records, run

pytestmark = pytest.mark.slow

SLOW = Reply(200, b"x", delay=0.2)


def urls(server: FaultServer, folder: Path, number: int) -> Path:
    path = folder / "urls.txt"
    path.write_text("".join(server.url(f"/{n}\n") for n in range(number)))
    return path


def test_a_deadline_ends_the_job_and_c_goes_on(fault_server: FaultServer, tmp_path: Path) -> None:
    """What was not fetched has no record, is counted, and is fetched by the next run; exit status 4."""
    fault_server.route("*", SLOW)
    results = tmp_path / "r.jsonl"
    ran = run("get", urls(fault_server, tmp_path, 60), "-o", results, "--deadline", "1")
    done = len(read_records(results))
    assert ran.status == 4
    assert 0 < done < 60
    assert f"{60 - done} not done" in ran.err
    assert "stopped by --deadline: what was not done has no record" in ran.err
    assert "go on with: asyncfetch get -c -o" in ran.err
    fault_server.route("*", Reply())
    again = run("get", "-c", "-o", results)
    assert again.status == 0
    assert sorted(record["n"] for record in read_records(results)) == list(range(1, 61))


@pytest.mark.parametrize(
    ("option", "status", "stopped"),
    [("20%", 4, True), ("40%", 3, False), ("30", 4, True), ("99%", 3, False)],
)
def test_too_many_failures_end_the_job(
    fault_server: FaultServer, tmp_path: Path, option: str, status: int, stopped: bool
) -> None:
    """A number, or a share of at least 50 results."""

    def answer(request: SeenRequest) -> Reply:
        return Reply(404) if int(request.path[1:]) % 3 == 0 else Reply()

    fault_server.route("*", answer)
    ran = run("get", urls(fault_server, tmp_path, 200), "-o", "-", "--max-failures", option)
    assert ran.status == status
    assert ("stopped by --max-failures" in ran.err) is stopped
    assert (len(ran.records) < 200) is stopped


def test_rate_and_delay_hold(fault_server: FaultServer, tmp_path: Path) -> None:
    """Requests start that far apart, and go on so after -c."""
    fault_server.route("*", Reply())
    listed = urls(fault_server, tmp_path, 8)
    assert run("get", listed, "-o", "-", "--rate", "20/s", "--no-adapt").status == 0
    times = [request.time for request in fault_server.seen.log]
    assert times[-1] - times[0] >= 7 / 20 - 0.05
    results = tmp_path / "r.jsonl"
    assert run("get", listed, "-o", results, "--delay", "0.1", "--deadline", "0.4").status == 4
    assert run("get", "-c", "-o", results).status == 0
    times = [request.time for request in fault_server.seen.log[8:]]
    gaps = sorted(after - before for before, after in pairwise(times))
    assert gaps[1] > 0.08  # between the two runs nobody waits


def test_a_job_remembers_how_polite_it_is(fault_server: FaultServer, tmp_path: Path) -> None:
    """But not when to stop, for that is of one run; what is given with -c holds from then on."""
    fault_server.route("*", SLOW)
    results, job = tmp_path / "r.jsonl", tmp_path / "r.jsonl.job.json"
    given = {"rate": 9, "delay": 0.01, "global-rate": 8, "limit-rate": "1M", "max-wait": 7, "max-per-host": 1}
    options = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    ends = ["--deadline", "0.5", "--max-failures", "5%", "--tail-rate", "1"]
    listed = urls(fault_server, tmp_path, 12)
    assert run("get", listed, "-o", results, "--no-adapt", *options, *ends).status == 4
    kept = json.loads(job.read_bytes())["settings"]["options"]
    remembered = {name: kept[name.replace("-", "_")] for name in given}
    assert remembered == given | {"limit-rate": 1 << 20}
    assert kept["adapt"] is False
    assert not {"deadline", "max_failures", "tail_rate"} & set(kept)
    changed = run("get", "-c", "-o", results, "--robots")
    assert changed.status == 2
    assert "the job was begun with another --robots: leave that out to go on" in changed.err
    again = ["--rate", "1000", "--global-rate", "1000", "--max-per-host", "12"]
    assert run("get", "-c", "-o", results, *again).status == 0
    assert fault_server.seen.most_at_once > 1
    assert json.loads(job.read_bytes())["settings"]["options"]["rate"] == 1000


def test_a_slow_line_for_one_host(make_fault_server: MakeFaultServer, tmp_path: Path) -> None:
    """A limit-rate in a host's table holds there, and nowhere else."""
    server = make_fault_server({"*": Reply(200, b"x" * 100_000)}, addresses=("127.0.0.1", "127.0.0.2"))
    (tmp_path / "asyncfetch.toml").write_text('[host."127.0.0.2"]\nlimit-rate = "50k"\n')
    ran = run("get", server.url("/", "127.0.0.1"), server.url("/", "127.0.0.2"), "-o", "-", cwd=tmp_path)
    free, slow = (record["t"]["total"] for record in ran.records)
    assert slow > 1.0
    assert slow > free + 0.5


def test_a_slow_line_for_all_bodies(fault_server: FaultServer) -> None:
    """Bytes a second, over everything."""
    fault_server.route("/large", Reply(200, b"x" * 300_000))
    ran = run("get", fault_server.url("/large"), "-o", "-", "--limit-rate", "300k/s")
    assert ran.status == 0
    assert ran.records[0]["t"]["total"] > 0.6


def test_a_dead_host_is_given_up_and_said_so(tmp_path: Path) -> None:
    """Its records say why, the summary counts them; nobody waits for each of them."""
    dead = tmp_path / "dead.txt"
    port = unused_port()
    dead.write_text("".join(f"http://127.0.0.1:{port}/{n}\n" for n in range(2000)))
    ran = run("get", dead, "-o", "-")
    assert ran.status == 3
    assert len(ran.records) == 2000
    assert ran.codes.count("host.unavailable") > 1990
    message = ran.records[-1]["error"]["message"]
    assert message.startswith("the host was given up after 8 failures in a row: connection refused")


def test_a_host_that_closes_every_connection_sees_a_handful(fault_server: FaultServer, tmp_path: Path) -> None:
    """20,000 URLs there are 20,000 records, each once and nearly all without a connection."""
    fault_server.route("*", Script(Close()))
    ran = run("get", urls(fault_server, tmp_path, 20_000), "-o", tmp_path / "r.jsonl", "-q")
    assert ran.status == 3
    records = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert sorted(record["n"] for record in records) == list(range(1, 20_001))
    unsent = [record for record in records if record["error"]["code"] == "host.unavailable"]
    assert len(unsent) > 19_980
    assert {record["attempts"] for record in unsent} <= {0, 1, 2, 3}
    assert len(fault_server.seen.log) < 20


class Hosts:
    """One host asks for time, one takes two requests at once, the others answer."""

    def __init__(self) -> None:
        self._busy = 0

    async def __call__(self, request: SeenRequest) -> Reply:
        if request.host.startswith("127.0.0.2"):
            return Reply(429, headers={"Retry-After": "50"})
        if not request.host.startswith("127.0.0.3"):
            return Reply(200, b"x", delay=0.05)
        if self._busy >= 2:
            return Reply(429)
        self._busy += 1
        try:
            await asyncio.sleep(0.1)
        finally:
            self._busy -= 1
        return Reply(200, b"x")


def test_the_live_view_says_why_each_host_waits(make_fault_server: MakeFaultServer, tmp_path: Path) -> None:
    """Pauses, limits, broken hosts with their next try, and delays; the time left is that of the slowest."""
    addresses = [f"127.0.0.{number}" for number in range(1, 5)]
    server = make_fault_server({"*": Hosts()}, addresses=addresses)
    (tmp_path / "asyncfetch.toml").write_text('[host."127.0.0.4"]\ndelay = 20\n')
    dead = f"http://127.0.0.5:{unused_port('127.0.0.5')}"
    listed = tmp_path / "urls.txt"
    lines = [url for n in range(300) for url in (*(server.url(f"/{n}", host) for host in addresses), f"{dead}/{n}")]
    listed.write_text("\n".join(lines[:1200]))
    wanted = [
        r"127\.0\.0\.2\S* .* waiting [45][0-9] s: Retry-After",
        r"127\.0\.0\.3\S* .* limit [1-4] of 6: 429s",
        r"127\.0\.0\.4\S* .* every 20 s: delay",
        r"127\.0\.0\.5\S* .*  (broken: )?connection refused, next try in [1-4] s",
        r"about 1 h [0-9]+ m left",
    ]
    seen = set[str]()

    def has_all(text: str) -> bool:
        seen.update(pattern for pattern in wanted if re.search(pattern, text))
        return len(seen) == len(wanted)

    with Terminal("get", listed, "-o", tmp_path / "r.jsonl", size=(130, 24), cwd=tmp_path) as terminal:
        terminal.until(has_all)
        terminal.type(chr(3))  # a second one could come when Python has given its handlers back already
        assert terminal.end() == 130


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rate", "0"], "'0' is not a rate: give a number a second, such as 5, 0.5/s or 30/m"),
        (["--rate", "fast"], "'fast' is not a rate"),
        (["--global-rate", "-1"], "'-1' is not a rate"),
        (["--tail-rate", "1/d"], "'1/d' is not a rate"),
        (["--delay", "-1"], "'-1' is not a time: give seconds, 0 or more, such as 1 or 0.5"),
        (["--limit-rate", "0"], "a speed of 0 would never end"),
        (["--limit-rate", "x"], "'x' is not a size"),
        (["--max-failures", "100%"], "'100%' is not a share: give a percentage below 100, such as 5%"),
        (["--max-failures", "x%"], "'x%' is not a share"),
        (["--max-failures", "0"], "'0' is not a whole number"),
        (["--deadline", "0"], "'0' is not a time"),
        (["--max-wait", "soon"], "'soon' is not a time"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(arguments: list[str], sentence: str) -> None:
    """Before anything is fetched; the option is named."""
    ran = run("get", "http://127.0.0.1:9/", *arguments)
    assert ran.status == 2
    assert arguments[0] in ran.err
    assert sentence in ran.err
    assert ran.err.count("\n") == 1
