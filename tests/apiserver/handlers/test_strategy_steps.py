"""What becomes of objects of many kinds step by step: made, changed, and their status written."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.apiserver.conftest import Answer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.every_version]


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


Body = dict[str, Any]
Expected = str | dict[str, Any]
"""A part of what a refusal says, or values at paths of what is stored (None: not there)."""
Step = tuple[str, Body, Expected]
"""``make`` and an object; ``change`` or ``status`` and a merge patch of what is stored; what comes of it."""
META = {"labels": {"foo": "bar"}, "annotations": {"foo": "baz"}, "finalizers": ["a/b"]}
DROPPED = {"metadata.labels": None, "metadata.annotations": None, "metadata.finalizers": None}
NAMESPACED = "/namespaces/default"


def at(obj: Any, path: str) -> Any:
    """Return what lies at a path of keys and places."""
    for key in path.split("."):
        if isinstance(obj, list):
            obj = obj[int(key)] if int(key) < len(obj) else None
        else:
            obj = (obj or {}).get(key)
    return obj


def merged(obj: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    made = dict(obj) if isinstance(obj, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merged(made.get(key), value)
    return made


async def walk(api: Any, path: str, steps: list[Step]) -> None:
    """Take the steps: PUTs of the whole object, as a strategy sees them."""
    stored: Body = {}
    for verb, body, expected in steps:
        if verb == "make":
            answer = await api("POST", path, {"metadata": {"name": "x"}, **copy.deepcopy(body)})
        else:
            part = "/status" if verb == "status" else ""
            answer = await api("PUT", f"{path}/{stored['metadata']['name']}{part}", merged(stored, body))
        stored = _judge(answer, expected) or stored
    if (stored.get("metadata") or {}).get("finalizers"):
        await api.patch(f"{path}/{stored['metadata']['name']}", {"metadata": {"finalizers": None}})


def _judge(answer: Answer, expected: Expected) -> Body | None:
    if isinstance(expected, str):
        assert answer.status == 422, answer.raw
        assert expected in answer.message
        return None
    assert answer.status in (200, 201), answer.raw
    found: Body = answer.json
    assert {path: at(found, path) for path in expected} == expected
    return found


def spec(**fields: Any) -> Body:
    return {"spec": fields}


def steps(path: str, *found: Step) -> tuple[str, list[Step]]:
    return path, list(found)


GENERATION = "metadata.generation"
_NET = "/apis/networking.k8s.io/v1"
BACKEND = {"service": {"name": "default-backend", "port": {"number": 80}}}
INGRESS = {
    "spec": {
        "defaultBackend": BACKEND,
        "rules": [
            {"host": "foo.bar.com", "http": {"paths": [
                {"path": "/foo", "pathType": "ImplementationSpecific", "backend": BACKEND}
            ]}}
        ],
    },
    "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}},
}  # fmt: skip
OTHER_BACKEND = {"service": {"name": "ignore", "port": {"number": 80}}}
NETWORK: dict[str, tuple[str, list[Step]]] = {
    "ingress": steps(
        f"{_NET}{NAMESPACED}/ingresses",
        ("make", INGRESS, {"status.loadBalancer": {}, GENERATION: 1}),
        ("change", {"spec": {"defaultBackend": None, "rules": None}},
         "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"),
        ("status",
         {"spec": {"defaultBackend": OTHER_BACKEND},
          "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.2"}]}}},
         {"status.loadBalancer.ingress.0.ip": "127.0.0.2", GENERATION: 1,
          "spec.defaultBackend.service.name": "default-backend"}),
        ("change", {"spec": {"defaultBackend": OTHER_BACKEND}, "status": None},
         {"status.loadBalancer.ingress.0.ip": "127.0.0.2", GENERATION: 2}),
    ),
    "ingress class": steps(
        f"{_NET}/ingressclasses",
        ("make", {"metadata": {"name": "invalid/name"}, **spec(controller="e.c/c")},
         'metadata.name: Invalid value: "invalid/name"'),
        ("make", spec(controller="e.c/c"), {GENERATION: 1}),
        ("change", {}, {GENERATION: 1}),
        ("change", spec(parameters={"kind": "C", "name": "n"}), {GENERATION: 2}),
        ("change", spec(controller="e.c/d"), "field is immutable"),
    ),
    "network policy": steps(
        f"{_NET}{NAMESPACED}/networkpolicies",
        ("make", spec(podSelector={}, ingress=[{"from": [], "ports": []}]), {GENERATION: 1}),
        ("change", {"metadata": {"labels": {"a": "b"}}}, {GENERATION: 1}),
        ("change", spec(egress=[{"ports": [], "to": []}]), {GENERATION: 2}),
    ),
    "address": steps(
        f"{_NET}/ipaddresses",
        ("make", {"metadata": {"name": "invalid/name"}, **spec(parentRef={"resource": "s", "name": "n"})},
         'metadata.name: Invalid value: "invalid/name"'),
        ("make", {"metadata": {"name": "192.168.1.1"},
                  **spec(parentRef={"resource": "services", "name": "foo", "namespace": "bar"})},
         {GENERATION: None}),
        ("change", {"metadata": {"labels": {"a": "b"}}}, {GENERATION: None}),
        ("change", spec(parentRef={"name": "other"}), "field is immutable"),
    ),
    "range": steps(
        f"{_NET}/servicecidrs",
        ("make", spec(cidrs=["bad cidr"]), 'spec.cidrs[0]: Invalid value: "bad cidr"'),
        ("make", spec(cidrs=["10.10.0.0/24"]), {"spec.cidrs": ["10.10.0.0/24"]}),
        ("change", spec(cidrs=["bad cidr"]), 'spec.cidrs[0]: Invalid value: "bad cidr": field is immutable'),
        ("status",
         {**spec(cidrs=["10.10.0.0/16"]),
          "status": {"conditions": [{"type": "bad type", "status": "bad status"}]}},
         {"spec.cidrs": ["10.10.0.0/24"], "status.conditions.0.type": "bad type"}),
    ),
}  # fmt: skip

_STORAGE = "/apis/storage.k8s.io/v1"
DRIVER = spec(attachRequired=True, podInfoOnMount=True, storageCapacity=True, requiresRepublish=True,
              seLinuxMount=True)  # fmt: skip
NODE_DRIVER = {
    "name": "valid-driver", "nodeID": "valid-node",
    "topologyKeys": ["company.com/zone1", "company.com/zone2"], "allocatable": {"count": 10},
}  # fmt: skip
TOPOLOGY = {"matchExpressions": [{"key": "node", "operator": "In", "values": ["node1"]}]}
ATTACHMENT = spec(attacher="valid-attacher", source={"persistentVolumeName": "v"}, nodeName="valid-node")
INLINE = {
    "accessModes": ["ReadWriteOnce"], "mountOptions": ["soft"],
    "csi": {"driver": "com.test.foo", "volumeHandle": "v"},
}  # fmt: skip
_DRIVERS, _NODES, _ATTACHMENTS = (f"{_STORAGE}/{plural}" for plural in
                                  ("csidrivers", "csinodes", "volumeattachments"))  # fmt: skip
_NODE_NAMED = 'metadata.name: Invalid value: "*foo#"'


def driver_change(**fields: Any) -> tuple[str, list[Step]]:
    """A driver's changes are counted, from none when it was made."""
    return steps(_DRIVERS, ("make", {"spec": {}}, {GENERATION: None}),
                 ("change", spec(**fields), {GENERATION: 1}),
                 ("change", {"metadata": {"labels": {"a": "b"}}}, {GENERATION: 1}))  # fmt: skip


