"""Every kind of list with the real command: what is recorded, what is refused, and how it goes on."""

from __future__ import annotations

import gzip
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from asyncfetch.cli.inputs import InputOptions
from asyncfetch.testing import FaultServer, Pause, Reply, Script, Silence
from asyncfetch.testing.fixtures import MakeFaultServer
from tests.cli.command import Started, read_records, run, shell
from tests.job.test_packing import zstd

pytestmark = pytest.mark.slow

OK = Reply(200, b"hello")


def code_and_message(record: dict[str, Any]) -> tuple[str, str]:
    return record["error"]["code"], record["error"]["message"]


def test_a_table(fault_server: FaultServer, tmp_path: Path) -> None:
    """Ids come back after `n`; a bad row is a record that names file and line, and the rest is fetched."""
    fault_server.route("*", OK)
    path = tmp_path / "list.csv.gz"
    rows = f'id,link\nx-1,{fault_server.url("/1")}\nx-2,\n"x,3",{fault_server.url("/3")}\nx-4,http://a/,b\n'
    path.write_bytes(gzip.compress(rows.encode()))
    ran = run("get", path, "--url-field", "link")
    assert ran.status == 3
    assert [(r["n"], r.get("id"), r["ok"]) for r in ran.records] == [
        (1, "x-1", True),
        (2, "x-2", False),
        (3, "x,3", True),
        (4, None, False),
    ]
    assert list(ran.records[0])[:4] == ["v", "n", "id", "url"]
    assert code_and_message(ran.records[1]) == ("url.invalid", f"{path}, line 3: the row has no URL")
    assert code_and_message(ran.records[3])[1].startswith(f"{path}, line 5: the row has 3 cells, the header 2")


