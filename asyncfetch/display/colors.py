"""The colours of the live view.

They are the terminal's own sixteen, which its user has chosen to be readable on light or dark; what a colour says
is said by a sign or a word as well.
"""

from __future__ import annotations

from rich.style import Style

__all__ = ["BAD", "BOLD", "DIM", "GOOD", "PLAIN", "UNSURE"]

PLAIN = Style.null()
BOLD = Style(bold=True)
DIM = Style(dim=True)
GOOD = Style(color="green")
UNSURE = Style(color="yellow")
BAD = Style(color="red")
