"""What kinds with a status have in common: the cases of upstream's tests of all its definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.apiserver.conftest import Api
from tests.every_kind import filled

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.every_version]


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for them all; each finds it as it was at first."""
    return swept_api


HERE = Path(__file__).parent
OBJECTS: dict[str, dict[str, Any]] = {
    case["at"]: case for case in yaml.load((HERE / "storage_paths.yaml").read_text(), yaml.CSafeLoader)
}
STUBS: list[dict[str, Any]] = yaml.load((HERE / "status_stubs.yaml").read_text(), yaml.CSafeLoader)
WITHOUT_GENERATION = {
    "apiservices", "certificatesigningrequests", "horizontalpodautoscalers", "namespaces", "nodes",
    "persistentvolumeclaims", "persistentvolumes", "podgroups", "resourceclaims", "resourcequotas",
    "servicecidrs", "services", "storageversionmigrations", "storageversions", "volumeattachments",
}  # fmt: skip
TAKES_METADATA = {
    "certificatesigningrequests", "cronjobs", "customresourcedefinitions", "daemonsets",
    "horizontalpodautoscalers", "ingresses", "jobs", "namespaces", "nodes", "persistentvolumeclaims",
    "persistentvolumes", "poddisruptionbudgets", "pods", "replicasets", "replicationcontrollers",
    "resourcequotas", "services", "statefulsets",
}  # fmt: skip
"""A write of their status changes labels as well, and its writer comes to own them."""
LABEL = "test-wipe-label"


def conditions(status: str) -> dict[str, Any]:
    return {
        "conditions": [
            {
                "type": "MyStatus",
                "status": status,
                "lastTransitionTime": "2020-01-01T00:00:00Z",
                "reason": "MyReason",
                "message": "some message",
            }
        ]
    }


def within(part: Any, whole: Any) -> bool:
    """Whether all that ``part`` says is in ``whole``."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(within(value, whole.get(key)) for key, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(within(one, other) for other in whole) for one in part)
    return bool(part == whole)


class Tried:
    """One kind: its paths, the object to begin with, and what else it may say."""

    def __init__(self, api: Api, stub: dict[str, Any]) -> None:
        case = OBJECTS[stub["at"]]
        version, _, self.plural = stub["at"].rpartition("/")
        row = next(one for one in api.server.table if (one.api_version, one.plural) == (version, self.plural))
        scope = "/namespaces/default" if row.namespaced else ""
        head = {"apiVersion": version, "kind": row.kind}
        self.body = {**head, **filled(case["object"], {"NS": "default"})}
        self.name = self.body["metadata"]["name"]
        root = "apis" if row.group else "api"
        self.url = f"/{root}/{version}{scope}/{self.plural}/{self.name}"
        self.spec = stub.get("spec")
        self.status, self.later = (
            stub.get("status", conditions("True")),
            stub.get("later", conditions("False")),
        )
        if self.plural == "storageversionmigrations":
            self.status, self.later = ({"resourceVersion": "1", **one} for one in (self.status, self.later))


def owned(obj: dict[str, Any], manager: str) -> dict[str, Any]:
    found = [one["fieldsV1"] for one in obj["metadata"]["managedFields"] if one["manager"] == manager]
    return found[0] if found else {}


RESET = [stub for stub in STUBS if not stub["at"].endswith("/servicecidrs")]
"""The status of a ServiceCIDR is anybody's, whatever upstream says it resets."""


@pytest.mark.parametrize("stub", RESET, ids=[stub["at"] for stub in RESET])
async def test_who_writes_what(api: Api, stub: dict[str, Any]) -> None:
    """A status is written by its subresource only, which writes nothing else; managers own just that."""
    one = Tried(api, stub)
    made = await api.patch(f"{one.url}?fieldManager=spec", {**one.body, "status": one.status}, "apply")
    assert made.status == 201, made.message
    assert within(one.status, made.json.get("status")) is (one.plural == "nodes")

    labels = {"metadata": {"name": one.name, "labels": {LABEL: "x"}}}
    body = {**one.body, **labels, "spec": {**one.body.get("spec", {}), **(one.spec or {})}}
    written = await api.patch(
        f"{one.url}/status?fieldManager=status&force=true", {**body, "status": one.status}, "apply"
    )
    assert written.status == 200, written.message
    after = await api.get(one.url)
    assert "f:status" not in owned(after, "spec")
    assert "f:spec" not in owned(after, "status")
    owns_label = f"f:{LABEL}" in owned(after, "status").get("f:metadata", {}).get("f:labels", {})
    assert owns_label is (one.plural in TAKES_METADATA)

    main = await api.patch(one.url, {"status": one.later})
    assert main.status == 200, main.message
    assert not within(one.later, main.json["status"])
    if one.spec is not None:
        answer = await api.patch(f"{one.url}/status", {"spec": one.spec})
        assert answer.status == 422 or not within(one.spec, answer.json["spec"])
    marked = await api.patch(f"{one.url}/status", {"metadata": {"labels": {LABEL: "y"}}})
    assert marked.status == 200, marked.message
    assert (marked.json["metadata"].get("labels", {}).get(LABEL) == "y") is (one.plural in TAKES_METADATA)


@pytest.mark.parametrize("stub", STUBS, ids=[stub["at"] for stub in STUBS])
async def test_generations_count_specs(api: Api, stub: dict[str, Any]) -> None:
    one = Tried(api, stub)
    expected = None if one.plural in WITHOUT_GENERATION else 1
    made = await api.create(one.url.rpartition("/")[0], one.body)
    assert made["metadata"].get("generation") == expected
    told = await api.patch(f"{one.url}/status", {"status": one.later})
    assert told.status == 200, told.message
    assert told.json["metadata"].get("generation") == expected
    changed = await api.patch(one.url, {"spec": one.spec or {}})
    if one.spec is not None and changed.status != 422:
        assert changed.status == 200
        assert changed.json["metadata"].get("generation") == (None if expected is None else 2)


async def test_every_status_is_tried(api: Api) -> None:
    """But for those that say how they are shared with another version, or that one component alone writes."""
    served = {
        f"{row.api_version}/{row.plural}"
        for row in api.server.table
        if row.subresource("status") is not None and row.definition is None
    }
    assert served - {stub["at"] for stub in STUBS} == {
        "certificates.k8s.io/v1beta1/podcertificaterequests",
        "internal.apiserver.k8s.io/v1alpha1/storageversions",
        "networking.k8s.io/v1beta1/servicecidrs",
        "resource.k8s.io/v1alpha3/resourcepoolstatusrequests",
        "resource.k8s.io/v1beta1/resourceclaims",
        "resource.k8s.io/v1beta2/resourceclaims",
    }
