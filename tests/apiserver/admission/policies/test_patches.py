"""What mutations make of objects, without a server: merges by schema, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.cel.values import Struct
from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis import schemas
from tiphys.apiserver.admission.policies.patches import CannotPatch, apply_configuration, apply_patches

POD = schemas.schema_for(GVK("", "v1", "Pod"))


def made(path: str = "Object", **fields: Any) -> Struct:
    """An object as an expression makes it, its parts named by where they are."""
    typed = {
        key: made(f"{path}.{key}", **one) if isinstance(one, dict) else one for key, one in fields.items()
    }
    return Struct(path, typed)


def pod(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def container(name: str, **fields: Any) -> Struct:
    return Struct("Object.spec.containers", {"name": name, **fields})


MERGED: dict[str, tuple[dict[str, Any], Struct, dict[str, Any]]] = {
    "nothing": ({"nodeName": "n"}, made(), {"nodeName": "n"}),
    "a field": ({"nodeName": "n"}, made(spec={"hostname": "h"}), {"nodeName": "n", "hostname": "h"}),
    "a field again": ({"nodeName": "n"}, made(spec={"nodeName": "m"}), {"nodeName": "m"}),
    "an item of a map list": (
        {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]},
        made(spec={"containers": [container("b", image="k"), container("c", image="l")]}),
        {
            "containers": [
                {"name": "a", "image": "i"}, {"name": "b", "image": "k"}, {"name": "c", "image": "l"}
            ]
        },
    ),
    "a map": ({"nodeSelector": None}, made(metadata={"labels": {"a": "b"}}), {"nodeSelector": None}),
}  # fmt: skip


@pytest.mark.parametrize("case", MERGED)
def test_merged(case: str) -> None:
    spec, configuration, expected = MERGED[case]
    obj = pod(**spec)
    before = copy_object(obj)
    assert apply_configuration(obj, configuration, POD)["spec"] == expected
    assert obj == before  # what is stored stays as it is


REFUSED: dict[str, tuple[Struct, str]] = {
    "an atomic list": (
        made(spec={"containers": [container("a", args=["x"])]}),
        "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: "
        ".spec.containers[0].args",
    ),
    "an atomic map": (
        made(spec={"nodeSelector": {"a": "b"}}),
        "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: "
        ".spec.nodeSelector",
    ),
    "items without a key": (
        made(spec={"containers": [Struct("Object.spec.containers", {"image": "x"})]}),
        "error applying patch: failed to convert patch object to typed object: .spec.containers: element 0: ",
    ),
    "names in a list": (
        made(spec={"containers": [Struct("Object.spec.volumes", {"name": "x"})]}),
        'type mismatch: unexpected type name "Object.spec.volumes", expected "Object.spec.containers", which '
        "matches field name path from root Object type",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    configuration, why = REFUSED[case]
    with pytest.raises(CannotPatch) as caught:
        apply_configuration(pod(), configuration, POD)
    assert str(caught.value).startswith(why)


def test_custom_objects_are_merged_by_their_schema() -> None:
    tags = Schema(type="array", items=Schema(type="string"), list_type="set")
    spec = Schema(type="object", properties={"tags": tags})
    schema = Schema(type="object", properties={"spec": spec})
    obj = {"apiVersion": "a.b/v1", "kind": "A", "metadata": {"name": "a"}, "spec": {"tags": ["x"]}}
    after = apply_configuration(obj, made(spec={"tags": ["y"]}), schema)
    assert sorted(after["spec"]["tags"]) == ["x", "y"]


def operation(op: str, path: str, **fields: Any) -> Struct:
    return Struct("JSONPatch", {"op": op, "path": path, **fields})


def test_patches_leave_the_object_alone() -> None:
    obj = pod(nodeName="n")
    after = apply_patches(obj, [operation("add", "/spec/nodeName", value="m")])
    assert (obj["spec"]["nodeName"], after["spec"]["nodeName"]) == ("n", "m")


def test_a_patch_sets_null_only_where_it_says_so() -> None:
    after = apply_patches(pod(), [operation("add", "/spec/a", value=None)])
    assert after["spec"] == {"a": None}


def test_a_value_must_be_json() -> None:
    with pytest.raises(CannotPatch, match="could not marshal to JSON"):
        apply_patches(pod(), [operation("add", "/spec/a", value=float("inf"))])


def test_types_in_a_value_are_named_by_their_place() -> None:
    right = Struct("Object.spec.affinity", {"nodeAffinity": Struct("Object.spec.affinity.nodeAffinity", {})})
    after = apply_patches(pod(), [operation("add", "/spec/affinity", value=right)])
    assert after["spec"]["affinity"] == {"nodeAffinity": {}}
    wrong = Struct("Object.spec.affinity", {"nodeAffinity": Struct("Object.spec.other", {})})
    with pytest.raises(CannotPatch, match="type mismatch: unexpected type name"):
        apply_patches(pod(), [operation("add", "/spec/affinity", value=wrong)])
