from __future__ import annotations

from asyncfetch.errors import NameNotFound, StatusError
from asyncfetch.job.outcome import JobOutcome
from asyncfetch.result import Request, Result


def test_counting() -> None:
    """Results are counted by ok, failed and code, bodies by their bytes."""
    outcome = JobOutcome()
    request = Request("http://a/")
    outcome.count([Result(1, request), Result(2, request)])
    outcome.count_saved(17)
    outcome.count_saved(0)
    outcome.count([Result(3, request)])
    outcome.count([Result(4, request, error=error) for error in (StatusError(404), StatusError(410))])
    outcome.count([Result(5, request, error=NameNotFound("no")), Result(6, request)])
    assert (outcome.total, outcome.ok, outcome.failed) == (7, 4, 3)
    assert outcome.errors == {"http.4xx": 2, "dns.not_found": 1}
    assert (outcome.saved, outcome.saved_bytes) == (2, 17)


def test_what_is_missing() -> None:
    """It is known only if the whole input was read."""
    outcome = JobOutcome(ok=2, failed=1)
    assert outcome.missing is None
    outcome.entries = 10
    assert outcome.missing == 7
