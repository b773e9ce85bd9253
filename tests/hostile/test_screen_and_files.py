"""What strangers wrote, on a terminal, in logs, in records and as names of files: it is shown, and does nothing."""

from __future__ import annotations

import json
import os
import re
import ssl
import unicodedata
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from asyncfetch.testing import Close, FaultServer, Reply, Script, SeenRequest, Send, redirect
from asyncfetch.testing.fixtures import MakeFaultServer
from tests.cli.command import Run, Terminal, read_records, run

pytestmark = pytest.mark.slow

# a title, a cleared screen, a colour, C1 controls, an overwritten line, invisible and bidi marks, a tag, rich's
# markup (some of it broken), a link, an emoji code, a mark without a letter
ACTIVE = (
    "\x1b]0;PWNED\x07\x1b[2J\x1b[38;5;196m\x9b31m\x90q\x85\x08\x0b\x0c\rEVIL\u2028\u2029\u202e\u2066\u200f\u200b"
    "\ufeff\U000e0041\x7f"
)
PASSIVE = "[bold red]PWNED[/] [/nope] [link=http://e/]x[/link] :bomb: \u0301\u0301\u0301 \\[x]"
EVIL = ACTIVE + PASSIVE
RECORDED = (b"ETag", b"Content-Type", b"Last-Modified")
IN_HEADS = EVIL.replace("\r", "").encode()

# what asyncfetch itself writes on a terminal: colours, erased lines, cursor up, cursor on and off, whole frames
_OWN = re.compile(rb"\x1b\[(?:[0-9](?:;3[0-7])?m|3[0-7]m|2K|[0-9]*A|\?25[hl]|\?2026[hl])")
_DOES_SOMETHING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def assert_harmless(written: bytes) -> str:
    """See that only what asyncfetch means is done to a terminal; return the text that is shown."""
    text = _OWN.sub(b"", written).decode()  # strictly UTF-8
    assert not {c for c in text if unicodedata.category(c) in _DOES_SOMETHING and c not in "\r\n\t"}
    assert "\rEVIL" not in text
    assert "\N{BOMB}" not in text
    return text


def assert_shown_escaped(text: str) -> None:
    """See that it has been shown at all, and how."""
    assert "\\x1b]0;PWNED" in text.replace("\\\\", "\\")
    assert "[bold red]PWNED[/]" in text
    assert ":bomb:" in text
    assert "\u0301" * 3 not in text


