"""What creating and changing what runs pods keeps, resets, counts and warns of: upstream's tables."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tiphys.apimachinery.featuregates import resolve

pytestmark = pytest.mark.asyncio(loop_scope="module")

Body = dict[str, Any]
APPS, CORE = "/apis/apps/v1/namespaces/default", "/api/v1/namespaces/default"
CONTROLLERS, SETS, STATEFUL = f"{CORE}/replicationcontrollers", f"{APPS}/replicasets", f"{APPS}/statefulsets"
KINDS = {
    CONTROLLERS: "ReplicationController",
    SETS: "ReplicaSet",
    f"{APPS}/deployments": "Deployment",
    STATEFUL: "StatefulSet",
    f"{APPS}/daemonsets": "DaemonSet",
}


def template(**labels: str) -> Body:
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "abc", "image": "image"}]}}


def selecting(path: str, **labels: str) -> Body:
    selector = labels if path == CONTROLLERS else {"matchLabels": labels}
    return {"selector": selector, "template": template(**labels)}


def workload(path: str, **spec: Any) -> Body:
    return {"metadata": {"name": "abc"}, "spec": {**selecting(path, a="b"), **spec}}


@pytest.mark.parametrize("path", KINDS, ids=KINDS.values())
async def test_statuses_and_specs_are_written_apart(api: Any, path: str) -> None:
    count = "currentNumberScheduled" if "daemon" in path else "replicas"
    status = {count: 3, "observedGeneration": 10}
    made = await api.create(path, {**workload(path), "status": status})
    assert made["status"].get(count, 0) == made["status"].get("observedGeneration", 0) == 0
    made["metadata"].pop("resourceVersion")
    told = deepcopy(made) | {"status": {**made["status"], **status}}
    told["spec"]["minReadySeconds"] = 7
    written = await api.put(f"{path}/abc/status", told)
    assert (written["spec"], written["metadata"]["generation"]) == (made["spec"], 1)
    assert {key: written["status"][key] for key in status} == status
    changed = await api.put(f"{path}/abc", told | {"status": {}})
    assert (changed["spec"]["minReadySeconds"], changed["metadata"]["generation"]) == (7, 2)
    assert changed["status"] == written["status"]


@pytest.mark.parametrize("path", KINDS, ids=KINDS.values())
async def test_who_may_select_others(api: Any, path: str) -> None:
    made = await api.create(path, workload(path))
    made["spec"] |= selecting(path, c="d")
    answer = await api("PUT", f"{path}/abc", made)
    if path == CONTROLLERS:
        assert answer.json["spec"]["selector"] == {"c": "d"}
        return
    assert answer.status == 422
    fault = 'spec.selector: Invalid value: {"matchLabels":{"c":"d"}}: field is immutable'
    if path == STATEFUL:
        fault = "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals'"
    assert fault in answer.message


UNCONVERTED = "non-convertible.kubernetes.io"
BROKEN: dict[str, tuple[str, Body, str]] = {
    "another count": ("spec.selector", {"replicas": 5}, ""),
    "another selector": (
        "spec.selector", selecting(CONTROLLERS, a="b", shiny="newlabel"),
        'spec.selector: Invalid value: {"a":"b","shiny":"newlabel"}: cannot update non-convertible selector',
    ),
    "something else": ("spec.x", {}, 'spec.x: Not found: "no way": unknown non-convertible field'),
}  # fmt: skip


@pytest.mark.parametrize(("field", "change", "fault"), BROKEN.values(), ids=BROKEN)
async def test_a_selector_that_had_no_place_here_stays(
    api: Any, field: str, change: Body, fault: str
) -> None:
    body = workload(CONTROLLERS, replicas=3)
    body["metadata"]["annotations"] = {f"{UNCONVERTED}/{field}": "no way"}
    made = await api.create(CONTROLLERS, body)
    answer = await api("PUT", f"{CONTROLLERS}/abc", {**made, "spec": {**made["spec"], **change}})
    expected = f'ReplicationController "abc" is invalid: {fault}' if fault else ""
    assert (answer.status, answer.message) == (422 if fault else 200, expected)


@pytest.mark.parametrize("path", [SETS, f"{APPS}/deployments"], ids=["ReplicaSet", "Deployment"])
@pytest.mark.parametrize(
    ("on", "before", "after"), [(False, None, None), (False, 2, 5), (True, None, 2), (True, 2, 5)]
)
async def test_pods_that_are_ending_are_counted_with_the_gate(
    serving: Any, path: str, *, on: bool, before: int | None, after: int | None
) -> None:
    """Or where they were counted before."""
    ending, gate = "terminatingReplicas", "DeploymentReplicaSetTerminatingReplicas"
    async with serving(feature_gates=resolve({gate: True})) as api:
        await api.create(path, workload(path))
        status = {"replicas": 3, **({ending: before} if before else {})}
        assert (await api.patch(f"{path}/abc/status", {"status": status})).json["status"].get(
            ending
        ) == before
        store = api.store.copy()
    async with serving(store, feature_gates=resolve({gate: on})) as api:
        answer = await api.patch(f"{path}/abc/status", {"status": {"replicas": 2, ending: after or 2}})
        assert answer.json["status"]["replicas"] == 2
        assert answer.json["status"].get(ending) == after


async def test_a_write_of_a_deployments_status_takes_annotations_along(api: Any) -> None:
    path = f"{APPS}/deployments"
    body = workload(path)
    body["metadata"] |= {"labels": {"test": "label"}, "annotations": {"test": "annotation"}}
    made = await api.create(path, body)
    meta = {"labels": {"sneaky": "label"}, "annotations": {"sneaky": "annotation"}}
    changed = (await api.patch(f"{path}/abc/status", {"metadata": meta})).json["metadata"]
    assert changed["labels"] == {"test": "label"}
    assert changed["annotations"] == {"test": "annotation", "sneaky": "annotation"}
    assert changed["generation"] == made["metadata"]["generation"]


KEEP = "persistentVolumeClaimRetentionPolicy"
MANY = (
    "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is "
    "recommended"
)
WRONG: dict[str, tuple[Body, str]] = {
    "seconds": (
        {"minReadySeconds": -1},
        "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
    ),
    "what becomes of claims": (
        {KEEP: {"whenDeleted": "invalid policy"}},
        f'spec.{KEEP}.whenDeleted: Unsupported value: "invalid policy": supported values: "Retain", "Delete"',
    ),
}


@pytest.mark.parametrize(("spec", "fault"), WRONG.values(), ids=WRONG)
async def test_what_no_stateful_set_says(api: Any, spec: Body, fault: str) -> None:
    answer = await api("POST", STATEFUL, workload(STATEFUL, **spec))
    assert (answer.status, answer.message) == (422, f'StatefulSet.apps "abc" is invalid: {fault}')


FREE: dict[str, tuple[Body, Body]] = {
    "seconds": ({"minReadySeconds": 20}, {"minReadySeconds": 10}),
    "seconds at last": ({}, {"minReadySeconds": 50}),
    "numbers": ({"ordinals": {"start": 1}}, {"ordinals": {"start": 2}}),
    "what becomes of claims": ({}, {KEEP: {"whenDeleted": "Retain", "whenScaled": "Delete"}}),
}


@pytest.mark.parametrize(("before", "after"), FREE.values(), ids=FREE)
async def test_what_of_a_stateful_set_may_change(api: Any, before: Body, after: Body) -> None:
    made = await api.create(STATEFUL, workload(STATEFUL, **before))
    changed = await api.put(f"{STATEFUL}/abc", {**made, "spec": {**made["spec"], **after}})
    assert changed["spec"] == {**made["spec"], **after}


async def test_of_a_history_without_end_one_is_told(api: Any, told: Any) -> None:
    answer = await api("POST", STATEFUL, workload(STATEFUL, revisionHistoryLimit=-2))
    assert told(answer) == [MANY]
    assert told(await api.patch(f"{STATEFUL}/abc", {"spec": {"revisionHistoryLimit": 2}})) == []
    assert told(await api.patch(f"{STATEFUL}/abc", {"spec": {"revisionHistoryLimit": -2}})) == [MANY]


@pytest.mark.parametrize(
    ("on", "old", "new"), [(False, None, None), (False, 3, 3), (True, None, 3), (True, 3, 1)]
)
async def test_how_many_pods_of_a_set_may_be_missing(
    serving: Any, *, on: bool, old: int | None, new: int | None
) -> None:
    gate = "MaxUnavailableStatefulSet"
    asked = {"rollingUpdate": {"maxUnavailable": new or 3}}
    async with serving(feature_gates=resolve({gate: old is not None})) as api:
        rolling = {"maxUnavailable": old} if old else {}
        await api.create(STATEFUL, workload(STATEFUL, updateStrategy={"rollingUpdate": rolling}))
        store = api.store.copy()
    async with serving(store, feature_gates=resolve({gate: on})) as api:
        answer = await api.patch(f"{STATEFUL}/abc", {"spec": {"updateStrategy": asked}})
        assert answer.json["spec"]["updateStrategy"]["rollingUpdate"].get("maxUnavailable") == new


@pytest.mark.parametrize("strategy", [{"maxUnavailable": 2}, {"maxUnavailable": 0, "maxSurge": "1%"}])
@pytest.mark.parametrize("before", [{"maxUnavailable": 2}, {"maxUnavailable": 0, "maxSurge": 1}])
async def test_daemon_sets_replace_pods_before_or_after(api: Any, before: Body, strategy: Body) -> None:
    path = f"{APPS}/daemonsets"
    await api.create(path, workload(path, updateStrategy={"rollingUpdate": before}))
    change = {"rollingUpdate": {"maxSurge": 0, **strategy}}
    found = (await api.patch(f"{path}/abc", {"spec": {"updateStrategy": change}})).json
    assert found["spec"]["updateStrategy"] == {"type": "RollingUpdate", **change}
