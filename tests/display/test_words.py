"""Words in pieces: the same text with and without rich, and no rich where nothing has a colour."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable

from asyncfetch.display.choose import open_console
from asyncfetch.display.words import Words, drawn, say
from tests.display.conftest import Terminal


def table() -> Words:
    lines = [
        Words("done").append(" 5", "bold").append(Words("  ", "red")),
        Words("[b]not[/b] ").append("ok ", "dim"),
    ]
    for line in lines:
        line.rstrip()
    return Words("\n").join(lines)


def test_words_are_text_in_pieces() -> None:
    """They are added to, joined, and lose the blanks at their end, whatever pieces these are in."""
    assert table().plain == "done 5\n[b]not[/b] ok"
    assert Words("; ").join([]).plain == ""
    blank = Words(" ", "red").append("  ")
    blank.rstrip()
    assert blank.plain == ""


def test_a_console_for_a_log_writes_the_text_alone() -> None:
    """Nothing of a style is left, and nothing is read into the text."""
    log = io.StringIO()
    console = open_console(log)
    say(console, table())
    assert log.getvalue() == drawn(console, table()) == "done 5\n[b]not[/b] ok\n"


def test_a_terminal_shows_the_styles(terminal: Callable[..., Terminal]) -> None:
    """rich makes escape codes of them; the text is the same."""
    screen = terminal()
    say(screen.console, table())
    assert screen.lines == ["done 5", "[b]not[/b] ok"]
    assert "\x1b[1m 5\x1b[0m" in screen.getvalue()
    assert drawn(screen.console, table()) == screen.getvalue()


def test_a_log_needs_no_rich() -> None:
    """The views and tables of a log are there without rich, which takes longer than a short job."""
    code = (
        "import io, sys; from asyncfetch.display import *; from asyncfetch.stats import Stats\n"
        "console = open_console(io.StringIO()); open_view('plain', Stats(), console=console, clock=float)\n"
        "say(console, summary(Ending(stats=Stats(), seconds=1.0), console))\n"
        "print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not [name for name in run.stdout.split() if name.partition(".")[0] == "rich"]
