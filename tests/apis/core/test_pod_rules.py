"""Faults of pods beyond their basics: annotations, placement, devices and the rest."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apis.core.test_pod_validation import ANTI, QUALIFIED, C, faults, make

Pod = dict[str, Any]
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/c"
COST = "controller.kubernetes.io/pod-deletion-cost"


def annotated(annotations: dict[str, str], spec: Pod | None = None, **container: Any) -> Pod:
    pod = make(spec, **container)
    pod["metadata"]["annotations"] = annotations
    return pod


ANNOTATIONS: dict[str, tuple[Pod, list[str]]] = {
    "mirror": (
        annotated({"kubernetes.io/config.mirror": "x"}),
        [
            'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName '
            "if mirror pod annotation is set"
        ],
    ),
    "deletion cost": (annotated({COST: "-5"}), []),
    "deletion cost, no number": (
        annotated({COST: "1.5"}),
        [f'metadata.annotations[{COST}]: Invalid value: "1.5": must be a 32bit integer'],
    ),
    "deletion cost, too much": (
        annotated({COST: "2147483648"}),
        [f'metadata.annotations[{COST}]: Invalid value: "2147483648": must be a 32bit integer'],
    ),
    "seccomp": (
        annotated({SECCOMP_POD: "x"}),
        [f'metadata.annotations.{SECCOMP_POD}: Invalid value: "x": must be a valid seccomp profile'],
    ),
    "seccomp says two things": (
        annotated(
            {SECCOMP_POD: "unconfined"}, {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}
        ),
        [
            "spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must "
            "match"
        ],
    ),
    "apparmor of nobody": (
        annotated({APP_ARMOR + "x": "y"}),
        [
            f'metadata.annotations[{APP_ARMOR}x]: Invalid value: "cx": container not found',
            f'metadata.annotations[{APP_ARMOR}x]: Invalid value: "y": invalid AppArmor profile name: "y"',
        ],
    ),
    "apparmor says two things": (
        annotated(
            {APP_ARMOR: "localhost/a"},
            {"securityContext": {"appArmorProfile": {"type": "Localhost", "localhostProfile": "b"}}},
        ),
        [
            f"{C}.securityContext.appArmorProfile.localhostProfile: Forbidden: apparmor profile in "
            "annotation and field must match"
        ],
    ),
}


def affine(**term: Any) -> Pod:
    rule = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone", **term}]}
    return make({"affinity": {"podAntiAffinity": rule}})


def spread(**constraint: Any) -> Pod:
    whole = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", **constraint}
    return make({"topologySpreadConstraints": [whole]})


SELECTOR = {"matchLabels": {"a": "b"}}
NODE_TERMS = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
SPREAD = "spec.topologySpreadConstraints[0]"
PLACEMENT: dict[str, tuple[Pod, list[str]]] = {
    "label keys": (affine(labelSelector=SELECTOR, matchLabelKeys=["v"]), []),
    "label keys without selector": (
        affine(matchLabelKeys=["v"]),
        [f"{ANTI}[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"],
    ),
    "label keys of both sorts": (
        affine(labelSelector=SELECTOR, matchLabelKeys=["v"], mismatchLabelKeys=["v"]),
        [
            f'{ANTI}[0].matchLabelKeys[0]: Invalid value: "v": exists in both matchLabelKeys and '
            "mismatchLabelKeys"
        ],
    ),
    "node fields": (
        make(
            {
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["A"]}]}
                            ]
                        }
                    }
                }
            }
        ),
        [
            f'{NODE_TERMS}[0].matchFields[0].values[0]: Invalid value: "A": a lowercase RFC 1123 subdomain '
            "must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
            "alphanumeric character (e.g. 'example.com', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')".replace("\\\\", "\\")
        ],
    ),
    "preferred values that no node has": (
        make(
            {
                "affinity": {
                    "nodeAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {
                                "weight": 1,
                                "preference": {
                                    "matchExpressions": [{"key": "a", "operator": "In", "values": ["-"]}]
                                },
                            }
                        ]
                    }
                }
            }
        ),
        [],
    ),
    "toleration of a value that is none": (
        make({"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}]}),
        [
            'spec.tolerations[0].operator: Invalid value: "x": value must be empty when `operator` is '
            "'Exists'"
        ],
    ),
    "toleration effect": (
        make({"tolerations": [{"key": "a", "operator": "Exists", "effect": "x"}]}),
        [
            'spec.tolerations[0].effect: Unsupported value: "x": supported values: "NoSchedule", '
            '"PreferNoSchedule", "NoExecute"'
        ],
    ),
    "spread policies": (
        spread(nodeAffinityPolicy="x", minDomains=0),
        [
            f"{SPREAD}.minDomains: Invalid value: 0: must be greater than zero",
            f'{SPREAD}.nodeAffinityPolicy: Unsupported value: "x": supported values: "Honor", "Ignore"',
        ],
    ),
    "spread label keys": (
        spread(labelSelector=SELECTOR, matchLabelKeys=["a", "-"]),
        [f'{SPREAD}.matchLabelKeys[1]: Invalid value: "-": name part {QUALIFIED}'],
    ),
    "spread twice": (
        make({"topologySpreadConstraints": spread()["spec"]["topologySpreadConstraints"] * 2}),
        [f'{SPREAD}.{{topologyKey, whenUnsatisfiable}}: Duplicate value: "{{zone, DoNotSchedule}}"'],
    ),
}


def claiming(*claims: dict[str, str], known: tuple[str, ...] = ("gpu",)) -> Pod:
    whole = [{"name": name, "resourceClaimName": "x"} for name in known]
    return make({"resourceClaims": whole}, resources={"claims": list(claims)})


HUGE = {"limits": {"hugepages-2Mi": "3Mi"}, "requests": {"hugepages-2Mi": "3Mi"}}
RESOURCES: dict[str, tuple[Pod, list[str]]] = {
    "claim": (claiming({"name": "gpu"}), []),
    "claim of nothing": (
        claiming({"name": "x"}),
        [
            f'{C}.resources.claims[0]: Not found: "x": must be one of the names in pod.spec.resourceClaims: '
            "gpu"
        ],
    ),
    "claim of a pod without": (
        claiming({"name": "x"}, known=()),
        [
            f'{C}.resources.claims[0]: Not found: "x": must be one of the names in pod.spec.resourceClaims '
            "which is empty"
        ],
    ),
    "claim twice": (
        claiming({"name": "gpu", "request": "a"}, {"name": "gpu", "request": "a"}, {"name": "gpu"}),
        [
            f'{C}.resources.claims[1]: Duplicate value: "gpu/a"',
            f'{C}.resources.claims[2]: Duplicate value: "gpu"',
        ],
    ),
    "claims of a pod": (
        make({"resourceClaims": [{"name": "a"}, {"name": "a", "resourceClaimName": "x"}]}),
        [
            'spec.resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":null,'
            '"ResourceClaimTemplateName":null}: must specify one of: `resourceClaimName`, '
            "`resourceClaimTemplateName`",
            'spec.resourceClaims[1].name: Duplicate value: "a"',
        ],
    ),
    "huge pages": (
        make(resources=HUGE),
        [
            f'{C}.resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer '
            "multiple of hugepages-2Mi",
            f'{C}.resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer '
            "multiple of hugepages-2Mi",
            f"{C}.resources: Forbidden: HugePages require cpu or memory",
        ],
    ),
    "pod as a whole": (
        make({"resources": {"requests": {"cpu": "1"}}}, resources={"requests": {"cpu": "2"}}),
        [
            'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate '
            "container requests of 2"
        ],
    ),
    "pod as a whole, limits": (
        make(
            {"resources": {"limits": {"cpu": "1"}}},
            resources={"limits": {"cpu": "2"}, "requests": {"cpu": "1"}},
        ),
        [
            'spec.resources.containers[0][cpu].limits: Invalid value: "2": must be less than or equal to pod '
            "limits of 1"
        ],
    ),
    "pod as a whole, names": (
        make({"resources": {"requests": {"ephemeral-storage": "1"}}}),
        [
            'spec.resources.requests[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported '
            'values: "cpu", "hugepages-", "memory"'
        ],
    ),
    "overhead": (
        make({"overhead": {"x": "1"}}),
        [
            'spec.overhead.limits[x]: Invalid value: "x": must be a standard resource type or fully '
            "qualified",
            'spec.overhead.limits[x]: Invalid value: "x": must be a standard resource for containers',
        ],
    ),
    "resize policy of what never restarts": (
        make(
            {"restartPolicy": "Never"},
            resizePolicy=[{"resourceName": "cpu", "restartPolicy": "RestartContainer"}],
        ),
        [
            f"{C}.resizePolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when "
            "pod `restartPolicy` is 'Never'"
        ],
    ),
    "sleep longer than grace": (
        make(lifecycle={"preStop": {"sleep": {"seconds": 31}}}),
        [
            f"{C}.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than "
            "terminationGracePeriodSeconds (30)"
        ],
    ),
    "host ports of init containers are their own": (
        make(
            {"initContainers": [{"name": "i", "image": "x", "ports": [{"containerPort": 1, "hostPort": 5}]}]},
            ports=[{"containerPort": 1, "hostPort": 5}],
        ),
        [],
    ),
    "search paths": (
        make({"dnsConfig": {"searches": ["a_b.example.", ".", "_sip._tcp.abc_d.example.com", "-"]}}),
        [
            'spec.dnsConfig.searches[3]: Invalid value: "-": a lowercase RFC 1123 subdomain must consist of '
            "lower case alphanumeric characters, '_', '-' or '.', and must start and end with an "
            "alphanumeric character (e.g. 'example.com', regex used for validation is "
            r"'_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')"
        ],
    ),
    "pull secrets without a name": (make({"imagePullSecrets": [{}]}), []),
}


@pytest.mark.parametrize(("pod", "expected"), ANNOTATIONS.values(), ids=ANNOTATIONS)
def test_annotations(pod: Pod, expected: list[str]) -> None:
    assert faults(pod) == expected


@pytest.mark.parametrize(("pod", "expected"), PLACEMENT.values(), ids=PLACEMENT)
def test_placement(pod: Pod, expected: list[str]) -> None:
    assert faults(pod) == expected


@pytest.mark.parametrize(("pod", "expected"), RESOURCES.values(), ids=RESOURCES)
def test_resources_and_the_rest(pod: Pod, expected: list[str]) -> None:
    assert faults(pod) == expected
