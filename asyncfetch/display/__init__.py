"""WHAT A PERSON SEES: progress while a job runs, failures as they come, and the closing tables. All on one stream.

The only folder that imports rich, and it does so for a terminal only. It looks at `Stats` 8 times a second; nobody
pushes events to it, except the results that are not ok.

- `choose`: what a stream deserves; `outlet`: the way out to it, which may be blocked; `words` for it, plain where
  nothing has a colour; `marks`: signs, `colors`: those of the live view
- `view`: what all ways of showing have in common, with `notes` and `totals`; `live` and `plain` are two of them
- `frame`: one picture of the live view, of the hosts in its `roster`, in its `columns`; `states`: what a host
  is doing
- `tables` draws the end, `summary` has its facts; `outlook` draws a list that nobody has fetched yet; both on
  `layout`
- `text` makes everything foreign harmless on the way; `cells` measures it; `units` and `rates` are numbers for
  people

```python
progress = choose_progress("auto", sys.stderr)
console = open_console(sys.stderr)
view = open_view(progress.shown, client.stats, console=console, clock=loop.time, total=lambda: 1000)
```
"""

from __future__ import annotations

from asyncfetch.display.choose import Mode, Progress, Shown, choose_progress, open_console, open_view
from asyncfetch.display.notes import failure_line
from asyncfetch.display.outlet import be_patient, is_terminal
from asyncfetch.display.outlook import (
    HostShare,
    InvalidShare,
    Outlook,
    SizeShare,
    outlook_json,
    outlook_tables,
)
from asyncfetch.display.summary import Ending, Example, Examples, summary_json
from asyncfetch.display.tables import summary
from asyncfetch.display.text import as_text, harmless
from asyncfetch.display.view import View
from asyncfetch.display.words import PlainConsole, Words, drawn, say

__all__ = [
    "Ending",
    "Example",
    "Examples",
    "HostShare",
    "InvalidShare",
    "Mode",
    "Outlook",
    "PlainConsole",
    "Progress",
    "Shown",
    "SizeShare",
    "View",
    "Words",
    "as_text",
    "be_patient",
    "choose_progress",
    "drawn",
    "failure_line",
    "harmless",
    "is_terminal",
    "open_console",
    "open_view",
    "outlook_json",
    "outlook_tables",
    "say",
    "summary",
    "summary_json",
]
