"""What a definition excuses after its schema became stricter, as upstream's suite tries it.

Objects are applied to a definition that keeps anything; its schema is replaced; the object is applied again.
"""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

_APPLY = "application/apply-patch+yaml"
_OPTIONAL = {"rule": "!oldSelf.hasValue() || self != oldSelf.value()", "optionalOldSelf": True}
_JSON_PLACES = ("field", "struct.field", "list[0].field", "list[1].field", "map.foo.field", "map.bar.field")
_RULE_PLACES = ("field", "struct.field", "list[0].field", "list[1].field", "map[foo].field", "map[bar].field")


def everywhere(value: str) -> dict[str, Any]:
    """Return an object that says one thing in each place that can be found again in an older object."""
    return {
        "field": value,
        "struct": {"field": value},
        "list": [{"key": "foo", "field": value}, {"key": "bar", "field": value}],
        "map": {"foo": {"field": value}, "bar": {"field": value}},
    }


def correlatable(**field: Any) -> dict[str, Any]:
    """Return a schema with the same field in each of these places."""
    fields = {"field": {"type": "string", "maxLength": 6, **field}, "otherField": {"type": "string"}}
    struct = {"type": "object", "properties": fields}
    item = {"type": "object", "required": ["key"], "properties": {"key": {"type": "string"}, **fields}}
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["key"]}
    return {
        **fields,
        "struct": struct,
        "list": {"type": "array", "maxItems": 5, **keyed, "items": item},
        "map": {"type": "object", "maxProperties": 5, "additionalProperties": struct},
    }


def lists(**items: Any) -> dict[str, Any]:
    """Return a schema with lists whose items cannot be found again."""
    schema = {"type": "array", "items": {"type": "string", **items}}
    return {"atomicArray": schema, "setArray": {**schema, "x-kubernetes-list-type": "set"}}


class Definition:
    """The definition under test and its object ``a``."""

    def __init__(self, api: Any, crds: Any) -> None:
        self.api = api
        self.crds = crds

    async def open(self) -> None:
        version = self.crds.version()
        version["schema"]["openAPIV3Schema"] = {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
        }
        await self.crds.make(version)

    async def apply(self, fields: dict[str, Any], name: str = "a", **metadata: Any) -> Any:
        body = {
            "apiVersion": "example.com/v1", "kind": "Foo",
            "metadata": {"name": name, "namespace": "default", **metadata}, **copy.deepcopy(fields),
        }  # fmt: skip
        path = f"{self.crds.foos}/{name}?fieldManager=manager"
        return await self.api("PATCH", path, orjson.dumps(body), content_type=_APPLY)

    async def tighten(self, properties: dict[str, Any]) -> None:
        """Replace the schema, and see by an object that is wrong in more ways than one that it holds."""
        version = self.crds.version()
        sentinel = {"__update_schema_sentinel_field__": {"type": "string", "enum": ["unique"]}}
        version["schema"]["openAPIV3Schema"] = {"type": "object", "properties": {**properties, **sentinel}}
        await self.crds.change({"spec": {"versions": [version]}})
        wrong = {"finalizers": ["unqualified-finalizer"], "labels": {"#inv/($%)/alid=": ">htt$://"}}
        answer = await self.apply({"__update_schema_sentinel_field__": "1"}, "sentinel-resource", **wrong)
        assert answer.status == 422
        assert "unique" in answer.message


@pytest.fixture
async def defined(api: Any, crds: Any) -> Definition:
    found = Definition(api, crds)
    await found.open()
    return found


async def test_unchanged_fields_are_excused_by_the_schema(defined: Definition) -> None:
    fields = everywhere("foo")
    assert (await defined.apply(fields)).status == 201
    await defined.tighten(correlatable(enum=["notfoo"]))
    assert (await defined.apply(fields, labels={"foo": "bar"})).status == 200


@pytest.mark.parametrize(
    "items",
    [{"enum": ["notfoo", "notbar", "notbaz"]}, {"x-kubernetes-validations": [{"rule": "self != 'foo'"}]}],
)
async def test_items_that_cannot_be_found_again_are_not(defined: Definition, items: dict[str, Any]) -> None:
    old = ["foo", "bar", "baz"]
    assert (await defined.apply({"setArray": old, "atomicArray": old})).status == 201
    await defined.tighten(lists(**items))
    new = [*old, "notfoo"]
    answer = await defined.apply({"setArray": new, "atomicArray": new}, labels={"foo": "bar"})
    assert answer.status == 422
    assert "atomicArray" in answer.message
    assert "setArray" in answer.message


async def test_changed_fields_are_not(defined: Definition) -> None:
    assert (await defined.apply(everywhere("foo"))).status == 201
    await defined.tighten(correlatable(enum=["foo"]))
    answer = await defined.apply(everywhere("notfoo"))
    assert answer.status == 422
    assert [place for place in _JSON_PLACES if place not in answer.message] == []


async def test_unchanged_fields_are_excused_by_rules(defined: Definition) -> None:
    assert (await defined.apply(everywhere("notfoo"))).status == 201
    await defined.tighten(correlatable(**{"x-kubernetes-validations": [{"rule": "self == 'foo'"}]}))
    new = everywhere("notfoo")
    for place in (new, new["struct"], *new["list"], *new["map"].values()):
        place["otherField"] = "doesntmatter"
    new["list"].append({"key": "baz", "field": "foo", "otherField": "doesntmatter"})
    assert (await defined.apply(new)).status == 200


async def test_changed_fields_are_not_excused_by_rules(defined: Definition) -> None:
    assert (await defined.apply(everywhere("foo"))).status == 201
    await defined.tighten(correlatable(**{"x-kubernetes-validations": [{"rule": "self == 'foo'"}]}))
    answer = await defined.apply(everywhere("notfoo"))
    assert answer.status == 422
    assert [place for place in _RULE_PLACES if place not in answer.message] == []


async def test_rules_of_transitions_excuse_nothing(defined: Definition) -> None:
    fields = everywhere("foo")
    assert (await defined.apply(fields)).status == 201
    await defined.tighten(correlatable(**{"x-kubernetes-validations": [{"rule": "self != oldSelf"}]}))
    answer = await defined.apply(fields, labels={"foo": "bar"})
    assert answer.status == 422
    assert [place for place in _RULE_PLACES if place not in answer.message] == []


async def test_rules_with_an_optional_old_self(defined: Definition) -> None:
    await defined.tighten(correlatable(**{"x-kubernetes-validations": [_OPTIONAL]}))
    fields = everywhere("foo")
    assert (await defined.apply(fields)).status == 201
    answer = await defined.apply(fields, labels={"foo": "bar"})
    assert answer.status == 422
    assert [place for place in _RULE_PLACES if place not in answer.message] == []
    assert (await defined.apply(everywhere("new"))).status == 200
