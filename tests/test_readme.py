"""The README tells the truth: its commands, tables and examples are those of the code."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys

import pytest

import asyncfetch
from asyncfetch.cli.app import app
from asyncfetch.cli.exits import Exit
from asyncfetch.errors import FetchError, StatusError
from tests.readme import README, read_command

TEXT = README.read_text()


def chapter(title: str) -> str:
    return TEXT.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def words_in_code(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


def test_the_two_commands_set_up_and_run() -> None:
    """Both make a virtual environment, without which pip may refuse; one ends in the demo, one in pytest."""
    assert read_command("demo").startswith("python3 -m venv .venv && ")
    assert read_command("demo").endswith(".venv/bin/asyncfetch demo")
    assert read_command("test").startswith("python3 -m venv .venv && ")
    assert read_command("test").endswith(".venv/bin/python -m pytest")


@pytest.mark.slow
def test_the_commands_can_be_read_by_the_checks() -> None:
    """`python -m tests.readme` prints a command as it stands in the README."""
    argv = [sys.executable, "-m", "tests.readme", "demo"]
    run = subprocess.run(argv, cwd=README.parent, capture_output=True, text=True, check=True)
    assert run.stdout.strip() in TEXT


def test_the_code_in_the_library_chapter_compiles() -> None:
    """The ten lines of the library are Python, and use names that exist."""
    [code] = re.findall(r"```python\n(.*?)```", chapter("In a program"), re.DOTALL)
    compile(code, "README.md", "exec")
    used = set(re.findall(r"asyncfetch\.(\w+)", code))
    assert used <= set(asyncfetch.__all__)


def test_the_code_in_the_chapter_on_politeness_runs() -> None:
    """The client that it describes can be made."""
    [code] = re.findall(r"```python\n(.*?)```", chapter("Politeness"), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {"asyncfetch": asyncfetch})


def test_every_option_it_names_exists() -> None:
    """Options in the README are options of the commands."""
    known = {
        option for command in app.commands.values() for p in command.params for option in p.opts + p.secondary_opts
    }
    named = set(re.findall(r"(?<![\w-])(--?[A-Za-z][\w-]*)", " ".join(words_in_code(chapter("Defaults")))))
    named |= set(re.findall(r"(?<![\w-])(--[a-z][\w-]*)", " ".join(words_in_code(chapter("Politeness")))))
    named |= set(re.findall(r"^asyncfetch get .*?(--[a-z-]+)", TEXT, re.MULTILINE))
    assert named
    assert named <= known


def test_the_defaults_are_those_of_the_code() -> None:
    """The numbers in the table of defaults are what Limits, Timeouts, Retry, Redirects and Network start with."""
    table = chapter("Defaults")
    limits, timeouts, retry = asyncfetch.Limits(), asyncfetch.Timeouts(), asyncfetch.Retry()
    network, redirects = asyncfetch.Network(), asyncfetch.Redirects()
    politeness = asyncfetch.Politeness()
    rows = {
        "`Limits.total` |": f"{limits.total} requests",
        "`Limits.per_host`": f"{limits.per_host} of these",
        "`Limits.queued`": f"{limits.queued:,} entries",
        "`Limits.overflow`": f"{limits.overflow >> 30} GiB",
        "`Network.resolver_threads`": f"{network.resolver_threads} look-ups at once; {network.stagger:g} s until",
        "`Limits.buffered`": f"{limits.buffered} results or {limits.buffered_bytes >> 20} MiB",
        "`Limits.max_body`": f"{(limits.max_body or 0) >> 20} MiB",
        "`Limits.idle_total`": f"{limits.idle_total} idle connections, {limits.idle_seconds:g} s",
        "`Timeouts.connect`": f"{timeouts.connect:g} s",
        "`Timeouts.head`": f"{timeouts.head:g} s",
        "`Timeouts.read`": f"{timeouts.read:g} s",
        "`Timeouts.speed_limit`": f"{timeouts.speed_limit:,} bytes/s over {timeouts.speed_time:g} s",
        "`Retry.attempts`": f"{retry.attempts - 1} further attempts, {retry.attempts} in all",
        "`Retry.backoff`": f"{retry.backoff:g} s, doubling, at most {retry.backoff_most:g} s",
        "`Retry.max_wait`": f"{retry.max_wait:g} s at a time, {retry.wait_budget:g} s a URL",
        "`Politeness.failures`": (
            f"{politeness.failures} in a row, then probes after "
            f"{politeness.probes[0]:g}, {politeness.probes[1]:g} and {politeness.probes[2]:g} s; "
            f"{politeness.rest:g} s until"
        ),
        "`Redirects.follow`": f"followed, {redirects.most} in a row",
        "`Network.name_ttl`": f"kept {network.name_ttl:g} s, failed look-ups {network.failure_ttl:g} s",
    }
    for name, value in rows.items():
        [row] = [line for line in table.splitlines() if name in line]
        assert value in row, row


def test_every_setting_has_its_default() -> None:
    """The table of defaults names each field of each settings value."""
    table = chapter("Defaults")
    for kind in (
        asyncfetch.Limits,
        asyncfetch.Timeouts,
        asyncfetch.Retry,
        asyncfetch.Politeness,
        asyncfetch.HostSettings,
        asyncfetch.Redirects,
        asyncfetch.Network,
        asyncfetch.TLSSettings,
    ):
        row = "".join(line for line in table.splitlines() if f"`{kind.__name__}." in line)
        for field in dataclasses.fields(kind):
            assert f"`{field.name}`" in row or f"`{kind.__name__}.{field.name}`" in row, field.name


def test_the_commands_defaults_are_the_librarys() -> None:
    """What the command line starts with is what the library starts with."""
    defaults = {p.name: p.default for p in app.commands["get"].params}
    limits, timeouts, retry = asyncfetch.Limits(), asyncfetch.Timeouts(), asyncfetch.Retry()
    assert (defaults["jobs"], defaults["max_per_host"]) == (limits.total, limits.per_host)
    assert defaults["connect_timeout"] == timeouts.connect
    assert defaults["head_timeout"] == timeouts.head
    assert defaults["read_timeout"] == timeouts.read
    assert (defaults["speed_limit"], defaults["speed_time"]) == (timeouts.speed_limit, timeouts.speed_time)
    assert defaults["retry"] == retry.attempts - 1
    assert defaults["max_redirs"] == asyncfetch.Redirects().most
    assert defaults["max_wait"] == retry.max_wait
    polite = asyncfetch.Politeness()
    assert (defaults["delay"], defaults["adapt"]) == (polite.delay, polite.adapt)
    assert (polite.rate, polite.global_rate, polite.limit_rate) == (None, None, None)


def test_the_record_is_described_key_by_key() -> None:
    """The table of the record names its keys, in their order."""
    rows = re.findall(r"^\| (`.*?) \|", chapter("The record"), re.MULTILINE)
    named = [key for row in rows for key in re.findall(r"`(\w+)`", row)]
    assert named == list(asyncfetch.Record.__struct_fields__)


def test_every_error_code_is_described() -> None:
    """The table of codes and the tree of errors have the same codes."""
    rows = re.findall(r"^\| (`.*?) \|", chapter("Error codes"), re.MULTILINE)
    named = {code for row in rows for code in re.findall(r"`([\w.]+)`", row)}
    assert named == codes_below(FetchError)


def codes_below(kind: type[FetchError]) -> set[str]:
    if kind is StatusError:
        return {StatusError(404).code, StatusError(503).code}
    below = [codes_below(child) for child in kind.__subclasses__()]
    return set().union(*below) if below else {kind.code}


def test_every_exit_status_is_described() -> None:
    """The table of exit statuses has each that the command knows."""
    rows = re.findall(r"^\| ([\d, ]+) \|", chapter("Exit status"), re.MULTILINE)
    assert {int(number) for row in rows for number in row.split(", ")} == {int(status) for status in Exit}


def test_every_floor_is_on_the_map() -> None:
    """The map of the house names each folder of the package."""
    folders = {
        f"{p.name}/" for p in (README.parent / "asyncfetch").iterdir() if p.is_dir() and p.name != "__pycache__"
    }
    assert folders <= words_in_code(chapter("The house"))
