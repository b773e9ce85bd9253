"""`asyncfetch plan`: what a list would be to fetch, with the real command."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from asyncfetch.testing import FaultServer, Reply
from tests.cli.command import Started, Terminal, run, shell

pytestmark = pytest.mark.slow


@pytest.fixture
def skewed(tmp_path: Path) -> Path:
    """A list in which one host has nine of ten URLs."""
    path = tmp_path / "urls.txt"
    big = [f"https://big.example/{n}" for n in range(890)] + ["https://big.example/1#again"] * 10
    small = [f"http://h{n % 33}.example/{n}" for n in range(100)]
    path.write_text(
        "\n".join(["# a comment", *big, *small, "nonsense", "htp://x/", "no URL", "\x1b[31mhttp://x/"]) + "\n"
    )
    return path


def test_a_skewed_list(skewed: Path) -> None:
    """Counts, the host that decides with its share and time, sizes, reasons, and what is assumed."""
    ran = run("plan", skewed, "--max-per-host", "2", "-j", "50")
    assert (ran.status, ran.err) == (0, "")
    out = ran.out.decode()
    lines = out.splitlines()
    assert lines[0] == "1,004 entries: 1,000 URLs on 34 hosts, 4 invalid, 10 duplicates"
    assert lines[3].split()[:3] == ["big.example", "900", "90"]
    assert lines[3].endswith("3 m 45 s")
    assert "\nand 14 more hosts\n" in out
    assert "\n2 to 9             33         100   10 %  " in out
    assert "\n100 to 999          1         900   90 %  " in out
    assert "      2  '...' is not a URL: it has no scheme such as https://\n" in out
    assert f"first: {skewed}, line 1002" in out
    assert lines[-2] == "least time: 3 m 45 s, decided by big.example with 900 URLs"
    assert lines[-1] == (
        "50 at once (-j), 2 to one host (--max-per-host); assumed: 0.5 s a request (--seconds-per-request), no "
        "failures, no pauses"
    )
    assert "\x1b" not in out


def test_for_programs(skewed: Path) -> None:
    """--json has the same, in numbers."""
    ran = run("plan", skewed, "--json", "--seconds-per-request", "2", "--dedupe")
    plan = json.loads(ran.out)
    assert (plan["entries"], plan["requests"], plan["duplicates"], plan["left_out"]) == (1004, 990, 0, 10)
    assert (plan["host_count"], plan["more_hosts"], len(plan["hosts"])) == (34, 14, 20)
    assert plan["hosts"][0] == {
        "host": "big.example:443", "requests": 890, "share": round(890 / 990, 6), "least_seconds": 298.0,
    }  # fmt: skip
    assert plan["sizes"] == [
        {"least": 2, "hosts": 33, "requests": 100},
        {"least": 100, "hosts": 1, "requests": 890},
    ]
    assert (plan["invalid"][0]["count"], plan["invalid"][0]["example"]) == (2, f"{skewed}, line 1002")
    assert (plan["least_seconds"], plan["decided_by"]) == (298.0, "big.example:443")
    assert plan["assumed"] == {"seconds_per_request": 2.0, "jobs": 100, "max_per_host": 6}


def test_tables_and_stdin(tmp_path: Path) -> None:
    """It reads whatever get reads."""
    rows = "url,id\nhttp://a/,1\n,2\n"
    plan = json.loads(run("plan", "-", "--input-format", "csv", "--json", stdin=rows).out)
    assert (plan["requests"], plan["decided_by"]) == (1, "jobs")
    assert plan["invalid"] == [{"reason": "the row has no URL", "count": 1, "example": "standard input, line 3"}]


def test_nothing_is_fetched_but_sitemaps(fault_server: FaultServer) -> None:
    """It says so."""
    fault_server.route(
        "/s.xml", Reply(200, f"<urlset><url><loc>{fault_server.url('/1')}</loc></url></urlset>".encode())
    )
    ran = run("plan", fault_server.url("/2"), "--sitemap", fault_server.url("/s.xml"))
    assert (ran.status, ran.err) == (0, "asyncfetch: fetched 1 sitemap, and nothing else\n")
    assert ran.out.decode().startswith("2 entries: 2 URLs on 1 host\n")
    assert fault_server.seen.by_path == {"/s.xml": 1}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "nothing to look at: give URLs, files of URLs, or - for the standard input"),
        ([""], "one of the sources has an empty name: is it a shell variable that was never set?"),
        (["nope.txt"], "'nope.txt' does not exist"),
        (
            ["http://a/", "--seconds-per-request", "0"],
            "Invalid value for '--seconds-per-request': '0' is not a time",
        ),
    ],
)
def test_refusals(arguments: list[str], sentence: str) -> None:
    """Each is one sentence, with exit status 2."""
    ran = run("plan", *arguments)
    assert (ran.status, ran.out) == (2, b"")
    assert ran.err.startswith(f"asyncfetch: {sentence}")
    assert ran.err.count("\n") == 1


def test_an_empty_list() -> None:
    """It is no failure."""
    ran = run("plan", "/dev/null")
    assert (ran.status, ran.out, ran.err) == (
        0,
        b"",
        "asyncfetch: no URLs in the input: there is nothing to plan\n",
    )
    assert json.loads(run("plan", "/dev/null", "--json").out)["least_seconds"] == 0


def test_a_source_that_breaks_off(tmp_path: Path) -> None:
    """What came before is shown; the exit status and a sentence tell that it is a part."""
    path = tmp_path / "urls.gz"
    ran = shell('(seq -f "http://a/%g" 100000 | gzip | head -c 100000) > "$1"; $A plan "$1"', path)
    assert ran.status == 1
    assert (
        ran.err
        == f"asyncfetch: '{path}' ends too early: its gzip data was cut short: this is the part before that\n"
    )
    assert "URLs on 1 host" in ran.out.decode()


def test_ends_of_the_output(skewed: Path) -> None:
    """A reader that has gone is 141 and silence; a full disk is 1 and a sentence; so is a closed stdout."""
    gone = shell('$A plan "$1" | true; exit ${PIPESTATUS[0]}', skewed)
    assert (gone.status, gone.err) == (141, "")
    full = shell('$A plan "$1" > /dev/full', skewed)
    assert (full.status, "the standard output cannot be written: no space left" in full.err) == (1, True)
    closed = shell('$A plan "$1" >&-', skewed)
    assert (closed.status, closed.err) == (1, "asyncfetch: the standard output is not open\n")


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    """While it waits for a list, a signal ends it silently."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with Started("plan", fifo) as started, fifo.open("wb") as writer:  # opens when it reads
        writer.write(b"http://a/\n")
        writer.flush()
        started.send(signal.SIGINT)
        ran = started.wait()
    assert (ran.status, ran.out, ran.err) == (130, b"", "")


