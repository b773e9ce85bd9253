from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfetch.job.formats.sitemap import Sitemap
from asyncfetch.job.lines import Line
from asyncfetch.job.packing import Unreadable

NAMESPACE = ' xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/image"'
URLSET = f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- a comment -->
<urlset{NAMESPACE}>
  <url><loc> http://a/?x=1&amp;y=2 </loc><lastmod>2026-01-01</lastmod>
    <image:image><image:loc>http://image/</image:loc></image:image></url>
  <url>
    <lastmod/><loc><![CDATA[http://b/é]]></loc>
  </url>
</urlset>
""".encode()


def read(*blocks: bytes, longest: int = 65536) -> list[Line]:
    sitemap = Sitemap(longest)
    return [entry for block in blocks for entry in sitemap.feed(block)] + sitemap.finish()


def refusal(*blocks: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        read(*blocks)
    return caught.value.detail


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_the_urls_of_a_sitemap(size: int) -> None:
    """Each `loc` of a `url` is an entry, with its line; those of images and the like are not."""
    blocks = [URLSET[start : start + size] for start in range(0, len(URLSET), size)]
    assert read(*blocks) == [Line(4, "http://a/?x=1&y=2", ""), Line(7, "http://b/é", "")]


def test_an_index() -> None:
    """The entries of an index are sitemaps."""
    sitemap = Sitemap()
    assert sitemap.feed(b"<s:sitemapindex xmlns:s='x'><s:sitemap><s:loc>http://a/1.xml</s:loc>") == [
        Line(1, "http://a/1.xml", "")
    ]
    assert sitemap.is_index


def test_another_encoding() -> None:
    """The one that the document names is taken."""
    document = '<?xml version="1.0" encoding="ISO-8859-1"?><urlset><url><loc>http://a/é</loc></url></urlset>'
    assert read(document.encode("latin-1")) == [Line(1, "http://a/é", "")]


def test_bad_entries_say_why() -> None:
    """A URL that is too long or holds a line break is an entry with its reason; one that is empty, too."""
    long, odd, empty = read(
        b"<urlset><url><loc>" + b"x" * 300 + b"</loc></url><url><loc>a\nb</loc></url><url><loc/></url></urlset>",
        longest=250,
    )
    assert long == Line(1, "x" * 200 + "...", "the URL is longer than 0 KiB")
    assert odd == Line(1, "a\nb", r"the URL contains the control character '\n'")
    assert (empty.text, empty.fault) == ("", "")


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (b"http://a/\n", "is not a sitemap: it is not XML"),
        (b"", "is not a sitemap: it is not XML"),
        (b"<rss><channel/></rss>", "is not a sitemap: its root element is 'rss', not urlset or sitemapindex"),
        (b"<urlset><url>", "is not well-formed XML: it ends too early in line 1"),
        (b"<urlset>\n<url></urlset>", "is not well-formed XML: mismatched tag in line 2"),
        (b"<urlset>&bomb;</urlset>", "is not well-formed XML: undefined entity in line 1"),
        (b'<?xml version="1.0" encoding="nix"?><urlset/>', "is in an encoding that cannot be read: unknown"),
        (b'<?xml version="1.0" encoding="utf-7"?><urlset/>', "is in an encoding that cannot be read: "),
    ],
)
def test_what_is_no_sitemap(document: bytes, sentence: str) -> None:
    """What it is not, and in which line, is said."""
    assert refusal(document).startswith(sentence)


@pytest.mark.parametrize(
    "declaration",
    [
        b'<!DOCTYPE urlset [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        b'<!DOCTYPE urlset [<!ENTITY file SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE urlset SYSTEM "http://evil/x.dtd">',
    ],
)
def test_declarations_are_refused(declaration: bytes) -> None:
    """Without a document type there are no entities: no bombs, no files, no further requests."""
    document = declaration + b"<urlset><url><loc>&b;</loc></url></urlset>"
    assert refusal(document) == "has a document type declaration, which no sitemap needs: it is not read"


def test_something_without_end() -> None:
    """An attribute of many megabytes is given up: neither its memory nor its time is spent."""
    blocks = [b'<urlset a="', *[b"x" * 65536] * 100]
    assert refusal(*blocks) == "is not a sitemap: it holds something without an end"


def test_deep_nesting_is_harmless() -> None:
    """A hundred thousand open elements are no entries, and no recursion of ours."""
    assert read(b"<urlset>" + b"<url>" * 100_000 + b"<loc>x</loc>" + b"</url>" * 100_000 + b"</urlset>") == []


@given(cuts=st.lists(st.integers(0, len(URLSET))), noise=st.binary(max_size=5), at=st.integers(0, len(URLSET)))
def test_any_bytes_are_entries_or_refused(cuts: list[int], noise: bytes, at: int) -> None:
    """Nothing leaves it but entries and refusals, and it does not matter how the bytes come."""
    document = URLSET[:at] + noise + URLSET[at:]
    edges = [0, *sorted(min(cut, len(document)) for cut in cuts), len(document)]
    results = []
    for blocks in ([document], [document[a:b] for a, b in pairwise(edges)]):
        try:
            results.append([(entry.text, entry.fault) for entry in read(*blocks)])
        except Unreadable:  # of two things that are wrong, either may be found first
            results.append([("", "refused")])
    assert results[0] == results[1]
