"""What an error or a status says about its host."""

from __future__ import annotations

import pytest

from asyncfetch.scheduler import ANSWERED, CANCELLED, outcome_of_failure, outcome_of_status


@pytest.mark.parametrize(
    ("code", "was_silent", "kind"),
    [
        ("connect.refused", False, "silent"),
        ("connect.failed", False, "silent"),
        ("timeout.connect", False, "silent"),
        ("dns.failed", False, "silent"),
        ("tls.failed", False, "silent"),
        ("timeout.head", True, "silent"),
        ("timeout.head", False, "failed"),
        ("protocol.incomplete", True, "silent"),
        ("protocol.incomplete", False, "failed"),
        ("timeout.read", False, "failed"),
        ("timeout.slow", False, "failed"),
        ("timeout.total", True, "silent"),
        ("dns.not_found", False, "cancelled"),
        ("connect.blocked", False, "cancelled"),
        ("tls.certificate", False, "cancelled"),
        ("io", False, "cancelled"),
        ("protocol.malformed", False, "ok"),
        ("body.decoding", False, "ok"),
        ("redirect.too_many", False, "ok"),
    ],
)
def test_of_a_failure(code: str, was_silent: bool, kind: str) -> None:
    """No byte, a part of an answer, nothing about the host, or an answer that somebody else dislikes."""
    assert outcome_of_failure(code, was_silent=was_silent).kind == kind


@pytest.mark.parametrize(
    ("status", "pause", "kind"),
    [
        (429, None, "throttled"),
        (429, 5.0, "throttled"),
        (503, 5.0, "throttled"),
        (503, None, "busy"),
        (302, 5.0, "asked"),
        (200, 5.0, "asked"),
        (500, 5.0, "asked"),
        (500, None, "ok"),
        (404, None, "ok"),
    ],
)
def test_of_a_status(status: int, pause: float | None, kind: str) -> None:
    """Too many, busy, a wish, or simply an answer."""
    outcome = outcome_of_status(status, pause, "why")
    assert (outcome.kind, outcome.retry_after) == (kind, pause)


def test_ordinary_answers_are_all_the_same_one() -> None:
    """So that the fast path can tell them by identity."""
    assert outcome_of_status(200, None, "") is ANSWERED
    assert outcome_of_failure("body.too_large", was_silent=False) is ANSWERED
    assert outcome_of_failure("io", was_silent=False) is CANCELLED
