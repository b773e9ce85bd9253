"""The protocol of a client: what starts it, and what it received. One module here for each program."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from tests.benchmarks.load import Load, Received

__all__ = ["SAVED", "Client", "Command", "missing_module", "missing_program", "received_files"]

SAVED = "saved"  # the folder of the bodies, below that of the run


@dataclass(frozen=True, slots=True)
class Command:
    """How to start a client for one run.

    Attributes:
        argv: the program and its arguments.
        on_terminal: its stderr is a terminal.
    """

    argv: list[str]
    on_terminal: bool = False


class Client(Protocol):
    """A program that fetches a list; each run is a process of its own."""

    @property
    def key(self) -> str:
        """What `--peers` calls it."""
        ...

    @property
    def title(self) -> str:
        """What the table calls it."""
        ...

    @property
    def share(self) -> float:
        """Which part of a workload's list it gets: less than 1 for the slow ones, all figures being per URL."""
        ...

    @property
    def runs_for_a_time(self) -> bool:
        """It fetches for some seconds, however many that makes, and not a list."""
        ...

    def missing(self) -> str:
        """Say what it lacks to run here, or nothing."""
        ...

    def command(self, load: Load, folder: Path) -> Command:
        """Prepare a run; `folder` is its own and empty, and stdout and stderr go into files of that name there."""
        ...

    def received(self, load: Load, folder: Path) -> Received:
        """Say what the run that has ended received.

        Raises:
            OSError: it left nothing to read.
            ValueError: what it left cannot be read.
        """
        ...


def missing_program(name: str, package: str) -> str:
    return "" if shutil.which(name) else f"no {name} in PATH (Debian: {package})"


def missing_module(*names: str) -> str:
    absent = [name for name in names if find_spec(name) is None]
    return f"not installed: {' '.join(absent)} (pip install {' '.join(absent)})" if absent else ""


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def received_files(load: Load, folder: Path) -> Received:
    """Count the files below the folder of the bodies, and those of the right length."""
    sizes = [path.stat().st_size for path in (folder / SAVED).rglob("*") if path.is_file()]
    return Received(len(sizes), sizes.count(load.size))
