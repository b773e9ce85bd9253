"""Programs that are started once for what their start costs: an import, a help text, one URL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.clients.base import Command, missing_module
from tests.benchmarks.load import Load, Received

__all__ = ["Once"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A program that is right when its stdout is.

    Attributes:
        argv: makes its arguments for a load.
        says: makes what must be in its stdout.
        needs: what must be importable.
    """

    key: str
    title: str
    argv: Callable[[Load], list[str]]
    says: Callable[[Load], str] = lambda _: ""
    needs: tuple[str, ...] = ()
    share: float = 1.0
    runs_for_a_time: bool = False

    def missing(self) -> str:
        return missing_module(*self.needs)

    def command(self, load: Load, folder: Path) -> Command:
        return Command(self.argv(load))

    def received(self, load: Load, folder: Path) -> Received:
        return Received(1, int(self.says(load) in (folder / "stdout").read_text()))
