"""`get --robots`: what the servers saw, and what the records say."""

from __future__ import annotations

import pytest

from asyncfetch.testing import Reply
from asyncfetch.testing.fixtures import MakeFaultServer
from tests.cli.command import run

pytestmark = pytest.mark.slow

ROBOTS = b"""\xef\xbb\xbf# a file as they are
User-agent: *
Disallow: /

User-Agent: OtherBot
User-agent: mybot   # that is us
Allow: /open/
Disallow: /*.pdf$
Disallow: /private*/end
Disallow: /open/secret
Disallow: /caf%C3%A9
Request-rate: 10/1s
Crawl-delay: 0.05

Sitemap: http://a.test/sitemap.xml
"""


def test_a_file_with_wildcards_groups_and_delays_is_obeyed(make_fault_server: MakeFaultServer) -> None:
    """The server sees one robots.txt, then what it allows to our group, as far apart as it asks for."""
    server = make_fault_server({"/robots.txt": Reply(200, ROBOTS), "*": Reply(200, b"x")})
    allowed = ["/", "/open/a.html", "/a.pdf?x", "/private/en", "/a.PDF", "/open/a.pd", "/robots.txt"]
    disallowed = [
        "/a.pdf",
        "/x/y.pdf",
        "/private/end",
        "/privately/the/end/of",
        "/open/secret/1",
        "/caf%c3%a9",
        "/café",
    ]
    ran = run("get", "--robots", "-A", "MyBot/2.1 (+http://me.test)", *map(server.url, allowed + disallowed))
    assert ran.status == 3
    assert ran.codes == [""] * len(allowed) + ["robots.disallowed"] * len(disallowed)
    first, *rest = server.seen.log
    assert first.target == "/robots.txt"
    assert sorted(request.target for request in rest) == sorted(allowed)
    for number, request in enumerate(rest):
        assert request.time - first.time >= 0.1 * number, "0.1 s between two starts; each may arrive a little late"
    record = ran.records[-1]
    assert record["error"]["message"] == f"the robots.txt of {server.url('')} disallows it"
    assert record["attempts"] == 0
