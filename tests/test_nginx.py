"""The real command against a real nginx: the whole way, over http and https, with every framing nginx has."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import trustme

from asyncfetch.testing import unused_port

BINARY = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
PER_HOST = 6  # the command's default
PATIENCE = 30.0  # seconds for nginx to start or stop

pytestmark = [
    pytest.mark.nginx,
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="no nginx binary in PATH or /usr/sbin (Debian: nginx-light)"),
]

CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log warn;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path {prefix}/temp;
    proxy_temp_path {prefix}/temp;
    fastcgi_temp_path {prefix}/temp;
    uwsgi_temp_path {prefix}/temp;
    scgi_temp_path {prefix}/temp;
    log_format seen '$server_port $connection $status $sent_http_content_encoding $sent_http_transfer_encoding';
    access_log {prefix}/access.log seen;
    types {{ text/html html; }}
    default_type application/octet-stream;
    root {root};
    sendfile on;
    tcp_nodelay on;
    keepalive_requests 1000000;
    ssl_certificate {prefix}/server.pem;
    ssl_certificate_key {prefix}/server.pem;
    server {{
        listen 127.0.0.1:{http};
        listen 127.0.0.1:{https} ssl;
        location /gzip/ {{ gzip on; gzip_types *; gzip_min_length 1; }}
        location /gzipped/ {{ gzip_static on; }}
        location /chunked/ {{ ssi on; ssi_types *; }}
        if ($request_uri ~ ^/moved/([^?]*)) {{ return 301 $scheme://$http_host/plain/$1; }}
        if ($request_uri ~ ^/found/([^?]*)) {{ return 302 ../plain/$1; }}
        if ($request_uri ~ ^/secure/([^?]*)) {{ return 307 https://$host:{https}/plain/$1; }}
    }}
    server {{
        listen 127.0.0.1:{brief};
        keepalive_requests 10;
        location /until-close/ {{ ssi on; ssi_types *; chunked_transfer_encoding off; }}
    }}
}}
"""


class Seen(NamedTuple):
    """One line of the access log."""

    port: int
    connection: int
    status: int
    coding: str
    framing: str