def bad_node(text: str, **fields: Any) -> tuple[str, list[Step]]:
    return steps(_NODES, ("make", spec(drivers=[{**NODE_DRIVER, **fields}]), text))


def bad_attachment(text: str, **fields: Any) -> tuple[str, list[Step]]:
    return steps(_ATTACHMENTS, ("make", merged(ATTACHMENT, spec(**fields)), text))


STORES: dict[str, tuple[str, list[Step]]] = {
    "driver told of pods": driver_change(podInfoOnMount=True),
    "driver of no groups": driver_change(fsGroupPolicy="None"),
    "driver of groups of files": driver_change(fsGroupPolicy="File"),
    "driver of capacity": driver_change(storageCapacity=True),
    "driver with tokens": driver_change(tokenRequests=[{"audience": "gcp"}], requiresRepublish=True),
    "driver that labels mounts": driver_change(seLinuxMount=True),
    "driver": steps(
        _DRIVERS,
        ("make", {"metadata": {"name": "*foo#"}, **DRIVER}, _NODE_NAMED),
        ("make", merged(DRIVER, spec(volumeLifecycleModes=["no-such-mode"])),
         'spec.volumeLifecycleModes: Unsupported value: "no-such-mode"'),
        ("make", merged(DRIVER, spec(volumeLifecycleModes=["Persistent", "Ephemeral"])), {GENERATION: None}),
        ("change", spec(attachRequired=False), "false: field is immutable"),
    ),
    "node": steps(
        _NODES,
        ("make", spec(drivers=[{**NODE_DRIVER, "allocatable": {}}]), {"spec.drivers.0.allocatable": {}}),
        ("change", spec(drivers=[{**NODE_DRIVER, "nodeID": "valid-node-2"}]), "field is immutable"),
    ),
    "node that says no limits": steps(
        _NODES,
        ("make", spec(drivers=[{key: value for key, value in NODE_DRIVER.items() if key != "allocatable"}]),
         {"spec.drivers.0.allocatable": None, GENERATION: None}),
    ),
    "node of an odd driver": bad_node(
        'spec.drivers[0].name: Invalid value: "$csi-driver@"', name="$csi-driver@"
    ),
    "node without an id": bad_node("spec.drivers[0].nodeID: Required value", nodeID=""),
    "node of less than nothing": bad_node(
        "spec.drivers[0].allocatable.count: Invalid value: -1", allocatable={"count": -1}
    ),
    "node of an empty key": bad_node("spec.drivers[0]: Required value",
                                     topologyKeys=["company.com/zone1", ""]),
    "capacity": steps(
        f"{_STORAGE}{NAMESPACED}/csistoragecapacities",
        ("make", {"storageClassName": "bar", "nodeTopology": TOPOLOGY, "capacity": "1Mi"},
         {"capacity": "1Mi"}),
        ("change", {"capacity": "1Gi"}, {"capacity": "1Gi"}),
        ("change", {"capacity": None}, {"capacity": None}),
        ("change", {"storageClassName": "bar-suffix"}, "field is immutable"),
        ("change", {"nodeTopology": {"matchLabels": {"a": "b"}}}, "field is immutable"),
    ),
    "attachment": steps(
        _ATTACHMENTS,
        ("make", {**ATTACHMENT, "status": {"attached": True}}, {"status": {"attached": False}}),
        ("change", spec(nodeName="valid-node-2"), "field is immutable"),
        ("change", {"status": {"attached": True}}, {"status.attached": False}),
        ("status", {**spec(nodeName="valid-node-2"), "metadata": META, "status": {"attached": True}},
         {"status.attached": True, "spec.nodeName": "valid-node", **DROPPED}),
    ),
    "attachment of a volume of its own": steps(
        _ATTACHMENTS,
        ("make", spec(attacher="a", source={"inlineVolumeSpec": INLINE}, nodeName="n"),
         {"spec.source.inlineVolumeSpec.csi.driver": "com.test.foo"}),
        ("change", {"metadata": {"labels": {"a": "b"}}},
         {"spec.source.inlineVolumeSpec.mountOptions": ["soft"]}),
    ),
    "attachment of an odd volume": bad_attachment(
        "spec.source.persistentVolumeName: Invalid value", source={"persistentVolumeName": "invalid-!@#"}
    ),
    "attachment by an odd driver": bad_attachment("spec.attacher: Invalid value", attacher="invalid!@#"),
    "attachment of nothing": bad_attachment(
        "spec.source: Required value", source={"persistentVolumeName": None}
    ),
    "class": steps(
        f"{_STORAGE}/storageclasses",
        ("make", {"provisioner": "kubernetes.io/aws-ebs", "parameters": {"foo": "bar"}}, {GENERATION: None}),
        ("change", {"parameters": {"foo": "baz"}}, "field is immutable"),
    ),
    "class of attributes": steps(
        f"{_STORAGE}/volumeattributesclasses",
        ("make", {"driverName": "fake", "parameters": {"foo": "bar"}}, {GENERATION: None}),
        ("change", {"parameters": {"foo": "baz"}}, "updates to parameters are forbidden"),
    ),
}  # fmt: skip

