"""Which addresses may be dialled: the tables, their disguises, the order of the rules."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfetch.errors import ConnectBlocked
from asyncfetch.streams.guard import AddressGuard, allow_all, permitted
from asyncfetch.streams.resolver import AddrInfo

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2003::1",
    "2606:4700::1111",
    "3ffe:ffff::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]

NOT_PUBLIC = [
    ("0.0.0.0", "unspecified"),
    ("0.0.0.1", "this network"),
    ("10.0.0.0", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.1", "CGNAT"),
    ("100.127.255.255", "CGNAT"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("169.254.0.1", "link-local"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.8", "protocol assignments"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "6to4"),
    ("192.168.1.1", "private"),
    ("198.18.0.1", "benchmarks"),
    ("198.19.255.255", "benchmarks"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.7", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.254", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::7f00:1", "IPv4-compatible"),
    ("::8.8.8.8", "IPv4-compatible"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:7f00:1", "loopback"),
    ("::ffff:10.1.2.3", "private"),
    ("::ffff:0:10.0.0.1", "IPv4-translated"),
    ("64:ff9b::127.0.0.1", r"NAT64 \(RFC 6052\) of 127.0.0.1: loopback"),
    ("64:ff9b::a00:1", "of 10.0.0.1: private"),
    ("64:ff9b::169.254.169.254", "metadata"),
    ("64:ff9b:1::8.8.8.8", "local NAT64"),
    ("64:ff9b:2::1", "not global unicast"),
    ("100::1", "discarded"),
    ("100:0:0:1::1", "dummy"),
    ("1fff:ffff::1", "not global unicast"),
    ("2001::1", "Teredo"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
    ("2001:2::1", "benchmarks"),
    ("2001:20::1", "protocol assignments"),
    ("2001:1ff:ffff::1", "protocol assignments"),
    ("2001:db8::1", "documentation"),
    ("2002:7f00:1::1", "6to4"),
    ("2002:808:808::1", "6to4"),
    ("3fff:fff::1", "documentation"),
    ("4000::1", "not global unicast"),
    ("5f00::1", "segment routing"),
    ("fc00::1", "unique local"),
    ("fdff::1", "unique local"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
    ("ff0e::1%2", "multicast"),
    ("169.254.169.254", "metadata"),
    ("::ffff:169.254.169.254", "metadata"),
    ("169.254.170.2", "metadata"),
    ("100.100.100.200", "metadata"),
    ("168.63.129.16", "metadata"),
    ("192.0.0.192", "metadata"),
    ("fd00:ec2::254", "metadata"),
    ("fd20:ce::254", "metadata"),
    ("fe80::a9fe:a9fe%eth0", "metadata"),
]


def judge(guard: AddressGuard, text: str) -> str | None:
    return guard(ipaddress.ip_address(text))


def info(address: str) -> AddrInfo:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 80, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))


# The tables


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_dialled(address: str) -> None:
    """What is globally reachable passes, up to the edges of the networks that are not."""
    assert judge(AddressGuard(public_only=True), address) is None


@pytest.mark.parametrize(("address", "rule"), NOT_PUBLIC)
def test_addresses_that_are_not_public_are_blocked_by_name(address: str, rule: str) -> None:
    """With `public_only` each kind of special address is blocked, and the rule names its kind."""
    with pytest.raises(ConnectBlocked, match=f"is blocked: .*{rule}"):
        permitted([info(address)], AddressGuard(public_only=True), "special.test")


@pytest.mark.parametrize("address", [*PUBLIC, *(address for address, _ in NOT_PUBLIC)])
def test_without_rules_nothing_is_blocked(address: str) -> None:
    """The default, and a guard without rules, let everything be dialled."""
    assert judge(AddressGuard(), address) is None
    assert allow_all(ipaddress.ip_address(address)) is None


@given(st.ip_addresses())
def test_nothing_that_python_calls_private_is_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """The tables block at least what `ipaddress` knows to be not global, but for what IANA lists as reachable."""
    reachable = [ipaddress.ip_network(text) for text in ("64:ff9b::/96", "::ffff:0:0/96", "192.88.99.0/24")]
    if not address.is_global and not any(address in network for network in reachable):
        assert AddressGuard(public_only=True)(address) is not None


@given(st.ip_addresses(v=4))
def test_disguises_of_an_ipv4_address_are_judged_as_it(address: ipaddress.IPv4Address) -> None:
    """IPv4-mapped and NAT64 forms are public exactly when the address inside is; older tunnels never are."""
    guard = AddressGuard(public_only=True)
    plain = guard(address) is None
    assert (judge(guard, f"::ffff:{address}") is None) == plain
    assert (judge(guard, f"64:ff9b::{address}") is None) == plain
    six_to_four = ipaddress.IPv6Address(0x2002 << 112 | int(address) << 80 | 1)
    assert guard(six_to_four) is not None
    assert judge(guard, f"::{address}") is not None


# deny and allow


def test_deny_wins_over_allow_and_allow_over_public_only() -> None:
    """The order of the rules: deny, allow, public_only."""
    guard = AddressGuard(public_only=True, allow=["10.0.0.0/8", "8.8.8.8"], deny=["10.1.0.0/16", "9.9.9.9"])
    assert judge(guard, "10.2.0.1") is None
    assert judge(guard, "10.1.0.1") == "denied by 10.1.0.0/16"
    assert judge(guard, "9.9.9.9") == "denied by 9.9.9.9/32"
    assert judge(guard, "8.8.8.8") is None
    assert judge(guard, "1.1.1.1") is None
    assert judge(guard, "192.168.0.1") == "private (RFC 1918)"


def test_deny_works_alone() -> None:
    """Without `public_only`, only what is denied is blocked."""
    guard = AddressGuard(deny=["10.0.0.0/8", "fd00::/8"])
    assert judge(guard, "127.0.0.1") is None
    assert judge(guard, "10.0.0.1") == "denied by 10.0.0.0/8"
    assert judge(guard, "fd12::1%eth0") == "denied by fd00::/8"
    assert judge(guard, "fe80::1") is None


@pytest.mark.parametrize(
    "address",
    [
        "10.20.30.40",
        "::ffff:10.20.30.40",
        "::10.20.30.40",
        "::ffff:0:10.20.30.40",
        "64:ff9b::10.20.30.40",
        "64:ff9b:1::10.20.30.40",
        "64:ff9b:1:a14:1e:2800::",
        "64:ff9b:1:ff0a:14:1e28::",
        "64:ff9b:1:ffff:a:141e:2800::",
        "2002:a14:1e28::1",
        "2001:0:102:304:8000:63bf:f5eb:e1d7",
        "2001:0:a14:1e28:8000:63bf:ffff:ffff",
    ],
)
def test_denied_ipv4_address_is_found_inside_ipv6(address: str) -> None:
    """A denied IPv4 network is found in every IPv6 form that carries an IPv4 address."""
    assert judge(AddressGuard(deny=["10.20.30.40/32"]), address) == "denied by 10.20.30.40/32"
    assert judge(AddressGuard(deny=["10.20.30.41"]), address) is None


def test_allow_does_not_reach_through_tunnels() -> None:
    """Allowing an IPv4 network allows its mapped form, which is the same address, but no tunnel to it."""
    guard = AddressGuard(public_only=True, allow=["10.0.0.0/8"])
    assert judge(guard, "::ffff:10.0.0.1") is None
    assert judge(guard, "2002:a00:1::1") is not None
    assert judge(guard, "64:ff9b::10.0.0.1") is not None


def test_mapped_network_is_the_ipv4_network() -> None:
    """A network in IPv4-mapped spelling means the IPv4 addresses."""
    guard = AddressGuard(deny=["::ffff:10.0.0.0/104"])
    assert judge(guard, "10.9.9.9") == "denied by 10.0.0.0/8"
    assert judge(guard, "::ffff:10.9.9.9") == "denied by 10.0.0.0/8"
    assert judge(guard, "11.0.0.1") is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("10.0.0.1/8", "'10.0.0.1/8' is not a network: did you mean 10.0.0.0/8?"),
        ("fd00::1/8", "'fd00::1/8' is not a network: did you mean fd00::/8?"),
        ("10.0.0.0/33", "'10.0.0.0/33' is not a network such as 10.0.0.0/8 or fd00::/8"),
        ("example.org", "'example.org' is not a network such as 10.0.0.0/8 or fd00::/8"),
        ("", "'' is not a network such as 10.0.0.0/8 or fd00::/8"),
        ("\x1b[2J", "'\\x1b[2J' is not a network such as 10.0.0.0/8 or fd00::/8"),
    ],
)
def test_bad_network_is_one_clear_sentence(text: str, sentence: str) -> None:
    """What is no network is refused when the guard is made."""
    for allow, deny in (([text], []), ([], [text])):
        with pytest.raises(ValueError) as caught:
            AddressGuard(allow=allow, deny=deny)
        assert str(caught.value) == sentence


# permitted


def test_only_the_good_addresses_of_a_name_are_used() -> None:
    """A name that resolves to both kinds keeps the good ones, in their order."""
    infos = [info("10.0.0.1"), info("2606:4700::1111"), info("::1"), info("1.1.1.1")]
    assert permitted(infos, AddressGuard(public_only=True), "mixed.test") == [infos[1], infos[3]]


def test_default_keeps_everything() -> None:
    """`allow_all` gives all addresses back, in a list of the caller's own."""
    infos = [info("127.0.0.1"), info("::1")]
    kept = permitted(infos, allow_all, "localhost")
    assert kept == infos
    assert kept is not infos


