"""Fuzz what reads foreign bytes, with atheris, for as long as you like. No part of the test run.

    pip install atheris
    python -m tests.fuzz.wire -max_total_time=60

Arguments are those of libFuzzer: options such as `-max_total_time=S`, `-runs=N` and `-max_len=BYTES`, and a folder
to keep the corpus in from run to run (without one it is forgotten), or the file of a crash to run it again. A crash
leaves a file `crash-...`: put its bytes, without the first, into the SEEDS of the entry that it names; and mend it.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_IS_CHILD = "ASYNCFETCH_FUZZ_CHILD"
_DEFAULTS = {"-timeout": "10", "-rss_limit_mb": "1024", "-max_len": "4096", "-len_control": "0"}


def main() -> int:
    """Write the seeds down, and run the fuzzer on them in a process of its own, which it never returns from."""
    try:
        importlib.import_module("atheris")
    except ImportError:
        sys.stderr.write("this needs atheris: pip install atheris\n")
        return 2
    from tests.fuzz.entries import ENTRIES, SEEDS

    given = {argument.partition("=")[0] for argument in sys.argv[1:]}
    options = [f"{name}={value}" for name, value in _DEFAULTS.items() if name not in given]
    with tempfile.TemporaryDirectory() as folder:
        for number, entry in enumerate(ENTRIES):
            for seed in SEEDS[entry]:
                data = bytes([number]) + seed
                Path(folder, hashlib.sha256(data).hexdigest()).write_bytes(data)
        folders = [argument for argument in sys.argv[1:] if not argument.startswith("-")] or [folder]
        command = [sys.executable, "-m", "tests.fuzz.wire", *options, *sys.argv[1:]]
        if folders == [folder] or Path(folders[0]).is_dir():
            command.append(folder)
        return subprocess.call(command, env=os.environ | {_IS_CHILD: "1"})


def _be_fuzzer() -> None:
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["asyncfetch"]):
        from tests.fuzz.entries import fuzz
    atheris.Setup(sys.argv, fuzz)
    atheris.Fuzz()


if __name__ == "__main__":
    if _IS_CHILD in os.environ:
        _be_fuzzer()
    else:
        sys.exit(main())
