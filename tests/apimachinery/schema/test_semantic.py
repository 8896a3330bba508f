"""Two objects compare plainly once what means the same is written the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apimachinery.schema.node import Schema
from tiphys.apimachinery.schema.semantic import respelled
from tiphys.apis import schemas

POD = schemas.schema_for(GVK("", "v1", "Pod"))


def pod(cpu: str, size: str = "1Gi", name: str = "a") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "annotations": {"a": cpu}},
        "spec": {
            "containers": [
                {"name": "idle", "image": "i"},
                {"name": name, "resources": {"limits": {"cpu": cpu, "memory": "1Gi"}}},
            ],
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": size}}],
        },
        "status": {"phase": "Running"},
    }


def test_amounts_are_written_as_the_new_object_has_them() -> None:
    old, new = pod("1500m", "1024Mi"), pod("1.500", name="b")
    seen = respelled(old, new, POD)
    assert seen["spec"]["containers"][1] == {**new["spec"]["containers"][1], "name": "a"}
    assert seen["spec"]["volumes"] == new["spec"]["volumes"]
    assert seen["metadata"] is old["metadata"]  # a text is not an amount because it looks like one
    assert seen["spec"]["containers"][0] is old["spec"]["containers"][0]
    assert old == pod("1500m", "1024Mi")


@pytest.mark.parametrize(
    "new",
    [pod("1500m"), pod("2"), pod("no amount"), {"spec": None}, {"spec": {"volumes": {}}}, {}],
)
def test_without_another_spelling_the_old_object_is_what_it_was(new: dict[str, Any]) -> None:
    old = pod("1500m")
    assert respelled(old, new, POD) is old


def test_items_that_are_gone_or_new_are_left_alone() -> None:
    old, new = pod("1500m"), pod("1.500")
    old["spec"]["containers"].append({"name": "gone"})
    old["spec"]["containers"][1]["resources"]["limits"]["gone"] = "1"
    new["spec"]["containers"][1]["resources"]["limits"]["added"] = "1"
    seen = respelled(old, new, POD)["spec"]["containers"]
    assert seen[1]["resources"]["limits"] == {"cpu": "1.500", "memory": "1Gi", "gone": "1"}
    assert seen[2] == {"name": "gone"}


@pytest.mark.parametrize("kind", ["required", "optional"])
@pytest.mark.parametrize(("old", "new"), [({}, {"l": []}), ({"l": []}, {}), ({"l": [1]}, {})])
def test_no_list_is_an_empty_one_where_both_are_written(kind: str, old: Any, new: Any) -> None:
    schema = Schema("object", properties={"l": Schema("array")}, required=("l",) * (kind == "required"))
    expected = new if kind == "required" and not any(old.values()) else old
    assert respelled({**old, "a": 1}, {**new, "a": 1}, schema) == {**expected, "a": 1}


def test_schemas_that_refer_to_themselves_end() -> None:
    loop = Schema("object", name="Loop")
    loop.properties = {"next": loop, "size": Schema("string", format="quantity")}
    old, new = {"next": {"next": {"size": "1k"}}}, {"next": {"next": {"size": "1e3"}}}
    assert respelled(old, new, loop) == new
    empty = Schema("object", name="Empty")
    empty.properties = {"next": empty}
    assert respelled(old, new, empty) is old


SPELLINGS = st.sampled_from(["1", "1.", "1000m", "+1", "2", "2.", "1e3", "1k", "1E3"])
AMOUNTS = {"1": 1, "1.": 1, "1000m": 1, "+1": 1, "2": 2, "2.": 2, "1e3": 1000, "1k": 1000, "1E3": 1000}
MAPS = st.dictionaries(st.sampled_from(["a", "b", "c"]), SPELLINGS)


@given(MAPS, MAPS)
def test_the_pair_is_equal_just_where_the_amounts_are(one: dict[str, str], other: dict[str, str]) -> None:
    def amounts(named: dict[str, str]) -> dict[str, int]:
        return {name: AMOUNTS[text] for name, text in named.items()}

    schema = Schema("object", additional=Schema("string", format="quantity"))
    before = copy_object(one), copy_object(other)
    seen = respelled(one, other, schema)
    assert (seen == other) == (amounts(one) == amounts(other))
    assert amounts(seen) == amounts(one)
    assert (one, other) == before


def test_items_with_a_name_are_compared_with_those_of_that_name() -> None:
    old, new = pod("1500m", "1024Mi"), pod("1.500")
    new["spec"]["containers"].insert(0, {"name": "first", "resources": {"limits": {"cpu": "1500.0m"}}})
    new["spec"]["volumes"].insert(0, {"name": "w", "emptyDir": {"sizeLimit": "1048576Ki"}})
    seen = respelled(old, new, POD)["spec"]
    assert seen["containers"] == new["spec"]["containers"][1:]
    assert seen["volumes"] == new["spec"]["volumes"][1:]
    assert old == pod("1500m", "1024Mi")