_DEVICES = "/apis/resource.k8s.io"
TAINTED = spec(
    taint={"key": "example.com/tainted", "effect": "NoExecute", "timeAdded": "2000-01-01T00:00:00Z"}
)
CONDITION = {"type": "foo", "status": "False", "lastTransitionTime": "2000-01-01T00:00:00Z",
             "reason": "something", "message": "else"}  # fmt: skip
STATED = {"status": {"conditions": [CONDITION]}}
SLICE = spec(nodeName="n", driver="d.example.com", pool={"name": "p", "resourceSliceCount": 1},
             devices=[{"name": "device-0"}])  # fmt: skip
EXACT = {"exactly": {"deviceClassName": "class", "allocationMode": "All"}}
REQUEST = "spec.spec.devices.requests.0"
ADMIN_ACCESS = "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label"


def asks(**request: Any) -> Body:
    return spec(spec={"devices": {"requests": [{"name": "req-0", **request}]}})


DEVICES: dict[str, tuple[str, list[Step]]] = {
    "taint": steps(
        f"{_DEVICES}/v1beta2/devicetaintrules",
        ("make", {"metadata": {"name": "%#@$%$"}, **TAINTED}, "a lowercase RFC 1123 subdomain"),
        ("make", {**TAINTED, "metadata": {"name": "x", "generation": 42}, **STATED},
         {"status": {}, GENERATION: 1, "spec.taint.timeAdded": "2000-01-01T00:00:00Z"}),
        ("change", STATED, {"status": {}, GENERATION: 1}),
        ("change", spec(taint={"key": "example.com/tainted-other"}),
         {"spec.taint.timeAdded": "2000-01-01T00:00:00Z", GENERATION: 2}),
        ("change", spec(taint={"value": "value"}),
         {"spec.taint.timeAdded": "2000-01-01T00:00:00Z", GENERATION: 3}),
        ("change", spec(taint={"timeAdded": "2000-01-01T00:00:05Z"}),
         {"spec.taint.timeAdded": "2000-01-01T00:00:05Z", GENERATION: 4}),
        ("status", {"metadata": META, **spec(taint={"effect": "None"}), **STATED},
         {"spec.taint.effect": "NoExecute", "status.conditions.0.type": "foo", GENERATION: 4, **DROPPED}),
    ),
    "class of devices": steps(
        f"{_DEVICES}/v1/deviceclasses",
        ("make", {"metadata": {"name": "%#@$%$"}, "spec": {}}, "a lowercase RFC 1123 subdomain"),
        ("make", {"spec": {}}, {GENERATION: 1}),
        ("change", {}, {GENERATION: 1}),
        ("change", spec(extendedResourceName="example.com/gpu"),
         {GENERATION: 2, "spec.extendedResourceName": "example.com/gpu"}),
        ("change", {}, {GENERATION: 2, "spec.extendedResourceName": "example.com/gpu"}),
    ),
    "slice of devices": steps(
        f"{_DEVICES}/v1/resourceslices",
        ("make", {"metadata": {"name": "%#@$%$"}, **SLICE}, "a lowercase RFC 1123 subdomain"),
        ("make", SLICE, {GENERATION: 1}),
        ("change", {}, {GENERATION: 1}),
        ("change", spec(devices=[{"name": "device-0"}, {"name": "device-1"}]), {GENERATION: 2}),
    ),
    "template of claims": steps(
        f"{_DEVICES}/v1{NAMESPACED}/resourceclaimtemplates",
        ("make", {"metadata": {"name": "%#@$%$"}, **asks(**EXACT)}, "a lowercase RFC 1123 subdomain"),
        ("make", asks(), "exactly one of `exactly` or `firstAvailable` is required"),
        ("make", asks(exactly={"deviceClassName": "class", "adminAccess": True}), ADMIN_ACCESS),
        ("make", asks(**EXACT), {f"{REQUEST}.exactly.allocationMode": "All", GENERATION: None}),
        ("change", {}, {f"{REQUEST}.exactly.allocationMode": "All"}),
        ("change", asks(exactly={**EXACT["exactly"], "adminAccess": True}), "field is immutable"),
    ),
    "template of claims for the first there is": steps(
        f"{_DEVICES}/v1{NAMESPACED}/resourceclaimtemplates",
        ("make", asks(firstAvailable=[{"name": "sub", "deviceClassName": "class"}]),
         {f"{REQUEST}.firstAvailable.0.allocationMode": "ExactCount",
          f"{REQUEST}.firstAvailable.0.count": 1}),
    ),
}  # fmt: skip

