"""What the workloads share: the servers, started when first asked for, the lists of URLs, and the folders."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from tests.benchmarks.clients.base import Client
from tests.benchmarks.clients.every import CLIENTS
from tests.benchmarks.cores import Cores
from tests.benchmarks.load import Load
from tests.benchmarks.servers import SMALL, Nginx, slow_host_server

__all__ = ["Contender", "Lab", "Work"]

_MEMORY = Path("/dev/shm")  # tmpfs on Linux
_LARGE = 1024 * 1024 * 1024
_FEWEST = 4  # URLs in a list, however small the scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be fetched in a workload, before it is cut to each client's share; as `Load`.

    Attributes:
        name: of the list; the same name is the same URLs.
        count: URLs.
        url: makes the URL with a number, from 0.
        alone: it is fetched as it is, whatever the scale.
    """

    name: str
    count: int
    url: Callable[[int], str]
    size: int = SMALL
    wire_size: int | None = None
    in_flight: int = 64
    per_host: int = 64
    ca_file: str = ""
    saves: bool = False
    on_disk: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Contender:
    """One client with its load; the label tells it from another one with the same client."""

    client: Client
    load: Load
    label: str

    def emptied(self, empty_file: Path) -> Self:
        return replace(self, load=self.load.emptied(empty_file))


class Lab:
    """One run of the suite has one, inside `with Lab.opened(...)`.

    Attributes:
        cores: where what runs.
        scale: factor for the length of lists, and for the size of the large body.
        large_size: bytes of the large body.
        memory: a folder of this run, in memory if the system has such; is removed at the end.
        disk: the same on a disk.
    """

    def __init__(self, stack: ExitStack, cores: Cores, scale: float, memory: Path, disk: Path) -> None:
        self.cores = cores
        self.scale = scale
        self.large_size = max(1024 * 1024, int(_LARGE * scale))
        self.memory = memory
        self.disk = disk
        self._stack = stack

    @classmethod
    @contextmanager
    def opened(cls, *, cores: Cores, scale: float, disk: Path) -> Iterator[Self]:
        """Make the folders; at the end stop the servers and remove everything."""
        memory = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
        with ExitStack() as stack:
            folders = []
            for parent in (memory, disk):
                folders.append(Path(tempfile.mkdtemp(prefix="asyncfetch-bench-", dir=parent)))
                stack.callback(shutil.rmtree, folders[-1], ignore_errors=True)
            yield cls(stack, cores, scale, *folders)

    @cached_property
    def nginx(self) -> Nginx:
        """The nginx, running.

        Raises:
            ServerFailed: it does not start.
        """
        nginx = Nginx(self.memory / "nginx", large_size=self.large_size)
        self._stack.enter_context(nginx.running(self.cores.server))
        return nginx

    @cached_property
    def slow_host_port(self) -> int:
        """The port of the FaultServer with a slow host.

        Raises:
            ServerFailed: it does not start.
        """
        return self._stack.enter_context(slow_host_server(self.cores.server))

    def contenders(self, work: Work, *keys: str) -> list[Contender]:
        """Give the clients with these keys their share of some work."""
        return [self.contender(work, key) for key in keys]

    def contender(self, work: Work, key: str, label: str = "") -> Contender:
        client = CLIENTS[key]
        count = work.count if work.alone else max(_FEWEST, round(work.count * self.scale * client.share))
        load = Load(
            list_file=str(self._write_list(work, count)),
            count=count,
            size=work.size,
            wire_size=work.size if work.wire_size is None else work.wire_size,
            in_flight=work.in_flight,
            per_host=work.per_host,
            ca_file=work.ca_file,
            saves=work.saves,
            on_disk=work.on_disk,
        )
        return Contender(client, load, label or client.title)

    @cached_property
    def empty_list(self) -> Path:
        path = self.memory / "empty.txt"
        path.touch()
        return path

    def _write_list(self, work: Work, count: int) -> Path:
        path = (self.disk if work.on_disk else self.memory) / f"{work.name}-{count}.txt"
        if not path.exists():
            with path.open("w", encoding="ascii") as file:
                file.writelines(f"{work.url(number)}\n" for number in range(count))
        return path
