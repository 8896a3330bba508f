"""Values of built-in kinds' fields in the published documents, and the gate that takes them out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.apimachinery.featuregates import resolve, using
from tiphys.apis import openapi_enums, schemas
from tiphys.apis.openapi import OpenApi

PULL = ["Always", "IfNotPresent", "Never"]


@pytest.fixture(scope="module")
def documents() -> dict[bool, tuple[Any, Any]]:
    """v2's definitions and core v3's, with the gate on and off."""
    made = {}
    for on in (True, False):
        with using(resolve({"OpenAPIEnums": on})):
            openapi = OpenApi()
            core = orjson.loads(openapi.v3_group("api/v1") or b"")
            made[on] = (orjson.loads(openapi.v2_json())["definitions"], core["components"]["schemas"])
    return made


def test_every_field_is_one_that_there_is() -> None:
    definitions = schemas.full_definitions()
    missing = [
        (name, field)
        for name, field, _ in openapi_enums.fields()
        if field not in definitions.get(name, {}).get("properties", {})
    ]
    assert missing == []
    for name, _, values in openapi_enums.fields():
        assert values == sorted(values), name


def test_values_are_told_in_both_versions(documents: dict[bool, tuple[Any, Any]]) -> None:
    for definitions in documents[True]:
        pod, container = (
            definitions["io.k8s.api.core.v1.PodSpec"],
            definitions["io.k8s.api.core.v1.Container"],
        )
        assert pod["properties"]["restartPolicy"]["enum"] == ["Always", "Never", "OnFailure"]
        pull = container["properties"]["imagePullPolicy"]
        assert pull["enum"] == PULL
        assert pull["description"].endswith(
            '\n\nPossible enum values:\n - `"Always"`\n - `"IfNotPresent"`\n - `"Never"`'
        )


def test_values_of_lists_and_maps_are_told_of_their_items(documents: dict[bool, tuple[Any, Any]]) -> None:
    for definitions in documents[True]:
        status = definitions["io.k8s.api.core.v1.PersistentVolumeClaimStatus"]["properties"]
        assert "ReadWriteOncePod" in status["accessModes"]["items"]["enum"]
        assert "NodeResizePending" in status["allocatedResourceStatuses"]["additionalProperties"]["enum"]
        assert "enum" not in status["accessModes"]


def test_without_the_gate_nothing_is_said(documents: dict[bool, tuple[Any, Any]]) -> None:
    for definitions in documents[False]:
        text = orjson.dumps(definitions)
        assert b"Possible enum values" not in text
        assert b'"enum":[' not in text


def test_bodies_are_not_held_to_them() -> None:
    assert (
        "enum" not in schemas.full_definitions()["io.k8s.api.core.v1.PodSpec"]["properties"]["restartPolicy"]
    )
