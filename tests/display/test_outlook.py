"""What a list would be to fetch, as tables and as a dict."""

from __future__ import annotations

import io
import json
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console

from asyncfetch.display.outlook import (
    HostShare,
    InvalidShare,
    Outlook,
    SizeShare,
    outlook_json,
    outlook_tables,
)

SKEWED = Outlook(
    requests=1000,
    duplicates=7,
    left_out=3,
    sitemaps=0,
    invalid=[InvalidShare("the row has no URL", 2, "urls.csv, line 17")],
    hosts=[HostShare("big.example:443", 900, 75.0), HostShare("small.example:8080", 5, 0.5)],
    host_count=21,
    sizes=[SizeShare(1, 0, 0), SizeShare(2, 20, 100), SizeShare(100, 1, 900)],
    seconds=75.0,
    decider="host",
    assumed=(0.5, 100, 6),
)
EMPTY = Outlook(
    requests=0, duplicates=0, left_out=0, sitemaps=0, invalid=[], hosts=[], host_count=0, sizes=[], seconds=0.0,
    decider="places", assumed=(0.5, 100, 6),
)  # fmt: skip

ASSUMED = (
    "100 at once (-j), 6 to one host (--max-per-host); assumed: 0.5 s a request (--seconds-per-request), "
    "no failures, no pauses"
)


class Latin(io.StringIO):
    encoding = "latin-1"


def drawn(outlook: Outlook, width: int = 100, file: io.StringIO | None = None) -> str:
    return outlook_tables(outlook, Console(width=width, file=file or io.StringIO())).plain


def changed(**fields: Any) -> Outlook:
    return msgspec.structs.replace(SKEWED, **fields)


def test_a_skewed_list() -> None:
    """Counts, hosts with shares and times, sizes, reasons, and at the end the time and what it is computed from."""
    assert drawn(SKEWED).splitlines() == [
        "1,005 entries: 1,000 URLs on 21 hosts, 2 invalid, 7 duplicates, 3 left out",
        "",
        "host                URLs  share                          least time",
        "big.example          900   90 %  ━━━━━━━━━━━━━━━━━━━━━━    1 m 15 s",
        "small.example:8080     5  < 1 %  ━                              1 s",
        "and 19 more hosts",
        "",
        "URLs of a host  hosts  their URLs  share",
        "1                   0           0  < 1 %  ━",
        "2 to 9             20         100   10 %  ━━",
        "100 to 999          1         900   90 %  ━━━━━━━━━━━━━━━━━━━━━━",
        "",
        "invalid  why",
        "      2  the row has no URL",
        "           first: urls.csv, line 17",
        "",
        "least time: 1 m 15 s, decided by big.example with 900 URLs",
        ASSUMED,
    ]


def test_what_says_nothing_is_not_said() -> None:
    """One host has no sizes to compare; without entries there is one line."""
    one = changed(host_count=1, hosts=SKEWED.hosts[:1], invalid=[], duplicates=0, left_out=0, decider="places")
    assert "URLs of a host" not in drawn(one)
    assert drawn(one).startswith("1,000 entries: 1,000 URLs on 1 host\n")
    assert "least time: 1 m 15 s, decided by the number of requests at once\n" in drawn(one)
    assert "least time: 1 m 15 s, decided by the rate over all hosts\n" in drawn(changed(decider="rate"))
    assert drawn(EMPTY) == "0 entries: 0 URLs on 0 hosts"


@pytest.mark.parametrize("width", [20, 40, 60, 100])
def test_tables_fit(width: int) -> None:
    """In a narrow terminal bars and shares are left out, and names are shortened; the numbers stay."""
    lines = drawn(SKEWED, width).splitlines()
    tables = [line for line in lines[1:-2] if "more host" not in line]
    assert max(map(cell_len, tables)) <= max(width, 36)
    assert any("900" in line for line in tables)


def test_foreign_text_is_harmless() -> None:
    """Neither the names of hosts nor those of files, nor reasons, can act on a terminal."""
    evil = "\x1b[2J\u202eevil"
    outlook = changed(
        hosts=[HostShare(f"{evil}:443", 1000, 75.0)], invalid=[InvalidShare(evil, 2, f"{evil}, line 1")]
    )
    text = drawn(outlook)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert text.count(r"\x1b[2J\u202eevil") == 4


def test_terminals_of_another_encoding() -> None:
    """They get bars and names that they can show."""
    text = drawn(changed(hosts=[HostShare("bücher.example:443", 1000, 75.0)]), file=Latin())
    assert "########" in text
    assert all(line.isascii() for line in text.splitlines())


def test_many_reasons() -> None:
    """The most frequent ten are shown, the rest is counted."""
    text = drawn(changed(invalid=[InvalidShare(f"reason {n}", 1, "x") for n in range(25)]))
    assert "reason 9\n" in text
    assert "reason 10" not in text
    assert "\nand 15 more reasons\n" in text


def test_further_limits() -> None:
    """What else decides on the time is named."""
    text = drawn(changed(limits=["2/s at one host (--rate)"]))
    assert "6 to one host (--max-per-host), 2/s at one host (--rate); assumed: " in text


def test_for_programs() -> None:
    """The dict is JSON and has everything, numbers as numbers; its keys are a contract."""
    got = outlook_json(SKEWED)
    assert json.loads(json.dumps(got)) == got
    assert list(got) == [
        "entries", "requests", "duplicates", "left_out", "sitemaps", "invalid", "host_count", "hosts", "more_hosts",
        "sizes", "least_seconds", "decided_by", "assumed", "limits",
    ]  # fmt: skip
    assert got["hosts"][0] == {"host": "big.example:443", "requests": 900, "share": 0.9, "least_seconds": 75.0}
    assert got["invalid"] == [{"reason": "the row has no URL", "count": 2, "example": "urls.csv, line 17"}]
    assert (got["entries"], got["more_hosts"], got["decided_by"]) == (1005, 19, "big.example:443")
    assert outlook_json(EMPTY)["decided_by"] == "jobs"
    assert outlook_json(changed(decider="rate"))["decided_by"] == "global-rate"
