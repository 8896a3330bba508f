"""The house rules that no linter knows: sizes, docstrings, layout, and what must not be said."""

from __future__ import annotations

import ast
import functools
import pathlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src" / "tiphys").rglob("*.py"))
PACKAGES = sorted(
    path.parent for path in (ROOT / "src" / "tiphys").glob("*/__init__.py") if path.parent.name != "cmd"
)
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("src/tiphys/*/README.md"),
        *ROOT.glob("examples/*.md"),
    ]
)
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60
MAX_POSITIONAL = 5
FORBIDDEN_MODULES = {"utils", "util", "helpers", "helper", "common", "misc"}


@dataclass(frozen=True)
class _Function:
    name: str
    lines: int
    """Without its docstring."""
    positional: int
    plain_booleans: int
    """Parameters that could be given a boolean without saying what it means."""
    is_command: bool
    """The command line calls it: click gives it what was typed, by name."""

    @classmethod
    def of(cls, node: ast.FunctionDef | ast.AsyncFunctionDef) -> _Function:
        body = node.body[1:] if ast.get_docstring(node) else node.body
        taken = [*node.args.posonlyargs, *node.args.args]
        return cls(
            node.name,
            (node.end_lineno or 0) - body[0].lineno + 1 if body else 0,
            sum(one.arg not in ("self", "cls") for one in taken),
            # What turns a boolean into something else takes it as its ``value``.
            sum(_is_name(one.annotation, "bool") and one.arg != "value" for one in taken),
            any(ast.unparse(one).startswith("click.") for one in node.decorator_list),
        )


def _is_name(node: ast.expr | None, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _defined(node: ast.AST) -> Iterator[_Function]:
    """Yield the functions within; they are statements, so that expressions need not be searched."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield _Function.of(child)
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield from _defined(child)


@dataclass(frozen=True)
class _Source:
    """What is kept of a file: all syntax trees together are half a gigabyte."""

    text: str
    has_docstring: bool
    functions: tuple[_Function, ...]


@functools.cache
def _read(path: pathlib.Path) -> _Source:
    text = path.read_text()
    tree = ast.parse(text)
    return _Source(text, bool(ast.get_docstring(tree)), tuple(_defined(tree)))


def _functions() -> Iterator[tuple[str, _Function]]:
    for path in SOURCES:
        for function in _read(path).functions:
            yield f"{_where(path)}: {function.name}", function


def _where(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def test_files_are_small_and_say_what_they_own() -> None:
    faults = []
    for path in SOURCES:
        source = _read(path)
        text = source.text
        if not text.strip():
            faults += [f"{_where(path)}: is empty"] if path.name != "__init__.py" else []
            continue
        if text.count("\n") > MAX_FILE_LINES:
            faults.append(f"{_where(path)}: split by noun, {MAX_FILE_LINES} lines are the most")
        if path.stem in FORBIDDEN_MODULES:
            faults.append(f"{_where(path)}: a helper stays where it is used, or gets a noun of its own")
        if not source.has_docstring:
            faults.append(f"{_where(path)}: a module opens with what it owns")
    assert not faults


@pytest.mark.parametrize("package", PACKAGES, ids=_where)
def test_package_has_a_readme(package: pathlib.Path) -> None:
    assert (package / "README.md").is_file(), "say its words, its flow, how to add to it"


@pytest.mark.parametrize("package", PACKAGES, ids=_where)
def test_a_readme_names_the_folders_below(package: pathlib.Path) -> None:
    text = (package / "README.md").read_text()
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    if "`<group>/" in text:  # kinds: a folder for each group of the API
        folders -= {path.parent.name for path in package.glob("*/kinds.py")}
    assert {name for name in folders if not re.search(rf"`{name}[`/.]|\b{name}/", text)} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=_where)
def test_documents_name_what_is_there(document: pathlib.Path) -> None:
    faults = []
    for path, name in re.findall(r"`([\w.-]+/[\w./-]+\.py)(?::(\w+))?`", document.read_text()):
        roots = (ROOT, ROOT / "src" / "tiphys", document.parent)
        found = next((root / path for root in roots if (root / path).is_file()), None)
        if found is None:
            faults.append(f"{path} is not there")
        elif name and not re.search(rf"^(class|def|async def) {name}\b", found.read_text(), re.MULTILINE):
            faults.append(f"{path} has no {name}")
    assert not faults


def test_functions_are_short() -> None:
    too_long = [
        f"{where}: {one.lines} lines" for where, one in _functions() if one.lines > MAX_FUNCTION_LINES
    ]
    assert not too_long


def test_functions_take_few_parameters() -> None:
    faults = []
    for where, one in _functions():
        if one.is_command:
            continue
        if one.positional > MAX_POSITIONAL:
            faults.append(f"{where}: {one.positional} parameters; what goes along together is a dataclass")
        if one.plain_booleans:
            faults.append(f"{where}: a boolean is given by keyword")
    assert not faults


def test_functions_are_found_wherever_they_are() -> None:
    text = """
class A:
    @click.command()
    def method(self, a, b: bool, value: bool, *, c: bool):
        "Words."
        if a:
            try:
                async def inner(x, /, y): return x

            except ValueError:
                match b:
                    case 1:
                        def last(): pass
"""
    assert list(_defined(ast.parse(text))) == [
        _Function("method", 8, 3, 1, is_command=True),
        _Function("inner", 1, 2, 0, is_command=False),
        _Function("last", 1, 0, 0, is_command=False),
    ]


def test_no_orphan_tasks() -> None:
    """Every task has a parent: ``TaskGroup.create_task`` only."""
    orphan = re.compile(r"asyncio\.(create_task|ensure_future)\(|get_event_loop\(\)|loop\.create_task\(")
    found = [
        f"{_where(path)}: {line.strip()}"
        for path in SOURCES
        for line in _read(path).text.splitlines()
        if orphan.search(line) and "parent:" not in line
    ]
    assert not found, "use a TaskGroup, or say on the line who the 'parent:' is"
