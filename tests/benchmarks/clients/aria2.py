"""aria2, from an input file. It saves every body: it has no way to throw one away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.clients.base import SAVED, Command, missing_program, received_files
from tests.benchmarks.load import Load, Received

__all__ = ["Aria2"]

_LIST = "aria2.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aria2:
    """`aria2c -i`; it tells statuses other than 200 by leaving no file."""

    key: str = "aria2"
    title: str = "aria2c -i"
    share: float = 0.25
    runs_for_a_time: bool = False

    def missing(self) -> str:
        return missing_program("aria2c", "aria2")

    def command(self, load: Load, folder: Path) -> Command:
        with (folder / _LIST).open("w", encoding="ascii") as file:
            for number, url in enumerate(load.urls(), 1):
                file.write(f"{url}\n  out={number}\n")
        options = ["--no-conf", "--quiet", "--split=1", "--file-allocation=none", f"--dir={folder / SAVED}"]
        options += [f"--max-concurrent-downloads={load.in_flight}"]
        if load.ca_file:
            options += [f"--ca-certificate={load.ca_file}"]
        return Command(["aria2c", *options, f"--input-file={folder / _LIST}"])

    def received(self, load: Load, folder: Path) -> Received:
        return received_files(load, folder)
