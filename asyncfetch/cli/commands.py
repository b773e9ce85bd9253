"""Commands and options as click has them, and a help that rich-click draws: it is loaded when one is asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["Command", "Group", "Option", "option", "show_help"]

F = TypeVar("F", bound=Callable[..., Any])

_HELP_NAMES = ["-h", "--help"]


class Option(click.Option):
    """An option that stands in a panel of the help, or in that of all the others."""

    def __init__(self, *names: Any, panel: str | None = None, **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.panel = panel


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """Declare an option; the settings are those of `Option`."""
    return click.option(*names, cls=Option, **settings)


def show_help(ctx: click.Context) -> None:
    """Write the help to stdout, as it is: whether it goes out is seen at the end."""
    if sys.stdout is not None:
        sys.stdout.write(ctx.get_help() + "\n")


def _show_help_and_exit(ctx: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if is_wanted and not ctx.resilient_parsing:
        show_help(ctx)
        ctx.exit()


class Command(click.Command):
    """A command whose help is drawn by rich-click."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.context_settings.setdefault("help_option_names", _HELP_NAMES)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return the option that shows the help."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help_and_exit
        return option

    def get_help(self, ctx: click.Context) -> str:
        """Return the text of `--help`."""
        from asyncfetch.cli.helping import drawn_help

        return drawn_help(self, ctx)


class Group(Command, click.Group):
    """A command that has commands, which it lists in the order in which they were declared."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names."""
        return list(self.commands)
