from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfetch.errors import InvalidURL
from asyncfetch.job.names import body_name
from asyncfetch.url import Url


def path(url: str, variant: str = "") -> str:
    name = body_name(url)
    return f"{name.folder}/{name.file(variant)}"


def without_mark(url: str) -> str:
    name, count = re.subn(r"~[0-9a-f]{10}(?=\.|$)", "", path(url))
    assert count == 1, "there is a mark"
    return name


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.org/data/file.csv", "example.org/data/file.csv"),
        ("http://example.org/a/b/", "example.org/a/b/index"),
        ("https://example.org", "example.org/index"),
        ("HTTPS://Example.ORG:443/x#fragment", "example.org/x"),
        ("http://user:secret@example.org:8080/x", "example.org+8080/x"),
        ("http://127.0.0.1:8080/f/000017.bin", "127.0.0.1+8080/f/000017.bin"),
        ("https://example.org/~user/x,y=z@1+2.html", "example.org/~user/x,y=z@1+2.html"),
        ("https://example.org/a/../b", "example.org/b"),
        ("https://example.org/a-b.c.tar.gz", "example.org/a-b.c.tar.gz"),
        ("https://example.org/r.job.jsonl", "example.org/r.job.jsonl"),
        ("https://example.org/%2e%2e/b", "example.org/b"),
    ],
)
def test_plain_names_are_the_url_itself(url: str, expected: str) -> None:
    """A URL without anything special becomes host/path, whatever the spelling of its host."""
    assert path(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.org/README.md", "example.org/README.md"),
        ("https://example.org/x?v=1&b=..%2f..", "example.org/x_v=1_b=.._._"),
        ("https://example.org/data.csv?page=2", "example.org/data_page=2.csv"),
        ("https://example.org/?q=a", "example.org/index_q=a"),
        ("https://example.org/index", "example.org/index"),
        ("https://example.org/x~n17.csv", "example.org/x~n17.csv"),
        ("https://example.org/..%2f..%2fetc%2fpasswd", "example.org/__.._etc_passwd"),
        ("https://example.org/.bashrc", "example.org/_bashrc"),
        ("https://example.org/-rf", "example.org/_rf"),
        ("https://example.org/.git/config", "example.org/_git/config"),
        ("https://example.org/%00", "example.org/_"),
        ("https://example.org/a%0Ab%1B", "example.org/a_b_"),
        ("https://example.org/CON", "example.org/_CON"),
        ("https://example.org/nul.txt", "example.org/_nul.txt"),
        ("https://example.org/aux/x", "example.org/_aux/x"),
        ("https://aux.example/x", "_aux.example/x"),
        ("https://con/a/x", "_con/a/x"),
        ("https://example.org/com¹.txt", "example.org/_com¹.txt"),
        ("https://example.org/a:b%5Cc%3Cd", "example.org/a_b_c_d"),
        ("https://example.org/a.", "example.org/a_"),
        ("https://example.org/a%20", "example.org/a_"),
        ("https://example.org//a", "example.org/_/a"),
        ("https://example.org/caf%C3%A9.html", "example.org/café.html"),
        ("https://example.org/cafe%CC%81.html", "example.org/café.html"),
        ("https://example.org/%FF.tar.gz", "example.org/_.tar.gz"),
        ("https://example.org/%E2%80%AEgpj.exe", "example.org/_gpj.exe"),
        ("https://example.org./x", "example.org_/x"),
        ("https://[2001:db8::1]:8080/x", "2001_db8__1_8080/x"),
        ("https://example.org/r.job.json", "example.org/r.job.json"),
        ("https://example.org/r.compact.part", "example.org/r.compact.part"),
        ("https://results.jsonl.job.parts/1", "results.jsonl.job.parts_/1"),
        ("https://example.org/r.JOB.parts/x", "example.org/r.JOB.parts_/x"),
        ("https://example.org/r.job.json.part/r.job.saving", "example.org/r.job.json.part_/r.job.saving"),
    ],
)
def test_traps_are_disarmed_and_marked(url: str, expected: str) -> None:
    """What could do harm in a name becomes an underscore, and a mark keeps the name apart from all others."""
    assert without_mark(url) == expected


def test_long_names_keep_their_extension() -> None:
    """A part of more than 200 bytes is cut between characters; stem and extension stay readable."""
    name = body_name("https://example.org/" + "é" * 300 + ".tar.gz")
    assert name.file().startswith("é" * 75 + "~")
    assert name.file().endswith(".tar.gz")
    assert len(name.file().encode()) <= 200
    assert body_name("https://example.org/" + "x" * 200 + "/y").folder == "example.org/" + "x" * 200
    assert body_name("https://example.org/" + "x" * 201 + "/y").folder == "example.org/" + "x" * 150


