"""`python -m tests.benchmarks`: asyncfetch and its peers side by side, on servers of its own."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.clients.every import CLIENTS, PEERS
from tests.benchmarks.cores import Cores, on_core
from tests.benchmarks.lab import Lab
from tests.benchmarks.report import as_json, describe_machine, describe_outcome, missing_clients
from tests.benchmarks.servers import ServerFailed
from tests.benchmarks.suite import Outcome, Suite
from tests.benchmarks.workloads import WORKLOADS, Workload

_DISK = "/var/tmp"  # unlike /tmp, it is never in memory


def main() -> int:
    """Run what the command line asks for; return 0, 1 if a client failed, or 2 if a server did."""
    options = _parse()
    if options.list:
        sys.stdout.write(_describe_all())
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end, too
    try:
        return _run(options)
    except ServerFailed as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name workloads and clients, and what is missing")
    parser.add_argument("--workloads", nargs="+", metavar="NAME", choices=list(WORKLOADS), help="these only")
    parser.add_argument(
        "--peers", nargs="*", metavar="NAME", choices=PEERS, default=PEERS, help="these only; without a NAME, none"
    )
    parser.add_argument("--repeats", type=int, default=5, help="runs of each client in each workload (5)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for the length of the lists (1)")
    parser.add_argument("--patience", type=float, default=3600.0, help="seconds that one run may take (3600)")
    parser.add_argument("--disk", type=Path, default=Path(_DISK), help=f"a folder on a disk ({_DISK})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    return parser.parse_args()


def _describe_all() -> str:
    lines = ["workloads:"]
    lines += [f"  {w.name:<15}{w.title}{' (only if named)' if w.opt_in else ''}" for w in WORKLOADS.values()]
    lines += ["clients:"]
    for client in CLIENTS.values():
        missing = client.missing()
        lines.append(f"  {client.key:<18}{client.title}{f': missing, {missing}' if missing else ''}")
    return "\n".join(lines) + "\n"


def _run(options: argparse.Namespace) -> int:
    cores, machine = Cores.choose(), describe_machine()
    _say(f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}")
    _say(", ".join(f"{name} {number}" for name, number in machine["versions"].items()))
    _say(str(cores))
    if options.scale != 1:
        _say(f"lists, and the large body, are {options.scale:g} times as long as is said below")
    _say("")
    with Lab.opened(cores=cores, scale=options.scale, disk=options.disk) as lab, on_core(cores.server):
        suite = Suite(
            lab, repeats=options.repeats, peers=options.peers, patience=options.patience, say=_report_progress
        )
        outcomes = [_run_workload(suite, workload) for workload in _chosen(options.workloads)]
    for name, problem in missing_clients(outcomes).items():
        _say(f"missing: {name}: {problem}")
    if options.json is not None:
        settings = {"repeats": options.repeats, "scale": options.scale, "cores": str(cores)}
        options.json.write_text(json.dumps(as_json(outcomes, machine, settings), indent=1) + "\n")
    return int(any(series.failed for outcome in outcomes for series in outcome.series))


def _chosen(names: list[str] | None) -> list[Workload]:
    if names is None:
        return [workload for workload in WORKLOADS.values() if not workload.opt_in]
    return [WORKLOADS[name] for name in names]


def _run_workload(suite: Suite, workload: Workload) -> Outcome:
    outcome = suite.run(workload, os.getloadavg()[0])
    _say(describe_outcome(outcome) + "\n")
    return outcome


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _report_progress(text: Any) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}\r")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
