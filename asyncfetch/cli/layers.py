"""Where options come from: the command line, then the environment, then the configuration file, then the defaults.

The names follow from the options: `--max-per-host` is `ASYNCFETCH_MAX_PER_HOST` in the environment and
`max-per-host` in the file. So a new option is known in all three places. What click has parsed is completed here,
before the command runs; click itself is told nothing of the other two: its rules differ from version to version.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import click
from click.core import ParameterSource
from click.exceptions import BadParameter

from asyncfetch.cli.commands import Command
from asyncfetch.cli.config import Config, find_config, no_config, read_config
from asyncfetch.cli.exits import UsageProblem, tell
from asyncfetch.cli.values import filled
from asyncfetch.errors import shown

__all__ = [
    "Configured",
    "Layer",
    "all_commands",
    "config_of",
    "config_option",
    "configurable",
    "current_context",
    "find_layers",
    "given_options",
    "key_of",
    "read_layer",
    "when_on",
]

_PREFIX = "ASYNCFETCH_"
_CONFIG = "config"
_META = "asyncfetch.config"
_NOT_IN_A_FILE = frozenset({_CONFIG, "settings", "help", "version"})
_ON = frozenset({"1", "true", "yes", "on"})
_OFF = frozenset({"0", "false", "no", "off"})
_INSTEAD = [("ipv4", "ipv6"), ("insecure", "cacert"), ("quiet", "verbose"), ("go_on", "overwrite")]
"""Of these only one can be: what stands on the command line keeps the other one of the file out."""

config_option = click.option(
    "-K", "--config", type=filled, metavar="FILE", show_default="asyncfetch.toml, if it is here",
    help="Take options and settings of hosts from this TOML file. Any option can stand there by its long name, or "
         "in the environment as ASYNCFETCH_...; the command line goes first, then the environment, then the file.",
)  # fmt: skip


class Layer(NamedTuple):
    """What the environment or the file says of one option.

    Attributes:
        raw: the text, number, truth value or list of texts.
        origin: what names it: a variable, or file and key.
    """

    raw: Any
    origin: str


class Configured(Command):
    """A command whose options are looked for in the environment and the file, too, if it has `config_option`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line, then complete it.

        Raises:
            UsageProblem: the environment or the file holds what cannot be used.
        """
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing and _CONFIG in ctx.params and ctx.params.get("settings", True):
            _complete(self, ctx)
        return rest


def current_context() -> click.Context:
    """Return the context of the command that runs."""
    return click.get_current_context()


def given_options() -> set[str]:
    """Return the names of the options that stand on the command line."""
    ctx = current_context()
    return {name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}


def _complete(command: click.Command, ctx: click.Context) -> None:
    """Let the environment and the file say what the command line does not."""
    config = load_config(ctx.params[_CONFIG], all_commands(ctx))
    ctx.meta[_META] = config
    ctx.params[_CONFIG] = config.path
    given = given_options()
    for option, layer in find_layers(command, config):
        name = str(option.name)
        if name not in given and not _is_displaced(name, given, ctx.params):
            ctx.params[name] = read_layer(option, layer, ctx)
    _remark(ctx, *misspelt_variables(all_commands(ctx)), config.exposed)


def _remark(ctx: click.Context, *remarks: str | None) -> None:
    for remark in remarks:
        if remark is not None and not ctx.params.get("quiet"):
            tell(remark)


def all_commands(ctx: click.Context) -> list[click.Command]:
    """Return the commands beside the one that runs, itself among them."""
    group = None if ctx.parent is None else ctx.parent.command
    return list(group.commands.values()) if isinstance(group, click.Group) else [ctx.command]


def config_of(path: str | None) -> Config:
    """Return the configuration with that path: the one in use, or another one that a job was begun with.

    Raises:
        UsageProblem: it cannot be used.
    """
    if path is None:
        return no_config()
    ctx = current_context()
    config: Config = ctx.meta[_META]
    if path == config.path:
        return config
    try:
        config = load_config(path, all_commands(ctx))
    except UsageProblem as error:
        raise UsageProblem(f"{error} (the job was begun with it: give it, or another one, with -K)") from error
    _remark(ctx, config.exposed)
    return config


def load_config(given: str | None, commands: Iterable[click.Command]) -> Config:
    """Read the configuration file that was given, or that the environment names, or that is here; empty if none.

    Raises:
        UsageProblem: it cannot be used.
    """
    name = find_config(given or os.environ.get(_variable_of(_CONFIG)) or None)
    return no_config() if name is None else read_config(name, known_keys(commands))


def known_keys(commands: Iterable[click.Command]) -> dict[str, Any]:
    """Return what may stand in a file: the long names of the options, and the types of TOML for each."""
    known: dict[str, Any] = {}
    for command in commands:
        for option in configurable(command):
            key = key_of(option)
            kind: Any = bool if option.is_flag else str | int | float
            known[key] = known.get(key, kind) | (list[str | int | float] | str if option.multiple else kind)
    return known


def find_layers(command: click.Command, config: Config) -> Iterator[tuple[click.Option, Layer]]:
    """Give what the environment, or else the file, says of a command's options; an empty variable says nothing."""
    for option in configurable(command):
        key = key_of(option)
        if text := os.environ.get(_variable_of(key)):
            yield option, Layer(text.splitlines() if option.multiple else text, _variable_of(key))
        elif key in config.options:
            yield option, Layer(config.options[key], f"{config.name}: {key}")


