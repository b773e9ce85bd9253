"""The servers: nginx, with a configuration of its own, for speed, and the FaultServer for a host that is slow."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import Random

import trustme

from asyncfetch.testing import unused_port
from tests.benchmarks.cores import on_core

__all__ = ["NGINX", "ROOT", "SMALL", "Nginx", "ServerFailed", "slow_host_server"]

ROOT = Path(__file__).resolve().parents[2]
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")

SMALL = 1024  # bytes of the small body
_PATIENCE = 10.0  # seconds for a server to start or stop
_TEXT_LINES = 110_000  # make 10 MiB, which gzip makes 1 MiB

_CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 8192; }}
http {{
    client_body_temp_path {folder}/temp;
    proxy_temp_path {folder}/temp;
    fastcgi_temp_path {folder}/temp;
    uwsgi_temp_path {folder}/temp;
    scgi_temp_path {folder}/temp;
    access_log off;
    types {{ text/plain txt; }}
    default_type application/octet-stream;
    root {folder}/www;
    open_file_cache max=16;
    sendfile on;
    tcp_nodelay on;
    keepalive_requests 100000000;
    server_tokens off;
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.pem;
    server {{
        listen 127.0.0.1:{http};
        listen 127.0.0.1:{https} ssl;
        location /file/ {{ try_files /small =404; }}
        location = /gone {{ error_page 404 /small; }}
        location = /text.txt {{ gzip_static always; gunzip off; }}
    }}
    server {{
        listen {many};
        allow 127.0.0.0/8;
        deny all;
    }}
    server {{
        listen 127.0.0.1:{closing} ssl;
        keepalive_timeout 0;
        ssl_session_cache off;
        ssl_session_tickets off;
    }}
}}
"""


class ServerFailed(Exception):
    """A server did not start."""


class Nginx:
    """An nginx in the foreground, with one worker, below a folder of its own; no rights are needed.

    It serves `/small`, the same under any name as `/file/NAME` and with status 404 as `/gone`, `/large`, and
    `/text.txt`, which is gzip in any case.

    Attributes:
        ca_file: the authority of its certificate.
        http, https: origins whose connections live as long as the client wants.
        closing: https, each connection for one answer, and each handshake in full.
        many_port: it listens there on every address of 127.0.0.0/8.
        text_size, text_wire_size: bytes of `/text.txt` decoded, and as sent.
    """

    def __init__(self, folder: Path, *, large_size: int) -> None:
        self.ca_file = folder / "ca.pem"
        self._folder = folder
        self._large_size = large_size
        ports: list[int] = []
        while len(ports) < 4:
            ports = [*{*ports, unused_port()}]
        self._http, self._https, self.many_port, self._closing = ports
        self.http = f"http://127.0.0.1:{self._http}"
        self.https = f"https://127.0.0.1:{self._https}"
        self.closing = f"https://127.0.0.1:{self._closing}"
        self.text_size = self.text_wire_size = 0

    @contextmanager
    def running(self, core: int | None) -> Iterator[None]:
        """Serve while the block runs.

        Raises:
            ServerFailed: there is no nginx, or it does not start.
        """
        if NGINX is None:
            raise ServerFailed("no nginx in PATH or /usr/sbin (Debian: nginx-light)")
        self._write_files()
        with (self._folder / "stderr.log").open("wb") as stderr, on_core(core):
            process = subprocess.Popen(
                [NGINX, "-e", "stderr", "-p", self._folder, "-c", "nginx.conf"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        try:
            self._await_port(process)
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(_PATIENCE)

    def _write_files(self) -> None:
        www = self._folder / "www"
        www.mkdir(parents=True)
        (self._folder / "temp").mkdir()
        (www / "small").write_bytes(Random(1).randbytes(SMALL // 2).hex().encode())
        with (www / "large").open("wb") as file:
            file.truncate(self._large_size)
        self._write_text(www)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(self._folder / "server.pem")
        configuration = _CONFIGURATION.format(
            user="user root;" if os.geteuid() == 0 else "",  # its worker must be able to read the folder
            folder=self._folder,
            http=self._http,
            https=self._https,
            many=self.many_port,
            closing=self._closing,
        )
        (self._folder / "nginx.conf").write_text(configuration)

    def _write_text(self, www: Path) -> None:
        """Write a text like that of a log, ten times as long as its gzip."""
        import gzip

        random = Random(1)
        line = '{{"level": "info", "path": "/articles/by-year/", "status": 200, "id": "{}", "took": {:.3f}}}\n'
        text = "".join(line.format(random.randbytes(4).hex(), random.random()) for _ in range(_TEXT_LINES)).encode()
        packed = gzip.compress(text, 6, mtime=0)
        (www / "text.txt.gz").write_bytes(packed)
        self.text_size, self.text_wire_size = len(text), len(packed)

    def _await_port(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it listens; all its ports are open before the first connection is accepted."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(ConnectionRefusedError), closing(socket.create_connection(("127.0.0.1", self._closing))):
                return
            time.sleep(0.02)
        raise ServerFailed(f"nginx did not start: {(self._folder / 'stderr.log').read_text()}")


@contextmanager
def slow_host_server(core: int | None) -> Iterator[int]:
    """Run the FaultServer of `slow_host` in a process of its own, and give its port.

    Raises:
        ServerFailed: it does not start.
    """
    with on_core(core):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.slow_host"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        try:
            said = process.stdout.readline()
            if not said:
                raise ServerFailed("the FaultServer did not start")
            yield int(said)
        finally:
            process.stdin.close()  # the sign to leave
            process.wait(_PATIENCE)
