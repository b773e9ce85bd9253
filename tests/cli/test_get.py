"""`asyncfetch get`: what goes in, what comes out and where, and how it ends."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from asyncfetch.cli.exits import UsageProblem
from asyncfetch.cli.get import Get
from asyncfetch.testing import Close, FaultServer, Reply, Script, Send, Silence, redirect, unused_port
from asyncfetch.testing.fixtures import MakeFaultServer
from tests.cli.command import Terminal, code_of, environment, read_records, run, shell

slow = pytest.mark.slow

OK = Reply(200, b"hello", {"Content-Type": "text/plain"})
STRICTEST = ("-X", "dev", "-W", "error")
ESCAPE = re.compile(r"\x1b")


def listed(folder: Path, urls: Iterable[str], name: str = "urls.txt") -> Path:
    """Write a list of URLs to a file."""
    path = folder / name
    path.write_text("".join(f"{url}\n" for url in urls))
    return path


# --- options


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (Get(), "nothing to fetch: give URLs, files of URLs, or - for the standard input"),
        (Get(sources=("",)), "one of the sources has an empty name: is it a shell variable that was never set?"),
        (Get(sources=("x",), quiet=True, verbose=True), "-q and -v exclude each other: leave one out"),
        (
            Get(sources=("x",), as_json=True, output="-"),
            "--json writes the summary to stdout, so the records need a file: use -o FILE",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(options: Get, sentence: str) -> None:
    """Each refusal is one sentence that says what to do."""
    with pytest.raises(UsageProblem) as caught:
        options.check()
    assert str(caught.value) == sentence


def test_sources_keep_their_order() -> None:
    """Arguments come first, then the input files."""
    options = Get(sources=("a", "-"), input_file=("b",))
    options.check()
    assert options.specs == ["a", "-", "b"]


def test_records_go_where_they_were_asked_to() -> None:
    """-o names them, -P has a place for them, --json leaves no room for them on stdout."""
    assert Get(output="x.jsonl", output_dir="pages").results_name == "x.jsonl"
    assert Get(output_dir="pages").results_name == "pages/results.jsonl"
    assert Get(output="-").results_name == "-"
    assert Get(as_json=True).results_name is None


def test_quiet_is_stronger_than_any_way_to_show_progress() -> None:
    """-q shows nothing, whatever --progress says."""
    assert Get(sources=("x",), quiet=True, progress="live").how_to_show == "none"
    assert Get(sources=("x",), progress="live").how_to_show == "live"


# --- what goes in and what comes out


@slow
def test_records_go_to_stdout_and_everything_else_to_stderr(fault_server: FaultServer) -> None:
    """In a pipe, stdout is records and nothing else, one JSON line each; the summary is on stderr."""
    fault_server.route("/ok", Reply(200, b"hello", {"Content-Type": "text/plain", "ETag": '"1"'}, gzip=True))
    fault_server.route("/moved", redirect("/ok"))
    urls = [fault_server.url(path) for path in ("/ok", "/moved", "/none")]
    ran = run("get", *urls, python=STRICTEST)
    assert ran.status == 3
    first, second, third = ran.records
    assert list(first) == [
        "v", "n", "url", "ok", "status", "bytes", "wire_bytes", "content_type", "etag", "ip", "http", "reused",
        "attempts", "t", "ts",
    ]  # fmt: skip
    assert (first["bytes"], first["etag"], first["ip"]) == (5, '"1"', "127.0.0.1")
    assert (second["final_url"], second["redirects"]) == (urls[0], [urls[1]])
    assert third["error"] == {"code": "http.4xx", "message": "the server answered 404 Not Found"}
    assert "2 ok, 1 failed in " in ran.err
    assert not ESCAPE.search(ran.err)
    assert "nothing was kept" not in ran.err


@slow
def test_all_kinds_of_sources_are_one_list(fault_server: FaultServer, tmp_path: Path) -> None:
    """URLs, files, gzip, -i and stdin are numbered through, in their order."""
    fault_server.route("*", OK)
    urls = [fault_server.url(f"/{n}") for n in range(6)]
    plain = tmp_path / "plain.txt"
    plain.write_bytes(f"\ufeff# a comment\r\n\r\n{urls[1]}\r\n  {urls[2]}".encode())
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(f"{urls[5]}\n".encode()))
    more = listed(tmp_path, [urls[4]], "more.txt")
    ran = run("get", urls[0], plain, "-", "-i", more, "-i", packed, stdin=f"{urls[3]}\n")
    assert ran.status == 0
    assert [record["url"] for record in ran.records] == urls
    assert [record["n"] for record in ran.records] == [1, 2, 3, 4, 5, 6]


@slow
def test_records_and_bodies_are_kept_where_asked(fault_server: FaultServer, tmp_path: Path) -> None:
    """-P saves bodies and has the records beside them; -o alone saves records; both obey -o. stdout stays empty."""
    fault_server.route("/a.txt", OK)
    urls = [fault_server.url("/a.txt"), fault_server.url("/none")]
    saved = run("get", *urls, "-P", "pages", cwd=tmp_path)
    assert (saved.status, saved.out) == (3, b"")
    assert "records: pages/results.jsonl" in saved.err
    assert "bodies: pages (1 file)" in saved.err
    first, second = read_records(tmp_path / "pages" / "results.jsonl")
    assert (tmp_path / "pages" / first["path"]).read_bytes() == b"hello"
    assert "path" not in second
    only = run("get", *urls, "-o", "only.jsonl", cwd=tmp_path)
    assert only.out == b""
    assert len(read_records(tmp_path / "only.jsonl")) == 2
    both = run("get", urls[0], "-P", "both", "-o", "elsewhere.jsonl", cwd=tmp_path)
    assert both.status == 0
    assert [record["path"] for record in read_records(tmp_path / "elsewhere.jsonl")] == [first["path"]]
    assert not (tmp_path / "both" / "results.jsonl").exists()


@slow
def test_an_existing_results_file_is_not_touched_unless_that_is_wanted(
    fault_server: FaultServer, tmp_path: Path
) -> None:
    """It is refused before the first request; --overwrite replaces it; it can never be one of the sources."""
    fault_server.route("/", OK)
    results = tmp_path / "results.jsonl"
    results.write_text("precious\n")
    refused = run("get", fault_server.url("/"), "-o", results)
    assert refused.status == 2
    assert refused.err.startswith(f"asyncfetch: the results file '{results}' exists")
    assert "--overwrite" in refused.err
    assert results.read_text() == "precious\n"
    assert fault_server.seen.requests == 0
    urls = listed(tmp_path, [fault_server.url("/")])
    itself = run("get", urls, "-o", urls, "--overwrite")
    assert itself.status == 2
    assert "is one of the sources" in itself.err
    assert run("get", urls, "-o", results, "--overwrite").status == 0
    assert len(read_records(results)) == 1


@slow
def test_the_summary_as_json(fault_server: FaultServer, tmp_path: Path) -> None:
    """--json prints it on stdout, as one line, beside records in a file; -q leaves nothing on stderr."""
    fault_server.route("/", OK)
    ran = run("get", fault_server.url("/"), fault_server.url("/none"), "--json", "-q", "-o", tmp_path / "r.jsonl")
    assert (ran.status, ran.err) == (3, "")
    summary = json.loads(ran.out)
    assert (summary["done"], summary["ok"], summary["failed"], summary["not_done"]) == (2, 1, 1, 0)
    assert summary["errors"][0]["code"] == "http.4xx"


# --- how it ends


@slow
def test_a_list_without_urls_is_no_failure(tmp_path: Path) -> None:
    """An empty file, a file of comments and nothing on stdin: status 0, with a remark."""
    comments = tmp_path / "comments.txt"
    comments.write_text("# nothing\n\n")
    (tmp_path / "empty.txt").touch()
    ran = run("get", comments, tmp_path / "empty.txt", "-", stdin=b"")
    assert (ran.status, ran.out, ran.err) == (0, b"", "no URLs in the input: nothing was fetched\n")


@slow
def test_stopping_at_failures(fault_server: FaultServer, tmp_path: Path) -> None:
    """--fail-early stops at the first failure, --max-failures at so many; what is not done has no record."""
    urls = listed(tmp_path, [fault_server.url(f"/{n}") for n in range(50)])
    first = run("get", urls, "--fail-early", "-j", "1")
    assert first.status == 4
    assert 1 <= len(first.records) < 50
    assert "stopped by --fail-early" in first.err
    some = run("get", urls, "--max-failures", "3", "-j", "1", "-o", tmp_path / "r.jsonl")
    assert some.status == 4
    assert 3 <= len(read_records(tmp_path / "r.jsonl")) < 50
    assert "stopped by --max-failures" in some.err
    assert "not done" in some.err
    enough = run("get", urls, "--max-failures", "51")
    assert (enough.status, len(enough.records)) == (3, 50)


@slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_what_cannot_be_written_is_a_failure_of_ours(fault_server: FaultServer, tmp_path: Path) -> None:
    """A full disk: status 1, whatever the URLs did, and a sentence with path and reason, with -q too."""
    fault_server.route("/", OK)
    urls = [fault_server.url("/"), fault_server.url("/none")]
    full = run("get", *urls, "-q", "-o", "/dev/full")
    assert full.status == 1
    assert full.err == "asyncfetch: the results file '/dev/full' cannot be written: no space left on device\n"
    stdout = shell("$A get $1 > /dev/full", urls[0])
    assert stdout.status == 1
    assert "asyncfetch: the standard output cannot be written: no space left on device\n" in stdout.err
    assert "1 of these could not be recorded: fetch them again" in stdout.err
    summary = shell("$A get $1 --json -q > /dev/full", urls[0])
    assert summary.status == 1
    assert summary.err.endswith("asyncfetch: the standard output cannot be written: no space left on device\n")


@slow
def test_a_closed_pipe_is_the_end_and_no_complaint(fault_server: FaultServer, tmp_path: Path) -> None:
    """`| head -1` has its line, and the command ends with 141 and without a word; so does the JSON summary."""
    fault_server.route("*", OK)
    urls = listed(tmp_path, [fault_server.url(f"/{n}") for n in range(300)])
    ran = shell("$A get $1 -j 2 | head -1; exit ${PIPESTATUS[0]}", urls)
    assert (ran.status, ran.err) == (141, "")
    assert len(ran.out.splitlines()) == 1
    summary = shell("$A get $1 -q --json | true; exit ${PIPESTATUS[0]}", fault_server.url("/"))
    assert (summary.status, summary.err) == (141, "")


@slow
def test_the_standard_output_has_nothing_beside_it(fault_server: FaultServer, tmp_path: Path) -> None:
    """A job whose records go to stdout cannot be gone on with, even if that is a file: no job file is left."""
    fault_server.route("/", OK)
    ran = shell("$A get $1 -q -o - > records.jsonl", fault_server.url("/"), cwd=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["records.jsonl"]


@slow
def test_nobody_has_to_listen(fault_server: FaultServer) -> None:
    """Closed standard streams: without stderr it works, without stdout or stdin it says what it needs."""
    fault_server.route("/", OK)
    deaf = shell("$A get $1 2>&-", fault_server.url("/"))
    assert (deaf.status, deaf.codes) == (0, [""])
    broken = shell("{ $A get $1 $1/none; echo $? >&3; } 3>&1 2>&1 >/dev/null | true", fault_server.url("/"))
    assert broken.status == 0
    nowhere = shell("$A get $1 >&-", fault_server.url("/"))
    assert (nowhere.status, nowhere.err) == (2, "asyncfetch: the standard output is not open\n")
    nothing = shell("$A get - <&-")
    assert (nothing.status, nothing.err) == (2, "asyncfetch: the standard input is not open\n")


# --- bad input


@slow
def test_sources_that_are_no_lists(tmp_path: Path) -> None:
    """Missing, a directory, binary, packed otherwise, misspelt: one sentence, status 2, and nothing is created."""
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    (tmp_path / "binary").write_bytes(b"http://a.example/\n\x00\x01")
    (tmp_path / "wide.txt").write_bytes("http://a.example/\n".encode("utf-16"))
    (tmp_path / "cut.gz").write_bytes(b"\x1f\x8b\x08\x00")
    expected = {
        "missing.txt": "'missing.txt' does not exist",
        "example.org/list": "'example.org/list' does not exist; if it is a URL, write 'https://example.org/list'",
        ".": "'.' is a directory; name the files in it",
        "picture.png": "'picture.png' is a PNG image, not a list of URLs",
        "binary": "'binary' is a binary file, not a list of URLs: it contains NUL bytes",
        "wide.txt": "'wide.txt' is text in UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)",
        "cut.gz": "'cut.gz' ends too early: its gzip data was cut short",
    }
    for name, sentence in expected.items():
        ran = run("get", name, "-o", "results.jsonl", cwd=tmp_path)
        assert (ran.status, ran.out, ran.err) == (2, b"", f"asyncfetch: {sentence}\n")
    assert not (tmp_path / "results.jsonl").exists()


AS_NOBODY = """
import atexit, codecs, importlib, os, pkgutil
import anyio, asyncfetch
for module in pkgutil.walk_packages(asyncfetch.__path__, "asyncfetch."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
codecs.lookup("unicode_escape")  # from here on, not even Python itself may be readable
if os.geteuid() == 0:
    atexit.register(os.seteuid, 0)  # for whoever measures the coverage
    os.setegid(65534)
    os.seteuid(65534)
asyncfetch.cli.main()
"""


def run_as_nobody(*arguments: str, folder: Path) -> tuple[int, str]:
    """Run the command as somebody whom file modes keep out, also where the tests run as root."""
    command = [sys.executable, "-c", AS_NOBODY, *arguments]
    ended = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120)
    return ended.returncode, ended.stderr


@slow
def test_files_that_one_may_not_touch(tmp_path: Path) -> None:
    """An unreadable list, a directory that cannot be written, a file in its place: a sentence with the reason."""
    private = listed(tmp_path, ["http://a.example/"], "private.txt")
    private.chmod(0)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    url = "http://a.example/"
    tmp_path.chmod(0o755)
    expected = {
        ("private.txt",): "'private.txt' cannot be read: permission denied",
        (url, "-P", "locked"): "'locked' cannot be written to: permission denied",
        (url, "-P", "locked/new"): "'locked/new' cannot be used as a directory for bodies: permission denied",
        (url, "-P", "private.txt"): "'private.txt' is not a directory",
        (url, "-o", "locked/r.jsonl"): "the results file 'locked/r.jsonl' cannot be opened: permission denied",
        (
            url,
            "-o",
            "nowhere/r.jsonl",
        ): "the results file 'nowhere/r.jsonl' cannot be created: there is no such directory",
        (url, "-o", "locked"): "the results file 'locked' cannot be opened: is a directory",
    }
    for arguments, sentence in expected.items():
        status, err = run_as_nobody("get", *arguments, folder=tmp_path)
        assert (status, err) == (2, f"asyncfetch: {sentence}\n")


@slow
def test_entries_that_are_no_urls_are_records(fault_server: FaultServer, tmp_path: Path) -> None:
    """Each has `url.invalid` with file and line and what to do; the rest of the list is fetched."""
    fault_server.route("/", OK)
    bad = {
        "htp://example.org/": "the scheme 'htp' is not http or https; did you mean http://?",
        "ftp://example.org/": "the scheme 'ftp' is not http or https",
        "example.org/x": "no scheme; did you mean 'https://example.org/x'?",
        "http://example.org:port/": "'port' is not a valid port",
        "http://example.org:99999/": "'99999' is not a valid port",
        "http://[::1/": "'[::1' is not a valid IPv6 address",
        "https://": "names no host",
        "https://:443/": "names no host",
        "http://exa mple.org/": "is not a valid host name",
        "two words": "is not a URL: it has no scheme such as https://",
    }
    urls = listed(tmp_path, ["# one a line", *bad, fault_server.url("/")])
    ran = run("get", "urls.txt", "-v", cwd=tmp_path)
    assert ran.status == 3
    assert ran.codes == [*["url.invalid"] * len(bad), ""]
    for line, (record, why) in enumerate(zip(ran.records, bad.values(), strict=False), 2):
        message = record["error"]["message"]
        assert message.startswith(f"{urls.name}, line {line}: ")
        assert why in message
    assert "urls.txt, line 2: the scheme 'htp'" in ran.err


@slow
def test_servers_that_are_none(make_fault_server: MakeFaultServer) -> None:
    """Unknown, refusing, silent, no HTTP, no TLS: each has its code and a sentence."""
    server = make_fault_server(
        {
            "/ssh": Script(Send(b"SSH-2.0-OpenSSH_9.7\r\n"), Close()),
            "/silent": Script(Silence()),
            "/nothing": Script(Close()),
        }
    )
    urls = [
        "http://nonexistent.invalid/",
        f"http://127.0.0.1:{unused_port()}/",
        server.url("/silent"),
        server.url("/ssh"),
        server.url("/nothing"),
        server.url("/").replace("http:", "https:"),
    ]
    env = {"RES_OPTIONS": "timeout:1 attempts:1"}  # no network is needed, and none that is broken waited for
    ran = run("get", *urls, "--retry", "0", "--head-timeout", "0.5", "--connect-timeout", "5", env=env)
    assert ran.status == 3
    unknown, *others = ran.codes
    assert unknown.startswith("dns.") or unknown == "timeout.connect"
    assert "nonexistent.invalid" in ran.records[0]["error"]["message"] or unknown == "timeout.connect"
    assert others == ["connect.refused", "timeout.head", "protocol.malformed", "protocol.incomplete", "tls.failed"]
    messages = [record["error"]["message"] for record in ran.records[1:]]
    assert messages[0].startswith("connection refused by 127.0.0.1 port ")
    assert "SSH-2.0-OpenSSH_9.7" in messages[2]


# --- what is shown


@slow
def test_on_a_terminal_failures_and_tables_are_shown_and_nothing_is_recorded(fault_server: FaultServer) -> None:
    """Without -o and -P: failures, tables and a hint how to keep the rest; no record, and the cursor comes back."""
    fault_server.route("/ok", OK)
    with Terminal("get", fault_server.url("/ok"), fault_server.url("/none?x=\x1b[31m"), size=(120, 40)) as terminal:
        assert terminal.end() == 3
        assert "http.4xx" in terminal.text
        assert "the server answered 404 Not Found" in terminal.text
        assert "1 ok, 1 failed in " in terminal.text
        assert "nothing was kept: -o results.jsonl keeps a record of every URL" in terminal.text
        assert '"v":1' not in terminal.text
        assert b"\x1b[31m?" not in terminal.written
        assert terminal.shows_cursor


@slow
def test_the_live_view_is_for_terminals_only(fault_server: FaultServer) -> None:
    """auto and live move on a terminal; plain and none do not, nor does anything in a pipe, FORCE_COLOR or not."""
    fault_server.route("/", Reply(200, delay=0.3))
    moving = b"\x1b[?25l"
    for progress, moves in (("auto", True), ("live", True), ("plain", False), ("none", False)):
        with Terminal("get", fault_server.url("/"), "--progress", progress) as terminal:
            assert terminal.end() == 0
            assert (moving in terminal.written) is moves
    ran = run("get", fault_server.url("/"), "--progress", "live", env={"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"})
    assert not ESCAPE.search(ran.err)
    assert ran.err.startswith("no live view: this is not a terminal\n")


@slow
def test_colours_can_be_switched_off(fault_server: FaultServer) -> None:
    """--no-color and NO_COLOR take the colours away, and nothing else."""
    url = fault_server.url("/none")
    for arguments, env, colours in (((), {}, True), (("--no-color",), {}, False), ((), {"NO_COLOR": "1"}, False)):
        with Terminal("get", url, *arguments, "--progress", "none", env=env) as terminal:
            assert terminal.end() == 3
            assert (re.search(rb"\x1b\[[0-9;]*3[0-9]", terminal.written) is not None) is colours
            assert "http.4xx" in terminal.text


@slow
def test_quiet_and_verbose(fault_server: FaultServer, tmp_path: Path) -> None:
    """-v shows each failure although it is recorded; without it there are only tables; -q leaves stderr empty."""
    urls = [fault_server.url(f"/{n}") for n in range(3)]
    results = tmp_path / "r.jsonl"
    told = run("get", *urls, "-v", "-o", results)
    assert told.err.count("http.4xx  ") >= 3
    assert all(url in told.err for url in urls)
    usual = run("get", *urls, "-o", results, "--overwrite")
    assert sum(url in usual.err for url in urls) == 1  # the example in the table
    quiet = run("get", *urls, "-q", "-o", results, "--overwrite")
    assert (quiet.status, quiet.out, quiet.err) == (3, b"", "")


@slow
def test_urls_can_be_typed(fault_server: FaultServer) -> None:
    """On a terminal, - says that it waits for URLs; each is fetched when it is there, and Ctrl-D ends the list."""
    fault_server.route("/", OK)
    with Terminal("get", "-") as terminal:
        terminal.until("type URLs, one a line; Ctrl-D at the beginning of a line ends the list")
        terminal.type(f"{fault_server.url('/none')}\n")
        terminal.until("404 Not Found")
        terminal.type(f"{fault_server.url('/')}\n{chr(4)}")
        assert terminal.end() == 3
        assert "1 ok, 1 failed" in terminal.text


@slow
@pytest.mark.parametrize("progress", ["auto", "live", "plain", "none"])
def test_records_on_a_terminal_are_not_torn_up(fault_server: FaultServer, progress: str) -> None:
    """-o - on a terminal prints records, and no live view between them, even if one was asked for."""
    fault_server.route("/", Reply(200, delay=0.3))
    with Terminal("get", fault_server.url("/"), "-o", "-", "--progress", progress, size=(400, 30)) as terminal:
        assert terminal.end() == 0
        assert ("no live view: " in terminal.text) is (progress == "live")
        assert b"\x1b[?25l" not in terminal.written
        lines = [line for line in terminal.text.splitlines() if line.startswith("{")]
        assert [code_of(json.loads(line)) for line in lines] == [""]


@slow
def test_hostile_text_is_harmless_on_a_terminal(fault_server: FaultServer, tmp_path: Path) -> None:
    """Escapes, bidi marks and markup in a list and in answers are shown, and do nothing."""
    fault_server.route("/", Reply(500, reason="\x1b]0;owned\x07[bold]"))
    urls = listed(tmp_path, [f"{fault_server.url('/')}?\u202e[red]", "http://\x1b[2J/", fault_server.url("/")])
    with Terminal("get", urls, "--retry", "0", size=(200, 40)) as terminal:
        assert terminal.end() == 3
        assert b"\x1b]0;owned" not in terminal.written
        assert b"\x1b[2J/" not in terminal.written
        assert "\u202e" not in terminal.text
        assert "\\x1b" in terminal.text
