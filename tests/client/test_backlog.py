"""What waits for hosts beyond the window: in order for each, gathered and written by groups, bounded in memory."""

from __future__ import annotations

import os
import resource
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfetch import Request
from asyncfetch.client import backlog as module
from asyncfetch.client.backlog import Backlog, open_backlog
from asyncfetch.client.entries import Entry

PLENTY = 1 << 40

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "many", "odd", "take", "write"]), st.sampled_from("abc"), st.integers(1, 150)
    ),
    max_size=30,
)


@contextmanager
def opened(most: int = PLENTY, most_in_memory: int = 10_000) -> Iterator[Backlog]:
    backlog = open_backlog(most, most_in_memory)
    assert backlog is not None
    try:
        yield backlog
    finally:
        backlog.close()


def entry(number: int, context: object = None) -> Entry:
    return Request(f"http://a/{number}", context=context), number, number / 7


def add(backlog: Backlog, host: str, *entries: Entry) -> None:
    for one in entries:
        if backlog.add(host, [one]):
            backlog.write()


def take_all(backlog: Backlog, host: str, most: int) -> list[Entry]:
    entries: list[Entry] = []
    while some := backlog.take(host, most):
        assert len(some) <= most
        entries += some
    assert host not in backlog.hosts
    return entries


def in_memory(backlog: Backlog) -> tuple[int, int]:
    """How many entries are gathered, and how many of groups are left over: both counted anew."""
    assert all(backlog._gathering.values())
    gathered = sum(map(len, backlog._gathering.values()))
    left_over = sum(map(len, backlog._rests.values()))
    assert (gathered, left_over) == (backlog._gathered, backlog._left_over)
    return gathered, left_over


@settings(max_examples=100)
@given(_STEPS, st.sampled_from([0, 1, 40, 200, 10_000]))
def test_gives_back_what_it_was_given_in_order(steps: list[tuple[str, str, int]], most: int) -> None:
    """Entries of several hosts, plain or not, however few fit in memory: each host keeps its order."""
    model: dict[str, deque[Entry]] = defaultdict(deque)
    number = 0
    with opened(most_in_memory=most) as backlog:
        for step, host, size in steps:
            if step == "take":
                taken = backlog.take(host, size)
                assert min(1, len(model[host])) <= len(taken) <= size
                assert taken == [model[host].popleft() for _ in taken]
            elif step == "write":
                backlog.write()
            else:
                come = [
                    entry(n, [n] if step == "odd" and n % 50 == 0 else None)
                    for n in range(number + 1, number + size + 1)
                ]
                number += size
                model[host] += come
                for together in [come] if step == "many" else [[one] for one in come]:
                    backlog.add(host, together)
            assert dict(backlog.counts()) == {host: len(model[host]) for host in "abc" if model[host]}
            assert [host for host in "abc" if host in backlog.hosts] == [host for host in "abc" if model[host]]
            gathered, left_over = in_memory(backlog)
            assert gathered <= most // 4
            assert left_over <= most
        for host, entries in model.items():
            assert take_all(backlog, host, 7) == list(entries)
        assert backlog.is_empty
        assert not backlog._entries.kept
        assert in_memory(backlog) == (0, 0)


@pytest.mark.parametrize("number", [1, 31, 32, 33, 63, 64, 65])
@pytest.mark.parametrize("most", [1, 8, 31, 32, 33, 1000])
def test_where_a_group_ends_makes_no_difference(number: int, most: int) -> None:
    """A host's entries come out whole and in order, taken in steps of any size."""
    entries = [entry(n) for n in range(number)]
    with opened() as backlog:
        add(backlog, "a", *entries)
        assert take_all(backlog, "a", most) == entries


def test_many_entries_of_few_hosts_are_written() -> None:
    """Only the last group of a host is in memory."""
    entries = [entry(n) for n in range(20_000)]
    with opened() as backlog:
        for one in entries:
            add(backlog, "a", one)
            add(backlog, "b", one)
            assert in_memory(backlog)[0] <= 2 * module._GROUP
        assert os.fstat(backlog._overflow._file.fileno()).st_size > 500_000
        assert take_all(backlog, "b", 100) == entries
        assert take_all(backlog, "a", 8) == entries


def test_few_entries_of_many_hosts_are_bounded_in_memory() -> None:
    """A hundred thousand hosts: what waits longest is written, however little it is of each."""
    with opened(most_in_memory=1000) as backlog:
        for turn in range(2):
            for host in range(100_000):
                add(backlog, str(host), entry(host + turn))
                assert backlog._gathered <= 250
        assert in_memory(backlog)[0] <= 250
        for host in (0, 1, 99_999):
            assert backlog.take(str(host), 9) == [entry(host), entry(host + 1)]


def test_what_is_left_over_is_bounded_and_read_again() -> None:
    """Of many hosts that take a little of their groups, only some leave the rest in memory; nothing is lost."""
    hosts = [str(number) for number in range(50)]
    entries = [entry(n) for n in range(150)]
    with opened(most_in_memory=400) as backlog:
        for host in hosts:
            add(backlog, host, *entries)
        found: dict[str, list[Entry]] = defaultdict(list)
        while not backlog.is_empty:
            for host in hosts:
                found[host] += backlog.take(host, 8)
                assert in_memory(backlog)[1] <= 400
        assert all(found[host] == entries for host in hosts)


def test_what_cannot_be_written_is_bounded() -> None:
    """Objects that are kept, and entries that may become such, fill the backlog; taking them makes room."""
    with opened(most_in_memory=1000) as backlog:
        number = 0
        while not backlog.is_full:
            number += 1
            add(backlog, str(number % 100), entry(number, []))
        kept, (gathered, _) = len(backlog._entries.kept), in_memory(backlog)
        assert 900 < kept + gathered <= 1000
        assert sum(waiting for _, waiting in backlog.counts()) == number == kept + gathered
        assert [len(take_all(backlog, str(host), 8)) for host in range(100)] == [number // 100] * 100
        assert not backlog.is_full


def test_is_full_when_the_file_is() -> None:
    """There is room again when everything in it has been taken."""
    with opened(10_000) as backlog:
        for _ in range(2):
            number = 0
            while not backlog.is_full:
                number += 1
                add(backlog, "a", entry(number))
            assert 200 < number < 1000
            assert len(take_all(backlog, "a", 100)) == number
            assert not backlog.is_full


def test_what_cannot_be_written_to_disk_is_not_lost() -> None:
    """A full disk is an error of `write`; everything is still there, in order."""
    entries = [entry(n) for n in range(10_000)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened() as backlog:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                add(backlog, "a", *entries)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        ((_, added),) = backlog.counts()
        add(backlog, "a", *entries[added:])
        assert take_all(backlog, "a", 8) == entries


def test_what_cannot_be_read_back_is_still_there() -> None:
    """What was read before the error is given out; then the error comes, as often as somebody asks."""
    with opened() as backlog:
        add(backlog, "a", *[entry(n) for n in range(20_000)])
        os.ftruncate(backlog._overflow._file.fileno(), 10_000)
        ((_, added),) = backlog.counts()
        taken = backlog.take("a", PLENTY)
        assert taken == [entry(n) for n in range(len(taken))]
        assert len(taken) >= module._GROUP
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output error"):
                backlog.take("a", 8)
            assert backlog.counts() == [("a", added - len(taken))]
