"""The live view, as it stands on a screen."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
import pytest
from rich.console import Console, ConsoleDimensions

from asyncfetch.display.choose import open_console
from asyncfetch.display.live import LiveView
from asyncfetch.errors import HeadTimeout, StatusError
from asyncfetch.stats import HostState, Stats

if TYPE_CHECKING:
    from tests.display.conftest import Clock, Finish, MakeResult, Pty, Terminal

LOOK = 0.125
ENVIRON = {"TERM": "xterm-256color"}


@pytest.fixture
def many(stats: Stats, finish: Finish) -> Stats:
    """Sixty hosts at work."""
    for number in range(60):
        stats.started(finish(f"host{number}.example.org:443", 10 + number))
    return stats


def look(view: LiveView, clock: Clock, times: int = 1) -> None:
    for _ in range(times):
        clock.now += LOOK
        view.look(clock.now)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (160, 50), (40, 12), (20, 4), (10, 2), (5, 1)])
def test_the_screen_never_scrolls(
    width: int, height: int, many: Stats, clock: Clock, terminal: Callable[..., Terminal], finish: Finish
) -> None:
    """Whatever the size, the picture leaves the last line free and is redrawn in its place."""
    screen = terminal(width, height)
    view = LiveView(many, console=screen.console, clock=clock, total=lambda: 100_000)
    for number in range(2):
        finish(f"host{number}.example.org:443", 100)
        look(view, clock)
    assert screen.scrolled == []
    assert len(screen.lines) <= max(1, height - 1)
    assert not screen.shows_cursor
    view.close()
    assert screen.lines == []
    assert len(screen.scrolled) <= (height == 1)
    assert screen.shows_cursor


def test_the_picture(stats: Stats, clock: Clock, terminal: Callable[..., Terminal], finish: Finish) -> None:
    """A bar, the totals, a heading and the hosts, at 80 columns."""
    screen = terminal(80, 24)
    fast = finish("fast.example.org:443", 90, latency=0.05)
    for _ in range(6):
        stats.started(fast)
    view = LiveView(stats, console=screen.console, clock=clock, total=lambda: 200)
    slow = finish("slow.example.org:8443", 9, latency=1.2)
    finish("slow.example.org:8443", error=HeadTimeout("no answer"), latency=1.2)
    stats.paused(slow, HostState.WAITING, "Retry-After", clock.now + 12.1)
    look(view, clock)
    assert screen.lines == [
        "━" * 31 + "─" * 31 + "  50 %  100 of 200",
        "80/s · 80 kB/s · 1 failed · 6 in flight · 0 s",
        "",
        "  host            flight    done failed bytes/s    p50    p95  state",
        "● fast.ex…ple.org    6/6      90      0          52 ms  52 ms  ok",
        "‖ slow.ex…ple.org    0/6      10      1          1.2 s  1.2 s  12 s: Retry-After",
    ]


def test_more_hosts_than_lines_are_counted(many: Stats, clock: Clock, terminal: Callable[..., Terminal]) -> None:
    """The last line says how many hosts are not shown, and what they do."""
    screen = terminal(80, 24)
    look(LiveView(many, console=screen.console, clock=clock, total=lambda: None), clock)
    assert screen.lines[-1] == "and 42 more hosts, 42 in flight"
    assert sum(line.startswith("● host") for line in screen.lines) == 18
    assert screen.lines[0] == "2,370 done, total not known yet"


def test_notes_stand_above_the_picture(
    many: Stats, clock: Clock, terminal: Callable[..., Terminal], make_result: MakeResult
) -> None:
    """What is said once scrolls away above; the picture stays below it, once."""
    screen = terminal(80, 12)
    view = LiveView(many, console=screen.console, clock=clock, total=lambda: 10_000)
    view.note("starts")
    look(view, clock)
    for number in range(8):
        view.failure(make_result(f"https://example.org/{number}", StatusError(404, "Not Found")))
        look(view, clock)
    said = screen.scrolled + screen.lines
    assert [line.split()[1] for line in said if line.startswith("http.4xx")] == [
        f"https://example.org/{number}" for number in range(8)
    ]
    assert said[0] == "starts"
    assert sum(" of 10,000" in line for line in said) == 1
    assert screen.lines[-1].startswith("and ")


def test_a_long_note_wraps_above_the_picture(many: Stats, clock: Clock, terminal: Callable[..., Terminal]) -> None:
    """A line longer than the screen is wide takes two, and the picture is still whole."""
    screen = terminal(40, 12)
    view = LiveView(many, console=screen.console, clock=clock, total=lambda: 10_000)
    look(view, clock)
    view.note("x" * 60)
    look(view, clock)
    view.note("last")
    look(view, clock)
    said = screen.scrolled + screen.lines
    assert said[:3] == ["x" * 40, "x" * 20, "last"]
    assert sum(" of 10,000" in line for line in said) == 1


def test_nothing_new_is_not_drawn(many: Stats, clock: Clock, terminal: Callable[..., Terminal]) -> None:
    """Within a second in which nothing happens, nothing is written."""
    screen = terminal()
    view = LiveView(many, console=screen.console, clock=clock, total=lambda: 10_000)
    look(view, clock)
    before = len(screen.getvalue())
    look(view, clock, 2)
    assert len(screen.getvalue()) == before
    look(view, clock, 8)
    assert len(screen.getvalue()) > before


def test_hostile_hosts_do_nothing(stats: Stats, clock: Clock, terminal: Callable[..., Terminal]) -> None:
    """Escapes, bidi marks, markup and wide characters in names, reasons and errors are shown, and columns hold."""
    screen = terminal(120, 20)
    for key in ("\x1b[2J\x1b[31mred", "\u202egro.elpmaxe", "[bold]x[/]:smile:", "日本語.example:80", "a\r\nb\tc"):
        host = stats.host(key, 6)
        stats.started(host)
        stats.paused(host, HostState.BROKEN, "\x9b5A\x1b]0;owned\x07", clock.now + 50)
        host.last_error = "\x1b[?25h"
    look(LiveView(stats, console=screen.console, clock=clock, total=lambda: 5), clock)
    hosts = screen.lines[4:]
    assert len(hosts) == 5
    assert len({line.index("1/6") + (3 if "日本語" in line else 0) for line in hosts}) == 1
    assert all("\\x9b5A\\x1b]0;owned\\x07" in line for line in hosts)
    assert any("[bold]x[/]:smile:" in line for line in hosts)
    assert not screen.shows_cursor


def test_what_is_typed_leaves_nothing_of_the_picture(
    stats: Stats, clock: Clock, terminal: Callable[..., Terminal], finish: Finish
) -> None:
    """The terminal echoes `^C` where the cursor is: not behind a full line, where it would wrap."""
    screen = terminal(80, 24)
    view = LiveView(stats, console=screen.console, clock=clock, total=lambda: 100)
    stats.paused(finish("dead.example.org:8443", 1), HostState.BROKEN, "no connection " * 9, clock.now + 20)
    look(view, clock)
    assert any(len(line) == 80 for line in screen.lines)
    screen.write("^C")
    view.note("stopping")
    look(view, clock)
    assert sum(" of 100" in line for line in screen.lines) == 1
    screen.write("^C")
    view.close()
    assert screen.lines == ["stopping"]


def test_closing_twice_is_closing_once(many: Stats, clock: Clock, terminal: Callable[..., Terminal]) -> None:
    """Whoever must leave in a hurry may close what the loop closes too; a view that never drew writes nothing."""
    screen = terminal()
    view = LiveView(many, console=screen.console, clock=clock)
    view.close()
    assert screen.getvalue() == ""
    look(view, clock)
    view.close()
    written = screen.getvalue()
    view.close()
    assert screen.getvalue() == written


async def test_a_real_terminal(device: Pty, many: Stats, make_result: MakeResult) -> None:
    """The loop draws on a pseudo-terminal; when it is cancelled only the notes are left, and the cursor is back."""
    console = open_console(device.stream, environ=ENVIRON)
    view = LiveView(many, console=console, clock=anyio.current_time, total=lambda: 10_000)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(view.run)
        await anyio.sleep(0.02)
        view.failure(make_result("https://example.org/a", HeadTimeout("no answer")))
        await anyio.sleep(0.14)
        lines = device.read()
        assert lines[0].split() == ["timeout.head", "https://example.org/a", "no", "answer"]
        assert lines[1].endswith(" 23 %  2,370 of 10,000")
        assert device.screen.cursor.hidden
        view.note("stopping")
        tasks.cancel_scope.cancel()
    lines = device.read()
    assert [line.split()[0] for line in device.scrolled + lines] == ["timeout.head", "stopping"]
    assert not device.screen.cursor.hidden
    assert (device.screen.cursor.x, device.screen.cursor.y) == (0, 1)


def test_a_terminal_that_is_resized(device: Pty, many: Stats, clock: Clock) -> None:
    """The next picture has the new size, smaller or larger, and nothing of the old one is left."""
    view = LiveView(many, console=open_console(device.stream, environ=ENVIRON), clock=clock, total=lambda: 10_000)
    for width, height in ((60, 10), (30, 10), (100, 30), (45, 7)):
        device.resize(width, height)
        look(view, clock)
        lines = device.read()
        assert sum(" of 10,000" in line for line in lines) == 1
        assert len(lines) == height - 1
        assert lines[-1].startswith("and ")
    view.close()
    assert device.read() == []


def test_a_resized_terminal_is_drawn_anew(device: Pty, stats: Stats, clock: Clock) -> None:
    """Even if the picture is the same: nobody knows what the terminal has made of it."""
    view = LiveView(stats, console=open_console(device.stream, environ=ENVIRON), clock=clock)
    view.look(clock.now)
    device.read()
    before = len(device.written)
    view.look(clock.now)
    device.resize(60, 20)
    view.look(clock.now)
    assert device.read() == ["0 done, total not known yet", "0/s · 0 B/s · 0 failed · 0 in flight · 0 s"]
    assert len(device.written) > before


def test_lines_that_a_narrower_terminal_has_wrapped_are_erased(many: Stats, clock: Clock, device: Pty) -> None:
    """Where lines are wrapped anew when a window narrows, the picture is higher than it was: all of it goes."""
    view = LiveView(many, console=open_console(device.stream, environ=ENVIRON), clock=clock, total=lambda: 10_000)
    look(view, clock)
    device.read()
    device.written = b""
    device.resize(20, 10)
    look(view, clock)
    device.read()
    first_picture = view.render(clock.now)
    assert len(first_picture.lines) == 9
    ups = re.findall(rb"\x1b\[1A", device.written)
    assert len(ups) > 8 + 9


def test_a_terminal_that_is_held_holds_only_the_picture(device: Pty, many: Stats, clock: Clock) -> None:
    """After Ctrl-S nothing is written, and nobody waits; after Ctrl-Q the picture and the notes come."""
    view = LiveView(many, console=open_console(device.stream, environ=ENVIRON), clock=clock, total=lambda: 10_000)
    device.hold()
    view._is_running = True
    view.note("held")
    look(view, clock, 3)
    assert device.read() == []
    device.go_on()
    look(view, clock)
    lines = device.read()
    assert lines[0] == "held"
    assert lines[1].endswith(" of 10,000")


def test_a_terminal_that_is_gone_is_no_error(device: Pty, many: Stats, clock: Clock) -> None:
    """A job goes on when its window is closed."""
    view = LiveView(many, console=open_console(device.stream, environ=ENVIRON), clock=clock)
    look(view, clock)
    device.hang_up()
    look(view, clock, 10)
    view.close()


def test_no_color_and_ascii(stats: Stats, clock: Clock, device: Pty, finish: Finish) -> None:
    """With NO_COLOR no colour is written, and for another encoding than UTF-8 nothing but ASCII."""
    stats.started(finish(error=HeadTimeout("no answer")))
    device.stream.reconfigure(encoding="ascii", errors="strict")
    console = open_console(device.stream, environ={**ENVIRON, "NO_COLOR": "1"})
    look(LiveView(stats, console=console, clock=clock, total=lambda: 2), clock)
    lines = device.read()
    assert lines[0] == "#" * 23 + "-" * 23 + "  50 %  1 of 2"
    assert lines[-1].startswith("* example.org")
    assert not re.search(rb"\x1b\[[0-9;]*3[0-9]", device.written)
    assert device.written.isascii()


def test_colours(stats: Stats, clock: Clock, device: Pty, finish: Finish) -> None:
    """Without NO_COLOR failures are red."""
    stats.started(finish(error=HeadTimeout("no answer")))
    look(LiveView(stats, console=open_console(device.stream, environ=ENVIRON), clock=clock), clock)
    device.read()
    assert b"\x1b[31m1 failed" in device.written


def test_a_picture_is_shown_when_it_is_whole(device: Pty, many: Stats, clock: Clock) -> None:
    """Each one is enclosed in the marks of synchronized output, so that nothing flickers."""
    view = LiveView(many, console=open_console(device.stream, environ=ENVIRON), clock=clock, total=lambda: 10_000)
    for _ in range(2):
        device.written = b""
        clock.now += 1
        view.look(clock.now)
        device.read()
        before, _, picture = device.written.partition(b"\x1b[?2026h")
        assert before in (b"", b"\x1b[?25l")
        assert picture.endswith(b"\x1b[?2026l")
        assert b" of 10,000" in picture


def test_a_stream_that_cannot_be_asked_is_drawn_to(many: Stats, clock: Clock) -> None:
    """A console without a descriptor behind it keeps the size that it was given."""
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=50, height=8, _environ=ENVIRON)
    look(LiveView(many, console=console, clock=clock, total=lambda: 10_000), clock)
    assert "2,370 of 10,000" in written.getvalue()
    assert console.size == ConsoleDimensions(50, 8)
