"""The beginnings of large bodies that a run has left, and what it takes to go on with each.

In a folder beside the results file lies a small note for each: the name and inode of the temporary file that has
the bytes (its length tells how many), the URL they came from, and the validator by which the rest can be asked for.
It is written before any byte is counted on, and removed with the temporary file. A temporary file without a note is
of no use to anybody, and a note whose file is gone, or is another one, says nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from asyncfetch.client import Rest
from asyncfetch.job.folders import is_ours
from asyncfetch.job.opening import open_patiently

if TYPE_CHECKING:
    from asyncfetch.result import Request

__all__ = ["Kept", "Partials", "partials_folder_of"]

_SUFFIX = ".job.parts"


def partials_folder_of(results: str | os.PathLike[str]) -> Path:
    """Return where the notes about a results file's beginnings are."""
    return Path(os.fspath(results) + _SUFFIX)


class Kept(msgspec.Struct, frozen=True):
    """What is noted about a beginning.

    Attributes:
        request: digest of the URL as given, which may hold credentials.
        file, inode: the temporary file.
        url: where the bytes came from.
        validator: what tells that version from all others.
        complete: bytes of the whole body, None if that is not known.
    """

    request: str
    file: str
    inode: int
    url: str
    validator: str
    complete: int | None = None


class Partials:
    """The beginnings that belong to one results file. Whoever has its lock may use it; not for several threads."""

    def __init__(self, results: str | os.PathLike[str]) -> None:
        """Look at nothing yet."""
        self._folder = partials_folder_of(results)
        self._found: dict[int, Kept] = {}
        self._is_there = False

    def load(self, is_wanted: Callable[[int], bool]) -> None:
        """Read what an earlier run has noted, and remove what nobody wants or can read.

        Args:
            is_wanted: says of a position whether its body is still to be fetched.
        """
        with contextlib.suppress(OSError):
            for path in list(self._folder.iterdir()):
                self._load(path, is_wanted)
            self._is_there = True

    def _load(self, path: Path, is_wanted: Callable[[int], bool]) -> None:
        with contextlib.suppress(OSError, ValueError):
            kept = msgspec.json.decode(path.read_bytes(), type=Kept)
            if is_wanted(int(path.name)) and is_ours(kept.file) and "/" not in kept.file:
                self._found[int(path.name)] = kept
                return
        with contextlib.suppress(OSError):
            path.unlink()

    def find_all(self, folder: int) -> set[str]:
        """Return the names of the temporary files in a directory that can be gone on with; forget the others."""
        for index, kept in list(self._found.items()):
            try:
                is_same = os.stat(kept.file, dir_fd=folder, follow_symlinks=False).st_ino == kept.inode
            except OSError:
                is_same = False
            if not is_same:
                del self._found[index]
                self.forget(index)
        return {kept.file for kept in self._found.values()}

    @property
    def are_there(self) -> bool:
        """Whether an earlier run has left any."""
        return bool(self._found)

    def take(self, request: Request) -> Kept | None:
        """Return what is noted about a request, once."""
        kept = self._found.pop(request.index, None)
        return kept if kept is not None and kept.request == _digest_of(request.url) else None

    def note(self, request: Request, file: str, inode: int, url: str, rest: Rest) -> None:
        """Write down what it takes to go on with a body.

        Raises:
            OSError: that cannot be written.
        """
        kept = Kept(_digest_of(request.url), file, inode, url, rest.validator, rest.complete)
        if not self._is_there:
            self._folder.mkdir(exist_ok=True)
            self._is_there = True
        path = str(self._folder / str(request.index))
        descriptor = open_patiently(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(descriptor, "wb") as note:
            note.write(msgspec.json.encode(kept))

    def forget(self, index: int) -> None:
        """Remove a note: its body has been saved, or will be fetched anew."""
        with contextlib.suppress(OSError):
            (self._folder / str(index)).unlink()

    def close(self) -> None:
        """Remove the folder, if there is nothing in it that a later run could use."""
        if self._is_there:
            with contextlib.suppress(OSError):
                self._folder.rmdir()


def _digest_of(url: str) -> str:
    return hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
