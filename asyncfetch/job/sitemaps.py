"""The sitemaps of a site, one after the other as the reading comes to them, in the order that their index gives.

An index is followed three levels down, at most 50,000 sitemaps in all, each of them once and up to 50 MiB. What is
not there, or is no sitemap, is an entry that cannot be fetched, under the address of the sitemap. What may be there
at another time (a server that does not answer) ends the reading: `-c` goes on, and everything has its number.

Who writes a sitemap chooses whom we ask, as who answers with a redirect does. So the user's credentials go to the
origin of the sitemap that the user named, and to no other that it names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from asyncfetch.errors import (
    BodyError,
    CertificateError,
    ConnectBlocked,
    FetchError,
    InvalidURL,
    NameNotFound,
    RedirectError,
    StatusError,
)
from asyncfetch.job.errors import SourceError
from asyncfetch.job.formats.rows import Row
from asyncfetch.job.lines import BLOCK, Line
from asyncfetch.job.packing import Unreadable, unpacked
from asyncfetch.url import Url, redacted

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from asyncfetch.client import Client

__all__ = ["CalledOff", "Named", "SitemapFetcher", "SitemapWalk"]

Named = tuple[str, list[Line]]
"""The name of a source, and some of its entries."""

_MOST_BYTES = 50 << 20
_MOST_SITEMAPS = 50_000
_MOST_LEVELS = 3

_FOR_GOOD = (InvalidURL, NameNotFound, ConnectBlocked, CertificateError, BodyError, RedirectError)
_MAY_PASS = frozenset({408, 425, 429})


class CalledOff(Exception):
    """Nobody wants the sitemap any more."""


class _NotFetched(Unreadable):
    """A sitemap could not be fetched.

    Attributes:
        for_good: another try would not help.
    """

    def __init__(self, error: FetchError) -> None:
        super().__init__(f"cannot be fetched: {error.detail}")
        is_status = isinstance(error, StatusError) and error.status < 500 and error.status not in _MAY_PASS
        self.for_good = is_status or isinstance(error, _FOR_GOOD)


class SitemapFetcher:
    """Fetches sitemaps for a thread that reads: with a client of its own, in an event loop of its own.

    Attributes:
        count: sitemaps that were fetched.
    """

    def __init__(self, open_client: Callable[[], Client] | None = None, within: float | None = None) -> None:
        """Prepare it.

        Args:
            open_client: makes the client, when it is needed; None makes one that has no settings.
            within: seconds from now, in which whatever is looked at has to come; None is no limit.
        """
        self._within = within
        self._until = None if within is None else monotonic() + within
        self.count = 0
        self._open_client = open_client
        self._portal: BlockingPortal | None = None
        self._client: Client | None = None
        self._opened = ExitStack()
        self._pending: Future[bytes] | None = None
        self._kept: dict[str, bytes] = {}
        self._called_off = Event()

    def look_at(self, url: str) -> None:
        """Fetch a sitemap before its turn, see that it is one, and keep it until then.

        Raises:
            Unreadable: it cannot be fetched, or is no sitemap.
        """
        from asyncfetch.job.formats.sitemap import Sitemap

        try:
            content = self.fetch(url, until=self._until)
        except TimeoutError as error:
            raise Unreadable(f"was not fetched within {self._within:g} s") from error
        begin, reader = unpacked(pieces(content)), Sitemap()
        reader.feed(next(begin, b""))
        if next(begin, None) is None:
            reader.finish()
        self._kept[url] = content

    def fetch(
        self, url: str, headers: Mapping[str, str | None] | None = None, *, until: float | None = None
    ) -> bytes:
        """Fetch a sitemap, with some headers over the client's, and return it as the server has it.

        Raises:
            Unreadable: it cannot be fetched.
            TimeoutError: it has not come until then, of `monotonic`.
            CalledOff: by `call_off`.
        """
        if (kept := self._kept.pop(url, None)) is not None:
            return kept
        if self._called_off.is_set():
            raise CalledOff
        portal = self._start()
        self._pending = portal.start_task_soon(self._get, url, headers)
        if self._called_off.is_set():  # in this very moment, by another thread
            self._pending.cancel()
        try:
            return self._pending.result(None if until is None else max(0.0, until - monotonic()))
        except CancelledError:
            raise CalledOff from None
        except FetchError as error:
            raise _NotFetched(error) from error
        finally:
            self._pending.cancel()  # nothing is done to what has ended
            self._pending = None

    def call_off(self) -> None:
        """Let whoever waits for a sitemap wait no longer. From any thread."""
        self._called_off.set()
        if (pending := self._pending) is not None:
            pending.cancel()

    def close(self) -> None:
        """Close the client, when nobody fetches any more."""
        self._opened.close()

    def _start(self) -> BlockingPortal:
        if self._portal is None:
            from anyio.from_thread import start_blocking_portal

            from asyncfetch.client import Client

            portal = self._portal = self._opened.enter_context(start_blocking_portal())
            client = Client() if self._open_client is None else self._open_client()
            self._client = self._opened.enter_context(portal.wrap_async_context_manager(client))
        return self._portal

    async def _get(self, url: str, headers: Mapping[str, str | None] | None) -> bytes:
        assert self._client is not None, "it was opened with the portal"
        response = await self._client.get(url, headers=headers, max_body=_MOST_BYTES)
        response.raise_for_status()
        self.count += 1
        return response.content


class _Origin(NamedTuple):
    """Where a sitemap is from.

    Attributes:
        name: of the sitemap, as it may be shown.
        level: how many indexes led to it.
        trusted: the origin that the user named; empty below a file of the user's own, which may name any.
    """

    name: str
    level: int = 0
    trusted: str = ""


class SitemapWalk:
    """Reads one sitemap and, if it is an index, those that it names."""

    def __init__(self, fetcher: SitemapFetcher, credentials: Sequence[str] = ()) -> None:
        """Begin with none; `credentials` are the names of the client's fields that are for that origin only."""
        self._fetcher = fetcher
        self._met: set[str] = set()
        self._without: dict[str, str | None] = dict.fromkeys(credentials)

    def of_url(self, url: str) -> Iterator[Named]:
        """Give the entries of the sitemap at a URL, with the name of the sitemap that they stand in.

        Raises:
            Unreadable: it cannot be fetched or read.
            SourceError: a sitemap further down cannot be fetched, at least not now.
            CalledOff: nobody wants it any more.
        """
        self._met.add(url)
        content = self._fetcher.fetch(url)
        return self._read(_Origin(redacted(url), 0, _origin_of(url)), _bounded(unpacked(pieces(content))))

    def of_file(self, name: str, blocks: Iterator[bytes]) -> Iterator[Named]:
        """Give the entries of a sitemap of the user's own.

        Raises:
            Unreadable, SourceError, CalledOff: as `of_url`.
        """
        return self._read(_Origin(name), blocks)

    def _read(self, sitemap: _Origin, blocks: Iterator[bytes]) -> Iterator[Named]:
        from asyncfetch.job.formats.sitemap import Sitemap

        reader = Sitemap()
        for block in blocks:
            yield from self._entries(sitemap, reader.feed(block), is_index=reader.is_index)
        yield from self._entries(sitemap, reader.finish(), is_index=reader.is_index)

    def _entries(self, sitemap: _Origin, lines: list[Line], *, is_index: bool) -> Iterator[Named]:
        if not is_index:
            yield sitemap.name, self._guarded(lines, sitemap.trusted)
            return
        for line in lines:
            yield from self._below(sitemap, line)

    def _guarded(self, lines: list[Line], trusted: str) -> list[Line]:
        """Take the credentials from requests to others than the origin that may have them."""
        if not self._without or not trusted:
            return lines
        return [
            Row(line.number, line.text, line.fault, line.text, headers=self._headers_for(line.text, trusted))
            for line in lines
        ]

    def _headers_for(self, url: str, trusted: str) -> dict[str, str | None] | None:
        return self._without if self._without and trusted and _origin_of(url) != trusted else None

    def _below(self, sitemap: _Origin, line: Line) -> Iterator[Named]:
        """Give the entries of a sitemap that an index names; one that was there before has none any more."""
        url = line.text
        if url in self._met:
            return
        below = _Origin(redacted(url), sitemap.level + 1, sitemap.trusted or _origin_of(url))
        fault = line.fault or self._why_not(below.level)
        if not fault:
            self._met.add(url)
            try:
                content = self._fetcher.fetch(url, self._headers_for(url, sitemap.trusted))
                yield from self._read(below, _bounded(unpacked(pieces(content))))
            except Unreadable as error:
                if isinstance(error, _NotFetched) and not error.for_good:
                    raise SourceError(below.name, error.detail) from error
                fault = f"the sitemap {error.detail}"
        if fault:
            yield sitemap.name, self._guarded([Line(line.number, url, fault)], sitemap.trusted)

    def _why_not(self, level: int) -> str:
        if level > _MOST_LEVELS:
            return f"the sitemap is more than {_MOST_LEVELS} levels below the first one"
        if len(self._met) >= _MOST_SITEMAPS:
            return f"the sitemap is one more than the {_MOST_SITEMAPS:,} that are read"
        return ""


def _origin_of(url: str) -> str:
    try:
        return Url.parse(url).origin.name
    except InvalidURL:
        return ""


def pieces(content: bytes) -> Iterator[bytes]:
    """Give content block by block."""
    return (content[start : start + BLOCK] for start in range(0, len(content), BLOCK))


def _bounded(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Give the blocks of a sitemap from the network, and no more than one may have.

    Raises:
        Unreadable: there are more.
    """
    size = 0
    for block in blocks:
        size += len(block)
        if size > _MOST_BYTES:
            raise Unreadable(f"is over {_MOST_BYTES >> 20} MiB, more than a sitemap may have")
        yield block
