import ast
import importlib.util
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent


def load():
    spec = importlib.util.spec_from_file_location("conformance_table", FOLDER / "table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def functions(path):
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_named_test_exists():
    named = {test for table in load().read().values() for test in table.values() if test}
    missing = []
    for test in sorted(named):
        path, _, name = test.partition("::")
        if not (ROOT / path).is_file() or name.partition("[")[0] not in functions(path):
            missing.append(test)
    assert missing == []


def test_codenames_are_of_their_area():
    for area, table in load().read().items():
        assert all(name.startswith(f"[{area}] ") for name in table)


def test_the_table_counts():
    lines = load().render({"sig-x": {"[sig-x] a": "t", "[sig-x] b": None}})
    assert lines[1].split() == ["sig-x", "1", "2"]
    assert lines[-1] == "  [sig-x] b"
