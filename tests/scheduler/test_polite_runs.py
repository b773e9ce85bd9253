"""Thousands of random runs with everything on, and a clock that jumps: what holds in each of them.

Hosts answer, refuse, fail and are silent by chance. Whatever happens: limits and rates are never exceeded, a paused
host gets nothing, a broken one only probes, and every turn comes out exactly once for each time that it was queued.
"""

from __future__ import annotations

from random import Random

import pytest

from asyncfetch.scheduler import ANSWERED, CANCELLED, FAILED, SILENT, Frontier, Manners, Outcome, Turn
from asyncfetch.settings import HostSettings, Limits
from asyncfetch.stats import HostState

HOSTS = ("a:80", "b:80", "c:80")
_FAR = 1e9


class Numbered(Turn, eq=False, kw_only=True):
    """A turn that knows how often it has come out."""

    wanted: int
    times: int = 0


class PoliteRun:
    """One random run."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.now = 1000.0
        self.total, self.rate = rng.randint(1, 12), rng.choice([None, None, 5.0, 50.0])
        self.manners = {key: self.some_manners() for key in HOSTS}
        special = {
            key: HostSettings(per_host=m.most, rate=m.rate, delay=m.delay) for key, m in self.manners.items()
        }
        self.frontier: Frontier[Numbered] = Frontier(
            Limits(total=self.total), Random(seed), manners=self.manners[HOSTS[0]], rate=self.rate, own=special.get
        )
        self.moods = {key: rng.choice(["fine", "busy", "dead", "mixed"]) for key in HOSTS}
        self.flying: list[Numbered] = []
        self.starts: dict[str, list[float]] = {key: [] for key in ("", *HOSTS)}
        lanes = [self.frontier.lane() for _ in range(rng.randint(1, 3))]
        self.turns = [
            Numbered(rng.choice(HOSTS), rng.choice(lanes), wanted=rng.randint(1, 3))
            for _ in range(rng.randint(1, 60))
        ]
        for turn in self.turns:
            self.frontier.add(turn)

    def some_manners(self) -> Manners:
        rng = self.rng
        return Manners(
            rng.randint(1, 8),
            rate=rng.choice([None, 2.0, 40.0]),
            delay=rng.choice([0.0, 0.0, 0.7]),
            adapt=True,
            failures=rng.choice([None, 1, 3]),
            probes=rng.choice([(), (1.0, 2.0)]),
            rest=5.0,
        )

    def take(self) -> None:
        before = {key: (host.paused_until, host.state, host.limit) for key, host in self.frontier.hosts.items()}
        while (turn := self.frontier.take(self.now)) is not None:
            paused_until, state, limit = before.get(turn.host, (0.0, HostState.OK, _FAR))
            assert paused_until <= self.now, "a paused host gets nothing"
            self.flying.append(turn)
            at_once = sum(other.host == turn.host for other in self.flying)
            assert len(self.flying) <= self.total
            assert at_once <= self.manners[turn.host].most
            assert at_once <= max(limit, self.frontier.host(turn.host).limit)
            if turn.load and state is HostState.BROKEN:
                assert limit > 1 or at_once == 1, "a broken host gets single probes"
            if turn.load:
                self.starts[turn.host].append(self.now)
            self.starts[""].append(self.now)
            host = self.frontier.hosts[turn.host]
            before[turn.host] = (host.paused_until, host.state, host.limit)

    def outcome(self, host: str) -> Outcome:
        chance = {
            "fine": [ANSWERED] * 9 + [CANCELLED],
            "busy": [
                ANSWERED,
                Outcome("throttled", None, "429s"),
                Outcome("throttled", 2.0),
                Outcome("asked", 1.0),
            ],
            "dead": [SILENT],
            "mixed": [ANSWERED, FAILED, SILENT, Outcome("busy", None, "503s"), CANCELLED],
        }
        return self.rng.choice(chance[self.moods[host]])

    def finish(self) -> None:
        turn = self.flying.pop(self.rng.randrange(len(self.flying)))
        turn.times += 1
        outcome = self.outcome(turn.host) if turn.load else CANCELLED
        self.frontier.finished(turn.host, outcome, self.now, turn)
        if turn.times < turn.wanted:
            if self.rng.random() < 0.3:
                self.frontier.add_later(turn, self.now + self.rng.random())
            else:
                self.frontier.add(turn, front=True)

    def run(self) -> None:
        """Go on until everything has come out; what takes for ever has been forgotten by the frontier."""
        for _ in range(20_000):
            self.take()
            if self.flying and self.rng.random() < 0.7:
                self.finish()
                self.now += self.rng.choice([0.0, 0.001, 0.05])
            else:
                wake_at = self.frontier.wake_at()
                if wake_at is None and not self.flying:
                    break
                if wake_at is not None:
                    self.now = max(self.now, wake_at)
                self.now += self.rng.choice([0.0, 0.0, 0.003, 300.0 * (self.rng.random() < 0.05)])
        assert [turn.times for turn in self.turns] == [turn.wanted for turn in self.turns]
        assert not self.frontier.hosts
        assert self.frontier.in_flight == 0
        self.check_rates()

    def check_rates(self) -> None:
        for key, starts in self.starts.items():
            if key:
                manners = self.manners[key]
                interval = max(manners.delay, 1.0 / manners.rate if manners.rate else 0.0)
            else:
                interval = 1.0 / self.rate if self.rate else 0.0
            if not interval:
                continue
            for first, start in enumerate(starts):
                for last in range(first + 1, min(first + 30, len(starts))):
                    allowed = (starts[last] - start + 0.005) / interval + 1
                    assert last - first + 1 <= allowed + 1e-6, f"{key or 'all'}: too fast"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_random_runs_keep_every_promise(part: int) -> None:
    """Four hundred in each part, by seed."""
    for seed in range(part * 400, part * 400 + 400):
        try:
            PoliteRun(seed).run()
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