def test_json_lines(fault_server: FaultServer) -> None:
    """What a row says of its request is sent and kept to: headers and time; a bad one brings nobody down."""
    fault_server.route("/1", OK)
    fault_server.route("/slow", Script(Pause(5), OK))
    rows = [
        {"url": fault_server.url("/1"), "id": 7, "headers": {"X-Row": "seven", "User-Agent": None}},
        {"url": fault_server.url("/slow"), "max_time": 0.2},
        {"url": fault_server.url("/1"), "headers": {"Content-Length": "5"}},
        {"url": fault_server.url("/1"), "headers": {"X": "a\nb"}},
        {"url": 1},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    ran = run("get", "-", "--input-format", "jsonl", "--retry", "0", stdin=zstd.compress(lines.encode()))
    first, second, third, fourth, fifth = ran.records
    assert (first["id"], first["ok"]) == (7, True)
    assert second["error"]["code"] == "timeout.total"
    assert [code_and_message(record)[0] for record in (third, fourth, fifth)] == ["url.invalid"] * 3
    assert code_and_message(third)[1].startswith("standard input, line 3: ")
    assert code_and_message(fifth) == ("url.invalid", "standard input, line 5: the URL in 'url' is not text")
    [sent] = [dict(seen.headers) for seen in fault_server.seen.log if seen.path == "/1"]
    assert (sent["X-Row"], "User-Agent" in sent) == ("seven", False)


def test_the_time_of_a_row_and_timeouts_of_a_host(fault_server: FaultServer, tmp_path: Path) -> None:
    """A row's max_time is the total; what the configuration says of its host is kept to as well."""
    fault_server.route("/slow", Script(Pause(5), OK))
    config = tmp_path / "asyncfetch.toml"
    config.write_text('[host."127.0.0.1"]\ntimeouts = { head = 0.2, total = 60 }\n')
    rows = [{"url": fault_server.url("/slow"), "max_time": seconds} for seconds in (0.1, 20)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    ran = run("get", "-", "--input-format", "jsonl", "--retry", "0", "-K", config, stdin=lines)
    assert ran.codes == ["timeout.total", "timeout.head"]


def test_a_sitemap(fault_server: FaultServer) -> None:
    """It is fetched with the user's own headers, and what it names is one list with everything else."""
    page = fault_server.url("/page")
    fault_server.route("/page", OK)
    fault_server.route("/gone", Reply(404))
    index = f"<sitemapindex><sitemap><loc>{fault_server.url('/a.xml')}</loc></sitemap></sitemapindex>"
    urls = f"<urlset><url><loc>{page}</loc></url><url><loc>{page}?2</loc></url></urlset>"
    fault_server.route("/index.xml", Reply(200, index.encode()))
    fault_server.route("/a.xml", Reply(200, urls.encode()))
    fault_server.route("/page?2", OK)
    ran = run("get", page, "--sitemap", fault_server.url("/index.xml"), "-H", "X-Me: 7")
    assert (ran.status, [record["url"] for record in ran.records]) == (0, [page, page, f"{page}?2"])
    assert all(dict(seen.headers)["X-Me"] == "7" for seen in fault_server.seen.log)
    assert "3 ok, 0 failed in " in ran.err
    refused = run("get", "--sitemap", fault_server.url("/gone"))
    assert (refused.status, refused.out) == (2, b"")
    assert refused.err == (
        f"asyncfetch: '{fault_server.url('/gone')}' cannot be fetched: the server answered 404 Not Found\n"
    )


def test_a_sitemap_that_is_blocked(fault_server: FaultServer) -> None:
    """Which addresses may be dialled holds for sitemaps, too."""
    ran = run("get", "--sitemap", fault_server.url("/s.xml"), "--public-only")
    assert ran.status == 2
    assert "cannot be fetched: " in ran.err
    assert fault_server.seen.requests == 0


def test_a_deadline_holds_for_sitemaps(fault_server: FaultServer, tmp_path: Path) -> None:
    """One that does not come in time is refused; what one takes is missing from the time of the job."""
    page = fault_server.url("/page")
    urls = f"<urlset>{''.join(f'<url><loc>{page}?{n}</loc></url>' for n in range(99))}</urlset>".encode()
    fault_server.route("/never.xml", Script(Silence()))
    fault_server.route("/late.xml", Reply(200, urls, delay=1.5))
    fault_server.route("*", Reply(200, b"x", delay=0.3))
    ran = run("get", "--sitemap", fault_server.url("/never.xml"), "-o", tmp_path / "a", "--deadline", "0.5")
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert "/never.xml' was not fetched within 0.5 s" in ran.err
    assert ran.seconds < 25
    ran = run("get", "--sitemap", fault_server.url("/late.xml"), "-o", tmp_path / "b", "--deadline", "2.5")
    assert ran.status == 4
    assert "stopped by --deadline" in ran.err
    times = [request.time for request in fault_server.seen.log if request.path == "/page"]
    assert times[-1] - times[0] < 2.4


def test_ctrl_c_while_a_sitemap_is_fetched(fault_server: FaultServer) -> None:
    """A sitemap that never comes keeps nobody, before the job has begun and after."""
    fault_server.route("/never.xml", Script(Silence()))
    index = f"<sitemapindex><sitemap><loc>{fault_server.url('/never.xml')}</loc></sitemap></sitemapindex>"
    fault_server.route("/index.xml", Reply(200, index.encode()))
    for sitemap in ("/never.xml", "/index.xml"):
        before = fault_server.seen.requests
        with Started("get", "--sitemap", fault_server.url(sitemap)) as started:
            while fault_server.seen.requests - before < (1 if sitemap == "/never.xml" else 2):
                assert started._process.poll() is None
            started.send(signal.SIGINT)
            ran = started.wait()
        assert (ran.status, ran.seconds < 25) == (130, True), ran.err
        assert "Traceback" not in ran.err


def test_which_are_wanted(fault_server: FaultServer, tmp_path: Path) -> None:
    """What is left out is counted, numbers stay, and nothing wanted at all is said, too."""
    fault_server.route("*", OK)
    path = tmp_path / "urls.txt"
    path.write_text("".join(fault_server.url(f"/{n % 4}\n") for n in range(10)))
    ran = run("get", path, "--dedupe", "--exclude", "/2$")
    assert (ran.status, [record["n"] for record in ran.records]) == (0, [1, 2, 4])
    assert "7 left out by --exclude and --dedupe\n" in ran.err
    ran = run("get", path, "--include", "/[13]$", "--limit", "2")
    assert [record["n"] for record in ran.records] == [2, 4]
    ran = run("get", path, "--include", "nothing")
    assert (ran.status, ran.out, ran.err) == (0, b"", "--include left all 10 URLs out: nothing was fetched\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--include", "("], "Invalid value for '--include': '(' is not a regular expression: missing ), "),
        (["--exclude", ""], "Invalid value for '--exclude': the expression is empty"),
        (["--limit", "0"], "Invalid value for '--limit': '0' is not a whole number from 1 to 1,000,000,000"),
        (
            ["--input-format", "xml"],
            "Invalid value for '--input-format': 'xml' is not one of 'auto', 'lines', 'jsonl'",
        ),
        (["--url-field", ""], "Invalid value for '--url-field': the name is empty"),
        (["--sitemap", "nope.xml"], "'nope.xml' does not exist"),
        (
            ["table.csv"],
            "'table.csv' has no column 'url': name the one with the URLs by --url-field; there are 'a'",
        ),
        (["--input-format", "sitemap"], "'urls.txt' is not a sitemap: it is not XML"),
        (["json.txt"], "'json.txt' holds JSON, not URLs: name it .jsonl, or say --input-format jsonl"),
    ],
)
def test_refusals(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    """Each is one sentence, with exit status 2, before anything is fetched or written."""
    (tmp_path / "urls.txt").write_text("http://127.0.0.1:1/\n")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "json.txt").write_text('{"url": "http://127.0.0.1:1/"}\n')
    ran = run("get", "urls.txt", *arguments, "-o", "r.jsonl", cwd=tmp_path)
    assert (ran.status, ran.out) == (2, b"")
    assert ran.err.startswith(f"asyncfetch: {sentence}"), ran.err
    assert ran.err.count("\n") == 1
    assert not list(tmp_path.glob("r.jsonl*"))


