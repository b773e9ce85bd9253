"""`asyncfetch info --settings`: which options hold, where each comes from, and what is different for some hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click
import msgspec

from asyncfetch.cli.config import Config
from asyncfetch.cli.host_section import HostSection
from asyncfetch.cli.layers import configurable, current_context, find_layers, key_of, read_layer, when_on
from asyncfetch.cli.secrets import is_secret
from asyncfetch.display import harmless
from asyncfetch.url import redacted

__all__ = ["describe_settings"]

_HIDDEN = "***"
_LINE_AT_MOST = 2000  # cells


def describe_settings(command: click.Command, config: Config) -> str:
    """Return the lines of `asyncfetch info --settings`, without secrets.

    Raises:
        UsageProblem: an option has a value that cannot be used.
    """
    rows = list(_rows(command, config))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"{key:<{widths[0]}}  {value:<{widths[1]}}  {origin}" for key, value, origin in rows]
    lines.append("")
    lines.append(f"file: {config.path or 'none: there is no asyncfetch.toml here, and none is given'}")
    for pattern, table in config.hosts.items():
        lines += ["", f'[host."{pattern}"]', *_host_lines(table)]
    return "".join(harmless(line, _LINE_AT_MOST) + "\n" for line in lines)


def _rows(command: click.Command, config: Config) -> Iterator[tuple[str, str, str]]:
    layers = {option.name: layer for option, layer in find_layers(command, config)}
    ctx = current_context()
    for option in configurable(command):
        layer = layers.get(option.name)
        if layer is None:
            yield key_of(option), _default_of(option), "default"
            continue
        value = layer.raw
        if option.name != "user":  # which might ask for the password
            read = read_layer(option, layer, ctx)
            value = ("on" if read is when_on(option) else "off") if option.is_flag else value
        yield key_of(option), _shown(option, value), layer.origin


def _default_of(option: click.Option) -> str:
    if option.is_flag:
        return "on" if option.default is when_on(option) else "off"
    if isinstance(option.show_default, str):
        return option.show_default
    return str(option.default) if isinstance(option.default, str | int | float) else "-"


def _shown(option: click.Option, raw: Any) -> str:
    """Show a value in one line, without its secret."""
    texts = [str(text) for text in (raw if isinstance(raw, list) else [raw])]
    if option.name in ("headers", "secret_headers"):
        always = option.name == "secret_headers"
        texts = [_without_value(*text.partition(":")[::2], always=always) for text in texts]
    elif option.name == "user":
        texts = [f"{text.partition(':')[0]}:{_HIDDEN}" for text in texts]
    return ", ".join(" ".join(redacted(text).split()) for text in texts)


def _without_value(name: str, value: str, *, always: bool) -> str:
    return f"{name}: {_HIDDEN if always or is_secret(name, value) else value.strip()}"


def _host_lines(table: HostSection) -> Iterator[str]:
    """Give a line for each setting of a host that is there."""
    settings: Mapping[str, Any] = msgspec.to_builtins(table)
    for key, value in settings.items():
        if key == "password":
            value = _HIDDEN
        elif key == "headers":
            value = ", ".join(_without_value(name, text, always=False) for name, text in value.items())
        elif key == "timeouts":
            value = ", ".join(f"{name} {seconds}" for name, seconds in value.items())
        yield f"{key} = {value}"
