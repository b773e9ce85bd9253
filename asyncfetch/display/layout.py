"""Lays out tables in plain columns, as wide as the terminal; foreign text in them is made harmless."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from asyncfetch.display.cells import cell_len
from asyncfetch.display.marks import Marks
from asyncfetch.display.text import harmless
from asyncfetch.display.words import Words

__all__ = ["Column", "laid_out"]

_WORDS_WANTED = 32
_GAP = "  "


class Column(msgspec.Struct, frozen=True):
    """A column of a closing table: its cells are as wide as they need, or take what is left (`words`).

    Attributes:
        title: its heading.
        cells: one for each row.
        style: how its cells look, if they are not `0`.
        rank: in a narrow terminal, columns with the highest rank are left out; 0 never.
        words: foreign text, which is shortened to the cells that are left; one column of a table.
        left: words stand on the left of their column, numbers on the right.
    """

    title: str
    cells: Sequence[str]
    style: str = ""
    rank: int = 0
    words: bool = False
    left: bool = False

    @property
    def width(self) -> int:
        """Cells that it takes."""
        return max(cell_len(text) for text in (self.title, *self.cells))

    @property
    def is_left(self) -> bool:
        """Whether its cells stand on the left."""
        return self.words or self.left

    def within(self, width: int, marks: Marks) -> Column:
        """The same with foreign text made harmless, and not wider than `width`."""
        cells = [harmless(cell, width, cut="middle", ascii_only=marks.ascii_only) for cell in self.cells]
        return msgspec.structs.replace(self, title=self.title[:width], cells=cells)


def laid_out(columns: list[Column], width: int, marks: Marks) -> Words:
    """Lay out columns, the one of words in the cells that the others leave."""
    columns = _fitting(columns, width)
    left = _left_for_words(columns, width)
    fitted = [column.within(left, marks) if column.words else column for column in columns]
    lines = [_line([(column.title, "bold", column) for column in fitted])]
    for cells in zip(*(column.cells for column in fitted), strict=True):
        pairs = zip(cells, fitted, strict=True)
        lines.append(_line([(cell, "" if cell == "0" else column.style, column) for cell, column in pairs]))
    return Words("\n").join(lines)


def _fitting(columns: list[Column], width: int) -> list[Column]:
    """Leave out what matters least until the words have room."""
    wanted = min(_WORDS_WANTED, *(column.width for column in columns if column.words))
    fitting = list(columns)
    while _left_for_words(fitting, width) < wanted:
        least = max(fitting, key=_rank)
        if not least.rank:
            break
        fitting.remove(least)
    return fitting


def _left_for_words(columns: list[Column], width: int) -> int:
    fixed = sum(column.width for column in columns if not column.words)
    return max(1, width - fixed - len(_GAP) * (len(columns) - 1))


def _rank(column: Column) -> int:
    return column.rank


def _line(cells: list[tuple[str, str, Column]]) -> Words:
    line = Words()
    for position, (cell, style, column) in enumerate(cells):
        blanks = " " * (column.width - cell_len(cell))
        line.append(_GAP if position else "")
        line.append(cell + blanks if column.is_left else blanks + cell, style)
    line.rstrip()
    return line
