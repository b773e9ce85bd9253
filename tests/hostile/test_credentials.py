"""Secrets stay with the origin that they are meant for, and are written down nowhere."""

from __future__ import annotations

import base64
import json
import logging
import re
import traceback
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import process_time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfetch import Client, FetchError, InvalidURL, Record, Request, Result, Retry, TLSSettings, Url
from asyncfetch.display import Examples, summary_json
from asyncfetch.display.notes import failure_line
from asyncfetch.display.summary import Ending
from asyncfetch.testing import Close, FaultServer, Reply, Script, SeenRequest, Send, Sequence, redirect, unused_port
from asyncfetch.testing.fixtures import MakeFaultServer, TLSAuthority
from asyncfetch.url import redacted
from tests.cli.command import Run, Terminal, run
from tests.hostile.twofaced import TwoFaced

SECRET = "hUsh4you"
BASIC = base64.b64encode(f"me:{SECRET}".encode()).decode()
ONCE = Retry(attempts=1)

# every secret field, in several spellings, some twice
FIELDS = [
    ("Authorization", f"Bearer {SECRET}"),
    ("AUTHORIZATION", f"Digest {SECRET}"),
    ("Cookie", f"id={SECRET}"),
    ("cookie", f"other={SECRET}"),
    ("pRoXy-AuThOrIzAtIoN", f"Basic {BASIC}"),
    ("X-Api-Key", SECRET),
    ("x-api-key", SECRET),
]
PUBLIC = ("X-Public", "everybody")


def has_secret(request: SeenRequest) -> bool:
    """Whether any of the secret fields, or the secret in any form, is in a request."""
    names = {name.lower() for name, _ in request.headers}
    found = bool(names & {name.lower() for name, _ in FIELDS})
    assert found is (SECRET.encode() in request.head or BASIC.encode() in request.head)
    assert SECRET not in request.target
    assert request.header("Referer") is None
    return found


# --- a change of origin


@pytest.fixture
def both(tls_authority: TLSAuthority) -> Iterator[TwoFaced]:
    with TwoFaced(tls_authority.server_context("127.0.0.1")).running() as server:
        yield server


@pytest.mark.parametrize(("first", "second"), [("http", "https"), ("https", "http")])
@pytest.mark.parametrize("where", ["client", "request", "URL"])
async def test_another_scheme_is_another_origin(
    both: TwoFaced, tls_authority: TLSAuthority, first: str, second: str, where: str
) -> None:
    """From http to https and back, on the same host and port, nothing secret goes along or comes back."""
    both.replies = {
        "/": redirect("/same"),
        "/same": redirect(both.url(second, "/away")),
        "/away": redirect(both.url(first, "/end")),
    }
    url = both.url(first)
    async with Client(
        tls=TLSSettings(ca_file=tls_authority.ca_file),
        retry=ONCE,
        headers=[*FIELDS, PUBLIC] if where == "client" else [PUBLIC],
        sensitive_headers=["X-API-KEY"],
    ) as client:
        if where == "URL":
            url = url.replace("//", f"//me:{SECRET}@")
        response = await client.get(url, headers=FIELDS if where == "request" else None)
    assert response.url == both.url(first, "/end")
    assert [visit.scheme for visit in both.visits] == [first, first, second, first]
    assert [has_secret(visit.request) for visit in both.visits] == [True, True, False, False]
    assert all(visit.request.header(PUBLIC[0]) == PUBLIC[1] for visit in both.visits)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("change", ["port", "host", "name"])
