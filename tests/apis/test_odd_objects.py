"""Rules never fail themselves: whatever decodes is defaulted, judged and printed, however odd it is."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK, Object, copy_object, gvk_of
from tiphys.apimachinery.schema.node import Schema
from tiphys.apimachinery.schema.walk import decode_check
from tiphys.apis.printers.registry import table_for
from tiphys.apis.schemas import has_schema, schema_for
from tiphys.apis.strategies import (
    STRATEGIES,
    strategy_for,
    validate_create,
    validate_part_update,
    validate_update,
)

NOW = datetime(2025, 1, 1, tzinfo=UTC)
PAIRS = 12
TEXTS = (
    "", "a", "A", "a/b", "a.b/c", "*", "10%", "²", "9" * 4400, "-1", "x" * 300, "..", "/", "a:b", "1.2.3.4",
    "::1", "1.2.3.0/24", "1.2.3.4/99", "None", "Exists", "In", "Always", "Never", "TCP", "RollingUpdate",
    "Delete", "cpu", "storage", "requests.cpu", "example.com/foo", "kubernetes.io/x", "Local", "ClusterIP",
    "ExternalName", "LoadBalancer", "Indexed", "Resource", "Pods", "Equal", "NoExecute", "self.x", "$(A)",
    "[a-z", "\0", "é", "metadata.name", "v1", "apps/v1", "* * * * *", "@every 1h", " ", "a=b", "1-3", "0-",
    "https://[::1", "a\nb", "RequireDualStack", "IPv4", "IPv6", "TZ=UTC * * * * *",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 10, 80, 65536, 2**31 - 1, -(2**31))
SPECIAL: dict[str, tuple[Any, ...]] = {
    "Time": ("2020-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"),
    "MicroTime": ("2020-01-01T00:00:00.000000Z",),
    "Quantity": ("0", "1", "-1", "1Gi", "100m", "1e3", "9" * 900, "0.0000000001"),
    "IntOrString": (*NUMBERS, "10%", "²%", "a", "-5%", "101%", "9" * 4400 + "%", "9" * 4400),
    "RawExtension": ({}, {"apiVersion": "v1", "kind": "Pod"}, {"a": 1}),
    "JSON": (1, "a", [1], {"a": 1}, True, 1.5),
    "JSONSchemaPropsOrBool": (True, {"type": "string"}, {"$ref": "a"}),
    "JSONSchemaPropsOrArray": ({"type": "string"}, {"$ref": "a"}, [{"type": "string"}]),
    "JSONSchemaPropsOrStringArray": (["a"], {"type": "string"}),
}


class Maker:
    """Makes objects that have the shape of a schema and hold little else that is right."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def object(self, gvk: GVK) -> Object:
        made: Object = self._value(schema_for(gvk), 10)
        name = self._random.choice(TEXTS)
        given = {"name": name, "uid": "u", "resourceVersion": "1", "creationTimestamp": SPECIAL["Time"][0]}
        meta = {**(made.get("metadata") or {}), **given}
        meta.pop("managedFields", None)
        return {**made, "apiVersion": gvk.api_version, "kind": gvk.kind, "metadata": meta}

    def changed(self, obj: Object) -> Object:
        """The same object, but for one of its parts."""
        other = self.object(gvk_of(obj))
        part = self._random.choice(list(other))
        return {**copy_object(obj), part: other[part], "metadata": copy_object(obj["metadata"])}

    def _value(self, schema: Schema, depth: int) -> Any:
        choose = self._random.choice
        special = SPECIAL.get((schema.name or "").rpartition(".")[2])
        if special is not None:
            return copy_object({"": choose(special)})[""]
        if schema.enum and self._random.random() < 0.8:
            return choose(schema.enum)
        if schema.type == "array":
            assert schema.items is not None
            count = choose((0, 1, 1, 2, 3)) if depth > 0 else 0
            return [self._value(schema.items, depth - 1) for _ in range(count)]
        if schema.properties:
            chance = 0.45 if depth > 4 else 0.3
            return {
                key: self._value(child, depth - 1)
                for key, child in schema.properties.items()
                if depth > 0 and self._random.random() < (0.85 if key in schema.required else chance)
            }
        if schema.additional is not None:
            count = choose((0, 1, 1, 2))
            return {choose(TEXTS): self._value(schema.additional, depth - 1) for _ in range(count)}
        plain = {"integer": NUMBERS, "number": (0, 1.5, -1), "boolean": (True, False), "string": TEXTS}
        return "AAEC" if schema.format == "byte" else choose(plain.get(schema.type or "", ({},)))


KINDS = sorted({each.gvk for each in STRATEGIES if has_schema(each.gvk)})


@pytest.mark.parametrize("gvk", KINDS, ids=str)
def test_nothing_that_decodes_is_too_odd_to_judge(gvk: GVK) -> None:
    strategy, maker = strategy_for(gvk), Maker(str(gvk))
    for _ in range(PAIRS):
        old = maker.object(gvk)
        new = maker.changed(old)
        for each in (old, new):
            decode_check(each, schema_for(gvk))
            strategy.default(each)
            made = copy_object(each)
            strategy.prepare_create(made)
            validate_create(strategy, made, namespaced=True)
            strategy.warnings(made, None)
            table_for(gvk).row(each, NOW)
        written = {**copy_object(old), "status": copy_object(new.get("status") or {})}
        (strategy.status_default() or strategy.default)(written)
        strategy.prepare_update(new, old)
        validate_update(strategy, new, old, namespaced=True)
        strategy.warnings(new, old)
        strategy.prepare_status_update(written, old)
        rules = strategy.validate_status_update
        validate_part_update(strategy, rules, written, old, namespaced=True)
