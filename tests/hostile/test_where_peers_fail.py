"""What other fetchers were measured to get wrong: a cut body taken for whole, an answer to nobody, lost URLs."""

from __future__ import annotations

import asyncio
import gzip
import importlib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from asyncfetch import Client, DecodingError, IncompleteMessage, Retry
from asyncfetch.testing import Close, FaultServer, Pause, Reply, Reset, Script, Send
from asyncfetch.testing.fixtures import MakeFaultServer
from tests.cli.command import read_records, run, shell

ONCE = Retry(attempts=1)
TEXT = b"It was the best of times, it was the worst of times. " * 40
CODINGS: dict[str, Callable[[bytes], Any]] = {
    "gzip": lambda content: gzip.compress(content, mtime=0),
    "deflate": zlib.compress,
    "br": importlib.import_module("brotli").compress,
    "zstd": zstd.compress,
    "gzip, br": lambda content: importlib.import_module("brotli").compress(gzip.compress(content, mtime=0)),
}


# --- a content coding that is cut inside of an intact message (a success in curl, aiohttp, httpx, requests, wget)


@pytest.mark.slow
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("chunked", [False, True])
async def test_cut_coding_in_an_intact_message_is_no_success(
    coding: str, chunked: bool, fault_server: FaultServer
) -> None:
    """Wherever a compressed body is cut, the length of the message being right, it is body.decoding."""
    whole: bytes = CODINGS[coding](TEXT)
    fields = {"Content-Encoding": coding}
    for length in range(1, len(whole) + 1):
        fault_server.route(f"/{length}", Reply(200, whole[:length], headers=fields, chunked=chunked))
    urls = [fault_server.url(f"/{length}") for length in range(1, len(whole) + 1)]
    async with Client(retry=ONCE) as client:
        async for result in client.fetch_many(urls):
            if result.index == len(whole):
                assert result.response is not None
                assert result.response.content == TEXT
            else:
                assert isinstance(result.error, DecodingError), result
                assert result.error.code == "body.decoding"
                assert result.response is None
        for length in (1, len(whole) // 2, len(whole) - 1):
            with pytest.raises(DecodingError):
                async with client.stream(fault_server.url(f"/{length}")) as response:
                    await response.aread()


@pytest.mark.slow
def test_cut_coding_is_not_saved(fault_server: FaultServer, tmp_path: Path) -> None:
    """The command saves nothing of a compressed body that is cut inside an intact message."""
    whole = gzip.compress(TEXT, mtime=0)
    fault_server.route("/whole", Reply(200, whole, headers={"Content-Encoding": "gzip"}))
    fault_server.route("/cut", Reply(200, whole[:-9], headers={"Content-Encoding": "gzip"}))
    ended = run("get", "-q", fault_server.url("/whole"), fault_server.url("/cut"), "-P", tmp_path)
    assert ended.status == 3
    good, cut = read_records(tmp_path / "results.jsonl")
    assert (tmp_path / good["path"]).read_bytes() == TEXT
    assert cut["error"]["code"] == "body.decoding"
    assert "path" not in cut
    assert not list(tmp_path.rglob("cut*"))


# --- a reset on a body without length (a success in aiohttp)


@pytest.mark.parametrize("size", [0, 1, 1000, 300_000])
async def test_reset_on_a_body_without_length_is_no_success(size: int, fault_server: FaultServer) -> None:
    """A body that ends with its connection is whole only if the connection ends in good order."""
    head = Send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * size)
    fault_server.route("/reset", Script(head, Reset()))
    fault_server.route("/closed", Script(head, Close()))
    async with Client(retry=ONCE) as client:
        assert len((await client.get(fault_server.url("/closed"))).content) == size
        with pytest.raises(IncompleteMessage, match="reset"):
            await client.get(fault_server.url("/reset"))
        [result] = [result async for result in client.fetch_many([fault_server.url("/reset")])]
        assert result.error is not None
        assert result.error.code == "protocol.incomplete"


