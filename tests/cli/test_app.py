"""The commands as one meets them: help, completion, misspelt names, and what is said of wrong arguments."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import rich_click as click

from asyncfetch import __version__
from asyncfetch.cli.app import app, run_app
from asyncfetch.cli.exits import UsageProblem
from tests.cli.command import Terminal, environment, run, shell


def said(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What is said of arguments that no command takes."""
    monkeypatch.setattr(sys, "argv", ["asyncfetch", *arguments])
    with pytest.raises(UsageProblem) as caught:
        run_app()
    return str(caught.value)


def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that only shows something writes to stdout."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["asyncfetch", *arguments])
    assert run_app() == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gte"], "there is no command 'gte'; did you mean get? (see asyncfetch --help)"),
        (["fetch"], "there is no command 'fetch' (see asyncfetch --help)"),
        (
            ["a.org/x"],
            "there is no command 'a.org/x'; did you mean: asyncfetch get a.org/x (see asyncfetch --help)",
        ),
        ([""], "there is no command '' (see asyncfetch --help)"),
        (["--jobs", "3"], "No such option '--jobs' (see asyncfetch --help)"),
        (["show"], "Missing argument 'URL' (see asyncfetch show --help)"),
        (["show", "a", "b"], "Got unexpected extra argument (b) (see asyncfetch show --help)"),
        (["demo", "--seconds", "0"], "Invalid value for '--seconds': 0 is not in the range 1<=x<=60"),
        (["get", "-o"], "Option '-o' requires an argument"),
        (["get", "--jbos", "3"], "No such option '--jbos'. "),
    ],
)
def test_wrong_arguments_get_a_sentence(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    """It names what is wrong, guesses what was meant, and says where the help is."""
    assert said(monkeypatch, *arguments).startswith(sentence)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("-j", "0", "Invalid value for '-j' / '--jobs': '0' is not a whole number from 1 to 1,000,000,000"),
        ("--retry", "-1", "Invalid value for '--retry': '-1' is not a whole number from 0 to 1,000,000,000"),
        ("-m", "soon", "Invalid value for '-m' / '--max-time': 'soon' is not a time"),
        ("--max-filesize", "big", "Invalid value for '--max-filesize': 'big' is not a size"),
        ("-H", "a\nb: c", "Invalid value for '-H' / '--header': that is not a header"),
        ("-H", "Cookie: a\nX: b", "Invalid value for '-H' / '--header': the value of Cookie holds a line break"),
        ("--resolve", "x", "Invalid value for '--resolve': 'x' is not HOST:PORT:ADDRESS"),
        ("--deny-net", "10.1.1.1/8", "Invalid value for '--deny-net': '10.1.1.1/8' is not a network: did you mean"),
        ("-P", "", "Invalid value for '-P' / '--output-dir': the name is empty"),
        (
            "--progress",
            "fancy",
            "Invalid value for '--progress': 'fancy' is not one of 'auto', 'live', 'plain', 'none'",
        ),
    ],
)
def test_wrong_values_get_a_sentence(
    monkeypatch: pytest.MonkeyPatch, option: str, value: str, sentence: str
) -> None:
    """The option is named with both its names, then what is wrong, with an example of what is right."""
    told = said(monkeypatch, "get", option, value, "http://a.example/")
    assert told.startswith(sentence)
    assert told.endswith("(see asyncfetch get --help)")


