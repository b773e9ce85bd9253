"""A FaultServer as a program: many hosts on loopback addresses, and one path that takes its time.

It prints its port, and serves until its stdin is closed.
"""

from __future__ import annotations

import sys

from asyncfetch.testing import FaultServer, Reply

__all__ = ["DELAY", "FAST_HOSTS", "PATH_FAST", "PATH_SLOW", "SIZE", "SLOW_HOST"]

SLOW_HOST = "127.0.1.1"
FAST_HOSTS = [f"127.0.1.{number}" for number in range(2, 21)]
PATH_SLOW, PATH_FAST = "/slow", "/fast"
DELAY = 0.1  # seconds that the slow host takes for an answer
SIZE = 1024


def main() -> None:
    body = b"x" * SIZE
    routes = {PATH_SLOW: Reply(200, body, delay=DELAY), PATH_FAST: Reply(200, body)}
    with FaultServer(routes, addresses=(SLOW_HOST, *FAST_HOSTS), keep_log=0).in_thread() as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