class Nginx:
    """An nginx of our own, running in the foreground below a directory of its own.

    Attributes:
        root: the directory it serves.
        ca_file: the authority of its certificate.
        http, https: origins of the same files; the connections live as long as the client wants.
        brief: another origin, which closes each connection at its tenth answer.
    """

    def __init__(self, prefix: Path) -> None:
        self.root = prefix / "www"
        self.ca_file = prefix / "ca.pem"
        self._prefix = prefix
        ports: set[int] = set()
        while len(ports) < 3:
            ports.add(unused_port())
        self._http, self._https, self._brief = ports
        self.http, self.https = f"http://127.0.0.1:{self._http}", f"https://127.0.0.1:{self._https}"
        self.brief = f"http://127.0.0.1:{self._brief}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.root.mkdir(parents=True)
        (self._prefix / "temp").mkdir()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(self._prefix / "server.pem")
        configuration = CONFIGURATION.format(
            user="user root;" if os.geteuid() == 0 else "",  # its worker must be able to read tmp_path
            prefix=self._prefix,
            root=self.root,
            http=self._http,
            https=self._https,
            brief=self._brief,
        )
        (self._prefix / "nginx.conf").write_text(configuration)
        assert BINARY is not None
        with (self._prefix / "stderr.log").open("wb") as stderr:
            self._process = subprocess.Popen(
                [BINARY, "-e", "stderr", "-p", self._prefix, "-c", "nginx.conf"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        self._await_port(time.monotonic() + PATIENCE)

    def _await_port(self, deadline: float) -> None:
        """Wait until it listens; it opens all its ports before the first connection is accepted."""
        assert self._process is not None
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", self._brief)).close()
                return
            time.sleep(0.02)
        pytest.fail(f"nginx did not start: {(self._prefix / 'stderr.log').read_text()}")

    def stop(self) -> None:
        """Let it finish its log and end, and wait for that; at the second time there is nothing to do."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(PATIENCE)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # its worker too
            process.wait()
            raise

    def seen(self, origin: str) -> list[Seen]:
        """What the access log says about an origin, complete after `stop`."""
        lines = (line.split() for line in (self._prefix / "access.log").read_text().splitlines())
        return [
            Seen(int(port), int(number), int(status), coding, framing)
            for port, number, status, coding, framing in lines
            if origin.endswith(f":{port}")
        ]

    @property
    def complaints(self) -> str:
        """What it wrote into its error log, missing files left out."""
        lines = (self._prefix / "error.log").read_text().splitlines()
        return "\n".join(line for line in lines if "(2: No such file or directory)" not in line)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    server = Nginx(tmp_path / "nginx")
    try:
        server.start()
        yield server
    finally:
        server.stop()


class Entry(NamedTuple):
    """One line of the list, and what must become of it."""

    path: str
    file: Path | None  # which file its body equals; None for a 404
    final_path: str  # differs from `path` for a redirect

    @property
    def is_redirect(self) -> bool:
        return self.final_path != self.path


COPIES = ["", "?", "?copy=3", "?Copy=%2F4&x", "?copy=../5"]  # URLs of one file; a redirect here drops the query
KINDS = [*["plain"] * 7, *["gzip"] * 4, *["gzipped"] * 2, *["chunked"] * 3, "moved", "found", "secure", "missing"]
LARGE = {103: 3_000_000, 208: 2_500_001, 311: 4_000_000, 414: 3_333_333}  # of plain, gzip, gzipped, chunked


def size_of(number: int) -> int:
    if number in LARGE:
        return LARGE[number]
    if number % 50 == 0:
        return 0
    return (number * 37) % 150_000 if number % 33 == 0 else (number * 7919) % 6_000


def make_files(root: Path, how_many: int) -> list[Entry]:
    """Write files, all different, and say by which paths they can be had; also some that are not there."""
    for kind in {*KINDS, "until-close"}:
        (root / kind).mkdir()
    return [_make_file(root, number) for number in range(how_many)]


def _make_file(root: Path, number: int) -> Entry:
    kind = KINDS[number % len(KINDS)]
    name = f"Größe {number} 100%.bin" if number % 7 == 0 else f"{number}.bin"
    path = f"/{kind}/{quote(name)}"
    if kind == "missing":
        return Entry(path, None, path)
    folder = "plain" if kind in {"moved", "found", "secure"} else kind
    content = Random(number).randbytes(size_of(number) // 2).hex().encode()  # text: SSI must not find a command
    file = root / folder / name
    file.write_bytes(content)
    if kind == "gzipped":
        Path(f"{file}.gz").write_bytes(gzip.compress(content, 1))
    return Entry(path, file, f"/{folder}/{quote(name)}")


def run_get(tmp_path: Path, urls: list[str], *options: str | Path) -> tuple[int, list[dict[str, Any]], str]:
    """Run the command on a list; return its exit status, its records, and what it said on stderr."""
    (tmp_path / "urls.txt").write_text("\n".join(urls) + "\n")
    command = [sys.executable, "-W", "error", "-m", "asyncfetch", "get", "urls.txt"]
    done = subprocess.run(
        [*command, "-P", "bodies", "-o", "results.jsonl", *options],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    records = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    return done.returncode, records, done.stderr


@cache
def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir()}


def check_record(record: dict[str, Any], url: str, final_url: str, file: Path | None, bodies: Path) -> None:
    """A record tells what the entry was to become, and the body is the served file's, byte for byte."""
    assert record["url"] == url
    assert record["attempts"] == 1, record
    if file is None:
        assert (record["ok"], record["status"], record["error"]["code"]) == (False, 404, "http.4xx"), record
        assert "path" not in record
        return
    assert (record["ok"], record["status"]) == (True, 200), record
    assert record["bytes"] == file.stat().st_size
    assert digest(bodies / record["path"]) == digest(file), record
    if final_url == url:
        assert "redirects" not in record
        assert "final_url" not in record
    else:
        assert record["redirects"] == [url]
        assert record["final_url"] == final_url


def final_url_of(nginx: Nginx, origin: str, entry: Entry) -> str:
    return (nginx.https if entry.path.startswith("/secure/") else origin) + entry.final_path


def test_ten_thousand_urls(nginx: Nginx, tmp_path: Path) -> None:
    """Each of 10,000 URLs has one record, and each body is the served file, whatever way nginx sent it."""
    entries = make_files(nginx.root, 1_000)
    origins = (nginx.http, nginx.https)
    wanted = [(origin, copy, entry) for copy in COPIES for entry in entries for origin in origins]
    urls = [origin + entry.path + copy for origin, copy, entry in wanted]
    status, records, stderr = run_get(tmp_path, urls, "--cacert", nginx.ca_file)
    nginx.stop()
    assert status == 3, stderr
    assert sorted(record["n"] for record in records) == list(range(1, 10_001))
    for record in records:
        origin, copy, entry = wanted[record["n"] - 1]
        url = origin + entry.path + copy
        final_url = final_url_of(nginx, origin, entry) if entry.is_redirect else url
        check_record(record, url, final_url, entry.file, tmp_path / "bodies")
    saved = [record["path"] for record in records if record["ok"]]
    assert len(saved) == len(set(saved)) == 9_500
    assert files_below(tmp_path / "bodies") == set(saved), "something temporary was left"
    assert nginx.complaints == ""
    for origin in origins:
        assert len({seen.connection for seen in nginx.seen(origin)}) <= PER_HOST


def test_the_mix_is_what_it_says(nginx: Nginx, tmp_path: Path) -> None:
    """The list that the great test uses has each status, and all four of fixed and chunked, gzip and plain."""
    entries = make_files(nginx.root, 100)
    urls = [nginx.http + entry.path for entry in entries]
    status, records, stderr = run_get(tmp_path, urls, "--cacert", nginx.ca_file)
    nginx.stop()
    assert (status, len(records)) == (3, 100), stderr
    seen = nginx.seen(nginx.http)
    assert Counter(line.status for line in seen).keys() == {200, 301, 302, 307, 404}
    assert {(line.coding, line.framing) for line in seen if line.status == 200} == {
        ("-", "-"),
        ("-", "chunked"),
        ("gzip", "-"),
        ("gzip", "chunked"),
    }


def test_connections_that_do_not_last(nginx: Nginx, tmp_path: Path) -> None:
    """A server that closes every connection at its tenth answer, or after each, costs no attempt and no failure."""
    make_files(nginx.root, 0)
    urls, files = [], []
    for number in range(400):
        kind = "until-close" if number % 10 == 3 else "plain"
        files.append(nginx.root / kind / f"{number}.bin")
        files[-1].write_bytes(Random(number).randbytes(size_of(number) // 2).hex().encode())
        urls.append(f"{nginx.brief}/{kind}/{number}.bin")
    status, records, stderr = run_get(tmp_path, urls)
    nginx.stop()
    assert status == 0, stderr
    assert sorted(record["n"] for record in records) == list(range(1, 401))
    for record in records:
        at = record["n"] - 1
        check_record(record, urls[at], urls[at], files[at], tmp_path / "bodies")
    per_connection = Counter(line.connection for line in nginx.seen(nginx.brief))
    assert max(per_connection.values()) == 10
    assert nginx.complaints == ""
