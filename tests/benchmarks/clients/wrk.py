"""wrk: what a program in C can do that neither reads a list nor keeps or looks at a body. One thread, one URL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.clients.base import Command, missing_program
from tests.benchmarks.load import Load, Received

__all__ = ["Wrk"]

_SCRIPT = """
done = function(summary, latency, requests)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  print(("sum %d %d %d"):format(summary.requests, summary.bytes, errors))
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrk:
    """`wrk` for some seconds on the first URL of the list; it counts statuses, and the bytes of all answers."""

    key: str = "wrk"
    title: str = "wrk (reads no list, keeps nothing)"
    seconds: int = 1
    share: float = 1.0
    runs_for_a_time: bool = True

    def missing(self) -> str:
        return missing_program("wrk", "wrk")

    def command(self, load: Load, folder: Path) -> Command:
        (folder / "done.lua").write_text(_SCRIPT)
        options = ["--threads", "1", "--connections", str(load.in_flight), "--duration", f"{self.seconds}s"]
        return Command(["wrk", *options, "--script", str(folder / "done.lua"), next(load.urls())])

    def received(self, load: Load, folder: Path) -> Received:
        """Read its sum; it knows no length of one body, so all must be right together."""
        for line in (folder / "stdout").read_text().splitlines():
            if line.startswith("sum "):
                requests, size, errors = map(int, line.split()[1:])
                enough = size >= (requests - errors) * load.wire_size
                return Received(requests, requests - errors if enough else 0)
        raise ValueError("wrk said nothing")
