"""What a configuration file may say of the hosts that match a pattern: `[host."*.example.org"]`.

The values are read as those of the options that say the same for all hosts; a number may stand as text, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import click
import msgspec

from asyncfetch import HostSettings, InvalidURL, Timeouts, Url
from asyncfetch.cli.exits import UsageProblem
from asyncfetch.cli.secrets import is_secret
from asyncfetch.cli.values import count, header, pause, rate, seconds, speed
from asyncfetch.errors import shown

__all__ = ["HostSection", "TimeoutsSection"]

_Number = int | float | str
_PATTERN = re.compile(r"(?:\*\.)?([^*]+)")


class TimeoutsSection(msgspec.Struct, frozen=True, omit_defaults=True):
    """Timeouts of requests to some hosts, in seconds; what is absent is as for all hosts."""

    connect: _Number | None = None
    head: _Number | None = None
    read: _Number | None = None
    total: _Number | None = None

    def seconds(self) -> dict[str, Any]:
        """Return those that are there, by the names that `Timeouts` has for them."""
        return {name: seconds(text) for name, text in msgspec.structs.asdict(self).items() if text is not None}


class HostSection(msgspec.Struct, frozen=True, omit_defaults=True, rename="kebab"):
    """What is different for the hosts that match a pattern; what is absent is as for all hosts.

    Attributes:
        limit: requests in flight at one of these hosts.
        rate: requests that may begin in a second, at each of them.
        delay: seconds from the begin of a request to the next one's, at each of them.
        limit_rate: bytes per second, from each of them.
        headers: sent to these hosts besides those for all.
        timeouts: of requests to them.
        user, password: credentials (Basic), for these hosts only.
    """

    limit: _Number | None = None
    rate: _Number | None = None
    delay: _Number | None = None
    limit_rate: _Number | None = None
    headers: dict[str, str] = {}
    timeouts: TimeoutsSection = TimeoutsSection()
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """Show which settings are there, but no values: some are credentials."""
        return f"HostSection({', '.join(msgspec.to_builtins(self))})"

    @staticmethod
    def known_keys() -> list[str]:
        """Return the keys of a table, as a file spells them."""
        return [field.encode_name for field in msgspec.structs.fields(HostSection)]

    @staticmethod
    def known_timeouts() -> list[str]:
        """Return the keys of its table `timeouts`."""
        return list(TimeoutsSection.__struct_fields__)

    @property
    def holds_secrets(self) -> bool:
        """Whether somebody who reads it could pretend to be somebody else."""
        return bool(self.password or self.secret_headers)

    def check(self, pattern: str, where: str) -> None:
        """See that every value can be used; `where` says where they stand.

        Raises:
            UsageProblem: one cannot.
        """
        _check_pattern(pattern, where)
        if self.password is not None and self.user is None:
            raise UsageProblem(f"{where}: the password needs the user that it belongs to: add user")
        if self.user is not None and ":" in self.user:
            raise UsageProblem(f"{where}: no user can have a colon: give what follows it as password")
        for key, read in self._readers():
            try:
                read()
            except click.BadParameter as error:
                raise UsageProblem(f"{where}: {key}: {error.message}") from None

    def settings(self, timeouts: Timeouts) -> HostSettings:
        """Return what the client is told of these hosts; `timeouts` are those of all hosts."""
        return HostSettings(
            per_host=self.number("limit"),
            rate=self.number("rate"),
            delay=self.number("delay"),
            limit_rate=self.number("limit_rate"),
            headers=self.header_pairs() or None,
            timeouts=replace(timeouts, **self.timeouts.seconds()) if self.timeouts.seconds() else None,
            user=self.user,
            password=self.password,
        )

    @property
    def secret_headers(self) -> list[str]:
        """The names, in lower case, of the headers that hold secrets."""
        return [name.lower() for name, value in self.headers.items() if is_secret(name, value)]

    def _readers(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        for name in _READ:
            yield name.replace("_", "-"), partial(self.number, name)
        yield "timeouts", self.timeouts.seconds
        yield "headers", self.header_pairs

    def number(self, name: str) -> Any:
        """Return one of the numbers, or None.

        Raises:
            click.BadParameter: it is none.
        """
        text = getattr(self, name)
        return None if text is None else _READ[name](text)

    def header_pairs(self) -> list[tuple[str, str | None]]:
        """Return the headers, as the client takes them.

        Raises:
            click.BadParameter: one cannot be sent.
        """
        return [header(f"{name}: {value}") for name, value in self.headers.items()]


_READ: dict[str, Callable[[Any], Any]] = {"limit": count, "rate": rate, "delay": pause, "limit_rate": speed}


def _check_pattern(pattern: str, where: str) -> None:
    """See that a pattern can match: a name or an address, its subdomains, and perhaps a port.

    Raises:
        UsageProblem: it cannot.
    """
    match = _PATTERN.fullmatch(pattern)
    try:
        plain = Url.parse(f"http://{match[1]}/") if match else None
    except InvalidURL:
        plain = None
    if plain is None or plain.target != "/" or plain.userinfo:
        raise UsageProblem(
            f"{where}: {shown(pattern)} is no host: write it as example.org, *.example.org or example.org:8080"
        )