def test_going_on(fault_server: FaultServer, tmp_path: Path) -> None:
    """How the list is read is remembered; other ways to read it are refused by name."""
    fault_server.route("*", OK)
    path, results = tmp_path / "list.txt", tmp_path / "r.jsonl"
    urls = [fault_server.url(f"/{n % 6}") for n in range(12)]
    path.write_text("link\n" + "".join(f"{url}\n" for url in urls))
    how = ["--input-format", "csv", "--url-field", "link", "--dedupe", "--exclude", "/3$", "--limit", "4"]
    assert run("get", path, "-o", results, *how).status == 0
    whole = [record["n"] for record in read_records(results)]
    assert whole == [1, 2, 3, 5]
    results.write_bytes(b"".join(results.read_bytes().splitlines(True)[:2]))
    went_on = run("get", "-c", "-o", results, cwd=Path("/"))
    assert went_on.status == 0, went_on.err
    assert [record["n"] for record in read_records(results)] == whole
    for option, value in {
        "--limit": ["5"],
        "--include": ["x"],
        "--url-field": ["url"],
        "--input-format": ["tsv"],
    }.items():
        refused = run("get", "-c", "-o", results, option, *value)
        assert refused.status == 2
        assert refused.err.startswith(f"asyncfetch: the job was begun with another {option}: leave that out"), (
            refused.err
        )
    done = run("get", "-c", "-o", results)
    assert done.err == "nothing left to fetch: all 4 URLs have their records\n"


def test_going_on_with_an_older_job_file(fault_server: FaultServer, tmp_path: Path) -> None:
    """One that knows nothing of these options was begun without them."""
    fault_server.route("*", OK)
    results = tmp_path / "r.jsonl"
    assert run("get", fault_server.url("/1"), "-o", results).status == 0
    job = Path(f"{results}.job.json")
    content = json.loads(job.read_text())
    new = ("input_format", "url_field", "include", "exclude", "limit", "dedupe", "sitemaps")
    content["settings"]["options"] = {k: v for k, v in content["settings"]["options"].items() if k not in new}
    job.write_text(json.dumps(content))
    assert run("get", "-c", "-o", results).status == 0
    refused = run("get", "-c", "-o", results, "--limit", "3")
    assert (refused.status, "begun with another --limit" in refused.err) == (2, True)


def test_a_pipe_of_json(fault_server: FaultServer) -> None:
    """Records of one run are the list of the next."""
    fault_server.route("*", OK)
    ran = shell(
        '$A get "$1" "$2" -q | $A get - --input-format jsonl -q', fault_server.url("/a"), fault_server.url("/b")
    )
    assert (ran.status, len(ran.records), ran.err) == (0, 2, "")


def test_what_leaves_urls_out_has_a_name() -> None:
    """Only the options that were given are named."""
    assert InputOptions(dedupe=True).leaving_out == "--dedupe"
    assert InputOptions(include=("a",), exclude=("b",)).leaving_out == "--include and --exclude"


