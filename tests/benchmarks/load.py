"""What one client has to fetch in one run: the same for every client of a workload, and how many were right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

__all__ = ["KEPT_IN_MEMORY", "Load", "Received", "Tally"]

KEPT_IN_MEMORY = 32 * 1024 * 1024  # bytes: larger bodies are taken piece by piece and thrown away


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A list of URLs, what each must give, and under which limits to fetch them.

    Attributes:
        list_file: one URL a line.
        count: lines of `list_file`.
        size: bytes of each body when it is decoded.
        wire_size: bytes of each body as sent.
        in_flight: requests at once; 1 is one after the other.
        per_host: of these, to one host.
        ca_file: whom to trust, or an empty string for http.
        saves: each body goes into a file of its own below `saved` in the folder of the run.
        on_disk: the folder of the run is on a disk, not in memory.
    """

    list_file: str
    count: int
    size: int
    wire_size: int
    in_flight: int = 64
    per_host: int = 64
    ca_file: str = ""
    saves: bool = False
    on_disk: bool = False

    def urls(self) -> Iterator[str]:
        """Give the URLs, reading lazily."""
        with Path(self.list_file).open(encoding="ascii") as lines:
            for line in lines:
                yield line.rstrip("\n")

    def emptied(self, empty_file: Path) -> Self:
        """Return the same without any URL: what it costs is the client's start-up."""
        return replace(self, list_file=str(empty_file), count=0)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(**json.loads(path.read_text()))


@dataclass(frozen=True, slots=True)
class Received:
    """What a client says, or its files show, that it received.

    Attributes:
        fetched: answers that came.
        right: of these, with status 200 and a body of the right length.
        tenths: seconds of CPU after each tenth of the list, from clients that say so.
    """

    fetched: int
    right: int
    tenths: tuple[float, ...] = ()


class Tally:
    """Counts, inside a client written in Python, what came and what of it is right."""

    def __init__(self, load: Load) -> None:
        self.fetched = 0
        self.right = 0
        self._size = load.size

    def add(self, status: int | None, size: int) -> None:
        """Count one answer; no status is a failure."""
        self.fetched += 1
        if status == 200 and size == self._size:
            self.right += 1
