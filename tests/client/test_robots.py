"""robots.txt over real sockets: who is asked what and when, and what becomes of those who wait for the answer."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import pytest

from asyncfetch import (
    AddressGuard,
    Cancelled,
    Client,
    ConnectBlocked,
    HostSettings,
    Limits,
    Network,
    Redirects,
    Request,
    Retry,
    RobotsDisallowed,
    Timeouts,
)
from asyncfetch.scheduler import CANCELLED
from asyncfetch.testing import (
    Close,
    FaultServer,
    Reply,
    Script,
    SeenRequest,
    Send,
    Sequence,
    Silence,
    redirect,
    unused_port,
)

HOSTS = [f"127.0.0.{n}" for n in range(1, 6)]
ONE, TWO, THREE = HOSTS[:3]
NOTHING = Reply(200, b"User-agent: *\nDisallow: /\n")
NO_B = Reply(200, b"User-agent: *\nDisallow: /b\n")
ONCE = Retry(attempts=1)


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    """A server on five addresses that answers everything but has no robots.txt."""
    routes: dict[str, Any] = {"*": Reply(200, b"x"), "/robots.txt": Reply(404, b"none")}
    async with FaultServer(routes, addresses=HOSTS) as server:
        yield server


def polite(**settings: Any) -> Client:
    return Client(robots=True, **{"retry": ONCE, **settings})


async def codes(client: Client, *urls: str | Request) -> list[str | None]:
    """The codes of a list, in its order."""
    results = [result async for result in client.fetch_many(urls)]
    return [result.code for result in sorted(results, key=lambda result: result.index)]


def by_host(answers: Mapping[str, Reply | Script]) -> Callable[[SeenRequest], Reply | Script]:
    return lambda request: answers[request.host.partition(":")[0]]


def asked(server: FaultServer) -> list[str]:
    return [request.path for request in server.seen.log]


class TestWhatIsAsked:
    async def test_one_file_for_each_origin(self, server: FaultServer) -> None:
        """However many URLs there are, and however many at once, each origin is asked once, before all else."""
        urls = [server.url(f"/{n}", HOSTS[n % 5]) for n in range(500)]
        async with polite() as client:
            assert await codes(client, *urls) == [None] * 500
            assert await codes(client, *urls) == [None] * 500
        assert server.seen.by_path["/robots.txt"] == 5
        first = {request.host: request.path for request in reversed(server.seen.log)}
        assert set(first.values()) == {"/robots.txt"}

    async def test_it_is_no_result(self, server: FaultServer) -> None:
        """Nothing counts it, whether it is there, is missing or fails; what it disallows is counted."""
        answers = {ONE: NO_B, TWO: Reply(404), THREE: Reply(503)}
        server.route("/robots.txt", by_host(answers))
        async with polite() as client:
            results = [
                r
                async for r in client.fetch_many(
                    [server.url(p, h) for h in (ONE, TWO, THREE) for p in ("/a", "/b")]
                )
            ]
            total = client.stats.total
            assert (total.done, total.failed, total.retries, total.in_flight) == (6, 3, 0, 0)
            assert total.errors == {"robots.disallowed": 3}
            assert client.stats.host(server.url("", TWO).removeprefix("http://")).done == 2
        refused = [r for r in results if r.error]
        assert {(r.attempts, r.ip, r.timings.queue) for r in refused} == {(0, "", None)}
        assert len(results) == 6

    async def test_no_credentials_go_with_it(self, server: FaultServer) -> None:
        """It names us as every request does; what is for the URL's eyes only stays at home."""
        name, port = "a.test", server.port
        own = HostSettings(user="me", password="secret", headers={"X-Own": "1"})
        async with polite(
            headers={"User-Agent": "bot/1", "Cookie": "secret=1", "X-Key": "secret"},
            sensitive_headers=["X-Key"],
            hosts={name: own},
            network=Network(overrides={f"{name}:{port}": ONE}),
        ) as client:
            await client.get(f"http://you:secret@{name}:{port}/a?token=secret")
            await client.get(f"http://{name}:{port}/b")
        robots, first, second = server.seen.log
        assert b"secret" not in robots.head
        assert (robots.target, robots.header("user-agent"), robots.header("x-own")) == ("/robots.txt", "bot/1", "1")
        assert (first.header("cookie"), second.header("cookie")) == ("secret=1", "secret=1")
        assert None not in (first.header("authorization"), second.header("authorization"))

    async def test_it_is_asked_for_under_the_same_host(self, server: FaultServer) -> None:
        """A Host of the user's own chooses the site, and so its rules; nobody else is told of it."""
        server.route("/robots.txt", by_host({ONE: redirect(server.url("/rules", TWO))}))
        server.route("/rules", NO_B)
        async with polite(headers={"Host": "site.test"}) as client:
            assert await codes(client, server.url("/a"), server.url("/b")) == [None, "robots.disallowed"]
        assert [request.header("host") for request in server.seen.log] == [
            "site.test",
            f"{TWO}:{server.port}",
            "site.test",
        ]

    async def test_a_name_is_looked_up_without_a_place(self, server: FaultServer) -> None:
        """As for the URLs of a list: the request for the file has its turn when the address is known."""
        async with polite(limits=Limits(total=1)) as client:
            url = f"http://localhost:{server.port}/a"
            assert await codes(client, url, url) == [None, None]
            assert client._turns.frontier.in_flight == 0
        assert asked(server) == ["/robots.txt", "/a", "/a"]

    async def test_the_group_of_the_user_agent_counts(self, server: FaultServer) -> None:
        """It is looked for under the first word of the User-Agent that the client sends."""
        rules = b"User-agent: bot\nDisallow: /a\nUser-agent: *\nDisallow: /b\n"
        server.route("/robots.txt", Reply(200, rules, gzip=True))
        urls = [server.url("/a"), server.url("/b")]
        for agent, expected in {"Bot/1": [True, False], "other": [False, True], None: [False, True]}.items():
            async with polite(headers={"user-agent": agent}) as client:
                assert [code is not None for code in await codes(client, *urls)] == expected

    async def test_500_kib_count(self, server: FaultServer) -> None:
        """What comes after is not read, however long it is; a limit on bodies does not concern it."""
        comment = b"#" * 1023 + b"\n"
        text = (
            b"User-agent: *\nDisallow: /a\n"
            + comment * 499
            + b"#\nDisallow: /b\n"
            + comment * 2000
            + b"Disallow: /c"
        )
        server.route("/robots.txt", Reply(200, text))
        async with polite(limits=Limits(max_body=100, max_streamed=100)) as client:
            urls = [server.url(path) for path in ("/a", "/b", "/c")]
            assert await codes(client, *urls) == ["robots.disallowed", "robots.disallowed", None]

    async def test_the_answer_keeps_its_connection(self, server: FaultServer) -> None:
        """The first URL goes over the connection that the file came over."""
        async with polite() as client:
            await client.get(server.url("/a"))
        assert server.seen.connections == 1


