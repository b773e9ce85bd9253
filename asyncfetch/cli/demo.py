"""`asyncfetch demo`: the real command on a real list, against hosts that are all on this machine.

Three processes: this one, which writes the list, waits and cleans up; the servers (`demo_hosts`), which end when
their stdin does; and the command itself, which has the terminal, so that everything is as it will be, Ctrl-C too.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from types import FrameType
from typing import Self

import asyncfetch
from asyncfetch.cli.demo_hosts import make_hosts
from asyncfetch.cli.exits import Exit, Terminated, UsageProblem, tell

__all__ = ["demo"]

_LIST = "urls.txt"
_FETCHED = "fetched"
_RESULTS = "fetched/results.jsonl"
_NOT_FETCHABLE = ("htp://fast-1.test/a-typo", "ftp://files.test/not-http", "fast-1.test/no-scheme")


def demo(keep: str | None, seconds: int) -> int:
    """Run the demo for about `seconds`; return the exit status: 0 if it went as intended.

    Raises:
        UsageProblem: it cannot begin.
        KeyboardInterrupt: a signal came while the command was not running.
    """
    with ExitStack() as stack:
        interrupts = stack.enter_context(_Interrupts())
        folder = stack.enter_context(_folder(keep))
        places = stack.enter_context(_servers(seconds))
        urls = _write_list(folder / _LIST, seconds, places)
        command = ["get", _LIST, "-P", _FETCHED, "--head-timeout", f"{max(0.5, seconds / 6):g}"]
        resolve = [word for name, place in places.items() for word in ("--resolve", _override(name, place))]
        _say(
            f"{urls:,} URLs on {len(places)} hosts, all of them on this machine: fast and slow ones,",
            "flaky, busy, moved, compressed, large and dead ones. The real command:",
            "",
            f"    asyncfetch {shlex.join(command)}",
            "",
        )
        status = interrupts.run([*_python("asyncfetch"), *command, *resolve], folder)
        if interrupts.signum is not None:
            fetched = "gone, too" if keep is None else f"kept in {folder}"
            _say("", f"The demo was interrupted: its servers are gone, so nothing can be gone on with. What it has "
                     f"fetched is {fetched}.")  # fmt: skip
            return Exit.TERMINATED if interrupts.signum == signal.SIGTERM else Exit.INTERRUPTED
        return _conclude(status, urls, folder, keep)


def _say(*lines: str) -> None:
    with suppress(OSError):
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _environment() -> dict[str, str]:
    """Let a child find this package from any directory, installed or not, and none of the user's own settings."""
    given = os.environ.get("PYTHONPATH", "")
    paths = [str(Path(path).resolve()) for path in given.split(os.pathsep) if path]
    root = Path(asyncfetch.__file__).resolve().parent.parent
    if root.name not in ("site-packages", "dist-packages"):
        paths.append(str(root))
    others = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCFETCH_")}
    return {**others, "PYTHONPATH": os.pathsep.join(paths)}


# --- what lies on the disk


