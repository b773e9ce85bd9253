"""The options that commands share. What they mean for the client is said in `client_options`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from asyncfetch import __version__
from asyncfetch.cli.commands import option
from asyncfetch.cli.values import (
    count,
    failures,
    filled,
    header,
    network,
    number,
    pause,
    rate,
    resolve,
    seconds,
    secret_header,
    size,
    speed,
    user,
)

__all__ = [
    "HOW_MUCH",
    "IN_AND_OUT",
    "SHOWN",
    "connection_options",
    "limit_options",
    "politeness_options",
    "redirect_option",
    "request_options",
    "robots_option",
    "saving_options",
    "stacked",
    "stop_options",
]

F = TypeVar("F", bound=Callable[..., Any])

IN_AND_OUT = "In and out"
HOW_MUCH = "How much at once, and when to stop"
_POLITENESS = "Politeness"
_BODIES = "Saved bodies"
_REQUESTS = "Requests"
_TIMES = "Timeouts, in seconds"
_TLS = "TLS"
_ADDRESSES = "Addresses"
SHOWN = "What is shown"


def stacked(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Make one decorator of several options, in their order in the help."""

    def apply(function: F) -> F:
        for declare in reversed(options):
            function = declare(function)
        return function

    return apply


limit_options = stacked(
    option("-j", "--jobs", type=count, default=100, show_default=True, metavar="N", panel=HOW_MUCH,
                 help="Requests in flight at once."),
    option("--max-per-host", type=count, default=6, show_default=True, metavar="N", panel=HOW_MUCH,
                 help="Of these, to one host."),
    option("--retry", type=number, default=2, show_default=True, metavar="N", panel=HOW_MUCH,
                 help="Further attempts after what may pass: failed connections, timeouts, cut answers, 429, 503 "
                      "and the like. Waiting because a host asks for it (Retry-After) uses none up, and is "
                      "done with 0 too; --max-wait bounds it."),
    option("--max-filesize", type=size, metavar="SIZE", show_default="no limit", panel=HOW_MUCH,
                 help="Give up a body that is larger, decoded; k, M and G are 1024s."),
)  # fmt: skip

robots_option = option(
    "--robots", is_flag=True, panel=_REQUESTS,
    help="Obey the robots.txt of each origin, fetched before its first URL: what it disallows is not fetched; "
         "Crawl-delay and Request-rate are kept. It calls us by the first word of -A.",
)  # fmt: skip

stop_options = stacked(
    option("--fail-early", is_flag=True, panel=HOW_MUCH, help="Stop at the first URL that is not ok."),
    option("--max-failures", type=failures, metavar="N|P%", show_default="never", panel=HOW_MUCH,
                 help="Stop after N URLs that are not ok, or when more than P per cent of at least 50 are not."),
    option("--deadline", type=seconds, metavar="S", show_default="none", panel=HOW_MUCH,
                 help="Stop the whole job after S seconds; what is in flight then has no record."),
    option("--tail-rate", type=rate, metavar="N/s", show_default="never", panel=HOW_MUCH,
                 help="Stop when 5 hosts or fewer are left and fewer than N URLs a second have come for 30 s."),
)  # fmt: skip

politeness_options = stacked(
    option("--rate", type=rate, metavar="N/s", show_default="no limit", panel=_POLITENESS,
                 help="Start at most N requests a second at one host; also N/m and N/h."),
    option("--delay", type=pause, default=0, show_default=True, metavar="S", panel=_POLITENESS,
                 help="Seconds between two starts at one host."),
    option("--global-rate", type=rate, metavar="N/s", show_default="no limit", panel=_POLITENESS,
                 help="Start at most N requests a second over all hosts."),
    option("--limit-rate", type=speed, metavar="BYTES/s", show_default="no limit", panel=_POLITENESS,
                 help="Receive bodies at most this fast, all together; k, M and G are 1024s."),
    option("--adapt/--no-adapt", default=True, show_default="on", panel=_POLITENESS,
                 help="Find how many requests at once each host takes, up to --max-per-host: begin with 4, go down "
                      "when it says 429, breaks off or gets slow."),
    option("--max-wait", type=pause, default=300, show_default=True, metavar="S", panel=_POLITENESS,
                 help="A host that asks for a pause (Retry-After, RateLimit) gets at most S seconds at a time."),
)  # fmt: skip

