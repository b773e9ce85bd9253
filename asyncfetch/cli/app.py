"""The commands and their options; what they do is in a module for each, loaded when it is called for."""

from __future__ import annotations

import difflib
import os
import sys
from typing import Any

import rich_click as click
from click.core import ParameterSource
from click.exceptions import Abort, ClickException
from click.exceptions import Exit as ClickExit
from click.shell_completion import shell_complete

from asyncfetch import __version__
from asyncfetch.cli.exits import Exit, UsageProblem, put
from asyncfetch.cli.options import (
    IN_AND_OUT,
    SHOWN,
    ClientOptions,
    connection_options,
    limit_options,
    politeness_options,
    redirect_option,
    request_options,
    stop_options,
)
from asyncfetch.cli.values import error_codes, filled
from asyncfetch.url import redacted

__all__ = ["app", "run_app"]

_COMPLETE = "_ASYNCFETCH_COMPLETE"
CONTEXT = {
    "help_option_names": ["-h", "--help"],
    "rich_help_config": {
        "text_paragraph_linebreaks": "\n\n",
        "padding_helptext_first_line": (0, 0, 1, 0),
        "max_width": 100,
    },
}


class _Commands(click.RichGroup):
    """The group: the commands in the order in which one meets them, and a good word for who forgets `get`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0] if args else ""
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            raise click.UsageError(f"there is no command {redacted(name)!r}{self._hint(redacted(name))}", ctx)
        return super().resolve_command(ctx, args)

    def _hint(self, name: str) -> str:
        if "." in name or "/" in name:
            return f"; did you mean: asyncfetch get {name}"
        close = difflib.get_close_matches(name, self.commands, 1)
        return f"; did you mean {close[0]}?" if close else ""


@click.group(cls=_Commands, context_settings=CONTEXT, invoke_without_command=True)
@click.version_option(__version__, "-V", "--version", message="asyncfetch %(version)s")
@click.pass_context
def app(ctx: click.Context) -> None:
    """Fetch a list of URLs, many at once, and keep a record of what became of each.

    Polite to hosts, safe with hostile servers.

        asyncfetch demo                      see it work, no network needed
        asyncfetch show https://example.org  one URL, seen from start to end
        asyncfetch get urls.txt -P pages     a file of URLs, kept below pages/

    More about each command: asyncfetch get --help
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@app.command(context_settings=CONTEXT)
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option(
    "-i", "--input-file", type=filled, multiple=True, metavar="FILE", panel=IN_AND_OUT,
    help="A further file of URLs; - is stdin. Can be repeated.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=filled, metavar="FILE", panel=IN_AND_OUT,
    help="Write one JSON line for each URL here; - is stdout.",
)  # fmt: skip
@click.option(
    "-P", "--output-dir", type=filled, metavar="DIR", panel=IN_AND_OUT,
    help="Save bodies below DIR; without -o, records go to DIR/results.jsonl.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, panel=IN_AND_OUT, help="Replace a results file that exists.")
@click.option(
    "-c", "--continue", "go_on", is_flag=True, panel=IN_AND_OUT,
    help="Go on with the job of a results file: sources and options are those it was begun with.",
)  # fmt: skip
@click.option(
    "--retry-failed", type=error_codes, is_flag=False, flag_value="", metavar="[=CODES]", panel=IN_AND_OUT,
    help="With -c, fetch again what failed: all, or codes as in dns,timeout,http.5xx. The last record counts.",
)  # fmt: skip
@limit_options
@politeness_options
@stop_options
@request_options
@redirect_option("-L/", "--location/--no-location", default=True, show_default=True, help="Follow redirects.")
@connection_options
@click.option("-q", "--quiet", is_flag=True, panel=SHOWN, help="Show nothing but what keeps it from working.")
@click.option("-v", "--verbose", is_flag=True, panel=SHOWN, help="Show each failure as it comes.")
@click.option(
    "--progress", type=click.Choice(["auto", "live", "plain", "none"]), default="auto", show_default=True,
    panel=SHOWN, help="live moves; plain is a line every 10 s; auto is live on a terminal, else plain.",
)  # fmt: skip
@click.option(
    "--no-color", "color", flag_value=False, default=True, panel=SHOWN, help="No colours; NO_COLOR=1 does the same."
)
@click.option("--json", "as_json", is_flag=True, panel=SHOWN, help="Print the closing summary as JSON on stdout.")
def get(**options: Any) -> int:
    """Fetch URLs from SOURCEs: URLs, files with one URL a line (also .gz), or - for stdin.

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
    from asyncfetch.cli.continuing import remembered_options, settings_for
    from asyncfetch.cli.get import Get
    from asyncfetch.cli.get import get as run

    if options["go_on"]:
        options = remembered_options(options, _given())
    settings = settings_for(options)
    client_options = ClientOptions.take_from(options)
    return run(Get(**options, settings=settings), client_options)


def _given() -> set[str]:
    """Return the names of the options that were not left to their defaults."""
    context = click.get_current_context()
    assert context is not None, "a command runs"
    return {name for name in context.params if context.get_parameter_source(name) is not ParameterSource.DEFAULT}


@app.command(context_settings=CONTEXT)
@click.argument("results", metavar="FILE", type=filled)
def compact(results: str) -> int:
    """Rewrite a results file to one line for each URL of the list: the last one counts.

    After --retry-failed a file has several lines for some. It is replaced as a whole, never while a job writes it.
    """
    from asyncfetch.cli.compact import compact as run

    return run(results)


@app.command(context_settings=CONTEXT)
@click.argument("url")
@click.option(
    "--raw", is_flag=True, panel=SHOWN, help="Every byte of the response as it came, with its framing and codings."
)
@click.option("-q", "--quiet", is_flag=True, panel=SHOWN, help="No report on stderr.")
@request_options
@redirect_option("-L", "--location", is_flag=True, help="Follow redirects.")
@connection_options
def show(**options: Any) -> int:
    """Fetch one URL and show all of it: the response on stdout, how it came about on stderr.

    The report tells the addresses tried, the connection and TLS, the request as sent, and how long each phase took.
    Nothing is tried twice.

    Exit status: 0 ok; 1 asyncfetch itself failed; 2 refused before the request; 3 the URL is not ok; 130, 143 and
    141 as with get.
    """
    from asyncfetch.cli.show import Show
    from asyncfetch.cli.show import show as run

    client_options = ClientOptions.take_from({**options, "retry": 0, "waits": False})
    return run(Show(url=options["url"], raw=options["raw"], quiet=options["quiet"]), client_options)


@app.command(context_settings=CONTEXT)
@click.option(
    "--keep", type=filled, metavar="DIR", help="Keep URL list, records and bodies in DIR, which must be new."
)
@click.option(
    "--seconds", type=click.IntRange(1, 60), default=12, show_default=True, metavar="S",
    help="How long it should take, roughly: 1 to 60.",
)  # fmt: skip
def demo(keep: str | None, seconds: int) -> int:
    """See it work without a network: some thousand URLs on more than 40 hosts, all of them on this machine.

    They are fast, slow, flaky, throttling, redirecting, compressed, large and dead.
    """
    from asyncfetch.cli.demo import demo as run

    return run(keep, seconds)


@app.command(context_settings=CONTEXT)
def info() -> int:
    """Show versions, event loop, content codings, trusted authorities and the limit of open files."""
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
