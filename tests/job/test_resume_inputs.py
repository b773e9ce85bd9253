"""An interrupted job goes on with every kind of input, and with every way to leave entries out."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from asyncfetch.client import Client
from asyncfetch.job import InputSettings, Job, JobOutcome, Safeguard, SourceError, open_journal, open_sources
from asyncfetch.job.fingerprint import Fingerprint
from asyncfetch.job.formats.rows import Row
from asyncfetch.settings import Limits, Retry
from asyncfetch.testing import FaultServer, Reply
from tests.job.test_packing import zstd
from tests.job.test_resume import cut_lines, records

URLS = 12
BAD = 5


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    async with FaultServer({"*": lambda request: Reply(200, request.path.encode())}) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(limits=Limits(total=50, per_host=50), retry=Retry(attempts=1)) as opened:
        yield opened


def jsonl(urls: list[str], note: str = "") -> str:
    return "".join(json.dumps({"id": n, "url": url, "name": note or None}) + "\n" for n, url in enumerate(urls, 1))


def csv(urls: list[str], note: str = "") -> str:
    return "id,name,url\n" + "".join(f'{n},{note},"{url}"\n' for n, url in enumerate(urls, 1))


def tsv(urls: list[str], note: str = "") -> str:
    return csv(urls, note).replace(",", "\t")


def sitemap(urls: list[str], note: str = "") -> str:
    return f"<urlset>{''.join(f'<url><loc>{url}{note}</loc></url>' for url in urls)}</urlset>"


Write = Callable[..., str]
KINDS: dict[str, Write] = {"l.jsonl": jsonl, "l.csv.gz": csv, "l.tsv": tsv, "l.xml": sitemap, "l.jsonl.zst": jsonl}


def write(path: Path, content: str) -> Path:
    packed = content.encode()
    if path.suffix == ".gz":
        packed = gzip.compress(packed)
    elif path.suffix == ".zst":
        packed = zstd.compress(packed)
    path.write_bytes(packed)
    return path


def urls_of(server: FaultServer, number: int = URLS) -> list[str]:
    """URLs, of which the fifth is none."""
    return [server.url(f"/{n}") if n != BAD else "none" for n in range(1, number + 1)]


async def go_on(client: Client, results: Path, settings: InputSettings, *sources: Path | str) -> JobOutcome:
    with (
        open_sources(map(str, sources), settings=settings) as opened,
        open_journal(results, go_on=True) as journal,
        Safeguard(journal, opened, {}) as safeguard,
    ):
        return await Job(client, opened, journal=journal, safeguard=safeguard).run()


@pytest.mark.parametrize("name", KINDS)
async def test_what_is_missing_is_fetched(client: Client, server: FaultServer, tmp_path: Path, name: str) -> None:
    """Each position is recorded once, bad rows too; the list may have grown; ids are in the records."""
    results, path = tmp_path / "r.jsonl", write(tmp_path / name, KINDS[name](urls_of(server)))
    await go_on(client, results, InputSettings(), path)
    cut_lines(results, 4)
    hits = server.seen.requests
    write(path, KINDS[name](urls_of(server, URLS + 2)))
    outcome = await go_on(client, results, InputSettings(), path)
    assert (outcome.earlier, outcome.total, outcome.missing) == (4, URLS + 2 - 4, 0)
    got = {record.n: record for record in records(results)}
    assert sorted(record.n for record in records(results)) == list(range(1, URLS + 3))
    assert server.seen.requests - hits <= URLS + 2 - 4
    assert [n for n, record in got.items() if not record.ok] == [BAD]
    if name != "l.xml":
        assert all(str(record.id) == str(n) for n, record in got.items())


@pytest.mark.parametrize("name", KINDS)
async def test_what_a_row_says_may_not_change(
    client: Client, server: FaultServer, tmp_path: Path, name: str
) -> None:
    """A row with the same URL that says something else is another row: refused, without a request."""
    results, path = tmp_path / "r.jsonl", write(tmp_path / name, KINDS[name](urls_of(server)))
    await go_on(client, results, InputSettings(), path)
    hits = server.seen.requests
    write(path, KINDS[name](urls_of(server), "other"))
    with pytest.raises(SourceError, match=r"is not the list that the job was begun with: line"):
        await go_on(client, results, InputSettings(), path)
    assert server.seen.requests == hits


async def test_a_sitemap_of_a_site(client: Client, server: FaultServer, tmp_path: Path) -> None:
    """It is fetched again; where it names something else, the job does not go on."""
    from asyncio import to_thread

    server.route("/s.xml", Reply(200, sitemap(urls_of(server)).encode()))
    results, settings = tmp_path / "r.jsonl", InputSettings(sitemaps=(server.url("/s.xml"),))

    async def again() -> JobOutcome:
        opened = await to_thread(open_sources, (), settings=settings)
        with (
            opened,
            open_journal(results, go_on=True) as journal,
            await to_thread(Safeguard, journal, opened, {}) as safeguard,
        ):
            return await Job(client, opened, journal=journal, safeguard=safeguard).run()

    assert (await again()).total == URLS
    cut_lines(results, 3)
    assert (await again()).total == URLS - 3
    server.route("/s.xml", Reply(200, sitemap(urls_of(server)[::-1]).encode()))
    with pytest.raises(SourceError, match=r"/s.xml' is not the list that the job was begun with: line 1 is "):
        await again()


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (InputSettings(include=(re.compile("[13]$"),), dedupe=True), [1, 3, 11]),
        (InputSettings(exclude=(re.compile("/1.?$"),), limit=10), [2, 3, 4, 5, 6, 7, 8, 9, 14, 15]),
        (InputSettings(limit=7), [1, 2, 3, 4, 5, 6, 7]),
        (InputSettings(dedupe=True), list(range(1, URLS + 1))),
    ],
)
async def test_what_is_left_out_stays_out(
    client: Client, server: FaultServer, tmp_path: Path, settings: InputSettings, wanted: list[int]
) -> None:
    """What is not wanted is not missing, numbers stay what they are, and what is done counts for duplicates."""
    results = tmp_path / "r.jsonl"
    path = write(tmp_path / "l.txt", "".join(f"{url}\n" for url in urls_of(server)) * 2)
    await go_on(client, results, settings, path)
    assert sorted(record.n for record in records(results)) == wanted
    cut_lines(results, 2)
    outcome = await go_on(client, results, settings, path)
    assert sorted(record.n for record in records(results)) == wanted
    assert (outcome.earlier, outcome.total, outcome.missing) == (2, len(wanted) - 2, 0)
    again = await go_on(client, results, settings, path)
    assert (again.total, again.earlier, again.entries) == (0, len(wanted), len(wanted))


async def test_much_that_is_missing(
    client: Client, server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the files are read a second time, what is left out is decided a second time."""
    results, settings = tmp_path / "r.jsonl", InputSettings(dedupe=True, exclude=(re.compile("/2"),))
    path = write(tmp_path / "l.csv", csv(urls_of(server) * 2))
    await go_on(client, results, settings, path)
    whole = sorted(record.n for record in records(results))
    cut_lines(results, 2)
    monkeypatch.setattr("asyncfetch.job.sources._WAITING_MOST", 3)
    outcome = await go_on(client, results, settings, path)
    assert (outcome.total, outcome.entries) == (len(whole) - 2, len(whole))
    assert sorted(record.n for record in records(results)) == whole


def test_the_fingerprint_of_rows() -> None:
    """It is about what rows say; rows that say nothing but the same URL in another format are other rows."""
    rows = [Row(n, "http://a/", "", f"http://a/ {n}") for n in range(1, 4)]
    first, second = Fingerprint(), Fingerprint()
    first.feed("x", 1, [*rows])
    second.feed("y", 1, [Row(row.number + 7, "other", "bad", row.raw) for row in rows])
    assert first.covered == second.covered
    second.feed("y", 4, [rows[0]])
    assert first.covered != second.covered
