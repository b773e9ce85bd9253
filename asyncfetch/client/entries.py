"""Requests as bytes, for entries of a list that wait on disk; what has no bytes stays here, by number.

A request that comes back equals the one that went in, field by field and type by type: numbers, text, bytes, tuples
and frozen structs of these are written; so are the dicts and lists of `Request.headers`. A `context` of any other
kind may be one that its owner goes on using, so it is kept as it is. No pickle: nothing that is read back can do
anything.

Most entries hold text and numbers only, and their contexts, if any, are of one frozen struct. A group of such ones
is written by columns: all URLs, all indices and so on, a column of one value as that value. That takes no step of
ours for each entry. In any other group each entry is written for itself. What was kept can be given back once only:
so such entries are groups of their own, and of any other group as many can be taken at a time as are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from types import NoneType
from typing import Any

import msgspec

from asyncfetch.result import Request
from asyncfetch.settings import Timeouts

__all__ = ["Entries", "Entry"]

Entry = tuple[Request, int, float]  # its position in the list, and the loop's time in seconds when it was read

_PLAIN = frozenset({NoneType, bool, int, float, str, bytes})
_KEPT, _STRUCT, _SHARED, _TUPLE, _LIST, _DICT = range(6)  # codes of msgpack extensions
_SHARED_MOST = 1000  # different settings that requests bring; one for each request would not be shared
_ONLY_EQUAL_IF_SAME = frozenset({NoneType, str, bytes})  # of what is plain
_FEW = 3  # entries of a group that is not worth columns
_NO_KIND = -1  # of a context that is no struct, or one that was not met before
_SELDOM = Request.__struct_fields__.index("headers")  # what comes from here on is seldom given
_NOTHING_OF_THEM = list(msgspec.structs.astuple(Request("")))[_SELDOM:]
_OWNED = Request.__struct_fields__.index("context")  # the field whose objects are not ours to copy


class _NotWritten(Exception):
    """A value has no bytes that make it again."""


class Entries:
    """Writes and reads the entries of one list.

    Attributes:
        kept: what has been kept in memory, by number.
    """

    def __init__(self) -> None:
        self.kept: dict[int, object] = {}
        self._number = 0
        self._makers: list[tuple[Callable[..., msgspec.Struct], int]] = []  # and how many fields each takes
        self._codes: dict[type, int] = {}
        self._shared: list[Timeouts] = []
        self._shares: dict[Timeouts, int] = {}
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[Any], ext_hook=self._restored)

    def encode(self, entries: Sequence[Entry]) -> list[bytes]:
        """Write some entries: as one group, or, if something of them has been kept, each as a group of its own."""
        if len(entries) > _FEW:
            try:
                return [self._encode_columns(entries)]
            except (_NotWritten, OverflowError, UnicodeError):
                pass
        number = self._number
        written = [self._encode_one(*entry) for entry in entries]
        return written if self._number > number or len(written) == 1 else [self._encoder.encode(written)]

    def decode(self, group: bytes) -> list[Entry]:
        """Read a group that `encode` has written; one of several entries can be read again."""
        values = self._decoder.decode(group)
        if type(values[0]) is list:
            return self._decode_columns(*values)
        if type(values[0]) is bytes:
            return [self._decode_one(*self._decoder.decode(entry)) for entry in values]
        return [self._decode_one(*values)]

    def clear(self) -> None:
        """Forget what has been kept."""
        self.kept.clear()

    # --- by columns

    def _encode_columns(self, entries: Sequence[Entry]) -> bytes:
        """Write entries that are all plain.

        Raises:
            _NotWritten: they are not.
            OverflowError, UnicodeError: a number or a text has no bytes.
        """
        requests, indices, added = zip(*entries, strict=True)
        if set(map(type, requests)) != {Request}:
            raise _NotWritten
        columns = _columns_of(requests)
        kinds = set(map(type, columns[_OWNED]))
        kind, parts = _NO_KIND, list[tuple[Any, ...]]()
        if len(kinds) == 1 and not kinds <= _PLAIN:
            kind, parts = self._code(_frozen(kinds.pop())), _columns_of(columns[_OWNED])
            columns[_OWNED] = (None,)
        columns = parts + columns
        if not _PLAIN.issuperset(map(type, chain.from_iterable(columns))):
            raise _NotWritten
        return self._encoder.encode((indices, added, kind, *map(_narrowed, columns)))

    def _decode_columns(self, indices: list[int], added: list[float], kind: int, *values: Any) -> list[Entry]:
        columns: list[Iterable[Any]] = [value if type(value) is list else repeat(value) for value in values]
        if kind != _NO_KIND:
            make, number = self._makers[kind]
            contexts = map(make, *columns[:number])
            columns = columns[number:]
            columns[_OWNED] = contexts
        return list(zip(map(Request, *columns), indices, added, strict=False))

    # --- one by one

    def _encode_one(self, request: Request, index: int, added: float) -> bytes:
        if type(request) is not Request:
            return self._encode_kept(request, index, added)
        number = self._number
        values: list[Any] = list(msgspec.structs.astuple(request))
        kind = self._codes.get(type(request.context), _NO_KIND)
        fields: tuple[Any, ...] = ()
        if kind != _NO_KIND:
            fields, values[_OWNED] = msgspec.structs.astuple(request.context), None
        if not _PLAIN.issuperset(map(type, (*fields, *values))):
            kind, fields, values[_OWNED] = _NO_KIND, (), request.context
            for field, value in enumerate(values):
                if type(value) not in _PLAIN:
                    values[field] = self._written(value, may_copy=field != _OWNED)
        if values[_SELDOM:] == _NOTHING_OF_THEM:
            del values[_SELDOM:]
        try:
            return self._encoder.encode((index, added, kind, *fields, *values))
        except (OverflowError, UnicodeError):  # a number beyond 64 bits, or half a surrogate pair
            for kept in range(number, self._number):
                del self.kept[kept + 1]
            return self._encode_kept(request, index, added)

    def _encode_kept(self, request: Request, index: int, added: float) -> bytes:
        return self._encoder.encode((index, added, _NO_KIND, self._keep(request)))

    def _decode_one(self, index: int, added: float, kind: int, *values: Any) -> Entry:
        if len(values) == 1:
            return values[0], index, added
        if kind == _NO_KIND:
            return Request(*values), index, added
        make, fields = self._makers[kind]
        request = Request(*values[fields:])
        request.context = make(*values[:fields])
        return request, index, added

    # --- to bytes

    def _written(self, value: object, *, may_copy: bool) -> msgspec.msgpack.Ext:
        """Write a value that msgpack does not have, or keep it."""
        try:
            return self._extension(value, may_copy=may_copy)
        except (_NotWritten, OverflowError, UnicodeError, RecursionError):
            return self._keep(value)

    def _keep(self, value: object) -> msgspec.msgpack.Ext:
        self._number += 1
        self.kept[self._number] = value
        return msgspec.msgpack.Ext(_KEPT, self._encoder.encode(self._number))

    def _extension(self, value: object, *, may_copy: bool) -> msgspec.msgpack.Ext:
        """Write a value by its kind.

        Raises:
            _NotWritten: it is of none of them.
        """
        kind = type(value)
        if isinstance(value, msgspec.Struct) and value.__struct_config__.frozen:
            fields = msgspec.structs.astuple(value)
            return self._sequence(_STRUCT, (self._code(type(value)), *fields), may_copy=may_copy)
        if isinstance(value, Timeouts):
            return msgspec.msgpack.Ext(_SHARED, self._encoder.encode(self._share(value)))
        if kind is tuple:
            assert isinstance(value, tuple)
            return self._sequence(_TUPLE, value, may_copy=may_copy)
        if may_copy and isinstance(value, list) and kind is list:
            return self._sequence(_LIST, value, may_copy=may_copy)
        if may_copy and isinstance(value, dict) and kind is dict:
            return self._sequence(_DICT, [part for pair in value.items() for part in pair], may_copy=may_copy)
        raise _NotWritten

    def _sequence(self, code: int, values: Sequence[object], *, may_copy: bool) -> msgspec.msgpack.Ext:
        parts = [v if type(v) in _PLAIN else self._extension(v, may_copy=may_copy) for v in values]
        return msgspec.msgpack.Ext(code, self._encoder.encode(parts))

    def _code(self, kind: type[msgspec.Struct]) -> int:
        code = self._codes.get(kind)
        if code is None:
            code = self._codes[kind] = len(self._makers)
            self._makers.append((_maker_of(kind), len(kind.__struct_fields__)))
        return code

    def _share(self, value: Timeouts) -> int:
        number = self._shares.get(value)
        if number is None:
            if len(self._shared) >= _SHARED_MOST:
                raise _NotWritten
            number = self._shares[value] = len(self._shared)
            self._shared.append(value)
        return number

    # --- from bytes

    def _restored(self, code: int, content: memoryview) -> object:
        if code == _KEPT:
            return self.kept.pop(msgspec.msgpack.decode(content, type=int))
        if code == _SHARED:
            return self._shared[msgspec.msgpack.decode(content, type=int)]
        values = self._decoder.decode(content)
        if code == _STRUCT:
            return self._makers[values[0]][0](*values[1:])
        if code == _TUPLE:
            return tuple(values)
        if code == _DICT:
            return dict(zip(values[::2], values[1::2], strict=True))
        return values


def _maker_of(kind: type[msgspec.Struct]) -> Callable[..., msgspec.Struct]:
    """Return what makes a struct of its fields in their order, also of those that are for a keyword only."""
    fields = kind.__struct_fields__
    if kind.__match_args__ == fields:
        return kind
    return lambda *values: kind(**dict(zip(fields, values, strict=True)))


def _columns_of(structs: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Turn structs of one kind into a column for each of their fields."""
    return list(zip(*map(msgspec.structs.astuple, structs), strict=True))


def _narrowed(values: tuple[Any, ...]) -> object:
    """Return a plain column as it is written: as its value, if it has only one. Equal numbers may yet differ."""
    first = values[0]
    return first if type(first) in _ONLY_EQUAL_IF_SAME and values.count(first) == len(values) else values


def _frozen(kind: type) -> type[msgspec.Struct]:
    """Return a kind of context that can be written by columns.

    Raises:
        _NotWritten: it cannot.
    """
    if not issubclass(kind, msgspec.Struct) or not kind.__struct_config__.frozen or not kind.__struct_fields__:
        raise _NotWritten
    return kind
