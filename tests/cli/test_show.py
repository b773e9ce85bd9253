"""`asyncfetch show`: the response on stdout, exactly; how it came about on stderr; a terminal comes to no harm."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asyncfetch.testing import (
    Answer,
    Close,
    FaultServer,
    Reply,
    Script,
    Send,
    Silence,
    StopTLS,
    blackhole,
    redirect,
    unused_port,
)
from asyncfetch.testing.fixtures import MakeFaultServer, TLSAuthority
from tests.cli.command import AT_MOST, Started, Terminal, environment, run, shell

pytestmark = pytest.mark.slow

STRICTEST = ("-X", "dev", "-W", "error")
HTML = {"Content-Type": "text/html; charset=utf-8"}


# --- stdout


def test_head_and_decoded_body_are_on_stdout(fault_server: FaultServer) -> None:
    """The head in lines, an empty one, the body without framing and codings, whatever came how."""
    page = "<p>Grüße</p>\n".encode()
    fault_server.route("/", Reply(200, page, HTML, reason="Fine", gzip=True, chunked=5))
    ran = run("show", fault_server.url("/"), python=STRICTEST)
    kind = b"Content-Type: text/html; charset=utf-8"
    head = [b"HTTP/1.1 200 Fine", kind, b"Content-Encoding: gzip", b"Transfer-Encoding: chunked", b"", b""]
    assert (ran.status, ran.out) == (0, b"\n".join(head) + page)


def test_raw_is_every_byte(fault_server: FaultServer) -> None:
    """--raw leaves framing and codings as they are: what the server sent is what comes out, redirects included."""
    packed = Reply(200, b"zip " * 999, HTML, gzip=True, chunked=7)
    odd = b"HTTP/1.1 200 OK\r\nX:\x9b\x00y\r\nContent-Length: 3\r\n\r\n\x00\xff\n".replace(b"\x00y", b"y")
    answers: dict[str, Answer] = {
        "/packed": packed,
        "/odd": Script(Send(odd)),
        "/early": Script(Send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), Send(odd)),
    }
    sent = {
        "/packed": packed.encode(),
        "/odd": odd,
        "/early": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + odd,
    }
    for path, answer in answers.items():
        fault_server.route(path, answer)
        assert run("show", "--raw", fault_server.url(path)).out == sent[path]
    hop = redirect("/odd")
    fault_server.route("/hop", hop)
    assert run("show", "--raw", "-L", fault_server.url("/hop")).out == hop.encode() + odd


def test_what_is_no_text_comes_out_as_it_is_where_nobody_looks(fault_server: FaultServer) -> None:
    """In a pipe a picture is its bytes, and text of another charset becomes UTF-8."""
    picture = bytes(range(256)) * 40
    fault_server.route("/picture", Reply(200, picture, {"Content-Type": "image/png"}))
    fault_server.route("/latin", Reply(200, b"Gr\xfc\xdfe", {"Content-Type": "text/plain; charset=latin-1"}))
    fault_server.route(
        "/wide", Reply(200, "Grüße".encode("utf-16"), {"Content-Type": "text/plain; charset=utf-16"})
    )
    fault_server.route(
        "/bare", Reply(200, "Grüße".encode("utf-16-le"), {"Content-Type": "text/plain; charset=UTF-16"})
    )
    fault_server.route("/odd", Reply(200, "Grüße".encode(), {"Content-Type": "text/plain; charset=idna"}))
    bodies = {"/picture": picture, **dict.fromkeys(("/latin", "/wide", "/bare", "/odd"), "Grüße".encode())}
    for path, body in bodies.items():
        ran = run("show", "-q", fault_server.url(path))
        assert (ran.status, ran.err) == (0, "")
        assert ran.out.partition(b"\n\n")[2] == body


def test_only_the_head(fault_server: FaultServer) -> None:
    """-I sends HEAD, and shows what came."""
    fault_server.route("/", Reply(200, b"hello"))
    ran = run("show", "-I", fault_server.url("/"))
    assert ran.out == b"HTTP/1.1 200 OK\nContent-Length: 5\n\n"
    assert fault_server.seen.log[0].method == "HEAD"


def test_redirects_are_shown_or_followed(fault_server: FaultServer) -> None:
    """A redirect is a response like any other; -L follows it, and the report tells how it was answered."""
    fault_server.route("/old", redirect("/new"))
    fault_server.route("/new", Reply(200, b"here"))
    shown = run("show", fault_server.url("/old"))
    assert (shown.status, shown.out.partition(b"\n")[0]) == (0, b"HTTP/1.1 302 Found")
    followed = run("show", "-L", fault_server.url("/old"))
    assert followed.out == b"HTTP/1.1 200 OK\nContent-Length: 4\n\nhere"
    assert re.search(r"> GET /old.*< HTTP/1.1 302 Found\n> GET /new", followed.err, re.DOTALL)


def test_what_is_not_ok_is_shown_too(fault_server: FaultServer) -> None:
    """A status of 400 and above is shown with its body, at once though the host asks to wait; the status is 3."""
    fault_server.route("/", Reply(429, b"slow down", {"Retry-After": "60"}))
    ran = run("show", fault_server.url("/"))
    assert (ran.status, ran.out.rpartition(b"\n")[2]) == (3, b"slow down")
    assert ran.seconds < 50
    assert fault_server.seen.requests == 1


# --- stderr


def test_the_report_tells_it_from_start_to_end(fault_server: FaultServer) -> None:
    """Name, addresses tried, connection, the request as sent but for its secrets, sizes and times."""
    fault_server.route("/", Reply(200, b"x" * 5000, gzip=True))
    url = f"http://amy:secret@localhost:{fault_server.port}/"
    ran = run("show", "-4", url, "-H", "Cookie: secret", "-H", "X-Asked: yes", "-A", "me")
    at = f"127.0.0.1 port {fault_server.port}"
    lines = [re.sub(r"\d+(\.\d+)? m?s\b", "T", line) for line in ran.err.splitlines()]
    assert lines[:3] == ["* localhost is 127.0.0.1 (T)", f"* trying {at}", f"* connected to {at} (T)"]
    request = [line for line in lines if line.startswith(">")]
    assert request[:2] == ["> GET / HTTP/1.1", f"> Host: localhost:{fault_server.port}"]
    assert {"> User-Agent: me", "> X-Asked: yes", "> Cookie: ***", "> Authorization: ***"} < set(request)
    assert request[-1] == ">"
    size = re.fullmatch(r"\* 5,000 bytes \((\d+) as sent\); name T, connect T, first byte T, total T", lines[-1])
    assert size is not None
    assert int(size[1]) < 100
    assert "secret" not in ran.err


def test_the_report_tells_about_tls(make_fault_server: MakeFaultServer, tls_authority: TLSAuthority) -> None:
    """Version, cipher, for whom and by whom the certificate is, and until when; or that nobody has looked at it."""
    server = make_fault_server({"/": Reply(200)}, ssl_context=tls_authority.server_context("127.0.0.1", "a.test"))
    ran = run("show", server.url("/"), "--cacert", str(tls_authority.ca_file))
    assert ran.status == 0
    assert re.search(r"\* TLSv1\.3, TLS_\S+ \(\d", ran.err)
    assert re.search(r"\* certificate for .*a\.test.*, issued by .*trustme.*, valid until \d{4}-\d\d-\d\d", ran.err)
    assert re.search(r"; connect .*, TLS .*, first byte ", ran.err)
    assert "* the certificate was not verified" in run("show", "-k", server.url("/")).err
    refused = run("show", server.url("/"))
    assert (refused.status, refused.out) == (3, b"")
    assert "the certificate of '127.0.0.1' was signed by an authority that is not trusted here" in refused.err


def test_quiet_leaves_the_response_alone(fault_server: FaultServer) -> None:
    """-q has no report; a failure is still told, in one line."""
    fault_server.route("/", Reply(200, b"hello"))
    assert run("show", "-q", fault_server.url("/")).err == ""
    failed = run("show", "-q", f"http://127.0.0.1:{unused_port()}/")
    assert failed.status == 3
    assert re.fullmatch(r"asyncfetch: http:.*: connection refused by .* \(connect\.refused\)\n", failed.err)


def test_nobody_has_to_read_the_report(fault_server: FaultServer) -> None:
    """A report that nobody reads does not keep the response from coming."""
    fault_server.route("/", Reply(200, b"hello"))
    ran = shell("{ $A show $1 2>&1 1>&3 | true; } 3>&1", fault_server.url("/"))
    assert ran.out.endswith(b"hello")


# --- failures


def test_failures_have_one_sentence(make_fault_server: MakeFaultServer, tls_authority: TLSAuthority) -> None:
    """What came is shown, then what is missing: cut, silent, malformed, refused by TLS, swallowed."""
    cut = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nhalf"
    server = make_fault_server(
        {
            "/cut": Script(Send(cut), Close()),
            "/silent": Script(Silence()),
            "/ssh": Script(Send(b"SSH-2.0-x\r\n"), Close()),
        }
    )
    until_close = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhalf"
    secure = make_fault_server(
        {"/": Script(Send(until_close), StopTLS())}, ssl_context=tls_authority.server_context("127.0.0.1")
    )
    half = run("show", "-q", server.url("/cut"))
    assert (half.status, half.out.rpartition(b"\n")[2]) == (3, b"half")
    assert "after 4 of 10 bytes of the body (protocol.incomplete)" in half.err
    raw = run("show", "-q", "--raw", server.url("/cut"))
    assert (raw.status, raw.out) == (3, cut)
    ragged = run("show", "-q", "-k", secure.url("/"))
    assert (ragged.status, "(protocol.incomplete)" in ragged.err) == (3, True)
    silent = run("show", "-q", "--head-timeout", "0.3", server.url("/silent"))
    assert (silent.status, silent.out) == (3, b"")
    assert silent.err.endswith("/silent: no complete response head within 0.3 s (timeout.head)\n")
    assert "SSH-2.0-x" in run("show", "-q", server.url("/ssh")).err
    with blackhole() as port:
        assert "(timeout.connect)" in run("show", "--connect-timeout", "0.3", f"http://127.0.0.1:{port}/").err


def test_what_is_no_url_is_refused() -> None:
    """Status 2 and a sentence that helps."""
    for url, sentence in (
        ("example.org", "no scheme; did you mean 'https://example.org'?"),
        ("ftp://example.org/", "the scheme 'ftp' is not http or https"),
        ("http://[::1/", "'[::1' is not a valid IPv6 address"),
    ):
        ran = run("show", url)
        assert (ran.status, ran.out, ran.err) == (2, b"", f"asyncfetch: {sentence}\n")


def test_a_stdout_that_takes_nothing(fault_server: FaultServer) -> None:
    """A full disk is 1 with the reason, a closed pipe 141 in silence, a closed stdout 1 before any request."""
    fault_server.route("/", Reply(200, b"x" * 1_000_000, HTML))
    full = shell("$A show -q $1 > /dev/full", fault_server.url("/"))
    assert full.status == 1
    assert full.err == "asyncfetch: the standard output cannot be written: no space left on device\n"
    for raw in ("", "--raw"):
        closed = shell(f"$A show -q {raw} $1 | head -1; exit ${{PIPESTATUS[0]}}", fault_server.url("/"))
        assert (closed.status, closed.err) == (141, "")
        assert closed.out.strip() == b"HTTP/1.1 200 OK"
    requests = fault_server.seen.requests
    nowhere = shell("$A show $1 >&-", fault_server.url("/"))
    assert (nowhere.status, nowhere.err) == (1, "asyncfetch: the standard output is not open\n")
    assert fault_server.seen.requests == requests


def test_a_slow_reader_costs_no_timeout(fault_server: FaultServer) -> None:
    """Who reads in `less` may take longer than any deadline: the server has to wait, and the body is whole."""
    body = b"0123456789abcde\n" * 400_000
    fault_server.route("/", Reply(200, body, HTML))
    deadlines = "--read-timeout 0.3 --head-timeout 0.5 --speed-limit 1000 --speed-time 0.5"
    ran = shell(f"$A show -q {deadlines} $1 | (sleep 2; cat)", fault_server.url("/"))
    assert ran.err == ""
    assert ran.out.endswith(b"\n\n" + body)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_without_a_word(
    fault_server: FaultServer, signum: signal.Signals, status: int, loop: str
) -> None:
    """What has come has been shown; there is nothing to say."""
    fault_server.route("/", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), Silence()))
    with Started("show", "-q", "--loop", loop, fault_server.url("/"), python=STRICTEST) as command:
        while not fault_server.seen.in_progress:
            time.sleep(0.01)
        time.sleep(0.1)
        command.send(signum)
        ran = command.wait()
    said = [line for line in ran.err.splitlines() if not re.match(r"Executing <.* took [\d.]+ seconds$", line)]
    assert (ran.status, said) == (status, [])  # a debugging loop tells of a busy machine


# --- on a terminal


def test_hostile_bytes_do_nothing_on_a_terminal(fault_server: FaultServer) -> None:
    """Escapes in head, body and raw bytes are shown; lines, tabs and a line end cut in two stay what they are."""
    body = b"one\r\ntwo\tthree\x1b[2J\xc2\x9b31m\xe2\x80\xae\rfour"
    answer = (
        b"HTTP/1.1 200 \x1b]0;x\x07\r\nContent-Type: text/plain\r\nX-Evil: \x9b31m\r\nContent-Length: 31\r\n\r\n"
    )
    fault_server.route("/", Script(Send(answer + body[:4]), Send(body[4:])))
    for raw in ((), ("--raw",)):
        with Terminal("show", "-q", *raw, fault_server.url("/")) as terminal:
            assert terminal.end() == 0
            assert not re.search(
                rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae", terminal.written
            )
            assert "\none\ntwo     three\\x1b[2J\\x9b31m" in terminal.text or raw
            assert "\\rfour" in terminal.text
            assert "X-Evil: \\x9b31m" in terminal.text


def test_a_picture_is_not_shown_on_a_terminal(fault_server: FaultServer) -> None:
    """A line stands for it, and says how to save it; the rest of a large one is not even fetched."""
    fault_server.route("/small", Reply(200, bytes(range(256)), {"Content-Type": "image/png"}))
    fault_server.route("/zip", Reply(200, bytes(range(256)), {"Content-Type": "application/zip"}, gzip=True))
    fault_server.route("/large", Reply(200, b"\xff\xd8" * 4_000_000))
    with Terminal("show", fault_server.url("/small")) as terminal:
        assert terminal.end() == 0
        notice = (
            "[binary body of 256 bytes, image/png: not shown on a terminal; asyncfetch get URL -P DIR saves it]"
        )
        assert notice in terminal.text
    with Terminal("show", fault_server.url("/zip")) as terminal:
        assert terminal.end() == 0
        assert "[binary body, application/zip: not shown" in terminal.text
    with Terminal("show", fault_server.url("/large")) as terminal:
        assert terminal.end() == 0
        assert "[binary body of 8000000 bytes, unknown type: not shown" in terminal.text
        assert "the rest was not fetched" in terminal.text


def test_what_text_is_without_a_type(fault_server: FaultServer) -> None:
    """A body without Content-Type is text if it begins like UTF-8, also where its first bytes cut a character."""
    fault_server.route(
        "/text", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nGr\xc3"), Send(b"\xbc\xc3\x9fe"))
    )
    fault_server.route("/json", Reply(200, b'{"a": 1}', {"Content-Type": "application/problem+json"}))
    with Terminal("show", "-q", fault_server.url("/text")) as terminal:
        assert terminal.end() == 0
        assert "\nGrüße\n" in terminal.text
    with Terminal("show", "-q", fault_server.url("/json")) as terminal:
        assert terminal.end() == 0
        assert '{"a": 1}' in terminal.text


def test_a_terminal_that_takes_its_time(fault_server: FaultServer, tmp_path: Path) -> None:
    """Ctrl-C works while a full pipe keeps the command waiting, and at once."""
    fault_server.route("/", Reply(200, b"x" * 10_000_000, HTML))
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "asyncfetch", "show", "-q", fault_server.url("/")]
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, env=environment()) as process:
        os.close(writer)
        while not fault_server.seen.in_progress:
            time.sleep(0.01)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=AT_MOST)
    os.close(reader)
    assert (process.returncode, err) == (130, b"")
