"""Lines above the live view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncfetch.display.notes import Notes, failure_line
from asyncfetch.display.words import Words
from asyncfetch.errors import HeadTimeout, StatusError

if TYPE_CHECKING:
    from tests.display.conftest import Clock, MakeResult


def test_a_failure_says_what_where_and_why(make_result: MakeResult) -> None:
    """The code first, then the URL without its password, then the sentence."""
    result = make_result("https://user:secret@example.org/a", HeadTimeout("no answer within 30 s"), attempts=3)
    line = failure_line(result).plain
    assert line == "timeout.head        https://***@example.org/a  no answer within 30 s (3 attempts)"


def test_a_hostile_failure_is_harmless(make_result: MakeResult) -> None:
    """URLs and reasons of strangers are escaped and bounded."""
    result = make_result("https://x/\x1b[2J\u202e" + "a" * 5000, StatusError(404, "\x1b]0;owned\x07" + "b" * 5000))
    line = failure_line(result).plain
    assert line.isprintable()
    assert len(line) < 600
    assert failure_line(result, ascii_only=True).plain.isascii()


def test_a_result_that_is_ok_is_no_failure_but_does_no_harm(make_result: MakeResult) -> None:
    """Whoever notes every result gets a line without a code."""
    assert failure_line(make_result("https://example.org/a")).plain.split() == ["https://example.org/a"]


def test_failures_are_bounded_and_the_others_counted(clock: Clock, make_result: MakeResult) -> None:
    """Twenty a second are shown; what came beyond is said once, when the second is over."""
    notes = Notes(clock)
    failed = make_result(error=HeadTimeout("no answer"))
    for _ in range(1254):
        notes.failure(failed)
    assert len(notes.take()) == 20
    assert notes.take() == []
    clock.now += 1.0
    assert [line.plain for line in notes.take()] == ["… and 1,234 more failures"]
    assert notes.take() == []


def test_the_count_comes_before_the_next_second(clock: Clock, make_result: MakeResult) -> None:
    """When failures go on, each second begins with the count of the one before."""
    notes = Notes(clock, per_second=2, ascii_only=True)
    failed = make_result(error=HeadTimeout("no answer"))
    for _ in range(5):
        notes.failure(failed)
    clock.now += 1.5
    notes.failure(failed)
    lines = [line.plain for line in notes.take()]
    assert lines[2] == "... and 3 more failures"
    assert lines[3].startswith("timeout.head")


def test_at_the_end_nothing_is_kept_back(clock: Clock, make_result: MakeResult) -> None:
    """The last look gives the count away even if the second is not over."""
    notes = Notes(clock, per_second=1)
    for _ in range(3):
        notes.failure(make_result(error=HeadTimeout("no answer")))
    assert [line.plain for line in notes.take(last=True)][-1] == "… and 2 more failures"


def test_remarks_are_not_counted_against_failures(clock: Clock) -> None:
    """What we say ourselves is always said."""
    notes = Notes(clock, per_second=0)
    for number in range(30):
        notes.add(Words(str(number)))
    assert len(notes.take()) == 30
