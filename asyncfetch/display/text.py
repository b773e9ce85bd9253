"""Makes any foreign text harmless for a terminal: what a stranger wrote is shown, and does nothing.

URLs, reasons, certificate names and error sentences come from people and servers that we do not trust. A terminal
obeys escape sequences, reorders text at bidi marks, hides zero-width characters and stacks marks without end; rich
reads markup and emoji codes. So all foreign text passes `harmless`, and reaches the screen as `Words`
(`as_text`), never as a markup string.

Letters that are written from right to left are kept: whoever fetches such URLs wants to read them.
"""

from __future__ import annotations

from itertools import accumulate, dropwhile
from typing import Literal
from unicodedata import category

from asyncfetch.display.cells import cell_len, character_cells
from asyncfetch.display.words import Words

__all__ = ["Cut", "as_text", "harmless"]

Cut = Literal["end", "middle"]

_MOST_MARKS = 2
"""Marks in a row that may stand on one character; Vietnamese needs two."""

_LOOKS_BLANK = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
"""Letters, marks and symbols that show nothing (Unicode: Default_Ignorable_Code_Point, and the blank Braille)."""


def harmless(text: str | bytes, at_most: int = 200, *, cut: Cut = "end", ascii_only: bool = False) -> str:
    r"""Return text that a terminal only shows, in at most `at_most` cells.

    Everything that acts or hides (controls, escapes, line breaks, bidi and other format characters, unusual blanks,
    surrogates, private and unassigned characters, marks beyond the second) becomes a visible escape such as `\x1b`
    or `\u202e`. Doing it twice changes nothing.

    Args:
        text: anything; bytes are read as UTF-8, and what is not UTF-8 becomes `\xff`.
        at_most: width in cells, 0 or more; wide characters take two.
        cut: where text that is too long is shortened, with an ellipsis.
        ascii_only: for terminals of another encoding than UTF-8: everything else becomes an escape too.
    """
    raw = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
    if raw.isascii() and raw.isprintable():
        return raw if len(raw) <= at_most else _shortened(_ends(raw, at_most), at_most, cut, ascii_only=ascii_only)
    escaped = _escaped(_ends(raw, at_most), ascii_only=ascii_only)
    return _shortened(escaped, at_most, cut, ascii_only=ascii_only)


def as_text(text: str | bytes, style: str = "", *, at_most: int = 200, cut: Cut = "end") -> Words:
    """Return foreign text for a console: harmless, and never read as markup, emoji codes or what to highlight."""
    return Words(harmless(text, at_most, cut=cut), style)


def _ends(text: str, at_most: int) -> str:
    """Drop the middle of a text so long that only its ends can be shown: an endless one costs nothing.

    A character and its marks are at most three code points that take a cell or more.
    """
    enough = (1 + _MOST_MARKS) * (at_most + 1)
    return text if len(text) <= 2 * enough else text[:enough] + text[-enough:]


def _escaped(text: str, *, ascii_only: bool) -> str:
    shown = []
    marks = _MOST_MARKS
    for character in text:
        marks = marks + 1 if _is_mark(character) else 0
        acts = marks > _MOST_MARKS or _acts(character, ascii_only=ascii_only)
        shown.append(_escape(character) if acts else character)
    return "".join(shown)


def _acts(character: str, *, ascii_only: bool) -> bool:
    """Whether a character does or hides something instead of showing something, or cannot be shown."""
    return not character.isprintable() or character in _LOOKS_BLANK or (ascii_only and not character.isascii())


def _is_mark(character: str) -> bool:
    """Whether a character stands on the one before it instead of in a cell of its own."""
    return category(character).startswith("M") or not character_cells(character)


def _escape(character: str) -> str:
    r"""Spell a character out; a byte that was not UTF-8 (PEP 383) as `\xff`."""
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def _shortened(text: str, at_most: int, cut: Cut, *, ascii_only: bool) -> str:
    if cell_len(text) <= at_most:
        return text
    ellipsis = "..." if ascii_only else "\N{HORIZONTAL ELLIPSIS}"
    room = at_most - len(ellipsis)
    if room <= 0:
        return ellipsis[:at_most]
    behind = room // 2 if cut == "middle" else 0
    return _first(text, room - behind) + ellipsis + _last(text, behind)


def _first(text: str, cells: int) -> str:
    """As many characters of the beginning as fit."""
    used = accumulate(map(character_cells, text))
    return text[: sum(width <= cells for width in used)]


def _last(text: str, cells: int) -> str:
    """As many characters of the end as fit, not beginning with a mark."""
    used = accumulate(map(character_cells, reversed(text)))
    fitting = sum(width <= cells for width in used)
    return "".join(dropwhile(_is_mark, text[len(text) - fitting :]))
