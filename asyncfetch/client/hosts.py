"""What is different for single hosts: found by pattern, and put on each fetch before its turn at that host.

Fields and timeouts belong to the host that a fetch goes to now, so a redirect changes them. Credentials are sent
only where somebody named the host: a redirect to it, from anywhere, does not get them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from asyncfetch.client.fetch import Fetch, FieldBlocks, FieldPairs, merge_fields
from asyncfetch.client.misuse import callable_or_none
from asyncfetch.errors import InvalidURL, shown
from asyncfetch.settings import HostSettings, Timeouts
from asyncfetch.url import Url

__all__ = ["HostTable", "Hosts", "settings_by_host"]

HostTable = Mapping[str, HostSettings] | Callable[[str], HostSettings | None]
"""Patterns (`example.org`, `*.example.org`, either with `:port`), or a callable that is asked with `host:port`."""

_REMEMBERED = 10_000
_TIMEOUTS_REMEMBERED = 1024
_WILD = "*."


class _Own(NamedTuple):
    """What a host has of its own.

    Attributes:
        settings: as given.
        blocks: the fields for it.
    """

    settings: HostSettings
    blocks: FieldBlocks


class Hosts:
    """The hosts with settings of their own.

    Attributes:
        blocks: the fields of all other hosts.
        timeouts: those of all other hosts.
        are_special: whether any host may have settings of its own.
    """

    def __init__(
        self, table: HostTable | None, pairs: FieldPairs, sensitive: frozenset[str], timeouts: Timeouts
    ) -> None:
        """Check what can be checked.

        Args:
            table: the settings by pattern, or a callable.
            pairs: the client's fields.
            sensitive: names of fields, in lower case, that are for the named origins only.
            timeouts: the client's.

        Raises:
            ValueError: a pattern is none, or a header cannot be sent.
            TypeError: the table is neither a mapping nor a callable, or has other things than HostSettings.
        """
        self.blocks = FieldBlocks(pairs, sensitive)
        self.timeouts = timeouts
        self._with_total = lru_cache(_TIMEOUTS_REMEMBERED)(_with_total)
        self.are_special = bool(table) or callable(table)
        self._pairs = pairs
        self._sensitive = sensitive
        self._ask: Callable[[str], HostSettings | None] | None = None
        self._by_pattern: dict[str, _Own] = {}
        self._asked: dict[str, _Own | None] = {}
        if table is None:
            return
        if isinstance(table, Mapping):
            self._by_pattern = {_checked(pattern): self._make(own) for pattern, own in table.items()}
        else:
            self._ask = callable_or_none("hosts", table, "a mapping of patterns to HostSettings, or a callable")

    def settings(self, key: str) -> HostSettings | None:
        """Return what is different for a host, by its key `host:port`."""
        own = self._find(key)
        return None if own is None else own.settings

    def dress(self, fetch: Fetch) -> None:
        """Put on a fetch what holds at the host that it goes to next: the request's own comes first.

        Raises:
            InvalidURL: a header of the request, or of a host that a callable describes, cannot be sent.
        """
        request = fetch.request
        try:
            own = self._find(fetch.host) if self.are_special else None
            fetch.blocks = self.blocks if own is None else own.blocks
            if request.headers is not None:
                fetch.blocks = fetch.blocks.with_fields(request.headers)
        except ValueError as error:
            raise InvalidURL(str(error)) from error
        timeouts = None if own is None else own.settings.timeouts
        fetch.timeouts = request.timeouts or timeouts or self.timeouts
        if request.max_time is not None:
            fetch.timeouts = self._with_total(fetch.timeouts, request.max_time)

    # Inside

    def _find(self, key: str) -> _Own | None:
        if key in self._asked:
            return self._asked[key]
        if len(self._asked) >= _REMEMBERED:
            self._asked.clear()
        if self._ask is not None:
            settings = self._ask(key)
            own = None if settings is None else self._make(settings)
        else:
            own = next((self._by_pattern[p] for p in _patterns_for(key) if p in self._by_pattern), None)
        self._asked[key] = own
        return own

    def _make(self, settings: HostSettings) -> _Own:
        if not isinstance(settings, HostSettings):
            raise TypeError(f"a host's settings are HostSettings(...), not {settings!r}")
        pairs = self._pairs
        if settings.user is not None:
            token = base64.b64encode(f"{settings.user}:{settings.password or ''}".encode()).decode()
            pairs = merge_fields(pairs, {"Authorization": f"Basic {token}"})
        return _Own(settings, FieldBlocks(merge_fields(pairs, settings.headers), self._sensitive))


def settings_by_host(table: HostTable) -> Callable[[str], HostSettings | None]:
    """Return what tells of a host, by its key `host:port`, what a client with this table takes for it.

    Raises:
        ValueError, TypeError: as the client does.
    """
    return Hosts(table, [], frozenset(), Timeouts()).settings


def _with_total(timeouts: Timeouts, total: float) -> Timeouts:
    return replace(timeouts, total=total)


def _patterns_for(key: str) -> list[str]:
    """Return the patterns that a key matches, the closest first: a port counts more than its absence."""
    host, _, port = key.rpartition(":")
    names = [host]
    if not _is_address(host):
        labels = host.split(".")
        names += [_WILD + ".".join(labels[start:]) for start in range(1, len(labels))]
    return [form for name in names for form in (f"{name}:{port}", name)]


def _is_address(host: str) -> bool:
    """Whether a host is an address, which has no domains above it."""
    return host.startswith("[") or host.rpartition(".")[2].isdigit()


def _checked(pattern: str) -> str:
    """Return a pattern as keys are written: lower case, names in punycode, addresses in their usual form.

    Raises:
        ValueError: it is no pattern.
    """
    wild = _WILD if pattern.startswith(_WILD) else ""
    name = pattern.removeprefix(wild)
    try:
        key = Url.parse(f"http://{name}/").origin.key
    except InvalidURL:
        key = ""
    host, _, port = key.rpartition(":")
    if not host or any(mark in name for mark in "/?#@*\\") or (wild and _is_address(host)):
        raise ValueError(
            f"{shown(pattern)} is no pattern for hosts: give a name, such as example.org, *.example.org or "
            "example.org:8080"
        )
    return wild + (key if name.endswith(f":{port}") else host)
