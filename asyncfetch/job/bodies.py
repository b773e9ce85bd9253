"""Where a body goes: below one directory, whole or not at all, and over nothing that was there before.

A body is written to a file that has no name yet, and gets its name when it is whole, by a call that fails if the
name is taken. A kill at any moment leaves no partial file under a final name, and on Linux nothing temporary.
Which name that is, `names` says. If it is taken, be it by the same URL earlier in the list, by an earlier run or by
somebody else, the variant `~n17` is, for entry 17. Which of two equal URLs has the shorter name depends on which is
finished first; the records tell.

Every directory below the one that was given is opened step by step from its parent's descriptor, and symbolic links
are never followed. Where a file (or a link) stands in the way of a directory, the directory is called `name~d`.

`FileSink` is what the client writes to, in the event loop; everything else is called in a worker thread.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import anyio.to_thread

from asyncfetch.job.errors import OutputError, reason_of
from asyncfetch.job.names import BodyName, body_name
from asyncfetch.url import Url

if TYPE_CHECKING:
    from asyncfetch.result import Request, Response

__all__ = ["Bodies", "DiscardSink", "FileSink", "Sink"]
