"""What the robots.txt of an origin allows (RFC 9309), and how much of that is kept in memory.

Decisions only: who fetches the file, and who waits for it, is the client's business. The grammar and the matching
are Protego's, which is loaded with the first file. Times are seconds of the caller's monotonic clock.

Parsed rules take about 13 times the memory of their text. So what is kept of an origin is its text, without
comments and compressed, some hundred bytes for most; parsed are only those that were asked for last. Both are
bounded in bytes, whatever the files are like. An origin that had to go is asked again when it is wanted again.
"""

from __future__ import annotations

import math
import re
import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from protego import Protego

__all__ = [
    "LARGEST",
    "MOST_REDIRECTS",
    "Rulebook",
    "Verdict",
    "judge_failure",
    "judge_file",
    "judge_status",
    "product_token",
]

KIB = 1024
MIB = 1024 * KIB

LARGEST = 500 * KIB
"""Bytes of a file that are read; the rest is ignored (RFC 9309 section 2.5)."""

MOST_REDIRECTS = 5
"""Redirects in a row that are followed, to other origins too (section 2.3.1.2)."""

_MOST_WILDCARDS = 5000  # lines; each costs up to 0.4 µs for each URL, and nobody means so many
_KEPT = 24 * 3600.0  # seconds that what a file said holds (section 2.4)
_FAILURE_KEPT = 600.0  # seconds until a file that could not be had is tried again
_LONGEST_PAUSE = _KEPT  # seconds between two requests; by then the file is read again
_TOO_MANY_REQUESTS = 429
_ENTRY = 500  # bytes that the memory of an origin takes without its text, roughly
_TOKEN = re.compile(r"[A-Za-z_-]+")
_WITHOUT_MEANING = re.compile(r"(?im)^[ \t]*(?:#.*|site-?maps?[ \t:].*)?$\n?")
_WILDCARD = re.compile(r"(?m)^.*[*$]")
_BOM = "\N{BYTE ORDER MARK}"


class Verdict(NamedTuple):
    """What an origin lets us fetch.

    Attributes:
        allows_all: whether everything is allowed that the text does not disallow; if not, nothing is.
        until: when it has to be asked again.
        reason: why nothing is allowed, for people.
        text: of the rules, compressed; empty if there are none.
        length: of the text, in bytes.
        pause: seconds to leave between the begins of two requests.
    """

    allows_all: bool
    until: float
    reason: str = ""
    text: bytes = b""
    length: int = 0
    pause: float = 0.0


def product_token(user_agent: str) -> str:
    """Return the name by which rules call a client (section 2.2.1), from its User-Agent; `*` if it has none."""
    match = _TOKEN.match(user_agent.strip())
    return match[0] if match else "*"


def judge_status(status: int, now: float) -> Verdict | None:
    """Say what the status of the answer means, or None if it is the file that counts.

    A server that fails lets nothing be fetched (section 2.3.1.4), nor does one that has enough of us (429). One
    that has no such file, or does not show it, lets everything be fetched (section 2.3.1.3), also where redirects
    lead nowhere.
    """
    if 200 <= status < 300:
        return None
    if status >= 500 or status == _TOO_MANY_REQUESTS:
        return Verdict(False, now + _FAILURE_KEPT, f"was answered with {status}")
    return Verdict(True, now + _KEPT)


def judge_failure(why: str, now: float) -> Verdict:
    """Say what it means that no answer came: nothing may be fetched (section 2.3.1.4)."""
    return Verdict(False, now + _FAILURE_KEPT, f"could not be fetched: {why}")


def judge_file(content: bytes, agent: str, now: float) -> tuple[Verdict, Protego]:
    """Read a file: bytes that are not UTF-8 are replaced, lines that are no rules are ignored (section 2.2).

    One with so many wildcards that looking into it would be work for this machine lets nothing be fetched.

    Returns:
        The verdict, and the parsed rules.
    """
    text = _WITHOUT_MEANING.sub("", re.sub(r"\r\n?", "\n", content.decode("utf-8", "replace")).removeprefix(_BOM))
    if len(_WILDCARD.findall(text)) > _MOST_WILDCARDS:
        return Verdict(False, now + _KEPT, f"has more than {_MOST_WILDCARDS:,} lines with wildcards"), _parse("")
    rules = _parse(text)
    encoded = text.encode()
    packed = zlib.compress(encoded, 1) if encoded else b""
    return Verdict(True, now + _KEPT, "", packed, len(encoded), _pause_of(rules, agent)), rules