class TestWhatTheAnswerMeans:
    @pytest.mark.parametrize("status", [401, 403, 404, 410])
    async def test_4xx_means_yes(self, server: FaultServer, status: int) -> None:
        """Who shows no file has no rules."""
        server.route("/robots.txt", Reply(status, b"User-agent: *\nDisallow: /"))
        async with polite() as client:
            assert await codes(client, server.url("/a")) == [None]

    @pytest.mark.parametrize("status", [429, 500, 503])
    async def test_5xx_means_no(self, server: FaultServer, status: int) -> None:
        """After the attempts that any request has; the record says what the answer was."""
        server.route("/robots.txt", Reply(status))
        async with polite(retry=Retry(attempts=2, backoff=0.01)) as client:
            with pytest.raises(RobotsDisallowed) as caught:
                await client.get(server.url("/a"))
        assert asked(server) == ["/robots.txt"] * 2
        assert caught.value.detail == f"the robots.txt of {server.url('')} was answered with {status}"
        assert caught.value.url == server.url("/a")

    async def test_what_passes_is_tried_again(self, server: FaultServer) -> None:
        """A 503 and then the file: the file counts."""
        server.route("/robots.txt", Sequence(Reply(503), NO_B))
        async with polite(retry=Retry(attempts=2, backoff=0.01)) as client:
            assert await codes(client, server.url("/a"), server.url("/b")) == [None, "robots.disallowed"]

    async def test_unreachable_means_no(self, server: FaultServer) -> None:
        """Nothing listens, nothing answers, no HTTP: nothing is fetched, and the record says why."""
        server.route("/robots.txt", by_host({ONE: Script(Silence()), TWO: Script(Send(b"SSH-2.0\r\n"), Close())}))
        urls = [server.url("/a", ONE), server.url("/a", TWO), f"http://{ONE}:{unused_port()}/a"]
        async with polite(timeouts=Timeouts(head=0.1)) as client:
            results = [result async for result in client.fetch_many(urls)]
        details = {
            result.url: result.error.detail for result in results if isinstance(result.error, RobotsDisallowed)
        }
        assert "could not be fetched: no complete response head within 0.1 s (timeout.head)" in details[urls[0]]
        assert "could not be fetched: " in details[urls[1]]
        assert "(protocol.malformed)" in details[urls[1]]
        assert "(connect.refused)" in details[urls[2]]
        assert set(asked(server)) == {"/robots.txt"}

    async def test_a_body_that_breaks_off_is_fetched_once_more(self, server: FaultServer) -> None:
        """Half a file has half the rules: it does not count; twice means no."""
        half = Script(Send(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nUser-agent: *\nDis"), Close())
        server.route("/robots.txt", Sequence(half, NO_B, half))
        async with polite() as client:
            assert await codes(client, server.url("/a"), server.url("/b")) == [None, "robots.disallowed"]
        assert server.seen.by_path["/robots.txt"] == 2
        async with polite() as client:
            with pytest.raises(RobotsDisallowed, match=r"could not be fetched: .*\(protocol\.incomplete\)"):
                await client.get(server.url("/a"))

    async def test_what_may_not_be_dialled_is_not(self, server: FaultServer) -> None:
        """The guard holds for it too, and what it says of the URL is what the URL fails with."""
        async with polite(guard=AddressGuard(public_only=True)) as client:
            with pytest.raises(ConnectBlocked) as caught:
                await client.get(server.url("/a"))
            assert await codes(client, server.url("/a"), "http://no.invalid/") == [
                "connect.blocked",
                "dns.not_found",
            ]
        assert caught.value.url == server.url("/a")
        assert server.seen.connections == 0

    async def test_delays_are_kept(self, server: FaultServer) -> None:
        """Crawl-delay parts the starts at that host, and at no other."""
        delay = 0.05
        slow = Reply(200, f"User-agent: *\nCrawl-delay: {delay}\n".encode())
        server.route("/robots.txt", by_host({ONE: slow, TWO: Reply(404)}))
        urls = [server.url(f"/{n}", host) for n in range(5) for host in (ONE, TWO)]
        async with polite() as client:
            assert await codes(client, *urls) == [None] * 10
        times = {host: [r.time for r in server.seen.log if r.host.startswith(f"{host}:")] for host in (ONE, TWO)}
        assert times[ONE][-1] - times[ONE][1] > 4 * delay - 0.02
        assert all(after > before for before, after in pairwise(times[ONE]))


class TestRedirects:
    @pytest.mark.parametrize(("hops", "is_allowed"), [(1, False), (5, False), (6, True)])
    async def test_the_file_is_followed_five_times(self, server: FaultServer, hops: int, is_allowed: bool) -> None:
        """To other origins too, without asking theirs, whatever holds for URLs; after that there is none."""
        server.route("/robots.txt", redirect(server.url("/r1", TWO)))
        for n in range(1, hops):
            server.route(f"/r{n}", redirect(f"/r{n + 1}"))
        server.route(f"/r{hops}", NOTHING)
        async with polite(redirects=Redirects(follow=False)) as client:
            assert await codes(client, server.url("/a")) == [None if is_allowed else "robots.disallowed"]
        assert server.seen.by_path["/robots.txt"] == 1
        assert all(request.header("host") for request in server.seen.log)

    @pytest.mark.parametrize("location", ["", "ftp://a.test/", "http://"])
    async def test_redirects_to_nowhere_mean_that_there_is_none(self, server: FaultServer, location: str) -> None:
        """A Location that cannot be followed is as good as a 404."""
        server.route("/robots.txt", Reply(302, headers={"Location": location}))
        async with polite() as client:
            assert await codes(client, server.url("/a")) == [None]

    async def test_a_wait_is_kept_across_the_question(self, server: FaultServer) -> None:
        """What may go only after a time waits for the file as well, and then for the rest of the time."""
        server.route("/robots.txt", Reply(404, delay=0.05))
        async with polite() as client:
            fetch = client._begin_single(Request(server.url("/a")))
            fetch.waiter = asyncio.get_running_loop().create_future()
            began = asyncio.get_running_loop().time()
            client._turns.again(fetch, 0.15)
            async with asyncio.timeout(5):
                await client._turns.wait(fetch)
            assert asyncio.get_running_loop().time() - began >= 0.149
            client._turns.release(fetch, fetch.host, CANCELLED)

    async def test_where_a_url_is_sent_counts_too(self, server: FaultServer) -> None:
        """A redirect to another origin asks there first, one within the origin is checked; failures have hops."""
        server.route("/robots.txt", by_host({ONE: NO_B, TWO: Reply(404), THREE: NOTHING}))
        server.route("/to-b", redirect("/b"))
        server.route("/to-two", redirect(server.url("/b", TWO)))
        server.route("/to-three", redirect(server.url("/a", THREE)))
        async with polite() as client:
            urls = [server.url(path, ONE) for path in ("/to-b", "/to-two", "/to-three")]
            results = sorted([r async for r in client.fetch_many(urls)], key=lambda r: r.index)
            assert [r.code for r in results] == ["robots.disallowed", None, "robots.disallowed"]
            assert [r.redirects for r in results] == [[url] for url in urls]
            assert [r.attempts for r in results] == [1, 1, 1]
            with pytest.raises(RobotsDisallowed) as caught:
                await client.get(urls[2])
        assert caught.value.detail == f"the robots.txt of {server.url('', THREE)} disallows it"
        assert server.seen.by_path["/robots.txt"] == 3
        assert Counter(asked(server))["/b"] == 1
        assert not [r for r in server.seen.log if r.path == "/a"]


class TestAnything:
    @pytest.mark.parametrize("seed", range(5))
    async def test_the_exact_requests_that_the_servers_saw(self, server: FaultServer, seed: int) -> None:
        """Of random redirects among hosts with random rules, exactly what is allowed is sent, once."""
        draw = random.Random(seed)
        places = [(host, f"/p{n}/") for host in HOSTS for n in range(12)]
        forbidden = set(draw.sample(places, 20))
        moved = {place: draw.choice(places) for place in draw.sample(places, 30)}
        for path in {path for _, path in places}:
            moves = {host: moved.get((host, path)) for host in HOSTS}
            server.route(
                path, by_host({h: redirect(server.url(m[1], m[0])) if m else Reply(200) for h, m in moves.items()})
            )
        rules = {host: "".join(f"Disallow: {p}$\n" for h, p in forbidden if h == host) for host in HOSTS}
        server.route(
            "/robots.txt", by_host({h: Reply(200, f"User-agent: *\n{text}".encode()) for h, text in rules.items()})
        )
        expected: Counter[tuple[str, str]] = Counter({(host, "/robots.txt"): 1 for host in HOSTS})
        ends: list[str | None] = []
        for place in places:
            hops = 0
            while place not in forbidden and hops <= 4:
                expected[place] += 1
                if place not in moved:
                    break
                place, hops = moved[place], hops + 1
            ends.append("redirect.too_many" if hops > 4 else "robots.disallowed" if place in forbidden else None)
        async with polite(redirects=Redirects(most=4), limits=Limits(total=7, per_host=2)) as client:
            assert await codes(client, *(server.url(path, host) for host, path in places)) == ends
        assert Counter((r.host.partition(":")[0], r.path) for r in server.seen.log) == expected


class TestWaiting:
    async def test_no_place_is_held(self, server: FaultServer) -> None:
        """While one host's file does not come, its URLs wait; the single place serves the others meanwhile."""
        server.route("/robots.txt", by_host({ONE: Reply(200, delay=0.2), TWO: Reply(404)}))
        order: list[str] = []
        async with polite(limits=Limits(total=2, per_host=1)) as client:
            urls = [server.url(f"/{n}", ONE) for n in range(5)] + [server.url(f"/{n}", TWO) for n in range(20)]
            async for result in client.fetch_many(urls):
                assert result.ok
                order.append(result.url)
        assert order[:20] == urls[5:]

    @pytest.mark.parametrize("buffered", [5, 1000])
    async def test_the_list_is_read_no_further_than_its_window(self, server: FaultServer, buffered: int) -> None:
        """URLs that wait for a file count as queued; when they are all disallowed, the source is read on."""
        server.route("/robots.txt", Reply(200, b"User-agent: *\nDisallow: /\n", delay=0.2))
        given = 0

        def source() -> Iterator[str]:
            nonlocal given
            for n in range(500):
                given = n
                yield server.url(f"/{n}")

        limits = Limits(queued=50, buffered=buffered)
        async with asyncio.timeout(5), polite(limits=limits) as client, client.fetch_many(source()) as results:
            first = asyncio.ensure_future(anext(results))
            await asyncio.sleep(0.1)
            assert given <= 100, "twice the window, when nothing in it may go"
            assert (await first).code == "robots.disallowed"
            assert len([result async for result in results]) == 499
        assert asked(server) == ["/robots.txt"]

    @pytest.mark.parametrize("seed", range(3))
    async def test_what_waits_on_disk_comes_back_though_others_are_refused(
        self, server: FaultServer, seed: int
    ) -> None:
        """Entries of a busy host beyond the window: whichever of them are disallowed, all have their results."""
        draw = random.Random(seed)
        server.route("/robots.txt", Reply(200, b"User-agent: *\nDisallow: /no\n"))
        server.route("*", Reply(200, delay=0.001))
        paths = ["/yes"] * 60 + draw.choices(["/yes", "/no"], [1, 9], k=400) + ["/no"] * 40
        urls = [server.url(path, ONE) for path in paths] + [server.url(f"/{n}", TWO) for n in range(60)]
        async with asyncio.timeout(10), polite(limits=Limits(total=4, per_host=1, queued=20)) as client:
            expected = ["robots.disallowed" if url.endswith("/no") else None for url in urls]
            assert await codes(client, *urls) == expected

    async def test_many_origins_wait_without_a_task_for_each(
        self, server: FaultServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A task takes more memory than what it waits for: so many ask, and all origins are asked in the end."""
        monkeypatch.setattr("asyncfetch.client.robots._MOST_TASKS", 20)
        places = {f"h{n}.test:{server.port}": ONE for n in range(100)}
        server.route("/robots.txt", Reply(404, delay=0.02))
        async with polite(limits=Limits(total=10), network=Network(overrides=places)) as client:
            results = client.fetch_many(f"http://{key}/" for key in places)
            first = asyncio.ensure_future(anext(results))
            assert client._turns.robots is not None
            most = 0
            while not first.done():
                most = max(most, client._turns.robots._tasks)
                await asyncio.sleep(0.001)
            assert most == 20
            assert (await first).ok
            assert len([result async for result in results if result.ok]) == 99
            assert client._turns.robots._tasks == 0
        assert server.seen.by_path == {"/robots.txt": 100, "/": 100}

    @pytest.mark.slow
    async def test_a_hundred_thousand_urls_of_an_origin_cost_one_file(self, server: FaultServer) -> None:
        """All of them disallowed but the last: two requests, and one result for each."""
        server.route("/robots.txt", Reply(200, b"User-agent: *\nDisallow: /\nAllow: /99999$\n"))
        seen: Counter[str | None] = Counter()
        async with polite() as client:
            async for result in client.fetch_many(server.url(f"/{n}") for n in range(100_000)):
                seen[result.code] += 1
        assert seen == {None: 1, "robots.disallowed": 99_999}
        assert asked(server) == ["/robots.txt", "/99999"]

    async def test_a_stream_waits_too(self, server: FaultServer) -> None:
        """Allowed, it opens; disallowed, it raises before anything is sent."""
        server.route("/robots.txt", NO_B)
        async with polite() as client:
            async with client.stream(server.url("/a")) as response:
                assert await response.aread() == b"x"
            with pytest.raises(RobotsDisallowed):
                async with client.stream(server.url("/b")):
                    raise AssertionError("nothing was opened")
        assert asked(server) == ["/robots.txt", "/a"]

    @pytest.mark.parametrize("answer", [NOTHING, Reply(404)])
    async def test_whoever_is_cancelled_while_waiting_leaves_nothing(
        self, server: FaultServer, answer: Reply
    ) -> None:
        """A `get` that is given up is not sent when the file comes; the others go on."""
        server.route("/robots.txt", by_host({ONE: Reply(answer.status, answer.body, delay=0.1)}))
        async with polite() as client:
            given_up = [asyncio.ensure_future(client.get(server.url(f"/{n}"))) for n in range(3)]
            waiting = asyncio.ensure_future(client.get(server.url("/stays")))
            await asyncio.sleep(0.03)
            for task in given_up:
                task.cancel()
            assert await asyncio.gather(*given_up, return_exceptions=True)
            assert isinstance(await outcome(waiting), RobotsDisallowed) is (answer is NOTHING)
            assert client._turns.frontier.in_flight == 0
            assert client._turns.single.queued == 0
        assert set(asked(server)) <= {"/robots.txt", "/stays"}

    async def test_cancelled_in_the_moment_of_its_refusal(self, server: FaultServer) -> None:
        """Who was refused has no place that could be given back."""
        server.route("/robots.txt", Script(Silence()))
        async with polite() as client:
            task = asyncio.ensure_future(client.get(server.url("/a")))
            await asyncio.sleep(0.01)
            [fetch] = client._singles._running
            assert fetch.lane.let_go(fetch)
            client._turns.refuse(fetch, RobotsDisallowed("no"))
            task.cancel()
            assert isinstance(await outcome(task), asyncio.CancelledError)
            assert client._turns.frontier.in_flight == 1, "that of the robots.txt"

    async def test_a_list_that_is_left_leaves_nothing(self, server: FaultServer) -> None:
        """What waits for the file is given up with its list, and not sent when the file comes."""
        server.route("/robots.txt", Reply(404, delay=0.1))
        async with polite() as client:
            async with client.fetch_many([server.url(f"/{n}") for n in range(50)]) as results:
                first = asyncio.ensure_future(anext(results))
                await asyncio.sleep(0.03)
                first.cancel()
            await client.get(server.url("/after"))
            stopped = client.fetch_many([server.url("/x", TWO)])
            async with stopped:
                stopped.stop()
                assert [result async for result in stopped] == []
            assert client._turns.frontier.in_flight == 0
        assert set(asked(server)) <= {"/robots.txt", "/after"}

    async def test_a_client_that_closes_calls_it_off(self, server: FaultServer) -> None:
        """Whoever waits for a file that does not come is told so."""
        server.route("/robots.txt", Script(Silence()))
        async with polite() as client:
            single = asyncio.ensure_future(client.get(server.url("/a")))
            listed = asyncio.ensure_future(codes(client, server.url("/b"), server.url("/c", TWO)))
            await asyncio.sleep(0.05)
        assert isinstance(await outcome(single), Cancelled)
        assert isinstance(await outcome(listed), RuntimeError)


async def outcome(task: asyncio.Future[Any]) -> object:
    """What a task returned or raised."""
    outcomes: list[object] = await asyncio.gather(task, return_exceptions=True)
    return outcomes[0]
