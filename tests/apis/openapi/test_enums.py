"""Values of built-in kinds' fields in the published documents, and the gate that takes them out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.apimachinery.featuregates import resolve, using
from tiphys.apis import schemas
from tiphys.apis.openapi import enums
from tiphys.apis.openapi.definitions import Definition, built_in, render_v2, render_v3

KINDS = ("PodSpec", "Container", "PersistentVolumeClaimStatus")
PULL = ["Always", "IfNotPresent", "Never"]


def published(*, on: bool) -> list[dict[str, Definition]]:
    """Some definitions as v2 and v3 publish them, with the gate on or off."""
    with using(resolve({"OpenAPIEnums": on})):
        known = built_in()
        names = {kind: f"io.k8s.api.core.v1.{kind}" for kind in KINDS}
        return [
            {kind: render(name, known[name]) for kind, name in names.items()}
            for render in (render_v2, render_v3)
        ]


def test_every_field_is_one_that_there_is() -> None:
    definitions: dict[str, Any] = dict(built_in())
    missing = [
        (name, field)
        for name, field, *_ in enums.fields()
        if field not in definitions.get(name, {}).get("properties", {})
    ]
    assert missing == []
    for name, _, values, texts in enums.fields():
        assert values == sorted(values), name
        assert not texts or list(texts) == values, name


@pytest.mark.parametrize(
    ("definition", "field", "values"),
    [
        ("resource.v1.ExactDeviceRequest", "allocationMode", ["All", "ExactCount"]),
        ("resource.v1beta1.DeviceAllocationConfiguration", "source", ["FromClaim", "FromClass"]),
        ("scheduling.v1alpha2.PodGroupSpec", "disruptionMode", ["Pod", "PodGroup"]),
        ("storage.v1.CSIDriverSpec", "fsGroupPolicy", None),
        ("storage.v1.CSIDriverSpec", "volumeLifecycleModes", None),
        ("admissionregistration.v1.ParamRef", "parameterNotFoundAction", None),
        ("autoscaling.v2.MetricTarget", "type", None),
    ],
)
def test_which_fields_have_values(definition: str, field: str, values: list[str] | None) -> None:
    told = {(name, of): listed for name, of, listed, _ in enums.fields()}
    assert told.get((f"io.k8s.api.{definition}", field)) == values


@pytest.mark.parametrize("version", [0, 1], ids=["v2", "v3"])
def test_values_are_told(version: int) -> None:
    definitions = published(on=True)[version]
    assert definitions["PodSpec"]["properties"]["restartPolicy"]["enum"] == ["Always", "Never", "OnFailure"]
    pull = definitions["Container"]["properties"]["imagePullPolicy"]
    assert pull["enum"] == PULL
    told = pull["description"].partition("\n\nPossible enum values:\n")[2].splitlines()
    assert [line.partition("` ")[0] for line in told] == [f' - `"{value}' + '"' for value in PULL]
    assert told[0].endswith(
        "` the newest image is pulled before every start; the container fails if that fails."
    )
    restart = definitions["PodSpec"]["properties"]["restartPolicy"]["description"]
    assert restart.endswith('\n\nPossible enum values:\n - `"Always"`\n - `"Never"`\n - `"OnFailure"`')


@pytest.mark.parametrize("version", [0, 1], ids=["v2", "v3"])
def test_values_of_lists_and_maps_are_told_of_their_items(version: int) -> None:
    status = published(on=True)[version]["PersistentVolumeClaimStatus"]["properties"]
    assert "ReadWriteOncePod" in status["accessModes"]["items"]["enum"]
    assert "NodeResizePending" in status["allocatedResourceStatuses"]["additionalProperties"]["enum"]
    assert "enum" not in status["accessModes"]


def test_without_the_gate_nothing_is_said() -> None:
    text = orjson.dumps(published(on=False))
    assert b"Possible enum values" not in text
    assert b'"enum"' not in text


def test_bodies_are_not_held_to_them() -> None:
    published(on=True)
    assert (
        "enum" not in schemas.full_definitions()["io.k8s.api.core.v1.PodSpec"]["properties"]["restartPolicy"]
    )
