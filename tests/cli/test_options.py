"""The options about the client: each does what it says, as the server sees it or the records tell."""

from __future__ import annotations

import base64
import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from asyncfetch import __version__
from asyncfetch.cli.exits import UsageProblem
from asyncfetch.cli.options import ClientOptions
from asyncfetch.testing import (
    Drip,
    FaultServer,
    Pause,
    Reply,
    Script,
    SeenRequest,
    Send,
    Sequence,
    Silence,
    blackhole,
    redirect,
)
from asyncfetch.testing.fixtures import MakeFaultServer, TLSAuthority
from tests.cli.command import code_of, run

pytestmark = pytest.mark.slow

OK = Reply(200, b"hello")


# --- which exclude each other


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"ipv4": True, "ipv6": True},
            "-4 and -6 exclude each other: leave both out to use either kind of address",
        ),
        ({"key": "k.pem"}, "--key needs the certificate that it belongs to: add --cert FILE"),
        (
            {"insecure": True, "cacert": "ca.pem"},
            "-k accepts any certificate, so --cacert would be without effect: leave one out",
        ),
        (
            {"allow_net": ("10.0.0.0/8",)},
            "--allow-net makes an exception from --public-only: add that, or leave it out",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], sentence: str) -> None:
    """Each refusal says what does not go together, and what to leave out or add."""
    with pytest.raises(UsageProblem) as caught:
        ClientOptions.take_from(options)
    assert str(caught.value).startswith(sentence)


def test_only_what_concerns_the_client_is_taken() -> None:
    """The command's own options stay where they are."""
    options = {"jobs": 7, "output": "x.jsonl", "quiet": True}
    assert ClientOptions.take_from(options) == ClientOptions(jobs=7)
    assert options == {"output": "x.jsonl", "quiet": True}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"headers": (("Host", "x/y"),)},
            "Host is a name or an address, with or without a port, not 'x/y'",
        ),
        ({"headers": (("Host", "x"), ("host", "y"))}, "the header Host is given twice"),
        ({"user_agent": "a\nb"}, "the value of the header User-Agent holds a line break or control character"),
        ({"cacert": "/nowhere.pem"}, "cannot read the CA file '/nowhere.pem'"),
        ({"cacert": __file__}, "holds no certificate in PEM form"),
        ({"cert": __file__}, "does not hold a certificate and its key in PEM form"),
    ],
)
def test_what_the_client_cannot_use_is_refused(options: dict[str, Any], sentence: str) -> None:
    """The client's own sentence becomes that of the command."""
    with pytest.raises(UsageProblem) as caught:
        ClientOptions(**options).open_client()
    assert sentence in str(caught.value)


# --- requests


def header_of(request: SeenRequest, name: str) -> list[str]:
    return [value for found, value in request.headers if found.lower() == name.lower()]


def test_headers_user_agent_and_credentials_are_sent(fault_server: FaultServer) -> None:
    """-H adds, replaces, removes and empties; -A names the client; -u is Basic, and nobody gets to see it."""
    fault_server.route("/", OK)
    arguments = ["-H", "X-One: 1", "-H", "Accept:", "-H", "X-Empty;", "-H", "accept-encoding: br", "-A", "me/1"]
    ran = run("get", *arguments, "-u", "bob:p:wörd", "-v", fault_server.url("/"))
    assert ran.status == 0
    [request] = fault_server.seen.log
    assert header_of(request, "x-one") == ["1"]
    assert header_of(request, "accept") == []
    assert header_of(request, "x-empty") == [""]
    assert header_of(request, "accept-encoding") == ["br"]
    assert header_of(request, "user-agent") == ["me/1"]
    token = base64.b64encode("bob:p:wörd".encode()).decode()
    assert header_of(request, "authorization") == [f"Basic {token}"]
    assert "bob" not in ran.err + ran.out.decode()
    assert token not in ran.err + ran.out.decode()