@pytest.mark.parametrize("name", ["list.jsonl.zst", "list.csv.gz", "list.tsv", "list.xml"])
def test_killed_and_gone_on_with(make_fault_server: MakeFaultServer, tmp_path: Path, name: str) -> None:
    """Whatever the list is written in, after SIGKILL each entry is recorded once, with its own id."""
    server = make_fault_server({"*": Reply(200, b"x", delay=0.004)})
    path, results = tmp_path / name, tmp_path / "r.jsonl"
    urls = [server.url(f"/{n}") for n in range(1, 401)]
    path.write_bytes(written(urls, name))
    argv: list[str | Path] = ["get", path, "-o", results, "-j", "10", "--max-per-host", "10"]
    for hits in (60, 180):
        with Started(*argv) as started:
            while server.seen.requests < hits:
                assert started._process.poll() is None
            started.send(signal.SIGKILL)
            assert started.wait().status == -signal.SIGKILL
        argv = ["get", "-c", "-o", results]
    done = run(*argv)
    assert done.status == 0, done.err
    records = read_records(results)
    assert [(record["n"], record["url"]) for record in records] == list(enumerate(urls, 1))
    assert name == "list.xml" or [str(record["id"]) for record in records] == [f"id-{n}" for n in range(1, 401)]
    assert server.seen.requests <= 400 + 2 * (10 + 64)


def written(urls: list[str], name: str) -> bytes:
    """Write a list as the name of its file says."""
    if ".jsonl" in name:
        lines = [json.dumps({"url": url, "id": f"id-{n}"}) for n, url in enumerate(urls, 1)]
        return bytes(zstd.compress("\n".join(lines).encode()))
    if ".xml" in name:
        return f"<urlset>{''.join(f'<url><loc>{url}</loc></url>' for url in urls)}</urlset>".encode()
    rows = "id,url\n" + "".join(f"id-{n},{url}\n" for n, url in enumerate(urls, 1))
    return gzip.compress(rows.encode()) if ".gz" in name else rows.replace(",", "\t").encode()


def test_going_on_with_sitemaps(fault_server: FaultServer, tmp_path: Path) -> None:
    """A sitemap is remembered, a file from any directory; one whose address holds a password is asked for again."""
    fault_server.route("*", OK)
    content = written([fault_server.url(f"/{n}") for n in range(5)], "local.xml").decode()
    fault_server.route("/s.xml", Reply(200, content.encode()))
    (tmp_path / "local").write_text(content)
    secret = fault_server.url("/s.xml").replace("//", "//me:secret@")
    for number, sitemap in enumerate(("local", fault_server.url("/s.xml"), secret)):
        results = tmp_path / f"r{number}.jsonl"
        assert run("get", "--sitemap", sitemap, "-o", results, cwd=tmp_path).status == 0
        results.write_bytes(b"".join(results.read_bytes().splitlines(True)[:2]))
        went_on = run("get", "-c", "-o", results, cwd=Path("/"))
        if sitemap == secret:
            assert "secret" not in Path(f"{results}.job.json").read_text()
            assert went_on.err == "asyncfetch: the job file holds no secrets: to go on, give SOURCE again\n"
            went_on = run("get", "-c", "-o", results, "--sitemap", secret)
        assert went_on.status == 0, went_on.err
        assert [record["n"] for record in read_records(results)] == [1, 2, 3, 4, 5]


def test_credentials_and_sitemaps(make_fault_server: MakeFaultServer) -> None:
    """-u and the like are for the site of the sitemap, not for whom it names; plain headers go to all."""
    own, other = make_fault_server({"*": OK}), make_fault_server({"*": OK})
    own.route("/s.xml", Reply(200, written([own.url("/1"), other.url("/2")], "s.xml")))
    secrets = [
        "-u",
        "me:secret",
        "--secret-header",
        "X-Key: k",
        "-H",
        "Cookie: c",
        "-H",
        "X-Plain: p",
        "-H",
        "Host: h",
    ]
    assert run("get", "--sitemap", own.url("/s.xml"), *secrets).status == 0
    [seen] = other.seen.log
    assert {"Authorization", "X-Key", "Cookie", "X-Plain"} & set(dict(seen.headers)) == {"X-Plain"}
    assert f"http://{dict(seen.headers)['Host']}" == other.url("")
    assert all({"Authorization", "X-Key", "Cookie"} <= set(dict(seen.headers)) for seen in own.seen.log)
    assert {dict(seen.headers)["Host"] for seen in own.seen.log} == {"h"}
