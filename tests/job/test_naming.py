from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfetch.job import Bodies, Naming, check_template
from asyncfetch.job.names import body_name
from asyncfetch.result import Request, Response

URL = "https://example.org:8080/data/2024/file.tar.gz"
WHOLE = "{host}/{path}/{name}{ext}"
DIGEST = hashlib.sha256(b"x").hexdigest()


def path(
    url: str, template: str | None = None, *, index: int = 17, name: str | None = None, flat: bool = False
) -> str:
    naming = Naming(None if template is None else check_template(template), flat)
    found = naming.name(Request(url, index, name=name), DIGEST)
    return f"{found.folder}/{found.file()}".lstrip("/")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{n}{ext}", "17.tar.gz"),
        ("{host}/{n}-{name}{ext}", "example.org+8080/17-file.tar.gz"),
        (WHOLE, "example.org+8080/data/2024/file.tar.gz"),
        ("{path}/{name}", "data/2024/file"),
        ("all/{sha256}{ext}", f"all/{DIGEST}.tar.gz"),
        ("{ext}", "_tar.gz"),
        ("pages {n}.html".replace(" ", "_"), "pages_17.html"),
    ],
)
def test_a_template_is_filled_in(template: str, expected: str) -> None:
    """Each placeholder stands for a piece of the URL, the position, or the digest."""
    assert path(URL, template) == expected


def test_what_is_empty_is_left_out() -> None:
    """A URL without directories has no empty ones."""
    assert path("http://x.org/", WHOLE) == "x.org/index"
    assert path("http://x.org/", "{path}/{ext}") == "index"


def test_without_directories() -> None:
    """--flat puts everything side by side, and a mark tells equal names apart; it is the same in every run."""
    assert re.fullmatch(r"example\.org\+8080_file~[0-9a-f]{10}\.tar\.gz", path(URL, flat=True))
    urls = ["http://x.org/a/f", "http://x.org/b/f", "http://x.org/f", "http://x.org/F", "http://x.org/f?a"]
    assert len({path(url, flat=True).casefold() for url in urls}) == len(urls)
    assert path("http://x.org:80/f", flat=True) == path("http://X.org/f", flat=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG_1.JPG", "IMG_1.JPG"),
        ("cats/1.jpg", "cats/1.jpg"),
        ("/etc/passwd", "etc/passwd"),
        ("../../x", "_/_/x"),
        ("a/../../b", "a/_/_/b"),
        (".bashrc", "_bashrc"),
        ("-rf", "_rf"),
        ("NUL.txt", "_NUL.txt"),
        ("a\nb\x1b", "a_b_"),
        ("c:\\x", "c__x"),
        ("//", "index"),
        ("results.jsonl.job.json", "results.jsonl.job.json_"),
        ("results.jsonl.job.json.part", "results.jsonl.job.json.part_"),
        ("x/r.jsonl.job.json.part", "x/r.jsonl.job.json.part_"),
        ("x/r.jsonl.compact.part", "x/r.jsonl.compact.part_"),
        ("r.jsonl.job.parts/17", "r.jsonl.job.parts_/17"),
        ("", "example.org+8080/data/2024/file.tar.gz"),
    ],
)
def test_a_name_from_the_list(name: str, expected: str) -> None:
    """It is taken as it stands, made safe part by part; an empty one is none."""
    assert path(URL, name=name) == expected


def test_a_name_from_the_list_in_a_template() -> None:
    """It stands for {name} and {ext}; --flat leaves it without directories."""
    assert path(URL, "{n}/{name}{ext}", name="cats/Tom.jpeg") == "17/cats_Tom.jpeg"
    assert path(URL, name="cats/Tom.jpeg", flat=True) == "cats_Tom.jpeg"


