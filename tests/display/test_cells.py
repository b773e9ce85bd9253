"""The width of text: as rich has it, whatever the text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich import cells as oracle

from asyncfetch.display.cells import cell_len, character_cells


@given(st.text())
def test_a_text_is_as_wide_as_rich_says(text: str) -> None:
    """ASCII needs no table; everything else is looked up."""
    assert cell_len(text) == oracle.cell_len(text)


def test_a_character_is_as_wide_as_rich_says() -> None:
    """Controls take no cell, most characters one, many of East Asia two."""
    for point in (*range(0x500), *range(0x3000, 0x3100), 0x1F600):
        assert character_cells(chr(point)) == oracle.get_character_cell_size(chr(point))
