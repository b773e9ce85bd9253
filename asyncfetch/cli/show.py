"""`asyncfetch show URL`: one GET, seen from start to end.

The response alone goes to stdout: its head, then its body, decoded; with `--raw` every byte as it came. Everything
else goes to stderr: the addresses tried, the connection and TLS, the request as sent, the time of each phase.
"""

from __future__ import annotations

import codecs
import os
import sys
from dataclasses import dataclass

from asyncfetch import FetchError, InvalidURL, Request, Response, TLSSession, Trace
from asyncfetch.cli.exits import Exit, UsageProblem
from asyncfetch.cli.options import ClientOptions
from asyncfetch.cli.running import run_in_loop
from asyncfetch.client import SENSITIVE_HEADERS
from asyncfetch.display import harmless, is_terminal
from asyncfetch.display.units import latency

__all__ = ["Show", "show"]

_TEXTUAL = ("text/", "application/json", "application/xml", "application/javascript", "application/x-ndjson")
_REPORT_AT_MOST = 4000  # cells of one line of the report
_LINE_AT_MOST = 100_000  # cells of one line on a terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """The options of `show` that do not concern the client."""

    url: str
    raw: bool = False
    quiet: bool = False


def show(options: Show, client_options: ClientOptions) -> int:
    """Fetch the URL and print what came; return the exit status.

    Raises:
        UsageProblem: it is no URL that can be fetched.
    """
    return run_in_loop(lambda: _Showing(options, client_options).run(), client_options.loop)


class _Printer:
    """stdout for the response, stderr for the report.

    Attributes:
        to_terminal: whether a person reads the response.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.to_terminal = is_terminal(sys.stdout)
        self._quiet = quiet

    def say(self, line: str) -> None:
        """Report one line, with everything foreign in it made harmless."""
        if not self._quiet:
            sys.stderr.write(harmless(line, _REPORT_AT_MOST) + "\n")
            sys.stderr.flush()

    def put(self, data: bytes) -> None:
        """Write response bytes; a terminal gets them as text that it does not obey."""
        if self.to_terminal:
            self.put_text(data.decode("latin-1"))
        else:
            self._write(data)

    def put_text(self, text: str) -> None:
        """Write response text."""
        if self.to_terminal:
            text = _harmless_lines(text)
        self._write(text.encode("utf-8", "replace"))

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(sys.stdout.fileno(), view) :]


def _harmless_lines(text: str) -> str:
    """Make text harmless but for its lines and tabs."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(harmless(part, _LINE_AT_MOST) for part in line.split("\t")) for line in lines)


class _Report(Trace):
    """Tells what happens on the wire, in the manner of `curl -v`."""

    def __init__(self, printer: _Printer, *, raw: bool) -> None:
        self._printer = printer
        self._raw = raw

    def resolved(self, host: str, addresses: list[str], seconds: float) -> None:
        """Say which addresses a name has."""
        if addresses != [host]:
            self._printer.say(f"* {host} is {', '.join(addresses)} ({latency(seconds)})")

    def trying(self, address: str) -> None:
        """Say which address is tried."""
        self._printer.say(f"* trying {address}")

    def connected(self, address: str, seconds: float) -> None:
        """Say that TCP is connected."""
        self._printer.say(f"* connected to {address} ({latency(seconds)})")

    def secured(self, session: TLSSession, seconds: float) -> None:
        """Say what was agreed over TLS."""
        self._printer.say(f"* {session.version}, {session.cipher} ({latency(seconds)})")
        names = session.subject or ", ".join(session.names)
        until = f", valid until {session.expires:%Y-%m-%d}" if session.expires else ""
        told = (
            f"certificate of {names}, by {session.issuer}{until}" if names else "the certificate was not verified"
        )
        self._printer.say(f"* {told}")

    def reusing(self, address: str) -> None:
        """Say that no new connection was needed."""
        self._printer.say(f"* using the connection to {address} again")

    def sent(self, head: bytes) -> None:
        """Show the request, without its secrets."""
        for line in head.decode("latin-1").split("\r\n")[:-1]:
            self._printer.say(f"> {_hide_secret(line)}".rstrip())

    def received(self, data: bytes) -> None:
        """Pass on what came, if it is to be shown byte for byte."""
        if self._raw:
            self._printer.put(data)


