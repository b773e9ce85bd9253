"""`asyncfetch info`: what this installation can do, for bug reports and for the curious."""

from __future__ import annotations

import platform
import ssl
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from asyncfetch import __version__
from asyncfetch.cli.running import choose_loop, raise_open_file_limit
from asyncfetch.client import DEFAULT_HEADERS

__all__ = ["describe_installation"]

_SHOWN = ("anyio", "uvloop", "rich", "ada-url", "msgspec", "protego", "brotli", "backports.zstd", "zlib-ng")


def describe_installation() -> str:
    """Return the lines of `asyncfetch info`."""
    facts = [
        ("asyncfetch", __version__),
        ("Python", f"{platform.python_version()} ({platform.python_implementation()}, {platform.platform()})"),
        ("event loop", choose_loop("auto")),
        ("TLS", ssl.OPENSSL_VERSION),
        ("trusted authorities", _describe_trust()),
        ("content codings", dict(DEFAULT_HEADERS)["Accept-Encoding"]),
        ("open files allowed", str(raise_open_file_limit() or "no limit")),
        ("libraries", ", ".join(f"{name} {_version_of(name)}" for name in _SHOWN)),
    ]
    width = max(len(name) for name, _ in facts)
    return "".join(f"{name:<{width}}  {fact}\n" for name, fact in facts)


def _describe_trust() -> str:
    if sys.platform in ("darwin", "win32"):
        return "the system's, through truststore"
    paths = ssl.get_default_verify_paths()
    found = [path for path in (paths.cafile, paths.capath) if path and Path(path).exists()]
    return ", ".join(found) or "none found: give --cacert FILE for https"


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"
