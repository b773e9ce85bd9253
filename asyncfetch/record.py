"""The flat Record of one result, which becomes one JSON line."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from asyncfetch.result import Response, Result, Timings
from asyncfetch.url import redacted

__all__ = ["ErrorRecord", "Record"]


class ErrorRecord(msgspec.Struct):
    """The `error` of a record."""

    code: str
    message: str


class Record(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One JSON line: what is known of one entry, keys in this order, unknown ones absent.

    The README's chapter "The record" describes each key. Times are seconds, sizes are bytes.
    """

    v: int
    n: int
    id: str | int | None = None
    url: str
    final_url: str | None = None
    ok: bool
    status: int | None = None
    error: ErrorRecord | None = None
    bytes: int | None = None
    wire_bytes: int | None = None
    content_type: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    path: str | None = None
    sha256: str | None = None
    ip: str | None = None
    http: str | None = None
    reused: bool | None = None
    attempts: int
    redirects: list[str] | None = None
    t: Timings
    ts: datetime

    @classmethod
    def of(cls, result: Result) -> Record:
        """Flatten a result; `path` and `sha256` are for whoever saved the body to fill in."""
        request, response, error = result.request, result.response, result.error
        url, times = redacted(request.url), result.timings.rounded()
        if response is None:
            ended = _common_moment(result.ended)
            record = cls(
                v=1, n=result.index, url=url, ok=error is None, attempts=result.attempts, t=times, ts=ended
            )
        else:
            noted = _note(response) if response.noted is None else response.noted
            record = cls(  # with more arguments than these 15, Python makes a dict of them first
                v=1,
                n=result.index,
                url=url,
                ok=error is None,
                status=response.status_code,
                bytes=response.num_bytes,
                wire_bytes=response.wire_bytes,
                content_type=_text(noted.get(b"content-type")),
                etag=_text(noted.get(b"etag")),
                last_modified=_text(noted.get(b"last-modified")),
                http=response.http_version,
                reused=response.reused,
                attempts=result.attempts,
                t=times,
                ts=datetime.fromtimestamp(result.ended, UTC),
            )
            if response.history:
                record.final_url = response.url
        record.id = request.id
        if result.ip:
            record.ip = result.ip
        if error is not None:
            record.error = ErrorRecord(error.code, error.detail)
        if result.redirects:
            record.redirects = result.redirects
        return record


_RECORDED_AT_MOST = 8 * 1024  # bytes of a field; a line of results is no place for the 128 KiB that one may have


@lru_cache(1)
def _common_moment(seconds: float) -> datetime:
    """Return the moment at which many entries of a host that was given up end together."""
    return datetime.fromtimestamp(seconds, UTC)


def _note(response: Response) -> dict[bytes, list[bytes]]:
    return {name.lower(): [value] for name, value in reversed(response.raw_headers)}  # the first of several stands


def _text(values: list[bytes] | None) -> str | None:
    """Return the first of a field's values, unless it is too long."""
    return None if not values or len(values[0]) > _RECORDED_AT_MOST else values[0].decode("latin-1")
