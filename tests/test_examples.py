"""The examples do what they say: each is run as its first line says, in a process of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from asyncfetch.testing import (
    Close,
    FaultServer,
    Reply,
    Script,
    Send,
    Sequence,
    Silence,
    redirect,
    throttle,
    unused_port,
)
from asyncfetch.testing.fixtures import MakeFaultServer

EXAMPLES = Path(__file__).parent.parent / "examples"
PYTHON = [sys.executable, "-W", "error"]  # with -X dev, asyncio remarks on steps that a busy machine makes slow
PATIENCE = 60.0  # seconds

CUT = Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), Close())

PEAK = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
with open("/proc/self/status") as file:
    print(*[line for line in file if line.startswith("VmHWM:")], end="")
"""

pytestmark = pytest.mark.slow  # each starts an interpreter


def files() -> list[Path]:
    return sorted(EXAMPLES.glob("*"))


def run(name: str, *arguments: str | Path, status: int = 0, before: list[str] | None = None) -> list[str]:
    """Run an example, and return the lines it printed; on stderr there is something only if it fails."""
    done = subprocess.run(
        [*PYTHON, *(before or []), EXAMPLES / f"{name}.py", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == status, done.stderr
    assert bool(done.stderr) == bool(status), done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines() if status == 0 else done.stderr.splitlines()


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_form(path: Path) -> None:
    """An example is short, says how it is run, and has a test here."""
    lines = path.read_text().splitlines()
    assert len(lines) <= 40
    assert re.fullmatch(rf'"""\w.*: python examples/{path.stem}\.py [A-Z].*\."""', lines[0])
    assert f"test_{path.stem}" in globals()


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_without_arguments(path: Path) -> None:
    """Without what it needs, an example says how it is run, and fails."""
    [line] = run(path.stem, status=1)
    assert line == path.read_text().splitlines()[0].strip('"')


def test_one_url(fault_server: FaultServer) -> None:
    """It prints status, type and text, of a 404 as well."""
    fault_server.route("/", Reply(200, "Grüße".encode(), {"Content-Type": "text/plain; charset=utf-8"}, gzip=True))
    assert run("one_url", fault_server.url()) == ["200 OK", "text/plain; charset=utf-8 7 bytes", "Grüße"]
    assert run("one_url", fault_server.url("/missing"))[0] == "404 Not Found"


def test_one_url_without_an_answer() -> None:
    """Where nothing answers, it says why and fails."""
    [line] = run("one_url", url := f"http://127.0.0.1:{unused_port()}/", status=1)
    assert line.startswith(f"connect.refused: {url}: ")


def test_many_urls(fault_server: FaultServer) -> None:
    """Each URL has its line, whatever becomes of it."""
    fault_server.route("/a", Reply(200, b"aa"))
    fault_server.route("/b", redirect("/a"))
    fault_server.route("/cut", CUT)
    urls = [fault_server.url(path) for path in ("/a", "/b", "/missing", "/cut")]
    lines = run("many_urls", *urls, "htp://example.org/")
    assert sorted(line.split(": ")[0] for line in lines) == [
        f"1 200 2 bytes {urls[0]}",
        f"2 200 2 bytes {urls[1]}",
        f"3 http.4xx {urls[2]}",
        f"4 protocol.incomplete {urls[3]}",
        "5 url.invalid htp://example.org/",
    ]


def test_own_limits(fault_server: FaultServer) -> None:
    """The limits of the client hold, and those of single requests instead of them."""
    fault_server.route("/ok", throttle(2, Reply(200, b"ok", delay=0.05)))
    fault_server.route("/flaky", Sequence(Reply(503), Reply(200)))
    fault_server.route("/broken", Reply(500))
    fault_server.route("/large", Reply(200, bytes(1001)))
    fault_server.route("/silent", Script(Silence()))
    fault_server.route("/moved", redirect("/ok"))
    paths = ["/flaky", "/broken", "/large", "/large?quick", "/silent?quick", "/moved", "/moved?quick"]
    lines = run("own_limits", *(fault_server.url(path) for path in paths + ["/ok"] * 10))
    outcomes = sorted(line.replace(fault_server.url(""), "") for line in lines)
    assert outcomes == [
        "200 after 1 attempts: /large",
        "200 after 1 attempts: /moved",
        *["200 after 1 attempts: /ok"] * 10,
        "200 after 2 attempts: /flaky",
        "302 after 1 attempts: /moved?quick",
        "body.too_large after 1 attempts: /large?quick",
        "http.5xx after 2 attempts: /broken",
        "timeout.head after 2 attempts: /silent?quick",
    ]
    assert fault_server.seen.most_at_once <= 2
    languages = {(seen.path, seen.header("Accept-Language")) for seen in fault_server.seen.log}
    assert ("/ok", "eo") in languages


def test_each_host(make_fault_server: MakeFaultServer) -> None:
    """A host of its own has its limits and header, the others keep to the rate, and a dead one is given up."""
    own, other, dead = "127.0.0.1", "127.0.0.2", f"http://127.0.0.3:{unused_port('127.0.0.3')}"
    server = make_fault_server({"*": Reply(200, b"x", delay=0.02)}, addresses=(own, other))
    alive = [server.url(f"/{n}", host) for n in range(8) for host in (own, other)]
    *lines, first, second, third = run("each_host", *alive, *(f"{dead}/{n}" for n in range(50)))
    assert sorted(line for line in lines if dead not in line) == sorted(f"200 {url}" for url in alive)
    assert {line.split()[0] for line in lines if dead in line} <= {"connect.refused", "host.unavailable"}
    assert len(lines) == 66
    assert [first, second] == [f"{host}:{server.port}: 8 ok, 0 failed, ok" for host in (own, other)]
    assert third == f"{dead.removeprefix('http://')}: 0 ok, 50 failed, broken connection refused"
    teams = {(request.host.partition(":")[0], request.header("X-Team")) for request in server.seen.log}
    assert teams == {(own, "archive"), (other, None)}
    times = [request.time for request in server.seen.log if request.host.startswith(other)]
    assert times[-1] - times[0] > 7 / 20 - 0.05


def test_bodies_to_files(fault_server: FaultServer, tmp_path: Path) -> None:
    """Each body is in a file of its own below the directory, under a harmless name, and nothing else is there."""
    fault_server.route("/a.txt", Reply(200, b"a"))
    fault_server.route("/..%2f..%2fEvil", Reply(200, b"evil", chunked=True))
    fault_server.route("/large", Reply(200, large := bytes(range(256)) * 4096))
    fault_server.route("/none", Reply(204))
    fault_server.route("/cut", CUT)
    paths = ["/a.txt", "/a.txt", "/..%2f..%2fEvil", "/large", "/none", "/cut", "/missing"]
    bodies = tmp_path / "bodies"
    lines = run("bodies_to_files", bodies, *(fault_server.url(path) for path in paths))
    outcomes = dict(line.split()[::-1] for line in lines)
    assert outcomes[fault_server.url("/cut")] == "protocol.incomplete"
    assert outcomes[fault_server.url("/missing")] == "http.4xx"
    saved = {path.relative_to(bodies).as_posix(): path.read_bytes() for path in bodies.rglob("*") if path.is_file()}
    assert sorted(saved.values()) == [large, b"a", b"a", b"evil"]
    assert saved.keys() == {line.split()[0] for line in lines} - {"protocol.incomplete", "http.4xx"}
    assert not any(part.startswith(".") for path in saved for part in path.split("/"))
    assert {path.name for path in tmp_path.iterdir()} == {"bodies"}


def test_own_sink(fault_server: FaultServer) -> None:
    """It prints the checksum of each body, and the code of what has none, of a second attempt as well."""
    fault_server.route("/a", Reply(200, content := b"x" * 100_000, gzip=True))
    fault_server.route("/flaky", Sequence(CUT, Reply(200, content)))
    fault_server.route("/empty", Reply(200))
    urls = [fault_server.url(path) for path in ("/a", "/flaky", "/empty", "/missing")]
    digests = [hashlib.sha256(body).hexdigest() for body in (content, content, b"")]
    lines = run("own_sink", *urls)
    assert sorted(lines) == sorted(map(" ".join, zip([*digests, "http.4xx"], urls, strict=True)))


def test_stream_large(fault_server: FaultServer, tmp_path: Path) -> None:
    """A body of 200 MiB becomes a file, while the process stays below 100 MiB."""
    block, blocks = os.urandom(1024 * 1024), 200
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(block) * blocks)
    fault_server.route("/", Script(Send(head), *[Send(block)] * blocks))
    file = tmp_path / "large"
    *progress, last, peak = run("stream_large", fault_server.url(), file, before=["-c", PEAK])
    assert len(progress) in {11, 12}
    assert all(re.fullmatch(r"\d+ of 209715200 bytes", line) for line in progress)
    assert last == f"209715200 bytes in {file}"
    with file.open("rb") as saved:
        assert all(saved.read(len(block)) == block for _ in range(blocks))
    assert list(tmp_path.iterdir()) == [file]
    file.unlink()
    assert int(peak.split()[1]) < 100 * 1024, peak  # in KiB, with what an interpreter has anyway


def test_stream_large_that_breaks_off(fault_server: FaultServer, tmp_path: Path) -> None:
    """What is not whole never appears under the name."""
    fault_server.route("/cut", CUT)
    [line] = run("stream_large", fault_server.url("/cut"), tmp_path / "file", status=1)
    assert line.startswith("protocol.incomplete: ")
    [line] = run("stream_large", fault_server.url("/missing"), tmp_path / "file", status=1)
    assert line.startswith("http.4xx: ")
    assert not (tmp_path / "file").exists()


def test_watch_progress(fault_server: FaultServer) -> None:
    """It tells how far it is while it works, and at the end what each host did."""
    fault_server.route("/a", Reply(200, b"abc", delay=0.2))
    paths = ["/a"] * 20 + ["/missing"]
    first, *_, last = run("watch_progress", *(fault_server.url(path) for path in paths))
    assert re.fullmatch(r"\d+ done, [01] failed, [1-6] in flight, \d+ bytes", first)
    host = f"127.0.0.1:{fault_server.port}"
    assert re.fullmatch(rf"{host}: 20 ok, 1 failed {{'http\.4xx': 1}}, median [2-9]\d\d ms", last)


@contextlib.contextmanager
def service(**environment: str) -> Iterator[str]:
    """Run the service on a free port while the block runs; give its origin, and see that it ends in good order."""
    process = subprocess.Popen(
        [*PYTHON, EXAMPLES / "starlette_service.py", "0"],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            log = _read_until(process, b"Uvicorn running on ")
            yield log.rpartition("Uvicorn running on ")[2].split()[0]
            process.send_signal(signal.SIGTERM)
            rest = process.communicate(timeout=PATIENCE)[1].decode()
        finally:
            process.kill()
    assert "Application shutdown complete" in rest
    assert "Warning" not in rest
    assert "Traceback" not in rest


def _read_until(process: subprocess.Popen[bytes], mark: bytes) -> str:
    """Read stderr up to the end of the line with the mark."""
    assert process.stderr is not None
    log, deadline = b"", time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while not re.search(re.escape(mark) + b".*\n", log):
            selector.select(deadline - time.monotonic())
            piece = os.read(process.stderr.fileno(), 65536)
            assert piece, f"it ended: {log.decode()}"
            log += piece
    return log.decode()


def ask(origin: str, urls: list[str]) -> dict[str, object]:
    query = urlencode([("url", url) for url in urls])
    with urlopen(f"{origin}/statuses?{query}", timeout=PATIENCE) as answer:
        found: dict[str, object] = json.load(answer)
    return found


def test_starlette_service(fault_server: FaultServer) -> None:
    """It answers with the status of each URL, up to the tenth."""
    fault_server.route("/a", Reply(200, b"abc"))
    fault_server.route("/b", redirect("/a"))
    urls = [*(fault_server.url(path) for path in ("/a", "/b", "/missing")), "nonsense"]
    with service(ALLOW="127.0.0.0/8") as origin:
        assert ask(origin, urls) == dict(zip(urls, [200, 200, "http.4xx", "url.invalid"], strict=True))
        assert len(ask(origin, [fault_server.url(f"/a?{number}") for number in range(12)])) == 10
        assert ask(origin, []) == {}


def test_starlette_service_does_not_wait(fault_server: FaultServer) -> None:
    """Who asks for what does not end has an answer in time, and everything is given back for the next."""
    fault_server.route("/ok", Reply(200))
    fault_server.route("/silent", Script(Silence()))
    fault_server.route("/later", Reply(429, headers={"Retry-After": "60"}))
    ok, silent, later = (fault_server.url(path) for path in ("/ok", "/silent", "/later"))
    with service(ALLOW="127.0.0.0/8", PATIENCE="1") as origin:
        assert ask(origin, [ok, silent]) == {ok: 200, silent: "not in time"}
        assert ask(origin, [ok]) == {ok: 200}
        assert ask(origin, [ok, later])[later] == "not in time"


def test_starlette_service_has_one_client(fault_server: FaultServer) -> None:
    """However many ask at once, a host sees no more requests and connections than the limit."""
    fault_server.route("/a", Reply(200, b"abc", delay=0.02))
    urls = [fault_server.url(f"/a?{number}") for number in range(10)]
    with service(ALLOW="127.0.0.0/8") as origin, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, [origin] * 8, [urls] * 8))
    assert answers == [dict.fromkeys(urls, 200)] * 8
    assert fault_server.seen.most_at_once == 4
    assert fault_server.seen.connections == 4


def test_starlette_service_is_guarded(fault_server: FaultServer) -> None:
    """Unless it is allowed, nobody reaches this machine through it, by a redirect neither."""
    with service(ALLOW="") as origin:
        assert ask(origin, [fault_server.url()]) == {fault_server.url(): "connect.blocked"}
    assert fault_server.seen.connections == 0
    with service(ALLOW="127.0.0.1") as origin:
        fault_server.route("/", redirect("http://127.0.0.2/"))
        assert ask(origin, [fault_server.url()]) == {fault_server.url(): "connect.blocked"}
