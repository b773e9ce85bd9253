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

Importing the package loads next to nothing; using a name of it loads the library only: neither the command line nor
the display nor the job.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from asyncfetch.version import __version__

if TYPE_CHECKING:
    from asyncfetch.client import Client, FetchMany, Partial, ResumableSink, Sink, SinkFactory, VerifyingSink
    from asyncfetch.errors import (
        BodyError,
        BodyTooLarge,
        Cancelled,
        CertificateError,
        ChecksumMismatch,
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
    from asyncfetch.streams.ranges import Rest
    from asyncfetch.trace import TLSSession, Trace
    from asyncfetch.url import Origin, Url

__all__ = [
    "AddressGuard",
    "BodyError",
    "BodyTooLarge",
    "Cancelled",
    "CertificateError",
    "ChecksumMismatch",
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
    "Partial",
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
    "Rest",
    "Result",
    "ResumableSink",
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
    "VerifyingSink",
    "__version__",
    "fetch_many",
    "get",
    "run",
]

# The module of each name above. It is loaded when one of its names is used for the first time (PEP 562), so that
# `import asyncfetch` costs next to nothing, and `from asyncfetch import Limits` only what it needs.
_HOMES = {
    "asyncfetch.client": "Client FetchMany Partial ResumableSink Sink SinkFactory VerifyingSink",
    "asyncfetch.errors": (
        "BodyError BodyTooLarge Cancelled CertificateError ChecksumMismatch ConnectBlocked ConnectError "
        "ConnectFailed ConnectRefused ConnectTimeout DecodingError FetchError FetchTimeout HandshakeFailed "
        "HeadTimeout HostUnavailable IncompleteMessage InvalidRedirect InvalidURL LocalError MalformedMessage "
        "MessageTooLarge NameNotFound ProtocolError ReadTimeout RedirectError ResolutionError "
        "ResolutionFailed RobotsDisallowed SlowBody StatusError TLSError TooManyRedirects TotalTimeout"
    ),
    "asyncfetch.record": "Record",
    "asyncfetch.result": "Request Response Result Timings",
    "asyncfetch.settings": "HostSettings Limits Network Politeness Redirects Retry Timeouts TLSSettings",
    "asyncfetch.shortcuts": "fetch_many get run",
    "asyncfetch.stats": "HostState HostStats Stats",
    "asyncfetch.streams.guard": "AddressGuard",
    "asyncfetch.streams.ranges": "Rest",
    "asyncfetch.trace": "TLSSession Trace",
    "asyncfetch.url": "Origin Url",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


if not TYPE_CHECKING:  # a type checker has the names from above, and is to find the misspelt ones

    def __getattr__(name: str) -> object:
        if name in _HOME:
            found = globals()[name] = getattr(import_module(_HOME[name]), name)
            return found
        if f"asyncfetch.{name}" in _HOMES:
            return import_module(f"asyncfetch.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING", "import_module", "_HOME", "_HOMES"})
