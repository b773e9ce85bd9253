"""Tables in plain columns: the one of words takes what the others leave."""

from __future__ import annotations

import pytest

from asyncfetch.display.layout import Column, laid_out
from asyncfetch.display.marks import ASCII, UNICODE

COLUMNS = [
    Column("name", ["a", "a-very-long-name-that-does-not-fit-everywhere"], words=True),
    Column("count", ["1", "22,000"]),
    Column("kind", ["x", "yy"], rank=1, left=True),
]


def test_numbers_stand_on_the_right_and_words_on_the_left() -> None:
    """With two blanks between columns and none at the end of a line."""
    assert laid_out(COLUMNS, 80, UNICODE).plain.splitlines() == [
        "name                                            count  kind",
        "a                                                   1  x",
        "a-very-long-name-that-does-not-fit-everywhere  22,000  yy",
    ]


@pytest.mark.parametrize(("width", "has_kind"), [(80, True), (40, False), (20, False)])
def test_what_matters_least_is_left_out(width: int, has_kind: bool) -> None:
    """Where words have no room, columns with a rank go first; then the words are shortened."""
    lines = laid_out(COLUMNS, width, UNICODE).plain.splitlines()
    assert ("kind" in lines[0]) is has_kind
    assert max(map(len, lines)) <= width
    assert all("22,000" in line for line in lines[2:])


def test_words_are_harmless() -> None:
    """What foreigners have written cannot act, in any encoding."""
    column = Column("name", ["\x1b[2J\xfc"], words=True)
    assert laid_out([column], 80, UNICODE).plain == "name\n\\x1b[2J\xfc"
    assert laid_out([column], 80, ASCII).plain == "name\n\\x1b[2J\\xfc"
