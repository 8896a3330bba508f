"""What columns of custom resources show: paths, and what values of each type become."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

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


def test_columns_end_before_one_that_cannot_be_read() -> None:
    columns = [
        {"name": name, "type": "string", "jsonPath": path}
        for name, path in (("A", ".a"), ("B", ".b["), ("C", ".c"))
    ]
    printer = printer_for(columns)
    assert [column["name"] for column in printer.columns] == ["Name", "A"]
    assert printer.row({"metadata": {"name": "x"}, "a": "1", "c": "2"}, NOW) == ["x", "1"]