def _parse(text: str) -> Protego:
    from protego import Protego

    return Protego.parse(text)


def _pause_of(rules: Protego, agent: str) -> float:
    """Return the longer of Crawl-delay and Request-rate, in seconds; a rate for some hours holds at all hours."""
    pause = rules.crawl_delay(agent) or 0.0
    rate = rules.request_rate(agent)
    if rate is not None:
        pause = max(pause, min(rate.seconds, _LONGEST_PAUSE) / min(rate.requests, MIB))
    return min(pause, _LONGEST_PAUSE) if math.isfinite(pause) else 0.0


class Rulebook:
    """The verdicts on the origins that were asked last.

    Attributes:
        agent: the product token under which rules are looked for.
        kept_bytes: what the verdicts take, roughly.
    """

    def __init__(self, agent: str, *, most_bytes: int = 64 * MIB, most_parsed: int = 4 * MIB) -> None:
        """Start without any.

        Args:
            agent: see above.
            most_bytes: that all verdicts may take; the ones used longest ago go first.
            most_parsed: bytes of text whose rules are kept parsed; these take about 13 times as much.
        """
        self.agent = agent
        self.kept_bytes = 0
        self._verdicts: dict[str, Verdict] = {}
        self._most_bytes = most_bytes
        self._parsed: dict[str, tuple[Protego, int]] = {}
        self._parsed_bytes = 0
        self._most_parsed = most_parsed

    def __len__(self) -> int:
        return len(self._verdicts)

    def find(self, origin: str, now: float) -> Verdict | None:
        """Return what is known of an origin, None if it has to be asked (again)."""
        verdict = self._verdicts.pop(origin, None)
        if verdict is None:
            return None
        if verdict.until <= now:
            self.kept_bytes -= _cost_of(verdict)
            self._forget_parsed(origin)
            return None
        self._verdicts[origin] = verdict
        return verdict

    def learn(self, origin: str, verdict: Verdict, rules: Protego | None = None) -> None:
        """Remember a verdict, with its parsed rules if there are some."""
        self._forget(origin)
        self._verdicts[origin] = verdict
        self.kept_bytes += _cost_of(verdict)
        if rules is not None and verdict.text:
            self._keep_parsed(origin, rules, verdict.length)
        while self.kept_bytes > self._most_bytes and len(self._verdicts) > 1:
            self._forget(next(iter(self._verdicts)))

    def allows(self, origin: str, verdict: Verdict, href: str) -> bool:
        """Say whether a URL of an origin may be fetched; `/robots.txt` itself always may (section 2.2.2)."""
        if not verdict.text:
            return verdict.allows_all
        found = self._parsed.pop(origin, None)
        if found is None:
            rules = _parse(zlib.decompress(verdict.text).decode())
            self._keep_parsed(origin, rules, verdict.length)
        else:
            rules = found[0]
            self._parsed[origin] = found
        return rules.can_fetch(href, self.agent)

    def _keep_parsed(self, origin: str, rules: Protego, length: int) -> None:
        self._parsed[origin] = rules, length
        self._parsed_bytes += length
        while self._parsed_bytes > self._most_parsed and len(self._parsed) > 1:
            self._forget_parsed(next(iter(self._parsed)))

    def _forget(self, origin: str) -> None:
        verdict = self._verdicts.pop(origin, None)
        if verdict is not None:
            self.kept_bytes -= _cost_of(verdict)
            self._forget_parsed(origin)

    def _forget_parsed(self, origin: str) -> None:
        _, length = self._parsed.pop(origin, (None, 0))
        self._parsed_bytes -= length


def _cost_of(verdict: Verdict) -> int:
    return _ENTRY + len(verdict.text) + len(verdict.reason)
