"""What every view does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from asyncfetch.display.view import View, say
from asyncfetch.display.words import Words
from asyncfetch.errors import HeadTimeout
from asyncfetch.stats import Stats

if TYPE_CHECKING:
    from tests.display.conftest import Clock, MakeResult, Terminal


def test_without_a_loop_notes_are_said_at_once(
    stats: Stats, clock: Clock, terminal: Callable[..., Terminal], make_result: MakeResult
) -> None:
    """Before the view runs, and after it was closed, nothing waits."""
    screen = terminal(width=200)
    view = View(stats, console=screen.console, clock=clock)
    view.note("reading urls.txt")
    assert screen.lines == ["reading urls.txt"]
    view.close()
    view.failure(make_result(error=HeadTimeout("no answer")))
    view.note(Words("done", "green"))
    assert [line.split()[0] for line in screen.lines] == ["reading", "timeout.head", "done"]


async def test_the_loop_says_what_waits(
    stats: Stats, clock: Clock, terminal: Callable[..., Terminal], make_result: MakeResult
) -> None:
    """While it runs, notes wait for the next look, and at its end none is left."""
    screen = terminal(width=200)
    view = View(stats, console=screen.console, clock=clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(view.run)
        await anyio.sleep(0)
        view.note("first")
        assert screen.lines == []
        await anyio.sleep(0.15)
        assert screen.lines == ["first"]
        for _ in range(25):
            view.failure(make_result(error=HeadTimeout("no answer")))
        tasks.cancel_scope.cancel()
    assert len(screen.lines) == 22
    assert screen.lines[-1] == "… and 5 more failures"


def test_a_remark_is_harmless(stats: Stats, clock: Clock, terminal: Callable[..., Terminal]) -> None:
    """File names in remarks are foreign text too."""
    screen = terminal(width=200)
    View(stats, console=screen.console, clock=clock).note("reading \x1b[2J[red]x[/red]\u202e.txt")
    assert screen.lines == ["reading \\x1b[2J[red]x[/red]\\u202e.txt"]


def test_long_lines_are_left_to_the_terminal(terminal: Callable[..., Terminal]) -> None:
    """A URL that is longer than the line can be copied whole: no line break is put into it."""
    screen = terminal(width=20, height=5)
    say(screen.console, Words("a" * 50))
    assert screen.getvalue().strip() == "a" * 50
