"""The client: the only floor where streams and scheduler meet.

- `client.py`: the public face; `misuse.py` says what callers got wrong; `hosts.py` has what is different for
  hosts
- `many.py`: the results of a list, as its caller sees them; `batch.py`: the list itself; `feeding.py` takes its
  entries from its source, as far ahead as `window.py` says, and what does not fit waits in `backlog.py`, which has
  it written to `overflow.py`, as bytes of `entries.py`; `names.py` looks up the names of its hosts
- `singles.py`: what is no list; `streamed.py`: a body that its caller reads
- `turns.py` gives turns to tasks, which begin in `tasks.py`; `engine.py` runs one turn over the streams;
  `fetch.py` is one entry on its way, made by `making.py`
- `receiving.py` takes bodies, as fast as `flow.py` allows, into memory or into `sinks.py`
- `robots.py` asks origins what may be fetched there
"""

from asyncfetch.client.client import DEFAULT_HEADERS, Client
from asyncfetch.client.feeding import Batched
from asyncfetch.client.fetch import SENSITIVE_HEADERS, sensitive_names
from asyncfetch.client.many import FetchMany
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
    "Batched",
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
