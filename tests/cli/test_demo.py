"""`asyncfetch demo`: the real command against a small internet of our own; it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import asyncfetch
from asyncfetch.cli.demo import _close
from asyncfetch.cli.demo_hosts import make_hosts, open_servers
from tests.cli.command import AT_MOST, Started, Terminal, read_records, run, shell

slow = pytest.mark.slow


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory for temporary files, which has to be empty again at the end."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    yield folder
    assert not list(folder.iterdir())


def processes_of(session_of: int) -> list[str]:
    """The demo's processes that still run: the servers, or the command, of the demo with this number."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_text().replace("\0", " ")
            parent = (path / "stat").read_text().rpartition(") ")[2].split()[1]
        except OSError:
            continue
        if parent == str(session_of) and "asyncfetch" in command:
            found.append(command)
    return found


# --- the hosts


def test_there_are_hosts_of_every_temper() -> None:
    """More than 40 of them, some thousand URLs, and as many more as the demo takes longer."""
    hosts = make_hosts(12, {})
    assert len({host.name for host in hosts}) == len(hosts) >= 40
    assert {host.name.partition("-")[0] for host in hosts} >= {
        "fast", "slow", "flaky", "busy", "moved", "gzip", "large", "dead", "mute", "gone", "odd",
    }  # fmt: skip
    urls = sum(len(host.paths) for host in hosts)
    assert 3_000 < urls < 8_000
    assert sum(len(host.paths) for host in make_hosts(1, {})) < 500
    assert sum(len(host.paths) for host in make_hosts(60, {})) < 30_000


@slow
async def test_the_hosts_keep_what_their_names_promise() -> None:
    """Each answers as it should: asked by the library, without the command."""
    places: dict[str, str] = {}
    hosts = {host.name: host for host in make_hosts(6, places)}
    async with AsyncExitStack() as stack:
        await open_servers(list(hosts.values()), places, stack)
        port = next(iter(places.values())).rpartition(":")[2]
        urls = [
            f"http://{name}:{port}{path}"
            for name, most in {
                "fast-1.test": 3, "gzip-1.test": 2, "flaky-1.test": 8, "moved-1.test": 9, "busy-1.test": 20,
                "gone-1.test": 4, "dead-1.test": 1, "odd-1.test": 3, "mute-1.test": 1,
            }.items()
            for path in hosts[name].paths[:most]
        ]  # fmt: skip
        overrides = {f"{name}:{port}": place.rpartition(":")[0] for name, place in places.items()}
        async with asyncfetch.Client(
            network=asyncfetch.Network(overrides=overrides),
            timeouts=asyncfetch.Timeouts(head=0.5),
            retry=asyncfetch.Retry(backoff=0.0),
        ) as client:
            results = [result async for result in client.fetch_many(urls)]
    codes: dict[str, set[str]] = {}
    for result in results:
        codes.setdefault(result.url.split("/")[2].partition("-")[0], set()).add(
            result.error.code if result.error else ""
        )
    assert codes == {
        "fast": {""},
        "gzip": {""},
        "flaky": {"", "http.5xx"},
        "moved": {"", "redirect.too_many"},
        "busy": {""},
        "gone": {"", "http.4xx"},
        "dead": {"connect.refused"},
        "odd": {"protocol.malformed", "body.decoding"},
        "mute": {"timeout.head"},
    }
    assert client.stats.total.retries > 3


async def test_one_loopback_address_is_enough() -> None:
    """Where the system has only 127.0.0.1, each host has a port of its own there, and redirects find it."""
    places: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        await open_servers(make_hosts(1, places), places, stack, network="192.0.2")  # nobody's (RFC 5737)
        assert {place.rpartition(":")[0] for place in places.values()} == {"127.0.0.1"}
        assert len(set(places.values())) == len(places)
        overrides = {f"{n}:{place.rpartition(':')[2]}": "127.0.0.1" for n, place in places.items()}
        async with asyncfetch.Client(network=asyncfetch.Network(overrides=overrides)) as client:
            response = await client.get(f"http://moved-1.test:{places['moved-1.test'].rpartition(':')[2]}/old/1")
            assert response.status_code == 200
            assert response.url.startswith("http://fast-1.test:")


# --- the demo


@slow
def test_it_shows_everything_and_leaves_nothing(elsewhere: Path) -> None:
    """Without a terminal: an introduction, the real command's tables, a record, what to type next; status 0."""
    ran = run("demo", "--seconds", "2", env={"TMPDIR": str(elsewhere)})
    assert (ran.status, ran.out) == (0, b"")
    assert "\x1b" not in ran.err
    introduced = re.search(r"^([\d,]+) URLs on (\d+) hosts, all of them on this machine", ran.err)
    assert introduced is not None
    assert int(introduced[2]) >= 40
    assert "\n    asyncfetch get urls.txt -P fetched --head-timeout 0.5\n" in ran.err
    for code in ("host.unavailable", "http.4xx", "http.5xx", "timeout.head", "protocol.malformed", "url.invalid"):
        assert f"\n{code} " in ran.err
    assert "exit status 3" in ran.err
    assert f"It left a record for each of the {introduced[1]} URLs" in ran.err
    assert '\n    {"v":1,' in ran.err
    assert "asyncfetch demo --keep DIR" in ran.err
    assert ran.err.endswith("    asyncfetch get --help\n")


