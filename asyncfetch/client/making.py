"""From a request to its fetch: where it goes, and whether what it brings along can be used."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from asyncfetch.client.fetch import Fetch
from asyncfetch.client.hosts import Hosts
from asyncfetch.client.misuse import check_request
from asyncfetch.errors import InvalidURL, shown
from asyncfetch.result import Request
from asyncfetch.scheduler import Lane
from asyncfetch.streams.pool import Pool
from asyncfetch.url import Url

if TYPE_CHECKING:
    from asyncfetch.client.batch import Batch

__all__ = ["Maker", "locate"]

_METHODS = frozenset({"GET", "HEAD"})


def locate(request: Request) -> Url:
    """Say where a request goes.

    Raises:
        InvalidURL: it cannot be fetched.
    """
    if request.invalid:
        raise InvalidURL(request.invalid)
    if request.method not in _METHODS:
        raise InvalidURL(f"the method {shown(str(request.method))} is not GET or HEAD")
    return Url.parse(request.url)


class Maker:
    """Makes fetches."""

    def __init__(self, hosts: Hosts, pool: Pool, *, follow: bool) -> None:
        """Take what holds for requests that say nothing else; `follow` is whether redirects are followed."""
        self._hosts = hosts
        self._pool = pool
        self._follow = follow

    def make(
        self,
        lane: Lane,
        request: Request,
        index: int,
        url: Url,
        batch: Batch | None = None,
        *,
        is_bare: bool = False,
    ) -> Fetch:
        """Check what a request brings along, and prepare its fetch.

        Args:
            lane: where it will wait.
            request: what is asked for.
            index: its position, from 1.
            url: where it goes; see `locate`.
            batch: the list it belongs to, if any.
            is_bare: it is known to bring nothing along.

        Raises:
            InvalidURL: it cannot be fetched.
            TypeError: what it brings along is of another type than it takes.
            ValueError: its `max_body` is negative, or its `max_time` or `sha256` is none.
        """
        origin, hosts = url.origin, self._hosts
        fetch = Fetch(
            origin.key,
            lane,
            request=request,
            index=index,
            url=url,
            blocks=hosts.blocks,
            timeouts=hosts.timeouts,
            follow=self._follow if request.follow_redirects is None else request.follow_redirects,
            max_body=request.max_body,
            is_named=origin.is_address,
            added=monotonic(),
            batch=batch,
        )
        if hosts.are_special or not (is_bare or self.is_plain(request)):
            check_request(request)
            hosts.dress(fetch)
            self._pool.watch(fetch.timeouts)
        return fetch

    def is_plain(self, request: Request) -> bool:
        """Whether nothing is different for a request, nor can be for its host: then there is nothing to check."""
        if request.headers is not None or request.timeouts is not None or request.max_time is not None:
            return False
        if request.max_body is not None or request.sha256 is not None:
            return False
        return not self._hosts.are_special
