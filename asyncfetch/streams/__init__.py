"""BYTES: HTTP/1.1 over asyncio stream readers and writers.

This floor knows nothing of queues, retries or politeness. From the ground up: `resolver` and `guard` give the
addresses, `tls` the context, `dialler` opens a `connection`, one stream to one origin with its `deadlines`, `wire`
is the reader on it, `request`, `heads`, `http1` and `body` the language spoken over it, `ranges` how to ask for the
rest of a body, `decoding` the content codings, `exchange` one request with its response, and `pool` the connections
that wait for their next request. `sockets` and `descriptors` know what event loops and libraries do not tell of
theirs.
"""
