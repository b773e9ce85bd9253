"""A task of the client's group begins, or what it was given is given back."""

from __future__ import annotations

import asyncio

import anyio

from asyncfetch.client.tasks import begin


async def test_what_never_begins_is_lost_and_known() -> None:
    """A task that is cancelled before its first step runs nothing; who began it is told, once."""
    told: list[str] = []

    async def work(name: str) -> None:
        told.append(f"{name} begins")
        await asyncio.sleep(0)
        told.append(f"{name} ends")

    async with anyio.create_task_group() as group:
        before = asyncio.all_tasks()
        begin(group, work("cancelled"), lambda: told.append("cancelled is lost"))
        (task,) = asyncio.all_tasks() - before
        task.cancel()
        begin(group, work("spared"), lambda: told.append("spared is lost"))
        with anyio.CancelScope(shield=True):  # the group ends with the task that somebody else has cancelled
            await asyncio.wait([task])
    assert told == ["cancelled is lost", "spared begins"]


async def test_what_begins_is_not_lost() -> None:
    """However it ends."""
    told: list[str] = []

    async def end(how: str) -> None:
        told.append(how)
        if how == "late":
            await asyncio.sleep(0)
        elif how == "cancelled":
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        for how in ("at once", "late", "cancelled"):
            begin(group, end(how), lambda: told.append("lost"))
        for _ in range(3):
            await asyncio.sleep(0)
        group.cancel_scope.cancel()
    assert told == ["at once", "late", "cancelled"]
