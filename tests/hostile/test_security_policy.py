"""SECURITY.md tells the truth: what it names as proof exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from asyncfetch.cli.app import app

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / ".github/SECURITY.md").read_text()
PROOFS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))


def names_in(path: Path) -> set[str]:
    """The tests of a file, those in classes too."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions)}


def test_every_proof_exists() -> None:
    """Each `file::test` is a test."""
    assert len(PROOFS) > 40
    missing = [f"{file}::{name}" for file, name in PROOFS if name not in names_in(ROOT / file)]
    assert not missing


def test_every_promise_has_a_proof() -> None:
    """Each row of a table of promises names at least one test."""
    tables = TEXT.split("## What is promised\n")[1].split("\n## ")[0]
    rows = [row for row in tables.splitlines() if row.startswith("| ") and row != "| promise | proof |"]
    assert len(rows) > 20
    assert all(re.search(r"`tests/[\w/]+\.py::\w+`", row) for row in rows)


@pytest.mark.parametrize("file", sorted(path.name for path in Path(__file__).parent.glob("test_*.py")))
def test_every_file_here_proves_something(file: str) -> None:
    """What is tested in this folder is promised."""
    assert file == Path(__file__).name or any(named == f"tests/hostile/{file}" for named, _ in PROOFS)


def test_every_option_it_names_exists() -> None:
    """Options that it speaks of are options of the commands."""
    known = {option for command in app.commands.values() for p in command.params for option in p.opts}
    assert set(re.findall(r"`(--?[a-zA-Z][\w-]*)", TEXT)) <= known
