"""A ring: things that take turns, any of which may leave at any time.

A circular doubly linked list whose links are the items themselves, so that going on to the next, joining and
leaving each cost a few assignments, and nothing is allocated. A `deque` could not let an item leave from its
middle, a `dict` slows down when it is emptied from its front.

It knows nothing of what its items are. `lane.py` says what goes round here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Self, TypeVar

__all__ = ["Link", "Ring"]


class Link:
    """What can be in one ring at a time. Outside a ring it has no neighbours at all, not even as attributes."""

    __slots__ = ("after", "before")

    after: Self
    before: Self


L = TypeVar("L", bound=Link)


class Ring(Generic[L]):
    """Items in a circle.

    Attributes:
        first: whose turn it is, or None in an empty ring. The turn passes on by `ring.first = item.after`.
    """

    __slots__ = ("first",)

    def __init__(self) -> None:
        self.first: L | None = None

    def join(self, item: L) -> None:
        """Let an item that is in no ring come in at the end: its turn comes after everybody else's."""
        first = self.first
        if first is None:
            item.before = item.after = self.first = item
            return
        last = first.before
        item.before = last
        item.after = first
        last.after = first.before = item

    def leave(self, item: L) -> None:
        """Take an item of this ring out; if it was its turn, the next one has it."""
        after = item.after
        if after is item:
            self.first = None
        else:
            before = item.before
            before.after = after
            after.before = before
            if self.first is item:
                self.first = after
        del item.after, item.before  # a cycle would keep it alive until the next garbage collection

    def __iter__(self) -> Iterator[L]:
        """Give each item once, from the one whose turn it is. The ring must not change meanwhile."""
        item = self.first
        while item is not None:
            yield item
            item = item.after if item.after is not self.first else None
