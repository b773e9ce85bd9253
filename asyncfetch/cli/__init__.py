"""The command line: options in, exit status out.

`app.py` declares the commands; `options.py` their options and what these mean for the client; `layers.py` completes
them from the environment and the configuration file (`config.py`, `host_section.py`); `exits.py` has the exit
statuses; `running.py` the event loop; and each command has a module of its own. Only `main` is loaded at first.
"""

from __future__ import annotations

from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line of this process, and exit."""
    from asyncfetch.cli import exits

    exits.leave(exits.guarded(_run))


def _run() -> int:
    from asyncfetch.cli.app import run_app

    return run_app()
