"""The guard, through the client and the command: whatever a stranger writes, nothing reaches a forbidden server."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from asyncfetch import AddressGuard, Client, ConnectBlocked, ConnectRefused, Network, Result, Retry
from asyncfetch.streams.guard import Guard
from asyncfetch.streams.resolver import AddrInfo, Resolver
from asyncfetch.testing import FaultServer, Reply, redirect
from asyncfetch.testing.fixtures import MakeFaultServer
from tests.cli.command import run

FORBIDDEN, GOOD = "127.0.0.1", "127.0.0.2"
PUBLIC_ONLY = AddressGuard(public_only=True)
ALL_BUT_ONE = AddressGuard(deny=[FORBIDDEN, "::1"])

# every way to write 127.0.0.1 that dials it
SPELLINGS = [
    "127.0.0.1",
    "2130706433",
    "0x7f000001",
    "0X7F.1",
    "017700000001",
    "0177.0.0.1",
    "127.1",
    "127.0.1",
    "0x7f.0x0.0x0.0x1",
    "127.0.0.1.",
    "%31%32%37.0.0.1",
    "１２７.0.0.1",  # noqa: RUF001
    "①②⑦.0.0.1",
    "127。0。0。1",
    "user@127.0.0.1",
    "example.org@127.0.0.1",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:FFFF:7f00:0001]",
]

# other addresses, and the rule that blocks them
RULES = {
    "0": "unspecified",
    "0.0.0.0": "unspecified",
    "0.1.2.3": "this network",
    "[::]": "unspecified",
    "[::1]": "loopback",
    "10.1.2.3": "private",
    "0xa010203": "private",
    "172.31.255.255": "private",
    "192.168.0.1": "private",
    "100.64.0.1": "CGNAT",
    "169.254.1.1": "link-local",
    "169.254.169.254": "metadata",
    "2852039166": "metadata",
    "[::ffff:169.254.169.254]": "metadata",
    "100.100.100.200": "metadata",
    "168.63.129.16": "metadata",
    "[fd00:ec2::254]": "metadata",
    "192.0.2.1": "documentation",
    "198.18.0.1": "benchmarks",
    "224.0.0.1": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "[::127.0.0.1]": "IPv4-compatible",
    "[64:ff9b::7f00:1]": "NAT64 (RFC 6052) of 127.0.0.1: loopback",
    "[64:ff9b::169.254.169.254]": "NAT64 (RFC 6052) of 169.254.169.254: a cloud's metadata",
    "[64:ff9b:1::7f00:1]": "local NAT64",
    "[2002:7f00:1::]": "6to4",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]": "Teredo",
    "[::ffff:0:127.0.0.1]": "IPv4-translated",
    "[fe80::1]": "link-local",
    "[fec0::1]": "site-local",
    "[fc00::1]": "unique local",
    "[ff02::1]": "multicast",
    "[2001:db8::1]": "documentation",
    "[4000::1]": "not global unicast",
}


@pytest.fixture
def server(make_fault_server: MakeFaultServer) -> FaultServer:
    """A server on a forbidden address, IPv4 and (where there is one) IPv6, and on one that may be allowed."""
    addresses = (FORBIDDEN, "::1", GOOD) if _has_ipv6() else (FORBIDDEN, GOOD)
    return make_fault_server({"/": Reply(200, b"reached")}, addresses=addresses)


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def forbidden_connections(server: FaultServer) -> int:
    return sum(server.seen.by_host[f"{host}:{server.port}"].connections for host in (FORBIDDEN, "[::1]"))


class Names:
    """A name service of the test's own, in the place of the system's: counts what it is asked."""

    def __init__(self, *answers: list[str]) -> None:
        """Give one answer after the other, the last one again and again."""
        self._answers = list(answers)
        self.asked = 0

    def look_up(self, host: str, port: object, family: int = 0, type: int = 0) -> list[AddrInfo]:  # noqa: A002
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        return [_info(address) for address in answer]

    def client(self, guard: AddressGuard, network: Network | None = None) -> Client:
        client = Client(guard=guard, retry=Retry(attempts=3, backoff=0.0))
        client._resolver = Resolver(network or Network(), lookup=self.look_up)
        return client


def _info(address: str) -> AddrInfo:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 0, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)


async def fetch_all(client: Client, urls: list[str]) -> Iterator[Result]:
    results = [result async for result in client.fetch_many(urls)]
    return iter(sorted(results, key=lambda result: result.index))


def assert_blocked(result: Result, words: str) -> None:
    """See that a result names the rule, and that nothing was tried again."""
    assert isinstance(result.error, ConnectBlocked), result
    assert result.error.code == "connect.blocked"
    assert words in result.error.detail, result.error.detail
    assert result.attempts == 1


# --- addresses in URLs


async def test_spellings_lead_to_the_server_without_a_guard(server: FaultServer) -> None:
    """Each spelling of the forbidden address does reach it where nobody guards it."""
    async with Client(retry=Retry(attempts=1)) as client:
        for result in await fetch_all(client, [f"http://{host}:{server.port}/" for host in SPELLINGS]):
            assert result.status == 200, result.url
    assert server.seen.requests == len(SPELLINGS)


@pytest.mark.parametrize("guard", [PUBLIC_ONLY, ALL_BUT_ONE], ids=["public only", "denied"])
async def test_no_spelling_of_an_address_gets_through(server: FaultServer, guard: AddressGuard) -> None:
    """However the forbidden address is written, it is not dialled; the error names address and rule."""
    async with Client(guard=guard) as client:
        for result in await fetch_all(client, [f"http://{host}:{server.port}/" for host in SPELLINGS]):
            assert_blocked(
                result, "is blocked: " + ("loopback" if guard is PUBLIC_ONLY else "denied by 127.0.0.1/32")
            )
            assert "127.0.0.1" in str(result.error) or "::ffff:7f00:1" in str(result.error)
    assert server.seen.connections == 0


async def test_every_special_address_is_blocked_with_its_rule(server: FaultServer) -> None:
    """What is not public on the internet is not dialled, in whatever form it is carried."""
    async with Client(guard=PUBLIC_ONLY) as client:
        results = await fetch_all(client, [f"http://{host}:{server.port}/" for host in RULES])
        for result, rule in zip(results, RULES.values(), strict=True):
            assert_blocked(result, rule)
    assert server.seen.connections == 0


# what the system connects to this machine itself (RFC 1122 section 3.2.1.3 forbids it, Linux and macOS do it)
UNSPECIFIED = ["0", "0.0.0.0", "0x0", "[::ffff:0.0.0.0]", "[::]"]


def no_loopback(address: object) -> str | None:
    """A guard as a user writes it, who has not thought of every spelling."""
    return "this machine" if ip_address(str(address)).is_loopback else None


@pytest.mark.parametrize("guard", [AddressGuard(deny=["127.0.0.0/8", "::1"]), no_loopback], ids=["denied", "own"])
async def test_the_unspecified_address_is_judged_as_this_machine(
    make_fault_server: MakeFaultServer, guard: Guard
) -> None:
    """A connection to 0.0.0.0 or :: ends at 127.0.0.1 or ::1: who forbids these has forbidden it, too."""
    server = make_fault_server({"/": Reply(200)}, addresses=(FORBIDDEN, "::1") if _has_ipv6() else (FORBIDDEN,))
    urls = [f"http://{host}:{server.port}/" for host in [*UNSPECIFIED, "[::ffff:127.0.0.1]"]]
    async with Client(retry=Retry(attempts=1)) as client:
        assert any(result.ok for result in await fetch_all(client, urls[:1]))
    before = server.seen.connections
    async with Client(guard=guard) as client:
        for result in await fetch_all(client, urls):
            assert_blocked(result, "is blocked: ")
    assert server.seen.connections == before


async def test_scopes_are_no_way_around(server: FaultServer) -> None:
    """A URL with an IPv6 scope is no URL, and an address with one is judged without it."""
    async with Client(guard=PUBLIC_ONLY) as client:
        for result in await fetch_all(client, [f"http://[fe80::1%{scope}]/" for scope in ("lo", "25lo", "251")]):
            assert result.error is not None
            assert result.error.code == "url.invalid"
    async with Names(["fe80::1%lo"]).client(PUBLIC_ONLY) as client:
        [result] = await fetch_all(client, [f"http://name.test:{server.port}/"])
        assert_blocked(result, "fe80::1%lo is blocked: link-local")


async def test_an_override_is_guarded_too(server: FaultServer) -> None:
    """`Network.overrides` chooses the address; whether it may be dialled is still the guard's to say."""
    network = Network(overrides={f"name.test:{server.port}": FORBIDDEN})
    async with Client(guard=PUBLIC_ONLY, network=network) as client:
        with pytest.raises(ConnectBlocked, match="loopback"):
            await client.get(f"http://name.test:{server.port}/")
    assert server.seen.connections == 0


