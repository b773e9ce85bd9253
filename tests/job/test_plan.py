from __future__ import annotations

import pytest

from asyncfetch.job.plan import HostPlan, Pace, Plan, Planner, Reason
from asyncfetch.job.sources import Place
from asyncfetch.result import Request
from asyncfetch.settings import HostSettings, Limits, Politeness

PACE = Pace(seconds=0.5, limits=Limits(total=100, per_host=6))


def plan_of(*entries: str | Request, pace: Pace = PACE) -> Plan:
    with Planner(pace) as planner:
        planner.add(
            [Request(e, i, context=Place("l", i)) if isinstance(e, str) else e for i, e in enumerate(entries, 1)]
        )
        return planner.plan()


def test_the_slowest_host_decides() -> None:
    """One host with nine of ten URLs takes its time, however many the others are."""
    big = [f"http://big/{n}" for n in range(900)]
    small = [f"http://h{n}/" for n in range(100)]
    plan = plan_of(*big, *small)
    assert plan.hosts[0] == HostPlan("big:80", 900, 75.0)
    assert (plan.requests, plan.host_count, plan.duplicates) == (1000, 101, 0)
    assert (plan.seconds, plan.decider) == (75.0, "host")
    assert plan.sizes == [(1, 100, 100), (100, 1, 900)]
    assert len(plan.hosts) == 20


@pytest.mark.parametrize(
    ("requests", "total", "per_host", "seconds"),
    [(1, 100, 6, 0.5), (6, 100, 6, 0.5), (7, 100, 6, 1.0), (60, 2, 6, 15.0)],
)
def test_the_time_of_a_host(requests: int, total: int, per_host: int, seconds: float) -> None:
    """Requests to a host go side by side as far as both limits allow."""
    assert Pace(seconds=0.5, limits=Limits(total=total, per_host=per_host)).of_host("h:80", requests) == seconds


@pytest.mark.parametrize(
    ("politeness", "seconds"),
    [
        (Politeness(rate=2), 50.0),
        (Politeness(delay=1), 99.5),
        (Politeness(rate=2, delay=1), 99.5),
        (Politeness(rate=1000, delay=0.001), 8.5),
    ],
)
def test_the_pace_of_a_host(politeness: Politeness, seconds: float) -> None:
    """A host that is asked only so often takes that long, though more could be in flight."""
    pace = Pace(seconds=0.5, limits=Limits(total=100, per_host=6), politeness=politeness)
    assert pace.of_host("h:80", 100) == seconds


def test_hosts_with_settings_of_their_own() -> None:
    """The host that takes longest stands first, which need not be the one with the most URLs."""
    own = {"slow:80": HostSettings(rate=0.1, delay=0), "fast:80": HostSettings(per_host=50, rate=None)}
    pace = Pace(seconds=1, limits=Limits(), politeness=Politeness(delay=0), own=own.get)
    plan = plan_of(*["http://fast/"] * 100, *["http://slow/"] * 5, *["http://other/"] * 12, pace=pace)
    assert plan.hosts == [
        HostPlan("slow:80", 5, 41.0),
        HostPlan("fast:80", 100, 2.0),
        HostPlan("other:80", 12, 2.0),
    ]
    assert (plan.seconds, plan.decider) == (41.0, "host")


def test_the_rate_over_all() -> None:
    """It holds for all requests together; the first one waits for nobody."""
    pace = Pace(seconds=0.5, limits=Limits(), politeness=Politeness(global_rate=4))
    assert (pace.of_all(100), pace.of_host("h:80", 100)) == (25.25, 8.5)
    seldom = Pace(seconds=0.5, limits=Limits(), politeness=Politeness(global_rate=1 / 60))
    assert (seldom.of_all(1), seldom.of_all(0), seldom.of_all(3)) == (0.5, 0.0, 120.5)


@pytest.mark.parametrize(
    ("global_rate", "hosts", "decider"),
    [(None, 1, "host"), (None, 50, "places"), (100, 50, "places"), (1, 50, "rate"), (1, 1, "host")],
)
def test_who_decides(global_rate: float | None, hosts: int, decider: str) -> None:
    """The slowest host, the number of requests at once, or the rate over all: whichever takes longest."""
    pace = Pace(
        seconds=2,
        limits=Limits(total=10, per_host=6),
        politeness=Politeness(global_rate=global_rate, delay=5 if hosts == 1 else 0),
    )
    assert plan_of(*[f"http://h{n % hosts}/{n}" for n in range(50)], pace=pace).decider == decider


def test_the_limit_over_all_decides() -> None:
    """Many small hosts take what the number of requests at once takes."""
    plan = plan_of(*[f"http://h{n}/" for n in range(50)], pace=Pace(seconds=2, limits=Limits(total=10, per_host=6)))
    assert (plan.seconds, plan.decider) == (10.0, "places")


def test_duplicates_are_those_that_ask_for_the_same() -> None:
    """They are counted, and are requests all the same."""
    plan = plan_of("http://a/", "http://A#x", "http://a/?", "http://a/", "http://b/")
    assert (plan.requests, plan.duplicates, plan.host_count) == (5, 2, 2)


def test_what_is_invalid_by_reason() -> None:
    """What is quoted does not make another reason; the most frequent stands first, with its first place."""
    plan = plan_of("one", "http://a/", "htp://x/", Request("", 9, invalid="the row has no URL"), "it's", "three")
    assert plan.invalid == [
        Reason("'...' is not a URL: it has no scheme such as https://", 3, "l, line 1"),
        Reason("the scheme '...' is not http or https; did you mean http://?", 1, "l, line 3"),
        Reason("the row has no URL", 1, "argument 9"),
    ]
    assert plan.requests == 1


def test_reasons_are_bounded() -> None:
    """A list in which each row is bad in its own way costs no more than a thousand reasons."""
    with Planner(PACE) as planner:
        planner.add([Request("", n, invalid=f"reason {n}") for n in range(1500)])
        plan = planner.plan()
    assert len(plan.invalid) == 1001
    assert (plan.invalid[0].text, plan.invalid[0].count) == ("other reasons", 500)


def test_an_empty_list() -> None:
    """It takes no time."""
    plan = plan_of()
    assert (plan.requests, plan.hosts, plan.sizes, plan.seconds, plan.decider) == (0, [], [], 0.0, "places")


def test_sizes_of_hosts() -> None:
    """They are 1, 2 to 9, 10 to 99 and so on."""
    counts = [1, 2, 9, 10, 99, 100]
    plan = plan_of(*[f"http://h{index}/{n}" for index, count in enumerate(counts) for n in range(count)])
    assert plan.sizes == [(1, 1, 1), (2, 2, 11), (10, 2, 109), (100, 1, 100)]
