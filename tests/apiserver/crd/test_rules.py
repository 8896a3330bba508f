"""CEL rules in schemas: what they see, when they run, what their faults say."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.node import MISSING
from tiphys.apiserver.crd.rules import Rules

NUMBER = {"type": "integer"}


def schema(rules: list[dict[str, Any]], **properties: Any) -> dict[str, Any]:
    spec = {"type": "object", "properties": properties, "x-kubernetes-validations": rules}
    return {"type": "object", "properties": {"spec": spec}}


CASES: dict[str, tuple[dict[str, Any], Any, Any, list[str]]] = {
    "holds": (schema([{"rule": "self.a <= self.b"}], a=NUMBER, b=NUMBER), {"a": 1, "b": 2}, MISSING, []),
    "broken": (
        schema([{"rule": "self.a <= self.b"}], a=NUMBER, b=NUMBER),
        {"a": 3, "b": 2},
        MISSING,
        ['spec: Invalid value: "object": failed rule: self.a <= self.b'],
    ),
    "message": (
        schema([{"rule": "self.a > 1", "message": "too small"}], a=NUMBER),
        {"a": 1},
        MISSING,
        ['spec: Invalid value: "object": too small'],
    ),
    "message expression": (
        schema([{"rule": "self.a > 1", "messageExpression": "'got ' + string(self.a)"}], a=NUMBER),
        {"a": 1},
        MISSING,
        ['spec: Invalid value: "object": got 1'],
    ),
    "field path": (
        schema([{"rule": "self.a > 1", "message": "no", "fieldPath": ".a"}], a=NUMBER),
        {"a": 1},
        MISSING,
        ['spec.a: Invalid value: "object": no'],
    ),
    "absent key": (
        schema([{"rule": "self.a > 1", "message": "no"}], a=NUMBER),
        {},
        MISSING,
        ['spec: Invalid value: "object": no such key: a evaluating rule: no'],
    ),
    "transition, created": (schema([{"rule": "self.a == oldSelf.a"}], a=NUMBER), {"a": 1}, MISSING, []),
    "transition, changed": (
        schema([{"rule": "self.a == oldSelf.a", "message": "immutable"}], a=NUMBER),
        {"a": 1},
        {"a": 2},
        ['spec: Invalid value: "object": immutable'],
    ),
    "escaped names": (
        schema([{"rule": "self.__namespace__ == 'x' && self.a__dash__b == 1"}],
               **{"namespace": {"type": "string"}, "a-b": NUMBER}),
        {"namespace": "x", "a-b": 1},
        MISSING,
        [],
    ),
    "numbers are doubles": (schema([{"rule": "self.a >= 1.5"}], a={"type": "number"}), {"a": 2}, MISSING, []),
    "inside lists": (
        schema([], a={"type": "array", "items": {"type": "string", "x-kubernetes-validations": [
            {"rule": "self.startsWith('x')", "message": "x!"}]}}),
        {"a": ["xa", "b"]},
        MISSING,
        ['spec.a[1]: Invalid value: "string": x!'],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_rules(name: str) -> None:
    source, new, old, wanted = CASES[name]
    before = MISSING if old is MISSING else {"spec": old}
    faults = Rules(build_custom(source)).check({"spec": new}, before)
    assert [f"{fault.field}: {fault.detail}" for fault in faults] == wanted


async def test_served(api: Any, crds: Any) -> None:
    made = crds.version()
    spec = made["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["image"]["x-kubernetes-validations"] = [
        {"rule": "self == oldSelf", "message": "is immutable"}
    ]
    await crds.make(made)
    await api.create(crds.foos, crds.foo())
    answer = await api.patch(f"{crds.foos}/a", {"spec": {"image": "other"}})
    assert answer.status == 422
    assert 'spec.image: Invalid value: "string": is immutable' in answer.message
