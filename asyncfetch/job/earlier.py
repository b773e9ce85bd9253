"""What an earlier run has recorded, by URL: what it takes to ask a server whether something has changed.

The records stay in their file. In memory are 12 bytes for each that has a validator: a part of the hash of its URL,
and where its line begins; with what growing arrays keep in reserve some 17 (5,000,000 records: 99 MiB in all). A
line that was found is read again and compared, so that equal hashes do no harm. The last record of a URL counts.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Self

import msgspec

from asyncfetch.errors import shown
from asyncfetch.job.errors import JournalError, reason_of
from asyncfetch.job.recorded import whole_lines
from asyncfetch.record import Record
from asyncfetch.url import redacted

__all__ = ["Earlier", "conditions"]

_ENTRY = 12
_OFFSET = 6
_BLOCK = 16 * 1024
# RFC 9110 sections 8.8.3 and 5.6.7: an entity tag, weak or strong; a date begins with the name of a day
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_DATE = re.compile(r"[A-Z][a-z]{2,8},? [\x20-\x7e]{5,60}")


class _Line(msgspec.Struct):
    """What of a record tells whether it is of use."""

    url: str
    ok: bool
    etag: str | None = None
    last_modified: str | None = None


class Earlier:
    """The records of an earlier run.

    Attributes:
        name: of the file, as it was given.
        file: its (device, inode).
        count: records that are of use.
    """

    def __init__(self, name: str) -> None:
        """Read the file. It may take a while: 2 or 3 seconds for a million records.

        Raises:
            JournalError: it cannot be read, or is no results file.
        """
        self.name = name
        self.count = 0
        self._buckets: dict[int, bytearray] = {}
        try:
            self._descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise JournalError(name, "does not exist") from error
        except (OSError, ValueError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else str(error)
            raise JournalError(name, f"cannot be read: {reason}") from error
        found = os.fstat(self._descriptor)
        self.file = (found.st_dev, found.st_ino)
        try:
            self._read_all()
        except JournalError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Can be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._buckets.clear()

    def find(self, url: str) -> Record | None:
        """Return the last record of a URL that is ok and has a validator.

        Raises:
            OSError: the file cannot be read any more.
        """
        url = redacted(url)
        bucket, key = _key_of(url)
        entries = self._buckets.get(bucket, b"")
        at = len(entries)
        while (at := entries.rfind(key, 0, at)) >= 0:
            if at % _ENTRY == 0:
                record = self._record_at(int.from_bytes(entries[at + _OFFSET : at + _ENTRY], "little"))
                if record is not None and record.url == url:
                    return record
            at += len(key) - 1
        return None

    def _read_all(self) -> None:
        decoder = msgspec.json.Decoder(_Line)
        offset = number = 0
        for lines in whole_lines(self.name, Path(self.name)):
            for line in lines:
                number += 1
                try:
                    seen = decoder.decode(line)
                except ValueError as error:
                    what = f"has no record in line {number}, but {shown(line[:40])}"
                    raise JournalError(self.name, what) from error
                if seen.ok and (seen.etag or seen.last_modified):
                    self._add(seen.url, offset)
                offset += len(line) + 1

    def _add(self, url: str, offset: int) -> None:
        bucket, key = _key_of(url)
        entry = key + offset.to_bytes(_ENTRY - _OFFSET, "little")
        entries = self._buckets.get(bucket)
        if entries is None:
            self._buckets[bucket] = bytearray(entry)
        else:
            entries += entry
        self.count += 1

    def _record_at(self, offset: int) -> Record | None:
        line = b""
        while b"\n" not in line and (block := os.pread(self._descriptor, _BLOCK, offset + len(line))):
            line += block
        with contextlib.suppress(ValueError):
            return msgspec.json.decode(line.partition(b"\n")[0], type=Record)
        return None


def _key_of(url: str) -> tuple[int, bytes]:
    """Return in which bucket a URL is, and what it is there: together 64 bits of its hash in this process."""
    number = hash(url) & 0xFFFFFFFFFFFFFFFF
    return number & 0xFFFF, (number >> 16).to_bytes(_OFFSET, "little")


def conditions(record: Record) -> list[tuple[str, str]]:
    """Return the fields that ask for a body only if it is not the recorded one any more (RFC 9110 section 13.1).

    A validator that is none by its form, whoever wrote it, is left out.
    """
    fields = []
    if record.etag and _TAG.fullmatch(record.etag):
        fields.append(("If-None-Match", record.etag))
    if record.last_modified and _DATE.fullmatch(record.last_modified):
        fields.append(("If-Modified-Since", record.last_modified))
    return fields
