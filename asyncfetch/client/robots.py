"""Asks for the robots.txt of an origin, once, before the first URL there; until then its URLs wait without a place.

Every fetch comes by here on its way to the scheduler: for its first turn, and again after a redirect, which may
have led to another origin. What is known of the origin decides at once. What is not is asked for by a request of
our own, under the limits, timeouts and guard of all others; it is no result, and no credentials go with it. The
URLs that wait for it count as queued in their lanes, so that a list is not read further than its window.

What the answers mean is in `scheduler.robots`.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from anyio import to_thread
from anyio.abc import TaskGroup

from asyncfetch.client.fetch import Fetch, FieldPairs
from asyncfetch.client.making import Maker
from asyncfetch.client.singles import Singles
from asyncfetch.client.streamed import StreamedBody
from asyncfetch.client.tasks import begin
from asyncfetch.errors import Cancelled, FetchError, InvalidRedirect, RobotsDisallowed
from asyncfetch.result import Request, Response, Result
from asyncfetch.scheduler.robots import (
    LARGEST,
    MOST_REDIRECTS,
    Rulebook,
    Verdict,
    judge_failure,
    judge_file,
    judge_status,
    product_token,
)
from asyncfetch.url import Origin, Url

if TYPE_CHECKING:
    from asyncfetch.client.engine import Engine, Opened
    from asyncfetch.client.turns import Turns

__all__ = ["Robots"]

_AT_ONCE = 0.005  # seconds of letting go; then everybody else has a go
_MOST_TASKS = (
    1000  # that ask, 6 KiB each; most of them wait for their turns, or for hosts that want to be left alone
)
_LARGE = 16 * 1024  # bytes of a file that is parsed in a thread: what is larger could hold up the loop
_OWN_CODES = frozenset({"connect.blocked", "dns.not_found", "host.unavailable", "io"})
"""What says of a URL itself why it cannot be fetched, whatever its robots.txt may say: it fails with that."""


class Robots:
    """Lets fetches through to the scheduler, holds them back, or ends them."""

    def __init__(
        self,
        turns: Turns,
        engine: Engine,
        maker: Maker,
        fields: FieldPairs,
        group: TaskGroup,
    ) -> None:
        """Begin knowing nothing of any origin.

        Args:
            turns: where fetches go on to.
            engine: runs the requests for the files.
            maker: makes the fetches of the files.
            fields: of every request; the User-Agent among them says by which name rules are looked for.
            group: where waiting for files takes place.
        """
        self._turns = turns
        self._engine = engine
        self._singles = Singles(turns)
        agents = [value for name, value in fields if name.lower() == "user-agent"]
        self._rulebook = Rulebook(product_token(agents[0] if agents else ""))
        self._maker = maker
        self._lane = turns.frontier.lane()
        self._group = group
        self._wanted: deque[Origin] = deque()
        self._tasks = 0
        self._most_tasks = max(_MOST_TASKS, turns.frontier.total)
        self._held: dict[str, list[tuple[Fetch, float | None]]] = {}

    def admits(self, fetch: Fetch, at: float | None = None) -> bool:
        """Say whether a fetch may be queued now; otherwise it has been ended, or is queued from here later.

        Args:
            fetch: is queued nowhere.
            at: how it is to be queued then, as `Turns.queue` takes it.
        """
        origin = fetch.url.origin
        held = self._held.get(origin.name)
        if held is None:
            verdict = self._rulebook.find(origin.name, monotonic())
            if verdict is not None:
                return self._decide(fetch, verdict)
            held = self._held[origin.name] = []
            self._want(origin)
        if fetch.lane.hold(fetch):
            held.append((fetch, at))
        return False

    def _decide(self, fetch: Fetch, verdict: Verdict) -> bool:
        origin = fetch.url.origin
        if self._rulebook.allows(origin.name, verdict, fetch.url.href):
            return True
        why = f"the robots.txt of {origin.name} {verdict.reason or 'disallows it'}"
        self._turns.refuse(fetch, RobotsDisallowed(why))
        return False

    # --- the file of an origin

    def _want(self, origin: Origin) -> None:
        """See that an origin is asked, by a task that does so already, or by one more."""
        self._wanted.append(origin)
        if self._tasks < self._most_tasks:
            self._tasks += 1
            begin(self._group, self._ask_all(), self._end)

    async def _ask_all(self) -> None:
        """Ask one origin after another, as long as there are some."""
        while self._wanted:
            await self._learn(self._wanted.popleft())
        self._end()

    def _end(self) -> None:
        self._tasks -= 1

    async def _learn(self, origin: Origin) -> None:
        """Ask an origin, and let go on who waits for that."""
        error: FetchError | None = None
        try:
            await self._ask(origin)
        except Cancelled:  # the client closes: so are they that wait
            return
        except FetchError as failure:
            error = failure
            if failure.code not in _OWN_CODES:
                self._rulebook.learn(origin.name, judge_failure(f"{failure.detail} ({failure.code})", monotonic()))
        await self._let_go(origin, error)

    async def _ask(self, origin: Origin) -> None:
        """Fetch the file, wherever it has moved to, and remember what it says for this origin.

        Raises:
            FetchError: no answer came.
        """
        url: Url | None = Url.parse(f"{origin.name}/robots.txt")
        for _ in range(MOST_REDIRECTS + 1):
            if url is None:
                break
            response, content, url = await self._fetch(url, origin)
        general = judge_status(response.status_code, monotonic())
        if general is not None:
            self._rulebook.learn(origin.name, general)
            return
        judge = partial(judge_file, content, self._rulebook.agent, monotonic())
        verdict, rules = judge() if len(content) <= _LARGE else await to_thread.run_sync(judge)
        self._rulebook.learn(origin.name, verdict, rules)
        if verdict.pause:
            self._turns.slow_down(origin.key, verdict.pause)

    async def _fetch(self, url: Url, origin: Origin) -> tuple[Response, bytes, Url | None]:
        """Fetch the file of an origin, its first 500 KiB, from where it is; once more if its body breaks off.

        Returns:
            The response, what was read of its body, and where it redirects to, if it does.

        Raises:
            FetchError: it did not come.
        """
        for is_last in (False, True):
            fetch = self._maker.make(self._lane, Request(url.href), 0, url)
            fetch.blocks = fetch.blocks.without_secrets()
            fetch.for_robots, fetch.is_foreign = True, url.origin != origin
            fetch.follow, fetch.max_body = False, sys.maxsize
            opened: Opened | Result = await self._singles.run(fetch, self._engine.open)
            if isinstance(opened, Result):
                assert opened.error is not None, "only a failure ends before its body"
                raise opened.error
            body = StreamedBody(self._engine, opened, self._turns.pump)
            try:
                return opened.response, await _beginning_of(body), _next_hop(fetch, opened.response)
            except FetchError:
                if is_last:
                    raise
            finally:
                body.close()
        raise AssertionError("the second time it is returned or raised")

    # --- those who wait

    async def _let_go(self, origin: Origin, error: FetchError | None) -> None:
        """Let everything that waits for an origin's file go on, or end it; everybody else has a go meanwhile."""
        since = monotonic()
        for fetch, at in self._held.pop(origin.name):
            if not fetch.lane.let_go(fetch):
                continue  # it was given up meanwhile
            if error is not None and error.code in _OWN_CODES:
                self._turns.refuse(fetch, type(error)(error.detail))
            elif self.admits(fetch, at):
                self._turns.queue(fetch, at)
            if monotonic() - since > _AT_ONCE:
                self._turns.pump()
                await asyncio.sleep(0)
                since = monotonic()
        self._turns.pump()


async def _beginning_of(body: StreamedBody) -> bytes:
    content = bytearray()
    async for piece in body:
        content += piece
        if len(content) >= LARGEST:
            break
    return bytes(content[:LARGEST])


def _next_hop(fetch: Fetch, response: Response) -> Url | None:
    """Return where a response redirects to, None if it does not, or not to where one can go."""
    fetch.follow = True
    try:
        return fetch.redirected(response, MOST_REDIRECTS)
    except InvalidRedirect:
        return None
