"""Server-side apply of custom objects with fieldValidation=Strict: what it takes and how it refuses."""

from __future__ import annotations

from typing import Any

import pytest

PORTS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
    "items": {
        "type": "object",
        "required": ["containerPort", "protocol"],
        "properties": {
            "containerPort": {"type": "integer", "format": "int32"},
            "name": {"type": "string"},
            "protocol": {"type": "string"},
        },
    },
}
EMBEDDED = {
    "type": "object",
    "x-kubernetes-embedded-resource": True,
    "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
        "spec": {"type": "object"},
    },
}
KEEPS = {"x-kubernetes-preserve-unknown-fields": True}
HEAD = "\napiVersion: example.com/v1\nkind: Foo\nmetadata:\n  name: mytest\n"
SPEC = """\
  cronSpec: "* * * * */5"
  ports:
  - name: x
    containerPort: 80
    protocol: TCP"""
TYPED = "failed to create typed patch object (/mytest; example.com/v1, Kind=Foo): "


def schema(**more: Any) -> dict[str, Any]:
    pattern = r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"
    fields = {
        "foo": {"type": "string"}, "cronSpec": {"type": "string", "pattern": pattern}, "ports": PORTS,
        **more.pop("properties", {}),
    }  # fmt: skip
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": fields, **more}}}


CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "valid": (schema(), f"{HEAD}spec:\n  foo: foo1\n{SPEC}", ""),
    "no schema": ({"type": "object", **KEEPS}, f"{HEAD}spec:\n  unknown: uk1\n{SPEC}", ""),
    "a field too many": (
        schema(),
        f"{HEAD}unknownField: unknown\nspec:\n  foo: foo1\n{SPEC}",
        TYPED + ".unknownField: field not declared in schema",
    ),
    "in metadata, its own and another's": (
        schema(properties={"template": EMBEDDED}, **KEEPS),
        f"{HEAD}  unknownMeta: unknown\nspec:\n  template:\n    apiVersion: foo/v1\n    kind: Sub\n"
        f"    metadata:\n        name: subobject\n        unknownSubMeta: unknown\n  foo: foo1\n{SPEC}",
        TYPED + "errors:\n  .metadata.unknownMeta: field not declared in schema\n"
        "  .spec.template.metadata.unknownSubMeta: field not declared in schema",
    ),
    "in an item": (
        schema(),
        f"{HEAD}spec:\n{SPEC}\n    color: red",
        TYPED + '.spec.ports[containerPort=80,protocol="TCP"].color: field not declared in schema',
    ),
    "doubled where unknown fields are kept": (
        schema(**KEEPS),
        f"{HEAD}spec:\n  unknown: uk1\n  foo: foo1\n  foo: foo2\n{SPEC}",
        "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n"
        '  line 9: key "foo" already set in map',
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_strictly_applied(api: Any, crds: Any, name: str) -> None:
    declared, body, fault = CASES[name]
    await crds.make({**crds.version(), "schema": {"openAPIV3Schema": declared}})
    path = f"{crds.foos}/mytest?fieldManager=field_validation_mgr&fieldValidation=Strict"
    answer = await api.patch(path, body.encode(), "apply")
    assert answer.message == fault
    assert (answer.status == 201) == (not fault)
