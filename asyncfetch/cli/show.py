"""`asyncfetch show URL`: one GET, seen from start to end.

The response alone goes to stdout: its head, then its body, decoded; with `--raw` every byte as it came. Everything
else goes to stderr: the addresses tried, the connection and TLS, the request as sent, the time of each phase.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import select
import sys

import anyio
import msgspec

from asyncfetch import FetchError, InvalidURL, Request, Response, TLSSession, Trace
from asyncfetch.cli.client_options import ClientOptions
from asyncfetch.cli.exits import Exit, OutputProblem, UsageProblem, tell
from asyncfetch.cli.running import run_in_loop
from asyncfetch.display import harmless, is_terminal
from asyncfetch.display.units import latency

__all__ = ["Show", "show"]

_TEXTUAL = (
    "text/",
    "message/",
    "application/json",
    "application/x-ndjson",
    "application/xml",
    "application/javascript",
    "application/yaml",
    "application/toml",
)
_REPORT_AT_MOST = 4000  # cells of one line of the report
_STATUS_LINE_AT_MOST = 200  # bytes
_LINE_AT_MOST = 100_000  # cells of one line on a terminal
_BYTE_ORDER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_SNIFFED = 512  # bytes that tell text from anything else where the server does not
_AT_ONCE = select.PIPE_BUF  # bytes that a pipe takes without waiting once it says that it takes any


class Show(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `show` that do not concern the client."""

    url: str
    raw: bool = False
    quiet: bool = False


def show(options: Show, client_options: ClientOptions) -> int:
    """Fetch the URL and print what came; return the exit status.

    Raises:
        UsageProblem: it is no URL that can be fetched.
        OutputProblem: stdout does not take what came.
        BrokenPipeError: nobody reads stdout any more.
    """
    if sys.stdout is None:
        raise OutputProblem("the standard output is not open")
    return run_in_loop(lambda: _Showing(options, client_options).run(), client_options.loop)


