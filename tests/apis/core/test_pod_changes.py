"""What may change in a pod: gated pods, annotations, statuses, ephemeral containers, resizes."""

# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest
from tests.apis.core.test_pod_validation import POD, make

from tiphys.apis.core.pod_strategy import prepare_pod_status
from tiphys.apis.core.pod_update import validate_ephemeral_update, validate_resize

Pod = dict[str, Any]
MIRROR = "kubernetes.io/config.mirror"


def annotated(**annotations: str) -> Pod:
    pod = make({"nodeName": "n"})
    pod["metadata"]["annotations"] = {
        key.replace("mirror", MIRROR): value for key, value in annotations.items()
    }
    return pod


ANNOTATIONS: dict[str, tuple[Pod, Pod, list[str]]] = {
    "plain": (annotated(a="1"), annotated(b="2"), []),
    "mirror comes": (
        annotated(mirror="x"),
        annotated(),
        [f"metadata.annotations[{MIRROR}]: Forbidden: may not add mirror pod annotation"],
    ),
    "mirror changes": (
        annotated(mirror="x"),
        annotated(mirror="y"),
        [f"metadata.annotations[{MIRROR}]: Forbidden: may not remove or update mirror pod annotation"],
    ),
}


@pytest.mark.parametrize(("new", "old", "expected"), ANNOTATIONS.values(), ids=ANNOTATIONS)
def test_annotations(new: Pod, old: Pod, expected: list[str]) -> None:
    assert [str(fault) for fault in POD.validate_update(new, old)] == expected


def gated(selector: Any = None, *terms: Any, gates: bool = True) -> Pod:
    spec: Pod = {"nodeSelector": selector or {}}
    if gates:
        spec["schedulingGates"] = [{"name": "a.b/c"}]
    if terms:
        needed = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
        spec["affinity"] = {"nodeAffinity": needed}
    return make(spec)


def term(*keys: str) -> Pod:
    return {"matchExpressions": [{"key": key, "operator": "Exists"} for key in keys]}


TERMS = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
GATED: dict[str, tuple[Pod, Pod, list[str]]] = {
    "label added, gate gone": (gated({"a": "1"}, gates=False), gated(), []),
    "label changed": (
        gated({"a": "2"}),
        gated({"a": "1"}),
        [
            'spec.nodeSelector: Invalid value: {"a":"2"}: only additions to spec.nodeSelector are allowed '
            "(no mutations or deletions)"
        ],
    ),
    "first terms": (gated(None, term("a")), gated(), []),
    "term longer": (gated(None, term("a", "b")), gated(None, term("a")), []),
    "term changed": (
        gated(None, term("b")),
        gated(None, term("a")),
        [
            f'{TERMS}[0]: Invalid value: {{"MatchExpressions":[{{"Key":"b","Operator":"Exists","Values":null}}],"MatchFields":null}}: only '
            "additions are allowed (no mutations or deletions)"
        ],
    ),
    "second term": (
        gated(None, term("a"), term("b")),
        gated(None, term("a")),
        [
            f'{TERMS}: Invalid value: [{{"MatchExpressions":[{{"Key":"a","Operator":"Exists","Values":null}}],"MatchFields":null}},'
            '{"MatchExpressions":[{"Key":"b","Operator":"Exists","Values":null}],"MatchFields":null}]: no additions/deletions to non-empty '
            "NodeSelectorTerms list are allowed"
        ],
    ),
}


@pytest.mark.parametrize(("new", "old", "expected"), GATED.values(), ids=GATED)
def test_gated(new: Pod, old: Pod, expected: list[str]) -> None:
    assert [str(fault) for fault in POD.validate_update(new, old)] == expected


def status(spec: Pod | None = None, **status: Any) -> Pod:
    return {"metadata": {"name": "p"}, "spec": {"restartPolicy": "Never", **(spec or {})}, "status": status}


def ended(*names: str, code: int = 0) -> list[Pod]:
    return [{"name": name, "state": {"terminated": {"exitCode": code}}} for name in names]


def runs(*names: str) -> list[Pod]:
    return [{"name": name, "state": {"running": {}}} for name in names]


