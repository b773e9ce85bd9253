"""What a user may say of the input: how it is written, and which of its entries are wanted."""

from __future__ import annotations

import re

import msgspec

from asyncfetch.job.formats import Format
from asyncfetch.result import Method

__all__ = ["InputSettings"]


class InputSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How sources are read, and what is left out.

    Attributes:
        format: of every file and of stdin; None goes by the ending of each file's name, and takes stdin as lines.
            `sitemap` makes sitemaps of URLs, too.
        url_field: the column, or the field of JSON Lines, that holds the URL.
        sitemaps: URLs or files that are sitemaps, after all other sources.
        within: seconds that may pass until all sources have been looked at, for sitemaps; None is no limit.
        include: an entry is left out unless one of these is found in its URL as given; none leaves nothing out.
        exclude: an entry is left out if one of these is found in it.
        limit: entries that are wanted at most, 1 or more; None is no limit. Nothing is read beyond.
        dedupe: whether a URL that was there before is left out.
        method: of every request.
        credentials: names of the client's headers that only the origin of a sitemap may see, not the others that it
            names.
    """

    format: Format | None = None
    url_field: str = "url"
    sitemaps: tuple[str, ...] = ()
    within: float | None = None
    include: tuple[re.Pattern[str], ...] = ()
    exclude: tuple[re.Pattern[str], ...] = ()
    limit: int | None = None
    dedupe: bool = False
    method: Method = "GET"
    credentials: tuple[str, ...] = ()

    @property
    def leaves_out(self) -> bool:
        """Whether any entry may be left out."""
        return bool(self.include or self.exclude or self.dedupe or self.limit is not None)