def test_on_a_terminal(skewed: Path) -> None:
    """It fits the terminal, and NO_COLOR takes the colours away."""
    with Terminal("plan", skewed, size=(60, 60)) as terminal:
        assert terminal.end() == 0
        assert "1,000 URLs" in terminal.text
        assert b"\x1b[" in terminal.written
        table = [line for line in terminal.text.splitlines() if "example" in line]
        assert all(len(line) <= 60 for line in table)
    with Terminal("plan", skewed, env={"NO_COLOR": "1"}) as terminal:
        assert terminal.end() == 0
        assert b"\x1b[3" not in terminal.written


def test_hosts_with_settings_of_their_own(skewed: Path, tmp_path: Path) -> None:
    """What the configuration says of a host counts: a slow one decides though it has few URLs."""
    config = tmp_path / "asyncfetch.toml"
    config.write_text('[host."h1.example"]\nrate = 0.01\n')
    ran = run("plan", skewed, "--config", config)
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.decode().splitlines()
    assert lines[3].startswith("h1.example:80")
    assert lines[-2] == "least time: 3 m 20 s, decided by h1.example:80 with 3 URLs"
    assert "(--max-per-host), for some hosts what the configuration says; assumed: " in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "decided", "limits"),
    [
        (["--rate", "30/m"], "30 m, decided by big.example with 900 URLs", "30/m to one host (--rate)"),
        (
            ["--delay", "4", "--rate", "5"],
            "1 h 0 m, decided by big.example with 900 URLs",
            "5/s to one host (--rate), 4 s apart at one host (--delay)",
        ),
        (["--global-rate", "2.5"], "6 m 40 s, decided by the rate over all hosts", "2.5/s in all (--global-rate)"),
    ],
)
def test_rates_and_delays(skewed: Path, arguments: list[str], decided: str, limits: str) -> None:
    """They count like the requests at once, and are named among what the time is computed from."""
    ran = run("plan", skewed, *arguments)
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.decode().splitlines()
    assert lines[-2] == f"least time: {decided}"
    assert f"6 to one host (--max-per-host), {limits}; assumed: " in lines[-1]


def test_rates_in_the_configuration(skewed: Path, tmp_path: Path) -> None:
    """What stands there for all hosts counts, and for one host what stands there for it."""
    config = tmp_path / "asyncfetch.toml"
    config.write_text('rate = "1/h"\ndelay = 1\n[host."big.example"]\nrate = 1000\ndelay = 0\nlimit = 90\n')
    plan = json.loads(run("plan", skewed, "--config", config, "--json", "--global-rate", "7/h").out)
    hosts = {host["host"]: host["least_seconds"] for host in plan["hosts"]}
    assert hosts["h1.example:80"] == 2 * 3600 + 0.5
    assert "big.example:443" not in hosts, "it takes 5 s, and the others hours"
    assert (plan["decided_by"], plan["least_seconds"]) == ("global-rate", round(999 * 3600 / 7 + 0.5, 3))
    assert plan["limits"] == [
        "1/h to one host (--rate)",
        "1 s apart at one host (--delay)",
        "7/h in all (--global-rate)",
        "for some hosts what the configuration says",
    ]
