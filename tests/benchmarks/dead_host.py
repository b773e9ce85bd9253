"""A long list of one host that refuses every connection: what ending all of it costs.

`python -m tests.benchmarks.dead_host` fetches such a list in three ways, by turns: with the command, records into a
file; with ten lines on the library that write the same records; and with `curl -Z`, which tries every URL. It
prints the CPU of each process, its start included, as medians. Most of the time the first two wait between probes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

__all__ = ["main"]

_LIBRARY = """
import asyncio, sys
import msgspec, uvloop
from asyncfetch import Client, Record

async def main(source, target):
    encoder = msgspec.json.Encoder()
    with open(source) as urls, open(target, "wb") as records:
        async with Client() as client:
            async for result in client.fetch_many(line.strip() for line in urls):
                records.write(encoder.encode(Record.of(result)) + b"\\n")

uvloop.run(main(*sys.argv[1:]))
"""


def main() -> None:
    """Measure, and print a line for each client."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.dead_host", description=__doc__)
    parser.add_argument("--urls", type=int, default=100_000, help="lines of the list (100000)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each client (5)")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="asyncfetch-bench-"))
    try:
        _run(folder, arguments.urls, arguments.repeats)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, urls: int, repeats: int) -> None:
    with socket.socket() as taken:  # bound, and never listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{taken.getsockname()[1]}"
        source, target, config = folder / "list.txt", folder / "results.jsonl", folder / "curl.txt"
        source.write_text("".join(f"{origin}/{n}\n" for n in range(urls)))
        config.write_text("".join(f'url = "{origin}/{n}"\noutput = "/dev/null"\n' for n in range(urls)))
        command = [sys.executable, "-m", "asyncfetch", "get", str(source), "-o", str(target), "-q", "--overwrite"]
        clients = {
            "asyncfetch get": command,
            "the library": [sys.executable, "-c", _LIBRARY, str(source), str(target)],
        }
        if curl := shutil.which("curl"):
            clients["curl -Z"] = [curl, "-Z", "-s", "--parallel-max", "64", "-K", str(config)]
        costs: dict[str, list[tuple[float, float]]] = {name: [] for name in clients}
        for _ in range(repeats):
            for name, argv in clients.items():
                target.unlink(missing_ok=True)
                costs[name].append(_cost(argv))
                if name != "curl -Z" and target.read_bytes().count(b'"host.unavailable"') < urls - 10:
                    raise SystemExit(f"{name} has not ended every URL as that of a dead host")
    for name, measured in costs.items():
        cpu, wall = (median(values) for values in zip(*measured, strict=True))
        sys.stdout.write(f"{name}: {cpu:.2f} s of CPU for {urls:,} URLs, in {wall:.1f} s\n")


def _cost(argv: list[str]) -> tuple[float, float]:
    """Return the seconds of CPU of a process, and those that it took."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.monotonic()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return usage.ru_utime + usage.ru_stime, time.monotonic() - began


if __name__ == "__main__":
    main()
