"""System calls that the kernel refuses to a process, with the error that a test wants (seccomp, Linux).

A disk quota, a broken disk or a network drive cannot be had in every place where tests run; what a program sees of
them can: a call that fails. Nothing in the program is replaced.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import sys
from collections.abc import Callable

__all__ = ["CAN_REFUSE", "refusing"]

_NUMBERS = {
    "x86_64": {"write": 1, "fsync": 74, "mkdirat": 258, "unlinkat": 263},
    "aarch64": {"write": 64, "fsync": 82, "mkdirat": 34, "unlinkat": 35},
}.get(platform.machine(), {})
CAN_REFUSE = sys.platform == "linux" and sys.byteorder == "little" and bool(_NUMBERS)

# linux/filter.h, linux/seccomp.h, linux/prctl.h
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _FIRST_ARGUMENT, _THIRD_ARGUMENT = 0, 16, 32
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _MODE_FILTER = 38, 22, 2


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_so", ctypes.c_uint8),
        ("if_not", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def refusing(call: str, error: int, sizes: range | None = None) -> Callable[[], None]:
    """Return what a process does before it becomes a command, so that this call fails from then on.

    Args:
        call: its name.
        error: with which errno.
        sizes: only if so many bytes are to be written, and not to stdin, stdout or stderr.
    """
    conditions = [(_NUMBER, _IF_EQUAL, _NUMBERS[call], True)]
    if sizes is not None:
        conditions += [
            (_FIRST_ARGUMENT, _IF_AT_LEAST, 3, True),
            (_THIRD_ARGUMENT, _IF_AT_LEAST, sizes.start, True),
            (_THIRD_ARGUMENT, _IF_AT_LEAST, sizes.stop, False),
        ]
    steps = []
    for left, (where, test, value, wanted) in zip(range(len(conditions), 0, -1), conditions, strict=True):
        away = 2 * left - 1  # to the last step, which allows it
        steps += [
            _Instruction(_LOAD, 0, 0, where),
            _Instruction(test, *((0, away) if wanted else (away, 0)), value),
        ]
    steps += [_Instruction(_RETURN, 0, 0, _ERRNO | error), _Instruction(_RETURN, 0, 0, _ALLOW)]
    instructions = (_Instruction * len(steps))(*steps)
    program = _Program(len(steps), instructions)
    libc = ctypes.CDLL(None, use_errno=True)

    def begin_refusing() -> None:
        if libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
            _SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0
        ):
            raise OSError(ctypes.get_errno(), errno.errorcode[ctypes.get_errno()])

    return begin_refusing