async def test_another_host_or_port_is_another_origin(
    make_fault_server: MakeFaultServer, status: int, change: str
) -> None:
    """Each status and each change of the origin drops every occurrence for the rest of the chain."""
    server, other = make_fault_server(addresses=("127.0.0.1", "127.0.0.2")), make_fault_server()
    away = {
        "port": other.url("/away"),
        "host": server.url("/away", "127.0.0.2"),
        "name": f"http://localhost:{server.port}/away",
    }[change]
    (other if change == "port" else server).route("/away", redirect(server.url("/end"), status))
    server.route("/", redirect(away, status))
    server.route("/end", Reply(200))
    async with Client(retry=ONCE, headers=FIELDS, sensitive_headers=["x-api-key"]) as client:
        await client.get(server.url())
    seen = sorted(server.seen.log + other.seen.log, key=lambda request: request.time)
    assert [request.path for request in seen] == ["/", "/away", "/end"]
    assert [has_secret(request) for request in seen] == [True, False, False]


async def test_other_spellings_of_an_origin_are_the_same(fault_server: FaultServer) -> None:
    """An origin is compared as it is, not as it is written."""
    port = fault_server.port
    locations = [f"HTTP://2130706433:{port}/1", f"http://127.1:0{port}/2", f"//0x7f.1:{port}/3", "/4", "5?/", "end"]
    for number, location in enumerate(locations):
        fault_server.route(f"/{number or ''}", redirect(location))
    fault_server.route("/end", Reply(200))
    async with Client(retry=ONCE, headers=FIELDS, sensitive_headers=["x-api-key"]) as client:
        response = await client.get(fault_server.url())
    assert len(response.history) == len(locations)
    assert all(has_secret(request) for request in fault_server.seen.log)


async def test_each_attempt_starts_with_its_secrets_and_loses_them_again(fault_server: FaultServer) -> None:
    """A chain that is tried again is led by the same rules."""
    away = f"http://localhost:{fault_server.port}/busy"
    fault_server.route("/", redirect(away))
    fault_server.route("/busy", Sequence(Reply(503), Reply(503), Reply(200)))
    async with Client(retry=Retry(backoff=0), headers=FIELDS, sensitive_headers=["x-api-key"]) as client:
        assert (await client.get(fault_server.url())).status_code == 200
    assert [has_secret(request) for request in fault_server.seen.log] == [True, False] * 3


# --- marking a header


async def test_a_header_is_public_until_it_is_marked(fault_server: FaultServer) -> None:
    """Only marked headers are held back, by their whole name in any case, for all requests of the client."""
    fault_server.route("/", redirect(f"http://localhost:{fault_server.port}/end"))
    fault_server.route("/end", Reply(200))
    headers = {"X-Api-Key": SECRET, "X-Api-Key-Id": "7", "Api-Key": "8"}
    for marked in ([], ["x-API-key"], iter(["Other", "X-Api-Key"]), {"X-Api-Key": None}):
        async with Client(sensitive_headers=marked, retry=ONCE) as client:
            await client.get(fault_server.url(), headers=headers)
    sent_on = [request for request in fault_server.seen.log if request.path == "/end"]
    assert [request.header("X-Api-Key") for request in sent_on] == [SECRET, None, None, None]
    assert {(r.header("X-Api-Key-Id"), r.header("Api-Key")) for r in sent_on} == {("7", "8")}


@pytest.mark.parametrize("name", ["", "X-Api-Key ", "X-Api-Key:", "X Api", "ключ", "X\n", "Host"])
def test_a_mark_that_would_protect_nothing_is_refused(name: str) -> None:
    """A name that no header of ours can have is a mistake, and is said at once."""
    with pytest.raises(ValueError, match="header"):
        Client(sensitive_headers=["Fine", name])


def test_a_single_name_is_not_taken_for_its_letters() -> None:
    """`sensitive_headers="X-Api-Key"` would mark the headers X, -, A ..."""
    with pytest.raises(TypeError, match="iterable of names"):
        Client(sensitive_headers="X-Api-Key")


# --- redaction

_AUTHORITY_ENDS = frozenset("/\\?#")
_MESS = st.sampled_from(["", " ", "\t", "\n", "\r", "\0", "\x1f", "\x01 ", "\t\n"])
_SCHEMES = st.sampled_from(["http", "https", "HTTP", "hTTps", "h\nttp", "ht\ttps"])
_SLASHES = st.sampled_from(["//", "", "/", "\\\\", "/\\", "////", "/\t/", "\n//"])
_USERS = st.text("ab:@%[]&=+$,; '\"\t\n<>é☃", max_size=6)
_RESTS = st.text("abc.:/\\?#@[]%1 \t", max_size=12)


