"""What a robots.txt means, and that the memory for it is bounded."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from asyncfetch.scheduler.robots import (
    Rulebook,
    Verdict,
    judge_failure,
    judge_file,
    judge_status,
    product_token,
)

NOW = 1000.0
DAY = 24 * 3600.0
ORIGIN = "http://a.test"


def allowed(text: str | bytes, *targets: str, agent: str = "asyncfetch") -> list[bool]:
    """What a file says of some targets, as it was read, and again from memory."""
    book = Rulebook(agent, most_parsed=0)
    verdict, rules = judge_file(text.encode() if isinstance(text, str) else text, agent, NOW)
    book.learn(ORIGIN, verdict, rules)
    book.learn("http://b.test", *judge_file(b"User-agent: *\nDisallow: /", agent, NOW))
    found = book.find(ORIGIN, NOW)
    assert found == verdict
    answers = [rules.can_fetch(ORIGIN + target, agent) for target in targets]
    assert [book.allows(ORIGIN, found, ORIGIN + target) for target in targets] == answers
    return answers


@pytest.mark.parametrize(
    ("text", "target", "is_allowed"),
    [
        ("", "/", True),
        ("User-agent: *\nDisallow: /", "/", False),
        ("User-agent: *\nDisallow: /", "/robots.txt", True),
        ("User-agent: *\nDisallow:", "/", True),
        ("user-AGENT:*\ndisallow:/a", "/ab", False),
        ("User-agent: *\r\nDisallow: /a\rDisallow: /b\n", "/b", False),
        ("\N{BYTE ORDER MARK}User-agent: *\nDisallow: /", "/", False),
        ("User-agent: *\nDisallow: /a # and so on", "/a", False),
        ("# Disallow: /\nUser-agent: *\nSitemap: http://a.test/s\nDisallow: /a", "/b", True),
        ("User-agent: *\nSitemap: http://a.test/s\nDisallow: /a", "/a", False),
        ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", True),
        ("User-agent: *\nAllow: /a/b\nDisallow: /a", "/a/b/c", True),
        ("User-agent: *\nDisallow: /a\nAllow: /a", "/a", True),
        ("User-agent: *\nDisallow: /*.gif$", "/x/y.gif", False),
        ("User-agent: *\nDisallow: /*.gif$", "/x/y.gif?z", True),
        ("User-agent: *\nDisallow: /a*/b*/c", "/aXX/bYY/cZZ", False),
        ("User-agent: *\nDisallow: /a%20b", "/a b", False),
        ("User-agent: *\nDisallow: /\xe4", "/%C3%A4", False),
        ("User-agent: other\nDisallow: /", "/", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: asyncfetch\nDisallow: /a", "/b", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: AsyncFetch\nDisallow: /a", "/a", False),
        ("User-agent: one\nUser-agent: asyncfetch\nDisallow: /a", "/a", False),
        ("User-agent: asyncfetch\nDisallow: /a\n\nUser-agent: asyncfetch\nDisallow: /b", "/a", False),
        ("<!DOCTYPE html><title>Disallow: /</title>", "/", True),
    ],
)
def test_rules_mean_what_rfc_9309_says(text: str, target: str, is_allowed: bool) -> None:
    """Groups by token in any letter case, the longest match wins, Allow wins a tie, * and $ (section 2.2)."""
    assert allowed(text, target) == [is_allowed]


def test_bytes_that_are_no_text_do_no_harm() -> None:
    """What is not UTF-8 is replaced, and the lines around it count."""
    assert allowed(b"\xff\xfe\0\nUser-agent: *\nDisallow: /\xff\nDisallow: /a\n", "/a", "/b") == [False, True]
    draw = random.Random(1)
    for _ in range(200):
        allowed(bytes(draw.choices(b"User-agent: *\nDis:/$%\xff\0\r", k=draw.randrange(200))), "/a")


def test_an_agent_without_a_name_has_the_rules_for_all() -> None:
    """The product token is the first word of the User-Agent, as far as it is one."""
    assert product_token("MyBot/2.1 (+http://a.test)") == "MyBot"
    assert product_token("my_bot-x") == "my_bot-x"
    assert product_token(" asyncfetch/0.1") == "asyncfetch"
    assert (product_token(""), product_token("1/2")) == ("*", "*")
    text = "User-agent: bot\nDisallow: /a\nUser-agent: *\nDisallow: /b"
    assert allowed(text, "/a", "/b", agent="*") == [True, False]


@pytest.mark.parametrize(
    ("lines", "pause"),
    [
        ("", 0.0),
        ("Crawl-delay: 2.5", 2.5),
        ("Crawl-delay: -1", 0.0),
        ("Crawl-delay: nan", 0.0),
        ("Crawl-delay: inf", 0.0),
        ("Crawl-delay: 1e300", DAY),
        ("Crawl-delay: soon", 0.0),
        ("Request-rate: 4/10", 2.5),
        ("Request-rate: 1/2m", 120.0),
        ("Request-rate: 1/5 0600-0845", 5.0),
        ("Request-rate: 0/5", 0.0),
        (f"Request-rate: {'9' * 400}/1", 1 / (1 << 20)),
        (f"Request-rate: 1/{'9' * 400}", DAY),
        ("Crawl-delay: 3\nRequest-rate: 1/2", 3.0),
        ("Crawl-delay: 1\nRequest-rate: 1/2", 2.0),
    ],
)
def test_the_longer_pause_counts_and_is_bounded(lines: str, pause: float) -> None:
    """Crawl-delay and Request-rate of our group; garbage asks for nothing, and nothing is longer than a day."""
    other = "User-agent: other\nCrawl-delay: 99\n\n"
    verdict, _ = judge_file(f"{other}User-agent: asyncfetch\nDisallow: /x\n{lines}".encode(), "asyncfetch", NOW)
    assert verdict.pause == pytest.approx(pause)


def test_a_file_that_is_work_lets_nothing_be_fetched() -> None:
    """Thousands of wildcards would have to be looked at for each URL; a server cannot make us."""
    lines = [f"Disallow: /{n}*a*b$" for n in range(5000)]
    few, _ = judge_file("\n".join(["User-agent: x", *lines]).encode(), "bot", NOW)
    many, _ = judge_file("\n".join(["User-agent: *", *lines]).encode(), "bot", NOW)
    assert (few.allows_all, many.allows_all) == (True, False)
    assert (many.reason, many.text) == ("has more than 5,000 lines with wildcards", b"")


@pytest.mark.parametrize(
    ("status", "allows_all"), [(404, True), (401, True), (403, True), (410, True), (302, True)]
)
def test_no_file_lets_everything_be_fetched(status: int, allows_all: bool) -> None:
    """4xx is "unavailable" (section 2.3.1.3), and holds for a day; so are redirects that lead nowhere."""
    assert judge_status(status, NOW) == Verdict(allows_all, NOW + DAY)


@pytest.mark.parametrize("status", [500, 503, 599, 600, 999, 429])
def test_a_server_that_fails_lets_nothing_be_fetched(status: int) -> None:
    """5xx is "unreachable" (section 2.3.1.4); who answers 429 has had enough of us, too."""
    assert judge_status(status, NOW) == Verdict(False, NOW + 600, f"was answered with {status}")


def test_a_file_counts_for_itself() -> None:
    """2xx means the content; no answer at all means nothing may be fetched, for ten minutes."""
    assert judge_status(200, NOW) is judge_status(204, NOW) is None
    assert judge_failure("why", NOW) == Verdict(False, NOW + 600, "could not be fetched: why")


def test_what_was_said_holds_for_a_day() -> None:
    """Then the origin has to be asked again; nothing is left of the old verdict."""
    book = Rulebook("bot")
    book.learn(ORIGIN, *judge_file(b"User-agent: *\nDisallow: /a", "bot", NOW))
    assert book.find(ORIGIN, NOW + DAY - 1) is not None
    assert book.find(ORIGIN, NOW + DAY) is None
    assert (len(book), book.kept_bytes, book._parsed_bytes, book._parsed) == (0, 0, 0, {})


def test_the_memory_for_many_origins_is_bounded() -> None:
    """The origins used longest ago are forgotten, whether their files are small, large or none."""
    book = Rulebook("bot", most_bytes=20_000, most_parsed=2_000)
    draw = random.Random(1)
    for n in range(300):
        size = draw.choice((0, 0, 3, 30))
        text = "User-agent: *\n" + "".join(f"Disallow: /{draw.random()}\n" for _ in range(size))
        verdict, rules = judge_file(text.encode(), "bot", NOW)
        book.learn(f"http://{n}.test", verdict, rules)
        old = book.find(f"http://{draw.randrange(n + 1)}.test", NOW)
        if old is not None:
            book.allows(f"http://{n}.test", verdict, f"http://{n}.test/")
        assert book.kept_bytes <= 20_000
        assert book._parsed_bytes <= 2_000 or len(book._parsed) == 1
    assert 10 < len(book) < 45
    assert book.find("http://299.test", NOW) is not None
    assert book.find("http://0.test", NOW) is None
    assert set(book._parsed) <= set(book._verdicts)


@pytest.mark.slow
def test_a_hundred_thousand_origins_take_less_than_a_hundred_mebibytes() -> None:
    """With a file of 50 rules each: the text is compressed, and few are kept parsed."""
    book = Rulebook("bot")
    verdict, rules = judge_file(
        b"User-agent: *\n" + b"".join(b"Disallow: /some/path/%d\n" % (n * n) for n in range(50)), "bot", NOW
    )
    tracemalloc.start()
    try:
        for n in range(100_000):
            own = verdict._replace(text=bytes(bytearray(verdict.text)))
            book.learn(f"http://host-{n}.example.org", own, rules)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 100 << 20
    assert len(book) > 60_000
