"""The upper part of the picture."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from rich.segment import Segment

from asyncfetch.display.colors import BAD, GOOD
from asyncfetch.display.frame import Frame, more_line, total_lines
from asyncfetch.display.marks import ASCII, UNICODE
from asyncfetch.display.totals import Totals

HALFWAY = Totals(
    done=12_345,
    failed=34,
    in_flight=100,
    total=24_690,
    rate=1234.4,
    bytes_rate=5_600_000,
    seconds=71,
    left=301,
)


def shown(lines: list[list[Segment]]) -> list[str]:
    return ["".join(piece.text for piece in line) for line in lines]


def test_everything_in_two_lines() -> None:
    """A bar with the counts, and below it speed, failures, time and what is left."""
    bar, facts = shown(total_lines(HALFWAY, 80, UNICODE))
    assert bar == "━" * 28 + "─" * 28 + "  50 %  12,345 of 24,690"
    assert facts == "1,234/s · 5.6 MB/s · 34 failed · 100 in flight · 1 m 11 s, about 5 m 0 s left"


def test_without_utf8() -> None:
    """The same in ASCII."""
    bar, facts = shown(total_lines(HALFWAY, 80, ASCII))
    assert bar.startswith("#" * 28 + "-" * 28)
    assert facts.startswith("1,234/s, 5.6 MB/s, 34 failed, ")


def test_failures_are_the_red_end_of_the_bar() -> None:
    """A few failures are one red cell at least; when everything fails all of it is red."""
    few = total_lines(HALFWAY, 80, UNICODE)[0]
    assert [(piece.style, len(piece.text)) for piece in few[:2]] == [(GOOD, 27), (BAD, 1)]
    all_failed = total_lines(Totals(done=50, failed=50, in_flight=0, total=100), 80, UNICODE)[0]
    assert all_failed[0].style is BAD


@pytest.mark.parametrize(
    ("total", "words"),
    [(None, "7 done, total not known yet"), (0, "7 done")],
)
def test_without_a_total_there_is_no_bar(total: int | None, words: str) -> None:
    """While the source is still being read, only what is done is said."""
    totals = Totals(done=7, failed=0, in_flight=3, total=total)
    assert shown(total_lines(totals, 80, UNICODE)) == [words, "0/s · 0 B/s · 0 failed · 3 in flight · 0 s"]


def test_more_done_than_there_should_be() -> None:
    """A total that was too small does not break the bar."""
    bar = shown(total_lines(Totals(done=120, failed=0, in_flight=0, total=100), 60, UNICODE))[0]
    assert bar.endswith("100 %  120 of 120")
    assert "─" not in bar


def test_no_line_is_too_wide() -> None:
    """Facts flow into further lines, and a bar that has no room is left out."""
    for width in range(1, 130):
        lines = shown(total_lines(HALFWAY, width, UNICODE))
        assert all(cell_len(line) <= width for line in lines)
        assert " · ".join(lines).count(" · ") == 5


def test_what_stands_below_the_hosts_is_cut() -> None:
    """The last line fits too."""
    assert shown([more_line(1234, 56, 80)]) == ["and 1,234 more hosts, 56 in flight"]
    assert shown([more_line(1, 0, 10)]) == ["and 1 more"]


def test_the_height_in_a_narrower_terminal() -> None:
    """Each line is wrapped by itself; an empty one stays one line."""
    frame = Frame([[Segment("a" * 25), Segment("b" * 25)], [], [Segment("c" * 10)]])
    assert (frame.height_at(50), frame.height_at(49), frame.height_at(10)) == (3, 4, 7)
