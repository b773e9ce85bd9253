"""One turn after another: retries, pauses, dead connections, sinks, and a shortage of descriptors."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from random import Random
from time import monotonic

import anyio
import pytest

from asyncfetch import (
    BodyTooLarge,
    Client,
    ConnectRefused,
    HeadTimeout,
    HostState,
    IncompleteMessage,
    Limits,
    LocalError,
    Request,
    Response,
    Result,
    Retry,
    StatusError,
    Timeouts,
    TooManyRedirects,
)
from asyncfetch.client import Sink
from asyncfetch.testing import (
    Close,
    FaultServer,
    Reply,
    Reset,
    Script,
    SeenRequest,
    Send,
    Sequence,
    Silence,
    redirect,
    throttle,
    unused_port,
)
from asyncfetch.testing.fixtures import MakeFaultServer

AT_ONCE = Retry(attempts=3, backoff=0)
CUT = Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), Close())


class Longest(Random):
    """Chance that always chooses the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    """A server on two addresses."""
    async with FaultServer(addresses=("127.0.0.1", "127.0.0.2")) as server:
        server.route("/ok", Reply(200, b"ok"))
        yield server


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client that tries three times at once, and has to be as new at the end."""
    async with Client(retry=AT_ONCE) as client:
        yield client
        assert client.stats.total.in_flight == 0
        assert client._turns.frontier.in_flight == 0
        assert client._pool.in_use == 0
        assert not client._batches


async def fetch(client: Client, *entries: str | Request) -> list[Result]:
    """Fetch a list and return its results in the order of its entries."""
    return sorted([result async for result in client.fetch_many(entries)], key=lambda result: result.index)


class TestRetries:
    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    async def test_of_a_status_that_may_pass(self, server: FaultServer, client: Client, status: int) -> None:
        """Such an answer is asked for again, on the same connection, and the good one counts."""
        server.route("/", Sequence(Reply(status, b"busy"), Reply(status, b"busy"), Reply(200, b"x")))
        (result,) = await fetch(client, server.url())
        assert (result.ok, result.attempts) == (True, 3)
        assert server.seen.connections == 1
        host = client.stats.hosts[f"127.0.0.1:{server.port}"]
        assert (host.retries, host.done, host.failed) == (2, 1, 0)
        assert host.last_error == f"http.{status // 100}xx"

    async def test_end_with_the_last_answer(self, server: FaultServer, client: Client) -> None:
        """When the attempts are used up, the answer stands."""
        server.route("/", Reply(503, b"busy"))
        response = await client.get(server.url())
        assert (response.status_code, response.content) == (503, b"busy")
        assert server.seen.requests == 3

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501, 505, 600])
    async def test_of_nothing_that_will_not_change(self, server: FaultServer, client: Client, status: int) -> None:
        """Other failures are failures."""
        server.route("/", Reply(status))
        (result,) = await fetch(client, server.url())
        assert (result.status, result.attempts) == (status, 1)
        assert isinstance(result.error, StatusError)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("failure", "error"),
        [(CUT, IncompleteMessage), (Script(Reset()), IncompleteMessage), (Script(Silence()), HeadTimeout)],
        ids=["cut", "reset", "silence"],
    )
    async def test_of_an_error_that_may_pass(
        self, server: FaultServer, failure: Script, error: type[Exception]
    ) -> None:
        """What broke or took too long is tried again, on a new connection; the last error is raised."""
        head = 0.2 if error is HeadTimeout else 30.0
        async with Client(retry=AT_ONCE, timeouts=Timeouts(head=head)) as client:
            server.route("/", failure)
            with pytest.raises(error):
                await client.get(server.url())
            server.route("/", Sequence(failure, failure, Reply(200, b"x")))
            (result,) = await fetch(client, server.url())
            assert (result.ok, result.attempts) == (True, 3)
        assert server.seen.requests == 6

    async def test_of_a_refused_connection(self, client: Client) -> None:
        """Nobody may listen yet."""
        (result,) = await fetch(client, f"http://127.0.0.1:{unused_port()}/")
        assert result.attempts == 3
        assert isinstance(result.error, ConnectRefused)
        assert result.response is None
        assert client.stats.total.errors == {"connect.refused": 1}

    async def test_start_with_the_url_as_given(self, server: FaultServer, client: Client) -> None:
        """An attempt is a chain: it starts at its beginning, and only its own hops are its history."""
        server.route("/", redirect("/b"))
        server.route("/b", Sequence(CUT, Reply(200, b"x")))
        (result,) = await fetch(client, server.url())
        assert (result.ok, result.attempts) == (True, 2)
        assert result.redirects == [server.url()]
        assert [request.path for request in server.seen.log] == ["/", "/b", "/", "/b"]

    async def test_are_timed_by_themselves(self, server: FaultServer, client: Client) -> None:
        """The times of a result are those of its last attempt: what an earlier one took is over."""
        server.route("/", Sequence(Reply(302, headers={"Location": "/b"}, delay=0.2), redirect("/b")))
        server.route("/b", Sequence(CUT, Reply(200, b"x")))
        (result,) = await fetch(client, server.url())
        assert (result.ok, result.attempts) == (True, 2)
        _, ended, _, _ = server.seen.log
        assert (result.timings.total or 60) < monotonic() - ended.time

    async def test_hold_no_place_while_they_wait(self, server: FaultServer) -> None:
        """The only place there is serves others during a back-off."""
        server.route("/busy", Sequence(Reply(503), Reply(200)))
        async with Client(retry=Retry(backoff=0.03), limits=Limits(total=1)) as client:
            client._engine._random = Longest()
            await fetch(client, server.url("/busy"), server.url("/ok"), server.url("/ok"))
        assert [request.path for request in server.seen.log] == ["/busy", "/ok", "/ok", "/busy"]
        assert server.seen.log[3].time - server.seen.log[0].time >= 0.03

    async def test_hold_no_place_while_they_wait_for_single_requests(self, server: FaultServer) -> None:
        """That is so for get as well."""
        server.route("/busy", Sequence(Reply(503), Reply(200)))
        async with Client(retry=Retry(backoff=0.03), limits=Limits(total=1)) as client:
            client._engine._random = Longest()
            await asyncio.gather(*(client.get(server.url(path)) for path in ("/busy", "/ok", "/ok")))
        assert [request.path for request in server.seen.log] == ["/busy", "/ok", "/ok", "/busy"]


class TestRetryAfter:
    async def test_uses_no_attempt(self, server: FaultServer) -> None:
        """Who is asked to wait waits, as often as asked, although there is one attempt only."""
        busy = Reply(429, headers={"Retry-After": "1"})
        server.route("/", Sequence(busy, busy, busy, Reply(200, b"x")))
        async with Client(retry=Retry(attempts=1, max_wait=0.01)) as client:
            (result,) = await fetch(client, server.url())
            assert (result.ok, result.attempts) == (True, 1)
            assert client.stats.total.retries == 0

    async def test_pauses_the_whole_host_and_no_other(self, server: FaultServer) -> None:
        """Nothing goes to that host until the time is over; another one is not concerned."""
        server.route("/busy", Sequence(Reply(503, headers={"Retry-After": "1"}), Reply(200)))
        async with Client(retry=Retry(max_wait=0.05), limits=Limits(per_host=1)) as client:
            entries = [server.url("/busy"), server.url("/ok"), *[server.url("/ok", "127.0.0.2")] * 3]
            results = client.fetch_many(entries)
            first = [(await anext(results)).index for _ in range(3)]
            assert first == [3, 4, 5]
            host = client.stats.hosts[f"127.0.0.1:{server.port}"]
            assert (host.state, host.reason, host.in_flight) == (HostState.WAITING, "Retry-After", 0)
            assert host.resumes_at > 0
            assert [(await anext(results)).index for _ in range(2)] == [1, 2]
            assert (host.state, host.reason, host.resumes_at) == (HostState.OK, "", 0.0)
        times = [request.time for request in server.seen.log if request.host.startswith("127.0.0.1:")]
        assert times[1] - times[0] >= 0.05

    async def test_ends_with_its_budget(self, server: FaultServer) -> None:
        """A URL does not wait for ever for a host that always asks for more; each wait costs a second at least."""
        server.route("/", Reply(429, b"busy", {"Retry-After": "1"}))
        async with Client(retry=Retry(attempts=1, max_wait=0.01, wait_budget=2)) as client:
            (result,) = await fetch(client, server.url())
        assert (result.status, result.attempts) == (429, 1)
        assert server.seen.requests == 3

    async def test_after_a_redirect_pauses_the_host_that_asked(self, server: FaultServer) -> None:
        """The chain starts again at its own host, and waits at the other."""
        server.route("/", redirect(server.url("/busy", "127.0.0.2")))
        server.route("/busy", Sequence(Reply(429, headers={"Retry-After": "1"}), Reply(200, b"x")))
        async with Client(retry=Retry(attempts=1, max_wait=0.02)) as client:
            (result,) = await fetch(client, server.url())
        assert (result.ok, result.attempts) == (True, 1)
        assert [request.path for request in server.seen.log] == ["/", "/busy", "/", "/busy"]

    async def test_throttled_hosts_give_everything_in_the_end(self, server: FaultServer) -> None:
        """A host that allows two at once gets what it asks for, and no URL is lost."""
        server.route("*", throttle(2, Reply(200, b"x", delay=0.001), retry_after="1"))
        async with Client(retry=Retry(attempts=1, max_wait=0.01), limits=Limits(per_host=6)) as client:
            results = await fetch(client, *[server.url(f"/{n}") for n in range(30)])
        assert all(result.ok for result in results)


class TestDeadConnections:
    async def test_cost_no_failure_and_no_attempt(self, client: Client) -> None:
        """A server that closes each connection on its second request is asked once more each time."""
        async with FaultServer({"*": Reply(200, b"x")}, close_after=1) as server:
            results = await fetch(client, *[server.url(f"/{n}") for n in range(40)])
            assert [(result.ok, result.attempts) for result in results] == [(True, 1)] * 40
            for _ in range(3):
                assert (await client.get(server.url())).content == b"x"
        assert client.stats.total.retries == 0
        assert client.stats.total.failed == 0

    async def test_of_which_there_are_many_cost_one_try(self, client: Client) -> None:
        """The request goes out once more, on a new connection: the other idle ones may be as dead."""
        async with FaultServer({"*": Reply(200, b"x", delay=0.01)}, close_after=1) as server:
            await asyncio.gather(*(client.get(server.url()) for _ in range(4)))
            assert client._pool.idle == 4
            assert (await client.get(server.url())).content == b"x"
            assert server.seen.requests == 4 + 2

    async def test_of_a_server_that_answers_and_goes(self, server: FaultServer, client: Client) -> None:
        """A connection that the server closes after its answer is not used again."""
        server.route("/", Reply(200, b"x", keep_alive=False))
        for _ in range(5):
            assert (await client.get(server.url())).content == b"x"
        server.route("/", Reply(200, b"x", close=True))
        for _ in range(5):
            assert not (await client.get(server.url())).reused

    async def test_that_fail_when_new_are_a_failure(self, client: Client) -> None:
        """Only a connection that had been used may have died while idle."""
        async with FaultServer({"*": Reply(200, b"x")}, close_after=0) as server:
            with pytest.raises(IncompleteMessage):
                await client.get(server.url())
            assert server.seen.requests == 3

    @pytest.mark.slow
    async def test_a_thousand_requests_share_six_connections(self, server: FaultServer) -> None:
        """Keep-alive: as many connections as places, not more."""
        server.route("*", Reply(200, b"x" * 100))
        async with Client(limits=Limits(per_host=6)) as client:
            results = await fetch(client, *[server.url(f"/{n}") for n in range(1000)])
        assert all(result.ok for result in results)
        assert server.seen.connections <= 6
        assert server.seen.most_at_once <= 6


class Keep(Sink):
    """A sink that remembers what was done to it, and fails where it is told to."""

    def __init__(self, fails: dict[str, BaseException] | None = None) -> None:
        self.calls: list[str | bytes] = []
        self._fails = fails or {}

    async def write(self, chunk: bytes) -> None:
        self.calls.append(chunk)
        await self._do("write")

    async def finish(self) -> None:
        self.calls.append("finish")
        await self._do("finish")

    async def abort(self) -> None:
        self.calls.append("abort")
        await self._do("abort")
        self.calls.append("aborted")

    async def _do(self, what: str) -> None:
        await asyncio.sleep(0)
        if what in self._fails:
            raise self._fails[what]


class TestSinks:
    async def test_take_the_body_in_order(self, server: FaultServer, client: Client) -> None:
        """Pieces as they come, decoded, then the end; the result says which sink it was."""
        body = bytes(range(256)) * 4096
        server.route("/", Reply(200, body, gzip=True, chunked=1000))
        asked: list[tuple[str, int]] = []
        sink = Keep()

        def choose(request: Request, response: Response) -> Sink:
            asked.append((request.url, response.status_code))
            return sink

        (result,) = [r async for r in client.fetch_many([server.url()], sink=choose)]
        assert result.ok
        assert result.sink is sink
        assert asked == [(server.url(), 200)]
        assert sink.calls[-1] == "finish"
        assert len(sink.calls) > 2
        assert b"".join(call for call in sink.calls if isinstance(call, bytes)) == body
        assert result.response is not None
        assert not result.response.has_content
        assert result.response.num_bytes == len(body)
        assert result.response.wire_bytes < len(body)

    async def test_may_be_declined(self, server: FaultServer, client: Client) -> None:
        """None keeps the body in memory, where its limit holds."""
        (result,) = [r async for r in client.fetch_many([server.url("/ok")], sink=lambda *_: None)]
        assert result.response is not None
        assert (result.response.content, result.sink) == (b"ok", None)

    async def test_get_nothing_of_an_error(self, server: FaultServer, client: Client) -> None:
        """What is not ok is counted and thrown away."""
        server.route("/", Reply(404, b"not here"))
        server.route("/busy", Reply(503, b"not now"))
        made: list[Sink] = []

        def choose(request: Request, response: Response) -> Sink:
            made.append(Keep())
            return made[-1]

        results = [r async for r in client.fetch_many([server.url(), server.url("/busy")], sink=choose)]
        assert made == []
        assert [result.sink for result in results] == [None, None]
        assert [result.response.num_bytes for result in results if result.response] == [8, 7]

    async def test_an_error_that_is_cut_is_thrown_away_too(self, server: FaultServer, client: Client) -> None:
        """Nobody wants its body, but it has to be whole."""
        cut = Script(Send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\nhalf"), Close())
        server.route("/", cut)
        (result,) = [r async for r in client.fetch_many([server.url()], sink=lambda *_: Keep())]
        assert isinstance(result.error, IncompleteMessage)

    async def test_an_empty_body_is_finished(self, server: FaultServer, client: Client) -> None:
        """Nothing to write is whole, too."""
        server.route("/", Reply(200))
        sink = Keep()
        (result,) = [r async for r in client.fetch_many([server.url()], sink=lambda *_: sink)]
        assert (result.ok, sink.calls) == (True, ["finish"])

    async def test_are_aborted_before_another_attempt(self, server: FaultServer, client: Client) -> None:
        """Each attempt has a sink of its own; one that failed is aborted before the next begins."""
        server.route("/", Sequence(CUT, CUT, Reply(200, b"whole")))
        sinks: list[Keep] = []

        def choose(request: Request, response: Response) -> Sink:
            assert all(sink.calls[-1] == "aborted" for sink in sinks)
            sinks.append(Keep())
            return sinks[-1]

        (result,) = [r async for r in client.fetch_many([server.url()], sink=choose)]
        assert (result.ok, result.attempts, result.sink) == (True, 3, sinks[2])
        assert [sink.calls for sink in sinks] == [
            [b"half", "abort", "aborted"],
            [b"half", "abort", "aborted"],
            [b"whole", "finish"],
        ]

    async def test_are_aborted_at_the_last_failure(self, server: FaultServer, client: Client) -> None:
        """The result of a failure has no sink."""
        server.route("/", CUT)
        sinks: list[Keep] = []

        def choose(request: Request, response: Response) -> Sink:
            sinks.append(Keep())
            return sinks[-1]

        (result,) = [r async for r in client.fetch_many([server.url()], sink=choose)]
        assert isinstance(result.error, IncompleteMessage)
        assert result.sink is None
        assert [sink.calls[-1] for sink in sinks] == ["aborted"] * 3

    async def test_are_not_memory(self, server: FaultServer) -> None:
        """The limit for bodies in memory is not theirs; one of the request itself is."""
        server.route("/", Reply(200, b"x" * 2000))
        server.route("/gzip", Reply(200, b"x" * 2000, gzip=True))
        async with Client(limits=Limits(max_body=1000)) as client:
            for path in ("/", "/gzip"):
                entries = [Request(server.url(path)), Request(server.url(path), max_body=1999)]
                sinks = [Keep(), Keep()]
                results = client.fetch_many(entries, sink=lambda r, _: sinks[r.max_body is not None])  # noqa: B023
                by_index = {result.index: result async for result in results}
                assert by_index[1].ok
                assert isinstance(by_index[2].error, BodyTooLarge)
                assert sinks[1].calls[-2:] == ["abort", "aborted"]

    @pytest.mark.parametrize("where", ["choose", "write", "finish"])
    async def test_that_cannot_save_are_an_error_of_that_result(
        self, server: FaultServer, client: Client, where: str
    ) -> None:
        """OSError is `io`: no retry, no end of the list, and the sink is aborted, even if that fails too."""
        error = OSError(28, "No space left on device")
        sinks = [Keep({where: error, "abort": error}), Keep()]

        def choose(request: Request, response: Response) -> Sink:
            if where == "choose" and request.index == 1:
                raise error
            return sinks[request.index - 1]

        entries = [Request(server.url("/ok"), index=1), Request(server.url("/ok"), index=2)]
        results = {result.index: result async for result in client.fetch_many(entries, sink=choose)}
        assert isinstance(results[1].error, LocalError)
        assert (results[1].error.code, results[1].attempts, results[1].sink) == ("io", 1, None)
        assert "No space left on device" in str(results[1].error)
        assert results[2].ok
        assert sinks[0].calls.count("abort") == (where != "choose")
        assert server.seen.requests == 2

    @pytest.mark.parametrize("where", ["choose", "write", "finish", "abort"])
    async def test_other_errors_go_to_the_consumer(self, server: FaultServer, client: Client, where: str) -> None:
        """A fault of the program ends the list, after the results that there are."""
        server.route("/cut", CUT)

        def choose(request: Request, response: Response) -> Sink:
            if where == "choose":
                raise ZeroDivisionError
            return Keep({where: ZeroDivisionError()})

        url = server.url("/cut" if where == "abort" else "/ok")
        with pytest.raises(ZeroDivisionError):
            await anext(client.fetch_many([url], sink=choose))

    @pytest.mark.parametrize("where", ["write", "finish"])
    async def test_that_were_cancelled_by_somebody_do_not_end_the_client(
        self, server: FaultServer, client: Client, where: str
    ) -> None:
        """A CancelledError that nobody asked us for is one more error of the program."""
        sink = Keep({where: asyncio.CancelledError()})
        with pytest.raises(RuntimeError, match="the sink of the list was cancelled"):
            await anext(client.fetch_many([server.url("/ok")], sink=lambda *_: sink))
        assert sink.calls[-1] == "aborted"
        assert (await client.get(server.url("/ok"))).content == b"ok"

    async def test_have_time_to_abort_when_they_are_cancelled(self, server: FaultServer, client: Client) -> None:
        """Everything around may be cancelled, the abort runs to its end."""
        server.route("/", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"), Silence()))
        sink = Keep()
        async with client.fetch_many([server.url()], sink=lambda *_: sink) as results:
            with anyio.move_on_after(0.02):
                await anext(results)
        assert sink.calls == [b"x", "abort", "aborted"]

    async def test_have_time_to_abort_when_the_client_closes(self, server: FaultServer) -> None:
        """Closing the client is a cancellation as well."""
        server.route("/", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"), Silence()))
        sink = Keep()
        async with Client() as client:
            results = client.fetch_many([server.url()], sink=lambda *_: sink)
            task = asyncio.create_task(anext(results))
            while not sink.calls:
                await asyncio.sleep(0.001)
        assert sink.calls == [b"x", "abort", "aborted"]
        with pytest.raises(RuntimeError):
            await task


class TestOutcomes:
    async def test_redirects_that_end_in_an_error_are_answers_of_the_host(
        self, server: FaultServer, client: Client
    ) -> None:
        """Where the host did answer, it is not the host that failed."""
        server.route("/", redirect("/"))
        with pytest.raises(TooManyRedirects):
            await client.get(server.url())
        assert client.stats.total.errors == {"redirect.too_many": 1}

    async def test_count_bytes_as_they_come(self, server: FaultServer, client: Client) -> None:
        """A display sees a large body growing, and what failed attempts cost."""
        server.route("/", Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"), Silence()))
        task = asyncio.create_task(client.get(server.url()))
        while client.stats.received < 4:
            await asyncio.sleep(0.001)
        assert client.stats.total.bytes == 0
        task.cancel()
        await asyncio.wait([task])
        server.route("/", Sequence(CUT, Reply(200, b"12345", gzip=True)))
        response = await client.get(server.url())
        assert client.stats.total.bytes == 5
        assert client.stats.received == 4 + 4 + response.wire_bytes

    async def test_time_the_wait_for_the_turn(self, server: FaultServer) -> None:
        """`queue` is the time before the first turn."""
        server.route("/", Reply(200, b"x", delay=0.03))
        async with Client(limits=Limits(total=1)) as client:
            first, second = await fetch(client, server.url(), server.url())
        assert (first.timings.queue or 0) < (second.timings.queue or 0)
        assert (second.timings.queue or 0) >= 0.03


SHORTAGE = """
    import asyncio, resource, sys
    import asyncfetch

    async def main():
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        hosts = [f"http://127.0.0.{n}:{sys.argv[1]}" for n in range(1, 26)]
        urls = [f"{hosts[n % 25]}/{n}" for n in range(500)]
        limits = asyncfetch.Limits(total=100, per_host=6)
        lowest = 100
        async with asyncfetch.Client(limits=limits) as client:
            ok = 0
            async for result in client.fetch_many(urls):
                assert result.ok, result
                ok += 1
                lowest = min(lowest, client._turns.frontier.total)
            assert lowest < 40, "there was no shortage"
            resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
            await client.get(urls[0])
        print(ok)

    asyncio.run(main())
