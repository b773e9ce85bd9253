"""What the options of a command mean for its client. It is loaded when the command runs: no help waits for it.

The library stands here by its full name, as in `asyncfetch.Client`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

import asyncfetch
from asyncfetch.cli.exits import UsageProblem
from asyncfetch.cli.running import LoopName

if TYPE_CHECKING:
    from asyncfetch.cli.host_section import HostSection

__all__ = ["ClientOptions"]

_BUFFERED = 32  # results that wait to be recorded, besides the 32 that the job collects: a kill costs no more


class ClientOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the options say about the client; a command's own options are not among them."""

    headers: tuple[tuple[str, str | None], ...] = ()
    secret_headers: tuple[tuple[str, str], ...] = ()
    user_agent: str | None = None
    user: tuple[str, str] | None = None
    head: bool = False
    max_redirs: int = 10
    location: bool = True
    max_time: float | None = None
    connect_timeout: float = 10
    head_timeout: float = 30
    read_timeout: float = 30
    speed_limit: int = 1000
    speed_time: float = 30
    insecure: bool = False
    cacert: str | None = None
    cert: str | None = None
    key: str | None = None
    ipv4: bool = False
    ipv6: bool = False
    resolve: tuple[tuple[str, str], ...] = ()
    public_only: bool = False
    allow_net: tuple[str, ...] = ()
    deny_net: tuple[str, ...] = ()
    loop: LoopName = "auto"
    jobs: int = 100
    max_per_host: int = 6
    retry: int = 2
    waits: bool = True
    max_filesize: int | None = None
    rate: float | None = None
    delay: float = 0.0
    global_rate: float | None = None
    limit_rate: int | None = None
    adapt: bool = True
    max_wait: float = 300.0
    robots: bool = False
    hosts: Mapping[str, HostSection] = msgspec.field(default_factory=dict)

    @classmethod
    def take_from(cls, options: dict[str, Any]) -> ClientOptions:
        """Take what belongs here out of a command's options.

        Raises:
            UsageProblem: two options exclude each other.
        """
        mine = {name: options.pop(name) for name in cls.__struct_fields__ if name in options}
        chosen = cls(**mine)
        if chosen.ipv4 and chosen.ipv6:
            raise UsageProblem("-4 and -6 exclude each other: leave both out to use either kind of address")
        if chosen.key is not None and chosen.cert is None:
            raise UsageProblem("--key needs the certificate that it belongs to: add --cert FILE")
        if chosen.insecure and chosen.cacert is not None:
            raise UsageProblem("-k accepts any certificate, so --cacert would be without effect: leave one out")
        if chosen.allow_net and not chosen.public_only:
            raise UsageProblem("--allow-net makes an exception from --public-only: add that, or leave it out")
        return chosen

    @property
    def method(self) -> Literal["GET", "HEAD"]:
        """The method of every request."""
        return "HEAD" if self.head else "GET"

    @property
    def sensitive(self) -> frozenset[str]:
        """The names, in lower case, of the headers whose values are for the named servers only."""
        of_hosts = [name for section in self.hosts.values() for name in section.secret_headers]
        return asyncfetch.client.SENSITIVE_HEADERS.union(
            of_hosts, (name.lower() for name, _ in self.secret_headers)
        )

    @property
    def credentials(self) -> tuple[str, ...]:
        """The names of the headers that are sent to the servers that the user names only: secrets, and Host."""
        sensitive = self.sensitive | {"host"}
        return tuple({name: None for name, value in self._headers() if value and name.lower() in sensitive})

    def open_client(self, trace: asyncfetch.Trace | None = None) -> asyncfetch.Client:
        """Make the client that the options describe.

        Raises:
            UsageProblem: a TLS file cannot be used, or a header cannot be sent.
        """
        try:
            return asyncfetch.Client(
                limits=asyncfetch.Limits(
                    total=self.jobs,
                    per_host=self.max_per_host,
                    max_body=self.max_filesize,
                    max_streamed=self.max_filesize,
                    buffered=_BUFFERED,
                ),
                timeouts=self.timeouts,
                retry=self._retry(),
                politeness=self.politeness,
                hosts=self.host_settings,
                redirects=asyncfetch.Redirects(follow=self.location, most=self.max_redirs),
                tls=asyncfetch.TLSSettings(
                    verify=not self.insecure, ca_file=self.cacert, cert_file=self.cert, key_file=self.key
                ),
                network=self._network(),
                headers=self._headers(),
                sensitive_headers=self.sensitive,
                guard=self._guard(),
                robots=self.robots,
                trace=trace,
            )
        except ValueError as error:
            raise UsageProblem(str(error)) from error

    def _retry(self) -> asyncfetch.Retry:
        """Say how often to try again; without `waits`, not even after a pause that the host asks for."""
        retry = asyncfetch.Retry(attempts=self.retry + 1, max_wait=self.max_wait)
        return retry if self.waits else replace(retry, wait_budget=0.0)

    @property
    def host_settings(self) -> dict[str, asyncfetch.HostSettings]:
        """What is different for some hosts, by pattern."""
        timeouts = self.timeouts
        return {pattern: section.settings(timeouts) for pattern, section in self.hosts.items()}

    @property
    def politeness(self) -> asyncfetch.Politeness:
        """How hosts are spared."""
        return asyncfetch.Politeness(
            rate=self.rate,
            delay=self.delay,
            global_rate=self.global_rate,
            limit_rate=self.limit_rate,
            adapt=self.adapt,
        )

    @property
    def timeouts(self) -> asyncfetch.Timeouts:
        """How long each phase may take."""
        return asyncfetch.Timeouts(
            connect=self.connect_timeout,
            head=self.head_timeout,
            read=self.read_timeout,
            total=self.max_time,
            speed_limit=self.speed_limit,
            speed_time=self.speed_time,
        )

    def _network(self) -> asyncfetch.Network:
        family = "ipv4" if self.ipv4 else "ipv6" if self.ipv6 else "any"
        return asyncfetch.Network(family=cast(Any, family), overrides=dict(self.resolve))

    def _guard(self) -> asyncfetch.AddressGuard | None:
        if not (self.public_only or self.deny_net):
            return None
        return asyncfetch.AddressGuard(public_only=self.public_only, allow=self.allow_net, deny=self.deny_net)

    def _headers(self) -> list[tuple[str, str | None]]:
        headers: list[tuple[str, str | None]] = []
        if self.user_agent is not None:
            headers.append(("User-Agent", self.user_agent or None))
        if self.user is not None:
            token = base64.b64encode(":".join(self.user).encode("utf-8", "surrogateescape")).decode()
            headers.append(("Authorization", f"Basic {token}"))
        return [*headers, *self.headers, *self.secret_headers]
