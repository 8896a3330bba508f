"""The house rules that no linter knows: sizes, docstrings, layout, and what must not be said."""

from __future__ import annotations

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src" / "tiphys").rglob("*.py"))
PACKAGES = sorted(
    path.parent for path in (ROOT / "src" / "tiphys").glob("*/__init__.py") if path.parent.name != "cmd"
)
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60
FORBIDDEN_MODULES = {"utils", "util", "helpers", "helper", "common", "misc"}


def _id(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_file_is_small_and_says_what_it_owns(path: pathlib.Path) -> None:
    text = path.read_text()
    if not text.strip():
        assert path.name == "__init__.py"
        return
    assert text.count("\n") <= MAX_FILE_LINES, "split by noun"
    assert path.stem not in FORBIDDEN_MODULES, "a helper stays where it is used, or gets a noun of its own"
    assert ast.get_docstring(ast.parse(text)), "a module opens with what it owns"


@pytest.mark.parametrize("package", PACKAGES, ids=_id)
def test_package_has_a_readme(package: pathlib.Path) -> None:
    assert (package / "README.md").is_file(), "say its words, its flow, how to add to it"


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_functions_are_short(path: pathlib.Path) -> None:
    too_long = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if not body or node.end_lineno is None:
                continue
            length = node.end_lineno - body[0].lineno + 1
            if length > MAX_FUNCTION_LINES:
                too_long.append(f"{node.name}: {length} lines")
    assert not too_long


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_no_orphan_tasks(path: pathlib.Path) -> None:
    """Every task has a parent: ``TaskGroup.create_task`` only."""
    orphan = re.compile(r"asyncio\.(create_task|ensure_future)\(|get_event_loop\(\)|loop\.create_task\(")
    found = [line for line in path.read_text().splitlines() if orphan.search(line) and "parent:" not in line]
    assert not found, "use a TaskGroup, or say on the line who the 'parent:' is"
