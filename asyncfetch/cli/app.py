"""The commands and their options; what they do is in a module for each, loaded when it is called for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn

import rich_click as click
from click.exceptions import Abort, ClickException
from click.exceptions import Exit as ClickExit

from asyncfetch import __version__
from asyncfetch.cli.exits import Exit, UsageProblem, leave
from asyncfetch.cli.options import ClientOptions, connection_options, limit_options, request_options
from asyncfetch.cli.values import COUNT

__all__ = ["app", "run_app"]

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

click.rich_click.OPTION_GROUPS = {
    "asyncfetch get": [
        {"name": "In and out", "options": ["--input-file", "--output", "--output-dir", "--overwrite"]},
        {"name": "How much at once", "options": ["--jobs", "--max-per-host", "--retry", "--max-filesize",
                                                 "--fail-early", "--max-failures"]},
        {"name": "Requests", "options": ["--header", "--user-agent", "--user", "--head", "--location",
                                         "--max-redirs"]},
        {"name": "What is shown", "options": ["--quiet", "--verbose", "--progress", "--no-color", "--json"]},
    ]
}  # fmt: skip


class _Commands(click.RichGroup):
    """The group, with a better word for who forgets `get`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            hint = (
                f"did you mean `asyncfetch get {name}`?" if "." in name or "/" in name else "see asyncfetch --help"
            )
            raise click.UsageError(f"{name!r} is not a command; {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings=CONTEXT, no_args_is_help=True)
@click.version_option(__version__, "-V", "--version", message="asyncfetch %(version)s")
def app() -> None:
    """Fetch a list of URLs, many at once, and keep a record of what became of each.

    Polite to hosts, safe with hostile servers. Try it without a network: asyncfetch demo
    """


@app.command(context_settings=CONTEXT)
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option("-i", "--input-file", multiple=True, metavar="FILE", help="A further file of URLs; - is stdin.")
@click.option("-o", "--output", metavar="FILE", help="Write a JSON line for every URL here; - is stdout.")
@click.option(
    "-P",
    "--output-dir",
    metavar="DIR",
    help="Save bodies below DIR; without -o, the records go to DIR/results.jsonl.",
)
@click.option("--overwrite", is_flag=True, help="Overwrite a results file that exists.")
@limit_options
@click.option("--fail-early", is_flag=True, help="Stop at the first URL that is not ok.")
@click.option("--max-failures", type=COUNT, metavar="N", help="Stop after N URLs that are not ok.")
@request_options
@click.option("-L/", "--location/--no-location", default=True, help="Follow redirects.  [default: yes]")
@connection_options
@click.option("-q", "--quiet", is_flag=True, help="Show nothing but what keeps asyncfetch from working.")
@click.option("-v", "--verbose", is_flag=True, help="Show each failure as it comes.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "live", "plain", "none"]),
    default="auto",
    show_default=True,
    help="auto is live on a terminal, otherwise one plain line every 10 s.",
)
@click.option("--no-color", "color", flag_value=False, default=True, help="No colours; NO_COLOR=1 does the same.")
@click.option("--json", "as_json", is_flag=True, help="Print the closing summary as JSON on stdout.")
def get(**options: Any) -> int:
    """Fetch URLs from SOURCEs: URLs themselves, files with one URL a line (also .gz), or - for stdin.

    Data goes to stdout, everything else to stderr. Without -o and -P the records go to stdout, unless that is a
    terminal.

    Exit status: 0 all URLs ok; 1 asyncfetch failed; 2 refused before the first request; 3 some URLs are not ok;
    4 stopped by a limit; 130 or 143 interrupted.
    """
    from asyncfetch.cli.get import Get
    from asyncfetch.cli.get import get as run

    client_options = ClientOptions.take_from(options)
    return run(Get(**options), client_options)


@app.command(context_settings=CONTEXT)
@click.argument("url")
@click.option("--raw", is_flag=True, help="The response byte for byte as it came, framing and codings included.")
@click.option("-L", "--location", is_flag=True, help="Follow redirects.")
@click.option("-q", "--quiet", is_flag=True, help="No report on stderr.")
@request_options
@connection_options
def show(**options: Any) -> int:
    """Fetch one URL and show all of it: the response on stdout, how it came about on stderr.

    Exit status: 0 ok; 2 refused before the request; 3 the URL is not ok.
    """
    from asyncfetch.cli.show import Show
    from asyncfetch.cli.show import show as run

    client_options = ClientOptions.take_from({**options, "retry": 0})
    return run(Show(url=options["url"], raw=options["raw"], quiet=options["quiet"]), client_options)


@app.command(context_settings=CONTEXT)
@click.option("--keep", metavar="DIR", help="Keep the URL list, the records and the bodies in DIR.")
@click.option("--seconds", type=click.IntRange(1, 60), default=12, show_default=True, metavar="S",
              help="How long it should take, roughly.")  # fmt: skip
def demo(keep: str | None, seconds: int) -> int:
    """See it work without a network: some thousand URLs on 40 and more hosts, all on this machine.

    The servers are fast, slow, flaky, throttling, redirecting, compressed, large and dead.
    """
    from asyncfetch.cli.demo import demo as run

    return run(keep, seconds)


@app.command(context_settings=CONTEXT)
def info() -> int:
    """Show versions, event loop, content codings, trusted authorities and the open-file limit."""
    from asyncfetch.cli.info import describe_installation

    sys.stdout.write(describe_installation())
    return Exit.OK


def run_app() -> NoReturn:
    """Run the command that the arguments name, and exit with its status."""
    leave(_guarded(lambda: app.main(prog_name="asyncfetch", standalone_mode=False)))


def _guarded(run: Callable[[], Any]) -> int:
    """Turn every expected end into an exit status and at most one sentence on stderr."""
    from asyncfetch.job.errors import JobError

    try:
        return int(run() or 0)
    except (UsageProblem, JobError) as error:
        return _refuse(str(error))
    except ClickExit as end:
        return end.exit_code
    except ClickException as error:
        return _refuse(error.format_message(), error)
    except BrokenPipeError:
        return Exit.PIPE_CLOSED
    except (Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED


def _refuse(sentence: str, error: ClickException | None = None) -> int:
    from asyncfetch.display.text import harmless

    context = getattr(error, "ctx", None)
    hint = f"\nTry: {context.command_path} --help" if context is not None else ""
    sys.stderr.write(f"asyncfetch: {harmless(sentence, 2000)}{hint}\n")
    return Exit.REFUSED
