"""Saved bodies and the real command: names, digests, what is there already, and what has changed since."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from asyncfetch.testing import FaultServer, Reply, SeenRequest
from asyncfetch.testing.fixtures import MakeFaultServer
from tests.cli.command import Run, read_records, run


def digest_of(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


class Versions:
    """Answers with what a path is now, or with 304 to whoever has that."""

    def __init__(self) -> None:
        self.etags: Counter[str] = Counter()
        self.status: list[int] = []

    def __call__(self, request: SeenRequest) -> Reply:
        etag = f'"{self.etags[request.path]}"'
        is_same = request.header("if-none-match") == etag
        self.status.append(304 if is_same else 200)
        if is_same:
            return Reply(304)
        body = f"{request.path} {etag}".encode()
        return Reply(200, body, {"ETag": etag, "Last-Modified": "Sat, 05 Nov 1994 08:50:37 GMT"})


@pytest.fixture
def versions() -> Versions:
    return Versions()


@pytest.fixture
def server(make_fault_server: MakeFaultServer, versions: Versions) -> FaultServer:
    return make_fault_server({"*": versions})


@pytest.fixture
def urls(server: FaultServer, tmp_path: Path) -> Path:
    path = tmp_path / "urls.txt"
    path.write_text("".join(server.url(f"/{folder}/{name}.txt\n") for folder in "ab" for name in "xy"))
    return path


def files_below(directory: Path) -> set[str]:
    found = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("results.jsonl")}


def see_that_all_are_right(out: Path, records: list[dict[str, Any]]) -> None:
    for record in records:
        path = "/" + record["url"].split("/", 3)[3]
        assert (out / record["path"]).read_bytes().decode().split()[0] == path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--name", "{n}{ext}"], {"1.txt", "2.txt", "3.txt", "4.txt"}),
        (["--name", "{path}-{name}"], {"a-x", "a-y", "b-x", "b-y"}),
        (["--name", "{sha256}"], {digest_of(f'/{path}.txt "0"') for path in ("a/x", "a/y", "b/x", "b/y")}),
    ],
)  # fmt: skip
def test_names_after_a_template(urls: Path, tmp_path: Path, options: list[str], names: set[str]) -> None:
    """Files are called as the template says, and the records tell where each is."""
    out = tmp_path / "out"
    assert run("get", urls, "-P", out, *options).status == 0
    assert files_below(out) == names
    see_that_all_are_right(out, read_records(out / "results.jsonl"))


@pytest.mark.slow
def test_names_that_are_equal(urls: Path, tmp_path: Path) -> None:
    """Where a template gives two URLs one name, the second gets a mark; with --flat, all have one."""
    out = tmp_path / "out"
    assert run("get", urls, "-P", out, "--name", "{name}{ext}").status == 0
    assert {name[0] for name in files_below(out)} == {"x", "y"}
    assert len(files_below(out)) == 4
    see_that_all_are_right(out, read_records(out / "results.jsonl"))
    flat = tmp_path / "flat"
    assert run("get", urls, "-P", flat, "--flat").status == 0
    assert all(name.startswith("127.0.0.1+") and "~" in name and "/" not in name for name in files_below(flat))
    see_that_all_are_right(flat, read_records(flat / "results.jsonl"))


@pytest.mark.slow
def test_digests(urls: Path, tmp_path: Path) -> None:
    """--hash sha256 records the digest of every saved body."""
    out = tmp_path / "out"
    assert run("get", urls, "-P", out, "--hash", "sha256").status == 0
    for record in read_records(out / "results.jsonl"):
        assert record["sha256"] == hashlib.sha256((out / record["path"]).read_bytes()).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--flat"], ["--name", "{n}{ext}"]], ids=str)
def test_what_is_there_is_not_fetched(urls: Path, server: FaultServer, tmp_path: Path, options: list[str]) -> None:
    """--skip-existing: no request, an ok record without a status, exit 0; what is missing is fetched."""
    out = tmp_path / "out"
    assert run("get", urls, "-P", out, *options).status == 0
    first = read_records(out / "results.jsonl")
    (out / first[1]["path"]).unlink()
    hits = server.seen.requests
    done = run("get", urls, "-P", out, "--overwrite", "--skip-existing", *options)
    assert done.status == 0, done.err
    assert server.seen.requests == hits + 1
    second = read_records(out / "results.jsonl")
    assert [r["path"] for r in second] == [r["path"] for r in first]
    assert [(r["ok"], r.get("status"), r["attempts"]) for r in second] == [
        (True, None, 0), (True, 200, 1), (True, None, 0), (True, None, 0),
    ]  # fmt: skip
    assert all(record["bytes"] == (out / record["path"]).stat().st_size for record in second)
    assert "3 of these were not fetched: their files are there (--skip-existing)" in done.err


@pytest.mark.slow
def test_only_what_has_changed_is_fetched(
    urls: Path, versions: Versions, server: FaultServer, tmp_path: Path
) -> None:
    """--refresh: 304 is ok and keeps its file; what changed is saved beside it; what is gone is fetched in full."""
    out, old, new = tmp_path / "out", tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    assert run("get", urls, "-P", out, "-o", old, "--hash", "sha256").status == 0
    before = read_records(old)
    versions.etags["/a/y.txt"] += 1
    (out / before[2]["path"]).unlink()
    (out / before[3]["path"]).write_text("not what it was")
    versions.status.clear()
    done = run("get", urls, "-P", out, "-o", new, "--hash", "sha256", "--refresh", old)
    assert done.status == 0, done.err
    after = read_records(new)
    assert [(r["ok"], r["status"]) for r in after] == [(True, 304), (True, 200), (True, 200), (True, 200)]
    assert sorted(versions.status) == [200, 200, 200, 304]
    kept = ("path", "sha256", "bytes", "etag", "last_modified")
    assert [after[0].get(key) for key in kept] == [before[0].get(key) for key in kept]
    assert after[0]["wire_bytes"] == 0
    assert after[1]["path"] != before[1]["path"]
    assert (out / after[1]["path"]).read_text() == '/a/y.txt "1"'
    assert f"1 of these have not changed since {old} was written" in done.err
    again = tmp_path / "again.jsonl"
    assert run("get", urls, "-P", out, "-o", again, "--hash", "sha256", "--refresh", new).status == 0
    assert [record["status"] for record in read_records(again)] == [304] * 4
    assert [record["path"] for record in read_records(again)] == [record["path"] for record in after]


@pytest.mark.slow
def test_refreshing_records_only(urls: Path, versions: Versions, tmp_path: Path) -> None:
    """Without -P it says what has changed."""
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    assert run("get", urls, "-o", old).status == 0
    versions.etags["/b/x.txt"] += 1
    assert run("get", urls, "-o", new, "--refresh", old).status == 0
    assert [record["status"] for record in read_records(new)] == [304, 304, 200, 304]
    assert "path" not in read_records(new)[0]


@pytest.mark.slow
def test_they_are_remembered(urls: Path, server: FaultServer, tmp_path: Path) -> None:
    """-c goes on with the same names, digests and records to refresh; another one is refused by name."""
    out, old = tmp_path / "out", tmp_path / "old.jsonl"
    run("get", urls, "-o", old)
    options = ["--name", "{n}{ext}", "--hash", "sha256", "--refresh", "old.jsonl"]
    assert run("get", urls, "-P", out, *options, cwd=tmp_path).status == 0
    urls.write_text(urls.read_text() + server.url("/c/z.txt\n"))
    for changed in (["--name", "{n}"], ["--flat"], ["--refresh", urls], ["--skip-existing"]):
        refused = run("get", "-c", "-P", out, *changed)
        assert refused.status == 2
        assert f"the job was begun with another {changed[0]}: leave that out to go on" in refused.err
    assert run("get", "-c", "-P", out, "--refresh", old).status == 0
    last = read_records(out / "results.jsonl")[-1]
    assert (last["path"], len(last["sha256"])) == ("5.txt", 64)


REFUSALS = [
    (
        ["--name", "{title}", "-P", "out"],
        "the template of --name has '{title}', and what can be filled in is {n}, ",
    ),
    (["--name", "../{n}", "-P", "out"], "the template of --name must lead to a file below the directory"),
    (["--name", "{n}"], "--name is about saved bodies: add -P DIR"),
    (["--flat"], "--flat is about saved bodies: add -P DIR"),
    (["--hash", "sha256"], "--hash is about saved bodies: add -P DIR"),
    (["--skip-existing"], "--skip-existing is about saved bodies: add -P DIR"),
    (["--flat", "--name", "{n}", "-P", "out"], "--flat and --name both say what files are called: leave one out"),
    (["--skip-existing", "--refresh", "x", "-P", "out"], "--refresh asks about what is there, "),
    (["--skip-existing", "--name", "{name}", "-P", "out"], "--skip-existing cannot tell whose file it is by this "),
    (["--refresh", "none.jsonl"], "the results file 'none.jsonl' does not exist"),
    (["--refresh", "urls.txt"], "the results file 'urls.txt' has no record in line 1, but 'http://"),
    (["--refresh", "."], "the results file '.' cannot be read: is a directory"),
    (["--refresh", "empty.jsonl", "-o", "empty.jsonl", "--overwrite"], "--refresh reads this file, so the new "),
    (["--hash", "md5", "-P", "out"], "Invalid value for '--hash': 'md5' is not "),
]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "sentence"), REFUSALS, ids=lambda value: " ".join(value)[:40])
def test_what_makes_no_sense(urls: Path, server: FaultServer, options: list[str], sentence: str) -> None:
    """Each is refused before the first request, with a sentence."""
    (urls.parent / "empty.jsonl").touch()
    refused: Run = run("get", urls, *options, cwd=urls.parent)
    assert refused.status == 2
    assert refused.err.startswith(f"asyncfetch: {sentence}"), refused.err
    assert server.seen.requests == 0
    assert json.dumps(refused.out.decode()) == '""'


@pytest.mark.slow
def test_what_a_list_says_about_bodies(server: FaultServer, tmp_path: Path) -> None:
    """A row's name is the file's; its digest is compared: another one is body.checksum, and there is no file."""
    good, lines, out = digest_of('/a "0"'), tmp_path / "list.jsonl", tmp_path / "out"
    rows: list[dict[str, Any]] = [
        {"url": server.url("/a"), "name": "Cats/Tom.JPG", "sha256": good},
        {"url": server.url("/a"), "name": "../../Tom.JPG", "sha256": good.upper()},
        {"url": server.url("/b"), "sha256": good},
    ]
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("get", lines, "-P", out).status == 3
    records = read_records(out / "results.jsonl")
    assert [record.get("path") for record in records] == ["Cats/Tom.JPG", "_/_/Tom.JPG", None]
    assert [record.get("sha256") for record in records] == [good, good, None]
    assert records[2]["error"] == {
        "code": "body.checksum",
        "message": f"the body does not have the SHA-256 digest that was given for it: {good}",
    }
    assert files_below(out) == {"Cats/Tom.JPG", "_/_/Tom.JPG"}
    counted = run("get", lines)
    assert counted.codes == ["", "", "body.checksum"], "without -P too"


@pytest.mark.slow
def test_results_among_the_bodies(server: FaultServer, tmp_path: Path) -> None:
    """No URL names what the job keeps beside its results file, wherever that is: going on destroys no body."""
    ends = ["", ".job.json", ".job.json.part", ".job.parts", ".job.parts/1", ".job.saving", ".compact.part"]
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    results = out / f"127.0.0.1+{server.port}" / "a" / "r.jsonl"
    results.parent.mkdir(parents=True)
    urls.write_text("".join(server.url(f"/a/r.jsonl{end}\n") for end in ends))
    assert run("get", urls, "-P", out, "-o", results).status == 0
    with urls.open("a") as more:
        more.write(server.url("/a/more\n"))
    assert run("get", "-c", "-o", results).status == 0
    assert run("compact", results).status == 0
    records = read_records(results)
    assert len(records) == len(ends) + 1
    see_that_all_are_right(out, records)
