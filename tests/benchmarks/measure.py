"""One run of one client: its cost as the kernel counts it, and whether it received what it should.

And what many runs come to: medians, spreads, and ratios of the pairs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.benchmarks.clients.base import Command
from tests.benchmarks.lab import Contender, Lab
from tests.benchmarks.load import Load, Received
from tests.benchmarks.servers import ROOT

__all__ = ["Cost", "Run", "RunFailed", "run_contender", "run_empty", "spread"]

_SPAWN = Path(__file__).with_name("spawn.py")
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color", "PYTHONWARNINGS": "ignore"}
_NOT_PASSED_ON = (
    "_proxy",
    "pythonpath",
    "pythonasynciodebug",
    "pythondontwritebytecode",  # whoever has installed a package does not compile it at every start
    "pythondevmode",
    "pythonprofileimporttime",
    "coverage_process_config",
)
_LAST_WORDS = 300


class RunFailed(Exception):
    """A client did not end well, or did not receive what it should have."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process used.

    Attributes:
        wall: seconds from its start to its end.
        cpu: seconds, user and system, of all its threads.
        peak: bytes of memory, at the most.
    """

    wall: float
    cpu: float
    peak: int


@dataclass(frozen=True, slots=True)
class Run:
    """A run whose answers were all right.

    Attributes:
        cost: of the process.
        fetched: URLs.
        size: decoded bytes of all bodies.
        tenths: seconds of CPU after each tenth of the list, if the client says so.
    """

    cost: Cost
    fetched: int
    size: int
    tenths: tuple[float, ...] = ()


def run_contender(lab: Lab, contender: Contender, *, patience: float) -> Run:
    """Run a client on its load and check what it received.

    Raises:
        RunFailed: it did not end well within `patience` seconds, or not all it received is right.
    """
    client, load = contender.client, contender.load
    with tempfile.TemporaryDirectory(prefix="run-", dir=_place(lab, load)) as name:
        folder = Path(name)
        if load.on_disk:
            os.sync()  # what the last run wrote must not slow this one down
        cost, status = _run_command(lab, client.command(load, folder), folder, patience)
        if status != 0:
            raise RunFailed(f"ended with status {status}: {_last_words(folder)}")
        try:
            received = client.received(load, folder)
        except (OSError, ValueError) as error:
            raise RunFailed(f"left nothing that can be checked: {error}") from error
    _check(received, load, runs_for_a_time=client.runs_for_a_time)
    return Run(cost, received.fetched, received.fetched * load.size, received.tenths)


def run_empty(lab: Lab, contender: Contender, *, patience: float) -> Cost:
    """Run a client without any URL: what its start and its end cost."""
    if contender.client.runs_for_a_time:
        return Cost(0.0, 0.0, 0)
    with tempfile.TemporaryDirectory(prefix="run-", dir=_place(lab, contender.load)) as name:
        command = contender.client.command(contender.load.emptied(lab.empty_list), Path(name))
        return _run_command(lab, command, Path(name), patience)[0]


def _place(lab: Lab, load: Load) -> Path:
    return lab.disk if load.on_disk else lab.memory


def _check(received: Received, load: Load, *, runs_for_a_time: bool) -> None:
    """See that every answer came, and every one right."""
    expected = received.fetched if runs_for_a_time else load.count
    if received.fetched != expected or received.right != expected or not expected:
        raise RunFailed(
            f"of {expected} URLs {received.fetched} were fetched and {received.right} are right: "
            f"status 200 and {load.size} bytes"
        )


def _run_command(lab: Lab, command: Command, folder: Path, patience: float) -> tuple[Cost, int]:
    """Run a command to its end; return its cost and its exit status, negative if a signal ended it."""
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith(_NOT_PASSED_ON)}
    order = {
        "argv": command.argv,
        "core": lab.cores.client,
        "environment": environment | _ENVIRONMENT,
        "on_terminal": command.on_terminal,
        "patience": patience,
        "stdout": str(folder / "stdout"),
        "stderr": str(folder / "stderr"),
    }
    argv = [sys.executable, "-I", "-S", str(_SPAWN), json.dumps(order)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True) as spawner:
        try:
            said = json.loads(spawner.communicate()[0])
        except BaseException:
            os.killpg(spawner.pid, signal.SIGKILL)  # the client with it
            raise
    return Cost(said["wall"], said["cpu"], said["peak"]), said["status"]


def _last_words(folder: Path) -> str:
    try:
        return (folder / "stderr").read_text(errors="replace").strip()[-_LAST_WORDS:] or "it said nothing"
    except OSError:
        return "it said nothing"


def spread(values: Sequence[float]) -> float:
    """Return half the range of some values, as a part of their median."""
    middle = median(values)
    return (max(values) - min(values)) / 2 / middle if middle else 0.0