# --- a second response that nobody asked for (given to the next request by httpx)

STRAY = Reply(200, b"stray").encode()
OWN = Reply(200, b"own").encode()
STRAYS: dict[str, list[Send | Pause | Close]] = {
    "at once": [Send(OWN + STRAY)],
    "a moment later": [Send(OWN), Pause(0.01), Send(STRAY)],
    "begun": [Send(OWN + STRAY[:20])],
    "one byte": [Send(OWN + b"\n")],
    "an interim response": [Send(OWN + b"HTTP/1.1 103 Early Hints\r\n\r\n")],
    "a timeout notice": [Send(OWN + Reply(408, b"too slow").encode(closing=True)), Close()],
    "after a body in chunks": [Send(Reply(200, b"own", chunked=True).encode() + STRAY)],
    "after a 204": [Send(Reply(204).encode() + STRAY)],
    "after a redirect": [Send(Reply(302, headers={"Location": "/next"}).encode() + STRAY)],
    "after a 503": [Send(Reply(503, b"busy").encode() + STRAY)],
}


@pytest.mark.parametrize("kind", STRAYS)
@pytest.mark.parametrize("patience", [0.0, 0.03])
async def test_a_stray_response_is_nobodys(kind: str, patience: float, fault_server: FaultServer) -> None:
    """What has come after an answer is never the answer to the next request.

    What comes after that has been sent is its answer: HTTP/1.1 knows no other way to tell (RFC 9112 section 9.2).
    """
    if kind == "a moment later" and not patience:
        patience = 0.02
    fault_server.route("/stray", Script(*STRAYS[kind]))
    fault_server.route("/next", Reply(200, b"mine"))
    async with Client(retry=ONCE) as client:
        for _ in range(5):
            assert (await client.get(fault_server.url("/stray"))).content != b"stray"
            await asyncio.sleep(patience)
            assert (await client.get(fault_server.url("/next"))).content == b"mine"
    assert not fault_server.seen.malformed


async def test_stray_responses_in_a_list_are_nobodys(fault_server: FaultServer) -> None:
    """In a list that mixes both, each URL has its own answer."""
    fault_server.route("*", lambda request: Reply(200, request.path.encode()))
    for number in range(0, 100, 3):
        own = Reply(200, b"/%d" % number).encode()
        fault_server.route(f"/{number}", Script(Send(own + STRAY)))
    urls = [fault_server.url(f"/{number}") for number in range(100)]
    async with Client(retry=ONCE) as client:
        async for result in client.fetch_many(urls):
            assert result.response is not None
            assert result.response.content == b"/%d" % (result.index - 1)


# --- no descriptor left (47 to 91 % of the URLs lost in curl, aiohttp, httpx, aria2 and wget2)

HOSTS = [f"127.0.1.{number}" for number in range(1, 31)]


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("saving", [False, True])
def test_running_out_of_open_files_loses_nothing(
    loop: str, saving: bool, make_fault_server: MakeFaultServer, tmp_path: Path
) -> None:
    """With 40 descriptors for 300 requests at once, 30 hosts and 600 URLs, every URL is fetched."""
    server = make_fault_server({"*": Reply(200, b"x" * 100, delay=0.005)}, addresses=HOSTS)
    urls = [server.url(f"/{number}", HOSTS[number % len(HOSTS)]) for number in range(600)]
    (tmp_path / "urls").write_text("\n".join(urls))
    where = "-P" if saving else "-o"
    script = f'ulimit -n 40; exec $A get "$1" {where} "$2" -q -j 300 --max-per-host 20 --loop {loop}'
    ended = shell(script, tmp_path / "urls", tmp_path / "out")
    records = read_records(tmp_path / "out/results.jsonl" if saving else tmp_path / "out")
    assert [record["n"] for record in records] == list(range(1, 601))
    assert not [record for record in records if not record["ok"]]
    assert ended.status == 0, ended.err
    assert len({record["path"] for record in records if saving}) == (600 if saving else 0)
