"""The configuration file: what stands there is checked, and what is wrong with it is said in one sentence."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from asyncfetch.cli.app import app
from asyncfetch.cli.config import Config, find_config, read_config
from asyncfetch.cli.exits import UsageProblem
from asyncfetch.cli.layers import known_keys
from tests.readme import README

KNOWN = known_keys(app.commands.values())


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory without a configuration file."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str | bytes, mode: int = 0o600) -> Config:
    Path("a.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    Path("a.toml").chmod(mode)
    return read_config("a.toml", KNOWN)


def test_keys_are_the_long_names_of_options() -> None:
    """Every option of the commands that fetch can stand there, except those about the file itself."""
    assert {"jobs", "max-per-host", "header", "no-color", "location", "continue", "raw"} <= set(KNOWN)
    assert not {"config", "settings", "help", "keep", "seconds"} & set(KNOWN)


def test_options_and_hosts_are_read(here: Path) -> None:
    """Options stay as they were written; tables of hosts keep their order."""
    config = read(
        """
        jobs = 7
        max-filesize = "10M"
        header = ["A: 1", "B: 2"]
        [host."*.example.org"]
        limit = 2
        limit-rate = "1M"
        rate = "30/m"
        delay = 0
        headers = { X-One = "1" }
        timeouts = { read = 2.5, total = "60" }
        [host."[::1]:8080"]
        user = "me"
        password = "a:b"
        """
    )
    assert (config.path, config.name) == (str(here / "a.toml"), "a.toml")
    assert config.options == {"jobs": 7, "max-filesize": "10M", "header": ["A: 1", "B: 2"]}
    first, second = config.hosts.values()
    assert list(config.hosts) == ["*.example.org", "[::1]:8080"]
    assert (first.number("limit"), first.number("limit_rate"), second.number("rate")) == (2, 1 << 20, None)
    assert (first.number("rate"), first.number("delay")) == (0.5, 0.0)
    assert (first.header_pairs(), first.timeouts.seconds()) == ([("X-One", "1")], {"read": 2.5, "total": 60.0})
    assert (second.user, second.password) == ("me", "a:b")
    assert repr(second) == "HostSection(user, password)"


def test_an_empty_file_says_nothing() -> None:
    """So `-K /dev/null` is how to leave the file that is here out."""
    assert not read_config("/dev/null", KNOWN).options
    assert read("\N{BYTE ORDER MARK}jobs = 3").options == {"jobs": 3}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("jbos = 1", "a.toml: 'jbos' is no option; did you mean jobs?"),
        ("max_per_host = 1", "a.toml: 'max_per_host' is no option; did you mean max-per-host?"),
        ("xyzzy = 1", "a.toml: 'xyzzy' is no option"),
        ("'\x1b[2J' = 1", "a.toml is not TOML: "),
        (r'"\u001b[2J" = 1', r"a.toml: '\x1b[2J' is no option"),
        ("jobs = true", "a.toml: jobs takes a number or text, not true or false"),
        ("head = 'yes'", "a.toml: head takes true or false, not text"),
        ("header = [['X: 1']]", "a.toml: header[0] takes a number or text, not a list"),
        ("jobs = 2020-01-01", "a.toml: jobs takes a number or text, not date"),
        ("a = 1\njobs = x\n", "a.toml is not TOML: invalid value (at line 2, column 8)"),
        (b"jobs = '\xff'", "a.toml is not TOML: it is not UTF-8"),
        ("x = " + "[" * 10_000, "a.toml is not "),
        ("host = 3", 'a.toml: host takes a table for each pattern: write [host."*.example.org"]'),
        ("[host]\nlimit = 3", 'a.toml: host takes a table for each pattern: write [host."*.example.org"]'),
        ("[host.a.b.org]\nlimit = 3", 'put the whole pattern into quotes: [host."a.b.org"]'),
        ("[host.'a b']\nlimit = 3", "a.toml, [host.\"a b\"]: 'a b' is no host: write it as example.org, *.ex"),
        ("[host.'http://a.org/']\nlimit = 3", "is no host: write it as example.org"),
        ("[host.'a.*.org']\nlimit = 3", "'a.*.org' is no host: write it as example.org"),
        (
            "[host.'a.org']\nlimt = 3",
            "a.toml, [host.\"a.org\"]: 'limt' is no setting of a host; did you mean limit?",
        ),
        ("[host.'a.org']\nlimit = 0", "a.toml, [host.\"a.org\"]: limit: '0' is not a whole number from 1 to "),
        (
            "[host.'a.org']\nrate = '5/d'",
            "a.toml, [host.\"a.org\"]: rate: '5/d' is not a rate: give a number a second",
        ),
        ("[host.'a.org']\nlimit-rate = 0", 'a.toml, [host."a.org"]: limit-rate: a speed of 0 would never end'),
        ("[host.'a.org']\ndelay = 'x'", "a.toml, [host.\"a.org\"]: delay: 'x' is not a time"),
        (
            "[host.'a.org'.timeouts]\ntotl = 3",
            "a.toml, [host.\"a.org\"], timeouts: 'totl' is no timeout; did you me",
        ),
        ("[host.'a.org'.timeouts]\ntotal = -3", "a.toml, [host.\"a.org\"]: timeouts: '-3' is not a time"),
        ("[host.'a.org']\ntimeouts = 3", 'a.toml, [host."a.org"]: timeouts takes a table, not a whole number'),
        ("[host.'a.org'.headers]\n'X Y' = '3'", 'a.toml, [host."a.org"]: headers: that is not a header'),
        ("[host.'a.org'.headers]\nX = 3", 'a.toml, [host."a.org"]: headers takes text, not a whole number'),
        ("[host.'a.org']\npassword = 'x'", "the password needs the user that it belongs to: add user"),
        ("[host.'a.org']\nuser = 'a:x'", "no user can have a colon: give what follows it as password"),
    ],
)
def test_what_is_wrong_is_said(text: str | bytes, sentence: str) -> None:
    """The file and the table are named, then what is wrong there, and what was probably meant."""
    with pytest.raises(UsageProblem) as caught:
        read(text)
    assert sentence in str(caught.value)
    assert str(caught.value).isprintable()


def test_what_cannot_be_read_is_said(here: Path) -> None:
    """A missing file, a directory, and one that never ends are each refused with a sentence."""
    for name, sentence in {
        "none.toml": "the configuration file 'none.toml' cannot be read: no such file or directory",
        str(here): "cannot be read: is a directory",
        "/dev/zero": "/dev/zero is not a configuration: it is larger than 4 MiB",
        "a\0b": "cannot be read: embedded null byte",
    }.items():
        with pytest.raises(UsageProblem) as caught:
            read_config(name, KNOWN)
        assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("text", "mode", "is_exposed"),
    [
        ("user = 'me:x'", 0o644, True),
        ("user = 'me:x'", 0o600, False),
        ("secret-header = ['X: y']", 0o640, True),
        ("header = ['X-Api-Key: y']", 0o604, True),
        ("header = 'Accept: y'", 0o644, False),
        ("[host.'a.org']\nuser = 'me'\npassword = 'x'", 0o644, True),
        ("[host.'a.org'.headers]\nX-Api-Key = 'x'", 0o644, True),
        ("[host.'a.org']\nlimit = 3", 0o644, False),
    ],
)
def test_credentials_that_others_can_read_get_a_remark(text: str, mode: int, is_exposed: bool) -> None:
    """As ssh does, but without refusing: it says how to keep the file to oneself."""
    remark = "a.toml holds credentials, and other users can read it: chmod 600 a.toml"
    assert read(text, mode).exposed == (remark if is_exposed else None)


def test_the_file_that_is_here_is_found(as_root: bool) -> None:
    """One of another user is not used unasked: it could decide what this process writes, and whom it trusts."""
    assert (find_config(None), find_config("x.toml")) == (None, "x.toml")
    usual = Path("asyncfetch.toml")
    usual.touch()
    assert find_config(None) == "asyncfetch.toml"
    if as_root:
        os.chown(usual, 65534, 65534)
        with pytest.raises(
            UsageProblem, match="belongs to another user: to use it all the same, add -K asyncfetch"
        ):
            find_config(None)
    assert find_config("asyncfetch.toml") == "asyncfetch.toml"


def test_the_file_in_the_readme_is_one() -> None:
    """Its options and settings of hosts are known, and say what stands beside them."""
    [block] = re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)
    config = read(block)
    assert {"jobs", "user-agent", "max-filesize", "header"} == set(config.options)
    below, api = config.hosts.values()
    assert (below.number("limit"), below.number("rate")) == (2, 5)
    assert below.timeouts.seconds() == {"read": 120, "total": 600}
    assert (api.number("delay"), api.number("limit_rate"), api.holds_secrets) == (0.5, 1 << 20, True)
