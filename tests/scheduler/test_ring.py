"""A ring: joining at the end, leaving from anywhere, the turn going round."""

from __future__ import annotations

import gc
import weakref

from hypothesis import given
from hypothesis import strategies as st

from asyncfetch.scheduler.ring import Link, Ring


class Item(Link):
    __slots__ = ("__weakref__", "name")

    def __init__(self, name: int) -> None:
        self.name = name


@given(st.lists(st.tuples(st.sampled_from(["join", "leave", "pass"]), st.integers(0, 30)), max_size=60))
def test_a_ring_is_a_list_that_goes_round(steps: list[tuple[str, int]]) -> None:
    """Whatever joins, leaves and passes on, the ring has the order of a list that is rotated."""
    ring: Ring[Item] = Ring()
    model: list[Item] = []
    for number, (step, place) in enumerate(steps):
        if step == "join":
            item = Item(number)
            ring.join(item)
            model.append(item)
        elif model and step == "leave":
            item = model.pop(place % len(model))
            ring.leave(item)
            assert not hasattr(item, "after")
            assert not hasattr(item, "before")
        elif model:
            ring.first = model[0].after
            model.append(model.pop(0))
        assert list(ring) == model
        assert ring.first is (model[0] if model else None)
        assert [item.before for item in model] == model[-1:] + model[:-1]


def test_what_left_is_not_kept_alive() -> None:
    """An item that has left, even the last one, is gone without the garbage collector."""
    gc.disable()
    try:
        ring: Ring[Item] = Ring()
        items = [Item(number) for number in range(3)]
        seen = [weakref.ref(item) for item in items]
        for item in items:
            ring.join(item)
        for item in items:
            ring.leave(item)
        del items, item
        assert [ref() for ref in seen] == [None] * 3
    finally:
        gc.enable()