class _Output:
    """stdout, for the response. A slow reader slows the server down, and nothing else.

    Attributes:
        is_terminal: whether a person reads it: then all bytes are shown as text that the terminal does not obey.
    """

    def __init__(self) -> None:
        self.is_terminal = is_terminal(sys.stdout)
        self._descriptor = sys.stdout.fileno()
        self._encoding = sys.stdout.encoding if self.is_terminal else "utf-8"
        self._held = ""
        self._ended_line = True

    async def put(self, data: bytes) -> None:
        """Write bytes."""
        if self.is_terminal:
            await self.put_text(data.decode("latin-1"))
        else:
            await self._write(data)

    async def put_text(self, text: str) -> None:
        """Write text."""
        if self.is_terminal:
            text = self._held + text
            self._held = "\r" if text.endswith("\r") else ""  # half a line end, perhaps
            text = _harmless_lines(text.removesuffix("\r"))
        if text:
            self._ended_line = text.endswith("\n")
            await self._write(text.encode(self._encoding, "backslashreplace"))

    async def end_line(self) -> None:
        """Let what follows on a terminal begin in a line of its own."""
        if self.is_terminal and not self._ended_line:
            await self.put_text("\n")

    async def _write(self, data: bytes) -> None:
        """Write it all, and let the loop go on meanwhile.

        Raises:
            OutputProblem: it cannot be written.
            BrokenPipeError: nobody reads it.
        """
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        view = memoryview(data)
        try:
            while view:
                if not poll.poll(0):
                    await anyio.wait_writable(self._descriptor)
                view = view[os.write(self._descriptor, view[:_AT_ONCE]) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise OutputProblem(f"the standard output cannot be written: {reason}") from error


def _harmless_lines(text: str) -> str:
    """Make text harmless but for its lines and tabs."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(harmless(part, _LINE_AT_MOST) for part in line.split("\t")) for line in lines)


class _Report(Trace):
    """Tells what happens on the wire, in the manner of `curl -v`, on stderr.

    Attributes:
        looked_up: whether a name had to be looked up.
    """

    def __init__(self, *, quiet: bool, raw: bool, sensitive: frozenset[str]) -> None:
        """Report, unless `quiet`; keep all bytes, if `raw`; show no value of the `sensitive` headers."""
        self.looked_up = False
        self._quiet = quiet
        self._sensitive = sensitive
        self._keeps_raw = raw
        self._raw: list[bytes] = []
        self._beginning = b""

    def say(self, line: str) -> None:
        """Report one line, with everything foreign in it made harmless."""
        if not self._quiet:
            with contextlib.suppress(OSError):  # nobody listens; what is fetched has nothing to do with that
                sys.stderr.write(harmless(line, _REPORT_AT_MOST) + "\n")
                sys.stderr.flush()

    def resolved(self, host: str, addresses: list[str], seconds: float) -> None:
        """Say which addresses a name has."""
        if addresses != [host]:
            self.looked_up = True
            self.say(f"* {host} is {', '.join(addresses)} ({latency(seconds)})")

    def trying(self, address: str) -> None:
        """Say which address is tried."""
        self.say(f"* trying {address}")

    def connected(self, address: str, seconds: float) -> None:
        """Say that TCP is connected."""
        self.say(f"* connected to {address} ({latency(seconds)})")

    def secured(self, session: TLSSession, seconds: float) -> None:
        """Say what was agreed over TLS."""
        self.say(f"* {session.version}, {session.cipher} ({latency(seconds)})")
        names = ", ".join(session.names) or session.subject
        until = f", valid until {session.expires:%Y-%m-%d}" if session.expires else ""
        known = f"certificate for {names}, issued by {session.issuer}{until}"
        self.say(f"* {known if names else 'the certificate was not verified'}")

    def reusing(self, address: str) -> None:
        """Say that no new connection was needed."""
        self.say(f"* using the connection to {address} again")

    def sent(self, head: bytes) -> None:
        """Show the request, without its secrets; and before it how the one before was answered."""
        if self._beginning:
            self.say(f"< {self._beginning.splitlines()[0].decode('latin-1')}")
            self._beginning = b""
        for line in head.decode("latin-1").split("\r\n")[:-1]:
            self.say(f"> {self._without_secret(line)}".rstrip())

    def _without_secret(self, line: str) -> str:
        name, colon, _ = line.partition(":")
        return f"{name}: ***" if colon and name.lower() in self._sensitive else line

    def received(self, data: bytes) -> None:
        """Keep the beginning of each answer, and everything if it is to be shown byte for byte."""
        if len(self._beginning) < _STATUS_LINE_AT_MOST:
            self._beginning += data[:_STATUS_LINE_AT_MOST]
        if self._keeps_raw:
            self._raw.append(data)

    def take_raw(self) -> bytes:
        """Take out what came since the last time, byte for byte, if it is to be shown so."""
        data = b"".join(self._raw)
        self._raw.clear()
        return data


class _Showing:
    """One URL being shown."""

    def __init__(self, options: Show, client_options: ClientOptions) -> None:
        self._raw = options.raw
        self._output = _Output()
        self._report = _Report(quiet=options.quiet, raw=options.raw, sensitive=client_options.sensitive)
        self._client = client_options.open_client(self._report)
        self._request = Request(options.url, method=client_options.method)

    async def run(self) -> int:
        """Fetch and print; return the exit status."""
        try:
            async with self._client, self._client.stream(self._request) as response:
                await (self._print_raw(response) if self._raw else self._print(response))
        except InvalidURL as error:
            raise UsageProblem(error.detail) from error
        except FetchError as error:
            await self._output.put(self._report.take_raw())
            await self._output.end_line()
            tell(f"{error} ({error.code})")
            return Exit.NOT_OK
        await self._output.end_line()
        self._report.say(_describe_end(response, looked_up=self._report.looked_up))
        return Exit.NOT_OK if response.is_error else Exit.OK

    async def _print_raw(self, response: Response) -> None:
        """Print what came, byte for byte; the content is read only for the sake of its end."""
        await self._output.put(self._report.take_raw())
        async for _ in response.aiter_bytes():
            await self._output.put(self._report.take_raw())
        await self._output.put(self._report.take_raw())

    async def _print(self, response: Response) -> None:
        """Print the head, then the body as it comes: as text if it is text, otherwise only where nobody looks."""
        output = self._output
        await output.put_text(_head_of(response))
        decoder: codecs.IncrementalDecoder | None = None
        is_first = True
        async for chunk in response.aiter_bytes():
            if is_first:
                is_first = False
                if _is_text(response, chunk):
                    decoder = _decoder(response.encoding, chunk)
                elif output.is_terminal:
                    await output.put_text(_binary_notice(response))
                    return
            await (output.put(chunk) if decoder is None else output.put_text(decoder.decode(chunk)))
        if decoder is not None:
            await output.put_text(decoder.decode(b"", final=True))


def _decoder(encoding: str, first: bytes) -> codecs.IncrementalDecoder:
    """Return what decodes a body that begins so; UTF-16 without a byte order mark is taken as browsers take it."""
    name = codecs.lookup(encoding).name
    if name in ("utf-16", "utf-32") and not first.startswith(_BYTE_ORDER_MARKS):
        name += "-le"
    return codecs.getincrementaldecoder(name)("replace")


def _head_of(response: Response) -> str:
    start = f"{response.http_version} {response.status_code} {response.reason_phrase}".rstrip()
    fields = [f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in response.raw_headers]
    return "\n".join([start, *fields, "", ""])


def _is_text(response: Response, first: bytes) -> bool:
    """Whether the body is to be read by people, as far as its type and its beginning tell."""
    kind = (response.field(b"content-type") or b"").decode("latin-1").strip().lower()
    if not kind:
        return b"\0" not in first and _is_utf8(first[:_SNIFFED])
    if not kind.startswith(_TEXTUAL) and "+json" not in kind and "+xml" not in kind:
        return False
    return b"\0" not in first or "charset=utf-" in kind


def _is_utf8(beginning: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return False
    return True


def _binary_notice(response: Response) -> str:
    kind = (response.field(b"content-type") or b"unknown type").decode("latin-1")
    length = response.field(b"content-length")
    size = "" if length is None or response.field(b"content-encoding") else f" of {length.decode('latin-1')} bytes"
    return f"[binary body{size}, {kind}: not shown on a terminal; asyncfetch get URL -P DIR saves it]\n"


def _describe_end(response: Response, *, looked_up: bool) -> str:
    """Say how much came, and how long each phase took."""
    timings = response.timings
    phases = [
        ("name", timings.dns if looked_up else None),
        ("connect", timings.connect),
        ("TLS", timings.tls),
        ("first byte", timings.ttfb),
        ("total", timings.total),
    ]
    took = ", ".join(f"{name} {latency(seconds)}" for name, seconds in phases if seconds is not None)
    came = f"{response.num_bytes:,} bytes"
    if response.wire_bytes != response.num_bytes:
        came += f" ({response.wire_bytes:,} as sent)"
    if timings.total is None:
        came += ", the rest was not fetched"
    return f"* {came}; {took}"
