"""The signs of the display, for terminals that know UTF-8 and for those that do not."""

from __future__ import annotations

import msgspec

__all__ = ["ASCII", "UNICODE", "Marks"]


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
