"""The house rules that no linter knows: sizes, docstrings, layout, and what must not be said."""

from __future__ import annotations

import ast
import functools
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
MAX_POSITIONAL = 5
FORBIDDEN_MODULES = {"utils", "util", "helpers", "helper", "common", "misc"}


@functools.cache
def _read(path: pathlib.Path) -> tuple[str, ast.Module]:
    text = path.read_text()
    return text, ast.parse(text)


@functools.cache
def _functions() -> list[tuple[pathlib.Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    return [
        (path, node)
        for path in SOURCES
        for node in ast.walk(_read(path)[1])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _where(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def test_files_are_small_and_say_what_they_own() -> None:
    faults = []
    for path in SOURCES:
        text, tree = _read(path)
        if not text.strip():
            faults += [f"{_where(path)}: is empty"] if path.name != "__init__.py" else []
            continue
        if text.count("\n") > MAX_FILE_LINES:
            faults.append(f"{_where(path)}: split by noun, {MAX_FILE_LINES} lines are the most")
        if path.stem in FORBIDDEN_MODULES:
            faults.append(f"{_where(path)}: a helper stays where it is used, or gets a noun of its own")
        if not ast.get_docstring(tree):
            faults.append(f"{_where(path)}: a module opens with what it owns")
    assert not faults


@pytest.mark.parametrize("package", PACKAGES, ids=_where)
def test_package_has_a_readme(package: pathlib.Path) -> None:
    assert (package / "README.md").is_file(), "say its words, its flow, how to add to it"


def test_functions_are_short() -> None:
    too_long = []
    for path, node in _functions():
        body = node.body[1:] if ast.get_docstring(node) else node.body
        if not body or node.end_lineno is None:
            continue
        length = node.end_lineno - body[0].lineno + 1
        if length > MAX_FUNCTION_LINES:
            too_long.append(f"{_where(path)}: {node.name}: {length} lines")
    assert not too_long


def _is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether the command line calls a function: click gives it what was typed, by name."""
    return any(ast.unparse(one).startswith("click.") for one in node.decorator_list)


def test_functions_take_few_parameters() -> None:
    faults = []
    for path, node in _functions():
        if _is_command(node):
            continue
        where = f"{_where(path)}: {node.name}"
        taken = [*node.args.posonlyargs, *node.args.args]
        count = sum(one.arg not in ("self", "cls") for one in taken)
        if count > MAX_POSITIONAL:
            faults.append(f"{where}: {count} parameters; what goes along together is a dataclass")
        # What turns a boolean into something else takes it as its ``value``.
        faults += [
            f"{where}: a boolean is given by keyword"
            for one in taken
            if one.annotation is not None and ast.unparse(one.annotation) == "bool" and one.arg != "value"
        ]
    assert not faults


def test_no_orphan_tasks() -> None:
    """Every task has a parent: ``TaskGroup.create_task`` only."""
    orphan = re.compile(r"asyncio\.(create_task|ensure_future)\(|get_event_loop\(\)|loop\.create_task\(")
    found = [
        f"{_where(path)}: {line.strip()}"
        for path in SOURCES
        for line in _read(path)[0].splitlines()
        if orphan.search(line) and "parent:" not in line
    ]
    assert not found, "use a TaskGroup, or say on the line who the 'parent:' is"
