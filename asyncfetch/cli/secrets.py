"""Which of the settings are secret: what no job file, no message and no listing may show."""

from __future__ import annotations

import re

__all__ = ["is_secret"]

_SECRET = re.compile(r"auth|cookie|token|key|secret|passw|session|signature|credential", re.IGNORECASE)


def is_secret(name: str, value: str | None) -> bool:
    """Whether a header is one that holds a secret, going by its name; an empty or dropped one does not."""
    return bool(value) and _SECRET.search(name) is not None
