"""The hosts that there are: made when they are needed, each with its manners, and forgotten when they are neutral.

A host of which something bad was learnt is not quite forgotten: when it comes again, it does not begin anew. Of
these the last 4,096 are kept, so that a list of a million dead hosts costs no memory for each.

It knows nothing of queues and turns; `frontier.py` says when a host is needed and when it is not any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from asyncfetch.scheduler.lane import QueuedHost
from asyncfetch.scheduler.manners import Manners
from asyncfetch.settings import HostSettings

__all__ = ["HostsOwn", "Registry"]

_REMEMBERED_AT_MOST = 4096

HostsOwn = Callable[[str], HostSettings | None]
"""Says what is different for a host, by its key `host:port`."""


class Registry:
    """Makes hosts and knows them.

    Attributes:
        known: every host that exists at the moment, by key.
        manners: of hosts that have no settings of their own.
    """

    def __init__(self, manners: Manners, own: HostsOwn | None = None) -> None:
        self.known: dict[str, QueuedHost] = {}
        self._remembered: OrderedDict[str, QueuedHost] = OrderedDict()
        self.manners = manners
        self._own = own
        self._slowed: dict[str, float] = {}
        self._spare: QueuedHost | None = None

    def host(self, key: str) -> QueuedHost:
        """Return a host's state, of a new host if there is none yet."""
        host = self.known.get(key)
        if host is None:
            host = self._remembered.pop(key, None) if self._remembered else None
            if host is None:
                host = self._make(key)
            if self._slowed and key in self._slowed:
                host.slow_down(self._slowed[key])
            self.known[key] = host
        return host

    def limit_of(self, key: str) -> int:
        """Return the limit of a host, of one that there is not, too."""
        host = self.known.get(key) or self._remembered.get(key)
        return QueuedHost(key, self._manners_of(key)).limit if host is None else host.limit

    def slow_down(self, key: str, seconds: float) -> None:
        """Let at least so many seconds pass between two starts at a host, now and whenever it comes again."""
        if seconds > 0:
            self._slowed[key] = max(seconds, self._slowed.get(key, 0.0))
            if key in self.known:
                self.known[key].slow_down(seconds)

    def forget(self, host: QueuedHost) -> None:
        """Let a host go that has nothing queued, nothing in flight and no pause; it may be gone already."""
        if self.known.get(host.key) is not host:
            return
        del self.known[host.key]
        if not host.is_blank:
            self._remembered[host.key] = host
            if len(self._remembered) > _REMEMBERED_AT_MOST:
                self._remembered.popitem(last=False)
        elif self._own is None and not host.is_special:
            self._spare = host

    def _make(self, key: str) -> QueuedHost:
        """Make a new host, of the one that was forgotten last if that comes again after each request."""
        spare = self._spare
        if spare is None or spare.key != key:
            return QueuedHost(key, self._manners_of(key))
        self._spare = None
        spare.begin_anew()
        return spare

    def _manners_of(self, key: str) -> Manners:
        settings = None if self._own is None else self._own(key)
        return self.manners if settings is None else self.manners.with_settings(settings)
