"""What a stream deserves."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.text import Text

from asyncfetch.display.choose import (
    Mode,
    Shown,
    choose_progress,
    open_console,
    open_view,
    terminal_size,
)
from asyncfetch.display.live import LiveView
from asyncfetch.display.outlet import is_terminal
from asyncfetch.display.plain import PlainView
from asyncfetch.display.view import View, say
from asyncfetch.stats import Stats

if TYPE_CHECKING:
    from tests.display.conftest import Clock, Pty

XTERM = {"TERM": "xterm-256color"}
FORCING = {**XTERM, "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1", "COLUMNS": "200"}


@pytest.mark.parametrize(
    ("mode", "environ", "shown"),
    [
        ("auto", XTERM, "live"),
        ("live", XTERM, "live"),
        ("plain", XTERM, "plain"),
        ("none", XTERM, "none"),
        ("auto", {"TERM": "dumb"}, "plain"),
        ("auto", {}, "plain"),
        ("auto", {**XTERM, "NO_COLOR": "1"}, "live"),
    ],
)
def test_on_a_terminal(mode: Mode, environ: dict[str, str], shown: Shown, device: Pty) -> None:
    """A terminal that can move its cursor gets the live view; NO_COLOR is about colours only."""
    assert choose_progress(mode, device.stream, environ) == (shown, "")


@pytest.mark.parametrize(("mode", "shown"), [("auto", "plain"), ("plain", "plain"), ("none", "none")])
def test_in_a_file(mode: Mode, shown: Shown) -> None:
    """What is not a terminal is never animated, whatever the environment forces."""
    assert choose_progress(mode, io.StringIO(), FORCING) == (shown, "")


def test_a_live_view_that_cannot_be_is_said(device: Pty) -> None:
    """Whoever asks for the live view where there can be none gets plain lines, and the reason."""
    assert choose_progress("live", io.StringIO(), FORCING) == ("plain", "no live view: this is not a terminal")
    assert choose_progress("live", device.stream, {"TERM": "dumb"}) == (
        "plain",
        "no live view: TERM says that the terminal cannot do it",
    )


def test_streams_that_cannot_be_asked_are_no_terminals() -> None:
    """A closed stream, or something else with a write method, has no size and is no terminal."""
    closed = io.StringIO()
    closed.close()
    assert not is_terminal(closed)
    assert terminal_size(closed) is None


def test_a_file_gets_no_escape_codes() -> None:
    """Colours asked for by the environment are not for a log; its lines are 100 columns wide."""
    log = io.StringIO()
    console = open_console(log, environ=FORCING)
    say(console, Text("[red]red[/red]", "bold red"))
    assert log.getvalue() == "[red]red[/red]\n"
    assert console.width == 100
    assert not console.is_interactive


def test_a_terminal_gets_colours_and_its_own_size(device: Pty) -> None:
    """The size is the terminal's, not the environment's."""
    console = open_console(device.stream, environ=FORCING)
    say(console, Text("red", "red"))
    device.read()
    assert device.written == b"\x1b[31mred\x1b[0m\r\n"
    assert isinstance(console, Console)
    assert console.size == (60, 10)


@pytest.mark.parametrize(("color", "environ"), [(False, XTERM), (True, {**XTERM, "NO_COLOR": "1"})])
def test_colours_can_be_refused(color: bool, environ: dict[str, str], device: Pty) -> None:
    """By the option or by the environment; what is bold stays bold."""
    say(open_console(device.stream, color=color, environ=environ), Text("red", "bold red"))
    device.read()
    assert device.written == b"\x1b[1mred\x1b[0m\r\n"


def test_a_dumb_terminal_gets_text(device: Pty) -> None:
    """No escape codes for a terminal that would show them."""
    say(open_console(device.stream, environ={"TERM": "dumb"}), Text("red", "bold red"))
    assert device.read() == ["red"]
    assert device.written == b"red\r\n"


def test_a_terminal_without_a_size_is_taken_for_80_by_24(device: Pty) -> None:
    """Some pseudo-terminals never learn their size."""
    device.set_size(0, 0)
    console = open_console(device.stream, environ=XTERM)
    assert isinstance(console, Console)
    assert console.size == (80, 24)


@pytest.mark.parametrize(("shown", "kind"), [("live", LiveView), ("plain", PlainView), ("none", View)])
def test_the_view_that_was_chosen(shown: Shown, kind: type[View], device: Pty, stats: Stats, clock: Clock) -> None:
    """Each way of showing has its class; a live one is for terminals only."""
    assert type(open_view(shown, stats, console=open_console(device.stream, environ=XTERM), clock=clock)) is kind
    of_log = PlainView if kind is LiveView else kind
    assert type(open_view(shown, stats, console=open_console(io.StringIO()), clock=clock)) is of_log
