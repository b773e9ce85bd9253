from __future__ import annotations

import errno
import inspect
import pickle
import re

import pytest

from asyncfetch.job import errors
from asyncfetch.job.errors import JobError, JournalError, OutputClosed, OutputError, SourceError, reason_of


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Every error stands in the drawing, under the one root, and nothing else does."""
    classes = {
        name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, JobError)
    }
    assert set(re.findall(r"[├└─ ]*\b([A-Z]\w+)\b", (errors.__doc__ or "").split("```")[1])) == classes


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (SourceError("a.txt", "does not exist"), "'a.txt' does not exist"),
        (SourceError("-", "is not open"), "the standard input is not open"),
        (OutputError("out", "is not a directory"), "'out' is not a directory"),
        (JournalError("a\x1b.jsonl", "exists"), "the results file 'a\\x1b.jsonl' exists"),
        (OutputClosed("-", "is closed"), "the standard output is closed"),
    ],
)
def test_an_error_is_a_sentence(error: JobError, sentence: str) -> None:
    """It names what it happened to, with foreign names escaped."""
    assert str(error) == sentence


def test_reasons() -> None:
    """What the system says, without its number; what has none says it itself."""
    assert reason_of(OSError(errno.ENOSPC, "x", "file")) == "no space left on device"
    assert reason_of(OSError("Something Else")) == "something else"


def test_errors_can_be_sent_to_another_process() -> None:
    """They survive pickling."""
    error = pickle.loads(pickle.dumps(SourceError("a", "b")))
    assert (type(error), error.source, error.detail) == (SourceError, "a", "b")
