"""Sitemaps of a site: an index is followed, within bounds, and what is not there is said at its place."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterable
from pathlib import Path

import pytest

from asyncfetch.client import Client
from asyncfetch.job import InputSettings, Place, SourceError, Sources, open_sources
from asyncfetch.settings import Retry
from asyncfetch.testing import FaultServer, Reply, Script, Sequence, Silence, redirect, unused_port
from asyncfetch.testing.fixtures import MakeFaultServer
from tests.soon import SOON

Entry = tuple[str, str]


def client() -> Client:
    return Client(retry=Retry(attempts=1))


def urlset(*urls: str) -> bytes:
    return b"<urlset>" + b"".join(b"<url><loc>%b</loc></url>\n" % url.encode() for url in urls) + b"</urlset>"


def index(*urls: str) -> bytes:
    inside = b"".join(b"<sitemap><loc>%b</loc></sitemap>\n" % url.encode() for url in urls)
    return b"<sitemapindex>" + inside + b"</sitemapindex>"


def opened(*sitemaps: str, specs: Iterable[str] = ()) -> Sources:
    return open_sources(specs, settings=InputSettings(sitemaps=sitemaps), open_client=client)


def entries(sources: Sources) -> list[Entry]:
    """Read all in this thread; the server is in another one."""
    got = []
    while batch := sources.next_batch():
        got += [(request.url, request.invalid) for request in batch]
    return got


def read(*sitemaps: str) -> list[Entry]:
    with opened(*sitemaps) as sources:
        return entries(sources)


def refusal(sitemap: str) -> str:
    with pytest.raises(SourceError) as caught:
        opened(sitemap)
    return str(caught.value)


def test_an_index_is_followed(fault_server: FaultServer) -> None:
    """Its sitemaps are read in its order, gzip too; each entry has its number, its sitemap and its line."""
    a, b = fault_server.url("/a.xml"), fault_server.url("/b.xml.gz")
    fault_server.route("/index.xml", Reply(200, index(a, b), gzip=True))
    fault_server.route("/a.xml", Reply(200, urlset("http://x/1", "http://x/2")))
    fault_server.route("/b.xml.gz", Reply(200, gzip.compress(urlset("http://x/3"))))
    with opened(fault_server.url("/index.xml"), specs=["http://x/0"]) as sources:
        got = [*sources.next_batch(), *sources.next_batch(), *sources.next_batch()]
        assert [(r.index, r.url, r.context) for r in got] == [
            (1, "http://x/0", None),
            (2, "http://x/1", Place(a, 1)),
            (3, "http://x/2", Place(a, 2)),
            (4, "http://x/3", Place(b, 1)),
        ]
        assert (sources.next_batch(), sources.total, sources.sitemaps) == ([], 4, 3)
    assert fault_server.seen.requests == 3


def test_redirects_are_followed(fault_server: FaultServer) -> None:
    """As for any URL."""
    fault_server.route("/sitemap.xml", redirect("/s.xml"))
    fault_server.route("/s.xml", Reply(200, urlset("http://x/1")))
    assert read(fault_server.url("/sitemap.xml")) == [("http://x/1", "")]


def test_a_local_index_names_remote_sitemaps(fault_server: FaultServer, tmp_path: Path) -> None:
    """A file may be an index; what it names is fetched when its turn comes, not before."""
    path = tmp_path / "index.xml"
    path.write_bytes(index(fault_server.url("/a.xml")))
    fault_server.route("/a.xml", Reply(200, urlset("http://x/1")))
    with opened(specs=[str(path)]) as sources:
        assert fault_server.seen.requests == 0
        assert entries(sources) == [("http://x/1", "")]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Reply(404), "cannot be fetched: the server answered 404 Not Found"),
        (redirect("/bad.xml"), "cannot be fetched: more than 10 redirects in a row"),
        (Reply(200, b"<rss/>"), "is not a sitemap: its root element is 'rss', not urlset or sitemapindex"),
        (Reply(200, b"<urlset>"), "is not well-formed XML: it ends too early in line 1"),
        (
            Reply(200, b"<!DOCTYPE a []><urlset/>"),
            "has a document type declaration, which no sitemap needs: it is not read",
        ),
        (Reply(200, b"\x1f\x8bjunkjunkjunk"), "is corrupt: its gzip data cannot be decompressed"),
        (Reply(200, b"junk", {"Content-Encoding": "gzip"}), "cannot be fetched: the gzip body is corrupt"),
    ],
)
def test_a_sitemap_that_will_never_be_there(fault_server: FaultServer, answer: Reply, why: str) -> None:
    """Below an index it is one bad entry under its own address; as a source it is refused at once."""
    bad = fault_server.url("/bad.xml")
    fault_server.route("/index.xml", Reply(200, index(bad, fault_server.url("/a.xml"))))
    fault_server.route("/a.xml", Reply(200, urlset("http://x/1")))
    fault_server.route("/bad.xml", answer)
    (url, invalid), last = read(fault_server.url("/index.xml"))
    assert (url, last) == (bad, ("http://x/1", ""))
    assert invalid.startswith(f"the sitemap {why}")
    assert refusal(bad).startswith(f"'{bad}' {why}")


@pytest.mark.parametrize("answer", [Reply(503), Reply(429), Script(Silence())])
def test_a_sitemap_that_may_be_there_later(fault_server: FaultServer, answer: Reply) -> None:
    """The reading ends there, for the numbers of what follows would be others: what came before is given."""
    if isinstance(answer, Script):
        bad = f"http://127.0.0.1:{unused_port()}/bad.xml"
    else:
        bad = fault_server.url("/bad.xml")
        fault_server.route("/bad.xml", answer)
    fault_server.route("/index.xml", Reply(200, index(fault_server.url("/a.xml"), bad, fault_server.url("/b.xml"))))
    fault_server.route("/a.xml", Reply(200, urlset("http://x/1")))
    with opened(fault_server.url("/index.xml")) as sources:
        assert [request.url for request in sources.next_batch()] == ["http://x/1"]
        with pytest.raises(SourceError, match=r"bad.xml' cannot be fetched: "):
            sources.next_batch()
        assert sources.total is None


def test_loops_end(fault_server: FaultServer) -> None:
    """Each sitemap is read once, and an index below an index only three levels down."""
    url = fault_server.url
    fault_server.route("/0.xml", Reply(200, index(url("/0.xml"), url("/1.xml"), url("/a.xml"), url("/a.xml"))))
    for level in range(1, 6):
        fault_server.route(f"/{level}.xml", Reply(200, index(url(f"/{level + 1}.xml"))))
    fault_server.route("/a.xml", Reply(200, urlset("http://x/1")))
    assert read(url("/0.xml")) == [
        (url("/4.xml"), "the sitemap is more than 3 levels below the first one"),
        ("http://x/1", ""),
    ]


def test_many_sitemaps(fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more are read than a bound says; the others are bad entries."""
    monkeypatch.setattr("asyncfetch.job.sitemaps._MOST_SITEMAPS", 2)
    url = fault_server.url
    fault_server.route("/index.xml", Reply(200, index(url("/a.xml"), url("/b.xml"))))
    fault_server.route("/a.xml", Reply(200, urlset("http://x/1")))
    assert read(url("/index.xml")) == [
        ("http://x/1", ""),
        (url("/b.xml"), "the sitemap is one more than the 2 that are read"),
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_large_sitemaps(fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    """Over 50 MiB is too much, on the wire as well as once it is decompressed."""
    monkeypatch.setattr("asyncfetch.job.sitemaps._MOST_BYTES", 100_000)
    content = urlset("http://x/1").replace(b"</urlset>", b" " * 200_000 + b"</urlset>")
    fault_server.route("/a.xml", Reply(200, gzip.compress(content) if packed else content))
    fault_server.route("/index.xml", Reply(200, index(fault_server.url("/a.xml"))))
    *_, (_, invalid) = read(fault_server.url("/index.xml"))
    assert invalid in (
        "the sitemap is over 0 MiB, more than a sitemap may have",
        "the sitemap cannot be fetched: the body is over the limit of 100000 bytes",
    )


def test_a_client_of_ones_own(fault_server: FaultServer) -> None:
    """What the user says of requests holds for those of sitemaps; credentials in the address are not shown."""
    fault_server.route("/s.xml", Sequence(Reply(200, urlset("http://x/1")), Reply(404)))
    given = fault_server.url("/s.xml").replace("//", "//me:secret@")
    with open_sources(
        [], settings=InputSettings(sitemaps=(given,)), open_client=lambda: Client(headers={"X": "7"})
    ) as s:
        (request,) = s.next_batch()
        assert request.context.source == fault_server.url("/s.xml").replace("//", "//***@")
    assert dict(fault_server.seen.log[0].headers)["X"] == "7"
    assert "secret" not in refusal(given)


async def test_closing_calls_a_fetch_off(fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sitemap that never comes keeps nobody: closing ends the wait, and the reading."""
    fault_server.route("/index.xml", Reply(200, index(fault_server.url("/a.xml"))))
    fault_server.route("/a.xml", Script(Silence()))
    sources = await asyncio.to_thread(opened, fault_server.url("/index.xml"))
    reading = asyncio.create_task(sources.batch())
    while not fault_server.seen.by_path["/a.xml"]:
        await asyncio.sleep(0.005)
    monkeypatch.setattr("asyncfetch.job.sources._WAIT_FOR_READER", SOON)
    sources.close()
    assert not sources._reading.locked()  # it did not have to leave it to itself
    assert await reading == []
    assert (sources.total, sources.error) == (None, None)


def test_a_fetch_that_was_called_off_before() -> None:
    """Nothing is fetched any more once the sources are closed."""
    from asyncfetch.job.sitemaps import CalledOff, SitemapFetcher

    fetcher = SitemapFetcher(client)
    fetcher.call_off()
    with pytest.raises(CalledOff):
        fetcher.fetch("http://127.0.0.1:9/")
    fetcher.close()


def test_credentials_stay_at_the_origin_of_the_sitemap(make_fault_server: MakeFaultServer) -> None:
    """Neither sitemaps nor URLs that it names elsewhere get them, as with a redirect."""
    own, other = make_fault_server({}), make_fault_server({})
    own.route("/index.xml", Reply(200, index(own.url("/a.xml"), other.url("/b.xml"))))
    own.route("/a.xml", Reply(200, urlset(own.url("/1"), other.url("/2"))))
    other.route("/b.xml", Reply(200, urlset(own.url("/3"), other.url("/4"), "none")))
    settings = InputSettings(sitemaps=(own.url("/index.xml"),), credentials=("Authorization", "X-Key"))
    secrets = {"Authorization": "Basic x", "X-Key": "y"}
    with open_sources([], settings=settings, open_client=lambda: Client(headers=secrets)) as sources:
        got = [*sources.next_batch(), *sources.next_batch()]
    without = {"Authorization": None, "X-Key": None}
    assert [request.headers for request in got] == [None, without, None, without, without]
    assert [request.url for request in got] == [
        own.url("/1"),
        other.url("/2"),
        own.url("/3"),
        other.url("/4"),
        "none",
    ]
    assert all(secrets.items() <= dict(seen.headers).items() for seen in own.seen.log)
    [seen] = other.seen.log
    assert not {"Authorization", "X-Key"} & set(dict(seen.headers))


def test_a_file_of_ones_own_may_name_anybody(make_fault_server: MakeFaultServer, tmp_path: Path) -> None:
    """What the user's own index names is named by the user; what that names in turn is not."""
    own, other = make_fault_server({}), make_fault_server({})
    path = tmp_path / "index.xml"
    path.write_bytes(index(own.url("/a.xml")))
    own.route("/a.xml", Reply(200, urlset(own.url("/1"), other.url("/2"))))
    with open_sources([str(path)], settings=InputSettings(credentials=("X-Key",)), open_client=client) as sources:
        assert [request.headers for request in sources.next_batch()] == [None, {"X-Key": None}]
    path.write_bytes(urlset(own.url("/1"), other.url("/2")))
    with open_sources([str(path)], settings=InputSettings(credentials=("X-Key",)), open_client=client) as sources:
        assert [request.headers for request in sources.next_batch()] == [None, None]
