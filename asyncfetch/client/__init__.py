"""The client: the only floor where streams and scheduler meet.

`client.py` is the public face; `batch.py` one list with its results; `singles.py` runs what is no list; `turns.py`
gives turns to tasks; `engine.py` runs one turn over the streams; `fetch.py` is one entry on its way; `hosts.py` has
what is different for single hosts; `receiving.py` takes bodies, as fast as `flow.py` allows; `sinks.py` is where
one goes instead of into memory; `streamed.py` is one that its caller reads; `robots.py` asks origins what may be
fetched there.
"""

from asyncfetch.client.batch import FetchMany
from asyncfetch.client.client import DEFAULT_HEADERS, Client
from asyncfetch.client.fetch import SENSITIVE_HEADERS, sensitive_names
from asyncfetch.client.sinks import (
    Partial,
    PartialFactory,
    ResumableSink,
    Sink,
    SinkFactory,
    VerifyingSink,
    rest_of,
)
from asyncfetch.streams.ranges import Rest

__all__ = [
    "DEFAULT_HEADERS",
    "SENSITIVE_HEADERS",
    "Client",
    "FetchMany",
    "Partial",
    "PartialFactory",
    "Rest",
    "ResumableSink",
    "Sink",
    "SinkFactory",
    "VerifyingSink",
    "rest_of",
    "sensitive_names",
]
