"""What objects show whatever was said: times of conditions, zero numbers, structures, as Go writes them."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


Object = dict[str, Any]
SELECTOR = {"matchLabels": {"a": "b"}}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
RUN = {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
BARE = {"type": "T", "status": "True"}
SINCE = {**BARE, "lastTransitionTime": None}
PROBED = {**SINCE, "lastProbeTime": None}
CONDITIONS: dict[str, tuple[Object, Object]] = {
    "apis/apps/v1/namespaces/default/statefulsets": ({"selector": SELECTOR, "template": TEMPLATE}, SINCE),
    "apis/apps/v1/namespaces/default/daemonsets": ({"selector": SELECTOR, "template": TEMPLATE}, SINCE),
    "apis/apps/v1/namespaces/default/replicasets": ({"selector": SELECTOR, "template": TEMPLATE}, SINCE),
    "apis/apps/v1/namespaces/default/deployments": (
        {"selector": SELECTOR, "template": TEMPLATE}, {**SINCE, "lastUpdateTime": None}
    ),
    "apis/batch/v1/namespaces/default/jobs": ({"template": RUN}, PROBED),
    "apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers": (
        {"maxReplicas": 1, "scaleTargetRef": TARGET}, SINCE
    ),
    "api/v1/namespaces/default/pods": (TEMPLATE["spec"], PROBED),
    "api/v1/namespaces/default/persistentvolumeclaims": (CLAIM, PROBED),
    "api/v1/namespaces/default/replicationcontrollers": (
        {"selector": {"a": "b"}, "template": TEMPLATE}, SINCE
    ),
    "api/v1/nodes": ({}, {**SINCE, "lastHeartbeatTime": None}),
}  # fmt: skip


@pytest.mark.parametrize("path", CONDITIONS)
async def test_conditions_show_since_when(api: Any, path: str) -> None:
    spec, shown = CONDITIONS[path]
    made = await api.create(f"/{path}", {"metadata": {"name": "x"}, "spec": spec})
    made["status"] = {**(made.get("status") or {}), "conditions": [BARE]}
    found = await api.put(f"/{path}/x/status", made)
    assert found["status"]["conditions"] == [shown]
    assert (await api.get(f"/{path}/x"))["status"]["conditions"] == [shown]


async def test_what_a_node_says_of_its_runtimes_and_images(api: Any) -> None:
    node = await api.create("/api/v1/nodes", {"metadata": {"name": "x"}})
    node["status"] |= {
        "runtimeHandlers": [{"features": {"userNamespaces": True}}],
        "images": [{"sizeBytes": 1}],
    }
    status = (await api.put("/api/v1/nodes/x/status", node))["status"]
    assert status["runtimeHandlers"] == [{"name": "", "features": {"userNamespaces": True}}]
    assert status["images"] == [{"names": None, "sizeBytes": 1}]


async def test_what_an_autoscaler_measures_now(api: Any) -> None:
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    spec = {"maxReplicas": 1, "scaleTargetRef": TARGET}
    made = await api.create(path, {"metadata": {"name": "x"}, "spec": spec})
    made["status"]["currentMetrics"] = [{"type": "Resource", "resource": {"name": "cpu"}}]
    found = await api.put(f"{path}/x/status", made)
    assert found["status"]["currentMetrics"] == [
        {"type": "Resource", "resource": {"name": "cpu", "current": {}}}
    ]


REFERENCE = {"resource": "limits.cpu"}


@pytest.mark.parametrize(
    ("given", "shown"), [(None, "0"), ("0", "0"), (0, "0"), (1, "1"), ("1m", "1m"), ("1000m", "1")]
)
async def test_in_what_unit_a_resource_is_told(api: Any, given: Any, shown: str) -> None:
    asked = REFERENCE if given is None else {**REFERENCE, "divisor": given}
    item = {"path": "p", "resourceFieldRef": {**asked, "containerName": "c"}}
    env = {"name": "A", "valueFrom": {"resourceFieldRef": asked}}
    spec = {
        "containers": [{"name": "c", "image": "i", "env": [env]}],
        "volumes": [
            {"name": "v", "downwardAPI": {"items": [item]}},
            {"name": "w", "projected": {"sources": [{"downwardAPI": {"items": [item]}}]}},
        ],
    }  # fmt: skip
    body = {"metadata": {"name": "x"}, "spec": {"selector": SELECTOR, "template": {**TEMPLATE, "spec": spec}}}
    made = await api.create("/apis/apps/v1/namespaces/default/deployments", body)
    pod = made["spec"]["template"]["spec"]
    plain, projected = pod["volumes"]
    for source in (
        pod["containers"][0]["env"][0]["valueFrom"],
        plain["downwardAPI"]["items"][0],
        projected["projected"]["sources"][0]["downwardAPI"]["items"][0],
    ):
        assert source["resourceFieldRef"]["divisor"] == shown


async def test_a_number_that_is_zero_is_kept_where_it_says_something(api: Any) -> None:
    spec = {"selector": SELECTOR, "template": TEMPLATE, "ordinals": {"start": 0}}
    path = "/apis/apps/v1/namespaces/default/statefulsets"
    made = await api.create(path, {"metadata": {"name": "x"}, "spec": spec})
    assert made["spec"]["ordinals"] == {"start": 0}


async def test_a_claim_shows_its_devices(api: Any) -> None:
    path = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
    made = await api.create(path, {"metadata": {"name": "x"}, "spec": {}})
    assert made["spec"] == {"devices": {"requests": None}}


USER = {"kind": "User", "user": {"name": "u"}}
EVERYTHING = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True}
SOURCE = {"kind": "PersistentVolumeClaim", "name": "n"}
OTHER = {"kind": "k", "name": "n"}
CODES = {"operator": "In", "values": [1]}
POLICY = {
    "rules": [{"action": "FailJob", "onExitCodes": CODES}, {"action": "Ignore", "onPodConditions": [BARE]}]
}
POLICY_SHOWN = {
    "rules": [
        {"action": "FailJob", "onExitCodes": {**CODES, "containerName": None}, "onPodConditions": None},
        {"action": "Ignore", "onExitCodes": None, "onPodConditions": [BARE]},
    ]
}
SHARED = {"name": "d", "allowMultipleAllocations": True}
SLICE = {"driver": "d.e", "nodeName": "n", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}}
PATH = {"path": "/", "pathType": "Prefix"}
NULLS: dict[str, tuple[str, Object, Object]] = {
    "where a claim's data come from": (
        "api/v1/namespaces/default/persistentvolumeclaims",
        {**CLAIM, "dataSource": SOURCE},
        {"dataSource": {"apiGroup": None, **SOURCE}, "dataSourceRef": {"apiGroup": None, **SOURCE}},
    ),
    "the same of a reference": (
        "api/v1/namespaces/default/persistentvolumeclaims",
        {**CLAIM, "dataSourceRef": SOURCE},
        {"dataSource": {"apiGroup": None, **SOURCE}, "dataSourceRef": {"apiGroup": None, **SOURCE}},
    ),
    "what is behind an ingress": (
        "apis/networking.k8s.io/v1/namespaces/default/ingresses",
        {
            "defaultBackend": {"resource": OTHER},
            "rules": [{"http": {"paths": [{**PATH, "backend": {"resource": OTHER}}]}}],
        },
        {
            "defaultBackend": {"resource": {"apiGroup": None, **OTHER}},
            "rules": [{"http": {"paths": [{**PATH, "backend": {"resource": {"apiGroup": None, **OTHER}}}]}}],
        },
    ),
    "namespaces of a flow": (
        "apis/flowcontrol.apiserver.k8s.io/v1/flowschemas",
        {
            "priorityLevelConfiguration": {"name": "p"},
            "rules": [{"subjects": [USER], "resourceRules": [EVERYTHING]}],
        },
        {"rules": [{"subjects": [USER], "resourceRules": [{**EVERYTHING, "namespaces": None}]}]},
    ),
    "what pods may fail of": (
        "apis/batch/v1/namespaces/default/jobs",
        {"template": RUN, "podFailurePolicy": POLICY},
        {"podFailurePolicy": POLICY_SHOWN},
    ),
    "how much of a device is taken": (
        "apis/resource.k8s.io/v1/resourceslices",
        {**SLICE, "devices": [{**SHARED, "capacity": {"m": {"value": "1", "requestPolicy": {}}}}]},
        {"devices": [{**SHARED, "capacity": {"m": {"value": "1", "requestPolicy": {"default": None}}}}]},
    ),
}


@pytest.mark.parametrize("name", NULLS)
async def test_fields_that_are_null_rather_than_absent(api: Any, name: str) -> None:
    path, spec, shown = NULLS[name]
    made = await api.create(f"/{path}", {"metadata": {"name": "x"}, "spec": spec})
    for obj in (made, await api.get(f"/{path}/x"), await api.put(f"/{path}/x", made)):
        assert {key: obj["spec"][key] for key in shown} == shown


async def test_ports_of_endpoints_have_no_empty_name(api: Any) -> None:
    subset = {
        "addresses": [{"ip": "1.2.3.4", "hostname": ""}],
        "ports": [{"port": 1, "name": "", "protocol": ""}],
    }
    made = await api.create(
        "/api/v1/namespaces/default/endpoints", {"metadata": {"name": "x"}, "subsets": [subset]}
    )
    assert made["subsets"][0]["ports"] == [{"port": 1, "protocol": "TCP"}]
    assert made["subsets"][0]["addresses"] == [{"ip": "1.2.3.4"}]
