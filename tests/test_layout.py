"""The house stays as it was drawn: who may import whom, what stays out of where."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import asyncfetch

PACKAGE = Path(asyncfetch.__file__).parent
ROOT = PACKAGE.parent

VALUES = {"errors", "url", "settings", "result", "record", "stats", "trace", "version"}
LIBRARY = VALUES | {"client", "shortcuts", ""}
MAY_IMPORT = {
    "cli": LIBRARY | {"cli", "display", "job", "testing"},
    "display": VALUES | {"display", "client"},
    "job": VALUES | {"job", "client"},
    "client": VALUES | {"client", "streams", "scheduler"},
    "streams": VALUES | {"streams"},
    "scheduler": VALUES | {"scheduler"},
    "testing": {"testing"},
    "shortcuts": VALUES | {"client", "streams"},
    "": LIBRARY | {"streams"},
    "__main__": {"cli"},
    "errors": set(),
    "version": set(),
    "settings": {"settings"},
    "trace": set(),
    "url": {"errors"},
    "result": {"errors", "settings", "url"},
    "record": {"result", "url"},
    "stats": {"result"},
}
TOP_LEVEL = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "asyncfetch", "tests", "examples"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def floor_of(path: Path) -> str:
    """The folder, or the module's name at the top; the package itself is an empty string."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    """Each floor imports only the floors below it."""
    floor = floor_of(path)
    for name in imports_of(path):
        top, _, rest = name.partition(".")
        if top == "asyncfetch":
            assert rest.partition(".")[0] in MAY_IMPORT[floor], f"{path} imports {name}"


@pytest.mark.parametrize(
    ("library", "home"), [("rich", "display"), ("click", "cli"), ("rich_click", "cli"), ("signal", "cli")]
)
def test_libraries_stay_on_their_floor(library: str, home: str) -> None:
    """rich is imported in display only, click and signal handlers are in cli only."""
    users = {floor_of(path) for path in modules() for name in imports_of(path) if name.split(".")[0] == library}
    assert users == {home}


def test_nobody_prints_and_only_the_command_line_exits() -> None:
    """print is called nowhere, sys.exit only in cli."""
    for path in modules():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call):
                call = ast.unparse(node.func)
                assert call != "print", f"{path}:{node.lineno} prints"
                assert call not in ("sys.exit", "os._exit") or floor_of(path) == "cli", f"{path}:{node.lineno}"


def test_scheduler_never_awaits_and_has_no_clock() -> None:
    """The scheduler decides: it neither awaits nor looks at a clock."""
    for path in (PACKAGE / "scheduler").glob("*.py"):
        assert not {"asyncio", "anyio", "time"} & set(imports_of(path)), path
        waits = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.AsyncFunctionDef)
        assert not any(isinstance(node, waits) for node in ast.walk(tree_of(path))), path


def test_modules_form_no_cycle() -> None:
    """No module imports, directly or not, itself; imports for type checkers only do not count."""
    graph = {dotted(path): set(runtime_imports(path)) for path in modules()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"import cycle: {' -> '.join((*way, name))}"
        if name in done or name not in graph:
            return
        for target in graph[name]:
            visit(target, (*way, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def dotted(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def runtime_imports(path: Path) -> Iterator[str]:
    """The asyncfetch modules that a file imports when it is loaded."""
    for node in tree_of(path).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("asyncfetch"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            inner = {name for name in names if (ROOT / f"{name.replace('.', '/')}.py").exists()}
            yield from inner or {node.module}


def test_importing_the_library_loads_no_upper_floor() -> None:
    """The client and all public names load neither rich nor click nor the cli, display or job."""
    code = "import sys; from asyncfetch import *; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    floors = {f"asyncfetch.{floor}" for floor in ("cli", "display", "job", "testing")}
    assert not loaded & (floors | {"rich", "click", "rich_click"})


def test_public_names_exist_and_are_sorted() -> None:
    """`__all__` of the package is complete and in order."""
    assert all(hasattr(asyncfetch, name) for name in asyncfetch.__all__)
    assert asyncfetch.__all__ == sorted(asyncfetch.__all__, key=_isort_key)


def test_public_names_are_loaded_when_they_are_used() -> None:
    """`import asyncfetch` loads its version only; each public name and module is there when it is asked for."""
    code = "import sys, asyncfetch; print(*sys.modules); asyncfetch.errors.FetchError; asyncfetch.Limits"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in run.stdout.split() if name.startswith("asyncfetch")}
    assert loaded == {"asyncfetch", "asyncfetch.version"}
    assert set(asyncfetch.__all__) == {*asyncfetch._HOME, "__version__"}
    assert set(asyncfetch.__all__) <= set(dir(asyncfetch))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = getattr(asyncfetch, "nonsense")  # noqa: B009 - a type checker finds it, too
    assert "__getattr__" not in {getattr(part, "name", "") for part in tree_of(PACKAGE / "__init__.py").body}


@pytest.mark.parametrize("floor", ["cli", "client", "display", "job", "scheduler", "streams"])
def test_the_map_of_a_floor_names_its_modules(floor: str) -> None:
    """The docstring of a folder has each of its files, and no other."""
    folder = PACKAGE / floor
    text = ast.get_docstring(tree_of(folder / "__init__.py")) or ""
    named = set(re.findall(r"`(\w+)(?:\.py)?`", text))
    files = {path.stem for path in folder.glob("[!_]*.py")}
    assert files <= named
    assert all((folder / f"{name}.py").exists() for name in re.findall(r"`(\w+)\.py`", text))


def _isort_key(name: str) -> tuple[int, str]:
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, name


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path: Path) -> None:
    """No file is over 400 lines, no function over 45 lines of code."""
    assert len(path.read_text().splitlines()) <= 400
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            length = (node.end_lineno or 0) - first.lineno + 1
            assert length <= 45, f"{path.name}:{node.lineno} {node.name} has {length} lines"


def test_the_top_level_holds_what_the_design_names() -> None:
    """Nothing but the named files and folders, and what tools leave, stands at the top."""
    tops = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert tops >= TOP_LEVEL
    assert tops - TOP_LEVEL <= {"build", "dist", "asyncfetch.egg-info", "htmlcov", "__pycache__"}
