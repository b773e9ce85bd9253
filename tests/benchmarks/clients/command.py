"""The command `asyncfetch get`: a record for each URL into a file, the bodies counted, or saved with `-P`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests.benchmarks.clients.base import SAVED, Command, python, received_files
from tests.benchmarks.load import Load, Received

__all__ = ["AsyncfetchCommand"]

_RECORDS = "results.jsonl"


class _Record(msgspec.Struct):
    """What of a record is looked at."""

    n: int
    status: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncfetchCommand:
    """`asyncfetch get`, with or without the live display."""

    key: str = "command"
    title: str = "asyncfetch get"
    live: bool = False
    share: float = 1.0
    runs_for_a_time: bool = False

    def missing(self) -> str:
        return ""

    def command(self, load: Load, folder: Path) -> Command:
        options = ["-j", str(load.in_flight), "--max-per-host", str(load.per_host), "-o", str(folder / _RECORDS)]
        options += ["--progress", "live" if self.live else "none"]
        if load.ca_file:
            options += ["--cacert", load.ca_file]
        if load.saves:
            options += ["-P", str(folder / SAVED)]
        return Command(python("asyncfetch", "get", load.list_file, *options), on_terminal=self.live)

    def received(self, load: Load, folder: Path) -> Received:
        """Read the records: one for each entry, each with the right status and length, and so the files."""
        fetched = right = numbers = 0
        decoder = msgspec.json.Decoder(_Record)
        with (folder / _RECORDS).open("rb") as lines:
            for line in lines:
                try:
                    record = decoder.decode(line)
                except msgspec.MsgspecError as error:
                    raise ValueError(f"not a record: {line!r}") from error
                fetched += 1
                numbers += record.n
                right += record.status == 200 and record.bytes == load.size
        if numbers != fetched * (fetched + 1) // 2:
            raise ValueError("the records are not one for each entry")
        if load.saves:
            right = min(right, received_files(load, folder).right)
        return Received(fetched, right)
