"""What the server says of new objects and of changed ones by itself: statuses, times, generations."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.featuregates import resolve

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.every_version]


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


VOLUMES = "/api/v1/persistentvolumes"
SPEC = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
TIME = "lastPhaseTransitionTime"
CHOSEN = "2020-01-01T00:00:00Z"


async def test_since_when_a_volume_is_in_its_phase(api: Any) -> None:
    made = await api.create(VOLUMES, {"metadata": {"name": "v"}, "spec": SPEC, "status": {TIME: CHOSEN}})
    now = made["metadata"]["creationTimestamp"]
    assert made["status"] == {"phase": "Pending", TIME: now}
    for status, expected in (
        ({"phase": "Pending", "message": "no time of its own"}, now),
        ({"phase": "Available", TIME: CHOSEN}, CHOSEN),
        ({"phase": "Available"}, CHOSEN),
        ({"phase": "Bound", TIME: CHOSEN}, now),
        ({"phase": "Bound", TIME: CHOSEN}, CHOSEN),
        ({"phase": "Released"}, now),
    ):
        made["metadata"].pop("resourceVersion", None)
        after = (await api.put(f"{VOLUMES}/v/status", {**made, "status": status}))["status"]
        assert after == {**status, TIME: expected}
    await api.patch(f"{VOLUMES}/v", {"metadata": {"finalizers": None}})


async def test_the_class_of_a_priority_keeps_its_generation(api: Any) -> None:
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    made = await api.create(path, {"metadata": {"name": "c"}, "value": 7})
    changed = await api.put(f"{path}/c", {**made, "description": "other"})
    assert (made["metadata"]["generation"], changed["metadata"]["generation"]) == (1, 1)


async def test_a_range_of_limits_without_a_name_is_called_by_its_uid(api: Any) -> None:
    path, limits = "/api/v1/namespaces/default/limitranges", {"limits": [{"type": "Pod"}]}
    meta = (await api.create(path, {"spec": limits}))["metadata"]
    assert meta["name"] == meta["uid"]
    meta = (await api.create(path, {"metadata": {"generateName": "l-"}, "spec": limits}))["metadata"]
    assert meta["name"].startswith("l-")


@pytest.mark.parametrize("wiped", [True, False], ids=["wiped", "as once everywhere"])
async def test_the_status_of_a_range(serving: Any, wiped: bool) -> None:
    path = "/apis/networking.k8s.io/v1/servicecidrs"
    ready = {"type": "Ready", "status": "True", "reason": "", "message": "", "lastTransitionTime": CHOSEN}
    told = {"conditions": [ready]}
    async with serving(feature_gates=resolve({"ServiceCIDRStatusFieldWiping": wiped})) as api:
        spec = {"cidrs": ["192.0.2.0/24"]}
        made = await api.create(path, {"metadata": {"name": "c"}, "spec": spec, "status": told})
        assert made["status"] == ({} if wiped else told)
        changed = await api.put(f"{path}/c/status", {**made, "status": told})
        changed = await api.put(f"{path}/c", {**changed, "status": {}})
        assert changed["status"] == (told if wiped else {})


async def test_a_slice_counts_what_its_gate_leaves_out(serving: Any) -> None:
    path = "/apis/resource.k8s.io/v1/resourceslices"
    spec = {"driver": "d.x", "nodeName": "n", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}}
    taint = {"key": "example.com/broken", "effect": "NoSchedule"}
    async with serving(feature_gates=resolve({"DRADeviceTaints": False})) as api:
        made = await api.create(
            path, {"metadata": {"name": "s"}, "spec": spec | {"devices": [{"name": "d"}]}}
        )
        same = await api.put(f"{path}/s", {**made, "metadata": {"name": "s", "labels": {"a": "b"}}})
        tainted = {
            **made,
            "metadata": {"name": "s"},
            "spec": spec | {"devices": [{"name": "d", "taints": [taint]}]},
        }
        changed = await api.put(f"{path}/s", tainted)
    assert [one["metadata"]["generation"] for one in (made, same, changed)] == [1, 1, 2]
    assert changed["spec"] == made["spec"]


async def test_a_slice_of_endpoints_counts_the_free_form_that_it_leaves_out(api: Any) -> None:
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    endpoint: dict[str, Any] = {"addresses": ["10.0.0.1"], "nodeName": "n"}
    made = await api.create(
        path, {"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": [endpoint], "ports": []}
    )
    told = endpoint | {"deprecatedTopology": {"zone": "a"}}
    changed = await api.put(f"{path}/s", {**made, "endpoints": [told]})
    assert (made["metadata"]["generation"], changed["metadata"]["generation"]) == (1, 2)
    assert changed["endpoints"] == made["endpoints"]


@pytest.mark.parametrize("held", [False, True], ids=["at once", "when its last finalizer goes"])
async def test_the_endpoints_of_a_service_go_with_it(api: Any, held: bool) -> None:
    root, finalizers = "/api/v1/namespaces/default", ["example.com/held"] if held else []
    ports = {"ports": [{"port": 80}]}
    await api.create(f"{root}/services", {"metadata": {"name": "s", "finalizers": finalizers}, "spec": ports})
    for name in ("s", "other"):
        await api.create(f"{root}/endpoints", {"metadata": {"name": name}})
    dry = await api("DELETE", f"{root}/services/s?dryRun=All")
    assert (dry.status, (await api("GET", f"{root}/endpoints/s")).status) == (200, 200)
    await api("DELETE", f"{root}/services/s")
    if held:
        assert (await api("GET", f"{root}/endpoints/s")).status == 200
        await api.patch(f"{root}/services/s", {"metadata": {"finalizers": None}})
    found = [(await api("GET", f"{root}/endpoints/{name}")).status for name in ("s", "other")]
    assert found == [404, 200]


TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
WORKLOAD = {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
TARGET = {"kind": "X", "name": "y", "apiVersion": "a/v1"}
COUNTS = {
    "currentNumberScheduled": 0,
    "numberMisscheduled": 0,
    "desiredNumberScheduled": 0,
    "numberReady": 0,
}
WHOLE: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("apps/v1/daemonsets", WORKLOAD, {}, COUNTS),
    ("apps/v1/daemonsets", WORKLOAD, {"numberReady": 2}, COUNTS | {"numberReady": 2}),
    ("apps/v1/replicasets", WORKLOAD, {}, {"replicas": 0}),
    ("apps/v1/statefulsets", WORKLOAD, {"replicas": 1, "readyReplicas": 1},
     {"replicas": 1, "availableReplicas": 0, "readyReplicas": 1}),
    ("autoscaling/v2/horizontalpodautoscalers", {"maxReplicas": 2, "scaleTargetRef": TARGET},
     {"currentReplicas": 1}, {"currentReplicas": 1, "desiredReplicas": 0, "currentMetrics": None}),
    ("autoscaling/v1/horizontalpodautoscalers", {"maxReplicas": 2, "scaleTargetRef": TARGET},
     {"currentReplicas": 1}, {"currentReplicas": 1, "desiredReplicas": 0}),
    ("policy/v1/poddisruptionbudgets", {"selector": {}}, {"currentHealthy": 1},
     {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 0, "expectedPods": 0}),
    ("apps/v1/deployments", WORKLOAD, {"conditions": [{"type": "X"}]},
     {"conditions": [{"type": "X", "status": "", "lastTransitionTime": None, "lastUpdateTime": None}]}),
    ("networking.k8s.io/v1/ingresses", {"defaultBackend": {"service": {"name": "a", "port": {"number": 1}}}},
     {}, {"loadBalancer": {}}),
]  # fmt: skip
TIMES: list[tuple[str, dict[str, Any], dict[str, None]]] = [
    ("/api/v1/namespaces/default/pods", {"containers": [{"name": "c", "image": "i"}]},
     {"lastProbeTime": None, "lastTransitionTime": None}),
    ("/api/v1/nodes", {}, {"lastHeartbeatTime": None, "lastTransitionTime": None}),
    ("/apis/apps/v1/namespaces/default/deployments", WORKLOAD,
     {"lastUpdateTime": None, "lastTransitionTime": None}),
    ("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", {"priorityLevelConfiguration": {"name": "exempt"}},
     {"lastTransitionTime": None}),
    ("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
     {"maxReplicas": 2, "scaleTargetRef": TARGET}, {"lastTransitionTime": None}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "spec", "times"), TIMES, ids=[one[0] for one in TIMES])
async def test_times_that_there_are_not_are_null(
    api: Any, path: str, spec: dict[str, Any], times: dict[str, None]
) -> None:
    await api.create(path, {"metadata": {"name": "x"}, "spec": spec})
    told = {"type": "Told", "status": "True"}
    answer = await api.patch(f"{path}/x/status", {"status": {"conditions": [told]}}, "merge")
    assert answer.json["status"]["conditions"] == [told | times], answer.message
    since = {**told, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    answer = await api.patch(f"{path}/x/status", {"status": {"conditions": [since]}}, "merge")
    assert answer.json["status"]["conditions"] == [times | since]


async def test_the_status_of_a_service_has_its_balancer(api: Any) -> None:
    path = "/api/v1/namespaces/default/services"
    await api.create(path, {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 1}]}})
    answer = await api.patch(f"{path}/x/status", [{"op": "replace", "path": "/status", "value": {}}], "json")
    assert answer.json["status"] == {"loadBalancer": {}}


async def test_a_patch_of_a_definitions_status_that_changes_nothing(api: Any) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    names = {"plural": "things", "kind": "Thing"}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object"}},
    }
    spec = {"group": "nothing.io", "scope": "Cluster", "names": names, "versions": [version]}
    annotations = {"api-approved.kubernetes.io": "unapproved"}
    meta = {"name": "things.nothing.io", "annotations": annotations}
    made = await api.create(path, {"metadata": meta, "spec": spec})
    url = f"{path}/things.nothing.io"
    assert made["status"]["conditions"] == []
    answer = await api.patch(f"{url}/status", [], "json")
    assert answer.json["status"].keys() == made["status"].keys()
    emptied = await api.patch(
        f"{url}/status", [{"op": "replace", "path": "/status/conditions", "value": []}], "json"
    )
    assert emptied.json["status"]["conditions"] == []


@pytest.mark.parametrize("whole", [True, False], ids=["put", "json patch"])
@pytest.mark.parametrize(("at", "spec", "status", "shown"), WHOLE, ids=[one[0] for one in WHOLE])
async def test_a_status_written_in_part_is_shown_whole(
    api: Any, at: str, spec: dict[str, Any], status: dict[str, Any], shown: dict[str, Any], whole: bool
) -> None:
    """As Go writes it: clients with types take such fields for given."""
    version, _, plural = at.rpartition("/")
    path = f"/apis/{version}/namespaces/default/{plural}"
    made = await api.create(path, {"metadata": {"name": "x"}, "spec": spec})
    if whole:
        answer = await api("PUT", f"{path}/x/status", {**made, "status": status})
    else:
        answer = await api.patch(
            f"{path}/x/status", [{"op": "replace", "path": "/status", "value": status}], "json"
        )
    assert (answer.status, answer.json["status"]) == (200, shown), answer.message
    again = await api.patch(f"{path}/x/status", [], "json")
    assert again.json == answer.json == await api.get(f"{path}/x"), "nothing was written"


async def test_containers_of_a_partial_pod_status(api: Any) -> None:
    pods = "/api/v1/namespaces/default/pods"
    await api.create(pods, {"metadata": {"name": "p"}, "spec": TEMPLATE["spec"]})
    status = {"containerStatuses": [{"name": "c", "state": {"terminated": {}}}]}
    answer = await api.patch(f"{pods}/p/status", {"status": status})
    assert answer.json["status"]["containerStatuses"] == [
        {"name": "c", "ready": False, "restartCount": 0, "image": "", "imageID": "",
         "state": {"terminated": {"exitCode": 0, "startedAt": None, "finishedAt": None}}, "lastState": {}}
    ]  # fmt: skip


async def test_an_apply_of_a_part_of_a_status_leaves_the_rest(api: Any) -> None:
    path = "/apis/apps/v1/namespaces/default/daemonsets"
    made = await api.create(path, {"metadata": {"name": "x"}, "spec": WORKLOAD})
    await api.put(f"{path}/x/status", {**made, "status": COUNTS | {"numberReady": 3}})
    body = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "x"}}
    part = {**body, "status": {"desiredNumberScheduled": 4}}
    applied = await api.patch(f"{path}/x/status?fieldManager=m", part, "apply")
    assert applied.json["status"] == COUNTS | {"numberReady": 3, "desiredNumberScheduled": 4}


SHOWN: list[tuple[str, dict[str, Any], tuple[str | int, ...], Any]] = [
    ("apis/apps/v1/namespaces/default/controllerrevisions", {"data": {"a": 1}}, ("revision",), 0),
    ("api/v1/namespaces/default/limitranges", {}, ("spec", "limits"), None),
    ("api/v1/namespaces/default/events", {}, ("involvedObject",), {}),
    ("apis/storagemigration.k8s.io/v1beta1/storageversionmigrations",
     {"spec": {"resource": {"resource": "pods"}}}, ("spec", "resource", "group"), ""),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "field", "value"), SHOWN, ids=[one[0] for one in SHOWN])
async def test_what_go_writes_whatever_was_sent(
    api: Any, path: str, body: dict[str, Any], field: tuple[str | int, ...], value: Any
) -> None:
    found = await api.create(f"/{path}", {"metadata": {"name": "x"}, **body})
    for key in field:
        assert key in found
        found = found[key]
    assert found == value


async def test_versions_of_a_definition_say_what_they_are_for(api: Any) -> None:
    schema = {"schema": {"openAPIV3Schema": {"type": "object"}}}
    versions = [{"name": "v1", "storage": True, "served": True, **schema}, {"name": "v2", **schema}]
    names = {"plural": "foos", "kind": "Foo"}
    spec = {"group": "x.io", "scope": "Cluster", "names": names, "versions": versions}
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    made = await api.create(path, {"metadata": {"name": "foos.x.io"}, "spec": spec})
    assert [(one["served"], one["storage"]) for one in made["spec"]["versions"]] == [
        (True, True),
        (False, False),
    ]