@st.composite
def urls_with_secrets(draw: st.DrawFn) -> str:
    """Texts with a user and a password in them, in every form that a parser of URLs takes, and some others."""
    user = draw(_USERS)
    return "".join(
        [draw(_MESS), draw(_SCHEMES), ":", draw(_SLASHES), user, SECRET, draw(_USERS), "@host", draw(_RESTS)]
    )


@given(urls_with_secrets())
def test_no_spelling_of_a_url_shows_its_password(text: str) -> None:
    """What any parser could take for credentials is neither in the redacted URL nor in why it was refused."""
    assert SECRET not in redacted(text)
    try:
        url = Url.parse(text)
        said = f"{url} {url!r} {url.href} {url.target} {url.origin} {url.origin.key}"
    except InvalidURL as error:
        said = str(error)
    assert SECRET not in said


@pytest.mark.parametrize("password", [f"a/{SECRET}", f"a?{SECRET}", f"a#{SECRET}", f"a\\{SECRET}", f"a/b@{SECRET}"])
def test_passwords_that_ought_to_be_encoded_are_hidden_too(password: str) -> None:
    """An unescaped / ? or # in a password makes it no URL; the password is still one."""
    text = f"https://me:{password}@host/path"
    assert redacted(text) == "https://***@host/path"
    with pytest.raises(InvalidURL) as caught:
        Url.parse(text)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["https://medium.test/@user", "https://h:8080/@x", "https://[::1]:80/a@b", "https://h:/@x", "http://h/?q=a@b"],
)
def test_what_is_no_credential_is_kept(text: str) -> None:
    """An @ in a path or query is no user's."""
    assert redacted(text) == text


@pytest.mark.parametrize("filler", [" ", "\xa0", "a:", ":/", "://", "@", "http:", "/", "1"])
def test_redaction_takes_linear_time(filler: str) -> None:
    """No text that a list may hold makes the search for credentials slow."""
    began = process_time()
    for text in (filler * 60_000 + "x/@", f"http://h:{filler * 60_000}/@", f"http:{filler * 60_000}"):
        redacted(text)
    assert process_time() - began < 1.0


# --- nothing of it is written down


def hostile_urls(server: FaultServer) -> list[str]:
    """URLs with a password whose fetching goes well, and wrong in many ways."""
    server.route("/ok", Reply(200, b"ok"))
    server.route("/gone", Reply(404))
    server.route("/away", redirect(f"http://localhost:{server.port}/ok"))
    server.route("/to-nothing", redirect("ftp://host/"))
    server.route("/to-nonsense", redirect(f"http://me:{SECRET}@host:x/"))
    server.route("/loop", redirect("/loop"))
    server.route("/garbage", Script(Send(b"garbage\r\n\r\n")))
    server.route("/cut", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), Close()))
    paths = ["/ok", "/gone", "/away", "/to-nothing", "/to-nonsense", "/loop", "/garbage", "/cut"]
    here = f"127.0.0.1:{server.port}"
    return [
        *(f"http://me:{SECRET}@{here}{path}" for path in paths),
        f"https://me:{SECRET}@{here}/",
        f"http://me:{SECRET}@127.0.0.1:{unused_port()}/",
        f"http://me:{SECRET}@{'a' * 64}.invalid/",
        f"http://me:{SECRET}@{here[:-1]}x/",
        f"http://me:a/{SECRET}@{here}/",
        f"ftp://me:{SECRET}@{here}/",
        f"http://me:{SECRET}@",
        f"http:me:{SECRET}@{here}/ok",
        f"\x01http:\\\\me:{SECRET}@{here}\\ok",
    ]


