"""The command line: options in, exit status out. Only `main` is loaded at first.

- `app.py` declares the commands; `get.py`, `show.py`, `plan.py`, `compact.py`, `demo.py` and `info.py` are what
  they do; `demo_hosts.py` has the servers of the demo
- `commands.py`: the kind of command that they are; `helping.py` draws their help when it is asked for
- `options.py`: their options, `client_options.py`: what these mean for the client; `inputs.py` and `saving.py`: for
  lists and bodies; `values.py`: what the text of one may be; `secrets.py`: which are nobody's business
- `layers.py` completes them from the environment and the file: `config.py`, `host_section.py`; `holding.py`
  shows what holds; `continuing.py` takes those of a job that goes on
- `running.py` has the event loop and the signals, `exits.py` the exit statuses, `remarks.py` the sentences on
  the way
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
