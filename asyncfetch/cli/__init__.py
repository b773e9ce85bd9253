"""The command line: options in, exit status out.

`app.py` declares the commands; `options.py` their options and what these mean for the client; `exits.py` the exit
statuses; `running.py` the event loop; and each command has a module of its own. Only `main` is loaded at first.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process, and exit."""
    from asyncfetch.cli.app import run_app

    run_app()