SIDECAR = {"initContainers": [{"name": "s", "restartPolicy": "Always"}]}
AGAIN = "state: Forbidden: may not be transitioned to non-terminated state"
CLAIM = {"name": "x", "resourceClaimName": "a_b"}
ASKED = {"requests": {"cpu": "1"}, "claims": [{"name": "x"}, {"name": "x", "request": "r"}]}
DEVICES = {"containers": [{"name": "c", "resources": ASKED}]}
WELL = [{"name": name, "resources": []} for name in ("cpu", "claim:x", "claim:x/r")]
ILL = [
    {"name": "claim:y"},
    {
        "name": "memory",
        "resources": [{"resourceID": "a", "health": "Healthy"}, {"resourceID": "a", "health": "Sick"}],
    },
]
TOLD = [
    {
        "name": "cpu",
        "resources": [
            {"resourceID": "a", "health": "Healthy", "message": ""},
            {"resourceID": "b", "health": "Healthy", "message": "x" * 1025},
        ],
    }
]
ONE = {"containers": [{"name": "c"}]}
RULE = {"action": "Restart", "exitCodes": {"operator": "In", "values": [3]}}
RULED = {"containers": [{"name": n, "restartPolicy": "Never", "restartPolicyRules": [RULE]} for n in "cd"]}
ALL = {**RULE, "action": "RestartAllContainers"}
WHOLE = {
    "containers": [{"name": "c"}],
    "initContainers": [{"name": "i", "restartPolicy": "Never", "restartPolicyRules": [ALL]}],
}
QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
MAPPED = "status.extendedResourceClaimStatus.requestMappings"


def mapped(*mappings: tuple[str, str, str], name: str = "") -> Pod:
    keys = ("containerName", "resourceName", "requestName")
    listed = [dict(zip(keys, mapping, strict=True)) for mapping in mappings]
    return {"requestMappings": listed, "resourceClaimName": name}


