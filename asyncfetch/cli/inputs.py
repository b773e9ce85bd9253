"""The options of every command that reads a list: how it is written, and which of its entries are wanted."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import click

from asyncfetch.cli.commands import option
from asyncfetch.cli.options import stacked
from asyncfetch.cli.values import count, filled, pattern

if TYPE_CHECKING:
    from asyncfetch.cli.client_options import ClientOptions
    from asyncfetch.job import Sources

__all__ = ["INPUT", "InputOptions", "input_options"]

INPUT = "The list"
_FORMATS = ["auto", "lines", "jsonl", "csv", "tsv", "sitemap"]

input_options = stacked(
    option("-i", "--input-file", type=filled, multiple=True, metavar="FILE", panel=INPUT,
                 help="A further file of URLs; - is stdin. Can be repeated."),
    option("--input-format", type=click.Choice(_FORMATS), default="auto", show_default=True, panel=INPUT,
                 help="How files and stdin are written; auto goes by the file's name: .jsonl, .csv, .tsv and .xml "
                      "(sitemaps), everything else and stdin are lines. With sitemap, URLs are sitemaps too."),
    option("--url-field", type=filled, default="url", show_default=True, metavar="NAME", panel=INPUT,
                 help="The column, or the field of JSON Lines, that holds the URL."),
    option("--sitemap", "sitemaps", type=filled, multiple=True, metavar="URL", panel=INPUT,
                 help="Fetch what this sitemap names, or an index of sitemaps; it may be a file. Can be repeated."),
    option("--include", type=pattern, multiple=True, metavar="REGEX", panel=INPUT,
                 help="Only URLs in which this is found, as given. Can be repeated: one is enough."),
    option("--exclude", type=pattern, multiple=True, metavar="REGEX", panel=INPUT,
                 help="No URLs in which this is found. Can be repeated."),
    option("--limit", type=count, metavar="N", show_default="no limit", panel=INPUT,
                 help="Only the first N that --include, --exclude and --dedupe leave."),
    option("--dedupe", is_flag=True, panel=INPUT,
                 help="Leave out URLs that were there before. Exact: a million URLs take 70 to 90 MB of memory."),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class InputOptions:
    """What the options say of the list; where it comes from is said by the arguments."""

    input_format: str = "auto"
    url_field: str = "url"
    sitemaps: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    limit: int | None = None
    dedupe: bool = False

    @classmethod
    def take_from(cls, options: dict[str, Any]) -> InputOptions:
        """Take what belongs here out of a command's options."""
        return cls(**{name: options.pop(name) for name in cls.__slots__ if name in options})

    @property
    def leaving_out(self) -> str:
        """The options that leave URLs out, as they are called."""
        given = {"--include": self.include, "--exclude": self.exclude, "--dedupe": self.dedupe}
        return " and ".join(name for name, value in given.items() if value)

    def open(self, specs: Iterable[str], client_options: ClientOptions, within: float | None = None) -> Sources:
        """Look at every source, sitemaps last, `within` so many seconds.

        Raises:
            SourceError: one of them cannot be used.
        """
        from asyncfetch.job import InputSettings, open_sources

        settings = InputSettings(
            format=None if self.input_format == "auto" else cast(Any, self.input_format),
            url_field=self.url_field,
            sitemaps=self.sitemaps,
            within=within,
            include=tuple(map(re.compile, self.include)),
            exclude=tuple(map(re.compile, self.exclude)),
            limit=self.limit,
            dedupe=self.dedupe,
            method=client_options.method,
            credentials=client_options.credentials,
        )
        stdin = None if sys.stdin is None else sys.stdin.buffer
        return open_sources(specs, stdin, settings=settings, open_client=client_options.open_client)
