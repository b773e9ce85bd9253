"""A look at every entry before it is fetched: is its file there already, can the server say that nothing changed?

What is there and is not to be fetched again gets a result without a request; what an earlier run has recorded gets
conditions (`earlier`), and a 304 is then recorded with what was known. Both are done a batch at a time in a thread.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from asyncfetch.errors import InvalidURL
from asyncfetch.job.earlier import Earlier, conditions
from asyncfetch.record import Record
from asyncfetch.result import HeaderTypes, Request, Result

if TYPE_CHECKING:
    from asyncfetch.job.bodies import Bodies

__all__ = ["AlreadyThere", "Preparer", "Unchanged"]

_NOT_MODIFIED = 304
_CONDITIONS = frozenset({"if-none-match", "if-modified-since"})


class AlreadyThere(msgspec.Struct, frozen=True):
    """`Result.sink` of what was not fetched because its file exists.

    Attributes:
        path: below the directory for bodies.
        size: bytes.
        sha256: its digest, if that is wanted.
    """

    path: str
    size: int
    sha256: str | None = None

    def describe(self, record: Record) -> None:
        """Complete a record."""
        record.path, record.bytes, record.sha256 = self.path, self.size, self.sha256


class Unchanged(msgspec.Struct, frozen=True):
    """`Result.sink` of a 304: what an earlier run has recorded is still so.

    Attributes:
        earlier: its record.
        has_file: whether its file is still there.
    """

    earlier: Record
    has_file: bool

    def describe(self, record: Record) -> None:
        """Complete a record: what the server does not repeat is what it was."""
        earlier = self.earlier
        record.bytes = earlier.bytes
        record.content_type = record.content_type or earlier.content_type
        record.etag = record.etag or earlier.etag
        record.last_modified = record.last_modified or earlier.last_modified
        if self.has_file:
            record.path, record.sha256 = earlier.path, earlier.sha256


class Preparer:
    """Looks at the entries of one list."""

    def __init__(
        self, bodies: Bodies | None, *, earlier: Earlier | None = None, skip_existing: bool = False
    ) -> None:
        """Prepare for a list.

        Args:
            bodies: where bodies are saved, or None.
            earlier: what to refresh, or None.
            skip_existing: what has its file in `bodies` is not fetched.
        """
        self._bodies = bodies
        self._earlier = earlier
        self._skips = skip_existing
        self._is_stopped = False

    def stop(self) -> None:
        """Do not go on reading a large file: the run ends."""
        self._is_stopped = True

    def look_at(self, entries: Sequence[Request]) -> tuple[list[Request], list[Result]]:
        """Return what is to be fetched, and the results of what is not; called in a worker thread."""
        requests, results = [], []
        for request in entries:
            there = self._find(request) if self._skips and not request.invalid else None
            if there is not None:
                results.append(Result(index=request.index, request=request, ended=time.time(), sink=there))
                continue
            if self._earlier is not None and not request.invalid:
                self._add_conditions(request, self._earlier)
            requests.append(request)
        return requests, results

    def settle(self, result: Result) -> None:
        """Let a 304 to our conditions know what it means; called in a worker thread.

        The record is looked for once more, instead of being kept: millions of entries may be waiting.
        """
        if self._earlier is None or result.status != _NOT_MODIFIED:
            return
        record = self._find_earlier(result.request, self._earlier)
        if record is not None:
            fields = conditions(record)
            if fields and _pairs(result.request.headers)[: len(fields)] == fields:
                result.sink = Unchanged(record, self._bodies is not None)

    def _find(self, request: Request) -> AlreadyThere | None:
        """Look for the file that a body would get, if nothing were in its way."""
        bodies = self._bodies
        if bodies is None or not bodies.naming.is_telling:
            return None
        try:
            name = bodies.naming.name(request, None)
        except InvalidURL:
            return None
        path = f"{name.folder}/{name.file()}".lstrip("/")
        found = bodies.find(path)
        if found is None:
            return None
        if not bodies.computes_digests and request.sha256 is None:
            return AlreadyThere(path, found.st_size)
        sha256 = self._digest_of(bodies, path)
        is_it = sha256 is not None and (request.sha256 or sha256).lower() == sha256
        return AlreadyThere(path, found.st_size, sha256) if is_it else None

    def _digest_of(self, bodies: Bodies, path: str) -> str | None:
        """Return the digest of a file, or None if it cannot be read, or not to its end before the run ends."""
        digest = hashlib.sha256()
        try:
            for block in bodies.read(path):
                if self._is_stopped:
                    return None
                digest.update(block)
        except OSError:
            return None
        return digest.hexdigest()

    def _find_earlier(self, request: Request, earlier: Earlier) -> Record | None:
        try:
            return earlier.find(request.url)
        except OSError:  # it will be fetched in full
            return None

    def _add_conditions(self, request: Request, earlier: Earlier) -> None:
        record = self._find_earlier(request, earlier)
        if record is None or not self._is_good_for(record, request):
            return
        fields, own = conditions(record), _pairs(request.headers)
        if fields and not any(name.lower() in _CONDITIONS for name, _ in own):
            request.headers = [*fields, *own]

    def _is_good_for(self, record: Record, request: Request) -> bool:
        """Whether a record may stand for a body: its file is still there, and has the digest that is wanted."""
        if request.sha256 is not None and record.sha256 != request.sha256.lower():
            return False
        if self._bodies is None:
            return True
        if record.path is None or (self._bodies.computes_digests and record.sha256 is None):
            return False
        found = self._bodies.find(record.path)
        return found is not None and found.st_size == record.bytes


def _pairs(headers: HeaderTypes | None) -> list[tuple[str, str | None]]:
    if headers is None:
        return []
    return list(headers) if isinstance(headers, Sequence) else list(headers.items())
