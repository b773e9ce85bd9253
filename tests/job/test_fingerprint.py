from __future__ import annotations

import random

import pytest

from asyncfetch.job.fingerprint import Covered, Fingerprint, InputDiffers
from asyncfetch.job.lines import Line


def entries(number: int) -> list[Line]:
    return [Line(n, f"http://a/{n}", "") for n in range(1, number + 1)]


def fed(lines: list[Line], expected: Covered | None = None, pieces: int = 700) -> Fingerprint:
    fingerprint = Fingerprint(expected)
    for start in range(0, len(lines), pieces):
        fingerprint.feed("list", start + 1, lines[start : start + pieces])
    return fingerprint


@pytest.mark.parametrize("number", [0, 1, 999, 1000, 1001, 2000, 2345])
def test_pieces_do_not_matter(number: int) -> None:
    """However the input comes, block by block or line by line, its fingerprint is the same."""
    lines = entries(number)
    assert fed(lines, pieces=1).covered == fed(lines).covered == fed(lines, pieces=5000).covered
    assert fed(lines).covered.entries == number
    assert len(fed(lines).covered.blocks) == 16 * (number // 1000)


@pytest.mark.parametrize("number", [1, 999, 1000, 1001, 2000, 2345])
def test_the_same_and_more(number: int) -> None:
    """The same input passes, also when it has grown; what comes twice is taken once."""
    fingerprint = fed(entries(3000), fed(entries(number)).covered)
    assert not fingerprint.is_checking
    assert fingerprint.covered == fed(entries(3000)).covered
    fingerprint.feed("list", 1, entries(2500))
    fingerprint.feed("list", 2001, entries(3500)[2000:])
    assert fingerprint.covered == fed(entries(3500)).covered


@pytest.mark.parametrize("number", [1, 999, 1000, 1001, 2000, 2345])
def test_any_other_entry_is_seen(number: int) -> None:
    """One entry that differs, anywhere in what was read, is among those named; a later one is not compared."""
    expected = fed(entries(number)).covered
    for position in {1, number, *random.Random(number).sample(range(1, number + 1), min(number, 20))}:
        lines = entries(3000)
        lines[position - 1] = Line(position, "http://b/", "")
        with pytest.raises(InputDiffers) as caught:
            fed(lines, expected)
        named = [index for index, _, _ in caught.value.entries]
        assert position in named
        assert len(named) <= 1000
        assert named == list(range(named[0], named[-1] + 1))
    lines = entries(3000)
    lines[number] = Line(number + 1, "http://b/", "")
    assert fed(lines, expected).count == 3000


def test_odd_text() -> None:
    """Text that is no good Unicode has a fingerprint, too."""
    assert fed([Line(1, "http://\udcff/", "")]).covered != fed([Line(1, "http://\udcfe/", "")]).covered