@contextmanager
def _folder(keep: str | None) -> Iterator[Path]:
    """Give the directory for everything: the one to keep, or one that is removed at the end."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="asyncfetch-demo-") as name:
            yield Path(name)
        return
    folder = Path(keep)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise UsageProblem(f"--keep {keep!r} cannot be used: {(error.strerror or str(error)).lower()}") from error
    if not is_empty:
        raise UsageProblem(f"--keep {keep!r} is not empty: name a directory that does not exist yet")
    yield folder.resolve()


def _write_list(path: Path, seconds: int, places: dict[str, str]) -> int:
    """Write the URLs of all hosts, well mixed, and return how many there are."""
    urls = [
        f"http://{host.name}:{places[host.name].rpartition(':')[2]}{path}"
        for host in make_hosts(seconds, places)
        for path in host.paths
    ]
    urls += _NOT_FETCHABLE
    Random(7).shuffle(urls)  # noqa: S311
    path.write_text("# One URL a line; comments and blank lines do not count.\n\n" + "\n".join(urls) + "\n")
    return len(urls)


def _override(name: str, place: str) -> str:
    address, _, port = place.rpartition(":")
    return f"{name}:{port}:{address}"


# --- the servers


@contextmanager
def _servers(seconds: int) -> Iterator[dict[str, str]]:
    """Run the servers, and give the `address:port` of each host, by name.

    They have a session of their own, so that Ctrl-C does not reach them: they are needed up to the end.
    """
    command = [*_python("asyncfetch.cli.demo_hosts"), str(seconds)]
    servers = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment(), start_new_session=True
    )
    with servers:
        try:
            assert servers.stdout is not None
            line = servers.stdout.readline()
            if not line:
                raise UsageProblem("the demo's servers could not start on this machine's loopback addresses")
            yield json.loads(line)
        finally:
            _close(servers)


def _close(servers: subprocess.Popen[bytes], within: float = 5.0) -> None:
    """Let the servers end, and wait for it, but not for ever; `within` is in seconds."""
    assert servers.stdin is not None
    servers.stdin.close()
    try:
        servers.wait(within)
    except subprocess.TimeoutExpired:
        servers.kill()


# --- the command


class _Interrupts:
    """Keeps signals from ending the demo before it has cleaned up.

    While the command runs they are its own matter: Ctrl-C reaches it by itself, everything else is passed on. At
    any other time the first one ends the demo like an exception.

    Attributes:
        signum: the first signal that came, or None.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._is_running = False
        self._command: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        wanted = (signal.SIGINT, signal.SIGTERM)
        self._before = {s: signal.getsignal(s) for s in wanted if signal.getsignal(s) is not signal.SIG_IGN}
        for signum in self._before:
            signal.signal(signum, self._came)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def run(self, command: list[str], folder: Path) -> int:
        """Run the command to its end, and return its exit status."""
        self._is_running = True
        with subprocess.Popen(command, cwd=folder, env=_environment()) as self._command:  # noqa: S603
            if self.signum is not None:
                self._command.send_signal(self.signum)
            status = self._command.wait()
        self._is_running = False
        return status

    def _came(self, signum: int, _: FrameType | None) -> None:
        is_first, self.signum = self.signum is None, self.signum or signum
        if not self._is_running:
            if is_first:
                raise Terminated if signum == signal.SIGTERM else KeyboardInterrupt
        elif self._command is not None and not (signum == signal.SIGINT and _is_in_foreground()):
            self._command.send_signal(signum)


def _is_in_foreground() -> bool:
    """Whether the terminal sends Ctrl-C to this process and to its children alike."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)


# --- the end


def _conclude(status: int, urls: int, folder: Path, keep: str | None) -> int:
    """Explain what has been seen, and what comes next; return the exit status of the demo."""
    records = _records(folder / _RESULTS)
    if status != Exit.NOT_OK or len(records) != urls:
        tell(f"the demo did not go as intended: exit status {status}, {len(records):,} records of {urls:,} URLs")
        return Exit.FAILED
    _say(
        "",
        "It ended with exit status 3: finished, but some URLs are not ok; here on purpose.",
        f"It left a record for each of the {urls:,} URLs, such as:",
        "",
        f"    {_good_example(records)}",
        "",
    )
    if keep is None:
        _say("All of it is gone now; `asyncfetch demo --keep DIR` keeps it in DIR.")
    else:
        bodies = sum('"path":' in line for line in records)
        _say(
            f"The list:     {folder / _LIST}",
            f"The records:  {folder / _RESULTS}",
            f"The bodies:   {folder / _FETCHED}, {bodies:,} files, a directory for each host",
        )
    _say(
        "",
        "What you can type next:",
        "",
        *([] if keep is None else [f"    grep '\"ok\":false' {shlex.quote(str(folder / _RESULTS))} | head"]),
        "    asyncfetch show https://example.org",
        "    asyncfetch get YOUR-URLS.txt -P pages",
        "    asyncfetch get --help",
    )
    return Exit.OK


def _records(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _good_example(records: list[str]) -> str:
    """Choose a short one whose body was saved."""
    return min((line for line in records if '"path":' in line), key=len)
