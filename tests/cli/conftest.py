"""What the tests of the command line share: signals as a shell leaves them, and results with little typing."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def signals_are_not_ignored() -> Iterator[None]:
    """Let the commands react to Ctrl-C, though a background job, as which tests may run, ignores it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