def test_defaults_are_sent_and_an_empty_user_agent_is_not(fault_server: FaultServer) -> None:
    """Without -A the client names itself; with an empty one it does not."""
    fault_server.route("/", OK)
    run("get", fault_server.url("/"))
    run("get", "-A", "", fault_server.url("/"))
    first, second = fault_server.seen.log
    assert header_of(first, "user-agent") == [f"asyncfetch/{__version__}"]
    assert header_of(first, "accept") == ["*/*"]
    assert "gzip" in header_of(first, "accept-encoding")[0]
    assert header_of(second, "user-agent") == []


def test_credentials_stay_with_their_host(make_fault_server: MakeFaultServer) -> None:
    """A redirect to another host gets neither -u nor the credentials of the URL, and no record shows them."""
    other = make_fault_server({"/": OK}, addresses=("127.0.0.2",))
    first = make_fault_server({"/": redirect(other.url("/"))})
    in_url = first.url("/").replace("//", "//amy:secret@")
    ran = run("get", "-u", "bob:secret", first.url("/"), in_url)
    assert ran.status == 0
    assert [record["url"] for record in ran.records] == [first.url("/"), first.url("/").replace("//", "//***@")]
    assert b"secret" not in ran.out
    assert "secret" not in ran.err
    sent = [header_of(request, "authorization") for request in first.seen.log]
    tokens = [f"Basic {base64.b64encode(pair).decode()}" for pair in (b"amy:secret", b"bob:secret")]
    assert sorted(sent) == [[token] for token in tokens]
    assert [header_of(request, "authorization") for request in other.seen.log] == [[], []]


def test_stacked_letters_head_and_redirects(fault_server: FaultServer) -> None:
    """-LI is -L -I: HEAD requests, that follow redirects; --no-location takes the redirect as it is."""
    fault_server.route("/old", redirect("/new"))
    fault_server.route("/new", OK)
    ran = run("get", "-LI", fault_server.url("/old"))
    assert [(r.method, r.path) for r in fault_server.seen.log] == [("HEAD", "/old"), ("HEAD", "/new")]
    assert ran.records[0]["final_url"] == fault_server.url("/new")
    assert ran.records[0]["bytes"] == 0
    stopped = run("get", "--no-location", fault_server.url("/old"))
    assert (stopped.status, stopped.records[0]["status"]) == (0, 302)
    assert fault_server.seen.by_path["/new"] == 1


def test_redirects_are_followed_so_many_times_in_a_row(fault_server: FaultServer) -> None:
    """One more than --max-redirs is too many."""
    for n in range(3):
        fault_server.route(f"/{n}", redirect(f"/{n + 1}"))
    fault_server.route("/3", OK)
    ran = run("get", "--max-redirs", "2", fault_server.url("/0"), fault_server.url("/1"))
    assert ran.status == 3
    assert ran.codes == ["redirect.too_many", ""]


# --- how much


def test_limits_on_requests_at_once_hold(make_fault_server: MakeFaultServer) -> None:
    """The servers never see more than -j in all and --max-per-host each at once, and as many as that."""
    server = make_fault_server({"*": Reply(200, delay=0.1)}, addresses=("127.0.0.1", "127.0.0.2", "127.0.0.3"))
    urls = [server.url(f"/{n}", host=f"127.0.0.{1 + n % 3}") for n in range(24)]
    ran = run("get", "-j", "4", "--max-per-host", "2", "-", stdin="\n".join(urls))
    assert ran.status == 0
    assert server.seen.most_at_once == 4
    assert {host.most_at_once for host in server.seen.by_host.values()} == {2}


def test_retries_are_further_attempts(fault_server: FaultServer) -> None:
    """--retry 1 is two attempts, --retry 0 one; what passes is tried again, what does not is not."""
    fault_server.route("/busy", Reply(503))
    fault_server.route("/gone", Reply(404))
    fault_server.route("/better", Sequence(Reply(500), OK))
    urls = [fault_server.url(path) for path in ("/busy", "/gone", "/better")]
    ran = run("get", "--retry", "1", *urls)
    assert ran.codes == ["http.5xx", "http.4xx", ""]
    assert [record["attempts"] for record in ran.records] == [2, 1, 2]
    assert [record["attempts"] for record in run("get", "--retry", "0", *urls).records] == [1, 1, 1]