def test_long_and_deep_paths_are_cut() -> None:
    """Directories are kept from the first one on, as long as there is room; the mark keeps the rest apart."""
    deep, long = "https://example.org/" + "a/" * 500, "https://example.org/" + ("b" * 100 + "/") * 20
    assert path(deep).count("/") == 32
    assert len(path(long)) <= 1000
    assert path(deep + "x") != path(deep + "a/x")
    assert path(long + "x") != path(long + "c/x")


def test_variants() -> None:
    """A variant stands before the extension and fits into the length."""
    assert path("https://example.org/a.tar.gz", "n17") == "example.org/a~n17.tar.gz"
    assert path("https://example.org/a", "n17") == "example.org/a~n17"
    assert path("https://example.org/a.b-c.d", "n17") == "example.org/a.b-c~n17.d"
    assert path("https://example.org/a..d", "n17") == "example.org/a.~n17.d"
    assert path("https://example.org/a.tar.tar", "n17") == "example.org/a~n17.tar.tar"
    longest = body_name("https://example.org/" + "x" * 196 + ".csv")
    assert len(longest.file()) == 200
    assert longest.file("n17") == "x" * 192 + "~n17.csv"


def test_twins_have_different_names() -> None:
    """URLs that differ in case, normalisation or encoding only get names that no file system confuses."""
    stem = "https://example.org/"
    twins = [
        "readme",
        "README",
        "Readme",
        "%72eadme",
        "é",
        "e%CC%81",
        "caf%C3%A9",
        "cafe%CC%81",
        "CAF%C3%89",
        "a%2fb",
    ]
    names = {unicodedata.normalize("NFKC", path(stem + twin)).casefold() for twin in twins}
    assert len(names) == len(twins)
    assert path("https://example.org./A") != path("https://example.org_/A")


def test_no_credentials_in_names() -> None:
    """User, password and fragment leave no trace."""
    assert path("https://u:secret@example.org/A#x") == path("https://example.org/A")


def test_no_url_no_name() -> None:
    """What is no URL never has a body."""
    with pytest.raises(InvalidURL):
        body_name("nonsense")


traps = st.sampled_from(
    [
        *"/.-~?#%&+=:;,!$'()*@|\\\"<>^`{}[] Aa",
        *("..", "%2e", "%2f", "%5c", "%00", "%0a", "%7f", "con", "NUL", "index", ".tar.gz", ".txt", "x" * 90),
        *("é", "e\u0301", "%E2%80%AE", "%FF", "ß", "\u017f", "İ", "ﬁ", "㎏", "℀", "\uff0e", "\uff0f", "\uff5e"),
    ]
)
targets = st.lists(traps | st.text(max_size=5), max_size=12).map("".join)
hosts = st.sampled_from(
    ["example.org", "EXAMPLE.org:8080", "[::1]:1", "127.0.0.1", "bücher.example", "con.x", "a_b"]
)


def parsed(host: str, target: str) -> Url:
    return Url.parse(f"http://{host}/{target}")


@pytest.mark.slow
@given(host=hosts, target=targets)
def test_every_name_is_safe(host: str, target: str) -> None:
    """Whatever the URL, the name stays inside, has bounded parts, and is harmless on every system."""
    name = path(f"http://{host}/{target}")
    assert len(name.encode()) <= 1000
    parts = name.split("/")
    assert 2 <= len(parts) <= 33
    for part in parts:
        assert 1 <= len(part.encode()) <= 200
        assert part[0] not in ".-"
        assert part[-1] not in ". "
        assert not re.search(r'[\x00-\x1f\x7f-\x9f/\\:<>|?*"\'`$&;!(){}\[\]#%^\s]', part)
        assert not re.match(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", part, re.IGNORECASE)
        assert all(unicodedata.category(character)[0] in "LMNPS" for character in part)


@given(host=st.tuples(hosts, hosts), target=st.tuples(targets, targets))
def test_names_of_different_urls_are_different(host: tuple[str, str], target: tuple[str, str]) -> None:
    """Also where case and Unicode normalisation do not count; only the scheme and the fragment do not tell."""
    one, other = (parsed(*pair) for pair in zip(host, target, strict=True))
    folded = [unicodedata.normalize("NFKC", path(url.href)).casefold() for url in (one, other)]
    assert (folded[0] == folded[1]) == (one.href == other.href)


@given(host=hosts, target=targets)
def test_names_are_stable(host: str, target: str) -> None:
    """The same URL has the same name, as given and in its normal form, and its variants are safe too."""
    url = f"http://{host}/{target}"
    assert path(url) == path(Url.parse(url).href)
    assert len(body_name(url).file("n10000000-0123abcd").encode()) <= 200