@slow
def test_what_is_kept_is_what_was_said(tmp_path: Path, elsewhere: Path) -> None:
    """--keep leaves list, records and bodies in a new directory, and names them; one with content is refused.

    Options in the environment are about real lists: with these no host of the demo could be reached.
    """
    settings = {"TMPDIR": str(elsewhere), "ASYNCFETCH_PUBLIC_ONLY": "1", "ASYNCFETCH_CONFIG": "not-there.toml"}
    ran = run("demo", "--seconds", "1", "--keep", "new/kept", cwd=tmp_path, env=settings)
    assert ran.status == 0, ran.err
    kept = tmp_path / "new" / "kept"
    urls = [line for line in (kept / "urls.txt").read_text().splitlines() if line and not line.startswith("#")]
    records = read_records(kept / "fetched" / "results.jsonl")
    assert [record["url"] for record in records] == urls
    bodies = [record for record in records if record["ok"]]
    assert all((kept / "fetched" / record["path"]).stat().st_size == record["bytes"] for record in bodies)
    for path in (kept / "urls.txt", kept / "fetched" / "results.jsonl"):
        assert str(path) in ran.err
    saved = re.findall(r"([\d,]+) files", ran.err)
    assert saved == [f"{len(bodies):,}"] * 2
    again = run("demo", "--keep", "new/kept", cwd=tmp_path)
    assert (again.status, again.err.count("\n")) == (2, 1)
    assert "--keep 'new/kept' is not empty: name a directory that does not exist yet" in again.err
    in_the_way = run("demo", "--keep", "new/kept/urls.txt", cwd=tmp_path)
    assert (in_the_way.status, in_the_way.err) == (
        2,
        "asyncfetch: --keep 'new/kept/urls.txt' cannot be used: file exists\n",
    )


@slow
def test_on_a_terminal_it_moves_and_ctrl_c_ends_all_of_it(elsewhere: Path) -> None:
    """The real thing has the terminal: the live view, Ctrl-C from the keys, and again; nothing stays behind."""
    with Terminal("demo", size=(100, 40), env={"TMPDIR": str(elsewhere)}) as terminal:
        terminal.until(lambda text: " in flight · " in text and "Retry-After" in text)
        assert len(processes_of(terminal.process.pid)) == 2
        terminal.type(chr(3))
        terminal.until("Ctrl-C again leaves at once")
        terminal.type(chr(3))
        assert terminal.end() == 130
        assert "stopped by SIGINT" in terminal.text
        assert "its servers are gone, so nothing can be gone on with" in terminal.text
        assert terminal.shows_cursor
        assert not processes_of(terminal.process.pid)


@slow
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_passed_on_where_there_is_no_terminal(
    elsewhere: Path, signum: signal.Signals, status: int
) -> None:
    """kill reaches only the demo itself: it hands the signal on, waits, cleans up, and has its status."""
    with Started("demo", env={"TMPDIR": str(elsewhere)}) as command:
        while not any(path.stat().st_size for path in elsewhere.rglob("results.jsonl")):
            time.sleep(0.02)
        command.send(signum)
        while not command.read_line().startswith(f"{signum.name}: "):
            pass
        command.send(signum)
        ran = command.wait()
        assert not processes_of(command.pid)
    assert ran.status == status
    assert f"stopped by {signum.name}" in ran.err
    assert "The demo was interrupted" in ran.err


@slow
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_before_the_command_runs(elsewhere: Path, signum: signal.Signals, status: int) -> None:
    """While the servers start: without a word, and without a trace."""
    with Started("demo", env={"TMPDIR": str(elsewhere)}) as command:
        while not processes_of(command.pid):
            time.sleep(0.005)
        command.send(signum)
        ran = command.wait()
        assert not processes_of(command.pid)
    assert (ran.status, ran.err) == (status, "")


@slow
def test_servers_do_not_outlive_a_demo_that_was_killed(tmp_path: Path) -> None:
    """Whatever ends the demo, the servers see their stdin end."""
    with Started("demo", env={"TMPDIR": str(tmp_path)}) as command:
        while not any("urls.txt" in line for line in processes_of(command.pid)):
            time.sleep(0.02)
        servers, fetching = sorted(_children(command.pid), key=lambda pid: "urls.txt" in _command_of(pid))
        command.send(signal.SIGKILL)
        deadline = time.monotonic() + AT_MOST
        while Path(f"/proc/{servers}").exists() and "demo_hosts" in _command_of(servers):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(fetching, signal.SIGKILL)
        command.wait()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@slow
def test_servers_that_cannot_start_are_told(elsewhere: Path) -> None:
    """Without servers there is no demo: status 2, the reason, and that this was it."""
    ran = shell("export TMPDIR=$1; ulimit -n 30; $A demo", elsewhere)
    assert ran.status == 2
    assert ran.err == (
        "asyncfetch: this machine does not let it go on: too many open files\n"
        "asyncfetch: the demo's servers could not start on this machine's loopback addresses\n"
    )


@slow
def test_a_command_that_goes_wrong_is_told(elsewhere: Path) -> None:
    """Should the command end otherwise than it has to, the demo says so, and its status is 1."""
    with Started("demo", env={"TMPDIR": str(elsewhere)}) as command:
        while not any("urls.txt" in line for line in processes_of(command.pid)):
            time.sleep(0.02)
        [fetching] = [pid for pid in _children(command.pid) if "urls.txt" in _command_of(pid)]
        os.kill(fetching, signal.SIGKILL)
        ran = command.wait()
    assert ran.status == 1
    assert "asyncfetch: the demo did not go as intended: exit status -9, 0 records of " in ran.err


def test_servers_that_do_not_close_are_killed() -> None:
    """The demo does not wait for ever."""
    with subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE) as servers:
        _close(servers, within=0.05)
    assert servers.returncode == -signal.SIGKILL
