"""Whatever a server sends without end: memory stays within 30 MiB of idle, and the right error comes soon."""

from __future__ import annotations

import gzip
import importlib
import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from asyncfetch.testing import (
    Answer,
    Close,
    Drip,
    Endless,
    Pause,
    Reply,
    Script,
    SeenRequest,
    Send,
    redirect,
)
from asyncfetch.testing.fixtures import MakeFaultServer, TLSAuthority
from tests.cli.command import environment
from tests.soon import SOON

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]

MIB = 1024 * 1024
ALLOWED = 30 * MIB
BLOCKED = 0.25  # seconds of processor time that others may have to wait; about 0.03 is usual
TOTAL = 0.4  # seconds that something without end is given
TEN_GIB = 10 * 1024  # MiB

OK = b"HTTP/1.1 200 OK\r\n"
FOUND = b"HTTP/1.1 302 Found\r\nLocation: /hostile\r\n\r\n"
GZIP = OK + b"Content-Encoding: gzip\r\n\r\n"
ZSTD = OK + b"Content-Encoding: zstd\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def block(text: bytes, size: int = 64 * 1024) -> bytes:
    """As many copies of a text as make about so many bytes."""
    return text * max(1, size // len(text))


# --- bombs: made once, sent whole


@cache
def deflated_zeros(mebibytes: int) -> bytes:
    """Deflate so many MiB of zeros: the block for one MiB begins and ends on its own, and is repeated."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    one = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return one * mebibytes + compressor.flush(zlib.Z_FINISH)


@cache
def gzipped(times: int) -> bytes:
    """Compress 10 GiB of zeros so often; the sum at the end is wrong, but nobody should come that far."""
    if times == 1:
        return gzip.compress(b"", mtime=0)[:10] + deflated_zeros(TEN_GIB) + bytes(8)
    return gzip.compress(gzipped(times - 1), 6 if times == 2 else 9, mtime=0)


@cache
def brotli_bomb() -> bytes:
    compressor = importlib.import_module("brotli").Compressor(quality=1)
    return bytes(compressor.process(bytes(64 * MIB)) + compressor.finish())


@cache
def zstd_bomb() -> bytes:
    return zstd.compress(bytes(256 * MIB))


def zstd_window() -> bytes:
    """A frame that wants a window of 128 MiB."""
    return b"\x28\xb5\x2f\xfd\x00" + bytes([(27 - 10) << 3]) + b"\x01\x00\x00"


def coded(coding: str, content: bytes) -> Reply:
    return Reply(200, content, headers={"Content-Encoding": coding})


@dataclass(frozen=True)
class Case:
    """What a server does, how it is fetched, and how that must end.

    Attributes:
        make: makes the server's answer.
        code: the error's code.
        how: `get` keeps up to 8 MiB of the body, `stream`, `list` and `slow reader` throw it away.
        total: the deadline of the whole, in seconds.
        over_tls: whether it comes over TLS.
    """

    make: Callable[[], Answer]
    code: str
    how: str = "get"
    total: float | None = None
    over_tls: bool = False


def cut_off(make: Callable[[], Answer], how: str, *, over_tls: bool = False) -> Case:
    """A case that only its deadline ends."""
    return Case(make, "timeout.total", how, TOTAL, over_tls)


def too_large(make: Callable[[], Answer]) -> Case:
    return Case(make, "protocol.too_large")


def bomb(coding: str, make: Callable[[], bytes], how: str = "stream", code: str = "body.too_large") -> Case:
    return Case(lambda: coded(coding, make()), code, how)


def endless(start: bytes, chunk: bytes) -> Script:
    return Script(Send(start), Endless(block(chunk)))


def redirect_to_another(request: SeenRequest) -> Reply:
    """Redirect from /a to /aa to /aaa, without end, each with a body of its own."""
    return Reply(302, b"x" * 50_000, headers={"Location": f"{request.path}a"})


def redirect_with_large_head(request: SeenRequest) -> Script:
    """Redirect as above, each time with a head of nearly 256 KiB."""
    head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %ba\r\n" % request.path.encode()
    return Script(Send(head + b"".join(b"X-%d: %b\r\n" % (n, b"y" * 118) for n in range(1900)) + b"\r\n"))


BODY = OK + b"\r\n"
HUGE = OK + b"Content-Length: %d\r\n\r\n" % 10**15
MANY_DIGITS = OK + b"Content-Length: 1" + b"0" * 5000 + b"\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
LARGE_HINTS = b"HTTP/1.1 102 Wait\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"
TINY = b"1\r\nx\r\n"

CASES: dict[str, Case] = {
    # heads
    "start line": too_large(lambda: endless(b"HTTP/1.1 200 ", b"x")),
    "start lines": too_large(lambda: endless(b"", OK)),
    "something else": Case(lambda: endless(b"", b"x"), "protocol.malformed"),
    "blank lines": Case(lambda: endless(b"", b"\r\n"), "protocol.malformed"),
    "head": too_large(lambda: endless(OK, b"X-Field: value\r\n")),
    "fields": too_large(lambda: Script(Send(OK + b"A:b\r\n" * 3000 + b"\r\n"), Endless(block(b"x")))),
    "field name": too_large(lambda: endless(OK, b"x")),
    "line": too_large(lambda: endless(OK + b"X: ", b"x")),
    "folded lines": too_large(lambda: endless(OK + b"X: y\r\n", b" z\r\n")),
    "interim responses": too_large(lambda: endless(b"", HINTS)),
    "interim responses, large": too_large(lambda: endless(b"", LARGE_HINTS)),
    # chunks
    "chunk line": too_large(lambda: endless(CHUNKED + b"5;", b"x")),
    "chunk size": too_large(lambda: endless(CHUNKED, b"0")),
    "trailers": too_large(lambda: endless(CHUNKED + b"0\r\n", b"X: y\r\n")),
    "trailer line": too_large(lambda: endless(CHUNKED + b"0\r\n", b"x")),
    "chunk": Case(lambda: endless(CHUNKED + b"f" * 16 + b"\r\n", b"x"), "body.too_large"),
    "tiny chunks": cut_off(lambda: endless(CHUNKED, TINY), "stream"),
    "tiny chunks, kept": cut_off(lambda: endless(CHUNKED, TINY), "get"),
    # bodies
    "body, kept": Case(lambda: endless(BODY, b"x"), "body.too_large"),
    "body": cut_off(lambda: endless(BODY, b"x"), "stream"),
    "body of a list": cut_off(lambda: endless(BODY, b"x"), "list"),
    "body, TLS": cut_off(lambda: endless(BODY, b"x"), "stream", over_tls=True),
    "body, read slowly": cut_off(lambda: endless(BODY, b"x"), "slow reader"),
    "body, read slowly, TLS": cut_off(lambda: endless(BODY, b"x"), "slow reader", over_tls=True),
    "10^15 bytes": cut_off(lambda: endless(HUGE, b"x"), "stream"),
    "10^15 bytes, kept": Case(lambda: endless(HUGE, b"x"), "body.too_large"),
    "10^15 bytes, 20 MB come": Case(
        lambda: Script(Send(HUGE + bytes(20_000_000)), Close()), "protocol.incomplete", "stream"
    ),
    "digits of a length": Case(lambda: endless(MANY_DIGITS, b"x"), "protocol.malformed"),
    # codings
    "codings": bomb(", ".join(["gzip"] * 1000), lambda: b"x", "get", "body.decoding"),
    "gzip, 10 GiB": bomb("gzip", lambda: gzipped(1)),
    "gzip, 10 GiB, kept": bomb("gzip", lambda: gzipped(1), "get"),
    "gzip, 10 GiB, in a list": bomb("gzip", lambda: gzipped(1), "list"),
    "gzip in gzip, 10 GiB": bomb("gzip, gzip", lambda: gzipped(2)),
    "gzip in gzip in gzip, 10 GiB": bomb("gzip, gzip, gzip", lambda: gzipped(3)),
    "deflate, 10 GiB": bomb("deflate", lambda: deflated_zeros(TEN_GIB)),
    "br": bomb("br", brotli_bomb),
    "zstd": bomb("zstd", zstd_bomb),
    "zstd, a window of 128 MiB": bomb("zstd", zstd_window, code="body.decoding"),
    "empty gzip members": Case(lambda: endless(GZIP, gzip.compress(b"", mtime=0)), "body.too_large", "stream"),
    "empty zstd frames": Case(lambda: endless(ZSTD, zstd.compress(b"")), "body.too_large", "stream"),
    "tiny gzip members": cut_off(lambda: endless(GZIP, gzip.compress(b"x", mtime=0)), "stream"),
    "tiny zstd frames": cut_off(lambda: endless(ZSTD, zstd.compress(b"x")), "stream"),
    "tiny zstd frames in gzip": bomb("zstd, gzip", lambda: gzip.compress(zstd.compress(b"x") * 3_000_000, 1)),
    # time
    "redirects": Case(lambda: redirect("/hostile"), "redirect.too_many"),
    "redirects, each another": Case(lambda: redirect_to_another, "redirect.too_many"),
    "redirects with large heads": too_large(lambda: redirect_with_large_head),
    "redirects with endless bodies": Case(lambda: endless(FOUND, b"x"), "redirect.too_many"),
    "redirects that take their time": cut_off(lambda: Script(Pause(0.1), redirect("/hostile")), "get"),
    "a head that drips": cut_off(lambda: Script(Drip(OK + b"X: " + b"y" * 1000)), "get"),
    "a body that drips": cut_off(lambda: Script(Send(BODY), Drip(b"x" * 1000)), "stream"),
}


class Probe:
    """A process that fetches, and measures itself."""

    def __init__(self, loop: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.memory_probe", loop],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
        )

    def ask(self, **spec: str | float | None) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(spec) + "\n")
        self._process.stdin.flush()
        measured: dict[str, Any] = json.loads(self._process.stdout.readline())
        return measured

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def probe(request: pytest.FixtureRequest) -> Iterator[Probe]:
    probe = Probe(request.param)
    yield probe
    probe.close()


@pytest.mark.parametrize("name", CASES)
def test_memory_stays_near_idle(
    name: str, probe: Probe, make_fault_server: MakeFaultServer, tls_authority: TLSAuthority
) -> None:
    """What has no end takes at most 30 MiB more than a small page, delays nobody, and ends soon with its code."""
    case = CASES[name]
    context = tls_authority.server_context("127.0.0.1") if case.over_tls else None
    server = make_fault_server({"/": Reply(200, b"x" * 1000)}, ssl_context=context)
    server.route("/hostile", case.make())
    server.route("*", redirect_with_large_head if name == "redirects with large heads" else redirect_to_another)
    measured = probe.ask(small=server.url(), url=server.url("/hostile"), how=case.how, total=case.total)
    assert measured["code"] == case.code
    assert measured["peak"] - measured["idle"] < ALLOWED, f"{(measured['peak'] - measured['idle']) / MIB:.1f} MiB"
    assert measured["seconds"] < SOON
    assert measured["blocked"] < BLOCKED


WITH_PEAK = """
import atexit, pathlib, sys
def tell():
    [line] = [l for l in pathlib.Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM")]
    print(line.split()[1], file=sys.stderr)
atexit.register(tell)
from asyncfetch.cli import main
main()
"""


def peak_of_command(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    """Run the command; return the most memory that it had, in bytes, and the codes of its records."""
    command = [sys.executable, "-c", WITH_PEAK, "get", "-q", "--retry=0", "-P", str(folder), *arguments]
    ended = subprocess.run(command, capture_output=True, env=environment(), timeout=120, check=False)
    records = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return int(ended.stderr.split()[-1]) * 1024, [record.get("error", {}).get("code", "") for record in records]


def test_a_hundred_chains_of_redirects_take_the_command_little(
    make_fault_server: MakeFaultServer, tmp_path: Path
) -> None:
    """A hundred chains at once, every head as large as may be, keep no more than one such head each."""
    hosts = [f"127.0.0.{number}" for number in range(1, 21)]
    server = make_fault_server({"*": redirect_with_large_head}, addresses=hosts, keep_log=0)
    urls = [server.url(f"/{number}", host) for number in range(5) for host in hosts]
    large, codes = peak_of_command(tmp_path / "large", *urls)
    assert codes == ["protocol.too_large"] * 100
    server.route("*", Reply(200, b"x"))
    small, codes = peak_of_command(tmp_path / "small", *urls)
    assert codes == [""] * 100
    assert large - small < 100 * 1.2 * MIB, f"{(large - small) / MIB:.1f} MiB"


def test_command_stays_near_idle(make_fault_server: MakeFaultServer, tmp_path: Path) -> None:
    """Five bombs at once, bodies saved, take the command at most 30 MiB more than five small pages, and no file."""
    server = make_fault_server({"/small": Reply(200, b"x"), "/bomb": coded("gzip, gzip", gzipped(2))})
    small, codes = peak_of_command(tmp_path / "small", *[server.url("/small")] * 5)
    assert codes == [""] * 5
    large, codes = peak_of_command(tmp_path / "bombs", *[server.url("/bomb")] * 5)
    assert codes == ["body.too_large"] * 5
    assert large - small < ALLOWED, f"{(large - small) / MIB:.1f} MiB"
    assert all(path.name.startswith("results.jsonl") for path in (tmp_path / "bombs").iterdir())
