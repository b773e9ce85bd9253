"""The lines of the hosts, in every width."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from asyncfetch.display.colors import BAD, DIM, GOOD, UNSURE
from asyncfetch.display.columns import Columns, heading, line
from asyncfetch.display.marks import ASCII, UNICODE, Marks
from asyncfetch.display.roster import Row
from asyncfetch.errors import HeadTimeout
from asyncfetch.stats import HostState, Stats

if TYPE_CHECKING:
    from rich.segment import Segment

    from tests.display.conftest import Clock, Finish


@pytest.fixture
def row(stats: Stats, clock: Clock, finish: Finish) -> Row:
    """A host with something of everything."""
    host = finish("data.example.org:443", 1234, latency=0.12)
    finish("data.example.org:443", 5, error=HeadTimeout("no answer"))
    stats.retried(host, "timeout.head")
    for _ in range(6):
        stats.started(host)
    made = Row(host, 0)
    made.look(clock.now)
    stats.came(host, 5_600_000)
    made.look(clock.now + 1)
    return made


def shown(pieces: list[Segment]) -> str:
    return "".join(piece.text for piece in pieces)


def style_of(pieces: list[Segment], text: str) -> object:
    return next(piece.style for piece in pieces if text in piece.text)


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (12, "host"),
        (40, "host flight done failed"),
        (80, "host flight done failed bytes/s p50 p95 state"),
        (110, "host flight done failed bytes/s p50 p95 state last error"),
        (160, "host flight done failed retries bytes bytes/s p50 p95 state last error"),
    ],
)
def test_a_wider_terminal_shows_more(width: int, titles: str) -> None:
    """Each width has the columns that matter most."""
    assert shown(heading(Columns.fitting(width, 30))).split() == titles.split()


def test_no_line_is_too_wide(row: Row, clock: Clock) -> None:
    """A heading and a host's line fit, whatever the width and the host's name."""
    row.host.key = "日本語." * 12 + ":8080"
    row.host.state, row.host.reason, row.host.resumes_at = HostState.WAITING, "R" * 300, clock.now + 99
    for width in (*range(2, 130), 160, 200, 240):
        columns = Columns.fitting(width, 70)
        assert cell_len(shown(heading(columns))) <= width
        assert cell_len(shown(line(row, columns, clock.now + 1, UNICODE))) <= width


def test_headings_stand_above_their_numbers(row: Row, clock: Clock) -> None:
    """Numbers end below the end of their heading."""
    columns = Columns.fitting(120, 20)
    above, below = shown(heading(columns)), shown(line(row, columns, clock.now + 1, UNICODE))
    expected = {"flight": "6/6", "done": "1,239", "failed": "5", "bytes/s": "5.6 MB", "p50": "0.12 s"}
    for title, number in expected.items():
        end = above.index(f" {title}") + len(title) + 1
        assert below[:end].endswith(f" {number}"), title
    assert below[above.index("state") :].split() == ["ok", "timeout.head"]


def test_what_is_wrong_is_coloured(row: Row, clock: Clock) -> None:
    """Failures and a broken host are red, pauses yellow, work is green; the sign says it without colours."""
    columns = Columns.fitting(120, 20)
    pieces = line(row, columns, clock.now + 1, UNICODE)
    assert style_of(pieces, "●") is GOOD
    assert style_of(pieces, "5") is not None
    assert next(piece.style for piece in pieces if piece.text.strip() == "5") is BAD
    row.host.state, row.host.reason, row.host.resumes_at = HostState.WAITING, "Retry-After", clock.now + 13
    pieces = line(row, columns, clock.now + 1, UNICODE)
    assert style_of(pieces, "‖") is UNSURE
    assert style_of(pieces, "waiting 12 s: Retry-After") is UNSURE
    row.host.state = HostState.BACKING_OFF
    assert shown(line(row, columns, clock.now + 1, UNICODE)).startswith("↻")
    row.host.state = HostState.BROKEN
    assert style_of(line(row, columns, clock.now + 1, UNICODE), "✗") is BAD


def test_a_host_at_rest_is_dim(row: Row, clock: Clock) -> None:
    """Two seconds after its last work a host is idle, and its line steps back."""
    pieces = line(row, Columns.fitting(120, 20), clock.now + 5, UNICODE)
    assert shown(pieces).startswith("· data.example.org")
    assert style_of(pieces, "data.example.org") is DIM
    assert "idle" in shown(pieces)


def test_without_a_column_for_it_the_last_error_stands_for_the_state(row: Row, clock: Clock) -> None:
    """At 80 columns a host that is ok shows its last error, or ok if it never had one."""
    columns = Columns.fitting(80, 20)
    assert shown(line(row, columns, clock.now + 1, UNICODE)).endswith("timeout.head")
    row.host.last_error = ""
    assert shown(line(row, columns, clock.now + 1, UNICODE)).endswith("  ok")


def test_the_longest_words_that_fit_are_chosen(row: Row, clock: Clock) -> None:
    """The sign already says that a host waits: at 80 columns the words need not."""
    row.host.state, row.host.reason, row.host.resumes_at = HostState.WAITING, "Retry-After", clock.now + 13
    assert shown(line(row, Columns.fitting(80, 15), clock.now + 1, UNICODE)).endswith("  12 s: Retry-After")
    row.host.reason = "503 Service Unavailable"
    assert shown(line(row, Columns.fitting(80, 15), clock.now + 1, UNICODE)).endswith("  12 s: 503 Servic…")


def test_words_fit_by_their_cells(row: Row, clock: Clock) -> None:
    """A reason in wide characters takes two cells each."""
    row.host.state, row.host.reason, row.host.resumes_at = HostState.WAITING, "再試行してください", clock.now + 13
    written = shown(line(row, Columns.fitting(120, 20), clock.now + 1, UNICODE))
    assert "  12 s: 再試行してください " in written


def test_a_host_that_has_done_nothing_yet_has_blanks(stats: Stats, clock: Clock) -> None:
    """No latency is not a latency of zero; without a limit only what is in flight is shown."""
    host = stats.host("new.example.org:80")
    stats.started(host)
    made = Row(host, 0)
    made.look(clock.now)
    written = shown(line(made, Columns.fitting(120, 18), clock.now, UNICODE))
    assert written.split() == ["●", "new.example.org:80", "1", "0", "0", "ok"]


@pytest.mark.parametrize(("in_flight", "limit", "written"), [(6, 6, "6/6"), (3, 0, "3"), (999, 1000, "999")])
def test_the_limit_is_shown_where_it_fits(in_flight: int, limit: int, written: str, row: Row, clock: Clock) -> None:
    """A column that overflows would push all others away."""
    row.host.in_flight, row.host.limit = in_flight, limit
    assert shown(line(row, Columns.fitting(80, 15), clock.now + 1, UNICODE)).split()[2] == written


@pytest.mark.parametrize(("encoding", "marks"), [("utf-8", UNICODE), ("UTF-16", UNICODE), ("latin-1", ASCII)])
def test_signs_follow_the_encoding(encoding: str, marks: Marks, row: Row, clock: Clock) -> None:
    """A terminal of another encoding than UTF-8 gets ASCII only."""
    assert Marks.of(encoding) is marks
    row.host.key = "é" * 90
    text = shown(line(row, Columns.fitting(100, 60), clock.now + 1, Marks.of(encoding)))
    assert text.isascii() == (marks is ASCII)
