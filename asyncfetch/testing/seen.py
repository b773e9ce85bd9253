"""Count what a server saw: requests, connections, and how many at once, in total and per host.

Knows nothing of sockets: `server` says when something begins and ends.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncfetch.testing.request import SeenRequest


class HostSeen:
    """What one host of the server, an address with its port, saw.

    "In progress" is a request from its complete head until the last byte of its answer has been handed to the
    kernel, or the connection has ended.

    Attributes:
        requests: well-formed heads that arrived, answered or not.
        connections: accepted connections, also those whose TLS handshake failed.
        open_connections: connections that are open now.
        in_progress: requests in progress now.
        most_at_once: the most requests that were in progress at the same time.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.connections = 0
        self.open_connections = 0
        self.in_progress = 0
        self.most_at_once = 0

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} requests={self.requests} connections={self.connections} "
            f"in_progress={self.in_progress} most_at_once={self.most_at_once}>"
        )

    def begin(self) -> None:
        """Count one more request, in progress from now."""
        self.requests += 1
        self.in_progress += 1
        if self.in_progress > self.most_at_once:
            self.most_at_once = self.in_progress

    def end(self) -> None:
        """Count one request as no longer in progress."""
        self.in_progress -= 1


class Seen(HostSeen):
    """What a whole server saw since it was made. May be read from any thread.

    Attributes:
        by_host: the same per host, by "address:port" of the server's end; all zero for one never seen.
        by_path: requests per path.
    """

    def __init__(self, keep_log: int = 10_000) -> None:
        super().__init__()
        self.by_host: defaultdict[str, HostSeen] = defaultdict(HostSeen)
        self.by_path: Counter[str] = Counter()
        self._log: deque[SeenRequest] = deque(maxlen=keep_log)
        self._malformed: deque[str] = deque(maxlen=keep_log)

    @property
    def log(self) -> list[SeenRequest]:
        """The last requests, the oldest first, as many as `keep_log` allows."""
        return list(self._log)

    @property
    def malformed(self) -> list[str]:
        """What was wrong with what was no request, with the bytes in question; none is counted as a request."""
        return list(self._malformed)

    def connected(self, host: str) -> int:
        """Count a connection to `host`, and return its number on this server, from 1."""
        for counts in (self, self.by_host[host]):
            counts.connections += 1
            counts.open_connections += 1
        return self.connections

    def disconnected(self, host: str) -> None:
        """Count a connection to `host` as closed."""
        for counts in (self, self.by_host[host]):
            counts.open_connections -= 1

    def refused(self, reason: str) -> None:
        """Keep why something was no request."""
        self._malformed.append(reason)

    def began(self, request: SeenRequest) -> None:
        """Count a request whose head is complete."""
        self.begin()
        self.by_host[request.host].begin()
        self.by_path[request.path] += 1
        self._log.append(request)

    def ended(self, request: SeenRequest) -> None:
        """Count a request as answered or given up."""
        self.end()
        self.by_host[request.host].end()