# --- names


async def test_localhost_is_blocked(server: FaultServer) -> None:
    """The system's own name for this machine is judged by its addresses."""
    async with Client(guard=PUBLIC_ONLY) as client:
        for result in await fetch_all(client, [f"http://{n}:{server.port}/" for n in ("localhost", "LOCALHOST")]):
            assert_blocked(result, "loopback")
    assert server.seen.connections == 0


@pytest.mark.parametrize(
    "answer", [[FORBIDDEN, GOOD], [GOOD, FORBIDDEN], ["::1", GOOD, FORBIDDEN], ["::ffff:127.0.0.1", GOOD]]
)
async def test_of_both_kinds_only_the_good_are_dialled(server: FaultServer, answer: list[str]) -> None:
    """A name with good and forbidden addresses is fetched from a good one, whichever comes first."""
    async with Names(answer).client(ALL_BUT_ONE) as client:
        response = await client.get(f"http://name.test:{server.port}/")
    assert response.ip == GOOD
    assert forbidden_connections(server) == 0


async def test_a_forbidden_address_is_not_even_raced(server: FaultServer) -> None:
    """When the good address does not answer, the forbidden one beside it is not tried in its place."""
    async with Names(["127.0.0.3", FORBIDDEN, "::1"]).client(ALL_BUT_ONE) as client:
        with pytest.raises(ConnectRefused, match=rf"refused by 127\.0\.0\.3 port {server.port}$"):
            await client.get(f"http://name.test:{server.port}/")
    assert server.seen.connections == 0


