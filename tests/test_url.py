"""URLs as WHATWG reads them, hostile spellings included; what is said of bad ones; and secrets that stay hidden."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import ada_url
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfetch.errors import InvalidURL
from asyncfetch.streams.request import encode_request
from asyncfetch.url import Origin, Url, redacted

# --- what is read

PARSED: dict[str, tuple[str, str, str]] = {
    # text: (href, key of the host, target)
    "http://h": ("http://h/", "h:80", "/"),
    "https://h": ("https://h/", "h:443", "/"),
    "HTTP://EXAMPLE.Org/Path": ("http://example.org/Path", "example.org:80", "/Path"),
    "http://h?q": ("http://h/?q", "h:80", "/?q"),
    "http://h#f": ("http://h/", "h:80", "/"),
    "http://h/a?b#c?d#e": ("http://h/a?b", "h:80", "/a?b"),
    "http://h/?": ("http://h/?", "h:80", "/?"),
    "http://h:80/": ("http://h/", "h:80", "/"),
    "https://h:443/": ("https://h/", "h:443", "/"),
    "https://h:80/": ("https://h:80/", "h:80", "/"),
    "http://h:443/": ("http://h:443/", "h:443", "/"),
    "http://h:8080/a": ("http://h:8080/a", "h:8080", "/a"),
    "http://h:00080/": ("http://h/", "h:80", "/"),
    "http://h:65535/": ("http://h:65535/", "h:65535", "/"),
    "http://h:/": ("http://h/", "h:80", "/"),
    "http://[::1]/a": ("http://[::1]/a", "[::1]:80", "/a"),
    "http://[::1]:81/": ("http://[::1]:81/", "[::1]:81", "/"),
    "http://[2001:DB8:0:0:0:0:0:1]/": ("http://[2001:db8::1]/", "[2001:db8::1]:80", "/"),
    "http://[::ffff:1.2.3.4]/": ("http://[::ffff:102:304]/", "[::ffff:102:304]:80", "/"),
    "http://127.1/": ("http://127.0.0.1/", "127.0.0.1:80", "/"),
    "http://0x7f000001/": ("http://127.0.0.1/", "127.0.0.1:80", "/"),
    "http://2130706433/": ("http://127.0.0.1/", "127.0.0.1:80", "/"),
    "http://017700000001/": ("http://127.0.0.1/", "127.0.0.1:80", "/"),
    "http://bücher.example/": ("http://xn--bcher-kva.example/", "xn--bcher-kva.example:80", "/"),
    "http://XN--BCHER-KVA.example/": ("http://xn--bcher-kva.example/", "xn--bcher-kva.example:80", "/"),
    "http://faß.de/": ("http://xn--fa-hia.de/", "xn--fa-hia.de:80", "/"),
    "http://\uff45\uff58\u3002org/": ("http://ex.org/", "ex.org:80", "/"),
    "http://ex%61mple.org/": ("http://example.org/", "example.org:80", "/"),
    "http://a\u00adb.org/": ("http://ab.org/", "ab.org:80", "/"),
    "http://h./": ("http://h./", "h.:80", "/"),
    "http://a_b/": ("http://a_b/", "a_b:80", "/"),
    # one slash or many, backslashes, none at all
    "http:/h/a": ("http://h/a", "h:80", "/a"),
    "http:h/a": ("http://h/a", "h:80", "/a"),
    "http:////h//a": ("http://h//a", "h:80", "//a"),
    "http:\\\\h\\a": ("http://h/a", "h:80", "/a"),
    "http://h\\@evil/": ("http://h/@evil/", "h:80", "/@evil/"),
    "http://h\\.evil/": ("http://h/.evil/", "h:80", "/.evil/"),
    "http://evil@h/": ("http://h/", "h:80", "/"),
    "http://h#@evil/": ("http://h/", "h:80", "/"),
    "http://h?@evil/": ("http://h/?@evil/", "h:80", "/?@evil/"),
    "http://h/@evil": ("http://h/@evil", "h:80", "/@evil"),
    # tabs and line ends vanish, blanks and controls around too
    " \x00\x1f\thttp://h/ \n": ("http://h/", "h:80", "/"),
    "ht\ntp://h\t/a\r\nb": ("http://h/ab", "h:80", "/ab"),
    # what is encoded, and what is left as it is
    "http://h/%2F/%2f": ("http://h/%2F/%2f", "h:80", "/%2F/%2f"),
    "http://h/%zz/%": ("http://h/%zz/%", "h:80", "/%zz/%"),
    "http://h/a b\x01\x7fc": ("http://h/a%20b%01%7Fc", "h:80", "/a%20b%01%7Fc"),
    "http://h/é?é#é": ("http://h/%C3%A9?%C3%A9", "h:80", "/%C3%A9?%C3%A9"),
    "http://h/\"<>`{}|'?\"<>`{}|'": (
        "http://h/%22%3C%3E%60%7B%7D|'?%22%3C%3E`{}|%27",
        "h:80",
        "/%22%3C%3E%60%7B%7D|'?%22%3C%3E`{}|%27",
    ),
    "http://h/%0d%0aX: y": ("http://h/%0d%0aX:%20y", "h:80", "/%0d%0aX:%20y"),
    "http://h/a/../b/./c": ("http://h/b/c", "h:80", "/b/c"),
    "http://h/a/%2e%2E/b": ("http://h/b", "h:80", "/b"),
    "http://h/../../a": ("http://h/a", "h:80", "/a"),
    "http://h//a//b/": ("http://h//a//b/", "h:80", "//a//b/"),
    "http://h/a?b=/../c": ("http://h/a?b=/../c", "h:80", "/a?b=/../c"),
    "http://h/http://x@y/": ("http://h/http://x@y/", "h:80", "/http://x@y/"),
}


@pytest.mark.parametrize("text", PARSED)
def test_parse(text: str) -> None:
    """A URL is read as browsers read it, and taken apart."""
    href, key, target = PARSED[text]
    url = Url.parse(text)
    assert (url.href, url.origin.key, url.target) == (href, key, target)
    assert (str(url), repr(url)) == (href, f"Url({href!r})")
    assert url.href == url.origin.name + url.target
    assert Url.parse(url.href).href == href


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "authority"),
    [
        ("http://h/", "http", "h", 80, "h"),
        ("https://h/", "https", "h", 443, "h"),
        ("https://h:8443/", "https", "h", 8443, "h:8443"),
        ("http://[::1]/", "http", "::1", 80, "[::1]"),
        ("http://[::1]:8080/", "http", "::1", 8080, "[::1]:8080"),
        ("http://u:p@h:1/", "http", "h", 1, "h:1"),
        ("http://h:0/", "http", "h", 0, "h:0"),
    ],
)
def test_origin(text: str, scheme: str, host: str, port: int, authority: str) -> None:
    """An origin is scheme, host and port; its authority has no default port, its key always has one."""
    origin = Url.parse(text).origin
    assert (origin.scheme, origin.host, origin.port, origin.authority) == (scheme, host, port, authority)
    assert origin.name == str(origin) == f"{scheme}://{authority}"
    assert repr(origin) == f"Origin('{origin.name}')"
    assert Origin(scheme, authority) == origin
    assert hash(Origin(scheme, authority)) == hash(origin)


def test_origins_differ_in_each_part() -> None:
    """Another scheme, host or port is another origin, and so is something that is none."""
    origins = [Url.parse(text).origin for text in ("http://h/", "https://h/", "http://h:443/", "http://g/")]
    assert len(set(origins)) == 4
    assert origins[0] != "http://h"
    assert Url.parse("http://h:80/a").origin == Url.parse("HTTP://H/b").origin


@pytest.mark.parametrize(
    ("text", "userinfo", "credentials"),
    [
        ("http://h/", "", None),
        ("http://@h/", "", None),
        ("http://:@h/", "", None),
        ("http://u@h/", "u", (b"u", b"")),
        ("http://u:@h/", "u", (b"u", b"")),
        ("http://:p@h/", ":p", (b"", b"p")),
        ("http://u:p@h/", "u:p", (b"u", b"p")),
        ("http://u:p:q@h/", "u:p%3Aq", (b"u", b"p:q")),
        ("http://u:p@q@h/", "u:p%40q", (b"u", b"p@q")),
        ("http://a%3Ab:c%2Fd@h/", "a%3Ab:c%2Fd", (b"a:b", b"c/d")),
        ("http://ü:%FF@h/", "%C3%BC:%FF", ("ü".encode(), b"\xff")),
        ("http://u\\:p@h/", "", None),
    ],
)
def test_credentials(text: str, userinfo: str, credentials: tuple[bytes, bytes] | None) -> None:
    """User and password are kept apart from everything that is shown."""
    url = Url.parse(text) if "\\" not in text else Url.parse("http://h/")
    assert (url.userinfo, url.credentials) == (userinfo, credentials)
    assert url.href == "http://h/"
    assert "@" not in url.href + url.target + url.origin.name + repr(url)


# --- references

JOINED: dict[str, str] = {
    "b": "http://h:81/d/b",
    "/b": "http://h:81/b",
    "./b": "http://h:81/d/b",
    "../../b": "http://h:81/b",
    "?x": "http://h:81/d/a?x",
    "#f": "http://h:81/d/a?q",
    "": "http://h:81/d/a?q",
    "//other/b": "http://other/b",
    "https://other/b": "https://other/b",
    "https:b": "https://b/",
    "http:b": "http://h:81/d/b",
    "/\\other/b": "http://other/b",
    "\\\\other\\b": "http://other/b",
    "/\t/other/b": "http://other/b",
    " \n/b ": "http://h:81/b",
    "/a b\x00é": "http://h:81/a%20b%00%C3%A9",
    "/a\r\nSet-Cookie: x": "http://h:81/aSet-Cookie:%20x",
    "//h:81/b": "http://h:81/b",
    "x:y": "",
    "javascript:alert(1)": "",
    "mailto:a@b": "",
    "file:///etc/passwd": "",
    "data:,x": "",
    "http://": "",
    "//h:99999/": "",
    "//[::1/": "",
    "/\udcff": "",
}


@pytest.mark.parametrize("reference", JOINED)
def test_join(reference: str) -> None:
    """A reference is resolved as browsers do it; what leads away from http and https is no URL."""
    base = Url.parse("http://h:81/d/a?q#f")
    if JOINED[reference]:
        assert base.join(reference).href == JOINED[reference]
        return
    with pytest.raises(InvalidURL) as caught:
        base.join(reference)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("reference", "userinfo"),
    [
        ("/b", "u:p"),
        ("http://h/b", "u:p"),
        ("//h:80/b", "u:p"),
        ("http://x:y@h/b", "x:y"),
        ("https://h/b", ""),
        ("http://h:81/b", ""),
        ("//other/b", ""),
        ("//x@other/b", "x"),
    ],
)
def test_credentials_stay_with_their_origin(reference: str, userinfo: str) -> None:
    """User and password go along within an origin, and nowhere else."""
    url = Url.parse("http://u:p@h/a").join(reference)
    assert url.userinfo == userinfo
    assert "@" not in url.href


# --- what is said of bad ones

INVALID: dict[str, str] = {
    "": "the URL is empty",
    " \t\n": "the URL is empty",
    "http:": "'http:' names no host",
    "https://": "'https://' names no host",
    "http:///": "'http:///' names no host",
    "http://?q": "'http://?q' names no host",
    "http://#f": "'http://#f' names no host",
    "http://u:p@/x": "'http://***@/x' names no host",
    "example.org": "no scheme; did you mean 'https://example.org'?",
    "example.org/a?b": "no scheme; did you mean 'https://example.org/a?b'?",
    "example.org:8080/a": "no scheme; did you mean 'https://example.org:8080/a'?",
    "localhost": "no scheme; did you mean 'https://localhost'?",
    "localhost:8080": "no scheme; did you mean 'https://localhost:8080'?",
    "//example.org/": "no scheme; did you mean 'https://example.org/'?",
    "//": "'//' is not a URL: it has no scheme such as https://",
    "./a.txt": "'./a.txt' is not a URL: it has no scheme such as https://",
    "foo": "'foo' is not a URL: it has no scheme such as https://",
    "foo bar.txt": "'foo bar.txt' is not a URL: it has no scheme such as https://",
    "/etc/hosts.deny": "'/etc/hosts.deny' is not a URL: it has no scheme such as https://",
    "# comment": "'# comment' is not a URL: it has no scheme such as https://",
    "a.b/\udcff": "'a.b/\\udcff' holds a character that cannot be encoded",
    "u:p@h:x/y": "the scheme 'u' is not http or https",
    "http://u:p/q@h/": "a / ? or # in a user name or password must be percent-encoded",
    "https://u:p?q@h/": "a / ? or # in a user name or password must be percent-encoded",
    "http://u:p/q@h:x/": "a / ? or # in a user name or password must be percent-encoded",
    "ftp://h/": "the scheme 'ftp' is not http or https",
    "FTP://h/": "the scheme 'ftp' is not http or https",
    "file:///etc/passwd": "the scheme 'file' is not http or https",
    "javascript:alert(1)": "the scheme 'javascript' is not http or https",
    "mailto:a@b.c": "the scheme 'mailto' is not http or https",
    "ws://h/": "the scheme 'ws' is not http or https",
    "s3://b:x y/": "the scheme 's3' is not http or https",
    "htp://h/": "the scheme 'htp' is not http or https; did you mean http://?",
    "HTPS://h/": "the scheme 'htps' is not http or https; did you mean https://?",
    "httpss://h/": "the scheme 'httpss' is not http or https; did you mean https://?",
    "ttps://h:x/": "the scheme 'ttps' is not http or https; did you mean https://?",
    "http://h:65536/": "'65536' is not a valid port",
    "http://h:99999999999999999999/": "'99999999999999999999' is not a valid port",
    "http://h:x/": "'x' is not a valid port",
    "http://h:-1/": "'-1' is not a valid port",
    "http://h:+80/": "'+80' is not a valid port",
    "http://h:8 0/": "'8 0' is not a valid port",
    "http://h:\u0668\u0660/": "'\\u0668\\u0660' is not a valid port",
    "http://u:p@h:x/": "'x' is not a valid port",
    "http://[::1/": "'[::1' is not a valid IPv6 address",
    "http://[::g]/": "'[::g]' is not a valid IPv6 address",
    "http://[fe80::1%25eth0]/": "'[fe80::1%25eth0]' is not a valid IPv6 address",
    "http://[::1]x/": "'[::1]x' is not a valid IPv6 address",
    "http://a b/": "'a b' is not a valid host name",
    "http://a b:80/": "'a b' is not a valid host name",
    "http://h%2fx/": "'h%2fx' is not a valid host name",
    "http://h%00/": "'h%00' is not a valid host name",
    "http://a<b/": "'a<b' is not a valid host name",
    "http://1.2.3.4.5/": "'1.2.3.4.5' is not a valid host name",
    "http://256.256.256.256/": "'256.256.256.256' is not a valid host name",
    "http://:80/": "'http://:80/' names no host",
    "http:\\\\a b\\c": "'a b' is not a valid host name",
    "http:a b": "'a b' is not a valid host name",
    "http://\x1b[2J/": "'\\x1b[2J' is not a valid host name",
    "http://h/\udcff": "'http://h/\\udcff' holds a character that cannot be encoded",
    "http://" + "a b" * 1000: "'" + ("a b" * 27)[:80] + "'... is not a valid host name",
}


@pytest.mark.parametrize("text", INVALID, ids=lambda text: repr(text)[:40])
def test_why_a_text_is_no_url(text: str) -> None:
    """What is no URL is refused with the one sentence that helps most, in printable ASCII."""
    with pytest.raises(InvalidURL) as caught:
        Url.parse(text)
    assert caught.value.detail == INVALID[text]
    assert caught.value.code == "url.invalid"
    assert caught.value.detail.isascii()
    assert caught.value.detail.isprintable()


# --- secrets

HIDDEN: dict[str, str] = {
    "http://h/": "http://h/",
    "http://u:p@h/": "http://***@h/",
    "http://u@h/": "http://***@h/",
    "http://u:p@q@h/": "http://***@h/",
    "HTTPS:\\\\u:p@h\\": "HTTPS:\\\\***@h\\",
    "http:u:p@h/": "http:***@h/",
    "http:/u:p@h/": "http:/***@h/",
    "http:////u:p@h/": "http:////***@h/",
    "  http://u:p@h/": "http://***@h/",
    "\x01\x1f http://u:p@h/": "http://***@h/",
    "\ufeffhttp://u:p@h/": "\ufeffhttp://***@h/",
    "\u00a0http://u:p@h/": "\u00a0http://***@h/",
    "ht\ntp://u:p@h/": "http://***@h/",
    "http:\t//u:p@h/": "http://***@h/",
    "http:/\t/u:p@h/": "http://***@h/",
    "h\tt\tt\tp\t:u:p@h/": "http:***@h/",
    "http://u\n:p@h/": "http://***@h/",
    "//u:p@h/": "//***@h/",
    "u:p@h/": "***@h/",
    "ftp://u:p@h/": "ftp://***@h/",
    "http://u:p/q@h/": "http://***@h/",
    "http://u:p#q@h/": "http://***@h/",
    "http://u:p?q@h/": "http://***@h/",
    "http://u:1p/q@r@h/": "http://***@h/",
    "http://u:p@h:x/": "http://***@h:x/",
    "http://h/@x": "http://h/@x",
    "http://h/a?b@c": "http://h/a?b@c",
    "http://h#@x": "http://h#@x",
    "http://h\\@evil/": "http://h\\@evil/",
    "http://h:80/@x": "http://h:80/@x",
    "http://h:/@x": "http://h:/@x",
    "http://[::1]:80/@x": "http://[::1]:80/@x",
    "http://[::1]/@x": "http://[::1]/@x",
    "https://web.example/http://x/@y": "https://web.example/http://x/@y",
    "no url @ all": "*** all",
    "": "",
}


@pytest.mark.parametrize("text", HIDDEN, ids=ascii)
def test_redacted(text: str) -> None:
    """User and password are hidden in any spelling that is read as a URL, and in those that nearly are."""
    expected = HIDDEN[text]
    if text == "no url @ all":
        expected = "***@ all"
    assert redacted(text) == expected


pieces = st.sampled_from(
    [
        "http",
        "https",
        "HTTP",
        "ftp",
        ":",
        "/",
        "//",
        "\\",
        "@",
        "?",
        "#",
        "\t",
        "\n",
        " ",
        "\x01",
        "u",
        "80",
        "h",
        "[::1]",
    ]
)
hostile = st.lists(pieces, max_size=6).map("".join)


def parse_or_refuse(text: str) -> Url | InvalidURL:
    try:
        return Url.parse(text)
    except InvalidURL as error:
        return error


@pytest.mark.slow
@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(before=st.one_of(st.just("http://"), hostile), between=hostile, after=hostile)
def test_no_password_that_is_read_is_shown(before: str, between: str, after: str) -> None:
    """Whatever is read as user and password is in no text that may be recorded."""
    text = f"{before}{between}SECRET{after}@h/"
    hidden = redacted(text)
    url = parse_or_refuse(text)
    if isinstance(url, InvalidURL):
        assert not re.match(r"\s*https?://[^/\\?#]*SECRET[^/\\?#]*@", text) or "SECRET" not in hidden + url.detail
        return
    if "SECRET" in url.userinfo:
        assert "SECRET" not in hidden + url.href
    assert redacted(hidden) == hidden


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(path=st.text(max_size=20))
def test_url_without_a_password_is_left_as_it_is(path: str) -> None:
    """An `@` in path or query is nobody's password."""
    for start in ("http://h/", "https://h:8080/a?", "http://[::1]:1/"):
        assert redacted(start + path) == start + path


