"""Where options come from: flags, then the environment, the file, the defaults; and what is told of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asyncfetch.cli.app import app
from asyncfetch.cli.layers import configurable, key_of
from asyncfetch.testing import FaultServer, Reply, Script, Silence, redirect
from asyncfetch.testing.fixtures import MakeFaultServer
from tests.cli.command import Run, read_records, run

pytestmark = pytest.mark.slow

HIDDEN = "hunter2"


@pytest.fixture
def server(fault_server: FaultServer) -> FaultServer:
    fault_server.route("*", Reply(200, b"hello"))
    return fault_server


def write(folder: Path, text: str, name: str = "asyncfetch.toml") -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def agents(server: FaultServer) -> list[str | None]:
    return [request.header("user-agent") for request in server.seen.log]


def settings_of(ran: Run) -> dict[str, tuple[str, str]]:
    """What `info --settings` says: value and origin by option."""
    assert (ran.status, ran.err) == (0, "")
    table = ran.out.decode().split("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in table.splitlines()]
    return {key: (value, origin) for key, value, origin in rows}


def test_flags_go_before_the_environment_before_the_file(server: FaultServer, tmp_path: Path) -> None:
    """Each layer says what the ones above it do not; an empty variable says nothing."""
    write(tmp_path, "user-agent = 'file/1'")
    other = write(tmp_path, "user-agent = 'other/1'", "other.toml")
    url, env = server.url("/"), {"ASYNCFETCH_USER_AGENT": "env/1"}
    assert run("get", url, cwd=tmp_path).status == 0
    assert run("get", url, cwd=tmp_path, env={"ASYNCFETCH_USER_AGENT": ""}).status == 0
    assert run("get", url, "-K", other, cwd=tmp_path).status == 0
    assert run("get", url, cwd=tmp_path, env={"ASYNCFETCH_CONFIG": "other.toml"}).status == 0
    assert run("get", url, cwd=tmp_path, env=env).status == 0
    assert run("show", url, "-q", cwd=tmp_path, env=env).status == 0
    assert run("get", url, "-A", "flag/1", cwd=tmp_path, env=env).status == 0
    assert agents(server) == ["file/1", "file/1", "other/1", "other/1", "env/1", "env/1", "flag/1"]


def test_every_kind_of_option_can_stand_in_both(server: FaultServer, tmp_path: Path) -> None:
    """Flags, negative flags, numbers, sizes, choices and lists, as the command line has them."""
    write(
        tmp_path,
        """
        head = true
        no-color = true
        retry = 0
        max-time = 7.5
        max-filesize = "1k"
        progress = "none"
        header = ["X-One: 1", "X-Two: a b"]
        output = "records.jsonl"
        """,
    )
    assert run("get", server.url("/"), cwd=tmp_path).status == 0
    variables = {
        "ASYNCFETCH_HEAD": "1",
        "ASYNCFETCH_NO_COLOR": "yes",
        "ASYNCFETCH_RETRY": "0",
        "ASYNCFETCH_HEADER": "X-One: 1\nX-Two: a b",
        "ASYNCFETCH_OUTPUT": "more.jsonl",
        "ASYNCFETCH_LOCATION": "off",
    }
    assert run("get", "-K", "/dev/null", server.url("/"), cwd=tmp_path, env=variables).status == 0
    for request in server.seen.log:
        assert (request.method, request.header("x-one"), request.header("x-two")) == ("HEAD", "1", "a b")
    assert len(read_records(tmp_path / "records.jsonl")) == len(read_records(tmp_path / "more.jsonl")) == 1


def test_a_list_on_the_command_line_replaces_the_one_in_the_file(server: FaultServer, tmp_path: Path) -> None:
    """What can be repeated is one option all the same."""
    write(tmp_path, "header = ['X-One: 1']")
    assert run("get", server.url("/"), "-H", "X-Two: 2", cwd=tmp_path).status == 0
    [request] = server.seen.log
    assert (request.header("x-one"), request.header("x-two")) == (None, "2")


def test_a_flag_displaces_what_it_excludes(server: FaultServer, tmp_path: Path) -> None:
    """-6 on the command line is not at odds with an ipv4 in the file, it replaces it; -v likewise a quiet."""
    write(tmp_path, "ipv4 = true\nquiet = true")
    ran = run("get", server.url("/"), "-6", "-v", cwd=tmp_path)
    assert (ran.status, ran.codes) == (3, ["dns.not_found"])


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("ASYNCFETCH_JOBS", "many", "ASYNCFETCH_JOBS: 'many' is not a whole number from 1 to 1,000,000,000"),
        ("ASYNCFETCH_HEAD", "perhaps", "ASYNCFETCH_HEAD: 'perhaps' is neither yes nor no: give 1 or 0"),
        ("ASYNCFETCH_PROGRESS", "x", "ASYNCFETCH_PROGRESS: 'x' is not one of 'auto', 'live', 'plain', 'none'"),
        ("ASYNCFETCH_HEADER", f"X-Key {HIDDEN}", "ASYNCFETCH_HEADER: that is not a header: write it as 'Name: "),
        ("ASYNCFETCH_CONFIG", "none.toml", "the configuration file 'none.toml' cannot be read: no such file"),
    ],
)
def test_what_the_environment_says_wrong_is_refused(
    tmp_path: Path, variable: str, value: str, sentence: str
) -> None:
    """One sentence that names the variable; the value of a header is not told."""
    ran = run("get", "http://a.test/", cwd=tmp_path, env={variable: value})
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, b"", 1)
    assert ran.err.startswith(f"asyncfetch: {sentence}")
    assert HIDDEN not in ran.err


def test_a_misspelt_variable_gets_a_remark(server: FaultServer, tmp_path: Path) -> None:
    """The job is done; a variable that is nothing like an option's is somebody else's."""
    env = {"ASYNCFETCH_JBOS": "3", "ASYNCFETCH_HOME_OF_THE_TEAM": "x"}
    ran = run("get", server.url("/"), cwd=tmp_path, env=env)
    assert ran.status == 0
    remark = "asyncfetch: ASYNCFETCH_JBOS is the name of no option; did you mean ASYNCFETCH_JOBS?\n"
    assert ran.err.startswith(remark)
    assert "HOME" not in ran.err
    assert run("get", "-q", server.url("/"), cwd=tmp_path, env=env).err == ""


def test_credentials_in_an_open_file_get_a_remark(server: FaultServer, tmp_path: Path) -> None:
    """They are used, and it is said that others can read them; with -q it is not."""
    write(tmp_path, f"user = 'me:{HIDDEN}'").chmod(0o644)
    ran = run("get", server.url("/"), cwd=tmp_path)
    assert ran.status == 0
    assert "asyncfetch.toml holds credentials, and other users can read it: chmod 600 asyncfetch.toml\n" in ran.err
    assert run("get", "-q", server.url("/"), cwd=tmp_path).err == ""
    assert all(request.header("authorization") for request in server.seen.log)


def test_settings_are_shown_with_their_origin(tmp_path: Path) -> None:
    """Every option stands there with its value and where that comes from; secrets do not."""
    plain = settings_of(run("info", "--settings", cwd=tmp_path))
    assert set(plain) == {key_of(option) for option in configurable(app.commands["get"])}
    assert {origin for _, origin in plain.values()} == {"default"}
    assert [plain[key][0] for key in ("jobs", "location", "no-color", "max-time")] == [
        "100",
        "on",
        "off",
        "no limit",
    ]
    write(
        tmp_path,
        f"""
        jobs = 7
        no-color = true
        header = ["X-Api-Key: {HIDDEN}", "Accept: text/html"]
        secret-header = ["X-Odd: {HIDDEN}"]
        user = "me:{HIDDEN}"
        input-file = ["http://me:{HIDDEN}@a.test/"]
        [host."*.example.org"]
        limit = 2
        headers = {{ X-Token = "{HIDDEN}", X-Plain = "1" }}
        timeouts = {{ read = 3 }}
        user = "you"
        password = "{HIDDEN}"
        """,
    )
    ran = run("info", "--settings", cwd=tmp_path, env={"ASYNCFETCH_MAX_PER_HOST": "3", "ASYNCFETCH_JOBS": ""})
    rows = settings_of(ran)
    assert rows["jobs"] == ("7", "asyncfetch.toml: jobs")
    assert rows["max-per-host"] == ("3", "ASYNCFETCH_MAX_PER_HOST")
    assert rows["no-color"] == ("on", "asyncfetch.toml: no-color")
    assert rows["header"][0] == "X-Api-Key: ***, Accept: text/html"
    assert (rows["user"][0], rows["secret-header"][0]) == ("me:***", "X-Odd: ***")
    assert rows["input-file"][0] == "http://***@a.test/"
    assert HIDDEN not in ran.out.decode()
    assert f"file: {tmp_path}/asyncfetch.toml" in ran.out.decode()
    assert ran.out.decode().split("\n\n")[2].splitlines() == [
        '[host."*.example.org"]',
        "limit = 2",
        "headers = X-Token: ***, X-Plain: 1",
        "timeouts = read 3",
        "user = you",
        "password = ***",
    ]


def test_settings_that_cannot_be_used_are_refused_there_too(tmp_path: Path) -> None:
    """`info --settings` checks like `get`, without asking for a password; `info` alone looks at no file."""
    write(tmp_path, "jobs = 'x'\nuser = 'me'")
    ran = run("info", "--settings", cwd=tmp_path)
    assert (ran.status, ran.err) == (
        2,
        "asyncfetch: asyncfetch.toml: jobs: 'x' is not a whole number from 1 to 1,000,000,000\n",
    )
    assert run("info", cwd=tmp_path).status == 0


def test_a_job_goes_on_with_its_own_options(server: FaultServer, tmp_path: Path) -> None:
    """The order of -c: flags, the job file, then the rest; secrets come from the file again, and stay out of it."""
    write(tmp_path, f"user-agent = 'file/1'\njobs = 7\nuser = 'me:{HIDDEN}'\nheader = ['X-Key: {HIDDEN}', 'A: 1']")
    (tmp_path / "urls.txt").write_text(server.url("/1\n"))
    begin = run("get", "urls.txt", "-o", "r.jsonl", cwd=tmp_path)
    assert begin.status == 0
    job = (tmp_path / "r.jsonl.job.json").read_text()
    assert HIDDEN not in job + (tmp_path / "r.jsonl").read_text() + begin.err
    assert (json.loads(job)["settings"]["options"]["jobs"], json.loads(job)["settings"]["again"]) == (
        7,
        ["-H X-Key", "-u"],
    )
    write(tmp_path, f"user-agent = 'file/2'\nuser = 'me:{HIDDEN}'\nheader = ['X-Key: {HIDDEN}', 'A: 2']")
    (tmp_path / "urls.txt").write_text(server.url("/1\n") + server.url("/2\n"))
    assert run("get", "-c", "-o", "r.jsonl", cwd=tmp_path, env={"ASYNCFETCH_USER_AGENT": "env/1"}).status == 0
    first, second = server.seen.log
    assert (second.header("user-agent"), second.header("a"), second.header("x-key")) == ("file/1", "1", HIDDEN)
    assert second.header("authorization") == first.header("authorization") is not None
    refused = run("get", "-c", "-o", "r.jsonl", "-A", "other", cwd=tmp_path)
    assert (refused.status, "was begun with another -A" in refused.err) == (2, True)


def test_a_job_goes_on_with_the_hosts_of_its_file(server: FaultServer, tmp_path: Path) -> None:
    """The tables of hosts may hold secrets: the job file keeps where they stand, and they are read again there."""
    path = write(tmp_path, "[host.'a.org']\nlimit = 1")
    (tmp_path / "urls.txt").write_text(server.url("/1\n"))
    assert run("get", "urls.txt", "-o", "r.jsonl", cwd=tmp_path).status == 0
    job = json.loads((tmp_path / "r.jsonl.job.json").read_text())
    assert job["settings"]["options"]["config"] == str(path)
    path.unlink()
    elsewhere = tmp_path / "sub"
    elsewhere.mkdir()
    refused = run("get", "-c", "-o", tmp_path / "r.jsonl", cwd=elsewhere)
    assert refused.status == 2
    assert f"the configuration file '{path}' cannot be read: no such file or directory" in refused.err
    assert "(the job was begun with it: give it, or another one, with -K)" in refused.err
    assert run("get", "-c", "-o", tmp_path / "r.jsonl", "-K", "/dev/null", cwd=elsewhere).status == 0


def test_hosts_have_what_the_file_says_of_them(make_fault_server: MakeFaultServer, tmp_path: Path) -> None:
    """Limit, headers, credentials and timeouts hold at these hosts, and nowhere else, redirects included."""
    hosts = ("127.0.0.1", "127.0.0.2")
    server = make_fault_server({"*": Reply(200, delay=0.03), "/slow": Script(Silence())}, addresses=hosts)
    server.route("/away", redirect(server.url("/there", host="127.0.0.2")))
    write(
        tmp_path,
        f"""
        head-timeout = 20
        header = ["X-All: 1"]
        retry = 0
        [host."127.0.0.1"]
        limit = 1
        headers = {{ X-Own = "1", X-Api-Key = "{HIDDEN}" }}
        timeouts = {{ head = 0.3 }}
        user = "me"
        password = "{HIDDEN}"
        """,
    )
    paths = ["/slow", "/away", *(f"/{n}" for n in range(4))]
    urls = [server.url(path) for path in paths] + [server.url(f"/{n}", host="127.0.0.2") for n in range(4)]
    ran = run("get", "-v", *urls, cwd=tmp_path)
    assert ran.codes == ["timeout.head", *[""] * 9]
    assert HIDDEN not in ran.out.decode() + ran.err
    one, two = (server.seen.by_host[f"{host}:{server.port}"] for host in hosts)
    assert one.most_at_once == 1 < two.most_at_once
    for request in server.seen.log:
        is_own = request.host.startswith("127.0.0.1:")
        names = ("x-own", "x-api-key", "authorization")
        assert [request.header(name) is not None for name in names] == [is_own] * 3
        assert request.header("x-all") == "1"


def test_the_pace_of_hosts_can_stand_there(make_fault_server: MakeFaultServer, tmp_path: Path) -> None:
    """A delay in a table of hosts parts the starts there; options about politeness come from both layers."""
    server = make_fault_server({"*": Reply(200)}, addresses=("127.0.0.1", "127.0.0.2"))
    write(tmp_path, "adapt = false\nrate = '100/s'\n[host.'127.0.0.1']\ndelay = 0.1")
    urls = [server.url(f"/{n}", host=host) for n in range(5) for host in ("127.0.0.1", "127.0.0.2")]
    ran = run("get", *urls, cwd=tmp_path, env={"ASYNCFETCH_RATE": "1000/s", "ASYNCFETCH_MAX_FAILURES": "50%"})
    assert ran.status == 0
    times = [request.time for request in server.seen.log if request.host.startswith("127.0.0.1:")]
    assert times[-1] - times[0] > 0.35
    rows = settings_of(run("info", "--settings", cwd=tmp_path, env={"ASYNCFETCH_RATE": "1000/s"}))
    assert rows["rate"] == ("1000/s", "ASYNCFETCH_RATE")
    assert rows["adapt"] == ("off", "asyncfetch.toml: adapt")
