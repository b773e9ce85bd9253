"""The commands and their options; what they do is in a module for each, loaded when it is called for."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
from click.exceptions import Abort, ClickException
from click.exceptions import Exit as ClickExit

from asyncfetch import __version__
from asyncfetch.cli.commands import Group, option, show_help
from asyncfetch.cli.exits import Exit, UsageProblem, put
from asyncfetch.cli.inputs import InputOptions, input_options
from asyncfetch.cli.layers import Configured, config_of, config_option, given_options
from asyncfetch.cli.options import (
    HOW_MUCH,
    IN_AND_OUT,
    SHOWN,
    connection_options,
    limit_options,
    politeness_options,
    redirect_option,
    request_options,
    robots_option,
    saving_options,
    stop_options,
)
from asyncfetch.cli.values import error_codes, filled, seconds

__all__ = ["app", "run_app"]

_COMPLETE = "_ASYNCFETCH_COMPLETE"


class _Commands(Group):
    """The group, and a good word for who forgets `get`."""

    command_class = Configured

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0] if args else ""
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            from asyncfetch.url import redacted

            raise click.UsageError(f"there is no command {redacted(name)!r}{self._hint(redacted(name))}", ctx)
        return super().resolve_command(ctx, args)

    def _hint(self, name: str) -> str:
        if "." in name or "/" in name:
            return f"; did you mean: asyncfetch get {name}"
        import difflib

        close = difflib.get_close_matches(name, self.commands, 1)
        return f"; did you mean {close[0]}?" if close else ""


@click.group(cls=_Commands, invoke_without_command=True)
@click.version_option(__version__, "-V", "--version", message="asyncfetch %(version)s")
@click.pass_context
def app(ctx: click.Context) -> None:
    """Fetch a list of URLs, many at once, and keep a record of what became of each.

    Polite to hosts, safe with hostile servers.

        asyncfetch demo                      see it work, no network needed
        asyncfetch show https://example.org  one URL, seen from start to end
        asyncfetch plan urls.txt             what a list would be to fetch
        asyncfetch get urls.txt -P pages     a file of URLs, kept below pages/

    More about each command: asyncfetch get --help
    """
    if ctx.invoked_subcommand is None:
        show_help(ctx)


@app.command()
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@option(
    "-o", "--output", type=filled, metavar="FILE", panel=IN_AND_OUT,
    help="Write one JSON line for each URL here; - is stdout.",
)  # fmt: skip
@option(
    "-P", "--output-dir", type=filled, metavar="DIR", panel=IN_AND_OUT,
    help="Save bodies below DIR; without -o, records go to DIR/results.jsonl.",
)  # fmt: skip
@option("--overwrite", is_flag=True, panel=IN_AND_OUT, help="Replace a results file that exists.")
@option(
    "-c", "--continue", "go_on", is_flag=True, panel=IN_AND_OUT,
    help="Go on with the job of a results file: sources and options are those it was begun with.",
)  # fmt: skip
@option(
    "--retry-failed", type=error_codes, is_flag=False, flag_value="", metavar="[=CODES]", panel=IN_AND_OUT,
    help="With -c, fetch again what failed: all, or codes as in dns,timeout,http.5xx. The last record counts.",
)  # fmt: skip
@input_options
@saving_options
@limit_options
@politeness_options
@stop_options
@request_options
@robots_option
@redirect_option("-L/", "--location/--no-location", default=True, show_default="on", help="Follow redirects.")
@connection_options
@config_option
@option("-q", "--quiet", is_flag=True, panel=SHOWN, help="Show nothing but what keeps it from working.")
@option("-v", "--verbose", is_flag=True, panel=SHOWN, help="Show each failure as it comes.")
@option(
    "--progress", type=click.Choice(["auto", "live", "plain", "none"]), default="auto", show_default=True,
    panel=SHOWN, help="live moves; plain is a line every 10 s; auto is live on a terminal, else plain.",
)  # fmt: skip
@option(
    "--no-color", "color", flag_value=False, default=True, panel=SHOWN, help="No colours; NO_COLOR=1 does the same."
)
@option("--json", "as_json", is_flag=True, panel=SHOWN, help="Print the closing summary as JSON on stdout.")
def get(**options: Any) -> int:
    """Fetch URLs from SOURCEs: URLs, files of them, or - for stdin.

    A file has one URL a line, or is a table (.csv, .tsv), JSON Lines (.jsonl) or a sitemap (.xml); .gz or .zst too.

    Data goes to stdout, everything else to stderr. Without -o and -P, records go to stdout unless it is a terminal.

        asyncfetch get urls.txt -P pages          bodies and records below pages/
        asyncfetch get urls.txt -o results.jsonl  records only
        cut -f2 list.tsv | asyncfetch get - | jq  in a pipe

    Exit status:

        0    all URLs are ok
        1    asyncfetch itself failed on the way, on a full disk for instance
        2    refused before the first request
        3    finished, but some URLs are not ok
        4    stopped by a limit that you set
        130  stopped by Ctrl-C; 143 by SIGTERM; 141 whoever read stdout has gone
    """
    from asyncfetch.cli.client_options import ClientOptions
    from asyncfetch.cli.continuing import remembered_options, settings_for
    from asyncfetch.cli.get import Get
    from asyncfetch.cli.get import get as run
    from asyncfetch.cli.saving import SavingOptions

    if options["go_on"]:
        options = remembered_options(options, given_options())
    config = config_of(options.pop("config"))
    settings = settings_for({**options, "config": config.path if config.hosts else None})
    options["hosts"] = config.hosts
    client_options, inputs = ClientOptions.take_from(options), InputOptions.take_from(options)
    saving = SavingOptions.take_from(options)
    return run(Get(**options, inputs=inputs, saving=saving, settings=settings), client_options)


@app.command()
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@input_options
@limit_options
@politeness_options
@option(
    "--seconds-per-request", type=seconds, default=0.5, show_default=True, metavar="S", panel=HOW_MUCH,
    help="What a request is assumed to take, on its connection, from its turn to the end of its body.",
)  # fmt: skip
@request_options
@robots_option
@redirect_option("-L/", "--location/--no-location", default=True, show_default="on", help="Follow redirects.")
@connection_options
@config_option
@option(
    "--no-color", "color", flag_value=False, default=True, panel=SHOWN, help="No colours; NO_COLOR=1 does the same."
)
@option("--json", "as_json", is_flag=True, panel=SHOWN, help="Print it as JSON.")
def plan(**options: Any) -> int:
    """Look at a list and fetch nothing: what is in it, its hosts and their shares, and the least time it can take.

    SOURCEs and options are those of get. -j, --max-per-host, --rate, --delay and --global-rate decide on the time,
    together with the host that takes longest. Only sitemaps are fetched, if there are some; what concerns requests
    is for them.

        asyncfetch plan urls.txt --max-per-host 2
        asyncfetch plan urls.txt --json | jq .least_seconds

    10 million URLs take half a minute, 80 MB of memory and 150 MB in temporary files.

    Exit status: 0 the list was read to its end; 1 it was not; 2 refused; 130, 143 and 141 as with get.
    """
    from asyncfetch.cli.client_options import ClientOptions
    from asyncfetch.cli.plan import Plan
    from asyncfetch.cli.plan import plan as run

    options["hosts"] = config_of(options.pop("config")).hosts
    client_options, inputs = ClientOptions.take_from(options), InputOptions.take_from(options)
    return run(Plan(**options, inputs=inputs), client_options)


@app.command()
@click.argument("results", metavar="FILE", type=filled)
def compact(results: str) -> int:
    """Rewrite a results file to one line for each URL of the list: the last one counts.

    After --retry-failed a file has several lines for some. It is replaced as a whole, never while a job writes it.
    """
    from asyncfetch.cli.compact import compact as run

    return run(results)


@app.command()
@click.argument("url")
@option(
    "--raw", is_flag=True, panel=SHOWN, help="Every byte of the response as it came, with its framing and codings."
)
@option("-q", "--quiet", is_flag=True, panel=SHOWN, help="No report on stderr.")
@request_options
@redirect_option("-L", "--location", is_flag=True, help="Follow redirects.")
@connection_options
@config_option
def show(**options: Any) -> int:
    """Fetch one URL and show all of it: the response on stdout, how it came about on stderr.

    The report tells the addresses tried, the connection and TLS, the request as sent, and how long each phase took.
    Nothing is tried twice.

    Exit status: 0 ok; 1 asyncfetch itself failed; 2 refused before the request; 3 the URL is not ok; 130, 143 and
    141 as with get.
    """
    from asyncfetch.cli.client_options import ClientOptions
    from asyncfetch.cli.show import Show
    from asyncfetch.cli.show import show as run

    hosts = config_of(options["config"]).hosts
    client_options = ClientOptions.take_from({**options, "hosts": hosts, "retry": 0, "waits": False})
    return run(Show(url=options["url"], raw=options["raw"], quiet=options["quiet"]), client_options)


@app.command()
@option("--keep", type=filled, metavar="DIR", help="Keep URL list, records and bodies in DIR, which must be new.")
@option(
    "--seconds", type=click.IntRange(1, 60), default=12, show_default=True, metavar="S",
    help="How long it should take, roughly: 1 to 60.",
)  # fmt: skip
def demo(keep: str | None, seconds: int) -> int:
    """See it work without a network: some thousand URLs on more than 40 hosts, all of them on this machine.

    They are fast, slow, flaky, throttling, redirecting, compressed, large and dead.
    """
    from asyncfetch.cli.demo import demo as run

    return run(keep, seconds)


@app.command()
@option("--settings", is_flag=True, help="Show instead which options hold for get, and where they come from.")
@config_option
def info(settings: bool, config: str | None) -> int:
    """Show versions, event loop, content codings, trusted authorities and the limit of open files."""
    if settings:
        from asyncfetch.cli.holding import describe_settings

        put(describe_settings(get, config_of(config)))
        return Exit.OK
    from asyncfetch.cli.info import describe_installation

    put(describe_installation())
    return Exit.OK


def run_app() -> int:
    """Run the command that the arguments name, and return its exit status.

    Not by click's own `main`: that one writes to stderr at Ctrl-C, and makes a failure of a closed pipe.

    Raises:
        UsageProblem: the arguments are not what the command takes.
        KeyboardInterrupt: a signal came.
    """
    if completion := os.environ.get(_COMPLETE):
        from click.shell_completion import shell_complete

        return shell_complete(app, {}, "asyncfetch", _COMPLETE, completion)
    try:
        with app.make_context("asyncfetch", sys.argv[1:]) as context:
            return int(app.invoke(context) or 0)
    except ClickExit as end:
        return end.exit_code
    except ClickException as error:
        raise UsageProblem(_describe(error)) from error
    except Abort as error:  # at a prompt; click hides which signal it was
        signalled = error.__context__
        raise (signalled if isinstance(signalled, KeyboardInterrupt) else KeyboardInterrupt()) from None
    except SystemExit:  # rich's answer to a closed pipe, in a help text; nobody else exits
        return Exit.PIPE_CLOSED


def _describe(error: ClickException) -> str:
    context = getattr(error, "ctx", None)
    hint = "" if context is None else f" (see {context.command_path} --help)"
    return error.format_message().removesuffix(".") + hint
