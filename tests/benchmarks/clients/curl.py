"""curl, many at once with `-Z`: a configuration file names each URL and where its body goes.

It has no limit per host (before 8.16), and takes at most 300 at once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.clients.base import SAVED, Command, missing_program, received_files
from tests.benchmarks.load import Load, Received

__all__ = ["Curl"]

_CONFIGURATION = "curl.conf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Curl:
    """`curl -Z`; for one after the other, curl without it."""

    key: str = "curl"
    title: str = "curl"
    share: float = 1.0
    runs_for_a_time: bool = False

    def missing(self) -> str:
        return missing_program("curl", "curl")

    def command(self, load: Load, folder: Path) -> Command:
        saved = folder / SAVED
        if load.saves:
            saved.mkdir()
        with (folder / _CONFIGURATION).open("w", encoding="ascii") as file:
            for number, url in enumerate(load.urls(), 1):
                output = saved / f"{number}" if load.saves else "/dev/null"
                file.write(f'url = "{url}"\noutput = "{output}"\n')
        options = ["--silent", "--show-error", "--http1.1", "--write-out", "%{http_code} %{size_download}\\n"]
        if load.in_flight > 1:
            options += ["--parallel", "--parallel-max", str(load.in_flight)]
        if load.ca_file:
            options += ["--cacert", load.ca_file]
        if load.size != load.wire_size:
            options += ["--compressed"]
        return Command(["curl", "--disable", *options, "--config", str(folder / _CONFIGURATION)])

    def received(self, load: Load, folder: Path) -> Received:
        """Read what `-w` wrote; its size is that on the wire."""
        lines = Counter((folder / "stdout").read_text().splitlines())
        right = lines[f"200 {load.wire_size}"]
        if load.saves:
            right = min(right, received_files(load, folder).right)
        return Received(lines.total(), right)
