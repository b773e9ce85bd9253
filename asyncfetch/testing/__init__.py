r"""A loopback HTTP/1.1 server that misbehaves on request, to test programs that fetch.

    from asyncfetch.testing import Close, FaultServer, Reply, Script, Send, Sequence

    async with FaultServer({"/": Reply(200, b"hello")}) as server:
        server.route("/cut", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), Close()))
        server.route("/flaky", Sequence(Reply(503, headers={"Retry-After": "1"}), Reply(200, b"at last")))
        await the_program(server.url("/cut"), server.url("/flaky"))
        assert server.seen.most_at_once <= 6
        assert server.seen.by_path["/flaky"] == 2

Synchronous code, or a program in another process, uses `with FaultServer(...).in_thread() as server:`.

A route's answer is one of:

- `Reply`: a well-formed answer, plain, chunked or gzip, at once or delayed; `redirect(...)` makes one;
- `Script`: raw steps, `Send`, `Pause`, `Drip`, `Endless`, `Silence`, `Close`, `Reset`, `StopTLS`, or a `Reply`;
- `Sequence`: the n-th request gets the n-th answer;
- `throttle(limit, answer)`: status 429 while too many are in progress on that host;
- a function, plain or async, from a `SeenRequest` to one of these.

The server itself can die between two requests (`close_after`), or right after the accept (`accept_then_close`).
Where nothing answers at all: `unused_port()` refuses connections, `blackhole()` lets them wait.

With pytest, put `pytest_plugins = ("asyncfetch.testing.fixtures",)` into the conftest.py of the root folder:

    def test_gives_up(fault_server):                     # one that runs, on 127.0.0.1
        fault_server.route("/", Script(Silence()))
        ...

    def test_two_hosts(make_fault_server, tls_authority):   # as many as you like; TLS needs the package trustme
        server = make_fault_server(addresses=("127.0.0.1", "127.0.0.2"),
                                   ssl_context=tls_authority.server_context("127.0.0.1", "127.0.0.2"))
        fetch(server.url("/", host="127.0.0.2"), ca_file=tls_authority.ca_file)

It is written with nothing of asyncfetch itself: a server must not share its client's mistakes.
"""

from asyncfetch.testing.ports import blackhole, unused_port
from asyncfetch.testing.request import SeenRequest
from asyncfetch.testing.scripts import (
    Answer,
    Close,
    Drip,
    Endless,
    Pause,
    Reply,
    Reset,
    Script,
    Send,
    Sequence,
    Silence,
    StopTLS,
    gzip_bytes,
    redirect,
    throttle,
)
from asyncfetch.testing.seen import HostSeen, Seen
from asyncfetch.testing.server import FaultServer

__all__ = [
    "Answer",
    "Close",
    "Drip",
    "Endless",
    "FaultServer",
    "HostSeen",
    "Pause",
    "Reply",
    "Reset",
    "Script",
    "Seen",
    "SeenRequest",
    "Send",
    "Sequence",
    "Silence",
    "StopTLS",
    "blackhole",
    "gzip_bytes",
    "redirect",
    "throttle",
    "unused_port",
]