"""

NAMES = """
    import asyncio, resource, sys
    import asyncfetch

    async def main():
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        urls = [f"http://localhost:{sys.argv[1 + n % 10]}/{n}" for n in range(300)]
        every_time = asyncfetch.Network(name_ttl=0, failure_ttl=0)
        async with asyncfetch.Client(network=every_time) as client:
            results = [result async for result in client.fetch_many(urls)]
        print(sum(result.ok and result.attempts == 1 for result in results))

    asyncio.run(main())
"""

ALONE = """
    import asyncio, os, resource, sys
    import asyncfetch

    def take_all():
        while True:
            try:
                yield os.open("/dev/null", os.O_RDONLY)
            except OSError:
                return

    async def main():
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        url = f"http://127.0.0.1:{sys.argv[1]}/"
        async with asyncfetch.Client(retry=asyncfetch.Retry(attempts=2, backoff=0.001)) as client:
            await client.get(url)
            taken = list(take_all())
            print((await client.get(url)).reused)
            async for result in client.fetch_many([url + "moved"]):  # in the place of the idle connection
                print(result.ok, result.attempts, result.response.url == f"http://127.0.0.2:{sys.argv[1]}/")
            client._pool.drop_idle()
            await asyncio.sleep(0.01)
            taken += take_all()
            try:
                await client.get(url)
            except asyncfetch.LocalError as error:
                print(error.code, client.stats.total.retries, client._turns.frontier.in_flight)
            for descriptor in taken:
                os.close(descriptor)
            print((await client.get(url)).status_code)

    asyncio.run(main())