def hostile_urls(server: FaultServer) -> list[str]:
    """URLs whose answers, or which themselves, bring hostile text into every kind of message."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
    routes = {
        "/reason": b"HTTP/1.1 500 %b\r\nContent-Length: 0\r\n\r\n" % IN_HEADS,
        "/start": b"HTTP/1.1 %b\r\n\r\n" % IN_HEADS,
        "/protocol": b"%b\r\n\r\n" % IN_HEADS,
        "/field": b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % IN_HEADS,
        "/fields": head + b"".join(b"%b: %b\r\n" % (n, IN_HEADS) for n in RECORDED) + b"\r\nx",
        "/length": b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n" % IN_HEADS,
        "/transfer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %b\r\n\r\n" % IN_HEADS,
        "/coding": head + b"Content-Encoding: %b\r\n\r\nx" % IN_HEADS,
        "/chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n" % IN_HEADS,
        "/nowhere": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://%b/\r\n\r\n" % IN_HEADS,
        "/on": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /%b\r\n\r\n" % IN_HEADS,
    }
    for path, raw in routes.items():
        server.route(path, Script(Send(raw), Close()))
    server.route("/slow", Reply(200, delay=0.4))  # long enough for the live view
    given = [f"/ok?{EVIL}", f"/ok#{EVIL}", f"/{EVIL}"]
    texts = [
        EVIL,
        f"http://{EVIL}/",
        f"{EVIL}://host/",
        f"http://host:{EVIL}/",
        f"http://{EVIL}@host:x/",
        "http://\u202ehost/",
    ]
    return [*(server.url(path) for path in [*routes, *given, "/slow"]), *texts]


@pytest.fixture
def listed(fault_server: FaultServer, tmp_path: Path) -> Path:
    """A list of hostile URLs in a file with a hostile name."""
    path = tmp_path / f"urls{ACTIVE[:20]}"
    path.write_text("\n".join(hostile_urls(fault_server)), newline="")
    return path


# --- screens, logs and records


def test_live_view_and_closing_tables(listed: Path, tmp_path: Path) -> None:
    """A run with hostile URLs and answers shows them on a terminal, which obeys none of them."""
    with Terminal(
        "get", "-v", "--retry=0", "--progress=live", listed, "-o", tmp_path / "o.jsonl", size=(600, 60)
    ) as terminal:
        assert terminal.end() == 3
        assert b"\x1b[?2026h" in terminal.written  # it was live
        assert_shown_escaped(assert_harmless(terminal.written))
    assert_records_are_single_lines(tmp_path / "o.jsonl", listed)


def assert_records_are_single_lines(results: Path, listed: Path) -> None:
    """See that there is a line for each entry, for whoever splits lines however, and no character that acts."""
    text = results.read_bytes().decode()
    lines = text.splitlines()
    assert len(lines) == text.count("\n") == listed.read_bytes().count(b"\n") + 1
    assert not {c for line in lines for c in line if unicodedata.category(c) in _DOES_SOMETHING}
    records = read_records(results)
    assert [record["n"] for record in records] == list(range(1, len(lines) + 1))
    by_path = {record["url"].rpartition("/")[2]: record for record in records}
    assert by_path["fields"]["etag"].encode("latin-1") == IN_HEADS
    assert any(EVIL in record["url"] for record in records)


def test_plain_log(listed: Path, tmp_path: Path) -> None:
    """In a pipe nothing but plain text is written: no control character, not even of our own."""
    ended = run("get", "-v", "--retry=0", listed, "-o", tmp_path / "o.jsonl")
    assert ended.status == 3
    assert "\x1b" not in ended.err
    assert_shown_escaped(assert_harmless(ended.err.encode()))


def test_records_on_a_terminal(listed: Path) -> None:
    """-o - on a terminal writes records that do nothing to it."""
    with Terminal("get", "--retry=0", listed, "-o", "-", size=(3000, 60)) as terminal:
        assert terminal.end() == 3
        assert_harmless(terminal.written)
        assert "\\u001b]0;PWNED" in terminal.text


def test_summary_as_json(listed: Path) -> None:
    """--json is one line without a character that acts."""
    ended = run("get", "-q", "--json", "--retry=0", listed)
    assert ended.out.count(b"\n") == 1
    assert ended.out.isascii()
    assert "PWNED" in str(json.loads(ended.out))


@pytest.mark.parametrize("options", [[], ["--raw"], ["-L"]], ids=str)
def test_show(fault_server: FaultServer, options: list[str]) -> None:
    """`show` gives a response, and why there is none, to a terminal that obeys nothing of it."""
    hostile_urls(fault_server)
    body = Reply(200, EVIL.encode(), headers={"X-Field": IN_HEADS.decode("latin-1")})
    fault_server.route("/body", body)
    shown = ""
    for path in ("/body", "/reason", "/field", "/on", "/nowhere"):
        with Terminal("show", *options, fault_server.url(path), size=(1500, 60)) as terminal:
            terminal.end()
            shown += assert_harmless(terminal.written)
    assert_shown_escaped(shown)


def test_names_in_certificates(make_fault_server: MakeFaultServer, tmp_path: Path) -> None:
    """A certificate that is trusted, and one that is not, are described without being obeyed."""
    context, ca_file = certificate_of_evil(tmp_path)
    server = make_fault_server({"/": Reply(200)}, ssl_context=context)
    with Terminal("show", "--cacert", ca_file, server.url(), size=(1500, 60)) as terminal:
        assert terminal.end() == 0
        shown = assert_harmless(terminal.written)
    assert "issued by" in shown
    assert "\\x1b]0;PWN" in shown
    with Terminal("get", "-v", "--retry=0", server.url(), size=(600, 60)) as terminal:
        assert terminal.end() == 3
        assert "tls.certificate" in assert_harmless(terminal.written)


def certificate_of_evil(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A certificate for 127.0.0.1 whose subject, issuer and further names are hostile."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    texts = {
        NameOID.COMMON_NAME: "\x1b]0;PWNED\x07\x1b[2J\x9b31m\u202e",
        NameOID.ORGANIZATION_NAME: "[bold]PWNED[/] :bomb:",
    }
    name = x509.Name([x509.NameAttribute(kind, text) for kind, text in texts.items()])
    alternatives = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("[bold red]PWNED[/]")]
    day = timedelta(days=1)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - day, now + day
    )
    certificate = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False).sign(
        key, hashes.SHA256()
    )
    alone, both = folder / "evil.pem", folder / "evil-both.pem"
    alone.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    both.write_bytes(key.private_bytes(*plain) + alone.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, alone


def test_usage_mistakes(tmp_path: Path) -> None:
    """What is wrong with a command line is said in one line that does nothing."""
    evil = f"{ACTIVE}[bold red]PWNED[/] :bomb:".replace("\r", "\n")
    for arguments in (
        [evil],
        ["get", evil],
        ["get", "-j", evil],
        ["get", "-H", evil],
        ["show", evil],
        ["get", f"--{evil}"],
    ):
        with Terminal(*arguments, size=(3000, 30), cwd=tmp_path) as terminal:
            assert terminal.end() == 2
            assert_harmless(terminal.written)
            assert terminal.written.count(b"\n") == 1


# --- files


TRAPS = [
    "/..%2f..%2f..%2fescaped",
    "/%2e%2e/%2e%2e/%2e%2e/escaped",
    "/..%5c..%5cescaped",
    "/%2e%2e%2f",
    "/a/%2e%2e%2f%2e%2e%2fescaped",
    "/%2fetc%2fpasswd",
    "//etc/passwd",
    "/~root",
    "/~",
    "/.bashrc",
    "/.git/config",
    "/.",
    "/...",
    "/-rf",
    "/-rf/--no-preserve-root",
    "/%00",
    "/a%00b",
    "/new%0aline",
    "/car%0driage",
    "/esc%1b%5b2J",
    "/tab%09",
    "/%7f",
    "/%c2%9b31m",
    "/%e2%80%aetxt.exe",
    "/%e2%80%8bhidden",
    "/CON",
    "/con.txt",
    "/NUL.tar.gz",
    "/com1/lpt1",
    "/a:b",
    "/a::$DATA",
    "/dot.",
    "/blank%20",
    "/%20",
    "/quote'%22%60",
    "/$(touch%20escaped)",
    "/*?*",
    "/x?../../../escaped",
    "/x?a/b",
    "/x;y|z",
    "/" + "a" * 300,
    "/" + "b" * 300 + ".tar.gz",
    "/" + "%c3%a9" * 300,
    "/" + "%f0%9f%92%a3" * 100,
    "/" + "d/" * 100 + "deep",
    "/" + "e" * 300 + "/" + "e" * 300,
    "/caf%C3%A9",
    "/cafe%CC%81",
    "/caf\N{LATIN SMALL LETTER E WITH ACUTE}?",
    "/README",
    "/readme",
    "/ReadMe",
    "/readme/inside",
    "/stra%C3%9Fe",
    "/STRASSE",
    "/strasse",
    "/\N{KELVIN SIGN}elvin",
    "/kelvin",
    "/",
    "/index",
    "/INDEX",
    "/index/index",
    "/%ff%fe",
    "/one/same.bin",
    "/two/same.bin",
    "/one+same.bin",
    "/one_same.bin",
    "/one%2fsame.bin",
    "/same.bin",
    "/same.bin",
    "/same.bin#fragment",
    "/same.bin~n1",
    "/results.jsonl",
    "/.asyncfetch-0000000000000000.part",
    "/link/through",
    "/dangling",
    "/taken",
    "/folder",
    "/file/in/the/way",
    "/on",
]  # fmt: skip


def plant(server: FaultServer, folder: Path, outside: Path) -> None:
    """Put links, directories and files in the way, as somebody with access to the directory might."""
    host = folder / f"127.0.0.1+{server.port}"
    host.mkdir(parents=True)
    outside.mkdir()
    (outside / "precious").write_text("precious")
    (host / "link").symlink_to(outside, target_is_directory=True)
    (host / "dangling").symlink_to(outside / "new")
    (host / "taken").symlink_to(outside / "precious")
    (host / "folder").mkdir()
    (host / "file").write_text("was here")
    (folder / f"127.0.0.2+{server.port}").symlink_to(outside, target_is_directory=True)


@pytest.fixture
def echo(make_fault_server: MakeFaultServer) -> FaultServer:
    """A server whose bodies tell which target was asked for, and whose headers try to name files."""

    def answer(request: SeenRequest) -> Reply:
        if request.path == "/on":
            return redirect("/%2e%2e%2f..%2fescaped")
        disposition = {"Content-Disposition": 'attachment; filename="../../../escaped"'}
        return Reply(200, f"{request.host}{request.target}".encode(), headers=disposition)

    return make_fault_server({"*": answer}, addresses=("127.0.0.1", "127.0.0.2"))


def test_bodies_stay_in_their_directory(echo: FaultServer, tmp_path: Path) -> None:
    """Every trap becomes a file of its own inside DIR, with its own content; nothing else is written or changed."""
    folder, outside, elsewhere = tmp_path / "a/b/c/out", tmp_path / "outside", tmp_path / "elsewhere"
    plant(echo, folder, outside)
    elsewhere.mkdir()
    urls = [
        *map(echo.url, TRAPS),
        echo.url("/host-is-a-link", "127.0.0.2"),
        echo.url("/fill%0a" + quote(EVIL, safe="")),
    ]
    ended = run("get", "-", "-P", folder, stdin="\n".join(urls), cwd=elsewhere)
    assert ended.status == 0, ended.err
    records = read_records(folder / "results.jsonl")
    assert [record["n"] for record in records] == list(range(1, len(urls) + 1))
    paths = [record["path"] for record in records]
    for record, path in zip(records, paths, strict=True):
        assert_safe_name(path)
        saved = folder / path
        assert saved.resolve().is_relative_to(folder.resolve()), path
        assert saved.is_file()
        assert not saved.is_symlink()
        assert saved.read_bytes() == expected_body(record["url"]), path
    assert len({unicodedata.normalize("NFC", path).casefold() for path in paths}) == len(paths)
    assert_nothing_else_changed(folder, outside, elsewhere, len(paths))


def expected_body(url: str) -> bytes:
    """The body of what was fetched for a URL."""
    from asyncfetch import Url

    parsed = Url.parse(url)
    target = "/%2e%2e%2f..%2fescaped" if parsed.target == "/on" else parsed.target
    return f"{parsed.origin.key}{target}".encode()


def assert_safe_name(path: str) -> None:
    parts = path.split("/")
    assert 2 <= len(parts) <= 33
    for part in parts:
        assert 0 < len(part.encode()) <= 255
        assert part.isprintable()
        assert part[0] not in ".- "
        assert part[-1] not in ". "
        assert not set(part) & set("\\:*?\"<>|\0\n\r$`;&!'(){}[]#%")
        assert part.partition(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT1"}


def assert_nothing_else_changed(folder: Path, outside: Path, elsewhere: Path, saved: int) -> None:
    assert not list(elsewhere.iterdir())
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text() == "precious"
    host = next(folder.glob("127.0.0.1+*"))
    assert (host / "file").read_text() == "was here"
    assert (host / "dangling").is_symlink()
    assert (host / "taken").is_symlink()
    assert not list((host / "folder").iterdir())
    files = [Path(top, name) for top, _, names in os.walk(folder.parents[2]) for name in names]
    ours = [path for path in files if path.is_file() and not path.is_symlink()]
    records = [path for path in ours if path.parent == folder]
    assert {path.name for path in records} <= {"results.jsonl", "results.jsonl.job.json"}
    assert len(ours) - len(records) - 1 == saved  # and the file that was in the way


def test_a_second_run_replaces_nothing(echo: FaultServer, tmp_path: Path) -> None:
    """The same list into the same directory makes further files beside the first ones."""
    urls = [echo.url(path) for path in ("/same.bin", "/", "/CON", "/link")]
    folder = tmp_path / "out"
    for number in (1, 2, 3):
        results = tmp_path / f"{number}.jsonl"
        assert run("get", "-q", *urls, "-P", folder, "-o", results).status == 0
    saved = [record["path"] for number in (1, 2, 3) for record in read_records(tmp_path / f"{number}.jsonl")]
    assert len(set(saved)) == 3 * len(urls)
    assert all((folder / path).is_file() for path in saved)


def test_a_planted_link_for_the_results_is_not_written_through(fault_server: FaultServer, tmp_path: Path) -> None:
    """A results file that is there, be it a link, is not touched without --overwrite."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/results.jsonl").symlink_to(precious)
    ended: Run = run("get", fault_server.url(), "-P", tmp_path / "out")
    assert ended.status == 2
    assert precious.read_text() == "precious"
    assert fault_server.seen.connections == 0
