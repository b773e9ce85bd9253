"""The README's two commands, for its test and for the checks: `python -m tests.readme demo` prints the first."""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
_SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ENDS_WITH = {"demo": "asyncfetch demo", "test": "-m pytest"}


def read_command(name: str) -> str:
    """Return the command that sets up and then runs the demo, or the tests."""
    blocks = [match[1].strip() for match in _SHELL_BLOCK.finditer(README.read_text())]
    [command] = [b for b in blocks if b.startswith("python3 -m venv") and b.endswith(_ENDS_WITH[name])]
    return command


if __name__ == "__main__":
    sys.stdout.write(read_command(sys.argv[1]) + "\n")
