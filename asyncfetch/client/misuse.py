"""What callers can get wrong with what they give: said in one sentence that tells what is wanted, or was.

Type checkers find the same. No value is told that may be a secret, such as that of a header.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, TypeVar

from asyncfetch.settings import Timeouts

if TYPE_CHECKING:
    from asyncfetch.result import Request

__all__ = [
    "callable_or_none",
    "check_fields",
    "check_request",
    "check_sink",
    "explain_sink",
    "setting",
]

_T = TypeVar("_T")
_SHA256 = re.compile("[0-9A-Fa-f]{64}")
_SINK_METHODS = ("write", "finish", "abort")
_WANTED_OF_SINKS = "a sink is an object with the async methods write, finish and abort"


def setting(name: str, given: _T | None, kind: type[_T]) -> _T:
    """Return a setting, or what its class starts with.

    Raises:
        TypeError: it is of another class.
    """
    if given is None:
        return kind()
    if not isinstance(given, kind):
        raise TypeError(f"{name} takes {kind.__name__}(...), not {given!r}")
    return given


def callable_or_none(name: str, given: _T, what: str) -> _T:
    """Return what has to be a callable, or None.

    Raises:
        TypeError: it is neither; `what` says what is wanted.
    """
    if given is not None and not callable(given):
        raise TypeError(f"{name} takes {what}, not {given!r}")
    return given


def check_fields(pairs: list[Any]) -> None:
    """Check that headers are pairs of texts; the value may be None.

    Raises:
        TypeError: one is something else.
    """
    for pair in pairs:
        if isinstance(pair, str | bytes) or len(pair) != 2:
            raise TypeError("headers are a mapping of names to values, or (name, value) pairs")
        name, value = pair
        if not isinstance(name, str):
            raise TypeError(f"the name of a header is a str, not {name!r}")
        if value is not None and not isinstance(value, str):
            raise TypeError(f"the value of the header {name!r} is a str, not of type {type(value).__name__}")


def check_request(request: Request) -> None:
    """Check the settings that a request has of its own.

    Raises:
        TypeError: one is of another type.
        ValueError: `max_body` is negative, `max_time` is no time, or `sha256` no such digest.
    """
    setting("timeouts", request.timeouts, Timeouts)
    seconds = request.max_time
    if seconds is not None and not isinstance(seconds, int | float):
        raise TypeError(f"max_time is a number of seconds, not {seconds!r}")
    if seconds is not None and not seconds > 0:  # not a number is none, either
        raise ValueError(f"max_time is a number of seconds above 0, not {seconds}")
    most = request.max_body
    if most is not None and not isinstance(most, int):
        raise TypeError(f"max_body is a number of bytes, not {most!r}")
    if most is not None and most < 0:
        raise ValueError(f"max_body is a number of bytes from 0 on, not {most}")
    digest = request.sha256
    if digest is not None and not isinstance(digest, str):
        raise TypeError(f"sha256 is a text of 64 hexadecimal digits, not {digest!r}")
    if digest is not None and not _SHA256.fullmatch(digest):
        raise ValueError(f"sha256 is 64 hexadecimal digits, not {digest!r}")


def check_sink(sink: object) -> None:
    """Check that a sink can be used up to its end, before it is given the first byte.

    Raises:
        TypeError: a method is missing.
    """
    missing = [name for name in _SINK_METHODS if not callable(getattr(sink, name, None))]
    if missing:
        raise TypeError(f"{_WANTED_OF_SINKS}; {sink!r} has no {' and no '.join(missing)}")


def explain_sink(sink: object, error: BaseException) -> None:
    """Do nothing, unless an error came of methods that are not async.

    Raises:
        TypeError: it did; its text says which.
    """
    if not isinstance(error, TypeError) or "await" not in str(error):
        return
    plain = [name for name in _SINK_METHODS if not inspect.iscoroutinefunction(getattr(sink, name))]
    if plain:
        raise TypeError(f"{_WANTED_OF_SINKS}; of {sink!r} not async: {', '.join(plain)}") from error
