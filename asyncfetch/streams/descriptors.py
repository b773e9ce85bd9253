"""Whether descriptors are short: libraries that find none for their files say something else, or nothing.

Without a descriptor the system's resolver says "no such name", and OpenSSL makes a context that trusts nobody. So
who asks them looks here before and after: what was said in a shortage is not believed.
"""

from __future__ import annotations

import errno
import os

__all__ = ["SHORTAGE", "require_descriptors"]

SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE})

_SOME = 2  # a file and a socket, open at the same time


def require_descriptors() -> None:
    """See that some can be opened at the moment; costs a few microseconds.

    Raises:
        OSError: they cannot (`errno` is one of `SHORTAGE`).
    """
    opened: list[int] = []
    try:
        for _ in range(_SOME):
            opened.append(os.open(os.devnull, os.O_RDONLY))  # noqa: PERF401 - those before a failure are to be closed
    finally:
        for descriptor in opened:
            os.close(descriptor)