def everything_said(result: Result) -> str:
    """All that a program might log of a result."""
    said = [repr(result), str(msgspec.json.encode(Record.of(result))), str(result.redirects)]
    if result.error is not None:
        said += [str(result.error), repr(result.error), *traceback.format_exception(result.error)]
        said.append(failure_line(result).plain)
    if result.response is not None:
        said += [result.response.url, repr(result.response), repr(result.response.history)]
    return "\n".join(said)


async def test_no_result_tells_a_secret(fault_server: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
    """Results, records, errors with their causes, statistics, summaries and logs hold no password and no header."""
    caplog.set_level(logging.DEBUG)
    urls = hostile_urls(fault_server)
    examples = Examples()
    async with Client(retry=Retry(backoff=0), headers=FIELDS, sensitive_headers=["X-Api-Key"]) as client:
        entries = [Request(url, headers={"X-Api-Key": SECRET}) for url in urls]
        bad = [Request("http://h/", headers=[(name, f"{SECRET}\n")]) for name, _ in FIELDS]
        results = [result async for result in client.fetch_many([*entries, *bad])]
        for result in results:
            examples.add(result)
            assert SECRET not in everything_said(result)
            assert BASIC not in everything_said(result)
        stats = [*client.stats, client.stats.total]
        assert SECRET not in str([[getattr(host, name) for name in host.__slots__] for host in stats])
        ending = Ending(stats=client.stats, seconds=1.0, examples=examples)
        assert SECRET not in str(summary_json(ending))
        assert SECRET not in repr(client)
    assert len(results) == len(urls) + len(FIELDS)
    assert sum(result.ok for result in results) == 4
    assert SECRET not in caplog.text


async def read(client: Client, url: str) -> bytes:
    async with client.stream(url) as response:
        return await response.aread()


async def test_no_exception_tells_a_secret(fault_server: FaultServer) -> None:
    """`get` and `stream` raise nothing that shows a password, not even in a traceback."""
    async with Client(retry=ONCE, headers=FIELDS) as client:
        for url in hostile_urls(fault_server):
            for fetch in (client.get, partial(read, client)):
                if re.search(r"/(ok|gone|away)|\\", url):
                    continue
                with pytest.raises(FetchError) as caught:
                    await fetch(url)
                error = caught.value
                assert SECRET not in f"{error}{error!r}{''.join(traceback.format_exception(error))}"
                assert "***" in error.url


def assert_quiet(ended: Run) -> None:
    for secret in (SECRET, BASIC):
        assert secret.encode() not in ended.out
        assert secret not in ended.err


OPTIONS = [
    *("-H", f"Authorization: Bearer {SECRET}"),
    *("-H", f"Cookie: {SECRET}"),
    *("--secret-header", f"X-Api-Key: {SECRET}"),
]


@pytest.mark.slow
def test_command_writes_no_secret(fault_server: FaultServer, tmp_path: Path) -> None:
    """Records, file names, the job file, messages, the plain log and the summary of `get` hold no secret."""
    listed = "\n".join(hostile_urls(fault_server))
    named = f"http://me:{SECRET}@127.0.0.1:{fault_server.port}/ok?named"
    ended = run("get", "-", named, "-v", "--retry=0", "--json", "-P", tmp_path / "out", *OPTIONS, stdin=listed)
    assert ended.status == 3
    assert_quiet(ended)
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) >= 1 + 4
    for path in written:
        assert SECRET not in str(path)
        assert SECRET.encode() not in path.read_bytes()
    records = (tmp_path / "out/results.jsonl").read_text().splitlines()
    assert len(records) == 1 + len(hostile_urls(fault_server))
    assert all("***@" in json.loads(record)["url"] for record in records)


@pytest.mark.slow
def test_screen_shows_no_secret(fault_server: FaultServer, tmp_path: Path) -> None:
    """The live view, its lines of failures and the closing tables on a terminal hold no secret."""
    (tmp_path / "urls").write_text("\n".join(hostile_urls(fault_server)))
    with Terminal("get", "-v", "--retry=0", "--progress=live", *OPTIONS, tmp_path / "urls") as terminal:
        assert terminal.end() == 3
        assert "***@" in terminal.text
        assert SECRET.encode() not in re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]|\r?\n", b"", terminal.written)


