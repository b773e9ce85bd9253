"""Text in pieces, each with its own style, for any console; and the console that needs no rich.

rich takes longer to load than a short job takes. So it draws what goes to a terminal; where nothing has a colour
or moves, lines are written as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from asyncfetch.display.outlet import Outlet

__all__ = ["PlainConsole", "Words", "drawn", "say"]


class Words:
    """Text in pieces, each with a style as rich has them (`bold red`), or none.

    Attributes:
        pieces: text and style of each.
    """

    __slots__ = ("pieces",)

    def __init__(self, text: str = "", style: str = "") -> None:
        self.pieces = [(text, style)]

    @property
    def plain(self) -> str:
        """The text alone."""
        return "".join(text for text, _ in self.pieces)

    def append(self, more: str | Words, style: str = "") -> Words:
        """Add text with a style, or words with theirs; return the whole."""
        self.pieces += [(more, style)] if isinstance(more, str) else more.pieces
        return self

    def join(self, parts: Iterable[Words]) -> Words:
        """Return all parts in a row, with these words between each two."""
        whole = Words()
        for number, part in enumerate(parts):
            if number:
                whole.append(self)
            whole.append(part)
        return whole

    def rstrip(self) -> None:
        """Remove the blanks at the end."""
        text = ""
        while self.pieces and not text:
            last, style = self.pieces.pop()
            text = last.rstrip()
        self.pieces.append((text, style))

    def __rich__(self) -> Text:
        """Return the same for rich, which reads nothing into it."""
        from rich.text import Text

        return Text.assemble(*self.pieces)


class PlainConsole:
    """Takes lines for a stream that shows no colours.

    Attributes:
        file: where they go.
        width: cells of a line.
    """

    is_interactive = False

    def __init__(self, file: Outlet, width: int) -> None:
        self.file = file
        self.width = width

    @property
    def encoding(self) -> str:
        """That of the stream."""
        return self.file.encoding

    def write_line(self, line: str) -> None:
        """Write a line, at once."""
        self.file.write(line + "\n")
        self.file.flush()


def say(console: Console | PlainConsole, *lines: Words | Text) -> None:
    """Write lines to a console as they are: no markup, no colours of rich's own, wrapped only by the terminal."""
    for line in lines:
        if isinstance(console, PlainConsole):
            console.write_line(line.plain)
        else:
            console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)


def drawn(console: Console | PlainConsole, line: Words) -> str:
    """Return what `say` would write."""
    if isinstance(console, PlainConsole):
        return line.plain + "\n"
    with console.capture() as capture:
        say(console, line)
    return capture.get()
