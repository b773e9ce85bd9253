"""Fetch a list of URLs, many at once, and say for every one of them what happened.

    async with asyncfetch.Client() as client:
        async for result in client.fetch_many(urls):
            print(result.url, result.code or result.status)

The package is a house of floors, and imports go down only:

- `cli`: the command line; `display`: what a person sees; `job`: a list, run to its end
- `client`: the engine's public face, the only floor where the next two meet
- `streams`: HTTP over asyncio streams; `scheduler`: whose turn it is
- the values: `errors`, `url`, `settings`, `result`, `record`, `stats`, `trace`
- `testing`: a loopback server that misbehaves on request

Importing the package loads the library only: neither the command line nor the display nor the job.
"""

from asyncfetch.client import Client, FetchMany, Sink, SinkFactory
from asyncfetch.errors import (
    BodyError,
    BodyTooLarge,
    Cancelled,
    CertificateError,
    ConnectBlocked,
    ConnectError,
    ConnectFailed,
    ConnectRefused,
    ConnectTimeout,
    DecodingError,
    FetchError,
    FetchTimeout,
    HandshakeFailed,
    HeadTimeout,
    HostUnavailable,
    IncompleteMessage,
    InvalidRedirect,
    InvalidURL,
    LocalError,
    MalformedMessage,
    MessageTooLarge,
    NameNotFound,
    ProtocolError,
    ReadTimeout,
    RedirectError,
    ResolutionError,
    ResolutionFailed,
    RobotsDisallowed,
    SlowBody,
    StatusError,
    TLSError,
    TooManyRedirects,
    TotalTimeout,
)
from asyncfetch.record import Record
from asyncfetch.result import Request, Response, Result, Timings
from asyncfetch.settings import (
    HostSettings,
    Limits,
    Network,
    Politeness,
    Redirects,
    Retry,
    Timeouts,
    TLSSettings,
)
from asyncfetch.shortcuts import fetch_many, get, run
from asyncfetch.stats import HostState, HostStats, Stats
from asyncfetch.streams.guard import AddressGuard
from asyncfetch.trace import TLSSession, Trace
from asyncfetch.url import Origin, Url
from asyncfetch.version import __version__

__all__ = [
    "AddressGuard",
    "BodyError",
    "BodyTooLarge",
    "Cancelled",
    "CertificateError",
    "Client",
    "ConnectBlocked",
    "ConnectError",
    "ConnectFailed",
    "ConnectRefused",
    "ConnectTimeout",
    "DecodingError",
    "FetchError",
    "FetchMany",
    "FetchTimeout",
    "HandshakeFailed",
    "HeadTimeout",
    "HostSettings",
    "HostState",
    "HostStats",
    "HostUnavailable",
    "IncompleteMessage",
    "InvalidRedirect",
    "InvalidURL",
    "Limits",
    "LocalError",
    "MalformedMessage",
    "MessageTooLarge",
    "NameNotFound",
    "Network",
    "Origin",
    "Politeness",
    "ProtocolError",
    "ReadTimeout",
    "Record",
    "RedirectError",
    "Redirects",
    "Request",
    "ResolutionError",
    "ResolutionFailed",
    "Response",
    "Result",
    "Retry",
    "RobotsDisallowed",
    "Sink",
    "SinkFactory",
    "SlowBody",
    "Stats",
    "StatusError",
    "TLSError",
    "TLSSession",
    "TLSSettings",
    "Timeouts",
    "Timings",
    "TooManyRedirects",
    "TotalTimeout",
    "Trace",
    "Url",
    "__version__",
    "fetch_many",
    "get",
    "run",
]
