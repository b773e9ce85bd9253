"""Progress in a log."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import anyio
import pytest

from asyncfetch.display.choose import open_console
from asyncfetch.display.plain import PlainView
from asyncfetch.errors import HeadTimeout
from asyncfetch.stats import HostState, Stats

if TYPE_CHECKING:
    from tests.display.conftest import Clock, Finish

FORCING = {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1", "COLUMNS": "20", "TERM": "xterm"}


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


def a_view(log: io.StringIO, stats: Stats, clock: Clock, total: int | None = 100_000) -> PlainView:
    return PlainView(stats, console=open_console(log, environ=FORCING), clock=clock, total=lambda: total)


def test_a_line_every_ten_seconds(log: io.StringIO, stats: Stats, clock: Clock, finish: Finish) -> None:
    """The first after ten; each has everything, and no escape code, whatever the environment forces."""
    view = a_view(log, stats, clock)
    host = stats.host("example.org:443", 6)
    for _ in range(6):
        stats.started(host)
    for _ in range(8 * 21):
        clock.now += 0.125
        finish(times=10, size=100_000)
        view.look(clock.now)
    finish(error=HeadTimeout("no answer"))
    assert log.getvalue().splitlines() == [
        "800 of 100,000 done (0 %), 0 failed, 80/s, 8.0 MB/s, about 21 m left, 6 in flight",
        "1,600 of 100,000 done (1 %), 0 failed, 80/s, 8.0 MB/s, about 20 m left, 6 in flight",
    ]


def test_looks_that_come_late_do_not_pile_up(log: io.StringIO, stats: Stats, clock: Clock) -> None:
    """A machine that slept for a minute gets one line, and the next one in its turn."""
    view = a_view(log, stats, clock, total=None)
    clock.now += 65
    view.look(clock.now)
    clock.now += 4
    view.look(clock.now)
    assert log.getvalue().splitlines() == ["0 done, 0 failed, 0/s, 0 B/s, 0 in flight"]
    clock.now += 1
    view.look(clock.now)
    assert len(log.getvalue().splitlines()) == 2


def test_hosts_that_hold_the_job_up_are_named(log: io.StringIO, stats: Stats, clock: Clock, finish: Finish) -> None:
    """The host that pauses longest, and the slowest of those at work, with harmless names."""
    view = a_view(log, stats, clock)
    stats.started(finish("fast.example:443", 10, latency=0.01))
    stats.started(finish("sl\x1bow.example:443", 10, latency=3.0))
    stats.paused(stats.host("short:80"), HostState.BACKING_OFF, "429s", clock.now + 5)
    line = view.line(clock.now)
    assert "1 host pauses (short:80 backing off 5 s: 429s)" in line
    stats.paused(stats.host("long:80"), HostState.WAITING, "Retry-After", clock.now + 12)
    line = view.line(clock.now)
    assert "2 hosts pause (long:80 waiting 12 s: Retry-After)" in line
    assert line.endswith("slowest sl\\x1bow.example (p95 3.1 s)")


async def test_a_short_job_says_nothing(log: io.StringIO, stats: Stats) -> None:
    """Without ten seconds there is no line, but what was noted is said."""
    view = PlainView(stats, console=open_console(log), clock=anyio.current_time)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(view.run)
        await anyio.sleep(0.02)
        view.note("2 URLs were not understood")
        tasks.cancel_scope.cancel()
    assert log.getvalue() == "2 URLs were not understood\n"
