from __future__ import annotations

import re

from asyncfetch.job.inputs import InputSettings
from asyncfetch.job.lines import Line
from asyncfetch.job.selection import DIGEST, Selection, digest_of
from asyncfetch.url import Url


def lines(*urls: str) -> list[Line]:
    return [Line(number, url, "") for number, url in enumerate(urls, 1)]


def compiled(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(map(re.compile, patterns))


def test_include_and_exclude() -> None:
    """An entry is wanted if any of the one is found in its URL as given, and none of the other."""
    selection = Selection(InputSettings(include=compiled(r"\.txt$", "^ftp:"), exclude=compiled("//b/", "#")))
    urls = ("http://a/x.txt", "http://a/x.html", "ftp://a/", "http://b/x.txt", "http://a/#x.txt")
    assert selection.choose(lines(*urls)) == [True, False, True, False, False]
    assert (selection.kept, selection.left_out) == (2, 3)


def test_what_cannot_be_read_is_wanted() -> None:
    """A bad row has its record whatever the patterns say: nobody else would tell of it."""
    selection = Selection(InputSettings(include=compiled("nothing"), dedupe=True))
    assert selection.choose([Line(1, "", "bad"), Line(2, "", "bad"), Line(3, "http://a/", "")]) == [
        True,
        True,
        False,
    ]


def test_the_limit() -> None:
    """It counts what is wanted; beyond it nothing is looked at."""
    selection = Selection(InputSettings(limit=2, exclude=compiled("b")))
    assert selection.choose(lines("a", "b")) == [True, False]
    assert not selection.is_full
    assert selection.choose(lines("b", "a", "a", "b")) == [False, True]
    assert (selection.is_full, selection.kept, selection.left_out) == (True, 2, 2)
    assert selection.choose(lines("a")) == []


def test_duplicates() -> None:
    """A URL is one that was there before if the same would be asked for: spelling and fragment do not matter."""
    selection = Selection(InputSettings(dedupe=True))
    same = ("http://a/x", "HTTP://A:80/x", "http://a/./x#part", " http://a/x")
    other = ("http://a/x?", "http://a/X", "https://a/x", "http://me@a/x")
    assert selection.choose(lines(*same, *other)) == [True, False, False, False, True, True, True, True]
    assert selection.choose(lines("no URL", "no URL", "nor this")) == [True, False, True]


def test_digests() -> None:
    """They have their length, and tell texts apart that are no good Unicode."""
    assert len(digest_of(Url.parse("http://a/"))) == len(digest_of("x")) == DIGEST
    assert digest_of("\udcff") != digest_of("\udcfe")