def read_layer(option: click.Option, layer: Layer, ctx: click.Context) -> Any:
    """Return the value of an option, as if it stood on the command line.

    Raises:
        UsageProblem: it cannot be used.
    """
    raw = layer.raw
    if option.is_flag:
        return when_on(option) if _is_on(raw, layer.origin) else not when_on(option)
    texts = [str(item) for item in (raw if isinstance(raw, list) else [raw])]
    try:
        return option.type_cast_value(ctx, texts if option.multiple else texts[0])
    except BadParameter as error:
        raise UsageProblem(f"{layer.origin}: {error.message.removesuffix('.')}") from None


def when_on(option: click.Option) -> bool:
    """Return what a flag means to its command when it is there; False for one such as --no-color."""
    return option.flag_value if isinstance(option.flag_value, bool) else True


def _is_on(raw: Any, origin: str) -> bool:
    word = str(raw).strip().lower()
    if word not in _ON | _OFF:
        raise UsageProblem(f"{origin}: {shown(str(raw))} is neither yes nor no: give 1 or 0")
    return word in _ON


def _is_displaced(name: str, given: set[str], params: Mapping[str, Any]) -> bool:
    """Whether the command line has what excludes an option."""
    others = {other for pair in _INSTEAD if name in pair for other in pair if other != name}
    return any(other in given and params[other] for other in others)


def misspelt_variables(commands: Iterable[click.Command]) -> Iterator[str]:
    """Give a remark on each variable of the environment that is no option's, but nearly; others are not ours."""
    ours = sorted(name for name in os.environ if name.startswith(_PREFIX))
    if not ours:
        return
    import difflib

    known = [*known_keys(commands), _CONFIG]
    for name in ours:
        key = name.removeprefix(_PREFIX).replace("_", "-").lower()
        if key not in known and (close := difflib.get_close_matches(key, known, 1)):
            yield f"{name} is the name of no option; did you mean {_variable_of(close[0])}?"


def configurable(command: click.Command) -> list[click.Option]:
    """Return the options of a command that can be configured; none if the command cannot be."""
    options = [param for param in command.params if isinstance(param, click.Option)]
    if _CONFIG not in {option.name for option in options}:
        return []
    return [option for option in options if key_of(option) not in _NOT_IN_A_FILE]


def key_of(option: click.Option) -> str:
    """Return the long name of an option, without its dashes."""
    return next(name for name in option.opts if name.startswith("--")).removeprefix("--")


def _variable_of(key: str) -> str:
    return _PREFIX + key.replace("-", "_").upper()
