"""The help of a command, drawn by rich-click, which together with rich takes as long to load as all the rest."""

from __future__ import annotations

from typing import Any

import click
from rich_click import RichCommand, RichContext, RichGroup

__all__ = ["drawn_help"]

_STYLE = {
    "text_paragraph_linebreaks": "\n\n",
    "padding_helptext_first_line": (0, 0, 1, 0),
    "max_width": 100,
}


class _Group(RichGroup):
    """Commands in the order in which they were declared."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def drawn_help(command: click.Command, ctx: click.Context) -> str:
    """Return the help of a command; its options may name a `panel`."""
    same: dict[str, Any] = {"help": command.help, "params": command.params, "callback": command.callback}
    drawn = RichCommand(command.name, **same)
    if isinstance(command, click.Group):
        same |= {"commands": command.commands, "subcommand_metavar": command.subcommand_metavar}
        drawn = _Group(name=command.name, **same)
    names = ctx.help_option_names
    return drawn.get_help(
        RichContext(
            drawn, parent=ctx.parent, info_name=ctx.info_name, help_option_names=names, rich_help_config=_STYLE
        )
    )
