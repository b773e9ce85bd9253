"""How a user wants files to be called: after a template, without directories, or as the list itself names them.

The pieces of a template come from `names`, and what it makes of them is made safe in the same way, part by part, so
that no template and no name in a list leads out of the directory, to a device, or to a hidden file. Two things keep
different URLs apart also where capitals do not count: `{name}` has the mark of a URL that is not plain, and where a
template uses other pieces of such a URL only, its mark is put at the end of the stem. Names that are equal all the
same get the variants of `bodies`. A name in the list is taken as it stands, capitals too: it is somebody's choice.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from asyncfetch.errors import shown
from asyncfetch.job.names import (
    PART_MOST,
    BodyName,
    body_name,
    clipped,
    mark_of,
    safe_part,
    split_extension,
    within_bounds,
)
from asyncfetch.url import Url

if TYPE_CHECKING:
    from asyncfetch.result import Request

__all__ = ["PLACEHOLDERS", "Naming", "check_template"]

PLACEHOLDERS = ("n", "host", "path", "name", "ext", "sha256")
_PIECE = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")
_BRACES = re.compile(r"\{[^{}]*\}?|\}")
_TELLING = frozenset({"n", "name", "sha256"})
_CUT_TO = 150
# whatever looks unfinished beside a results file is no body
_LIKE_A_PART = re.compile(r"\.part$", re.IGNORECASE)
# `{n}` at the begin or the end of a part, apart from other digits: then a name belongs to one position only
_NUMBERED = re.compile(r"(?:^|/)\{n\}(?:\{ext\})?(?:$|/|[^0-9{])|[^0-9}]\{n\}(?:\{ext\})?(?:$|/)")


class Naming(msgspec.Struct, frozen=True):
    """Says what the files of a job are called.

    Attributes:
        template: as `check_template` allows it, or None.
        flat: without directories: `host_name~mark.ext`, all with a mark.
    """

    template: str | None = None
    flat: bool = False

    @property
    def needs_digest(self) -> bool:
        """Whether a name can only be told when the body is there."""
        return self.template is not None and "{sha256}" in self.template

    @property
    def is_telling(self) -> bool:
        """Whether a file of that name can only be that of the URL, or of the position, that is asked for."""
        return self.template is None or (not self.needs_digest and _NUMBERED.search(self.template) is not None)

    def name(self, request: Request, sha256: str | None) -> BodyName:
        """Return the name for the body of a request.

        Args:
            request: whose URL is a good one.
            sha256: the digest of its body, if `needs_digest`.
        """
        if self.template is not None:
            return _filled_in(self.template, request, sha256)
        if request.name:
            parts = _parts(request.name)
            return _bounded(["_".join(parts)] if self.flat else parts, request.name)
        return _flat(request.url) if self.flat else body_name(request.url)


def check_template(template: str) -> str:
    """Return a template if it is one.

    Raises:
        ValueError: it is not; the message is a sentence without a subject.
    """
    literal = _PIECE.sub("", template)
    if stray := _BRACES.search(literal):
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise ValueError(f"has {shown(stray[0])}, and what can be filled in is {known}")
    if not _PIECE.search(template):
        raise ValueError("has nothing to be filled in, so that all files would have one name: add {n} or {name}")
    for part in template.split("/"):
        if part in {"", ".", ".."}:
            raise ValueError("must lead to a file below the directory: no / at its ends, no //, . or ..")
        if part[0] in ".-":
            raise ValueError(f"has a part that begins with {part[0]!r}: {shown(part)}")
        _check_characters(part)
    return template


def _check_characters(part: str) -> None:
    literal = _PIECE.sub("", part)
    stray = next((c for c in literal if safe_part(f"x{c}x") != f"x{c}x"), None)
    if stray is not None:
        raise ValueError(f"holds {shown(stray)}, which is not safe in the name of a file everywhere")
    if not _PIECE.search(part) and safe_part(part) != part:
        raise ValueError(f"has a part that is no safe name everywhere: {shown(part)}")


def _filled_in(template: str, request: Request, sha256: str | None) -> BodyName:
    of_url = body_name(request.url)
    host, _, path = of_url.folder.partition("/")
    stem, extension = of_url.stem, of_url.extension
    if request.name:
        stem, extension = split_extension("_".join(_parts(request.name)))
    values = {
        "n": str(request.index),
        "host": host,
        "path": path,
        "name": stem,
        "ext": extension,
        "sha256": sha256 or "",
    }
    used = set(_PIECE.findall(template)) - ({"name"} if request.name else set())
    text = _PIECE.sub(lambda piece: values[piece[1]], template)
    mark = "" if used & _TELLING else of_url.mark
    return _bounded(_parts(text), text, mark)


def _flat(url: str) -> BodyName:
    href = Url.parse(url).href
    of_url = body_name(href)
    mark = of_url.mark or mark_of(href)
    stem = of_url.stem.removesuffix(f"~{mark}")
    host = of_url.folder.partition("/")[0]
    return BodyName("", f"{clipped(f'{host}_{stem}', _CUT_TO)}~{mark}", of_url.extension, mark)


def _parts(text: str) -> list[str]:
    """Return the parts of a name, each made safe, the file last; those that are empty are left out."""
    *folders, file = [part for part in text.split("/") if part] or ["index"]
    if len(file.encode("utf-8", "replace")) > PART_MOST:
        stem, extension = split_extension(file)
        file = clipped(safe_part(stem), _CUT_TO) + extension
    return [*[safe_part(folder) for folder in folders], safe_part(file)]


def _bounded(parts: list[str], text: str, mark: str = "") -> BodyName:
    """Return a name of these parts; where something has to be cut off, a mark of the whole text is put to it."""
    *wanted, file = parts
    folders = within_bounds(wanted)
    if not folders and _LIKE_A_PART.search(file):
        file += "_"
    stem, extension = split_extension(file)
    if len(folders) < len(wanted) or _is_long(text):
        mark = mark or mark_of(text)
    if mark:
        stem = f"{clipped(stem, min(_CUT_TO, PART_MOST - len(extension) - 11))}~{mark}"
    return BodyName("/".join(folders), stem, extension, mark)


def _is_long(text: str) -> bool:
    return any(len(part.encode("utf-8", "replace")) > PART_MOST for part in text.split("/"))
