"""The deadlines as numbers, with a made-up clock; on real sockets they are in test_connection.py."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

import pytest

from asyncfetch.errors import FetchTimeout, HeadTimeout, ReadTimeout, SlowBody, TotalTimeout
from asyncfetch.settings import Timeouts
from asyncfetch.streams.deadlines import Deadlines
from asyncfetch.streams.wire import WireReader

TIMEOUTS = Timeouts(head=5, read=10, speed_limit=100, speed_time=20)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that never runs: time is made up."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def deadlines(loop: asyncio.AbstractEventLoop) -> Deadlines:
    return Deadlines(WireReader(loop))


def take(deadlines: Deadlines, size: int) -> None:
    """Let so many bytes come, and be taken at once."""
    deadlines.reader.feed_data(b"x" * size)
    if deadlines.reader.is_starving:
        return
    with pytest.raises(StopIteration):
        deadlines.reader.receive().send(None)


def test_nothing_is_due_before_an_exchange(deadlines: Deadlines) -> None:
    """A connection on which nothing was asked yet is never late."""
    assert deadlines.find_expired(1e12) is None


def test_head(deadlines: Deadlines) -> None:
    """A head is due at its time, whatever has come of it."""
    deadlines.expect_head(100, TIMEOUTS, math.inf)
    take(deadlines, 10)
    assert deadlines.find_expired(104.99) is None
    assert isinstance(deadlines.find_expired(105), HeadTimeout)


def test_head_that_waits_for_us(deadlines: Deadlines) -> None:
    """Bytes that we have not taken are not the server's delay."""
    deadlines.expect_head(100, TIMEOUTS, math.inf)
    deadlines.reader.feed_data(b"x")
    assert deadlines.find_expired(106) is None
    take(deadlines, 0)
    deadlines.reader.unread(b"x")
    assert deadlines.find_expired(106) is None
    deadlines.reader.pending = b""
    assert isinstance(deadlines.find_expired(106), HeadTimeout)


def test_total_holds_for_us_too(deadlines: Deadlines) -> None:
    """The total ends an exchange in every state, also when it is us who are late."""
    deadlines.expect_head(100, Timeouts(total=7), 107)
    deadlines.reader.feed_data(b"x")
    assert deadlines.find_expired(106.99) is None
    expired = deadlines.find_expired(107)
    assert isinstance(expired, TotalTimeout)
    assert expired.detail == "not finished within 7 s"
    deadlines.expect_body(100)
    assert isinstance(deadlines.find_expired(107), TotalTimeout)


def test_hurry(deadlines: Deadlines) -> None:
    """What is hurried is due earlier, never later."""
    deadlines.expect_head(100, TIMEOUTS, math.inf)
    deadlines.hurry(103)
    deadlines.hurry(200)
    expired = deadlines.find_expired(103)
    assert isinstance(expired, TotalTimeout)
    assert expired.detail == "not finished in time"


def test_silence(deadlines: Deadlines) -> None:
    """Each byte begins the silence anew; how late it was seen does not matter."""
    deadlines.expect_head(100, Timeouts(read=10, speed_limit=0), math.inf)
    deadlines.expect_body(101)
    assert deadlines.find_expired(110.99) is None
    take(deadlines, 1)
    assert deadlines.find_expired(111.5) is None
    assert deadlines.find_expired(121) is None
    assert isinstance(deadlines.find_expired(121.5), ReadTimeout)


def test_any_silence(deadlines: Deadlines) -> None:
    """Without a read timeout silence has no end, but it is slow."""
    deadlines.expect_head(100, Timeouts(read=None, speed_limit=0), math.inf)
    deadlines.expect_body(100)
    assert deadlines.find_expired(1e9) is None
    deadlines.expect_head(100, Timeouts(read=None, speed_time=20), math.inf)
    deadlines.expect_body(100)
    assert deadlines.find_expired(119) is None
    assert isinstance(deadlines.find_expired(120), SlowBody)


@pytest.mark.parametrize(("sizes", "slow"), [([1000, 1000], False), ([1000, 999], True), ([4000, 0], False)])
def test_slowness(deadlines: Deadlines, sizes: list[int], slow: bool) -> None:
    """The speed is taken over a whole window: bytes per second on the wire, at least the limit."""
    deadlines.expect_head(0, Timeouts(read=None, speed_limit=100, speed_time=20), math.inf)
    deadlines.expect_body(0)
    for second, size in enumerate(sizes, 1):
        take(deadlines, size)
        assert deadlines.find_expired(second) is None
    expired = deadlines.find_expired(20)
    assert isinstance(expired, SlowBody) is slow
    if expired is not None:
        assert expired.detail == "100 bytes/s over 20 s is below the limit of 100 bytes/s"


def test_each_window_counts_by_itself(deadlines: Deadlines) -> None:
    """A fast beginning does not pay for a slow end."""
    deadlines.expect_head(0, Timeouts(read=None, speed_limit=100, speed_time=20), math.inf)
    deadlines.expect_body(0)
    take(deadlines, 1_000_000)
    assert deadlines.find_expired(20) is None
    take(deadlines, 1999)
    assert deadlines.find_expired(39) is None
    assert isinstance(deadlines.find_expired(40), SlowBody)


def test_slow_consumer_stops_the_clocks(deadlines: Deadlines) -> None:
    """While bytes wait for us nothing counts; then silence and window begin anew."""
    deadlines.expect_head(0, TIMEOUTS, math.inf)
    deadlines.expect_body(0)
    deadlines.reader.feed_data(b"x" * 10)
    for now in (9, 99, 999):
        assert deadlines.find_expired(now) is None
    take(deadlines, 0)
    assert deadlines.find_expired(1008.9) is None
    expired: FetchTimeout | None = deadlines.find_expired(1009)
    assert isinstance(expired, ReadTimeout)
