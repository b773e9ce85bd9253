"""The client: the only floor where streams and scheduler meet.

`client.py` is the public face; `batch.py` one list with its results; `singles.py` runs what is no list; `turns.py`
gives turns to tasks; `engine.py` runs one turn over the streams; `fetch.py` is one entry on its way; `hosts.py` has
what is different for single hosts; `sinks.py` and `streamed.py` are where bodies go.
"""

from asyncfetch.client.batch import FetchMany
from asyncfetch.client.client import DEFAULT_HEADERS, Client
from asyncfetch.client.fetch import SENSITIVE_HEADERS, sensitive_names
from asyncfetch.client.sinks import Sink, SinkFactory

__all__ = ["DEFAULT_HEADERS", "SENSITIVE_HEADERS", "Client", "FetchMany", "Sink", "SinkFactory", "sensitive_names"]
