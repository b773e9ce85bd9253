"""Entries of a list that do not fit its window: the last few of each host as they are, the rest on disk, by groups.

What comes for a host is gathered, and goes to the overflow as one group when there are enough: written and read
together, entries cost half of what each would alone. If too many are gathered, over all hosts, those that wait
longest go in smaller groups. A host that wants only some of a group leaves the rest of it here, unless too much is
left over: then it is forgotten, and read again. With larger groups that would cost more than it saves.

Memory, besides that of the overflow, is thus for a number of entries, however many wait and of however many hosts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from asyncfetch.client.entries import Entries, Entry
from asyncfetch.client.overflow import Overflow, open_overflow

__all__ = ["Backlog", "open_backlog"]

_GROUP = 32  # entries of a host that are written together
_GATHERED_SHARE = 4  # part of the entries in memory that may wait to be written; the others cannot be


class _Written:
    """What waits for one host in the overflow.

    Attributes:
        count: entries.
        used: of the first group, entries that have been taken.
    """

    __slots__ = ("count", "used")

    def __init__(self) -> None:
        self.count = self.used = 0


class Backlog:
    """The entries of one list that wait here. Made by `open_backlog`.

    Attributes:
        hosts: for which something waits, written or gathered; to look at.
    """

    def __init__(self, overflow: Overflow, most: int) -> None:
        """Let nothing wait.

        Args:
            overflow: where the groups go.
            most: how many entries, of those that come, may be in memory; and how many of those that were read back.
        """
        self._overflow = overflow
        self._entries = Entries()
        self._most = most
        self._most_gathered = most // _GATHERED_SHARE
        self.hosts: dict[str, _Written] = {}
        self._gathering: OrderedDict[str, list[Entry]] = OrderedDict()
        self._gathered = 0
        self._rests: OrderedDict[str, Sequence[Entry]] = OrderedDict()  # of first groups, what was not taken
        self._left_over = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self.hosts

    @property
    def is_full(self) -> bool:
        """Whether as many bytes as are allowed are used, or too much is kept that cannot be written."""
        return self._overflow.is_full or len(self._entries.kept) >= self._most - self._most_gathered

    def counts(self) -> list[tuple[str, int]]:
        """Say how many entries wait for each host for which some do."""
        gathering = self._gathering
        return [(host, written.count + len(gathering.get(host, ()))) for host, written in self.hosts.items()]

    def add(self, host: str, entries: Sequence[Entry]) -> bool:
        """Put entries behind the others of their host; True if `write` must follow, now or soon."""
        gathered = self._gathering.get(host)
        if gathered is None:
            gathered = self._gathering[host] = []
            if host not in self.hosts:
                self.hosts[host] = _Written()
        gathered += entries
        self._gathered += len(entries)
        must_write = len(gathered) >= _GROUP and self._put_by(host)
        while self._gathered > self._most_gathered:
            must_write |= self._put_by(next(iter(self._gathering)))
        return must_write

    def _put_by(self, host: str) -> bool:
        """Let what was gathered for a host be written; True as of `add`."""
        gathered = self._gathering[host]
        groups = self._entries.encode(gathered)
        del self._gathering[host]
        self._gathered -= len(gathered)
        self.hosts[host].count += len(gathered)
        must_write = False
        for group in groups:
            must_write |= self._overflow.add(host, group)
        return must_write

    def write(self) -> None:
        """Write what has become too much for memory.

        Raises:
            OSError: it cannot be written, because the disk is full for instance; nothing is lost.
        """
        self._overflow.write()

    def take(self, host: str, most: int) -> list[Entry]:
        """Take the first entries of a host, one at least and `most` at most, or none if there are none.

        Raises:
            OSError: the first of them cannot be read back.
        """
        written = self.hosts.get(host)
        entries: list[Entry] = []
        if written is None:
            return entries
        try:
            while written.count and len(entries) < most:
                entries += self._take_written(host, written, most - len(entries))
        except OSError:
            if not entries:
                raise
        if not written.count:
            entries += self._take_gathered(host, most - len(entries))
            if host not in self._gathering:
                del self.hosts[host]
        return entries

    def _take_written(self, host: str, written: _Written, most: int) -> Sequence[Entry]:
        """Take up to so many entries of the first group.

        Raises:
            OSError: it cannot be read back; all of them are still there.
        """
        group = self._rests.pop(host, None)
        if group is None:
            group = self._entries.decode(self._overflow.first(host))[written.used :]
        else:
            self._left_over -= len(group)
        taken, rest = group[:most], group[most:]
        if rest:
            written.used += len(taken)
            self._leave_over(host, rest)
        else:
            self._overflow.drop(host)
            written.used = 0
        written.count -= len(taken)
        return taken

    def _leave_over(self, host: str, rest: Sequence[Entry]) -> None:
        self._rests[host] = rest
        self._left_over += len(rest)
        while self._left_over > self._most:
            _, forgotten = self._rests.popitem(last=False)
            self._left_over -= len(forgotten)

    def _take_gathered(self, host: str, most: int) -> Sequence[Entry]:
        gathered = self._gathering.get(host, [])
        taken = gathered[:most]
        del gathered[:most]
        self._gathered -= len(taken)
        if not gathered:
            self._gathering.pop(host, None)
        return taken

    def close(self) -> None:
        """Forget everything; the file is gone with it. Can be called again."""
        self._overflow.close()
        self._entries.clear()
        self.hosts.clear()
        self._gathering.clear()
        self._rests.clear()
        self._gathered = self._left_over = 0


def open_backlog(most: int, most_in_memory: int) -> Backlog | None:
    """Open an empty backlog; None if this system has no place for its file.

    Args:
        most: bytes of the file.
        most_in_memory: entries; see `Backlog`.

    Raises:
        OSError: the disk is full.
    """
    overflow = open_overflow(most)
    return None if overflow is None else Backlog(overflow, most_in_memory)
