from __future__ import annotations

import asyncio
import threading
import time

import anyio
import pytest

from asyncfetch.job.batches import BatchThread


class Taken:
    """Takes batches, one at a time if told so, and remembers them and the thread they came in."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.gate = threading.Semaphore(0 if held else 1_000_000)

    def __call__(self, batch: list[int]) -> None:
        self.gate.acquire()
        self.threads.add(threading.get_ident())
        self.batches.append(batch)

    @property
    def items(self) -> list[int]:
        return [item for batch in self.batches for item in batch]


async def test_everything_is_taken_in_order_by_one_other_thread() -> None:
    """Nothing is lost and nothing overtakes, whoever is quicker; no batch is longer than allowed."""
    taken = Taken()
    thread = BatchThread(taken, enough=2, at_once=10)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thread.run)
        for item in range(1000):
            if thread.put([item]) >= 20:
                await thread.has_room(5)
            elif item % 7 == 0:
                await asyncio.sleep(0)
        thread.close()
    assert taken.items == list(range(1000))
    assert max(map(len, taken.batches)) <= 10
    assert len(taken.threads) == 1
    assert threading.get_ident() not in taken.threads


async def test_what_comes_together_is_one_batch() -> None:
    """What is there when the thread looks is taken at once."""
    taken = Taken()
    thread = BatchThread(taken, enough=2, at_once=10)
    for item in range(5):
        thread.put([item])
    thread.close()
    await thread.run()
    assert taken.batches == [[0, 1, 2, 3, 4]]


async def test_what_is_given_together_is_taken_together() -> None:
    """In order, at once where it makes enough; a batch ends with what makes it long enough."""
    taken = Taken()
    thread = BatchThread(taken, enough=6, at_once=10)
    assert [thread.put(range(start, start + 4)) for start in range(0, 40, 4)] == list(range(4, 44, 4))
    assert thread.waiting == 40
    assert thread._nudges.qsize() == 1
    thread.close()
    await thread.run()
    assert [len(batch) for batch in taken.batches] == [12, 12, 12, 4]
    assert taken.items == list(range(40))
    assert thread.waiting == 0


async def test_room_is_there_when_enough_has_been_taken() -> None:
    """Whoever waits goes on with the batch that makes room, not earlier."""
    taken = Taken(held=True)
    thread = BatchThread(taken, enough=2, at_once=2)
    assert [thread.put([item]) for item in range(4)] == [1, 2, 3, 4]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thread.run)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(thread.has_room(2), 0.05)
        assert taken.batches == []
        taken.gate.release()
        await thread.has_room(2)
        assert taken.items == [0, 1]
        taken.gate.release(100)
        thread.put([4])
        thread.close()
    assert taken.items == [0, 1, 2, 3, 4]


async def test_several_may_wait_for_room() -> None:
    """Nobody is forgotten: the results of a list wait, and those that were known before."""
    taken = Taken(held=True)
    thread = BatchThread(taken, enough=2, at_once=10)
    for item in range(6):
        thread.put([item])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thread.run)
        for at_most in (0, 3, 5):
            tasks.start_soon(thread.has_room, at_most)
        await asyncio.sleep(0)
        taken.gate.release(100)
        async with asyncio.timeout(15):
            await thread.has_room(0)
        thread.close()
    assert taken.items == list(range(6))


async def test_bursts_are_forgotten_when_they_have_been_taken() -> None:
    """After many of them, single things still come together: nothing of the bursts cuts their waits short."""
    taken = Taken()
    thread = BatchThread(taken, enough=4, at_once=100)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thread.run)
        for _ in range(50):
            thread.put([0] * 8)
            await thread.has_room(0)
        left = thread._nudges.qsize()
        thread.close()
    assert left <= 1


async def test_an_error_ends_it_and_nobody_waits_any_more() -> None:
    """What the function raises comes out of run, and has_room returns."""

    def take(_: list[int]) -> None:
        raise LookupError("no")

    thread = BatchThread(take, enough=2, at_once=1)
    thread.put([0])
    with pytest.raises(LookupError):
        await thread.run()
    await thread.has_room(0)


async def test_cancelled_it_takes_what_was_given() -> None:
    """Only closing ends it."""
    taken = Taken()
    thread = BatchThread(taken, enough=2, at_once=100)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thread.run)
        await asyncio.sleep(0)
        tasks.cancel_scope.cancel()
        thread.put([1])
        thread.close()
    assert taken.items == [1]


def test_the_end_of_the_loop_does_not_matter() -> None:
    """A program that has left its loop is not held up by a function that never returns, and no error is shown."""
    taken = Taken(held=True)
    thread = BatchThread(taken, enough=2, at_once=10)

    async def leave() -> None:
        thread.put([1])
        running = asyncio.ensure_future(thread.run())
        await asyncio.sleep(0)
        running.cancel()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    taken.gate.release(10)
    thread.close()
    deadline = time.monotonic() + 10
    while any(other.name == "asyncfetch-batches" for other in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert taken.items == [1]