def _hide_secret(line: str) -> str:
    name, colon, _ = line.partition(":")
    return f"{name}: ***" if colon and name.lower() in SENSITIVE_HEADERS else line


class _Showing:
    """One URL being shown."""

    def __init__(self, options: Show, client_options: ClientOptions) -> None:
        self._options = options
        self._printer = _Printer(quiet=options.quiet)
        self._client = client_options.open_client(_Report(self._printer, raw=options.raw))
        self._request = Request(options.url, method=client_options.method)

    async def run(self) -> int:
        """Fetch and print; return the exit status."""
        try:
            async with self._client, self._client.stream(self._request) as response:
                if self._options.raw:
                    await _read_away(response)
                else:
                    await self._print(response)
        except InvalidURL as error:
            raise UsageProblem(f"{error.detail}") from error
        except FetchError as error:
            self._say_failure(error)
            return Exit.NOT_OK
        self._printer.say(_describe_end(response))
        return Exit.NOT_OK if response.is_error else Exit.OK

    def _say_failure(self, error: FetchError) -> None:
        sys.stderr.write(f"asyncfetch: {harmless(str(error), _REPORT_AT_MOST)} ({error.code})\n")

    async def _print(self, response: Response) -> None:
        """Print the head, then the body as it comes: as text if it is text, otherwise only where nobody looks."""
        self._printer.put_text(_head_of(response))
        decoder: codecs.IncrementalDecoder | None = None
        is_first = True
        async for chunk in response.aiter_bytes():
            if is_first:
                is_first = False
                if _is_text(response, chunk):
                    decoder = codecs.getincrementaldecoder(response.encoding)("replace")
                elif self._printer.to_terminal:
                    self._printer.put_text(_binary_notice(response))
                    return
            if decoder is None:
                self._printer.put(chunk)
            else:
                self._printer.put_text(decoder.decode(chunk))
        if decoder is not None:
            self._printer.put_text(decoder.decode(b"", final=True))
            if self._printer.to_terminal:
                self._printer.put_text("\n")


async def _read_away(response: Response) -> None:
    async for _ in response.aiter_bytes():
        pass


def _head_of(response: Response) -> str:
    start = f"{response.http_version} {response.status_code} {response.reason_phrase}".rstrip()
    fields = [f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in response.raw_headers]
    return "\n".join([start, *fields, "", ""])


def _is_text(response: Response, first: bytes) -> bool:
    kind = (response.field(b"content-type") or b"").decode("latin-1").lower()
    if b"\0" in first:
        return False
    if not kind:
        return first[:512].decode("utf-8", "ignore").isprintable() or b"\n" in first[:512]
    return kind.startswith(_TEXTUAL) or "+json" in kind or "+xml" in kind or "charset=" in kind


def _binary_notice(response: Response) -> str:
    kind = (response.field(b"content-type") or b"unknown type").decode("latin-1")
    length = response.field(b"content-length")
    size_of = (
        "" if length is None or response.field(b"content-encoding") else f" of {length.decode('latin-1')} bytes"
    )
    return f"[binary body{size_of}, {kind}: not shown on a terminal; send it to a file with > FILE]\n"


def _describe_end(response: Response) -> str:
    """Say how long each phase took, and how much came."""
    timings = response.timings
    phases = [
        ("name", timings.dns),
        ("connect", timings.connect),
        ("TLS", timings.tls),
        ("first byte", timings.ttfb),
        ("total", timings.total),
    ]
    took = ", ".join(f"{name} {latency(seconds)}" for name, seconds in phases if seconds is not None)
    came = f"{response.num_bytes} bytes"
    if response.wire_bytes != response.num_bytes:
        came += f" ({response.wire_bytes} as sent)"
    return f"* {came}; {took}"
