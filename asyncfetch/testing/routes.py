"""Which answer a request gets: by its path, its turn, how busy its host is, or what a callable says.

Knows nothing of connections. What an answer does is in `scripts`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from asyncfetch.testing.scripts import Answer, Chooser, Reply, Script, Sequence, Throttle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncfetch.testing.request import SeenRequest

_NOT_FOUND = Reply(404, b"not found\n")


class Routes:
    """The answers of one server, by path; "*" is the answer for every other path.

    Attributes:
        errors: what the callables raised; their requests got status 500.
    """

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = dict(answers)
        self._turns: dict[tuple[str, Sequence], int] = {}
        self.errors: list[Exception] = []

    def set(self, path: str, answer: Answer) -> None:
        """Answer requests for `path`, which has no query, with `answer` from now on."""
        if not path.startswith("/") and path != "*":
            raise ValueError(f"a route is a path or '*': {path!r}")
        self._answers[path] = answer
        for key in [key for key in self._turns if key[0] == path]:
            del self._turns[key]

    async def choose(self, request: SeenRequest, in_progress: int) -> Reply | Script:
        """Return what `request` gets while `in_progress` requests, it included, are in progress on its host."""
        route = request.path if request.path in self._answers else "*"
        answer = self._answers.get(route, _NOT_FOUND)
        while not isinstance(answer, Reply | Script):
            if isinstance(answer, Sequence):
                answer = answer.at(self._turn(route, answer))
            elif isinstance(answer, Throttle):
                answer = answer.at(in_progress)
            else:
                answer = await self._ask(answer, request)
        return answer

    def _turn(self, route: str, sequence: Sequence) -> int:
        turn = self._turns.get((route, sequence), 0)
        self._turns[route, sequence] = turn + 1
        return turn

    async def _ask(self, chooser: Chooser, request: SeenRequest) -> Answer:
        """Call a callable; an exception of it is kept, and answered with status 500."""
        try:
            chosen = chooser(request)
            return await chosen if inspect.isawaitable(chosen) else chosen
        except Exception as error:  # whatever a user's function raises
            self.errors.append(error)
            return Reply(500, f"{type(error).__name__}: {error}\n".encode())
