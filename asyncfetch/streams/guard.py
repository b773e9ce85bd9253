"""Which addresses may be dialled: asked after resolution, about the very addresses that are then connected.

A guard judges addresses, never names: a name can mean one address now and another a moment later. There is no
second look-up between `permitted` and the connection, and every connection, redirect and raced address passes here.

The tables stand here in full, each entry with its RFC, because `ipaddress.is_global` differs between patch versions
of Python. They follow IANA's registries of special-purpose addresses. An IPv6 address that carries an IPv4 address
reaches it through a translator or tunnel, so both are judged. Not known here: a NAT64 prefix of the local network's
own choice (RFC 6052 section 2.2); name it in `deny`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from asyncfetch.errors import ConnectBlocked, shown
from asyncfetch.streams.resolver import AddrInfo

__all__ = ["AddressGuard", "Guard", "allow_all", "permitted"]

Address = IPv4Address | IPv6Address
AnyNetwork = IPv4Network | IPv6Network

Guard = Callable[[Address], str | None]
"""Says why an address may not be dialled, as a few words that name the rule; None if it may."""

_SHOWN_ADDRESSES = 3
_THIS_MACHINE: dict[int, Address] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}


def allow_all(_address: Address) -> str | None:
    """Let every address be dialled: the default, right where nobody else names the URLs."""
    return None


def permitted(addr_infos: Sequence[AddrInfo], guard: Guard, host: str) -> list[AddrInfo]:
    """Return the addresses that may be dialled, in their order; `host` is for the message.

    Raises:
        ConnectBlocked: none of them may be.
    """
    if guard is allow_all:
        return list(addr_infos)
    good, blocked = [], []
    for info in addr_infos:
        text = str(info[4][0])
        rule = next(filter(None, map(guard, _reached_by(ipaddress.ip_address(text)))), None)
        if rule is None:
            good.append(info)
        else:
            blocked.append(f"{text} is blocked: {rule}")
    if not good:
        more = f"; and {len(blocked) - _SHOWN_ADDRESSES} more" if len(blocked) > _SHOWN_ADDRESSES else ""
        raise ConnectBlocked(f"{shown(host)} may not be connected: {'; '.join(blocked[:_SHOWN_ADDRESSES])}{more}")
    return good


def _reached_by(address: Address) -> Iterator[Address]:
    """Give an address and, where systems connect it to another one than it says, that one: a guard must allow both.

    An IPv4-mapped address (RFC 4291 section 2.5.5.2) is IPv4 on the wire; the unspecified lead to this machine.
    """
    yield address
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if mapped is not None:
        yield mapped
    if (mapped or address).is_unspecified:
        yield _THIS_MACHINE[(mapped or address).version]


def _table(*rows: tuple[str, str]) -> tuple[tuple[AnyNetwork, str], ...]:
    return tuple((ipaddress.ip_network(network), rule) for network, rule in rows)


# What answers here inside a cloud gives out credentials. Some of these are inside the networks below and are named
# apart for the message; 168.63.129.16 is in none of them.
_METADATA = _table(
    ("169.254.169.254/32", "a cloud's metadata service"),  # AWS, Azure, Google, OpenStack, DigitalOcean ...
    ("169.254.170.2/32", "a cloud's metadata service (AWS ECS)"),
    ("169.254.170.23/32", "a cloud's metadata service (AWS EKS)"),
    ("169.254.42.42/32", "a cloud's metadata service (Scaleway)"),
    ("100.100.100.200/32", "a cloud's metadata service (Alibaba)"),
    ("168.63.129.16/32", "a cloud's metadata service (Azure)"),
    ("192.0.0.192/32", "a cloud's metadata service (Oracle)"),
    ("fd00:ec2::254/128", "a cloud's metadata service (AWS)"),
    ("fd00:ec2::23/128", "a cloud's metadata service (AWS EKS)"),
    ("fd20:ce::254/128", "a cloud's metadata service (Google)"),
    ("fd00:42::42/128", "a cloud's metadata service (Scaleway)"),
    ("fe80::a9fe:a9fe/128", "a cloud's metadata service (OpenStack)"),
)

_NOT_PUBLIC_IPV4 = _table(
    ("0.0.0.0/32", "unspecified (RFC 1122)"),
    ("0.0.0.0/8", "this network (RFC 791)"),
    ("10.0.0.0/8", "private (RFC 1918)"),
    ("100.64.0.0/10", "shared by a provider's customers, CGNAT (RFC 6598)"),
    ("127.0.0.0/8", "loopback (RFC 1122)"),
    ("169.254.0.0/16", "link-local (RFC 3927)"),
    ("172.16.0.0/12", "private (RFC 1918)"),
    ("192.0.0.0/24", "protocol assignments (RFC 6890)"),
    ("192.0.2.0/24", "documentation (RFC 5737)"),
    ("192.88.99.0/24", "6to4 relays (RFC 7526)"),
    ("192.168.0.0/16", "private (RFC 1918)"),
    ("198.18.0.0/15", "benchmarks (RFC 2544)"),
    ("198.51.100.0/24", "documentation (RFC 5737)"),
    ("203.0.113.0/24", "documentation (RFC 5737)"),
    ("224.0.0.0/4", "multicast (RFC 5771)"),
    ("255.255.255.255/32", "broadcast (RFC 919)"),
    ("240.0.0.0/4", "reserved (RFC 1112)"),
)

# Whatever is outside 2000::/3 is blocked; the entries outside it are here for their names.
_NOT_PUBLIC_IPV6 = _table(
    ("::/128", "unspecified (RFC 4291)"),
    ("::1/128", "loopback (RFC 4291)"),
    ("::/96", "IPv4-compatible (RFC 4291)"),
    ("::ffff:0:0:0/96", "IPv4-translated (RFC 7915)"),
    ("64:ff9b:1::/48", "local NAT64 (RFC 8215)"),
    ("100::/64", "discarded (RFC 6666)"),
    ("100:0:0:1::/64", "dummy prefix (RFC 9780)"),
    ("2001::/32", "Teredo (RFC 4380)"),
    ("2001:2::/48", "benchmarks (RFC 5180)"),
    ("2001::/23", "protocol assignments (RFC 2928)"),
    ("2001:db8::/32", "documentation (RFC 3849)"),
    ("2002::/16", "6to4 (RFC 3056)"),
    ("3fff::/20", "documentation (RFC 9637)"),
    ("5f00::/16", "segment routing (RFC 9602)"),
    ("fc00::/7", "unique local (RFC 4193)"),
    ("fe80::/10", "link-local (RFC 4291)"),
    ("fec0::/10", "site-local (RFC 3879)"),
    ("ff00::/8", "multicast (RFC 4291)"),
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")

_NAT64 = IPv6Network("64:ff9b::/96")

_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")

# Where an IPv4 address is inside an IPv6 address: in the low 32 bits of what the function gives. Nobody can see how
# long the prefix of a local NAT64 is, so each length from 48 bits on that RFC 6052 section 2.2 allows is tried.
_CARRIERS: tuple[tuple[IPv6Network, Callable[[int], int]], ...] = (
    (IPv6Network("::/96"), lambda bits: bits),
    (IPv6Network("::ffff:0:0:0/96"), lambda bits: bits),
    (_NAT64, lambda bits: bits),
    (_LOCAL_NAT64, lambda bits: bits),
    (_LOCAL_NAT64, lambda bits: bits >> 24),
    (_LOCAL_NAT64, lambda bits: (bits >> 64 & 0xFF) << 24 | bits >> 32 & 0xFFFFFF),
    (_LOCAL_NAT64, lambda bits: (bits >> 64 & 0xFFFF) << 16 | bits >> 40 & 0xFFFF),
    (IPv6Network("2002::/16"), lambda bits: bits >> 80),
    (IPv6Network("2001::/32"), lambda bits: ~bits),  # Teredo's client (RFC 4380 section 4)
    (IPv6Network("2001::/32"), lambda bits: bits >> 64),  # Teredo's server
)


class AddressGuard:
    """A guard made of networks. `deny` wins over `allow`, `allow` over `public_only`.

    With `public_only` nothing can be dialled but global unicast addresses: what is private, loopback, link-local,
    shared, multicast, reserved, for documentation or benchmarks, a tunnel, or the metadata of a cloud is blocked.
    `allow` makes exceptions from `public_only`; by itself it forbids nothing. Networks are given as CIDR text
    (`10.0.0.0/8`, `fd00::/8`) or a single address. IPv6 scopes are ignored: `fe80::1%eth0` is judged as `fe80::1`.
    """

    def __init__(self, *, public_only: bool = False, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        """Take the rules.

        Raises:
            ValueError: a text is not a network.
        """
        self._public_only = public_only
        self._allow = [_parse_network(text) for text in allow]
        self._deny = [_parse_network(text) for text in deny]

    def __call__(self, address: Address) -> str | None:
        """Return the rule that blocks this address, or None."""
        address = _unmapped(address)
        carried = tuple(_carried(address))
        for judged in (address, *carried):
            for network in self._deny:
                if judged in network:
                    return f"denied by {network}"
        if not self._public_only or any(address in network for network in self._allow):
            return None
        return _why_not_public(address, carried)


def _why_not_public(address: Address, carried: Iterable[IPv4Address]) -> str | None:
    rule = _look_up_special(address)
    if rule is None and isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        if address not in _NAT64:
            return "not global unicast (RFC 4291)"
        inside = next(iter(carried))
        rule = _look_up_special(inside)
        return None if rule is None else f"NAT64 (RFC 6052) of {inside}: {rule}"
    return rule


def _look_up_special(address: Address) -> str | None:
    special = _NOT_PUBLIC_IPV4 if isinstance(address, IPv4Address) else _NOT_PUBLIC_IPV6
    return next((rule for network, rule in (*_METADATA, *special) if address in network), None)


def _unmapped(address: Address) -> Address:
    """Turn an IPv4-mapped address (RFC 4291 section 2.5.5.2) into the IPv4 address that is then dialled."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _carried(address: Address) -> Iterator[IPv4Address]:
    """Give the IPv4 addresses inside an IPv6 address."""
    if isinstance(address, IPv4Address):
        return
    for network, locate in _CARRIERS:
        if address in network:
            yield IPv4Address(locate(int(address)) & 0xFFFFFFFF)


def _parse_network(text: str) -> AnyNetwork:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(_why_no_network(text)) from None
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network[0].ipv4_mapped is not None:
        return IPv4Network((int(network[0].ipv4_mapped), network.prefixlen - 96))
    return network


def _why_no_network(text: str) -> str:
    try:
        return f"{shown(text)} is not a network: did you mean {ipaddress.ip_network(text, strict=False)}?"
    except ValueError:
        return f"{shown(text)} is not a network such as 10.0.0.0/8 or fd00::/8"