async def test_a_name_with_forbidden_addresses_only_is_blocked(server: FaultServer) -> None:
    """The error names the first of the addresses, each with its rule."""
    async with Names([FORBIDDEN, "::1", "10.0.0.1", "10.0.0.2"]).client(PUBLIC_ONLY) as client:
        [result] = await fetch_all(client, [f"http://name.test:{server.port}/"])
    assert_blocked(
        result,
        "'name.test' may not be connected: 127.0.0.1 is blocked: loopback (RFC 1122); ::1 is blocked: loopback "
        "(RFC 4291); 10.0.0.1 is blocked: private (RFC 1918); and 1 more",
    )
    assert server.seen.connections == 0


async def test_what_is_checked_is_what_is_dialled(server: FaultServer) -> None:
    """A name that is good when it is checked and forbidden a moment later (rebinding) is looked up once."""
    names = Names([GOOD], [FORBIDDEN])
    async with names.client(ALL_BUT_ONE) as client:
        for _ in range(3):
            server.route("/", Reply(200, b"reached", close=True))
            response = await client.get(f"http://name.test:{server.port}/")
            assert (response.ip, response.reused) == (GOOD, False)
        assert names.asked == 1
    assert forbidden_connections(server) == 0


async def test_each_look_up_is_checked_anew(server: FaultServer) -> None:
    """When a name's time is over it is looked up again, once for a connection, and its new address is judged."""
    server.route("/", Reply(200, close=True))
    names = Names([GOOD], [GOOD, FORBIDDEN], [FORBIDDEN])
    async with names.client(ALL_BUT_ONE, Network(name_ttl=0.0)) as client:
        for number in (1, 2):
            assert (await client.get(f"http://name.test:{server.port}/")).ip == GOOD
            assert names.asked == number
        with pytest.raises(ConnectBlocked):
            await client.get(f"http://name.test:{server.port}/")
        assert names.asked == 3
    assert forbidden_connections(server) == 0