def test_alone_it_shows_its_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever types only the name sees the commands, in the order in which one meets them."""
    alone = shown(monkeypatch, capsys)
    assert alone == shown(monkeypatch, capsys, "--help")
    places = [alone.index(f"│ {name} ") for name in ("get", "show", "demo", "info")]
    assert places == sorted(places)


@pytest.mark.parametrize("name", ["get", "show", "demo", "info"])
def test_every_command_has_a_help_that_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """No line is wider than 80 columns, every option stands there, with its default where it has one."""
    text = shown(monkeypatch, capsys, name, "-h")
    assert max(map(len, text.splitlines())) <= 80
    command = app.commands[name]
    words = " ".join(text.replace("│", " ").split())
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert all(option in words for option in (*parameter.opts, *parameter.secondary_opts))
            assert parameter.help
            default = parameter.default
            if isinstance(default, int | float | str) and not isinstance(default, bool) and not parameter.multiple:
                assert f"[default: {default}]" in words


def test_defaults_are_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The table of the design, as far as it has numbers."""
    words = " ".join(shown(monkeypatch, capsys, "get", "--help").replace("│", " ").split())
    for option, default in {
        "--jobs -j N Requests in flight at once.": "100",
        "--max-per-host N Of these, to one host.": "6",
        "--connect-timeout S Name, TCP and TLS together.": "10",
        "--read-timeout S Silence inside a body.": "30",
        "--max-redirs N Follow at most this many redirects in a row.": "10",
    }.items():
        assert f"{option} [default: {default}]" in words


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """-V and --version are the same line."""
    assert shown(monkeypatch, capsys, "-V") == f"asyncfetch {__version__}\n"
    assert shown(monkeypatch, capsys, "--version") == f"asyncfetch {__version__}\n"


@pytest.mark.slow
def test_a_wrong_call_is_one_line_and_status_2() -> None:
    """As a process: one sentence on stderr, nothing on stdout; `python -m` and the script are the same program."""
    ran = run("get")
    sentence = "asyncfetch: nothing to fetch: give URLs, files of URLs, or - for the standard input\n"
    assert (ran.status, ran.out, ran.err) == (2, b"", sentence)
    script = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['x', 'gte']; from asyncfetch.cli import main; main()"],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert (script.returncode, script.stdout, script.stderr) == (2, "", run("gte").err)


@pytest.mark.slow
def test_help_goes_through_a_pipe() -> None:
    """A reader that has gone ends it with 141 and in silence, a full disk with 1 and a sentence."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-W", "error", "-m", "asyncfetch", "get", "--help"]
    try:
        cut = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=environment(), check=False)
    finally:
        os.close(writer)
    assert (cut.returncode, cut.stderr) == (141, b"")
    full = shell("$A --help > /dev/full")
    assert (full.status, full.err.count("\n")) == (1, 1)
    assert "no space left on device" in full.err
    assert shell("$A --help >&-").status == 0


@pytest.mark.slow
def test_completion_works() -> None:
    """bash asks for the script once, then for words."""
    script = run(env={"_ASYNCFETCH_COMPLETE": "bash_source"})
    assert (script.status, script.err) == (0, "")
    assert b"complete -o nosort -F _asyncfetch_completion asyncfetch" in script.out
    words = {"_ASYNCFETCH_COMPLETE": "bash_complete", "COMP_WORDS": "asyncfetch get --max-r", "COMP_CWORD": "2"}
    assert run(env=words).out == b"plain,--max-redirs\n"


@pytest.mark.slow
def test_a_password_can_be_typed() -> None:
    """-u without a password asks for it on the terminal, without showing it; where there is none, it says so."""
    with Terminal("get", "http://a.test:9/", "-u", "bob", "--resolve", "a.test:9:::1", "-4", "-q") as terminal:
        terminal.until("Password for 'bob':")
        assert not terminal.echoes
        terminal.type("geheim\n")
        assert terminal.end() == 3
        assert "geheim" not in terminal.text
    ran = run("get", "http://a.test/", "-u", "bob")
    assert ran.status == 2
    assert "the password is missing, and there is no terminal to ask for it: give USER:PASSWORD" in ran.err


@pytest.mark.slow
def test_only_what_is_needed_is_loaded() -> None:
    """Help needs neither the job nor the live view; a command loads its own module."""
    program = "import sys; from asyncfetch.cli import app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment())
    modules = set(loaded.stdout.split())
    assert "asyncfetch.cli.options" in modules
    assert not modules & {
        "asyncfetch.job",
        "asyncfetch.display",
        "asyncfetch.cli.get",
        "asyncfetch.cli.demo",
        "uvloop",
    }