GIVEN = "status.containerStatuses[0].allocatedResourcesStatus"
STATUS: dict[str, tuple[Pod, Pod, list[str]]] = {
    "quality of service": (
        status(qosClass="Burstable"),
        status(qosClass="BestEffort"),
        ['status.qosClass: Invalid value: "Burstable": field is immutable'],
    ),
    "init container": (
        status(initContainerStatuses=runs("i")),
        status(initContainerStatuses=ended("i")),
        [f"status.initContainerStatuses[0].{AGAIN}"],
    ),
    "sidecar": (
        status(SIDECAR, initContainerStatuses=runs("s")),
        status(SIDECAR, initContainerStatuses=ended("s")),
        [],
    ),
    "failed where failures run again": (
        status({"restartPolicy": "OnFailure", **ONE}, containerStatuses=runs("c")),
        status({"restartPolicy": "OnFailure", **ONE}, containerStatuses=ended("c", code=1)),
        [],
    ),
    "ended where failures run again": (
        status({"restartPolicy": "OnFailure", **ONE}, containerStatuses=runs("c")),
        status({"restartPolicy": "OnFailure", **ONE}, containerStatuses=ended("c")),
        [f"status.containerStatuses[0].{AGAIN}"],
    ),
    "container that the pod does not have": (
        status({"restartPolicy": "Always"}, containerStatuses=runs("c")),
        status({"restartPolicy": "Always"}, containerStatuses=ended("c")),
        [f"status.containerStatuses[0].{AGAIN}"],
    ),
    "codes with a rule": (
        status(RULED, containerStatuses=[*runs("c"), *runs("d")]),
        status(RULED, containerStatuses=[*ended("c", code=3), *ended("d", code=4)]),
        [f"status.containerStatuses[1].{AGAIN}"],
    ),
    "rule for all": (
        status(WHOLE, containerStatuses=runs("c"), initContainerStatuses=runs("i")),
        status(WHOLE, containerStatuses=ended("c"), initContainerStatuses=ended("i")),
        [],
    ),
    "ephemeral container": (
        status({"restartPolicy": "Always"}, ephemeralContainerStatuses=runs("e")),
        status({"restartPolicy": "Always"}, ephemeralContainerStatuses=ended("e")),
        [f"status.ephemeralContainerStatuses[0].{AGAIN}"],
    ),
    "addresses": (
        status(podIPs=[{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]),
        status(),
        [
            'status.podIPs: Invalid value: [{"IP":"10.0.0.1"},{"IP":"10.0.0.1"}]: may specify no more than '
            "one IP for each IP family",
        ],
    ),
    "addresses of the host": (
        status(hostIP="::1", hostIPs=[{"ip": "::1"}, {"ip": "::1"}]),
        status(),
        [
            'status.hostIPs: Invalid value: [{"IP":"::1"},{"IP":"::1"}]: may specify no more than one IP for '
            "each IP family",
        ],
    ),
    "address that is none beside another": (
        status(podIPs=[{"ip": "10.0.0.1"}, {"ip": "none"}]),
        status(podIPs=[{"ip": "none"}]),
        [
            "status.podIPs: Internal error: failed to check for dual stack with error:invalid IP[1]: none",
            'status.podIPs: Invalid value: [{"IP":"10.0.0.1"},{"IP":"none"}]: may specify no more than one '
            "IP for each IP family",
        ],
    ),
    "generations": (
        status(observedGeneration=-1, conditions=[{"type": "a b", "observedGeneration": -2}]),
        status(),
        [
            "status.conditions[0].observedGeneration: Invalid value: -2: must be a non-negative integer",
            f'status.conditions[0].Type: Invalid value: "a b": {QUALIFIED}',
            "status.observedGeneration: Invalid value: -1: must be a non-negative integer",
        ],
    ),
    "nominated where it runs": (
        status({"nodeName": "n"}, nominatedNodeName="m"),
        status({"nodeName": "n"}),
        ["status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node"],
    ),
    "messages of devices": (
        status(DEVICES, containerStatuses=[{"name": "c", "allocatedResourcesStatus": TOLD}]),
        status(DEVICES),
        [
            f"{GIVEN}[0].resources[0].message: Required value: must be non-empty if specified",
            f"{GIVEN}[0].resources[1].message: Too long: may not be more than 1024 bytes",
        ],
    ),
    "extended resources": (
        status(DEVICES, extendedResourceClaimStatus=mapped(("c", "cpu", "r"), name="x")),
        status(DEVICES),
        [],
    ),
    "extended resources of nobody": (
        status(
            DEVICES, extendedResourceClaimStatus=mapped(("d", "cpu", "r"), ("c", "x", "r"), ("c", "x", "r"))
        ),
        status(DEVICES),
        [
            f'{MAPPED}[0].containerName: Invalid value: "d": must match the name of an entry in '
            "spec.initContainers.name or spec.containers.name",
            *[
                f'{MAPPED}[{index}].resourceName: Invalid value: "x": must match the extended resource name of an '
                "entry in spec.initContainers.resources.requests or spec.containers.resources.requests"
                for index in (1, 2)
            ],
            f'{MAPPED}[2].containerName: Duplicate value: "c"',
            f'{MAPPED}[2].resourceName: Duplicate value: "x"',
            f'{MAPPED}[2].requestName: Duplicate value: "r"',
            "status.extendedResourceClaimStatus.resourceClaimName: Required value",
        ],
    ),
    "no extended resources": (
        status(extendedResourceClaimStatus={"resourceClaimName": "x"}),
        status(),
        [f"{MAPPED}: Required value: at least one request mapping is required"],
    ),
    "address of old": (status(podIPs=[{"ip": "none"}]), status(podIPs=[{"ip": "none"}]), []),
    "devices": (
        status(DEVICES, containerStatuses=[{"name": "c", "allocatedResourcesStatus": WELL}]),
        status(DEVICES),
        [],
    ),
    "devices of nobody": (
        status(
            DEVICES,
            containerStatuses=[{"name": "c", "allocatedResourcesStatus": ILL}],
            ephemeralContainerStatuses=[{"name": "e", "allocatedResourcesStatus": WELL}],
        ),
        status(DEVICES),
        [
            f'{GIVEN}[0].name: Invalid value: "claim:y": must match one of the container\'s resource claims '
            "in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty",
            f'{GIVEN}[1].name: Invalid value: "memory": must match one of the container\'s resource requests',
            f'{GIVEN}[1].resources[1].health: Unsupported value: "Sick": supported values: "Healthy", '
            '"Unhealthy", "Unknown"',
            f'{GIVEN}[1].resources[1].resourceID: Duplicate value: "a"',
            "status.ephemeralContainerStatuses[0].allocatedResourcesStatus: Forbidden: must not be specified "
            "in container status",
        ],
    ),
    "address of the host": (
        status(hostIP="10.0.0.1", hostIPs=[{"ip": "10.0.0.2"}]),
        status(),
        ['status.hostIPs[0].ip: Invalid value: "10.0.0.2": must be equal to `hostIP`'],
    ),
    "claim of nobody": (
        status(resourceClaimStatuses=[{"name": "x"}]),
        status(),
        [
            'status.resourceClaimStatuses[0].name: Invalid value: "x": must match the name of an entry in '
            "`spec.resourceClaims`"
        ],
    ),
    "claim that cannot be": (
        status({"resourceClaims": [{"name": "x"}]}, resourceClaimStatuses=[CLAIM]),
        status({"resourceClaims": [{"name": "x"}]}),
        [
            'status.resourceClaimStatuses[0].resourceClaimName: Invalid value: "a_b": a lowercase RFC 1123 '
            "subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
            "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        ],
    ),
    "node": (
        status({"nodeName": "a"}),
        status(),
        ["status.nodeName: Forbidden: may not be changed directly"],
    ),
    "user": (
        status(containerStatuses=[{"name": "c", "user": {"linux": {"uid": -1, "gid": 0}}}]),
        status(),
        [
            "status.containerStatuses[0].user.linux.uid: Invalid value: -1: must be between 0 and 2147483647, "
            "inclusive"
        ],
    ),
    "conditions of others": (status(conditions=[{"type": "example.com/x"}, {"type": "Ready"}]), status(), []),
}


@pytest.mark.parametrize(("new", "old", "expected"), STATUS.values(), ids=STATUS)
def test_status(new: Pod, old: Pod, expected: list[str]) -> None:
    assert [str(fault) for fault in POD.validate_status_update(new, old)] == expected


def asks(cpu: str = "1", memory: str = "1Gi", init: str = "", sidecar: str = "", **rest: Any) -> Pod:
    def amounts(value: str) -> Pod:
        return {"requests": {"cpu": value, "memory": memory, **rest}}

    spec: Pod = {"initContainers": []}
    if init:
        spec["initContainers"].append({"name": "i", "image": "x", "resources": amounts(init)})
    if sidecar:
        made = {"name": "s", "image": "x", "restartPolicy": "Always", "resources": amounts(sidecar)}
        spec["initContainers"].append(made)
    return make(spec, resources=amounts(cpu))


def restarting(pod: Pod) -> Pod:
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    pod["spec"]["initContainers"][0]["resizePolicy"] = policy
    return pod


def whole(**resources: Any) -> Pod:
    pod = asks()
    pod["spec"]["resources"] = resources
    return pod


RESIZE: dict[str, tuple[Pod, Pod, list[str]]] = {
    "more": (asks("2"), asks(), []),
    "sidecar": (asks(sidecar="2"), asks(sidecar="1"), []),
    "init container": (asks(init="2"), asks(init="1"), []),
    "init container that would restart": (
        restarting(asks(init="2")),
        restarting(asks(init="1")),
        [
            "spec.initContainers[0]: Forbidden: non-sidecar init containers with a resize policy of "
            "RestartContainer cannot be resized"
        ],
    ),
    "other resources of an init container": (
        asks(init="2", **{"ephemeral-storage": "2"}),
        asks(init="1", **{"ephemeral-storage": "1"}),
        [
            "spec: Forbidden: only cpu and memory resources are mutable",
            "spec.initContainers[0]: Forbidden: only cpu and memory resources for init or sidecar "
            "containers are mutable",
        ],
    ),
    "another init container": (
        asks(init="1"),
        asks(sidecar="1"),
        ["spec.initContainers[0].name: Forbidden: initContainers may not be renamed or reordered on resize"],
    ),
    "one init container more": (
        asks(init="1"),
        asks(),
        ["spec.initContainers: Forbidden: initContainers may not be added or removed on resize"],
    ),
    "the pod as a whole": (
        whole(requests={"cpu": "3", "memory": "2Gi"}),
        whole(requests={"cpu": "2", "memory": "1Gi"}),
        [],
    ),
    "the pod as a whole without a limit": (
        whole(requests={"cpu": "2", "memory": "1Gi"}, limits={"cpu": "4"}),
        whole(requests={"cpu": "2", "memory": "1Gi"}, limits={"cpu": "4", "memory": "2Gi"}),
        ["spec.resources.limits: Forbidden: pod-level resource limits cannot be removed"],
    ),
    "the pod as a whole no more": (
        asks(),
        whole(requests={"cpu": "2"}),
        ["spec.resources: Forbidden: pod-level resources cannot be removed"],
    ),
    "other resources": (
        asks(**{"ephemeral-storage": "2"}),
        asks(**{"ephemeral-storage": "1"}),
        ["spec: Forbidden: only cpu and memory resources are mutable"],
    ),
    "removed": (
        make(resources={"requests": {"cpu": "1"}}),
        asks(),
        ["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"],
    ),
    "another class": (
        make(resources={"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}),
        asks(),
        ['spec: Invalid value: "": Pod QOS Class may not change as a result of resizing'],
    ),
    "static pod": (
        asks("2"),
        {**asks(), "metadata": {"annotations": {MIRROR: "x"}}},
        [": Forbidden: static pods cannot be resized"],
    ),
    "windows": (
        asks("2"),
        make({"os": {"name": "windows"}}),
        [": Forbidden: windows pods cannot be resized"],
    ),
    "a node that cannot": (
        asks("2"),
        {**asks(), "status": {"containerStatuses": runs("c")}},
        ["spec: Forbidden: Pod running on node without support for resize"],
    ),
}


@pytest.mark.parametrize(("new", "old", "expected"), RESIZE.values(), ids=RESIZE)
def test_resize(new: Pod, old: Pod, expected: list[str]) -> None:
    assert [str(fault) for fault in validate_resize(new, old)] == expected


def test_static_pods_take_no_ephemeral_containers() -> None:
    old = {**make(), "metadata": {"annotations": {MIRROR: "x"}}}
    assert [str(fault) for fault in validate_ephemeral_update(make(), old)] == [
        ": Forbidden: static pods do not support ephemeral containers"
    ]


def test_ephemeral_containers_have_rules_of_their_own() -> None:
    wrong = {
        "name": "c",
        "image": " x",
        "ports": [{"containerPort": 1}],
        "lifecycle": {},
        "targetContainerName": "y",
    }
    found = validate_ephemeral_update(make({"ephemeralContainers": [wrong]}), make())
    at = "spec.ephemeralContainers[0]"
    assert [str(fault) for fault in found] == [
        f'{at}.image: Invalid value: " x": must not have leading or trailing whitespace',
        f'{at}.name: Duplicate value: "c"',
        f'{at}.targetContainerName: Not found: "y"',
        f"{at}.ports: Forbidden: cannot be set for an Ephemeral Container",
        f"{at}.lifecycle: Forbidden: cannot be set for an Ephemeral Container",
    ]


@pytest.mark.parametrize(
    ("sent", "kept"), [({}, "Burstable"), ({"qosClass": ""}, "Burstable"), ({"qosClass": "x"}, "x")]
)
def test_the_class_of_service_may_be_left_out(sent: Pod, kept: str) -> None:
    new = {"status": {"phase": "Running", **sent}}
    prepare_pod_status(new, {"status": {"qosClass": "Burstable"}})
    assert new["status"] == {"phase": "Running", "qosClass": kept}