def test_long_ones_are_cut_and_marked() -> None:
    """What is cut off is still told apart."""
    one, other = (path(URL, name="x" * 300 + end + ".jpg") for end in "ab")
    assert one != other
    assert len(one) <= 200
    assert one.endswith(".jpg")
    deep = path(URL, name="d/" * 50 + "x")
    assert deep.count("/") == 32
    assert deep != path(URL, name="d/" * 51 + "x")


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("", "has nothing to be filled in"),
        ("page.html", "has nothing to be filled in"),
        ("{title}", "has '{title}', and what can be filled in is {n}, {host}, {path}, {name}, {ext}, {sha256}"),
        ("{n", "has '{n'"),
        ("n}", "has '}'"),
        ("{{n}}", "has '{}'"),
        ("{n:06}", "has '{n:06}'"),
        ("/{n}", "must lead to a file below the directory"),
        ("{n}/", "must lead to a file below the directory"),
        ("a//{n}", "must lead to a file below the directory"),
        ("../{n}", "must lead to a file below the directory"),
        ("{host}/./{n}", "must lead to a file below the directory"),
        (".{n}", "has a part that begins with '.': '.{n}'"),
        ("-{n}", "has a part that begins with '-': '-{n}'"),
        ("a:{n}", "holds ':', which is not safe"),
        ("a b/{n}", "holds ' ', which is not safe"),
        ("a\\{n}", "holds '\\\\', which is not safe"),
        ("{n}\x1b[2J", "holds '\\x1b', which is not safe"),
        ("con/{n}", "has a part that is no safe name everywhere: 'con'"),
    ],
)
def test_bad_templates_are_refused(template: str, sentence: str) -> None:
    """Each with what is wrong with it."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        check_template(template)


@pytest.mark.parametrize(
    ("template", "telling"),
    [
        (None, True),
        ("{n}{ext}", True),
        ("{host}/{n}", True),
        ("{n}-{name}{ext}", True),
        ("{host}-{n}{ext}", True),
        ("{n}{name}", False),
        ("{name}{n}", False),
        ("1{n}", False),
        (WHOLE, False),
        ("{n}-{sha256}", False),
    ],
)
def test_which_names_tell_whose_they_are(template: str | None, telling: bool) -> None:
    """Only a position that stands by itself makes sure that a file of that name is the one that is asked for."""
    assert Naming(template).is_telling is telling


async def test_names_go_nowhere_else(tmp_path: Path) -> None:
    """A planted link is never followed, neither as a file nor as a directory; nothing is replaced."""
    outside = tmp_path / "outside"
    outside.mkdir()
    with Bodies(tmp_path / "out", naming=Naming("{name}/{n}")) as bodies:
        Path(bodies.directory, "a").symlink_to(outside)
        Path(bodies.directory, "b").mkdir()
        Path(bodies.directory, "b", "1").symlink_to(outside / "x")
        saved = []
        for url in ("http://x.org/a", "http://x.org/b", "http://x.org/b"):
            sink = bodies.sink(Request(url, 1), Response(url, 200, "OK", []))
            assert sink is not None
            await sink.finish()
            saved.append(bodies.save(sink))
    assert saved[:2] == ["a~d/1", "b/1~n1"]
    assert saved[2].startswith("b/1~n1-")
    assert list(outside.iterdir()) == []


async def test_a_file_beside_the_results(tmp_path: Path) -> None:
    """A name without a directory is one in the directory itself; it can be removed again."""
    with Bodies(tmp_path, naming=Naming("{sha256}")) as bodies:
        sink = bodies.sink(Request("http://x.org/", 1), Response("", 200, "OK", []))
        assert sink is not None
        await sink.write(b"x")
        await sink.finish()
        assert bodies.save(sink) == DIGEST
        assert (tmp_path / DIGEST).read_bytes() == b"x"
        bodies.remove(DIGEST)
        assert list(tmp_path.iterdir()) == []


traps = st.sampled_from(
    [
        *"/.-~?#%&+=:;,!$'()*@|\\\"<>^`{}[] Aa",
        *("..", "%2e", "%2f", "%5c", "%00", "%0a", "con", "NUL", "index", ".tar.gz", ".part", "x" * 90),
        *("é", "e\u0301", "%E2%80%AE", "%FF", "ß", "\u017f", "İ", "ﬁ", "\uff0e", "\uff0f", "\ud800"),
    ]
)
texts = st.lists(traps | st.text(max_size=5), max_size=12).map("".join)
templates = st.sampled_from(
    [WHOLE, "{path}/{name}", "{path}/x{ext}", "{name}{ext}", "{host}{ext}", "x{path}y", "{ext}/{path}{host}"]
)


def see_that_it_is_safe(name: str) -> None:
    assert len(name.encode()) <= 1000
    assert name.count("/") <= 32
    for part in name.split("/"):
        assert 1 <= len(part.encode()) <= 201
        assert part[0] not in ".-"
        assert part[-1] not in ". "
        assert not re.search(r'[\x00-\x1f\x7f-\x9f/\\:<>|?*"\'`$&;!(){}\[\]#%^\s]', part)
        assert not re.match(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", part, re.IGNORECASE)


@pytest.mark.slow
@given(target=texts, template=templates, name=texts | st.none())
def test_every_name_is_safe(target: str, template: str, name: str | None) -> None:
    """Whatever the URL, the template and the name in the list: it stays inside, bounded, harmless everywhere."""
    url = "http://example.org/" + target.encode("utf-8", "replace").decode()
    see_that_it_is_safe(path(url, template, name=name))
    see_that_it_is_safe(path(url, name=name))
    see_that_it_is_safe(path(url, name=name, flat=True))


@pytest.mark.slow
@given(targets=st.tuples(texts, texts), template=templates)
def test_names_that_only_differ_by_case_are_marked(targets: tuple[str, str], template: str) -> None:
    """Two URLs have names that are equal everywhere, and get variants, or that are different everywhere."""
    urls = ["http://example.org/" + target.encode("utf-8", "replace").decode() for target in targets]
    names = [path(url, template) for url in urls]
    folded = {unicodedata.normalize("NFKC", name).casefold() for name in names}
    assert len(folded) == len(set(names))


@given(target=texts)
def test_the_whole_template_is_the_default(target: str) -> None:
    """`{host}/{path}/{name}{ext}` gives the names that there are without it, but for those of very long URLs."""
    url = "http://example.org/" + target.encode("utf-8", "replace").decode()
    default = body_name(url)
    if len(default.folder) < 140 and len(default.stem) < 140:
        assert path(url, WHOLE) == f"{default.folder}/{default.file()}"
