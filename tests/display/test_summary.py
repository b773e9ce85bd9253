"""What became of all requests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from asyncfetch.display.summary import Ending, Example, Examples, summary_json
from asyncfetch.errors import HeadTimeout, InvalidURL, StatusError
from asyncfetch.stats import Stats

if TYPE_CHECKING:
    from tests.display.conftest import Finish, MakeResult


def test_the_first_result_of_each_code_is_the_example(make_result: MakeResult) -> None:
    """Without its password; results that are ok, and later ones, change nothing."""
    examples = Examples()
    examples.add(make_result("https://example.org/fine"))
    examples.add(make_result("https://me:secret@example.org/1", HeadTimeout("no answer within 30 s")))
    examples.add(make_result("https://example.org/2", HeadTimeout("no answer within 9 s")))
    assert examples.by_code == {"timeout.head": Example("https://***@example.org/1", "no answer within 30 s")}


def test_examples_are_bounded(make_result: MakeResult) -> None:
    """Codes are ours, and few; should there be thousands, memory does not follow."""
    examples = Examples()
    for number in range(1000):
        error = HeadTimeout("no answer")
        error.code = f"code.{number}"
        examples.add(make_result(error=error))
    assert len(examples.by_code) == 100


def test_errors_come_by_number(stats: Stats, finish: Finish) -> None:
    """The most frequent first, with its example if there is one."""
    finish(times=2, error=HeadTimeout("no answer"))
    finish(times=5, error=StatusError(404))
    ending = Ending(stats=stats, seconds=1.0)
    assert ending.errors() == [("http.4xx", 5, None), ("timeout.head", 2, None)]


def test_hosts_are_bounded(finish: Finish, stats: Stats) -> None:
    """Twenty hosts with the most results, five of the slowest, and how many are left out."""
    for number in range(50):
        finish(f"host{number}", 1 + number, latency=0.1 if number != 3 else 5.0)
    stats.host("never reached")
    ending = Ending(stats=stats, seconds=1.0)
    assert [host.key for host in ending.hosts()][:2] == ["host49", "host48"]
    assert (len(ending.hosts()), ending.more_hosts(), len(ending.slowest())) == (20, 31, 5)
    assert ending.slowest()[0][0].key == "host3"


def test_a_job_of_no_time_has_no_rate(stats: Stats) -> None:
    """Nothing is divided by zero."""
    ending = Ending(stats=stats, seconds=0.0)
    assert (ending.rate, ending.bytes_rate) == (0.0, 0.0)


def test_the_same_as_json(stats: Stats, finish: Finish, make_result: MakeResult) -> None:
    """Every fact of the closing tables, as plain values."""
    examples = Examples()
    for url, error in (("https://example.org/x", StatusError(404, "Not Found")), ("htp://x", InvalidURL("no"))):
        result = make_result(url, error, latency=0.1)
        stats.ended(stats.host("example.org:443", 6) if url.startswith("https") else None, result)
        examples.add(result)
    host = finish(times=8, size=1000)
    stats.retried(host, "timeout.head")
    stats.host("unreached:80")
    ending = Ending(stats=stats, seconds=2.0, not_done=None, examples=examples)
    facts = json.loads(json.dumps(summary_json(ending)))
    latency = facts["slowest"][0]["p95"]
    assert facts == {
        "done": 10,
        "ok": 8,
        "failed": 2,
        "not_done": None,
        "bytes": 10_000,
        "received_bytes": 8_000,
        "seconds": 2.0,
        "rate": 5.0,
        "retries": 1,
        "connections": 0,
        "errors": [
            {
                "code": "http.4xx",
                "count": 1,
                "url": "https://example.org/x",
                "message": "the server answered 404 Not Found",
            },
            {"code": "url.invalid", "count": 1, "url": "htp://x", "message": "no"},
        ],
        "hosts": [
            {
                "host": "example.org:443",
                "done": 9,
                "ok": 8,
                "failed": 1,
                "bytes": 9_000,
                "retries": 1,
                "p50": latency,
                "p95": latency,
                "errors": {"http.4xx": 1},
            },
            {
                "host": "unreached:80",
                "done": 0,
                "ok": 0,
                "failed": 0,
                "bytes": 0,
                "retries": 0,
                "p50": None,
                "p95": None,
                "errors": {},
            },
        ],
        "more_hosts": 0,
        "slowest": [{"host": "example.org:443", "p95": latency}],
    }
    assert 0.09 < latency < 0.11


def test_an_error_without_an_example_has_only_its_count(stats: Stats, finish: Finish) -> None:
    """Whoever keeps no examples still gets the numbers."""
    finish(error=HeadTimeout("no answer"))
    facts = summary_json(Ending(stats=stats, seconds=1.0))
    assert facts["errors"] == [{"code": "timeout.head", "count": 1}]