@pytest.mark.slow
@settings(max_examples=400, deadline=None, database=None, derandomize=True)
@given(
    text=st.one_of(st.text(max_size=30), hostile).flatmap(
        lambda tail: st.sampled_from(["http://h/", "http://", ""]).map(lambda start: start + tail)
    )
)
def test_what_is_parsed_can_be_sent(text: str) -> None:
    """Any text either is refused with InvalidURL, or gives a request of one line, whose parts fit together."""
    url = parse_or_refuse(text)
    if isinstance(url, InvalidURL):
        assert url.detail.isprintable()
        return
    request = encode_request("GET", url.target, url.origin.authority, b"")
    assert request.count(b"\r\n") == 3
    assert request.count(b" ") == 3
    again = Url.parse(url.href)
    assert (again.href, again.target, again.origin) == (url.href, url.target, url.origin)
    assert 0 <= url.origin.port <= 65535
    assert url.credentials is None or unquote_to_bytes(url.userinfo)


_MARKS = ["'", '"', "|", "<", ">", "`", "{", "}", "^", "%", " ", "\t", "\n", "\\", "é", *"?#@:x-_~!$&()*+,;=A"]
_DOTS = ["/", "//", ".", "..", "/./", "/../", "%2e", "%2E", "%2f"]
_STARTS = ["http://", "https://", "HTTP://", "h", "a.b", "127.1", "127.0.0.1", "[::1]", ":80", ":443", ":8080"]
_PIECES = st.lists(st.sampled_from([*_STARTS, *_DOTS, *_MARKS]), max_size=12).map("".join)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(st.one_of(_PIECES, _PIECES.map("http://h/".__add__), st.text(max_size=30).map("https://a.b/".__add__)))
def test_plain_urls_are_what_the_parser_makes_of_them(text: str) -> None:
    """The short way for URLs that are written plainly gives what the whole way gives."""
    try:
        whole = Url._split(ada_url.normalize_url(text))
    except (ValueError, InvalidURL):
        with pytest.raises(InvalidURL):
            Url.parse(text)
        return
    parsed = Url.parse(text)
    assert (parsed.href, parsed.target, parsed.userinfo) == (whole.href, whole.target, whole.userinfo)
    assert (parsed.origin.name, parsed.origin.key) == (whole.origin.name, whole.origin.key)


@pytest.mark.parametrize(
    "text",
    [
        "http://h/.",
        "http://h/a/..",
        "http://h/a/%2e%2E/b",
        "http://h/a/.b/../c",
        "http://h/a?b/../c",
        "http://h/a'b",
    ],
)
def test_dots_and_quotes_take_the_whole_way(text: str) -> None:
    """Dot segments, hidden or not, and characters to be encoded are the parser's business."""
    assert Url.parse(text).href == ada_url.normalize_url(text)
