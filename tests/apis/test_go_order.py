"""In which order Go's converter meets the fields of an object."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis import go_order
from tiphys.apis.go_order import in_go_order

POD = GVK("", "v1", "Pod")


def keys(value: Any) -> Any:
    """The order of keys, all the way down."""
    if isinstance(value, dict):
        return [(key, keys(one)) for key, one in value.items()]
    return [keys(one) for one in value] if isinstance(value, list) else value


def test_fields_come_as_go_has_them_and_unknown_ones_last() -> None:
    given = {
        "other": 1,
        "status": {},
        "spec": {"hostNetwork": 1, "containers": [{"env": 1, "name": 2}], "initContainers": 1, "volumes": 1},
        "metadata": {"labels": {"b": "", "a": ""}, "name": 1},
        "kind": 1,
    }
    assert keys(in_go_order(given, POD)) == [
        ("kind", 1),
        ("metadata", [("name", 1), ("labels", [("b", ""), ("a", "")])]),
        ("spec", [("volumes", 1), ("initContainers", 1), ("containers", [[("name", 2), ("env", 1)]]),
                  ("hostNetwork", 1)]),
        ("status", []),
        ("other", 1),
    ]  # fmt: skip


def test_fields_of_types_inside_stand_where_those_do() -> None:
    volume = {"hostPath": {"type": 1, "path": 2}, "name": 3}
    found = in_go_order({"spec": {"volumes": [volume]}}, POD)
    assert keys(found["spec"]["volumes"][0]) == [("name", 3), ("hostPath", [("path", 2), ("type", 1)])]


@pytest.mark.parametrize("message", go_order._LATE)
def test_no_field_is_lost_or_comes_twice(message: str) -> None:
    fields = go_order._fields(message)
    assert len(fields) == len(set(fields))
    for chain in go_order._LATE[message].split():
        names = [name for name in chain.split("<") if name]
        assert [name for name in fields if name in names] == names


def test_what_is_no_object_stays_as_it_is() -> None:
    assert in_go_order({"spec": [1], "metadata": "x"}, POD) == {"metadata": "x", "spec": [1]}
