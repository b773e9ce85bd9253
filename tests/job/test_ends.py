"""When a run ends early, decided from numbers."""

from __future__ import annotations

import pytest

from asyncfetch.job import Ends
from asyncfetch.job.ends import Tail


@pytest.mark.parametrize(
    ("ends", "failures", "results", "too_many"),
    [
        (Ends(), 10**6, 10**6, False),
        (Ends(max_failures=3), 2, 1000, False),
        (Ends(max_failures=3), 3, 3, True),
        (Ends(max_failed_share=0.1), 49, 49, False),
        (Ends(max_failed_share=0.1), 5, 50, False),
        (Ends(max_failed_share=0.1), 6, 50, True),
        (Ends(max_failed_share=0.1, max_failures=2), 2, 10, True),
    ],
)
def test_failures_that_are_too_many(ends: Ends, failures: int, results: int, too_many: bool) -> None:
    """A number counts from the start, a share from the 50th result on."""
    assert ends.are_too_many(failures, results) is too_many


def test_a_tail_is_seen_when_few_hosts_and_little_come() -> None:
    """Over the last 30 s, not before, and not while many hosts are left or nothing is."""
    tail = Tail()
    for second in range(30):
        assert tail.look(float(second), 1000 + 10 * second, 500, ["a:80"]) is None
    seen = tail.look(30.0, 1300, 500, ["a:80", "b:80"])
    assert seen is not None
    assert (seen.hosts, seen.rate, seen.left, seen.is_worth_a_word) == (["a:80", "b:80"], 10.0, 500, False)
    assert tail.look(31.0, 1300, 500, [f"{n}:80" for n in range(6)]) is None
    assert tail.look(32.0, 1300, 500, []) is None
    assert tail.look(33.0, 1300, 0, ["a:80"]) is None
    for second in range(34, 64):
        seen = tail.look(float(second), 1300 + second // 10, 500, ["a:80"])
    assert seen is not None
    assert seen.rate < 1
    assert seen.is_worth_a_word