GROUP_SPEC = {
    "podGroupTemplateRef": {"workload": {"workloadName": "w", "podGroupTemplateName": "t"}},
    "schedulingPolicy": {"gang": {"minCount": 5}},
}
OTHERS: dict[str, tuple[str, list[Step]]] = {
    "budget": steps(
        f"/apis/policy/v1{NAMESPACED}/poddisruptionbudgets",
        ("make", spec(minAvailable=3, selector={"matchLabels": {"a": "b"}}), {GENERATION: 1}),
        ("change", {"status": {"currentHealthy": 3}}, {"status.currentHealthy": 0, GENERATION: 1}),
        ("change", spec(selector={"matchLabels": {"a": "bar"}}), {GENERATION: 2}),
        ("change", spec(minAvailable="28%"), {GENERATION: 3}),
        ("status", {**spec(minAvailable=2), "status": {"currentHealthy": 2, "desiredHealthy": 3}},
         {"spec.minAvailable": "28%", "status.currentHealthy": 2, GENERATION: 3}),
    ),
    "slice of endpoints": steps(
        f"/apis/discovery.k8s.io/v1{NAMESPACED}/endpointslices",
        ("make", {"addressType": "IPv4", "endpoints": [
            {"addresses": ["1.2.3.4"], "hostname": "h", "deprecatedTopology": {"key": "value"}}]},
         {GENERATION: 1, "endpoints.0.hostname": "h", "endpoints.0.deprecatedTopology": None}),
        ("change", {}, {GENERATION: 1}),
        ("change", {"endpoints": [{"addresses": ["1.2.3.5"]}]}, {GENERATION: 2}),
        ("change", {"metadata": {"labels": {"example": "two"}}}, {GENERATION: 3}),
    ),
    "class of priority": steps(
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        ("make", {"value": 10}, {"value": 10}),
        ("change", {"value": 20}, "value: Forbidden: may not be changed in an update."),
    ),
    "class of runtimes": steps(
        "/apis/node.k8s.io/v1/runtimeclasses",
        ("make", {"handler": "bar"}, {"handler": "bar"}),
        ("change", {"metadata": {"labels": {"foo": "bar"}}}, {"metadata.labels.foo": "bar"}),
        ("change", {"overhead": {"podFixed": {"my.org": "10m"}}},
         "must be a standard resource for containers"),
        ("change", {"handler": "other"}, "field is immutable"),
    ),
    "version of storage": steps(
        "/apis/internal.apiserver.k8s.io/v1alpha1/storageversions",
        ("make", {"metadata": {"name": "core.pods"}, "spec": {}, "status": {"commonEncodingVersion": "v1"}},
         {"status": {}}),
        ("change", {"metadata": {"labels": {"a": "b"}}}, {"metadata.labels.a": "b"}),
    ),
}  # fmt: skip

