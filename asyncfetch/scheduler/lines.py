"""Where every queue is: in its lane, in the line before its host, or called back from there.

The rings, and what moves from one to another; when that happens is decided in `frontier.py`, which has the story,
and the invariants that are kept here.
"""

from __future__ import annotations

from asyncfetch.scheduler.lane import Lane, Queue, QueuedHost
from asyncfetch.scheduler.registry import Registry
from asyncfetch.scheduler.ring import Ring

__all__ = ["Lines"]


class Lines:
    """The rings of lanes and queues.

    Attributes:
        lanes: those that have a queue in a ring of their own and are not paused.
        registry: makes the hosts that queues are for, and forgets them.
    """

    __slots__ = ("lanes", "registry")

    def __init__(self, registry: Registry) -> None:
        self.lanes: Ring[Lane] = Ring()
        self.registry = registry

    def pause(self, lane: Lane) -> None:
        """Give nothing of a lane out until `resume`; what is in flight goes on."""
        if lane.paused:
            return
        lane.paused = True
        if lane.listed:
            self._unlist(lane)
        while (queue := lane.called.first) is not None:
            queue.move(lane.ready)
            queue.host.called = None
            self.call(queue.host)

    def resume(self, lane: Lane) -> None:
        """Let a paused lane take turns again; a closed one stays as it is."""
        if lane.paused and not lane.closed:
            lane.paused = False
            if lane.has_next():
                self._list(lane)

    def open(self, lane: Lane, key: str) -> Queue:
        """Make the queue of a lane for a host."""
        host = self.registry.host(key)
        host.queues += 1
        queue = lane.queues[key] = Queue(lane, host, lane.ready)
        if not lane.listed and not lane.paused:
            self._list(lane)
        return queue

    def remove(self, queue: Queue) -> None:
        """Forget a queue that has nothing more to give, and its host with it if that was all."""
        lane, host = queue.lane, queue.host
        queue.ring.leave(queue)
        del lane.queues[host.key]
        host.queues -= 1
        if lane.listed and not lane.has_next():
            self._unlist(lane)
        if host.called is queue:
            host.called = None
            self.call(host)
        if not host.queues and host.is_neutral:
            self.registry.forget(host)

    def park(self, queue: Queue) -> None:
        """Put a queue that cannot go now into its host's line: in front, if it was called before."""
        lane, host = queue.lane, queue.host
        queue.move(host.line)
        if host.called is queue:
            host.called = None
            host.line.first = queue
        if not lane.has_next():
            self._unlist(lane)

    def call(self, host: QueuedHost) -> None:
        """Let the first in a host's line, whose lane is not paused, back into its lane."""
        while (queue := host.line.first) is not None:
            lane = queue.lane
            if lane.paused:
                queue.move(lane.ready)
                continue
            if host.queues > 1:
                host.called = queue
                queue.move(lane.called)
            else:
                queue.move(lane.ready)
            if not lane.listed:
                self._list(lane)
            return

    def _list(self, lane: Lane) -> None:
        lane.listed = True
        self.lanes.join(lane)

    def _unlist(self, lane: Lane) -> None:
        lane.listed = False
        self.lanes.leave(lane)
