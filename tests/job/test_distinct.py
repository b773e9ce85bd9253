from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from asyncfetch.job.distinct import Distinct, Tally


@pytest.mark.parametrize("in_memory", [10**9, 1000])
def test_different_digests_are_counted(in_memory: int) -> None:
    """Exactly, in memory as well as on the disk."""
    draw = random.Random(1)
    digests = [draw.randrange(700).to_bytes(2, "little") + b"x" for _ in range(5000)]
    with Distinct(3, in_memory) as distinct:
        assert distinct.count() == 0
        for digest in digests:
            distinct.add(digest)
        assert distinct.count() == len(set(digests))
        assert distinct.count() == len(set(digests))


@pytest.mark.parametrize("in_memory", [10**9, 50])
def test_names_are_counted(in_memory: int) -> None:
    """Each name has its number, whether the counts fit into memory or not."""
    draw = random.Random(2)
    names = [f"h{int(draw.paretovariate(0.5))}.example:443" for _ in range(5000)]
    with Tally(in_memory) as tally:
        assert dict(tally.items()) == {}
        for name in names:
            tally.add(name)
        got = list(tally.items())
    assert len(got) == len(dict(got))
    assert dict(got) == Counter(names)


def test_nothing_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary files have no names, also while they are used."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Distinct(3, 9) as distinct:
        for number in range(100):
            distinct.add(number.to_bytes(3, "little"))
        assert distinct._files
        assert list(tmp_path.iterdir()) == []


def test_memory_is_given_back() -> None:
    """What went to the disk is not in memory any more."""
    with Distinct(4, 4000) as distinct, Tally(100) as tally:
        for number in range(10_000):
            distinct.add(number.to_bytes(4, "little"))
            tally.add(f"h{number}")
        assert sum(map(len, distinct._parts)) < 4000
        assert len(tally._counts) <= 100
        assert (distinct.count(), len(dict(tally.items()))) == (10_000, 10_000)