ALL = {**NETWORK, **STORES, **DEVICES, **OTHERS}


@pytest.mark.parametrize(("path", "taken"), ALL.values(), ids=ALL)
async def test_steps(api: Any, path: str, taken: list[Step]) -> None:
    await walk(api, path, taken)


async def test_when_the_effect_of_a_taint_changed(api: Any) -> None:
    """The time goes with the effect, unless the change brings one of its own."""
    path = f"{_DEVICES}/v1beta2/devicetaintrules"
    made = await api.create(path, {"metadata": {"name": "x"}, **TAINTED})
    changed = await api.put(f"{path}/x", merged(made, spec(taint={"effect": "None"})))
    now = made["metadata"]["creationTimestamp"]
    assert (changed["spec"]["taint"]["timeAdded"], changed["metadata"]["generation"]) == (now, 2)
    own = spec(taint={"effect": "NoSchedule", "timeAdded": "2000-01-01T00:00:05Z"})
    changed = await api.put(f"{path}/x", merged(changed, own))
    assert changed["spec"]["taint"]["timeAdded"] == "2000-01-01T00:00:05Z"


CPU = "targetCPUUtilizationPercentage"
_USE = {"type": "Utilization", "averageUtilization": 70}
_VALUE = {"type": "AverageValue", "averageValue": "300m"}
METRICS: dict[str, tuple[list[Body], int | None]] = {
    "a value and a use": ([_VALUE, _USE], 70),
    "a use and a value": ([_USE, _VALUE], 70),
    "a use": ([_USE], 70),
    "a value": ([_VALUE], None),
}


