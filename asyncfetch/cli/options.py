"""The options that commands share, and what they mean for the client."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import rich_click as click

from asyncfetch import AddressGuard, Client, Limits, Network, Redirects, Retry, Timeouts, TLSSettings, Trace
from asyncfetch.cli.exits import UsageProblem
from asyncfetch.cli.running import LoopName
from asyncfetch.cli.values import COUNT, NUMBER, header, network, resolve, seconds, size, user
from asyncfetch.result import Method

__all__ = ["ClientOptions", "connection_options", "limit_options", "request_options"]

F = TypeVar("F", bound=Callable[..., Any])


def _stacked(*options: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


request_options = _stacked(
    click.option("-H", "--header", "headers", type=header, multiple=True, metavar="'NAME: VALUE'",
                 help="Send this header with every request; 'Name:' drops a default. Can be repeated."),
    click.option("-A", "--user-agent", metavar="NAME", help="Name of the client that servers see."),
    click.option("-u", "--user", type=user, metavar="USER:PASSWORD",
                 help="Credentials (Basic). Dropped when a redirect leads to another host."),
    click.option("-I", "--head", is_flag=True, help="HEAD instead of GET: the head of each response, no body."),
    click.option("--max-redirs", type=NUMBER, default=10, show_default=True, metavar="N",
                 help="Follow at most this many redirects in a row."),
)  # fmt: skip

connection_options = _stacked(
    click.option("-m", "--max-time", type=seconds, metavar="S",
                 help="Seconds for one attempt with its redirects, time in the queue not.  [default: none]"),
    click.option("--connect-timeout", type=seconds, default=10, show_default=True, metavar="S",
                 help="Seconds for name, TCP and TLS."),
    click.option("--head-timeout", type=seconds, default=30, show_default=True, metavar="S",
                 help="Seconds from the request sent to the head complete."),
    click.option("--read-timeout", type=seconds, default=30, show_default=True, metavar="S",
                 help="Seconds of silence inside a body."),
    click.option("--speed-limit", type=size, default=1000, show_default=True, metavar="B",
                 help="Give up a body slower than this many bytes a second; 0 never does."),
    click.option("--speed-time", type=seconds, default=30, show_default=True, metavar="S",
                 help="The seconds over which --speed-limit is taken."),
    click.option("-k", "--insecure", is_flag=True, help="Accept any TLS certificate."),
    click.option("--cacert", metavar="FILE", help="Trust these authorities (PEM) instead of the system's."),
    click.option("-E", "--cert", metavar="FILE", help="Client certificate (PEM)."),
    click.option("--key", metavar="FILE", help="Key of --cert (PEM), if it is in a file of its own."),
    click.option("-4", "--ipv4", is_flag=True, help="IPv4 addresses only."),
    click.option("-6", "--ipv6", is_flag=True, help="IPv6 addresses only."),
    click.option("--resolve", type=resolve, multiple=True, metavar="H:P:ADDR",
                 help="Use this address for host H and port P. Can be repeated."),
    click.option("--public-only", is_flag=True,
                 help="Dial public addresses only: for lists that strangers wrote."),
    click.option("--allow-net", type=network, multiple=True, metavar="CIDR",
                 help="With --public-only, allow this network too. Can be repeated."),
    click.option("--deny-net", type=network, multiple=True, metavar="CIDR",
                 help="Never dial this network. Can be repeated."),
    click.option("--loop", type=click.Choice(["auto", "asyncio", "uvloop"]), default="auto", show_default=True,
                 help="Event loop; auto is uvloop where it is installed."),
)  # fmt: skip

limit_options = _stacked(
    click.option("-j", "--jobs", type=COUNT, default=100, show_default=True, metavar="N",
                 help="Requests in flight at once."),
    click.option("--max-per-host", type=COUNT, default=6, show_default=True, metavar="N",
                 help="Of these, to one host."),
    click.option("--retry", type=NUMBER, default=2, show_default=True, metavar="N",
                 help="Further attempts after what may pass: failed connections, timeouts, 429, 503 and the like."),
    click.option("--max-filesize", type=size, metavar="SIZE",
                 help="Give up a body that is larger, decoded; k, M and G are 1024s.  [default: none]"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """What the options say about the client; a command's own options are not among them."""

    headers: tuple[tuple[str, str | None], ...] = ()
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
    max_filesize: int | None = None

    @classmethod
    def take_from(cls, options: dict[str, Any]) -> ClientOptions:
        """Take what belongs here out of a command's options.

        Raises:
            UsageProblem: two options exclude each other.
        """
        mine = {name: options.pop(name) for name in cls.__slots__ if name in options}
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
    def method(self) -> Method:
        """The method of every request."""
        return "HEAD" if self.head else "GET"

    def open_client(self, trace: Trace | None = None) -> Client:
        """Make the client that the options describe.

        Raises:
            UsageProblem: a TLS file cannot be used, or a header cannot be sent.
        """
        try:
            return Client(
                limits=Limits(total=self.jobs, per_host=self.max_per_host, max_body=self.max_filesize),
                timeouts=self._timeouts(),
                retry=Retry(attempts=self.retry + 1),
                redirects=Redirects(follow=self.location, most=self.max_redirs),
                tls=TLSSettings(
                    verify=not self.insecure, ca_file=self.cacert, cert_file=self.cert, key_file=self.key
                ),
                network=self._network(),
                headers=self._headers(),
                guard=self._guard(),
                trace=trace,
            )
        except ValueError as error:
            raise UsageProblem(str(error)) from error

    def _timeouts(self) -> Timeouts:
        return Timeouts(
            connect=self.connect_timeout,
            head=self.head_timeout,
            read=self.read_timeout,
            total=self.max_time,
            speed_limit=self.speed_limit,
            speed_time=self.speed_time,
        )

    def _network(self) -> Network:
        family = "ipv4" if self.ipv4 else "ipv6" if self.ipv6 else "any"
        return Network(family=cast(Any, family), overrides=dict(self.resolve))

    def _guard(self) -> AddressGuard | None:
        if not (self.public_only or self.deny_net):
            return None
        return AddressGuard(public_only=self.public_only, allow=self.allow_net, deny=self.deny_net)

    def _headers(self) -> list[tuple[str, str | None]]:
        headers: list[tuple[str, str | None]] = []
        if self.user_agent is not None:
            headers.append(("User-Agent", self.user_agent or None))
        if self.user is not None:
            token = base64.b64encode(":".join(self.user).encode()).decode()
            headers.append(("Authorization", f"Basic {token}"))
        return headers + list(self.headers)
