"""What the file of a URL is called: readable, safe, stable, and never the name of another URL.

A name is made from the URL as it was given, never from what a server says, and from nothing else: it is the same
in every run, and needs no memory of other names. Two kinds of URLs are told apart:

- **plain**: host and path consist of lower-case ASCII letters, digits and `. _ + = , @ -`, without a query. The
  name is the URL itself: `https://example.org/a/b.csv` becomes `example.org/a/b.csv`, a port follows a `+`, and
  `https://example.org:8080/` becomes `example.org+8080/index`.
- **all others**: capitals, percent-encoding, a query, traps. What is not safe in a name becomes `_`, what is
  percent-encoded is decoded, the query is added, what is too long is cut, and a **mark** is put before the
  extension: `~` and ten hexadecimal digits of a digest of the whole URL. `https://example.org/README.md` becomes
  `example.org/README~50f95ad7b9.md`.

A plain name of a file has no `~`, so that it never equals a marked one. Two plain names are equal, also without
regard to case and Unicode normalisation, only for the same host and path, and two marked ones only if 40 bits of
BLAKE2 agree. So equal names are left for the same URL twice, and for URLs that differ in nothing but the scheme,
credentials or the fragment. For those, and where something else is in the way, `bodies` asks for a **variant**.

Every part of a name has at most 200 bytes of UTF-8, the whole at most 1000 and 32 directories. No part is `.` or
`..`, begins with a dot or a dash, ends with a dot or a blank, contains a slash, a backslash, a control character or
anything else that a shell or Windows gives a meaning, or is one of Windows' device names (CON, NUL, COM1 ...). And
none ends like what a job keeps beside its results file, which may be anywhere below the directory for bodies: that
is written over, and removed, without a question.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote

import msgspec

from asyncfetch.url import Url

__all__ = [
    "PART_MOST",
    "BodyName",
    "body_name",
    "clipped",
    "mark_of",
    "safe_part",
    "split_extension",
    "within_bounds",
]

PART_MOST = 200  # bytes; file systems allow 255
_CUT_TO = 150  # bytes left of a part that is too long: room for mark and variant
_FOLDERS_MOST = 32
_PLAIN_MOST = 800
_FOLDERS_BYTES = 600
_QUERY_MOST = 60

_DEVICES = r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])"
_DEVICE = re.compile(rf"{_DEVICES}(?:\.|$)", re.IGNORECASE)
_HOST = rf"(?!{_DEVICES}(?:[.:/]|$))[a-z0-9](?:[a-z0-9._-]{{0,198}}[a-z0-9])?(?::[0-9]{{1,5}})?"
_NO_DEVICE = rf"(?!{_DEVICES}(?:[./]|$))"
_FOLDER = rf"{_NO_DEVICE}[a-z0-9_+=,@~](?:[a-z0-9._+=,@~-]{{0,198}}[a-z0-9_+=,@~-])?"
_OURS = r"\.(?:job\.(?:json(?:\.part)?|saving|parts)|compact\.part)(?=/|$)"
_STEM = rf"{_NO_DEVICE}(?!index$)[a-z0-9_+=,@][a-z0-9_+=,@-]*+(?:(?!.*{_OURS})\.[a-z0-9._+=,@-]*?)??"
_PLAIN_HOST = re.compile(_HOST)
_PLAIN_FOLDER = re.compile(rf"https?://({_HOST})((?:/{_FOLDER})*)")
_PLAIN_FILE = re.compile(rf"({_STEM})((?:\.tar)?\.[a-z0-9]{{1,10}})?(?<!\.)")
_FOLDERS_REMEMBERED = 4096
_EXTENSION = re.compile(r"(?<=.)(?:\.tar)?\.[A-Za-z0-9]{1,10}\Z")
_LIKE_OURS = re.compile(_OURS, re.IGNORECASE)
_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+=,@~-")


class BodyName(msgspec.Struct, frozen=True, gc=False):
    """The name of a file below the directory for bodies.

    Attributes:
        folder: the directories, joined by `/`, from the host on.
        stem: the file's name without its extension, with its mark.
        extension: with its dot, or an empty string.
        mark: the mark without its `~`, or an empty string if the name is plain.
    """

    folder: str
    stem: str
    extension: str
    mark: str = ""

    def file(self, variant: str = "") -> str:
        """Return the file's name, with `~` and a variant before the extension if there is one."""
        if not variant:
            return self.stem + self.extension
        suffix = f"~{variant}{self.extension}"
        return clipped(self.stem, PART_MOST - len(suffix)) + suffix


