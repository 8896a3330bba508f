"""What columns of custom resources show: paths, and what values of each type become."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tiphys.apiserver.crd import jsonpath
from tiphys.apiserver.crd.columns import cell, printer_for

NOW = datetime(2026, 1, 2, 12, 30, tzinfo=UTC)

CELLS: list[tuple[str, Any, Any]] = [
    ("integer", 42, 42),
    ("integer", 3.14, 3),
    ("integer", True, None),
    ("integer", "foo", None),
    ("number", 42, 42),
    ("number", 3.14, 3.14),
    ("number", True, None),
    ("boolean", 42, None),
    ("boolean", True, True),
    ("boolean", "foo", None),
    ("string", 42, "42"),
    ("string", 3.14, "3.14"),
    ("string", 1e6, "1e+06"),
    ("string", True, "true"),
    ("string", None, "<no value>"),
    ("string", [1, 2.0, "a<b", None], '[1,2,"a\\u003cb",null]'),
    ("string", {"b": 0.00001, "a": 2.5e20, "c": 1e-7}, '{"a":250000000000000000000,"b":0.00001,"c":1e-7}'),
    ("date", 42, None),
    ("date", None, None),
    ("date", "2026-01-02T00:00:00Z", "12h"),
    ("date", "2026-01-03T00:00:00Z", "<invalid>"),
    ("date", "", "<unknown>"),
    ("date", "yesterday", "<invalid>"),
    ("unknown", "foo", None),
]


@pytest.mark.parametrize(("kind", "value", "shown"), CELLS)
def test_cells(kind: str, value: Any, shown: Any) -> None:
    assert cell({"v": value}, {"type": kind, "jsonPath": ".v"}, NOW) == shown


SERVERS = {"spec": {"servers": [{"hosts": ["foo"]}, {"hosts": ["bar", "baz"]}]}}
FIRST: dict[str, Any] = {
    ".spec.servers[0].hosts[0]": "foo",
    ".spec.servers[0].hosts": '["foo"]',
    ".spec.servers[1].hosts": '["bar","baz"]',
    ".spec.servers[*].hosts": '["foo"]',
    ".spec.servers[5].hosts": None,
    ".spec.servers.hosts": None,
    ".spec[0]": None,
    ".nothing.at[0].all": None,
}


@pytest.mark.parametrize("path", FIRST)
def test_only_the_first_value_is_shown(path: str) -> None:
    assert cell(SERVERS, {"type": "string", "jsonPath": path}, NOW) == FIRST[path]


THINGS: dict[str, Any] = {
    "bools": [True, False, True, False],
    "ints": [1, 2, 3, 4],
    "maps": [{"name": "one", "v": 1}, {"name": "two", "v": 2.02, "w": 0}, {"name": "three", "v": 3}],
    "labels": {"kubernetes.io/hostname": "n1", "web/html": 15, "k8s-app": 20},
    "deep": {"ready": True, "inner": [{"ready": False}]},
    "null": None,
}
FOUND: dict[str, list[Any]] = {
    ".bools[-1]": [False],
    ".bools[0:2]": [True, False],
    ".bools[:4:2]": [True, True],
    ".ints[-2]": [3],
    ".ints[-1:]": [4],
    ".ints[:2]": [1, 2],
    ".ints[1::2]": [2, 4],
    ".ints[0,2,3]": [1, 3, 4],
    ".ints[*]": [1, 2, 3, 4],
    ".ints[?(@<3)]": [1, 2],
    ".ints[?(@>=3)]": [3, 4],
    ".ints[?(@!=3)]": [1, 2, 4],
    ".labels.*": ["n1", 15, 20],
    r".labels.kubernetes\.io/hostname": ["n1"],
    r".labels['kubernetes\.io/hostname']": ["n1"],
    ".labels.web/html": [15],
    ".labels['k8s-app']": [20],
    ".labels['k8s-app','web/html']": [20, 15],
    "$.labels.k8s-app": [20],
    '.maps[?(@.name=="two")].v': [2.02],
    ".maps[?(@.name=='two')].v": [2.02],
    ".maps[?(@.w)].name": ["two"],
    ".maps[?(@.w==0)].name": ["two"],
    '.maps[?(@.name=="a)b")].v': [],
    ".bools[?(@==true)]": [True, True],
    ".deep..ready": [True, False],
    "..ready": [True, False],
    ".null.a": [],
    ".null[0]": [],
    ".": [],
}


@pytest.mark.parametrize("path", FOUND)
def test_paths(path: str) -> None:
    assert jsonpath.find(THINGS, path) == FOUND[path]


MISFITS = (
    ".labels[0]", ".ints[7]", ".ints[0:9]", ".ints[3:1]", ".labels[?(@.a==1)]", '.ints[?(@=="1")]',
    ".maps[?(@.name==two)]", ".maps[?(@.v<>1)]", ".bools[?(@<true)]", ".maps[?(@.*==1)]",
)  # fmt: skip


@pytest.mark.parametrize("path", MISFITS)
def test_paths_that_do_not_fit(path: str) -> None:
    with pytest.raises(jsonpath.Misfit):
        jsonpath.find(THINGS, path)


BROKEN = (
    ".a[", '.a["b"]', ".a[b]", ".a[]", ".a[?(@.b==1]", ".a[?(@.b==1)", ".a....b",
    "#a", '"a', ".a -", ".a[::0]",
)  # fmt: skip


@pytest.mark.parametrize("path", BROKEN)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(jsonpath.PathError):
        jsonpath.parse(path)


def test_columns_end_before_one_that_cannot_be_read() -> None:
    columns = [
        {"name": name, "type": "string", "jsonPath": path}
        for name, path in (("A", ".a"), ("B", ".b["), ("C", ".c"))
    ]
    printer = printer_for(columns)
    assert [column["name"] for column in printer.columns] == ["Name", "A"]
    assert printer.row({"metadata": {"name": "x"}, "a": "1", "c": "2"}, NOW) == ["x", "1"]
