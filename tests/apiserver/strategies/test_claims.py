"""What a PersistentVolumeClaim is filled with, and what of a status stays: upstream's tables of claims."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.featuregates import resolve

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
Body = dict[str, Any]

VOLUME = {"apiGroup": "", "kind": "PersistentVolumeClaim", "name": "my-vol"}
NO_GROUP = {"apiGroup": None, "kind": "PersistentVolumeClaim", "name": "my-vol"}
SNAPSHOT = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "my-snap"}
OTHER = {"apiGroup": "generic.storage.k8s.io", "kind": "Generic", "name": "my-foo"}
POD = {"apiGroup": "", "kind": "Pod", "name": "my-pod"}
STRANGER = {"apiGroup": "invalid.pvc.api.group", "kind": "PersistentVolumeClaim", "name": "x"}
SOURCES = {"volume": VOLUME, "snapshot": SNAPSHOT, "other": OTHER, "pod": POD}


def claim(**spec: Any) -> Body:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10G"}}}
    given = {key: value for key, value in spec.items() if value is not None}
    return {"metadata": {"name": "c"}, "spec": wanted | given}


def elsewhere(source: Body) -> Body:
    return {**source, "namespace": "ns1"}


def sources(found: Body) -> tuple[Body | None, Body | None]:
    return found["spec"].get("dataSource"), found["spec"].get("dataSourceRef")


NEW: dict[str, tuple[Body | None, Body | None, Body | None, Body | None]] = {
    "nothing": (None, None, None, None),
    "a volume": (VOLUME, None, VOLUME, VOLUME),
    "a volume of no group": (NO_GROUP, None, NO_GROUP, NO_GROUP),
    "a snapshot": (SNAPSHOT, None, SNAPSHOT, SNAPSHOT),
    "another kind": (OTHER, None, None, None),
    "a pod": (POD, None, None, None),
    "a claim of a strange group": (STRANGER, None, None, None),
    "a reference to a volume": (None, VOLUME, VOLUME, VOLUME),
    "a reference to a snapshot": (None, SNAPSHOT, SNAPSHOT, SNAPSHOT),
    "a reference to another kind": (None, OTHER, OTHER, OTHER),
}


@pytest.mark.parametrize(("source", "reference", "kept", "referred"), NEW.values(), ids=NEW)
async def test_what_a_new_claim_is_filled_with(
    api: Any, source: Body | None, reference: Body | None, kept: Body | None, referred: Body | None
) -> None:
    made = await api.create(CLAIMS, claim(dataSource=source, dataSourceRef=reference))
    assert sources(made) == (kept, referred)


BAD_KIND = "Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default apiGroup"
REFUSED: dict[str, tuple[Body | None, Body, str]] = {
    "a pod": (None, POD, f"[spec.dataSource: {BAD_KIND}, spec.dataSourceRef: {BAD_KIND}]"),
    "two that are not the same": (
        VOLUME, SNAPSHOT, 'spec: Invalid value: "spec.dataSource": must match dataSourceRef',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "reference", "fault"), REFUSED.values(), ids=REFUSED)
async def test_what_none_is_filled_with(api: Any, source: Body | None, reference: Body, fault: str) -> None:
    """Both are refused as what the other one follows from them."""
    answer = await api("POST", CLAIMS, claim(dataSource=source, dataSourceRef=reference))
    assert answer.status == 422
    assert answer.message == f'PersistentVolumeClaim "c" is invalid: {fault}'


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
async def test_a_source_in_another_namespace(serving: Any, source: Body, *, on: bool) -> None:
    async with serving(feature_gates=resolve({"CrossNamespaceVolumeDataSource": on})) as api:
        answer = await api("POST", CLAIMS, claim(dataSourceRef=elsewhere(source)))
        if source == POD and on:
            assert answer.status == 422
        else:
            assert sources(answer.json) == (None, elsewhere(source) if on else None)


KEPT: dict[str, tuple[Body | None, Body | None, Body | None, Body | None]] = {
    "nothing new": (VOLUME, VOLUME, VOLUME, VOLUME),
    "by a client that knows no references": (VOLUME, None, VOLUME, VOLUME),
    "by a client that knows no references, another kind": (OTHER, None, OTHER, OTHER),
    "of which only the reference is said": (None, SNAPSHOT, SNAPSHOT, SNAPSHOT),
}


@pytest.mark.parametrize(("source", "reference", "kept", "referred"), KEPT.values(), ids=KEPT)
async def test_what_a_changed_claim_keeps(
    api: Any, source: Body | None, reference: Body | None, kept: Body | None, referred: Body | None
) -> None:
    await api.create(CLAIMS, claim(dataSourceRef=referred))
    changed = claim(dataSource=source, dataSourceRef=reference)
    changed["metadata"]["labels"] = {"a": "b"}
    after = await api.put(f"{CLAIMS}/c", changed)
    assert (after["metadata"]["labels"], sources(after)) == ({"a": "b"}, (kept, referred))


STORED: dict[str, tuple[Body | None, Body | None, Body | None, Body | None]] = {
    "neither": (None, None, None, None),
    "a source": (VOLUME, None, VOLUME, VOLUME),
    "a reference": (None, SNAPSHOT, SNAPSHOT, SNAPSHOT),
    "a reference elsewhere": (None, elsewhere(OTHER), None, elsewhere(OTHER)),
    "both": (VOLUME, VOLUME, VOLUME, VOLUME),
}


@pytest.mark.parametrize(("source", "reference", "shown", "referred"), STORED.values(), ids=STORED)
async def test_what_an_older_server_left_of_it_is_shown_in_both_ways(
    api: Any,
    left_behind: Any,
    source: Body | None,
    reference: Body | None,
    shown: Body | None,
    referred: Body | None,
) -> None:
    made = await api.create(CLAIMS, claim())
    spec = claim(dataSource=source, dataSourceRef=reference)["spec"]
    assert sources(await left_behind(CLAIMS, {**made, "spec": spec})) == (shown, referred)
    assert [sources(item) for item in (await api.get(CLAIMS))["items"]] == [(shown, referred)]


RESIZING = {"type": "Resizing", "status": "True"}
STATUSES: dict[str, Body] = {
    "conditions": {"conditions": [RESIZING | {"lastProbeTime": None, "lastTransitionTime": None}]},
    "no conditions": {},
    "what is being given": {"allocatedResources": {"storage": "5G"}},
    "how that goes": {"allocatedResourceStatuses": {"storage": "NodeResizeInProgress"}},
    "its attributes": {"currentVolumeAttributesClassName": "foo"},
    "how these change": {
        "modifyVolumeStatus": {"targetVolumeAttributesClassName": "bar", "status": "Pending"}
    },
}


@pytest.mark.parametrize("before", STATUSES.values(), ids=STATUSES)
@pytest.mark.parametrize("after", STATUSES.values(), ids=STATUSES)
async def test_all_of_a_status_may_be_written_and_taken_back(api: Any, before: Body, after: Body) -> None:
    made = await api.create(CLAIMS, {**claim(), "status": before})
    assert made["status"] == {"phase": "Pending"}
    for status in (before, after):
        made["metadata"] = {"name": "c", "labels": {"a": "b"}}
        changed = {**made, "spec": claim(volumeName="v")["spec"], "status": {"phase": "Pending", **status}}
        written = await api.put(f"{CLAIMS}/c/status", changed)
        assert (written["spec"], written["status"]) == (made["spec"], {"phase": "Pending", **status})
    after_all = await api.put(f"{CLAIMS}/c", {**made, "metadata": {"name": "c"}, "status": {"phase": "Lost"}})
    assert after_all["status"] == written["status"]


SMALL = 'spec.resources.{}[storage]: fractional byte value \\"{}\\" is invalid, must be an integer'
OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
INSTEAD = 'deprecated since v1.8; use \\"storageClassName\\" attribute instead'
WARNED: dict[str, tuple[Body, Body, list[str]]] = {
    "200Mi": ({"requests": {"storage": "200Mi"}, "limits": {"storage": "200Mi"}}, {}, []),
    "200": ({"requests": {"storage": "200"}}, {}, []),
    "200m": (
        {"requests": {"storage": "200m"}, "limits": {"storage": "200m"}}, {},
        [SMALL.format("requests", "200m"), SMALL.format("limits", "200m")],
    ),
    "an old class": (
        {"requests": {"storage": "1"}}, {OLD_CLASS: ""},
        [f"metadata.annotations[{OLD_CLASS}]: {INSTEAD}"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("resources", "annotations", "texts"), WARNED.values(), ids=WARNED)
async def test_of_what_whoever_claims_is_told(
    api: Any, told: Any, resources: Body, annotations: Body, texts: list[str]
) -> None:
    body = {"metadata": {"name": "c", "annotations": annotations}, "spec": claim(resources=resources)["spec"]}
    assert told(await api("POST", CLAIMS, body)) == texts