# --- redirects


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/",
        "//127.0.0.1:{port}/",
        "//2130706433:{port}",
        "http:\\\\127.1:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://[::1]:{port}/",
        "http://user:password@127.0.0.1:{port}/",
        "http://localhost:{port}/",
    ],
)
async def test_no_redirect_leads_to_a_forbidden_server(server: FaultServer, location: str) -> None:
    """A good server cannot send the client on to a forbidden one, neither directly nor in a second step."""
    server.route("/first", redirect("/second", 308))
    server.route("/second", redirect(location.format(port=server.port)))
    async with Client(guard=ALL_BUT_ONE) as client:
        for result in await fetch_all(client, [server.url(path, host=GOOD) for path in ("/first", "/second")]):
            assert_blocked(result, "denied by")
    assert forbidden_connections(server) == 0
    assert server.seen.by_host[f"{GOOD}:{server.port}"].requests == 3


async def test_redirects_by_name_are_judged_by_address(server: FaultServer) -> None:
    """A redirect to a name that means a forbidden address is blocked."""
    server.route("/", redirect(f"http://name.test:{server.port}/"))
    names = Names([FORBIDDEN])
    async with names.client(ALL_BUT_ONE) as client:
        with pytest.raises(ConnectBlocked, match=r"'name\.test' may not be connected"):
            await client.get(server.url(host=GOOD))
        assert names.asked == 1
    assert forbidden_connections(server) == 0


# --- the README


async def test_the_readme_s_service_reaches_nothing_inside(
    server: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The code that the README offers to web services is guarded, bounded, and works for what is allowed."""
    text = (Path(__file__).parent.parent.parent / "README.md").read_text()
    chapter = text.split("## URLs that your users name\n")[1].split("\n## ")[0]
    [code] = re.findall(r"```python\n(.*?)```", chapter, re.DOTALL)
    readme: dict[str, Any] = {}
    exec(code, readme)
    server.route("/large", Reply(200, bytes(2**20 + 1)))
    await readme["main"](server.url())
    assert capsys.readouterr().out == "connect.blocked\n"
    assert server.seen.connections == 0
    async with readme["open_client"](AddressGuard(public_only=True, allow=[FORBIDDEN])) as client:
        assert await readme["look_at"](client, server.url()) == "200 7 bytes"
        assert await readme["look_at"](client, server.url("/large")) == "body.too_large"
        server.route("/", redirect(server.url(host=GOOD)))
        assert await readme["look_at"](client, server.url()) == "connect.blocked"


# --- the command


@pytest.mark.slow
def test_command_dials_public_addresses_only(server: FaultServer) -> None:
    """With --public-only, a list that a stranger wrote reaches nothing here; each record names the rule."""
    hosts = [*SPELLINGS, *RULES, "localhost"]
    ended = run("get", "--public-only", "-", stdin="\n".join(f"http://{h}:{server.port}/" for h in hosts))
    assert ended.status == 3
    assert len(ended.records) == len(hosts)
    for record in ended.records:
        assert record["error"]["code"] == "connect.blocked", record
        assert "is blocked: " in record["error"]["message"]
        assert record["attempts"] == 1
        assert "ip" not in record
    assert server.seen.connections == 0


@pytest.mark.slow
def test_command_allows_and_denies_networks(server: FaultServer) -> None:
    """--allow-net makes an exception from --public-only, --deny-net wins over it, and redirects are judged too."""
    server.route("/on", redirect(server.url(host=FORBIDDEN)))
    urls = [server.url(host=GOOD), server.url(host=FORBIDDEN), server.url("/on", host=GOOD)]
    ended = run("get", "--public-only", "--allow-net", "127.0.0.0/8", "--deny-net", FORBIDDEN, *urls)
    good, forbidden, sent_on = ended.records
    assert (good["status"], good["ip"]) == (200, GOOD)
    for record in (forbidden, sent_on):
        assert record["error"]["code"] == "connect.blocked"
        assert record["error"]["message"].endswith("127.0.0.1 is blocked: denied by 127.0.0.1/32")
    assert sent_on["redirects"] == [urls[2]]
    assert forbidden_connections(server) == 0


@pytest.mark.slow
def test_show_is_guarded(server: FaultServer) -> None:
    """`show` dials nothing that is forbidden, and says why."""
    ended = run("show", "--public-only", f"http://localhost:{server.port}/")
    assert (ended.status, ended.out) == (3, b"")
    assert "is blocked: loopback" in ended.err
    assert "(connect.blocked)" in ended.err
    assert server.seen.connections == 0
