"""What a definition's schema holds in ``items`` and ``additionalProperties`` is held to its type, too."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")
BAD = 'CustomResourceDefinition in version "v1" cannot be handled as a CustomResourceDefinition: '
SCHEMA = "JSONSchemaProps.spec.versions.schema.openAPIV3Schema"
FIELD = BAD + "json: cannot unmarshal {} into Go struct field " + SCHEMA


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


def defined(crds: Any, field: Any) -> Any:
    found = crds.definition()
    schema = {"type": "object", "properties": {"field": field}}
    found["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema
    return found


REFUSED: dict[str, tuple[Any, str]] = {
    "properties": (
        {"type": "array", "items": {"type": "object", "properties": "x"}},
        FIELD.format("string") + ".properties.items.properties of type map[string]v1.JSONSchemaProps",
    ),
    "a bound, further down": (
        {"type": "array", "items": {"type": "array", "items": {"type": "string", "maxLength": "x"}}},
        FIELD.format("string") + ".properties.items.items.maxLength of type int64",
    ),
    "of additional properties": (
        {"type": "object", "additionalProperties": {"type": 5}},
        FIELD.format("number") + ".properties.additionalProperties.type of type string",
    ),
    "additional properties that are neither": (
        {"type": "object", "additionalProperties": "x"}, BAD + "boolean or JSON schema expected",
    ),
    "additional properties in a list": (
        {"type": "object", "additionalProperties": []}, BAD + "boolean or JSON schema expected",
    ),
    "in a list of schemas": (
        {"type": "array", "items": [{"enum": 5}]},
        FIELD.format("number") + ".properties.items.enum of type []v1.JSON",
    ),
    "a list of others": (
        {"type": "array", "items": ["x"]},
        FIELD.format("string") + ".properties.items of type v1.JSONSchemaProps",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_of_another_type(api: Any, crds: Any, name: str) -> None:
    field, message = REFUSED[name]
    answer = await api("POST", crds.path, defined(crds, field))
    assert (answer.status, answer.message) == (400, message)


async def test_what_nobody_knows_goes_without_a_word(api: Any, crds: Any) -> None:
    item = {"type": "string", "unknown": 1, "description": "", "nullable": False, "pattern": None}
    field = {"type": "array", "items": item}
    made = await api.create(f"{crds.path}?fieldValidation=Strict", defined(crds, field))
    kept = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["field"]
    assert kept == {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize("items", ["x", 5, True], ids=orjson.dumps)
async def test_items_that_are_neither_are_none(api: Any, crds: Any, items: Any) -> None:
    answer = await api("POST", crds.path, defined(crds, {"type": "array", "items": items}))
    assert answer.status == 422
    assert "properties[field].items: Required value" in answer.message


async def test_nothing_in_a_list_is_an_empty_schema(api: Any, crds: Any) -> None:
    answer = await api("POST", crds.path, defined(crds, {"type": "array", "items": [None]}))
    assert answer.status == 422
    assert answer.message.endswith("items must be a schema object and not an array")


async def test_deep_down(api: Any, crds: Any) -> None:
    node: Any = {"type": "string", "minLength": "x"}
    for _ in range(200):
        node = {"type": "array", "items": node}
    answer = await api("POST", crds.path, defined(crds, node))
    assert answer.status == 400
    assert answer.message.endswith(".items" * 200 + ".minLength of type int64")


async def test_texts_that_a_field_depends_on_are_texts(api: Any, crds: Any) -> None:
    for depends in ({"a": ["b", 5]}, {"a": {"type": 5}}):
        answer = await api("POST", crds.path, defined(crds, {"type": "object", "dependencies": depends}))
        assert (answer.status, answer.message.startswith(FIELD.format("number"))) == (400, True)


async def test_fields_are_in_the_order_of_their_type(api: Any, crds: Any) -> None:
    inner = {"type": "object", "additionalProperties": {"type": "string", "description": "b"}}
    item = {**inner, "description": "a"}
    await api.create(crds.path, defined(crds, {"type": "array", "items": item}))
    raw = (await api("GET", f"{crds.path}/foos.example.com")).raw
    told = b'"additionalProperties":{"description":"b","type":"string"}'
    assert b'"items":{"description":"a","type":"object",%b}' % told in raw
