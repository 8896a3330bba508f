"""Rules that feature gates change: what is a fault with a gate off, and with it on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tiphys.apimachinery.featuregates import DEFAULTS, FeatureGates, changed, on, using
from tiphys.apimachinery.meta import GVK, copy_object, gvk_of
from tiphys.apis.field_gates import FieldGates
from tiphys.apis.strategies import strategy_for, validate_create

Body = dict[str, Any]


@contextmanager
def gates(**asked: bool) -> Iterator[None]:
    with using(FeatureGates(asked)):
        yield


def test_gates_are_those_of_who_runs() -> None:
    assert not on("HPAScaleToZero")
    with gates(HPAScaleToZero=True):
        assert on("HPAScaleToZero")
        assert on("EnvFiles")
    assert not on("HPAScaleToZero")
    assert not changed(DEFAULTS)
    assert not changed(FeatureGates({"HPAScaleToZero": False, "EnvFiles": True}))
    assert changed(FeatureGates({"HPAScaleToZero": True}))


def whole(api_version: str, kind: str, name: str = "x", annotations: Any = None, **rest: Any) -> Body:
    meta = {"name": name, "namespace": "ns", **({"annotations": annotations} if annotations else {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **rest}


def pod(annotations: Any = None, **spec: Any) -> Body:
    spec = {"containers": [{"name": "c", "image": "i"}], **spec}
    return whole("v1", "Pod", annotations=annotations, spec=spec)


def tolerating(operator: str, value: str) -> Body:
    return pod(tolerations=[{"key": "k", "operator": operator, "value": value, "effect": "NoSchedule"}])


def autoscaler(**spec: Any) -> Body:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    metric = {"metric": {"name": "m"}, "target": {"type": "Value", "value": "1"}}
    spec = {"scaleTargetRef": target, "maxReplicas": 2, "minReplicas": 0, **spec}
    return whole(
        "autoscaling/v2", "HorizontalPodAutoscaler",
        spec={"metrics": [{"type": "External", "external": metric}], **spec},
    )  # fmt: skip


def runtime_class(operator: str, value: str) -> Body:
    scheduling = tolerating(operator, value)["spec"]
    return whole("node.k8s.io/v1", "RuntimeClass", handler="h", scheduling=scheduling)


def restarted(action: str) -> Body:
    rule = {"action": action, "exitCodes": {"operator": "In", "values": [1]}}
    own = {"restartPolicy": "Never", "restartPolicyRules": [rule]}
    return pod(containers=[{"name": "c", "image": "i", **own}], restartPolicy="Always")


def service(name: str = "x", **spec: Any) -> Body:
    return whole("v1", "Service", name, spec={"ports": [{"port": 80}], **spec})


def ingress(name: str) -> Body:
    backend = {"service": {"name": name, "port": {"number": 80}}}
    return whole("networking.k8s.io/v1", "Ingress", spec={"defaultBackend": backend})


def grouped(group: Body) -> Body:
    return pod(schedulingGroup=group)


GROUP = "spec.schedulingGroup.podGroupName"
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
COST = "controller.kubernetes.io/pod-deletion-cost"
OPERATOR = (
    'spec.tolerations[0].operator: Unsupported value: "Lt": supported values: "Equal", "Exists", "Lt", "Gt"'
)
OF_CLASS = OPERATOR.replace("spec", "scheduling")
DNS_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
    "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
CREATED: dict[str, tuple[str, Body, list[str], list[str]]] = {
    "none at least": (
        "HPAScaleToZero", autoscaler(),
        ["spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"], [],
    ),
    "none at least, by metrics of pods": (
        "HPAScaleToZero", autoscaler(metrics=[]),
        ["spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
         "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to "
         "zero replicas"],
        ["spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to "
         "zero replicas"],
    ),
    "compared taints": ("TaintTolerationComparisonOperators", tolerating("Lt", "5"), [OPERATOR], []),
    "compared with what is no number": (
        "TaintTolerationComparisonOperators", tolerating("Lt", "05"), [OPERATOR],
        ['spec.tolerations[0].value: Invalid value: "05": must be a valid decimal integer in canonical form'],
    ),
    "compared taints of a class, which never compares": (
        "TaintTolerationComparisonOperators", runtime_class("Lt", "5"), [OF_CLASS], [OF_CLASS],
    ),
    "labels by mounting": (
        "SELinuxMount", pod(securityContext={"seLinuxChangePolicy": "MountOption"}),
        ['spec.securityContext.seLinuxChangePolicy: Unsupported value: "MountOption": supported values: '
         '"Recursive"'], [],
    ),
    "users of its own in the host's network": (
        "UserNamespacesHostNetworkSupport", pod(hostUsers=False, hostNetwork=True),
        ["spec.hostNetwork: Forbidden: when `hostUsers` is false"], [],
    ),
    "a cost that is none": (
        "PodDeletionCost", pod({COST: "much"}), [],
        [f'metadata.annotations[{COST}]: Invalid value: "much": must be a 32bit integer'],
    ),
    "all containers anew": (
        "RestartAllContainersOnContainerExits", restarted("RestartAllContainers"),
        ['spec.containers[0].restartPolicyRules[0].action: Unsupported value: "RestartAllContainers": '
         'supported values: "Restart"'], [],
    ),
    "one container anew": ("RestartAllContainersOnContainerExits", restarted("Restart"), [], []),
    "scheduled with others": ("GenericWorkload", grouped({"podGroupName": "g.h"}), [], []),
    "scheduled with nobody": (
        "GenericWorkload", grouped({}), [],
        [f"{GROUP}: Invalid value: null: must specify one of: `podGroupName`"],
    ),
    "scheduled with what has no such name": (
        "GenericWorkload", grouped({"podGroupName": "A"}), [], [f'{GROUP}: Invalid value: "A": {SUBDOMAIN}'],
    ),
    "a service that begins with a digit": (
        "RelaxedServiceNameValidation", service("1a"),
        [f'metadata.name: Invalid value: "1a": {DNS_1035}'], [],
    ),
    "a backend that begins with a digit": (
        "RelaxedServiceNameValidation", ingress("1a"),
        [f'spec.defaultBackend.service.name: Invalid value: "1a": {DNS_1035}'], [],
    ),
    "an address with zeros": (
        "StrictIPCIDRValidation", service(externalIPs=["010.1.2.3"]), [],
        ['spec.externalIPs[0]: Invalid value: "010.1.2.3": must not have leading 0s'],
    ),
    "a range with bits": (
        "StrictIPCIDRValidation", service(type="LoadBalancer", loadBalancerSourceRanges=["10.1.2.3/8"]), [],
        ['spec.LoadBalancerSourceRanges[0]: Invalid value: "10.1.2.3/8": must not have bits set beyond the '
         "prefix length"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("gate", "obj", "off", "with_it"), CREATED.values(), ids=CREATED)
def test_what_is_created(gate: str, obj: Body, off: list[str], with_it: list[str]) -> None:
    strategy = strategy_for(gvk_of(obj))
    for is_on, expected in ((False, off), (True, with_it)):
        new = copy_object(obj)
        with gates(**{gate: is_on}):
            gvk = gvk_of(new)
            FieldGates(FeatureGates({gate: is_on})).drop((gvk.group, gvk.kind), new, None)
            strategy.default(new)
            found = validate_create(strategy, new, namespaced=True)
        assert [str(fault) for fault in found] == expected, is_on


def volume(zone: str) -> Body:
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}]
    return whole(
        "v1", "PersistentVolume",
        spec={
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/a"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        },
    )  # fmt: skip


def csi_node(count: int) -> Body:
    driver = {"name": "d", "nodeID": "n", "topologyKeys": None, "allocatable": {"count": count}}
    return whole("storage.k8s.io/v1", "CSINode", spec={"drivers": [driver]})


def job(cpu: str, zone: str, **status: Any) -> Body:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    spec = {"containers": [container], "restartPolicy": "Never", "nodeSelector": {"zone": zone}}
    labels = {"batch.kubernetes.io/controller-uid": "u", "controller-uid": "u"}
    labels |= {"batch.kubernetes.io/job-name": "x", "job-name": "x"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    selector = {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    made = whole("batch/v1", "Job", spec={"suspend": True, "template": template, "selector": selector})
    made["metadata"]["uid"] = "u"
    return {**made, "status": status}


STOPPED: Body = {
    "startTime": "2026-01-01T00:00:00Z", "conditions": [{"type": "Suspended", "status": "True"}]
}  # fmt: skip
CHANGED: dict[str, tuple[str, Body, Body]] = {
    "where a volume can be": ("MutablePVNodeAffinity", volume("a"), volume("b")),
    "how much a driver takes": ("MutableCSINodeAllocatableCount", csi_node(1), csi_node(2)),
    "where a stopped job runs": (
        "MutableSchedulingDirectivesForSuspendedJobs", job("1", "a", **STOPPED), job("1", "b", **STOPPED)
    ),
    "what a stopped job's pods ask for": (
        "MutablePodResourcesForSuspendedJobs", job("1", "a", **STOPPED), job("2", "a", **STOPPED)
    ),
}  # fmt: skip


@pytest.mark.parametrize(("gate", "old", "new"), CHANGED.values(), ids=CHANGED)
def test_what_may_change(gate: str, old: Body, new: Body) -> None:
    strategy = strategy_for(gvk_of(old))
    old, new = copy_object(old), copy_object(new)
    strategy.default(old)
    strategy.default(new)
    with gates(**{gate: True}):
        assert [str(fault) for fault in strategy.validate_update(new, old)] == []
    with gates(**{gate: False}):
        assert any("immutable" in str(fault) for fault in strategy.validate_update(new, old))


def test_a_job_that_never_started_may_go_elsewhere_in_any_case() -> None:
    strategy = strategy_for(GVK("batch", "v1", "Job"))
    old, new = job("1", "a"), job("1", "b")
    strategy.default(old)
    strategy.default(new)
    with gates(MutableSchedulingDirectivesForSuspendedJobs=False):
        assert strategy.validate_update(new, old) == []


def with_sidecar(action: str = "", ruled: str = "") -> Body:
    """Return a pod whose sidecar, and whose container, have a rule of these actions."""
    codes = {"operator": "In", "values": [1]}
    inits, regular = (
        {"restartPolicyRules": [{"action": one, "exitCodes": codes}]} if one else {}
        for one in (action, ruled)
    )
    return pod(
        initContainers=[{"name": "s", "image": "i", "restartPolicy": "Always", **inits}],
        containers=[{"name": "c", "image": "i", "restartPolicy": "Never", **regular}],
    )


EVERY = "RestartAllContainers"
ON_SIDECARS = "spec.initContainers[0].restartPolicyRules: Forbidden: may not be set for sidecar containers"
ALL_AT = (
    'restartPolicyRules[0].action: Unsupported value: "RestartAllContainers": supported values: "Restart"'
)
KEPT_RULES: dict[str, tuple[Body, Body, list[str]]] = {
    "a sidecar's rule is new": (with_sidecar(), with_sidecar("Restart"), [ON_SIDECARS]),
    "a sidecar's rule that restarts all is new": (
        with_sidecar(), with_sidecar(EVERY),
        [ON_SIDECARS, f"spec.initContainers[0].{ALL_AT}"],
    ),
    "it has been there": (with_sidecar("Restart"), with_sidecar("Restart"), []),
    "so another may restart all": (with_sidecar("Restart"), with_sidecar("Restart", EVERY), []),
    "all are restarted already, so a sidecar may": (with_sidecar("", EVERY), with_sidecar(EVERY, EVERY), []),
    "what is nowhere known": (
        with_sidecar("Restart"), with_sidecar("Sleep"),
        ['spec.initContainers[0].restartPolicyRules[0].action: Unsupported value: "Sleep": '
         'supported values: "Restart"'],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "faults"), KEPT_RULES.values(), ids=KEPT_RULES)
def test_rules_of_sidecars_come_with_the_gate(old: Body, new: Body, faults: list[str]) -> None:
    strategy = strategy_for(GVK("", "v1", "PodTemplate"))
    old, new = ({**whole("v1", "PodTemplate"), "template": {"spec": one["spec"]}} for one in (old, new))
    strategy.default(old)
    strategy.default(new)
    with gates(RestartAllContainersOnContainerExits=False):
        found = [str(fault) for fault in strategy.validate_update(new, old)]
    assert found == [f"template.{fault}" for fault in faults]
    with gates(RestartAllContainersOnContainerExits=True):
        assert f"template.{ON_SIDECARS}" not in [str(fault) for fault in strategy.validate(new)]


@pytest.mark.parametrize("is_on", [True, False])
def test_how_many_pods_of_a_set_may_be_missing(*, is_on: bool) -> None:
    obj = whole("apps/v1", "StatefulSet", spec={"template": {"spec": {}}})
    with gates(MaxUnavailableStatefulSet=is_on):
        strategy_for(gvk_of(obj)).default(obj)
    rolling = obj["spec"]["updateStrategy"]["rollingUpdate"]
    assert rolling == {"partition": 0, **({"maxUnavailable": 1} if is_on else {})}


@pytest.mark.parametrize("is_on", [True, False])
def test_keys_of_spread_constraints_become_selectors(*, is_on: bool) -> None:
    constraint = {"topologyKey": "zone", "maxSkew": 1, "matchLabelKeys": ["a"], "labelSelector": {}}
    obj = pod(topologySpreadConstraints=[constraint])
    obj["metadata"]["labels"] = {"a": "1"}
    with gates(MatchLabelKeysInPodTopologySpreadSelectorMerge=is_on):
        strategy_for(gvk_of(obj)).prepare_create(obj)
    selector = obj["spec"]["topologySpreadConstraints"][0]["labelSelector"]
    assert selector == (
        {"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]} if is_on else {}
    )


STATIC = (
    'names ending with ".static.k8s.io" are reserved for static manifest-based configurations and cannot be '
    "managed via the API"
)
ADMISSION = (
    "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration",
)  # fmt: skip


@pytest.mark.parametrize("kind", ADMISSION)
@pytest.mark.parametrize("name", ["a.static.k8s.io", "a.k8s.io", "static.k8s.io.a"])
def test_names_of_what_only_files_of_the_server_configure(kind: str, name: str) -> None:
    new = whole("admissionregistration.k8s.io/v1", kind, name)
    strategy = strategy_for(gvk_of(new))
    reserved = [f"metadata.name: {STATIC}"] if name.startswith("a.static") else []
    for is_on in (False, True):
        with gates(ManifestBasedAdmissionControlConfig=is_on):
            faults = [str(fault) for fault in strategy.validate(new) if fault.field == "metadata.name"]
            assert strategy.warnings(new, None) == ([] if is_on else reserved)
            assert strategy.warnings(new, new) == []
        refused = [f'metadata.name: Invalid value: "{name}": {STATIC}'] if reserved else []
        assert faults == (refused if is_on else [])
