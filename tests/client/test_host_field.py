"""A Host of one's own: for a server that is not yet where its name leads, and for nobody else."""

from __future__ import annotations

import pytest

from asyncfetch import Client, InvalidURL, Request, Retry, TLSSettings
from asyncfetch.testing import FaultServer, Reply, redirect
from asyncfetch.testing.fixtures import MakeFaultServer, TLSAuthority

ONCE = Retry(attempts=1)


def hosts(server: FaultServer) -> list[tuple[str, str | None]]:
    return [(request.path, request.header("Host")) for request in server.seen.log]


@pytest.fixture
def server(fault_server: FaultServer) -> FaultServer:
    fault_server.route("*", Reply(200))
    return fault_server


async def test_is_sent_instead_of_the_url_s(server: FaultServer) -> None:
    """Once, as the first field, whoever gives it; that of a request goes over the client's."""
    async with Client(headers={"host": "a.test"}, retry=ONCE) as client:
        await client.get(server.url("/1"))
        await client.get(server.url("/2"), headers={"HOST": "b.test:8080"})
        await client.get(server.url("/3"), headers={"Host": None})
        await client.get(server.url("/4").replace("//", "//me:secret@"), headers={"A": "b"})
        [_] = [0 async for result in client.fetch_many([Request(server.url("/5"), headers={"Host": "[::1]:1"})])]
    own = f"127.0.0.1:{server.port}"
    assert hosts(server) == [
        ("/1", "a.test"),
        ("/2", "b.test:8080"),
        ("/3", own),
        ("/4", "a.test"),
        ("/5", "[::1]:1"),
    ]
    for request in server.seen.log:
        assert [name for name, _ in request.headers].count("Host") == 1
        assert request.headers[0][0] == "Host"
    assert server.seen.connections == 1


async def test_does_not_follow_a_redirect_elsewhere(make_fault_server: MakeFaultServer) -> None:
    """On the same origin it stays; another one never sees it, and it does not come back."""
    server, other = make_fault_server(), make_fault_server()
    server.route("/", redirect("/same"))
    server.route("/same", redirect(other.url("/away")))
    server.route("/back", Reply(200))
    other.route("/away", redirect(server.url("/back")))
    async with Client(headers={"Host": "a.test"}, retry=ONCE) as client:
        await client.get(server.url())
    assert hosts(server) == [("/", "a.test"), ("/same", "a.test"), ("/back", f"127.0.0.1:{server.port}")]
    assert hosts(other) == [("/away", f"127.0.0.1:{other.port}")]


async def test_changes_neither_connection_nor_certificate(
    make_fault_server: MakeFaultServer, tls_authority: TLSAuthority
) -> None:
    """TLS verifies the host of the URL, whatever the field says; both share their connections."""
    context = tls_authority.server_context("127.0.0.1")
    server = make_fault_server({"*": Reply(200)}, ssl_context=context)
    async with Client(tls=TLSSettings(ca_file=tls_authority.ca_file), retry=ONCE) as client:
        for host in ("a.test", None, "b.test"):
            response = await client.get(server.url(), headers={"Host": host})
            assert response.url == server.url()
    assert [host for _, host in hosts(server)] == ["a.test", f"127.0.0.1:{server.port}", "b.test"]
    assert server.seen.connections == 1


@pytest.mark.parametrize(
    "host",
    ["", " ", "a b", "a\r\nX: y", "a/b", "me@a", "a?b", "a#b", "a,b", "a:b", "a:", "\xe4.test", "[::1", "a\\b"],
)
async def test_is_a_host_or_refused(server: FaultServer, host: str) -> None:
    """What is no host is not sent, for the request is then read in two ways."""
    with pytest.raises(ValueError, match="header Host is a name or an address"):
        Client(headers={"Host": host})
    async with Client(retry=ONCE) as client:
        with pytest.raises(InvalidURL, match="header Host is a name or an address"):
            await client.get(server.url(), headers={"Host": host})
        with pytest.raises(InvalidURL, match="given twice"):
            await client.get(server.url(), headers=[("Host", "a"), ("host", "a")])
    assert server.seen.connections == 0
