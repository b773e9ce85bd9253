"""The configuration file: TOML to checked values, or one sentence that says which file, table and key is wrong.

Its keys are the long names of the commands' options, which is why they come from the options themselves. What they
mean is said in `layers`; tables for hosts are those of `host_section`. What reads a file is loaded if there is one.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from asyncfetch.cli.exits import UsageProblem
from asyncfetch.cli.secrets import is_secret
from asyncfetch.errors import shown

if TYPE_CHECKING:
    from asyncfetch.cli.host_section import HostSection

__all__ = ["Config", "find_config", "no_config", "read_config"]

T = TypeVar("T")

USUAL = "asyncfetch.toml"
_HOST = "host"
_AT_MOST = 4 * 1024 * 1024  # bytes; what is larger is no configuration
_OTHERS_MAY = stat.S_IRGRP | stat.S_IROTH
_EXPECTED = re.compile(r"Expected `(.+?)`, got `(.+?)`(?: - at `\$(.*)`)?")
_IN_WORDS = {
    "bool": "true or false",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "array": "a list",
    "object": "a table",
}


@dataclass(frozen=True, slots=True)
class Config:
    """What a configuration file says.

    Attributes:
        path: of the file, absolute; None if there is none.
        name: of the file, as it was given.
        options: as they stand there, by their long names: texts, numbers, true and false, or lists of texts.
        hosts: by pattern.
        is_open: whether other users of this machine can read it.
    """

    path: str | None = None
    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    hosts: Mapping[str, HostSection] = field(default_factory=dict)
    is_open: bool = False

    @property
    def exposed(self) -> str | None:
        """A remark, if there are credentials in it and other users can read it."""
        if not self.is_open or not (self._holds_secrets or any(t.holds_secrets for t in self.hosts.values())):
            return None
        return f"{self.name} holds credentials, and other users can read it: chmod 600 {self.name}"

    @property
    def _holds_secrets(self) -> bool:
        headers = self.options.get("header", ())
        pairs = [text.partition(":") for text in ([headers] if isinstance(headers, str) else headers)]
        secret = any(is_secret(name, value) for name, _, value in pairs)
        return secret or bool(self.options.get("user") or self.options.get("secret-header"))


def no_config() -> Config:
    """Return what holds where there is no file."""
    return Config()


def find_config(given: str | None) -> str | None:
    """Return the configuration file to read: the one that was given, otherwise `asyncfetch.toml` if it is here.

    Raises:
        UsageProblem: the one that is here belongs to somebody else, who could so decide what this process does.
    """
    if given is not None:
        return given
    try:
        here = Path(USUAL).stat()
    except OSError:
        return None
    if hasattr(os, "geteuid") and here.st_uid not in (os.geteuid(), 0):
        raise UsageProblem(f"the {USUAL} here belongs to another user: to use it all the same, add -K {USUAL}")
    return USUAL


def read_config(name: str, known: Mapping[str, type]) -> Config:
    """Read and check a configuration file.

    Args:
        name: of the file.
        known: the options that may stand in it, by their long names, and what TOML may hold for each.

    Raises:
        UsageProblem: it cannot be read, is not TOML, or holds what is not known.
    """
    import tomllib

    import msgspec

    content, is_open = _load(name)
    try:
        tables = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageProblem(f"{name} is not TOML: it is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageProblem(f"{name} is not TOML: {_lower_first(str(error))}") from error
    except RecursionError as error:
        raise UsageProblem(f"{name} is not a configuration: it is nested too deeply") from error
    hosts = tables.pop(_HOST, {})
    if not isinstance(hosts, dict) or not all(isinstance(table, dict) for table in hosts.values()):
        raise UsageProblem(f'{name}: {_HOST} takes a table for each pattern: write [{_HOST}."*.example.org"]')
    _check_keys(tables, [*known, _HOST], name, "option")
    kind = msgspec.defstruct("Options", [(_as_field(key), known[key] | None, None) for key in known])
    _convert({_as_field(key): value for key, value in tables.items()}, kind, name)
    return Config(
        path=str(Path(name).absolute()),
        name=name,
        options=tables,
        hosts={pattern: _host_section(pattern, table, name) for pattern, table in hosts.items()},
        is_open=is_open,
    )


def _load(name: str) -> tuple[bytes, bool]:
    """Return the content of a file, and whether other users can read it."""
    try:
        with Path(name).open("rb") as file:
            content = file.read(_AT_MOST + 1)
            mode = os.fstat(file.fileno()).st_mode
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageProblem(f"the configuration file {name!r} cannot be read: {reason}") from error
    if len(content) > _AT_MOST:
        raise UsageProblem(f"{name} is not a configuration: it is larger than {_AT_MOST >> 20} MiB")
    return content, os.name == "posix" and stat.S_ISREG(mode) and bool(mode & _OTHERS_MAY)


def _host_section(pattern: str, table: dict[str, Any], name: str) -> HostSection:
    from asyncfetch.cli.host_section import HostSection

    where = f'{name}, [{_HOST}."{pattern}"]'
    if (whole := _without_dots(pattern, table, HostSection.known_keys())) != pattern:
        raise UsageProblem(f'{where}: put the whole pattern into quotes: [{_HOST}."{whole}"]')
    _check_keys(table, HostSection.known_keys(), where, "setting of a host")
    _check_keys(table.get("timeouts"), HostSection.known_timeouts(), f"{where}, timeouts", "timeout")
    converted = _convert(table, HostSection, where)
    converted.check(pattern, where)
    return converted


def _without_dots(pattern: str, table: Any, known: list[str]) -> str:
    """Return the pattern that was meant where the dots of one without quotes have made tables within tables."""
    for key, value in table.items() if isinstance(table, dict) else ():
        if isinstance(value, dict) and key not in known:
            return _without_dots(f"{pattern}.{key}", value, known)
    return pattern


def _check_keys(table: Any, known: list[str], where: str, what: str) -> None:
    """See that all keys of a table are known; name the nearest known one if not."""
    for key in table if isinstance(table, dict) else ():
        if key not in known:
            raise UsageProblem(f"{where}: {shown(key)} is no {what}{_nearest(key, known)}")


def _nearest(name: str, known: list[str]) -> str:
    """Return the words that guess what was meant by a name that is not known; empty if nothing is near."""
    close = difflib.get_close_matches(name.lower().replace("_", "-"), known, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _convert(value: Any, kind: type[T], where: str) -> T:
    import msgspec

    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise UsageProblem(f"{where}: {_explain(str(error))}") from error


def _explain(message: str) -> str:
    """Say in a user's words what msgspec says about types."""
    match = _EXPECTED.match(message)
    if match is None:
        return _lower_first(message)
    expected, got, place = match.groups()
    kinds = dict.fromkeys(
        _IN_WORDS.get(kind, kind) for kind in expected.replace("int | float", "float").split(" | ")
    )
    kinds.pop("null", None)
    key = (place or "").lstrip(".").replace("_", "-").replace("[...]", "")
    takes = f"{key} takes" if key else "it takes"
    return f"{takes} {' or '.join(kinds)}, not {_IN_WORDS.get(got, got)}"


def _as_field(key: str) -> str:
    return key.replace("-", "_")


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
