"""The error tree: its shape, its codes, and errors that travel between processes."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

from asyncfetch import errors
from asyncfetch.errors import ConnectRefused, FetchError, HostUnavailable, ReadTimeout, StatusError, shown

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, FetchError)]
GROUPS = {
    "ResolutionError",
    "ConnectError",
    "TLSError",
    "FetchTimeout",
    "ProtocolError",
    "BodyError",
    "RedirectError",
}


def drawn_tree() -> dict[str, tuple[str, list[str]]]:
    """Read the tree in the module's docstring: the parent and the codes of each class."""
    tree: dict[str, tuple[str, list[str]]] = {}
    path = ["FetchError"]
    assert errors.__doc__ is not None
    for line in re.findall(r"^[│├└].*$", errors.__doc__, re.MULTILINE):
        match = re.fullmatch(r"([│ ]*)[├└]── (\w+)(?: +(.+))?", line)
        assert match is not None, line
        depth = len(match[1]) // 4 + 1
        path[depth:] = [match[2]]
        tree[match[2]] = (path[depth - 1], (match[3] or "").replace(",", "").split())
    return tree


def test_tree_is_as_drawn() -> None:
    """The tree in the docstring is the tree of classes, each with its code; groups have none."""
    tree = drawn_tree()
    assert set(tree) == {kind.__name__ for kind in KINDS} - {"FetchError"}
    for kind in KINDS:
        if kind is FetchError:
            continue
        parent, codes = tree[kind.__name__]
        assert [base.__name__ for base in kind.__bases__] == [parent]
        assert (not codes) is (kind.__name__ in GROUPS)
        if kind is StatusError:
            assert codes == [StatusError(status).code for status in (404, 503)]
        elif codes:
            assert [kind.code] == codes


def test_all_are_exported_and_codes_are_unique() -> None:
    """Every error is part of the public names, and a code stands for one class."""
    assert set(errors.__all__) == {kind.__name__ for kind in KINDS} | {"shown"}
    codes = [kind.code for kind in KINDS if "code" in vars(kind)]
    assert len(codes) == len(set(codes))


def make(kind: type[FetchError]) -> FetchError:
    if issubclass(kind, StatusError):
        return kind(404, "Not Found", url="http://h/")
    return kind("it broke", url="http://h/")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_errors_travel(kind: type[FetchError]) -> None:
    """An error that was pickled or copied is the same in class, code, text and all that was attached to it."""
    error = make(kind)
    error.add_note("seen in a test")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert (again.code, again.phase, again.detail, again.url) == (
            error.code,
            error.phase,
            error.detail,
            error.url,
        )
        assert str(again) == str(error)
        assert again.args == error.args
        assert again.__notes__ == error.__notes__
        assert vars(again) == vars(error)


def test_that_of_another_url() -> None:
    """A host that was given up has the same error for each URL, and each is an object of its own."""
    error = HostUnavailable("it was given up", host="h:80")
    other = error.of("http://h/")
    made = HostUnavailable("it was given up", url="http://h/", host="h:80")
    assert type(other) is HostUnavailable
    assert (vars(other), other.args, str(other)) == (vars(made), made.args, str(made))
    assert error.url == ""


def test_text_and_phase() -> None:
    """The text is the sentence, with the URL before it once that is known; the phase is the code's first word."""
    error = ReadTimeout("no byte for 30 s")
    assert str(error) == error.detail == "no byte for 30 s"
    error.url = "http://h/"
    assert str(error) == "http://h/: no byte for 30 s"
    assert (error.code, error.phase) == ("timeout.read", "timeout")
    assert (ConnectRefused("x").phase, FetchError("x").phase) == ("connect", "error")


@pytest.mark.parametrize(
    ("status", "reason", "code", "text"),
    [
        (400, "Bad Request", "http.4xx", "the server answered 400 Bad Request"),
        (404, "", "http.4xx", "the server answered 404"),
        (499, "x", "http.4xx", "the server answered 499 x"),
        (500, "x", "http.5xx", "the server answered 500 x"),
        (600, "x", "http.5xx", "the server answered 600 x"),
        (999, "x", "http.5xx", "the server answered 999 x"),
        (404, "\x1b[2J\nx", "http.4xx", "the server answered 404 \\x1b[2J\\nx"),
        (404, "Nicht gefunden: \xe4", "http.4xx", "the server answered 404 Nicht gefunden: \\xe4"),
    ],
)
def test_status_error(status: int, reason: str, code: str, text: str) -> None:
    """A status of 400 and above has a code by its hundred; 600 and above count as the server's fault."""
    error = StatusError(status, reason, url="http://h/")
    assert (error.status, error.code, error.phase) == (status, code, "http")
    assert str(error) == f"http://h/: {text}"


def test_long_reason_is_shortened() -> None:
    """A reason phrase may have 128 KiB; nobody wants to read it in a message."""
    assert len(str(StatusError(404, "x" * 100_000))) < 200


@pytest.mark.parametrize(
    ("raw", "quoted"),
    [
        (b"plain", "'plain'"),
        ("plain", "'plain'"),
        (b"", "''"),
        (b"a'b", "'a\\'b'"),
        (b"a\\b", "'a\\\\b'"),
        (b"\r\n\t\0\x1b\x7f\x9b", "'\\r\\n\\t\\x00\\x1b\\x7f\\x9b'"),
        (b"caf\xc3\xa9", "'caf\\xc3\\xa9'"),
        ("café ☃ \U0001f600", "'caf\\xe9 \\u2603 \\U0001f600'"),
        ("\u202eevil\u2066", "'\\u202eevil\\u2066'"),
        ("\udcff", "'\\udcff'"),
        ("[red]:smile:", "'[red]:smile:'"),
        ("x" * 80, "'" + "x" * 80 + "'"),
        ("x" * 81, "'" + "x" * 80 + "'..."),
        (b"\xff" * 81, "'" + "\\xff" * 80 + "'..."),
    ],
)
def test_shown(raw: bytes | str, quoted: str) -> None:
    """Foreign text is quoted in printable ASCII, and shortened."""
    assert shown(raw) == quoted
    assert shown(raw).isascii()
    assert shown(raw).isprintable()


def test_shown_length_can_be_chosen() -> None:
    """The most characters that are shown can be set."""
    assert shown("abcdef", at_most=3) == "'abc'..."
    assert shown("abc", at_most=3) == "'abc'"
