"""The signs and colours of the display, for terminals that know UTF-8 and for those that do not.

Colours are the terminal's own sixteen, which its user has chosen to be readable on light or dark; what a colour
says is said by a sign or a word as well.
"""

from __future__ import annotations

import msgspec
from rich.style import Style

__all__ = ["ASCII", "BAD", "BOLD", "DIM", "GOOD", "PLAIN", "UNICODE", "UNSURE", "Marks"]

PLAIN = Style.null()
BOLD = Style(bold=True)
DIM = Style(dim=True)
GOOD = Style(color="green")
UNSURE = Style(color="yellow")
BAD = Style(color="red")


class Marks(msgspec.Struct, frozen=True):
    """One character for each thing.

    Attributes:
        active, idle, waiting, backing_off, broken: what a host is doing.
        full, rest: the two parts of a bar.
        between: between two facts of a line.
        times: before how often something happened.
        ascii_only: whether foreign text must be ASCII too.
    """

    active: str
    idle: str
    waiting: str
    backing_off: str
    broken: str
    full: str
    rest: str
    between: str
    times: str
    ascii_only: bool

    @classmethod
    def of(cls, encoding: str) -> Marks:
        """Choose by the encoding of the stream."""
        return UNICODE if encoding.lower().startswith("utf") else ASCII


UNICODE = Marks(
    active="●",
    idle="·",
    waiting="‖",
    backing_off="↻",
    broken="✗",
    full="━",
    rest="─",
    between=" · ",
    times="×",  # noqa: RUF001
    ascii_only=False,
)
ASCII = Marks(
    active="*",
    idle=".",
    waiting="=",
    backing_off="~",
    broken="x",
    full="#",
    rest="-",
    between=", ",
    times="x",
    ascii_only=True,
)
