"""`ulimit -n 40` and a hundred requests at once: the real command makes do with what it has, and all succeed."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncfetch.testing import FaultServer, Reply
from asyncfetch.testing.fixtures import MakeFaultServer, TLSAuthority
from tests.cli.command import Run, read_records, shell

URLS = 500
ADDRESSES = [f"127.0.0.{number}" for number in range(1, 6)]
ALLOWED = "ulimit -n 40; exec $A get -j 100 --max-per-host 100 "


def write_list(path: Path, server: FaultServer, hosts: list[str]) -> Path:
    path.write_text("".join(server.url(f"/{number}\n", hosts[number % len(hosts)]) for number in range(URLS)))
    return path


def see_that_all_is_there(done: Run, results: Path) -> None:
    assert (done.status, done.err) == (0, "")
    records = read_records(results)
    assert [record["n"] for record in records] == list(range(1, URLS + 1))
    assert all(record["ok"] and record["attempts"] == 1 for record in records)


@pytest.mark.slow
@pytest.mark.parametrize("run", range(3))
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("hosts", [ADDRESSES, ["localhost"]], ids=["addresses", "name"])
def test_few_descriptors_are_enough(
    make_fault_server: MakeFaultServer,
    tls_authority: TLSAuthority,
    tmp_path: Path,
    scheme: str,
    hosts: list[str],
    run: int,
) -> None:
    """Every URL is fetched at its first attempt, saved or not, over http and https, by address and by name."""
    context = tls_authority.server_context("localhost", *ADDRESSES) if scheme == "https" else None
    server = make_fault_server({"*": Reply(200, b"body", delay=0.003)}, addresses=ADDRESSES, ssl_context=context)
    urls, out, results = write_list(tmp_path / "urls.txt", server, hosts), tmp_path / "out", tmp_path / "r.jsonl"
    arguments = (urls, tls_authority.ca_file)
    done = shell(ALLOWED + '-q --cacert "$2" "$1" -o "$3"', *arguments, results)
    see_that_all_is_there(done, results)
    done = shell(ALLOWED + '-q --cacert "$2" "$1" -P "$3"', *arguments, out)
    see_that_all_is_there(done, out / "results.jsonl")
    assert sum(path.read_bytes() == b"body" for path in out.rglob("*") if path.is_file()) == URLS