def test_a_body_over_its_limit_is_given_up(fault_server: FaultServer) -> None:
    """--max-filesize is about decoded bytes; without it there is no limit."""
    fault_server.route("/small", Reply(200, bytes(1024)))
    fault_server.route("/large", Reply(200, bytes(1025)))
    fault_server.route("/zip", Reply(200, bytes(1025), gzip=True))
    urls = [fault_server.url(path) for path in ("/small", "/large", "/zip")]
    assert run("get", "--max-filesize", "1k", *urls).codes == ["", "body.too_large", "body.too_large"]
    assert run("get", *urls).status == 0


# --- deadlines


def test_each_deadline_is_that_of_its_phase(fault_server: FaultServer) -> None:
    """Each phase has its own timeout and its own code, and the sentence says how long was waited."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf"
    fault_server.route("/silent", Script(Silence()))
    fault_server.route("/stalling", Script(Send(half), Silence()))
    fault_server.route("/dripping", Script(Send(half), Drip(b"x" * 50, every=0.1)))
    deadlines = ["--connect-timeout", "0.4", "--head-timeout", "0.4", "--read-timeout", "0.4", "--retry", "0"]
    slow = ["--speed-limit", "100", "--speed-time", "0.5"]
    with blackhole() as port:
        urls = [fault_server.url(path) for path in ("/silent", "/stalling", "/dripping")]
        ran = run("get", *deadlines, *slow, *urls, f"http://127.0.0.1:{port}/")
    assert ran.codes == ["timeout.head", "timeout.read", "timeout.slow", "timeout.connect"]
    messages = [record["error"]["message"] for record in ran.records]
    assert messages[0] == "no complete response head within 0.4 s"
    assert messages[1] == "no byte of the body for 0.4 s"
    assert "is below the limit of 100 bytes/s" in messages[2]
    assert messages[3].startswith("not connected within 0.4 s, while connecting to 127.0.0.1")


def test_the_total_is_that_of_one_attempt_with_its_redirects(fault_server: FaultServer) -> None:
    """-m cuts a chain of redirects that are each in time; --speed-limit 0 lets a slow body be."""
    fault_server.route("/a", Reply(302, headers={"Location": "/b"}, delay=0.4))
    fault_server.route("/b", Reply(200, b"late", delay=0.4))
    fault_server.route(
        "/slow", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"), Pause(0.5), Send(b"y"))
    )
    ran = run("get", "-m", "0.6", "--retry", "0", "--speed-limit", "0", "--speed-time", "0.1",
              fault_server.url("/a"), fault_server.url("/slow"))  # fmt: skip
    assert ran.codes == ["timeout.total", ""]
    assert ran.records[0]["error"]["message"] == "not finished within 0.6 s"


# --- addresses


def test_a_family_of_addresses_excludes_the_other(fault_server: FaultServer) -> None:
    """-4 takes IPv4 addresses only, -6 IPv6 ones, and the sentence says so."""
    fault_server.route("/", OK)
    urls = [fault_server.url("/"), "http://[::1]:9/"]
    ran = run("get", "-4", *urls)
    assert ran.codes == ["", "dns.not_found"]
    assert ran.records[1]["error"]["message"] == "'::1' is not an IPv4 address, and no other is wanted"
    assert run("get", "-6", urls[0]).codes == ["dns.not_found"]


def test_resolve_gives_a_name_its_address(make_fault_server: MakeFaultServer) -> None:
    """--resolve can be repeated; the request names the host as the URL does."""
    server = make_fault_server({"/": OK}, addresses=("127.0.0.2", "127.0.0.3"))
    names = {"a.test": "127.0.0.2", "b.test": "127.0.0.3"}
    resolve = [word for name, at in names.items() for word in ("--resolve", f"{name}:{server.port}:{at}")]
    ran = run("get", *resolve, *(f"http://{name}:{server.port}/" for name in names))
    assert [record["ip"] for record in ran.records] == list(names.values())
    assert {request.header("host") for request in server.seen.log} == {f"{name}:{server.port}" for name in names}


def test_what_may_be_dialled_is_limited(make_fault_server: MakeFaultServer) -> None:
    """--public-only blocks loopback but for --allow-net, --deny-net wins; blocked is a record, not dialled."""
    server = make_fault_server({"/": OK}, addresses=("127.0.0.1", "127.0.0.2", "127.0.1.1"))
    urls = [server.url("/", host=host) for host in server.addresses]
    limits = ["--public-only", "--allow-net", "127.0.0.0/24", "--deny-net", "127.0.0.2"]
    ran = run("get", *limits, *urls)
    assert ran.codes == ["", "connect.blocked", "connect.blocked"]
    assert "denied by 127.0.0.2/32" in ran.records[1]["error"]["message"]
    assert "loopback" in ran.records[2]["error"]["message"]
    assert server.seen.requests == 1


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_both_event_loops_run_the_command(fault_server: FaultServer, loop: str) -> None:
    """--loop chooses; the outcome is the same, and neither leaves a warning behind."""
    fault_server.route("/", OK)
    ran = run("get", "--loop", loop, fault_server.url("/"), python=("-X", "dev", "-W", "error"))
    assert (ran.status, ran.codes) == (0, [""])
    assert ran.err.startswith("1 ok in ")


# --- TLS


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "itself")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def server_context(authority: trustme.CA, *names: str, **settings: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **settings).configure_cert(context)
    return context


def test_certificates_are_checked(make_fault_server: MakeFaultServer, tmp_path: Path) -> None:
    """Expired, self-signed, for another name, by somebody unknown: each is said; -k accepts all of them."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    itself = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    itself.load_cert_chain(*self_signed(tmp_path))
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(1)
    contexts = [
        server_context(authority, "127.0.0.1"),
        server_context(authority, "127.0.0.1", not_before=yesterday - datetime.timedelta(9), not_after=yesterday),
        itself,
        server_context(authority, "other.example"),
        server_context(trustme.CA(), "127.0.0.1"),
    ]
    urls = [make_fault_server({"/": OK}, ssl_context=context).url("/") for context in contexts]
    ran = run("get", "--cacert", tmp_path / "ca.pem", *urls)
    assert ran.status == 3
    assert ran.codes == ["", *["tls.certificate"] * 4]
    messages = [record["error"]["message"] for record in ran.records[1:]]
    assert messages[0] == "the certificate of '127.0.0.1' has expired"
    assert messages[1] == "the certificate of '127.0.0.1' is self-signed"
    assert messages[2] == "the certificate of '127.0.0.1' is not valid for this address"
    assert "was signed by an authority that is not trusted here" in messages[3]
    accepted = run("get", "-k", *urls)
    assert (accepted.status, accepted.codes) == (0, [""] * 5)


def test_a_client_certificate_is_shown_to_who_asks(
    make_fault_server: MakeFaultServer, tls_authority: TLSAuthority, tmp_path: Path
) -> None:
    """-E gives it, with its key in the same file or in that of --key; without it the server's wish is told."""
    authority = trustme.CA()
    certificate = authority.issue_cert("client.test")
    both, alone, key = tmp_path / "both.pem", tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(both)
    certificate.cert_chain_pems[0].write_to_path(alone)
    certificate.private_key_pem.write_to_path(key)
    context = tls_authority.server_context("127.0.0.1", "127.0.0.9")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    server = make_fault_server({"/": OK}, ssl_context=context)
    trust = ["--cacert", str(tls_authority.ca_file)]
    assert run("get", *trust, "-E", both, server.url("/")).status == 0
    assert run("get", *trust, "-E", alone, "--key", key, server.url("/")).status == 0
    refused = run("get", *trust, "--retry", "0", server.url("/"))
    assert code_of(refused.records[0]) in ("tls.failed", "connect.failed", "protocol.incomplete")