@pytest.mark.parametrize(("targets", "shown"), METRICS.values(), ids=METRICS)
async def test_what_the_older_autoscaler_shows(api: Any, targets: list[Body], shown: int | None) -> None:
    metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": target}} for target in targets]
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    fields = {"minReplicas": 1, "maxReplicas": 3, "scaleTargetRef": target, "metrics": metrics}
    path = f"{NAMESPACED}/horizontalpodautoscalers"
    await api.create(f"/apis/autoscaling/v2{path}", {"metadata": {"name": "x"}, "spec": fields})
    old = await api.get(f"/apis/autoscaling/v1{path}/x")
    assert (old["spec"].get(CPU), old["spec"]["minReplicas"], old["spec"]["maxReplicas"]) == (shown, 1, 3)
    again = await api.put(f"/apis/autoscaling/v1{path}/x", old)
    assert again["spec"].get(CPU) == shown
    kept = (await api.get(f"/apis/autoscaling/v2{path}/x"))["spec"]["metrics"]
    assert sorted(map(str, kept)) == sorted(map(str, metrics))


SHARES = "spec.limited.nominalConcurrencyShares"


@pytest.mark.parametrize(("given", "stored"), [({"nominalConcurrencyShares": 0}, 0), ({}, 30),
                                               ({"nominalConcurrencyShares": 1}, 1)])  # fmt: skip
@pytest.mark.parametrize("before", [0, 1])
async def test_shares_of_a_level(api: Any, given: Body, stored: int, before: int) -> None:
    limited = {"limitResponse": {"type": "Reject"}}
    level = {"type": "Limited", "limited": {**limited, **given}}
    path = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations"
    made = await api.create(path, {"metadata": {"name": "new"}, "spec": level})
    assert at(made, SHARES) == stored
    old = {"type": "Limited", "limited": {**limited, "nominalConcurrencyShares": before}}
    made = await api.create(path, {"metadata": {"name": "old"}, "spec": old})
    assert at(await api.put(f"{path}/old", {**made, "spec": level}), SHARES) == stored


_GROUPS = f"/apis/scheduling.k8s.io/v1alpha2{NAMESPACED}"
SCHEDULED = {**CONDITION, "type": "PodGroupScheduled", "status": "True", "reason": "Scheduled"}


def policy(**policies: Any) -> Body:
    return spec(**{**GROUP_SPEC, "schedulingPolicy": policies})


async def test_groups_of_pods(api: Any) -> None:
    templates = [{"name": "t", "schedulingPolicy": {"gang": {"minCount": 5}}}]
    await api.create(f"{_GROUPS}/workloads", {"metadata": {"name": "w"}, **spec(podGroupTemplates=templates)})
    taken: list[Step] = [
        ("make", policy(gang={"minCount": -1}), "must be greater than or equal to 1"),
        ("make", policy(gang={"minCount": 5}, basic={}), "must specify exactly one of: `basic`, `gang`"),
        ("make", policy(), "must specify one of: `basic`, `gang`"),
        ("make", {**spec(**GROUP_SPEC), "status": {"conditions": [SCHEDULED]}}, {"status.conditions": None}),
        ("change", spec(podGroupTemplateRef={"workload": {"workloadName": "foo"}}), "field is immutable"),
        ("change", spec(schedulingPolicy={"gang": {"minCount": 4}}), "field is immutable"),
        ("change", spec(schedulingPolicy={"basic": {}, "gang": None}), "field is immutable"),
        ("status", {"metadata": META, "status": {"conditions": [SCHEDULED]}},
         {"status.conditions.0.type": "PodGroupScheduled", **DROPPED,
          "metadata.finalizers": ["scheduling.k8s.io/podgroup-protection"]}),
        ("change", {"status": None}, {"status.conditions.0.type": "PodGroupScheduled"}),
    ]  # fmt: skip
    await walk(api, f"{_GROUPS}/podgroups", taken)
    await api.patch(f"{_GROUPS}/podgroups/x", {"metadata": {"finalizers": None}})