def test_blocked_names_host_address_and_rule() -> None:
    """When nothing is left the error says for which host, which address and why."""
    with pytest.raises(ConnectBlocked) as caught:
        permitted([info("127.0.0.1"), info("fe80::1%lo")], AddressGuard(public_only=True), "evil.test")
    assert caught.value.code == "connect.blocked"
    assert str(caught.value) == (
        "'evil.test' may not be connected: 127.0.0.1 is blocked: loopback (RFC 1122); "
        "fe80::1%lo is blocked: link-local (RFC 4291)"
    )


def test_message_of_many_blocked_addresses_is_short() -> None:
    """Of many blocked addresses three are named."""
    with pytest.raises(ConnectBlocked, match=r"10\.0\.0\.2 is blocked: [^;]*; and 47 more$"):
        permitted([info(f"10.0.0.{last}") for last in range(50)], AddressGuard(public_only=True), "many.test")


def test_any_callable_is_a_guard() -> None:
    """A guard of one's own is a function from an address to a rule's name, or None."""

    def only_loopback(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
        return None if address.is_loopback else "not of this machine"

    assert permitted([info("127.0.0.1")], only_loopback, "localhost") == [info("127.0.0.1")]
    with pytest.raises(ConnectBlocked, match=r"1\.1\.1\.1 is blocked: not of this machine"):
        permitted([info("1.1.1.1")], only_loopback, "one.test")


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("1.1.1.1", ["1.1.1.1"]),
        ("2606:4700::1111", ["2606:4700::1111"]),
        ("::ffff:1.1.1.1", ["::ffff:101:101", "1.1.1.1"]),
        ("0.0.0.0", ["0.0.0.0", "127.0.0.1"]),
        ("::", ["::", "::1"]),
        ("::ffff:0.0.0.0", ["::ffff:0:0", "0.0.0.0", "127.0.0.1"]),
        ("::%lo", ["::%lo", "::1"]),
    ],
)
def test_a_guard_is_asked_about_what_an_address_leads_to(address: str, asked: list[str]) -> None:
    """Where a connection ends at another address than was said, a guard judges both."""
    seen: list[str] = []

    def keep(address: object) -> None:
        seen.append(str(address))

    assert permitted([info(address)], keep, "one.test")
    assert seen == asked