def body_name(url: str) -> BodyName:
    """Return the name for the body of a URL.

    Raises:
        InvalidURL: it is none, and will never have a body.
    """
    return _plain_name(url) or _name_of(Url.parse(url))


def _name_of(url: Url) -> BodyName:
    return _plain_name(url.href) or _marked_name(url)


def _plain_name(url: str) -> BodyName | None:
    """Return the name of a plain URL; what matches is a URL in its normal form already."""
    above, _, file = url.rpartition("/")
    if len(url) > _PLAIN_MOST or len(file) > PART_MOST or (folder := _plain_folder(above)) is None:
        return None
    if not file:
        return BodyName(folder, "index", "")
    plain = _PLAIN_FILE.fullmatch(file)
    return plain and BodyName(folder, plain[1], plain[2] or "")


@lru_cache(_FOLDERS_REMEMBERED)
def _plain_folder(above: str) -> str | None:
    """Return the directory of what a plain URL has before its last slash: many of a list have the same."""
    plain = _PLAIN_FOLDER.fullmatch(above)
    if plain is None or above.count("/") > _FOLDERS_MOST + 1 or _LIKE_OURS.search(above):
        return None
    host, folders = plain.groups()
    return f"{host.replace(':', '+')}{folders}"


def _marked_name(url: Url) -> BodyName:
    path, _, query = url.target.partition("?")
    *folders, last = [unquote(part, errors="replace") for part in path.split("/")[1:]]
    stem, extension = split_extension(last or "index")
    stem = safe_part(stem)
    if query:
        stem += "_" + clipped(safe_part(unquote(query, errors="replace")), _QUERY_MOST)
    mark = mark_of(url.href)
    below = _folders(url.origin.authority, folders)
    return BodyName("/".join(below), f"{clipped(stem, _CUT_TO)}~{mark}", extension, mark)


def mark_of(text: str) -> str:
    """Return ten hexadecimal digits that tell a text from others."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()


def _folders(host: str, parts: list[str]) -> list[str]:
    """Return the directories, as many from the first one as there is room for."""
    plain = _PLAIN_HOST.fullmatch(host) and not _LIKE_OURS.search(host)
    first = host.replace(":", "+") if plain else safe_part(host.replace("[", "").replace("]", ""))
    return [first, *within_bounds([safe_part(part) for part in parts[: _FOLDERS_MOST - 1]])]


def within_bounds(folders: list[str]) -> list[str]:
    """Return as many directories as a name may have, from the first one on."""
    room = _FOLDERS_BYTES
    for number, folder in enumerate(folders[:_FOLDERS_MOST]):
        room -= len(folder.encode()) + 1
        if room < 0:
            return folders[:number]
    return folders[:_FOLDERS_MOST]


def safe_part(text: str) -> str:
    """Return one part of a name: everything in it that could do harm is `_`."""
    known = "".join(c if c in _SAFE or _is_letter(c) else "_" for c in unicodedata.normalize("NFC", text))
    part = clipped(known, _CUT_TO) if len(known.encode()) > PART_MOST else known
    if part[:1] in {"", ".", "-"} or _DEVICE.match(part):
        part = "_" + part.lstrip(".-")
    if _LIKE_OURS.search(part):
        return clipped(part, PART_MOST - 1) + "_"
    return part.removesuffix(".") + "_" if part.endswith(".") else part


def _is_letter(character: str) -> bool:
    """Whether it is a letter, a digit or a mark on one, in any script but ASCII."""
    return character > "\x7f" and unicodedata.category(character)[0] in "LMN"


def split_extension(name: str) -> tuple[str, str]:
    """Return stem and extension; the extension of `x.tar.gz` is `.tar.gz`."""
    extension = _EXTENSION.search(name)
    return (name[: extension.start()], extension[0]) if extension else (name, "")


def clipped(text: str, at_most: int) -> str:
    """Return as much from the start of a text as fits into so many bytes of UTF-8."""
    return text.encode()[:at_most].decode("utf-8", "ignore")
