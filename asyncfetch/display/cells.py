"""How many cells a text takes on a terminal. Of what is not ASCII rich knows it, and is loaded for that."""

from __future__ import annotations

__all__ = ["cell_len", "character_cells"]


def cell_len(text: str) -> int:
    """Return the cells that a text takes."""
    if text.isascii() and text.isprintable():
        return len(text)
    from rich import cells

    return cells.cell_len(text)


def character_cells(character: str) -> int:
    """Return the cells of one character: 0, 1 or 2."""
    if " " <= character <= "~":
        return 1
    from rich import cells

    return cells.get_character_cell_size(character)
