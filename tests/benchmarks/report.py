"""What is shown of the outcomes: tables for a person, and everything as JSON."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.benchmarks.goals import Ceiling, Goal
from tests.benchmarks.measure import spread
from tests.benchmarks.servers import NGINX
from tests.benchmarks.suite import Outcome, Series

__all__ = ["as_json", "describe_machine", "describe_outcome", "missing_clients"]

_MIB = 1024 * 1024
_PACKAGES = ("asyncfetch", "uvloop", "aiohttp", "httpx", "pyreqwest", "zlib-ng")
_PROGRAMS = {
    "nginx": (NGINX or "nginx", "-v"),
    "curl": ("curl", "-V"),
    "aria2": ("aria2c", "-v"),
    "wrk": ("wrk", "-v"),
}
_WIDTHS = (5, 9, 10, 6, 10, 6, 6, 8, 8)


def describe_machine() -> dict[str, Any]:
    """Return what a figure means nothing without: machine, versions, load."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "versions": dict(_versions()),
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor()


def _versions() -> Iterator[tuple[str, str]]:
    for package in _PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield package, "missing"
    for name, argv in _PROGRAMS.items():
        if shutil.which(argv[0]) is None:
            yield name, "missing"
            continue
        run = subprocess.run(argv, capture_output=True, text=True, check=False)
        found = re.search(r"\d+(\.\d+)+", run.stdout + run.stderr)
        yield name, found[0] if found else "unknown"


def missing_clients(outcomes: list[Outcome]) -> dict[str, str]:
    """Return the clients that could not take part, and what they lack."""
    return {
        series.contender.label: series.problem
        for outcome in outcomes
        for series in outcome.series
        if series.is_missing
    }


def describe_outcome(outcome: Outcome) -> str:
    """Return the table of one workload, and how its goals were met."""
    workload = outcome.workload
    head = [f"{workload.unit}/s", "±", f"µs/{workload.unit}", "±", "MiB", "rate x", "CPU x"]
    return "\n".join(
        [
            f"{workload.name}: {workload.title}  (load average {outcome.load_average:.2f})",
            _row("client", ["runs", "wall s", *head]),
            *(_describe_series(outcome, series) for series in outcome.series),
            *(f"  {_describe_goal(outcome, goal)}" for goal in workload.goals),
            *(
                ["  - where runs are too short beside the start-up: use a larger --scale"]
                if _any_short(outcome)
                else []
            ),
        ]
    )


def _row(label: str, cells: list[str]) -> str:
    return f"  {label:<35}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=False))


def _describe_series(outcome: Outcome, series: Series) -> str:
    label = series.contender.label
    if not series.figures:
        return f"  {label:<35} {'missing' if series.is_missing else 'FAILED'}: {series.problem}"
    cells = [str(len(series.figures)), f"{series.median('wall'):.3f}"]
    if series.is_short:
        cells += ["-"] * 4
    else:
        rate, cpu = series.median("rate"), series.median("cpu") * 1e6
        cells += [_three_digits(rate), f"{spread(series.values('rate')):.0%}"]
        cells += [_three_digits(cpu), f"{spread(series.values('cpu')):.0%}"]
    cells.append(f"{series.median('memory') / _MIB:.0f}")
    if series is not outcome.series[0]:
        ratios = [outcome.ratio(series, measure) for measure in ("rate", "cpu")]
        cells += ["-" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
    return _row(label, cells) + (f"  FAILED: {series.problem}" if series.problem else "")


def _three_digits(figure: float) -> str:
    return f"{figure:,.{0 if figure >= 100 else 1}f}"


def _any_short(outcome: Outcome) -> bool:
    return any(series.is_short for series in outcome.series)


def _describe_goal(outcome: Outcome, goal: Goal | Ceiling) -> str:
    reached = outcome.reached(goal)
    if isinstance(goal, Ceiling):
        unit = _MIB if goal.measure == "memory" else 1
        figure = "not measured" if reached is None else f"{reached / unit:.3g}"
        return f"{goal.measure} at most {goal.must / unit:g}: {figure}  {_verdict(outcome, goal)}"
    figure = "not measured" if reached is None else f"{reached:.2f}"
    must = "" if goal.must is None else f"must {goal.must:.2f}, "
    return f"{goal.measure} x {goal.peer}: {figure} ({must}aim {goal.aim:.2f})  {_verdict(outcome, goal)}"


def _verdict(outcome: Outcome, goal: Goal | Ceiling) -> str:
    reached = outcome.reached(goal)
    if reached is None:
        return ""
    if isinstance(goal, Ceiling):
        return "met" if reached <= goal.must else "MISSED"
    if reached >= goal.aim:
        return "aim met"
    return "met" if goal.must is not None and reached >= goal.must else "MISSED"


def as_json(outcomes: list[Outcome], machine: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return everything that was measured; times are seconds, sizes are bytes."""
    return {
        "machine": machine,
        "settings": settings,
        "missing": missing_clients(outcomes),
        "workloads": [_outcome_as_json(outcome) for outcome in outcomes],
    }


def _outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.workload.name,
        "title": outcome.workload.title,
        "unit": outcome.workload.unit,
        "load_average": outcome.load_average,
        "clients": [_series_as_json(outcome, series) for series in outcome.series],
        "goals": [
            asdict(goal) | {"reached": outcome.reached(goal), "verdict": _verdict(outcome, goal)}
            for goal in outcome.workload.goals
        ],
    }


def _series_as_json(outcome: Outcome, series: Series) -> dict[str, Any]:
    names = ("wall", "rate", "cpu", "memory", "growth")
    ratios = ("rate", "cpu", "memory") if series is not outcome.series[0] else ()
    return {
        "client": series.contender.label,
        "key": series.contender.client.key,
        "count": series.contender.load.count,
        "problem": series.problem,
        "missing": series.is_missing,
        "start": {"wall": series.start.wall, "cpu": series.start.cpu},
        "runs": [asdict(figures) for figures in series.figures],
        "median": {name: series.median(name) for name in names} if series.figures else {},
        "times_as_good": {name: outcome.ratio(series, name) for name in ratios},
    }
