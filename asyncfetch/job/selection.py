"""Which entries are wanted. An entry keeps its number whatever is left out before it.

An entry that cannot be read is always wanted: its record is the only place where anybody hears of it.
"""

from __future__ import annotations

import os
from hashlib import blake2b

from asyncfetch.errors import InvalidURL
from asyncfetch.job.inputs import InputSettings
from asyncfetch.job.lines import Line
from asyncfetch.url import Url

__all__ = ["DIGEST", "Selection", "digest_of"]

DIGEST = 15
"""Bytes of a digest; as a Python object it takes the same 48 as one of 8."""

_KEY = os.urandom(16)  # nobody can write a list in which two URLs have the same digest


def digest_of(url: Url | str) -> bytes:
    """Return `DIGEST` bytes that tell what a request for a URL would ask for, or those of any text.

    Other spellings of a URL have the same. Credentials count, the fragment does not: it is never sent. That two of
    10,000,000 URLs have the same by chance happens once in 10^22 runs. Only this process knows the key.
    """
    text = url if isinstance(url, str) else f"{url.userinfo}@{url.href}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST, key=_KEY).digest()


class Selection:
    """Looks at all entries of the input in their order, once.

    Attributes:
        kept: entries that were wanted.
        left_out: entries that were not.
        is_full: the limit is reached.
    """

    def __init__(self, settings: InputSettings) -> None:
        self.kept = self.left_out = 0
        self.is_full = False
        self._settings = settings
        self._seen: set[bytes] | None = set() if settings.dedupe else None

    def choose(self, lines: list[Line]) -> list[bool]:
        """Say of each entry whether it is wanted; beyond the one that reaches the limit nothing is said."""
        limit = self._settings.limit
        chosen: list[bool] = []
        for line in lines:
            if self.is_full:
                break
            wanted = bool(line.fault) or self._wants(line.text)
            chosen.append(wanted)
            self.kept += wanted
            self.left_out += not wanted
            self.is_full = self.kept == limit
        return chosen

    def _wants(self, url: str) -> bool:
        settings = self._settings
        if settings.include and not any(pattern.search(url) for pattern in settings.include):
            return False
        if any(pattern.search(url) for pattern in settings.exclude):
            return False
        return self._seen is None or self._is_new(self._seen, url)

    def _is_new(self, seen: set[bytes], url: str) -> bool:
        try:
            digest = digest_of(Url.parse(url))
        except InvalidURL:
            digest = digest_of(url)
        if digest in seen:
            return False
        seen.add(digest)
        return True