@pytest.mark.slow
def test_show_hides_secrets_and_keeps_them_home(fault_server: FaultServer) -> None:
    """`show` tells which secret headers were sent, and neither what is in them nor anything to another origin."""
    fault_server.route("/", redirect(f"http://localhost:{fault_server.port}/end"))
    fault_server.route("/end", Reply(200, b"end"))
    url = fault_server.url().replace("//", f"//me:{SECRET}@")
    ended = run("show", "-L", *OPTIONS, url)
    assert ended.status == 0
    assert_quiet(ended)
    first, second = ended.err.split("> GET ")[1:]
    for name in ("Authorization", "Cookie", "X-Api-Key"):
        assert f"> {name}: ***\n" in first
        assert name not in second
    assert [has_secret(request) for request in fault_server.seen.log] == [True, False]


@pytest.mark.slow
def test_command_line_mistakes_are_told_without_the_secret(tmp_path: Path) -> None:
    """A command that cannot begin complains without repeating a password."""
    mistakes = [
        [f"http://me:{SECRET}@127.0.0.1/"],
        ["get", f"me:{SECRET}@127.0.0.1/"],
        ["show", f"me:{SECRET}@127.0.0.1/"],
        ["show", f"http://me:{SECRET}@:1/"],
        ["get", "-H", f"Authorization {SECRET}", "http://127.0.0.1/"],
        ["get", "-H", f"Authorization: {SECRET}\n", "http://127.0.0.1/"],
        ["get", "--secret-header", f"X-Api-Key: {SECRET}☃", "http://127.0.0.1/"],
        ["get", "--secret-header", f"Host: {SECRET}", "http://127.0.0.1/"],
    ]
    for arguments in mistakes:
        ended = run(*arguments, cwd=tmp_path)
        assert ended.status == 2, arguments
        assert ended.err
        assert_quiet(ended)


@pytest.mark.slow
def test_an_empty_secret_is_a_mistake() -> None:
    """A variable of the shell that was never set is not taken for a secret."""
    ended = run("get", "--secret-header", "X-Api-Key: ", "http://127.0.0.1/")
    assert ended.status == 2
    assert "the value of X-Api-Key is empty" in ended.err


# --- what the environment says


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_fault_server: MakeFaultServer) -> FaultServer:
    """A proxy that the environment names for everything, beside a file with a password for every machine."""
    server = make_fault_server({"*": Reply(200, b"from the proxy")})
    for name in ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy"):
        monkeypatch.setenv(name, server.url())
        monkeypatch.setenv(name.upper(), server.url())
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    (tmp_path / ".netrc").write_text(f"default login me password {SECRET}\n")
    (tmp_path / ".netrc").chmod(0o600)
    (tmp_path / ".curlrc").write_text(f"user me:{SECRET}\n")
    return server


async def test_the_library_ignores_proxies_and_netrc(proxy: FaultServer, fault_server: FaultServer) -> None:
    """Nothing in the environment redirects a request or adds a password to it."""
    fault_server.route("/", Reply(200, b"direct"))
    async with Client(retry=ONCE) as client:
        assert (await client.get(fault_server.url())).content == b"direct"
        with pytest.raises(FetchError):
            await client.get(fault_server.url().replace("http:", "https:"))
    assert proxy.seen.connections == 0
    assert fault_server.seen.log[0].header("Authorization") is None


@pytest.mark.slow
def test_the_command_ignores_proxies_and_netrc(proxy: FaultServer, fault_server: FaultServer) -> None:
    """The same holds for the command."""
    fault_server.route("/", Reply(200, b"direct"))
    [record] = run("get", fault_server.url()).records
    assert record["ok"]
    assert proxy.seen.connections == 0
    assert fault_server.seen.log[0].header("Authorization") is None
