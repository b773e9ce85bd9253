"""Run a workload: its clients in turn, again and again, so that a busy minute of the machine hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from statistics import median

from tests.benchmarks.clients.every import PEERS
from tests.benchmarks.goals import Ceiling, Goal
from tests.benchmarks.lab import Contender, Lab
from tests.benchmarks.measure import Cost, Run, RunFailed, run_contender, run_empty
from tests.benchmarks.workloads import Workload

__all__ = ["Figures", "Outcome", "Series", "Suite"]

_MIB = 1024 * 1024
_EMPTY_RUNS = 3
_LEAST = 1e-6  # seconds: what is left of a run that was shorter than a start-up


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run comes to, its start-up taken off.

    Attributes:
        wall: seconds.
        rate: units per second.
        cpu: seconds per unit.
        memory: bytes at the most, start-up included.
        growth: CPU of the last tenth of the list as a multiple of the second's, 0 if it is not known.
    """

    wall: float
    rate: float
    cpu: float
    memory: float
    growth: float


@dataclass(slots=True)
class Series:
    """The runs of one client in one workload.

    Attributes:
        contender: the client and its load.
        problem: why there are no (more) runs: what is missing, or how a run failed.
        is_missing: the problem is that the client is not there.
        start: the median cost of its start-up.
        figures: of each run that was right.
    """

    contender: Contender
    problem: str = ""
    is_missing: bool = False
    start: Cost = field(default_factory=lambda: Cost(0.0, 0.0, 0))
    figures: list[Figures] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.problem) and not self.is_missing

    @property
    def is_short(self) -> bool:
        """Whether its runs are so short beside its start-up that what is left says nothing."""
        return bool(self.figures) and self.median("wall") < self.start.wall / 2

    def values(self, name: str) -> list[float]:
        return [getattr(figures, name) for figures in self.figures]

    def median(self, name: str) -> float:
        return median(self.values(name))

    def is_called(self, name: str) -> bool:
        return name in (self.contender.label, self.contender.client.key)


@dataclass(slots=True)
class Outcome:
    """What came of one workload; ours is the first of the series."""

    workload: Workload
    series: list[Series]
    load_average: float

    def ratio(self, peer: Series, measure: str) -> float | None:
        """Return how many times as good as a peer ours is, the median of the pairs; None if it is not known."""
        pairs = list(zip(self.series[0].values(measure), peer.values(measure), strict=False))
        if not pairs or self.series[0].is_short or peer.is_short:
            return None
        if measure == "rate":
            return median(our / their for our, their in pairs)
        return median(their / our for our, their in pairs)

    def reached(self, goal: Goal | Ceiling) -> float | None:
        """Return the figure that a goal is about, None if it was not measured."""
        if isinstance(goal, Ceiling):
            return self.series[0].median(goal.measure) if self.series[0].figures else None
        peers = [series for series in self.series[1:] if series.is_called(goal.peer)]
        return self.ratio(peers[0], goal.measure) if peers else None


class Suite:
    """Runs workloads in a lab.

    Args:
        lab: the servers and folders.
        repeats: runs of each client in each workload.
        peers: keys of those of `PEERS` that take part.
        patience: seconds that one run may take.
        say: is told what is being done.
    """

    def __init__(
        self,
        lab: Lab,
        *,
        repeats: int,
        peers: Collection[str],
        patience: float,
        say: Callable[[str], object],
    ) -> None:
        self._lab = lab
        self._repeats = repeats
        self._peers = peers
        self._patience = patience
        self._say = say

    def run(self, workload: Workload, load_average: float) -> Outcome:
        """Run one workload.

        Raises:
            ServerFailed: its server does not start.
        """
        ours, *others = workload.enter(self._lab)
        chosen = [c for c in others if c.client.key in self._peers or c.client.key not in PEERS]
        outcome = Outcome(workload, [Series(contender) for contender in (ours, *chosen)], load_average)
        for series in outcome.series:
            series.problem = series.contender.client.missing()
            series.is_missing = bool(series.problem)
        if workload.net:
            self._measure_starts(outcome)
        for turn in range(max(1, round(self._repeats * workload.often))):
            for series in outcome.series:
                if not series.problem:
                    self._say(f"{workload.name}: run {turn + 1}, {series.contender.label}")
                    self._run_once(workload, series)
        return outcome

    def _measure_starts(self, outcome: Outcome) -> None:
        for series in outcome.series:
            if not series.problem:
                self._say(f"{outcome.workload.name}: start-up of {series.contender.label}")
                runs = range(min(_EMPTY_RUNS, self._repeats))
                costs = [run_empty(self._lab, series.contender, patience=self._patience) for _ in runs]
                series.start = Cost(median(c.wall for c in costs), median(c.cpu for c in costs), 0)

    def _run_once(self, workload: Workload, series: Series) -> None:
        try:
            run = run_contender(self._lab, series.contender, patience=self._patience)
        except RunFailed as error:
            series.problem = str(error)
        else:
            series.figures.append(_figures(workload, run, series.start))


def _figures(workload: Workload, run: Run, start: Cost) -> Figures:
    units = run.size / _MIB if workload.unit == "MiB" else run.fetched
    wall = max(_LEAST, run.cost.wall - start.wall)
    cpu = max(_LEAST, run.cost.cpu - start.cpu)
    return Figures(wall, units / wall, cpu / units, run.cost.peak, _growth(run.tenths))


def _growth(tenths: tuple[float, ...]) -> float:
    """Compare the last tenth with the second: the first one opens what all others use."""
    if len(tenths) < 10:
        return 0.0
    first = tenths[1] - tenths[0]
    return (tenths[9] - tenths[8]) / first if first else 0.0
