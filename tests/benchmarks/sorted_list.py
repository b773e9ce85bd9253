"""A list sorted by host: many lines of one slow host, and behind them the URLs of many fast ones.

`python -m tests.benchmarks.sorted_list` runs the command on the fast URLs alone, then on the whole list, and
ends it when the fast hosts are done: the slow one would take days. It prints how long the fast hosts took, what
that is per line of the list beyond 1.2 times of what they took alone (10 µs are wanted), and the peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.cores import Cores
from tests.benchmarks.servers import Nginx, slow_host_server
from tests.benchmarks.slow_host import PATH_SLOW, SLOW_HOST

__all__ = ["Measured", "measure"]

_FAST_HOSTS = 500
_FAST = 5_000
_LOOK_EVERY = 0.02  # seconds
_PATIENCE = 600.0  # seconds for one run


@dataclass(frozen=True, slots=True)
class Measured:
    """One run.

    Attributes:
        seconds: from the start of the command to the last record of a fast host.
        cpu: seconds of CPU of the command until its end.
        memory: its peak, in bytes.
        slow: records of the slow host.
    """

    seconds: float
    cpu: float
    memory: int
    slow: int


def measure(folder: Path, list_file: Path, fast_from: int) -> Measured:
    """Run the command on a list until all entries from a position on have their records.

    Raises:
        TimeoutError: they have not within ten minutes.
    """
    records = folder / "results.jsonl"
    records.unlink(missing_ok=True)
    command = [sys.executable, "-m", "asyncfetch", "get", str(list_file), "-o", str(records), "-q", "--overwrite"]
    began = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        slow = _await_fast(records, fast_from, began + _PATIENCE)
        seconds = time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, slow)


def _await_fast(records: Path, fast_from: int, until: float) -> int:
    fast = slow = 0
    rest = b""
    while not records.exists():
        time.sleep(_LOOK_EVERY)
    with records.open("rb") as file:
        while fast < _FAST:
            *lines, rest = (rest + file.read()).split(b"\n")
            for line in lines:
                record = json.loads(line)
                is_fast = record["n"] >= fast_from
                fast += is_fast and record["ok"]
                slow += not is_fast
            if time.monotonic() > until:
                raise TimeoutError(f"{fast} of {_FAST} fast URLs are done")
            time.sleep(_LOOK_EVERY)
    return slow


def _write_list(path: Path, lines: int, slow_port: int, fast_port: int) -> None:
    with path.open("w", encoding="ascii") as file:
        file.writelines(f"http://{SLOW_HOST}:{slow_port}{PATH_SLOW}?n={n}\n" for n in range(lines))
        file.writelines(
            f"http://127.0.{2 + n // 250 % 2}.{1 + n % 250}:{fast_port}/small?n={n}\n" for n in range(_FAST)
        )


def main() -> None:
    """Measure, and print a line for each run."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sorted_list", description=__doc__)
    parser.add_argument("--lines", type=int, default=5_000_000, help="lines of the slow host (5000000)")
    arguments = parser.parse_args()
    cores = Cores.choose()
    folder = Path(tempfile.mkdtemp(prefix="asyncfetch-bench-"))
    nginx = Nginx(folder / "nginx", large_size=1024)
    try:
        with nginx.running(cores.server), slow_host_server(cores.server) as slow_port:
            _run(folder, arguments.lines, slow_port, nginx.many_port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, lines: int, slow_port: int, fast_port: int) -> None:
    list_file = folder / "list.txt"
    _write_list(list_file, 0, slow_port, fast_port)
    alone = measure(folder, list_file, 1)
    _say("the fast hosts alone", alone)
    _write_list(list_file, lines, slow_port, fast_port)
    behind = measure(folder, list_file, lines + 1)
    _say(f"behind {lines:,} lines", behind)
    per_line = (behind.seconds - 1.2 * alone.seconds) / lines * 1e6
    sys.stdout.write(f"{per_line:.2f} µs a line beyond 1.2 times of what they take alone (at most 10)\n")


def _say(what: str, run: Measured) -> None:
    sys.stdout.write(
        f"{what}: {run.seconds:.2f} s, {run.cpu:.2f} s of CPU, {run.memory / 2**20:.0f} MiB at the most, "
        f"{run.slow:,} answers of the slow host\n"
    )


if __name__ == "__main__":
    main()
