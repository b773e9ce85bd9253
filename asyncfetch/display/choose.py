"""Which way of showing progress a stream deserves: it is asked itself, whatever the environment says.

rich guesses from `FORCE_COLOR`, `TTY_COMPATIBLE`, `COLUMNS` and the size of other streams; here only the stream to
be written to decides whether anything moves, has a colour, and how wide it is. `NO_COLOR` takes colours away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Literal, NamedTuple, cast

from asyncfetch.display.outlet import Outlet, is_terminal
from asyncfetch.display.view import View
from asyncfetch.display.words import PlainConsole

if TYPE_CHECKING:
    from rich.console import Console

    from asyncfetch.stats import Stats

__all__ = ["Mode", "Progress", "Shown", "choose_progress", "open_console", "open_view"]

Mode = Literal["auto", "live", "plain", "none"]
Shown = Literal["live", "plain", "none"]

_WIDTH_OF_LOGS = 100
_USUAL_SIZE = os.terminal_size((80, 24))


class Progress(NamedTuple):
    """How progress is shown, and a remark if that is not what was asked for."""

    shown: Shown
    remark: str = ""


def choose_progress(mode: Mode, stream: IO[str], environ: Mapping[str, str] = os.environ) -> Progress:
    """Choose how to show progress on a stream; nothing ever moves where it is not a terminal."""
    if mode in ("plain", "none"):
        return Progress(mode)
    if not is_terminal(stream):
        return Progress("plain", "no live view: this is not a terminal" if mode == "live" else "")
    if _is_dumb(environ):
        return Progress("plain", "no live view: TERM says that the terminal cannot do it" if mode == "live" else "")
    return Progress("live")


def open_console(
    stream: IO[str], *, color: bool = True, environ: Mapping[str, str] = os.environ
) -> Console | PlainConsole:
    """Open a console on a stream: escape codes only for a terminal, colours only if they are wanted.

    When the stream breaks (a pipe without reader, a terminal that is gone), what is written is dropped: a job does
    not end because nobody watches it.
    """
    width, height = terminal_size(stream) or (_WIDTH_OF_LOGS, _USUAL_SIZE.lines)
    if not is_terminal(stream) or _is_dumb(environ):
        return PlainConsole(Outlet(stream), width)
    from rich.console import Console

    return Console(
        file=cast("IO[str]", Outlet(stream)),
        force_terminal=True,
        force_interactive=True,
        force_jupyter=False,
        no_color=not color or bool(environ.get("NO_COLOR")),
        width=width,
        height=height,
        markup=False,
        emoji=False,
        highlight=False,
        _environ=environ,
    )


def open_view(
    shown: Shown,
    stats: Stats,
    *,
    console: Console | PlainConsole,
    clock: Callable[[], float],
    total: Callable[[], int | None] = lambda: None,
) -> View:
    """Make the view that was chosen; nothing moves on a console for a log.

    Its `run` is for a task group, `note` and `failure` for whoever has news.
    """
    if shown == "live" and not isinstance(console, PlainConsole):
        from asyncfetch.display.live import LiveView

        return LiveView(stats, console=console, clock=clock, total=total)
    if shown != "none":
        from asyncfetch.display.plain import PlainView

        return PlainView(stats, console=console, clock=clock, total=total)
    return View(stats, console=console, clock=clock, total=total)


def terminal_size(stream: IO[str]) -> os.terminal_size | None:
    """Return the size of the terminal that a stream writes to, 80 x 24 if it does not know; None without one."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None
    return os.terminal_size((columns or _USUAL_SIZE.columns, lines or _USUAL_SIZE.lines))


def _is_dumb(environ: Mapping[str, str]) -> bool:
    """Whether TERM names a terminal without cursor movements; without TERM nobody knows, except on Windows."""
    return environ.get("TERM", "xterm" if sys.platform == "win32" else "").lower() in ("", "dumb", "unknown")