"""


def run_script(script: str, *arguments: str) -> str:
    """Run Python in a process of its own, where warnings are errors, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


class TestShortage:
    @pytest.mark.slow
    def test_of_descriptors_loses_nothing(self, make_fault_server: MakeFaultServer) -> None:
        """Five hundred URLs over 25 hosts, a hundred at once, with forty descriptors: all are fetched."""
        addresses = [f"127.0.0.{n}" for n in range(1, 26)]
        server = make_fault_server({"*": Reply(200, b"x", delay=0.005)}, addresses=addresses)
        assert run_script(SHORTAGE, str(server.port)) == "500\n"

    @pytest.mark.slow
    def test_of_descriptors_for_looking_up_names_loses_nothing(self, make_fault_server: MakeFaultServer) -> None:
        """A look-up needs descriptors as well; that it had none says nothing about the name."""
        servers = [make_fault_server({"*": Reply(200, b"x", delay=0.005)}) for _ in range(10)]
        assert run_script(NAMES, *[str(server.port) for server in servers]) == "300\n"

    async def test_of_anything_else_is_an_error_of_that_result(self, server: FaultServer) -> None:
        """When this machine fails at something of its own, a file for example, the list goes on."""

        def guard(*_: object) -> None:
            raise OSError(5, "Input/output error")

        async with Client(guard=guard) as client:
            results = await fetch(client, server.url("/1"), server.url("/2"))
            assert [result.code for result in results] == ["io", "io"]
            assert "Input/output error" in str(results[0].error)
            with pytest.raises(LocalError):
                await client.get(server.url())
            assert client._turns.frontier.in_flight == 0

    @pytest.mark.slow
    def test_that_others_cause_is_an_error_in_the_end(self, make_fault_server: MakeFaultServer) -> None:
        """Idle connections are given up first; if we hold none, the attempts end in `io`, and it may pass."""
        server = make_fault_server({"*": Reply(200, b"x")}, addresses=("127.0.0.1", "127.0.0.2"))
        server.route("/moved", redirect(server.url("/", "127.0.0.2")))
        assert run_script(ALONE, str(server.port)) == "True\nTrue 1 True\nio 1 0\n200\n"

    async def test_lowers_the_limit_and_answers_raise_it_again(self, server: FaultServer) -> None:
        """One less than is in flight; then one more for each round of answers, up to what was asked for."""
        async with Client(limits=Limits(total=5)) as client:
            turns = client._turns
            turns.make_do()
            assert turns.frontier.total == 1
            for _ in range(1 + 2 + 3 + 4 - 1):
                await client.get(server.url("/ok"))
            assert turns.frontier.total == 4
            await client.get(server.url("/ok"))
            await client.get(server.url("/ok"))
            assert turns.frontier.total == 5

    async def test_that_passes_gives_waiting_turns_their_places(self, server: FaultServer) -> None:
        """When the limit rises, somebody who waits has the new place."""
        started = asyncio.Event()

        async def answer(_: SeenRequest) -> Reply:
            if server.seen.in_progress == 2:
                started.set()
            await asyncio.wait_for(started.wait(), 5)
            return Reply(200)

        server.route("/", answer)
        async with Client(limits=Limits(total=2)) as client:
            client._turns.make_do()
            results = await fetch(client, server.url("/ok"), server.url(), server.url())
        assert all(result.ok for result in results)
