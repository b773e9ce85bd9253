"""`python -m tests.benchmarks.throttled`: a list at servers that answer 429 when they get too much.

One allows 4 requests at once, of 50 ms each, the other 50 a second. For each client: the time to finish, its start
included, URLs without a good answer, the share of requests that were refused, and answers a second as a part of
what the server allows. The peers have the usual remedies: `curl -Z --retry 10`, and aiohttp with a semaphore and
ten retries, after 1, 2, 4 s and so on.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from asyncfetch.testing import FaultServer, Reply, SeenRequest
from tests.benchmarks.clients.base import missing_module, missing_program, python

__all__ = ["main"]

_SECONDS = 0.05  # that the first server takes for an answer
_AT_ONCE, _A_SECOND = 4, 50
_PATIENCE = 600.0  # seconds


@dataclass
class Throttling:
    """A server's answers.

    Attributes:
        at_once: requests at once that it answers, 0 for any number.
        a_second: requests in any second that it answers, 0 for any number.
        answered, refused: when it did, in seconds.
    """

    at_once: int = 0
    a_second: int = 0
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    busy: int = 0
    recent: deque[float] = field(default_factory=deque)

    @property
    def allowed(self) -> float:
        """Answers a second that it would give."""
        return self.at_once / _SECONDS if self.at_once else float(self.a_second)

    async def __call__(self, request: SeenRequest) -> Reply:
        while self.recent and self.recent[0] <= request.time - 1.0:
            self.recent.popleft()
        if (self.at_once and self.busy >= self.at_once) or (self.a_second and len(self.recent) >= self.a_second):
            self.refused.append(request.time)
            return Reply(429, b"too many requests\n")
        self.recent.append(request.time)
        self.busy += 1
        try:
            await asyncio.sleep(_SECONDS if self.at_once else 0)
        finally:
            self.busy -= 1
        self.answered.append(monotonic())
        return Reply(200, b"x")

    def describe(self, begun: float, urls: int, seconds: float) -> str:
        """Write one row: over all, and from 5 s on."""
        late = [at for at in self.answered if at >= begun + 5]
        late_refused = sum(at >= begun + 5 for at in self.refused)
        share = len(self.refused) / max(1, len(self.answered) + len(self.refused))
        late_share = late_refused / max(1, len(late) + late_refused)
        late_rate = len(late) / (late[-1] - begun - 5) / self.allowed if late and late[-1] > begun + 6 else 0.0
        return (
            f"{seconds:7.1f} s  {urls - len(self.answered):5} lost  {share:6.1%} refused  "
            f"{len(self.answered) / seconds / self.allowed:5.0%} of what it allows;  "
            f"after 5 s {late_share:6.1%} refused, {late_rate:4.0%}"
        )


def _commands(listed: Path, folder: Path) -> dict[str, tuple[list[str], str]]:
    """Return for each client how it is started, and what is missing."""
    configuration = folder / "curl.conf"
    configuration.write_text(
        "".join(f'url = "{url}"\noutput = "/dev/null"\n' for url in listed.read_text().split())
    )
    curl = ["curl", "--disable", "--silent", "--parallel", "--parallel-max", "6", "--retry", "10", "--config"]
    return {
        "asyncfetch get": (
            python("asyncfetch", "get", str(listed), "-o", str(folder / "r.jsonl"), "--overwrite", "-q"),
            "",
        ),
        "curl -Z --retry": ([*curl, str(configuration)], missing_program("curl", "curl")),
        "aiohttp + retries": (
            python("tests.benchmarks.clients.aiohttp_retrying", str(listed)),
            missing_module("aiohttp"),
        ),
    }


def _measure(name: str, make: Callable[[], Throttling], urls: int) -> None:
    for client in ("asyncfetch get", "curl -Z --retry", "aiohttp + retries"):
        throttling = make()
        with (
            tempfile.TemporaryDirectory() as folder,
            FaultServer({"*": throttling}, keep_log=0).in_thread() as server,
        ):
            listed = Path(folder, "urls.txt")
            listed.write_text("".join(server.url(f"/{n}\n") for n in range(urls)))
            argv, missing = _commands(listed, Path(folder))[client]
            if missing:
                sys.stdout.write(f"{name}  {client:18} {missing}\n")
                continue
            begun = monotonic()
            subprocess.run(argv, check=False, stdout=subprocess.DEVNULL, timeout=_PATIENCE)
            row = throttling.describe(begun, urls, monotonic() - begun)
        sys.stdout.write(f"{name}  {client:18} {row}\n")
        sys.stdout.flush()


def main() -> None:
    """Measure all clients at both servers."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.throttled", description=__doc__)
    parser.add_argument("--urls", type=int, default=2000, help="length of the lists (2000)")
    urls = parser.parse_args().urls
    _measure("4 at once  ", lambda: Throttling(at_once=_AT_ONCE), urls)
    _measure("50 a second", lambda: Throttling(a_second=_A_SECOND), urls)


if __name__ == "__main__":
    main()
