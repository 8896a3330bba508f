"""Faults of pods and volumes that upstream tells in an order, at a place or in words of its own."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.apis.core.test_pod_validation import LABEL, C, make

from tiphys.apimachinery.featuregates import FeatureGates, using
from tiphys.apimachinery.meta import GVK
from tiphys.apis.core.capabilities import privileged
from tiphys.apis.core.pod_update import validate_resize
from tiphys.apis.strategies import strategy_for

Body = dict[str, Any]
POD = strategy_for(GVK("", "v1", "Pod"))
TAINTED = "spec.tolerations[0].value: Invalid value:"
DECIMAL = "must be a valid decimal integer in canonical form"
PARSING = "strconv.ParseInt: parsing"
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
TAKEN = "conflicting duplicate paths"
ONLY_ONE = "Forbidden: may not specify more than 1 volume type"
WINDOWS = "Forbidden: cannot be set for a windows pod"


def tolerating(value: str) -> Body:
    return make({"tolerations": [{"key": "a", "operator": "Gt", "value": value}]})


def projected(*sources: Body) -> Body:
    return make(
        {"serviceAccountName": "a", "volumes": [{"name": "v", "projected": {"sources": list(sources)}}]}
    )


def certificate(**files: Any) -> Body:
    return {"podCertificate": {"signerName": "a.b/c", "keyType": "ED25519", **files}}


def bundle(path: str) -> Body:
    return {"clusterTrustBundle": {"name": "b", "path": path}}


def annotated(annotations: dict[str, str], **spec: Any) -> Body:
    pod = make(spec)
    return {**pod, "metadata": {**pod["metadata"], "annotations": annotations}}


V = "spec.volumes[0]"
S = f"{V}.projected.sources"
MIRROR = "kubernetes.io/config.mirror"
TEMPLATE = {
    "volumeClaimTemplate": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
    }
}
CLAIM = {"name": "d", "resourceClaimName": "d"}
NEW: dict[str, tuple[Body, list[str]]] = {
    "compared with nothing": (
        tolerating(""),
        [f'{TAINTED} "": must be non-empty', f'{TAINTED} "": {PARSING} "": invalid syntax'],
    ),
    "compared with a word": (
        tolerating("a"),
        [f'{TAINTED} "a": {DECIMAL}', f'{TAINTED} "a": {PARSING} "a": invalid syntax'],
    ),
    "compared with what is written otherwise": (tolerating("+5"), [f'{TAINTED} "+5": {DECIMAL}']),
    "compared with too much": (
        tolerating("9223372036854775808"),
        [f'{TAINTED} "9223372036854775808": {PARSING} "9223372036854775808": value out of range'],
    ),
    "no mount of proc": (
        make(securityContext={"procMount": ""}),
        [f'{C}.securityContext.procMount: Unsupported value: "": supported values: "Default", "Unmasked"'],
    ),
    "not native and not extended": (
        make(resources={"requests": {"requests.a.b/c": "1"}}),
        [
            f'{C}.resources.requests[requests.a.b/c]: Invalid value: "requests.a.b/c": doesn\'t follow extended resource name standard',
            f"{C}.resources.limits: Required value: Limit must be set for non overcommitable resources",
        ],
    ),
    "less than nothing and no whole": (
        make(resources={"limits": {"a.b/c": "-1500m"}}),
        [
            f'{C}.resources.limits[a.b/c]: Invalid value: "-1500m": must be greater than or equal to 0',
            f'{C}.resources.limits[a.b/c]: Invalid value: "-1500m": must be an integer',
            f'{C}.resources.requests[a.b/c]: Invalid value: "-1500m": must be greater than or equal to 0',
            f'{C}.resources.requests[a.b/c]: Invalid value: "-1500m": must be an integer',
        ],
    ),
    "claims of a whole pod": (
        make({"resources": {"limits": {"cpu": "1"}, "claims": [{"name": "d"}]}}),
        [
            "spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level",
            'spec.resources.claims[0]: Not found: "d": must be one of the names in pod.spec.resourceClaims which is empty',
        ],
    ),
    "nameless twice": (
        make({"containers": [{"name": "", "image": "i"}] * 2}),
        [
            f"{C}.name: Required value",
            "spec.containers[1].name: Required value",
            'spec.containers[1].name: Duplicate value: ""',
        ],
    ),
    "a signal in no known system": (
        make({"os": {}}, lifecycle={"stopSignal": "SIGX"}),
        ["spec.os.name: Required value"],
    ),
    "windows": (
        make(
            {
                "os": {"name": "windows"},
                "hostPID": True,
                "hostUsers": True,
                "shareProcessNamespace": False,
                "securityContext": {
                    "fsGroup": 1,
                    "sysctls": [],
                    "runAsUser": 1,
                    "appArmorProfile": {"type": "Unconfined"},
                },
            }
        ),
        [
            f"spec.securityContext.appArmorProfile: {WINDOWS}",
            f"spec.hostUsers: {WINDOWS}",
            f"spec.hostPID: {WINDOWS}",
            f"spec.securityContext.fsGroup: {WINDOWS}",
            f"spec.shareProcessNamespace: {WINDOWS}",
            f"spec.securityContext.runAsUser: {WINDOWS}",
        ],
    ),
    "a static pod and its devices": (
        annotated({MIRROR: "x"}, nodeName="n", resourceClaims=[CLAIM, {**CLAIM, "name": "e"}]),
        [": Forbidden: static pods do not support resource claims"] * 2,
    ),
    "claim that a pod cannot make": (
        {
            **make(
                {"volumes": [{"name": "V", "ephemeral": TEMPLATE}]},
                volumeMounts=[{"name": "V", "mountPath": "/"}],
            )
        },
        [
            f'{V}.name: Invalid value: "V": PVC name "p-V": {SUBDOMAIN}',
            f'{V}.name: Invalid value: "V": {LABEL}',
            f'{C}.volumeMounts[0].name: Not found: "V"',
        ],
    ),
    "one source after another": (
        make(
            {
                "volumes": [
                    {
                        "name": "v",
                        "iscsi": {
                            "targetPortal": "t" * 63,
                            "iqn": "iqn.2001-04.a:b",
                            "initiatorName": "iqn.2001-04.a:b",
                        },
                        "persistentVolumeClaim": {"claimName": "c"},
                    }
                ]
            }
        ),
        [
            f'{V}.name: Invalid value: "v": Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.',
            f"{V}.persistentVolumeClaim: {ONLY_ONE}",
        ],
    ),
    "certificates in one place": (
        projected(certificate(keyPath="/k", certificateChainPath="/k")),
        [
            f'{S}[0].podCertificate.keyPath: Invalid value: "/k": must be a relative path',
            f'{S}[0].podCertificate.certificateChainPath: Invalid value: "/k": must be a relative path',
            f'{V}.projected: Invalid value: "/k": {TAKEN}',
        ],
    ),
    "a long certificate, nowhere": (
        projected(certificate(maxExpirationSeconds=7862401)),
        [
            f"{S}[0].podCertificate.maxExpirationSeconds: Invalid value: 7862401: if provided, maxExpirationSeconds must be <= 7862400",
            f"{S}[0].podCertificate: Required value: specify at least one of credentialBundlePath, keyPath, and certificateChainPath",
        ],
    ),
    "bundles nowhere": (
        projected(bundle(""), bundle("")),
        [
            f"{S}[0].clusterTrustBundle.path: Required value",
            f"{S}[1].clusterTrustBundle.path: Required value",
            f'{V}.projected: Invalid value: "": {TAKEN}',
        ],
    ),
}


@pytest.mark.parametrize(("pod", "expected"), NEW.values(), ids=NEW)
def test_new_pods(pod: Body, expected: list[str]) -> None:
    with using(FeatureGates({"TaintTolerationComparisonOperators": True})):
        assert [str(fault) for fault in POD.validate(pod)] == expected


def test_processes_of_the_host_ask_for_privileges() -> None:
    options = {"windowsOptions": {"hostProcess": True}}
    pod = make({"hostNetwork": True, "securityContext": options})
    with privileged(allowed=False):
        assert [str(fault) for fault in POD.validate(pod)] == [
            "spec: Forbidden: hostProcess containers are disallowed by cluster policy"
        ]


def test_the_group_of_a_pod_comes_after_its_system() -> None:
    pod = make({"os": {"name": "x"}, "schedulingGroup": {}})
    assert [fault.field for fault in POD.validate(pod)] == ["spec.os", "spec.schedulingGroup.podGroupName"]


def test_rules_of_annotations_are_told_twice_of_a_changed_pod() -> None:
    cost = {"controller.kubernetes.io/pod-deletion-cost": "x"}
    old, new = annotated({}), annotated(cost)
    text = 'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "x": must be a 32bit integer'
    assert [str(fault) for fault in POD.validate_update(new, old)] == [text, text]
    assert [str(fault) for fault in POD.validate_status_update(new, old)] == [text]


CPU = {"limits": {"cpu": "1"}}
MORE = {"limits": {"cpu": "2"}}
MUTABLE = "spec: Forbidden: only cpu and memory resources are mutable"
RESIZES: dict[str, tuple[Body, Body, dict[str, bool], list[str]]] = {
    "a container with a device": (
        make({"resourceClaims": [CLAIM]}, resources={**MORE, "claims": [{"name": "d"}]}),
        make({"resourceClaims": [CLAIM]}, resources={**CPU, "claims": [{"name": "d"}]}),
        {},
        [MUTABLE],
    ),
    "what is no size": (make({"nodeName": "n"}, resources=CPU), make(resources=CPU), {}, [MUTABLE]),
    "a whole pod": (
        make({"resources": MORE}),
        make({"resources": CPU}),
        {"InPlacePodLevelResourcesVerticalScaling": False},
        [
            ": Forbidden: resize of pods with pod-level resources is forbidden when InPlacePodLevelResourcesVerticalScalingEnabled feature gate is disabled"
        ],
    ),
    "what ends before the others start": (
        make({"initContainers": [{"name": "i", "image": "i", "resources": MORE}]}),
        make({"initContainers": [{"name": "i", "image": "i", "resources": CPU}]}),
        {"InPlacePodVerticalScalingInitContainers": False},
        ["spec: Forbidden: resources for non-sidecar init containers are immutable"],
    ),
}


@pytest.mark.parametrize(("new", "old", "gates", "expected"), RESIZES.values(), ids=RESIZES)
def test_resizes(new: Body, old: Body, gates: dict[str, bool], expected: list[str]) -> None:
    with using(FeatureGates(gates)):
        assert [str(fault) for fault in validate_resize(new, old)] == expected


A = "status.nodeAllocatableResourceClaimStatuses[0]"
IMAGE = "status.initContainerStatuses[0].volumeMounts[0].volumeStatus.image.imageRef"
STATUSES: dict[str, tuple[Body, list[str]]] = {
    "resources of its node": (
        {
            "nodeAllocatableResourceClaimStatuses": [
                {"resourceClaimName": "d", "containers": ["c"], "resources": {"cpu": "1"}}
            ]
        },
        [],
    ),
    "of a claim that was made": (
        {
            "resourceClaimStatuses": [{"name": "d", "resourceClaimName": "p-d"}],
            "nodeAllocatableResourceClaimStatuses": [
                {"resourceClaimName": "p-d", "containers": ["c"], "resources": {"cpu": "1"}}
            ],
        },
        [],
    ),
    "of no claim": (
        {"nodeAllocatableResourceClaimStatuses": [{}]},
        [
            f"{A}.resourceClaimName: Required value: must not be empty",
            f'{A}.resourceClaimName: Invalid value: "": no mapping found in pod reference',
            f"{A}.containers: Required value: must not be empty",
            f"{A}.resources: Required value: must not be empty",
        ],
    ),
    "resources of others": (
        {
            "nodeAllocatableResourceClaimStatuses": [
                {"resourceClaimName": "d", "containers": ["c"], "resources": {"a.b/c": "-1"}}
            ]
        },
        [
            f'{A}.resources[a.b/c]: Invalid value: "a.b/c": must be a node allocatable resource name',
            f'{A}.resources[a.b/c]: Invalid value: "-1": must be non-negative',
        ],
    ),
    "image that is none": (
        {
            "initContainerStatuses": [
                {
                    "name": "i",
                    "volumeMounts": [{"name": "v", "mountPath": "/", "volumeStatus": {"image": {}}}],
                }
            ]
        },
        [f"{IMAGE}: Required value: imageRef must not be empty"],
    ),
    "image of a long name": (
        {
            "initContainerStatuses": [
                {
                    "name": "i",
                    "volumeMounts": [
                        {"name": "v", "mountPath": "/", "volumeStatus": {"image": {"imageRef": "i" * 257}}}
                    ],
                }
            ]
        },
        [f"{IMAGE}: Too long: may not be more than 256 bytes"],
    ),
}


@pytest.mark.parametrize(("status", "expected"), STATUSES.values(), ids=STATUSES)
def test_statuses(status: Body, expected: list[str]) -> None:
    pod = make({"resourceClaims": [CLAIM]})
    with using(FeatureGates({"ImageVolumeWithDigest": True})):
        found = POD.validate_status_update({**pod, "status": status}, {**pod, "status": {}})
    assert [str(fault) for fault in found] == expected


def test_what_gates_leave_out_of_a_status() -> None:
    mount = {"name": "v", "mountPath": "/", "volumeStatus": {"image": {}}}
    pod = make({"nodeName": "n"})
    status = {"nominatedNodeName": "m", "containerStatuses": [{"name": "c", "volumeMounts": [mount]}]}
    with using(FeatureGates({"ClearingNominatedNodeNameAfterBinding": False})):
        assert POD.validate_status_update({**pod, "status": status}, pod) == []


NAMELESS = {"volumes": [{"name": "v", "image": {"pullPolicy": "X"}}]}
EVERYONE = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}
KEPT: dict[str, tuple[Body, list[str]]] = {
    "an image of no name": (
        NAMELESS,
        [
            f"spec.template.{V}.image.reference: Required value",
            f'spec.template.{V}.image.pullPolicy: Unsupported value: "X": supported values: "Always", "IfNotPresent", "Never"',
        ],
    ),
    "a rule behind a gate": (
        {
            "containers": [
                {"name": "c", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [EVERYONE]}
            ]
        },
        [
            f'spec.template.{C}.restartPolicyRules[0].action: Unsupported value: "RestartAllContainers": supported values: "Restart"'
        ],
    ),
}


@pytest.mark.parametrize(("spec", "expected"), KEPT.values(), ids=KEPT)
def test_what_templates_had_may_stay(
    spec: Body,
    expected: list[str],
    faults_of_new: Callable[[Body], list[str]],
    faults_of_change: Callable[[Body, Body], list[str]],
) -> None:
    labels = {"app": "x"}
    pod = {"containers": [{"name": "c", "image": "i"}], **spec}
    template = {"metadata": {"labels": labels}, "spec": pod}
    old = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }
    with using(FeatureGates({"RestartAllContainersOnContainerExits": False})):
        assert faults_of_new(old) == expected
        assert faults_of_change(old, old) == expected[1:]


def test_what_stays_in_endpoints_is_not_looked_at(
    faults_of_change: Callable[[Body, Body], list[str]],
) -> None:
    old = {"apiVersion": "v1", "kind": "Endpoints", "subsets": [{}]}
    missing = "Required value: must specify `addresses` or `notReadyAddresses`"
    assert faults_of_change(old, old) == []
    assert faults_of_change(old, {**old, "subsets": [{}, {}]}) == [
        f"subsets[0]: {missing}",
        f"subsets[1]: {missing}",
    ]


def test_an_affinity_that_says_nothing_is_one(faults_of_new: Callable[[Body], list[str]]) -> None:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1"},
        "local": {"path": "/a"},
        "nodeAffinity": {},
    }
    assert faults_of_new({"apiVersion": "v1", "kind": "PersistentVolume", "spec": spec}) == [
        "spec.nodeAffinity.required: Required value: must specify required node constraints"
    ]


def test_an_unknown_scope_applies_to_everything(faults_of_new: Callable[[Body], list[str]]) -> None:
    spec = {"hard": {"services": "1"}, "scopes": ["X"]}
    assert faults_of_new({"apiVersion": "v1", "kind": "ResourceQuota", "spec": spec}) == [
        'spec.scopes: Invalid value: ["X"]: unsupported scope'
    ]
