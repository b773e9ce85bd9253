"""The closing tables, as they stand on a screen."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from asyncfetch.display.choose import open_console
from asyncfetch.display.summary import Ending, Examples
from asyncfetch.display.tables import summary
from asyncfetch.display.view import say
from asyncfetch.errors import FetchError, HeadTimeout, InvalidURL, StatusError
from asyncfetch.stats import Stats

if TYPE_CHECKING:
    from tests.display.conftest import Finish, MakeResult, Terminal


@pytest.fixture
def lines_of() -> Callable[..., list[str]]:
    """Show an ending in a log, or on a stream of another encoding."""

    def show(ending: Ending, encoding: str = "utf-8", width: int = 100) -> list[str]:
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
        console = open_console(stream, environ={})
        console.width = width
        say(console, summary(ending, console))
        return raw.getvalue().decode(encoding).splitlines()

    return show


@pytest.fixture
def examples(make_result: MakeResult) -> Examples:
    made = Examples()
    made.add(make_result("https://me:pw@example.org/gone", StatusError(404, "Not Found")))
    made.add(make_result("https://example.org/" + "slow" * 40, HeadTimeout("no answer within \x1b[2J 30 s")))
    return made


Lines = Callable[..., list[str]]
TIMES = "\N{MULTIPLICATION SIGN}"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (None, "1 ok in 0.12 s, 12 kB"),
        (HeadTimeout("no answer"), "1 failed (timeout.head) in 0.12 s, 12 kB"),
    ],
)
def test_one_url_is_one_line(
    error: FetchError | None, line: str, stats: Stats, finish: Finish, lines_of: Lines
) -> None:
    """No tables for a single URL."""
    finish(error=error, size=12_000)
    assert lines_of(Ending(stats=stats, seconds=0.12)) == [line]


def test_one_host_without_failures_is_one_line(stats: Stats, finish: Finish, lines_of: Lines) -> None:
    """A table of one line would say the same again."""
    finish(times=300, size=10_000)
    stats.connections = 6
    expected = "300 ok, 0 failed in 2.0 s, 3.0 MB, 1.5 MB/s, 150/s, 6 connections"
    assert lines_of(Ending(stats=stats, seconds=2.0)) == [expected]


def test_an_empty_job(stats: Stats, lines_of: Lines) -> None:
    """Nothing at all is said in one line too."""
    assert lines_of(Ending(stats=stats, seconds=0.2)) == ["0 ok in 0.20 s, 0 B"]


def test_long_totals_take_two_lines(stats: Stats, finish: Finish, lines_of: Lines) -> None:
    """In a narrow terminal what came is told below what became of it."""
    finish(times=300, size=10_000)
    lines = lines_of(Ending(stats=stats, seconds=2.0, not_done=77), width=40)
    assert lines == ["300 ok, 0 failed, 77 not done in 2.0 s", "3.0 MB, 1.5 MB/s, 150/s"]


@pytest.mark.parametrize(("not_done", "words"), [(1234, "1,234 not done"), (None, "the rest not done")])
def test_what_was_not_done_is_said(
    not_done: int | None, words: str, stats: Stats, finish: Finish, lines_of: Lines
) -> None:
    """A job that was stopped says how much is left, or that something is."""
    finish(times=3)
    stats.retried(stats.host("example.org:443"), "timeout.head")
    line = lines_of(Ending(stats=stats, seconds=1.0, not_done=not_done))[0]
    assert line == f"3 ok, 0 failed, {words} in 1.0 s, 3.0 kB, 3.0 kB/s, 3.0/s, 1 retry"


def test_hosts_and_errors(stats: Stats, finish: Finish, examples: Examples, lines_of: Lines) -> None:
    """A table of hosts, and one of errors with an example each."""
    finish("fast.example.org:443", 1200, latency=0.02)
    finish("slow.example.org:8443", 80, latency=2.0)
    finish("slow.example.org:8443", 3, error=HeadTimeout("no answer"), latency=2.0)
    finish("slow.example.org:8443", 2, error=StatusError(404), latency=2.0)
    finish("gone.example.org:80", 20, error=StatusError(404), latency=0.02)
    assert lines_of(Ending(stats=stats, seconds=10.0, examples=examples)) == [
        "1,280 ok, 25 failed in 10 s, 1.3 MB, 130 kB/s, 130/s",
        "",
        "host                    done  failed  retries   bytes    p50    p95  most errors",
        "fast.example.org       1,200       0        0  1.2 MB  21 ms  21 ms",
        f"slow.example.org:8443     85       5        0   85 kB  2.1 s  2.1 s  3 {TIMES} timeout.head",
        "gone.example.org:80       20      20        0   20 kB  21 ms  21 ms  http.4xx",
        "",
        "error         count  for example",
        "http.4xx         22  https://***@example.org/gone",
        "                     the server answered 404 Not Found",
        "timeout.head      3  https://example.org/slowslowslowslowslo…lowslowslowslowslowslowslowslowslowslow",
        "                     no answer within \\x1b[2J 30 s",
    ]


def test_many_hosts_are_cut_and_the_slowest_named(stats: Stats, finish: Finish, lines_of: Lines) -> None:
    """Twenty hosts and how many more; then the slowest, which may be among those."""
    for number in range(1254):
        finish(f"host{number}.example.org:443", 1 + (number < 20), latency=0.1 if number != 777 else 9.0)
    lines = lines_of(Ending(stats=stats, seconds=10.0))
    assert sum(line.startswith("host") for line in lines) == 1 + 20 + 5
    assert lines[23:27] == [
        "and 1,234 more hosts",
        "",
        "slowest hosts        done     p95",
        "host777.example.org     1   9.0 s",
    ]


def test_many_dead_hosts(stats: Stats, finish: Finish, lines_of: Lines) -> None:
    """Where nobody answered there are no latencies, and no slowest hosts."""
    for number in range(21):
        stats.host(f"host{number}:80").done = 1
    stats.total.done = 21
    lines = lines_of(Ending(stats=stats, seconds=1.0))
    assert lines[-1] == "and 1 more host"
    assert lines[3].split() == ["host0:80", "1", "0", "0", "0", "B"]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
def test_tables_fit(width: int, stats: Stats, finish: Finish, examples: Examples, lines_of: Lines) -> None:
    """Narrow terminals get fewer columns and shorter names; nothing is wider than it may be."""
    for number in range(30):
        finish("日本語" * 10 + f"\x1b{number}.example.org:8080", number, error=StatusError(404), latency=1.0)
    finish("short.example.org:443", 100)
    lines = lines_of(Ending(stats=stats, seconds=10.0, examples=examples), width=width)
    assert all(cell_len(line) <= max(width, 32) for line in lines)
    assert all("\x1b" not in line for line in lines)
    titles = lines[2].split()
    assert ("retries" in titles, "p95" in titles) == (width > 60, width > 40)


def test_an_error_without_example(stats: Stats, finish: Finish, lines_of: Lines) -> None:
    """Whoever keeps no examples gets a line for each error all the same."""
    finish(times=2, error=HeadTimeout("no answer"))
    assert lines_of(Ending(stats=stats, seconds=1.0))[2:] == [
        "error         count  for example",
        "timeout.head      2",
    ]


def test_without_utf8_everything_is_ascii(
    stats: Stats, finish: Finish, examples: Examples, lines_of: Lines
) -> None:
    """Names, messages and signs; a strict encoder has nothing to complain about."""
    finish("bücher.example:443", 2, error=HeadTimeout("no answer"))
    finish("bücher.example:443", 1, error=StatusError(404))
    finish("other.example:443", 1)
    lines = lines_of(Ending(stats=stats, seconds=1.0, examples=examples), encoding="ascii")
    assert lines[3].startswith("b\\xfccher.example")
    assert lines[3].endswith("2 x timeout.head")


def test_failures_are_red_on_a_terminal(
    stats: Stats, finish: Finish, terminal: Callable[..., Terminal], examples: Examples
) -> None:
    """Where something failed there is colour, and a zero has none."""
    screen = terminal(100, 24)
    finish("a.example:443", 5)
    finish("b.example:443", 4, error=StatusError(404))
    say(screen.console, summary(Ending(stats=stats, seconds=1.0, examples=examples), screen.console))
    column = screen.lines[2].index("failed") + 5
    assert [screen.screen.buffer[row][column].data for row in (3, 4)] == ["0", "4"]
    assert [screen.screen.buffer[row][column].fg for row in (3, 4)] == ["default", "red"]


def test_an_error_of_a_row_without_url(
    stats: Stats, finish: Finish, make_result: MakeResult, lines_of: Lines
) -> None:
    """Its message stands where the URL would."""
    examples = Examples()
    examples.add(make_result("", InvalidURL("list.csv, line 3: the row has no URL")))
    finish(times=2, error=InvalidURL("list.csv, line 3: the row has no URL"))
    lines = lines_of(Ending(stats=stats, seconds=1.0, examples=examples))
    assert lines[-1] == "url.invalid      2  list.csv, line 3: the row has no URL"