saving_options = stacked(
    option("--name", type=filled, metavar="TEMPLATE", panel=_BODIES, show_default="{host}/{path}/{name}{ext}",
                 help="What files are called, of {n} {host} {path} {name} {ext} {sha256}; '{n}{ext}' is the number "
                      "in the list. A name that is taken gets a mark."),
    option("--flat", is_flag=True, panel=_BODIES,
                 help="No directories: host_name~mark.ext, the mark tells URLs apart."),
    option("--hash", "digest", type=click.Choice(["sha256"]), panel=_BODIES,
                 help="Record the digest of every saved body."),
    option("--skip-existing", is_flag=True, panel=_BODIES,
                 help="Do not fetch a URL whose file is there; its record is ok, without a status."),
    option("--refresh", type=filled, metavar="OLD.jsonl", panel=_BODIES,
                 help="Ask for what has changed since these records only: a 304 is ok, and its file stays."),
)  # fmt: skip

request_options = stacked(
    option("-H", "--header", "headers", type=header, multiple=True, metavar="'NAME: VALUE'", panel=_REQUESTS,
                 help="Send this header with every request; 'NAME:' drops a default, 'NAME;' sends it empty. "
                      "Can be repeated. Host goes to where the URLs say, and not on to where a redirect leads."),
    option("--secret-header", "secret_headers", type=secret_header, multiple=True, metavar="'NAME: VALUE'",
                 panel=_REQUESTS,
                 help="The same for an API key and the like: hidden in reports and, as Authorization and Cookie "
                      "always are, not sent on by a redirect to another scheme, host or port. Can be repeated."),
    option("-A", "--user-agent", metavar="NAME", show_default=f"asyncfetch/{__version__}", panel=_REQUESTS,
                 help="What servers see as the client's name; an empty one is not sent."),
    option("-u", "--user", type=user, metavar="USER:PASSWORD", panel=_REQUESTS,
                 help="Credentials (Basic), not sent on to other hosts by a redirect; without :PASSWORD it is "
                      "asked for."),
    option("-I", "--head", is_flag=True, panel=_REQUESTS, help="HEAD instead of GET: no bodies."),
)  # fmt: skip


def redirect_option(*names: str, **settings: Any) -> Callable[[F], F]:
    """Declare whether redirects are followed, as the command says, and how many."""
    return stacked(
        option(*names, panel=_REQUESTS, **settings),
        option("--max-redirs", type=number, default=10, show_default=True, metavar="N", panel=_REQUESTS,
                     help="Follow at most this many redirects in a row."),
    )  # fmt: skip


connection_options = stacked(
    option("-m", "--max-time", type=seconds, metavar="S", show_default="no limit", panel=_TIMES,
                 help="One attempt with its redirects; time in the queue does not count."),
    option("--connect-timeout", type=seconds, default=10, show_default=True, metavar="S", panel=_TIMES,
                 help="Name, TCP and TLS together."),
    option("--head-timeout", type=seconds, default=30, show_default=True, metavar="S", panel=_TIMES,
                 help="From the request sent to the head of the response complete."),
    option("--read-timeout", type=seconds, default=30, show_default=True, metavar="S", panel=_TIMES,
                 help="Silence inside a body."),
    option("--speed-limit", type=size, default=1000, show_default=True, metavar="B", panel=_TIMES,
                 help="Give up a body slower than this many bytes a second; 0 never does."),
    option("--speed-time", type=seconds, default=30, show_default=True, metavar="S", panel=_TIMES,
                 help="The seconds over which --speed-limit is taken."),
    option("-k", "--insecure", is_flag=True, panel=_TLS, help="Accept any certificate."),
    option("--cacert", type=filled, metavar="FILE", panel=_TLS,
                 help="Trust these authorities (PEM) instead of the system's."),
    option("-E", "--cert", type=filled, metavar="FILE", panel=_TLS, help="Client certificate (PEM)."),
    option("--key", type=filled, metavar="FILE", panel=_TLS,
                 help="Key of --cert (PEM), if it is in a file of its own."),
    option("-4", "--ipv4", is_flag=True, panel=_ADDRESSES, help="IPv4 addresses only."),
    option("-6", "--ipv6", is_flag=True, panel=_ADDRESSES, help="IPv6 addresses only."),
    option("--resolve", type=resolve, multiple=True, metavar="H:P:ADDR", panel=_ADDRESSES,
                 help="Use this address for host H and port P. Can be repeated."),
    option("--public-only", is_flag=True, panel=_ADDRESSES,
                 help="Dial public addresses only: for lists that strangers wrote."),
    option("--allow-net", type=network, multiple=True, metavar="CIDR", panel=_ADDRESSES,
                 help="With --public-only, allow this network too. Can be repeated."),
    option("--deny-net", type=network, multiple=True, metavar="CIDR", panel=_ADDRESSES,
                 help="Never dial this network. Can be repeated."),
    option("--loop", type=click.Choice(["auto", "asyncio", "uvloop"]), default="auto", show_default=True,
                 help="Event loop; auto is uvloop where it is installed."),
)  # fmt: skip
