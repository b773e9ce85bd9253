"""What one request said about its host: the only thing that a host learns from.

Decided from facts (a status, a field, an error's code) by whoever ran the request; what follows from it is decided
in `host.py`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = [
    "ANSWERED",
    "CANCELLED",
    "FAILED",
    "SILENT",
    "THROTTLED",
    "Outcome",
    "outcome_of_failure",
    "outcome_of_status",
]


class Outcome(NamedTuple):
    """What one request said about its host.

    Attributes:
        kind: `ok`: it answered, whatever the status; `asked`: so, and asked for a pause; `throttled`: it said that
            it gets too many requests; `busy`: it said that it cannot answer now, which may be about this URL only;
            `failed`: it broke off or took too long; `silent`: not a byte came of it; `cancelled`: nothing was
            learned.
        retry_after: seconds that the host asked to be left alone, or None.
        why: the reason, for people, in two or three words.
    """

    kind: Literal["ok", "asked", "throttled", "busy", "failed", "silent", "cancelled"]
    retry_after: float | None = None
    why: str = ""


ANSWERED = Outcome("ok")
THROTTLED = Outcome("throttled", None, "429s")
FAILED = Outcome("failed", None, "failures")
SILENT = Outcome("silent", None, "no answer")
CANCELLED = Outcome("cancelled")

_UNREACHABLE = {
    "dns.failed": Outcome("silent", None, "name look-up failed"),
    "connect.refused": Outcome("silent", None, "connection refused"),
    "connect.failed": Outcome("silent", None, "no connection"),
    "tls.failed": Outcome("silent", None, "no TLS session"),
    "timeout.connect": Outcome("silent", None, "no connection in time"),
}
_CUT_OFF = {
    "timeout.head": Outcome("failed", None, "timeouts"),
    "timeout.read": Outcome("failed", None, "timeouts"),
    "timeout.slow": Outcome("failed", None, "timeouts"),
    "timeout.total": Outcome("failed", None, "timeouts"),
    "protocol.incomplete": Outcome("failed", None, "cut answers"),
}
_SAID_NOTHING = {
    "timeout.head": Outcome("silent", None, "no answer in time"),
    "timeout.total": Outcome("silent", None, "no answer in time"),
    "protocol.incomplete": Outcome("silent", None, "closed without an answer"),
}
# The name is wrong, the certificate, our own guard or our own disk: that says nothing of how the host is.
_NOT_ABOUT_THE_HOST = frozenset({"dns.not_found", "connect.blocked", "tls.certificate", "io", "cancelled"})


def outcome_of_failure(code: str, *, was_silent: bool) -> Outcome:
    """Say what an error means for its host.

    Args:
        code: the error's.
        was_silent: whether a request was sent and not a byte of an answer came.
    """
    if was_silent and code in _SAID_NOTHING:
        return _SAID_NOTHING[code]
    if code in _NOT_ABOUT_THE_HOST:
        return CANCELLED
    return _UNREACHABLE.get(code) or _CUT_OFF.get(code) or ANSWERED


def outcome_of_status(status: int, pause: float | None, why: str) -> Outcome:
    """Say what a complete answer means for its host.

    Args:
        status: of the answer.
        pause: seconds that it asks to be left alone, or None.
        why: the field that says so.
    """
    if status == 429:
        return Outcome("throttled", pause, why or "429s")
    if status == 503:
        return Outcome("throttled", pause, why) if pause else Outcome("busy", None, "503s")
    return Outcome("asked", pause, why) if pause else ANSWERED
