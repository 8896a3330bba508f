"""What clients are warned about."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.featuregates import FeatureGates, using
from tiphys.apis.core.pod_warnings import pod_warnings, spec_warnings, template_warnings


def pod(name: str = "p", **container: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", **container}]}}


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": (pod(), []),
    "same variable": (
        pod(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
        [
            'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using '
            "apply"
        ],
    ),
    "variable extends itself": (pod(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}]), []),
    "same port": (
        pod(ports=[{"containerPort": 1}, {"containerPort": 1, "protocol": "TCP"}]),
        ["spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"],
    ),
    "dots": (
        pod("a.b"),
        [
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a "
            "DNS "
            "label is recommended: [must not contain dots]"
        ],
    ),
}


def whole(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    made = pod()
    made["spec"] |= spec
    made["metadata"]["annotations"] = annotations or {}
    return made


NULL = "a null labelSelector results in matching no pod"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
ZONE = "failure-domain.beta.kubernetes.io/zone"
OLD_ZONE = 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
CRITICAL, SECCOMP = "scheduler.alpha.kubernetes.io/critical-pod", "seccomp.security.alpha.kubernetes.io/pod"
CASES |= {
    "variable from elsewhere hides another": (
        pod(env=[{"name": "A", "value": "1"}, {"name": "A", "valueFrom": {}}]),
        [
            'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using '
            "apply"
        ],
    ),
    "port of another container": (
        whole(
            initContainers=[{"name": "i", "ports": [{"containerPort": 1}]}],
            containers=[{"name": "c", "ports": [{"containerPort": 1, "hostPort": 5}]}],
        ),
        ["spec.containers[0].ports[0]: overlapping port definition with spec.initContainers[0].ports[0]"],
    ),
    "name of another port": (
        whole(
            initContainers=[{"name": "i", "ports": [{"containerPort": 1, "name": "a"}]}],
            containers=[{"name": "c", "ports": [{"containerPort": 2, "name": "a"}]}],
        ),
        [
            'spec.containers[0].ports[0]: duplicate port name "a" with spec.initContainers[0].ports[0], '
            "services and probes that select ports by name will use spec.initContainers[0].ports[0]"
        ],
    ),
    "host port with and without address": (
        pod(
            ports=[{"containerPort": 1, "hostPort": 5}, {"containerPort": 1, "hostPort": 5, "hostIP": "::1"}]
        ),
        [
            "spec.containers[0].ports[1]: dangerously ambiguous port definition with "
            "spec.containers[0].ports[0]"
        ],
    ),
    "fractions of bytes": (
        pod(resources={"limits": {"memory": "500m", "cpu": "500m"}}),
        [
            'spec.containers[0].resources.limits[memory]: fractional byte value "500m" is invalid, must be '
            "an integer"
        ],
    ),
    "annotations": (
        whole({CRITICAL: "", SECCOMP: "unconfined"}),
        [
            f'metadata.annotations[{CRITICAL}]: non-functional in v1.16+; use the "priorityClassName" field '
            "instead",
            f'metadata.annotations[{SECCOMP}]: non-functional in v1.27+; use the "seccompProfile" field '
            "instead",
        ],
    ),
    "volumes": (
        whole(volumes=[{"name": "a", "gitRepo": {}}, {"name": "b", "storageos": {}}]),
        [
            "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
            "spec.volumes[1].storageOS: deprecated in v1.22, non-functional in v1.25+",
        ],
    ),
    "token's place": (
        whole(
            volumes=[
                {
                    "name": "a",
                    "projected": {
                        "sources": [
                            {"serviceAccountToken": {"path": "t"}},
                            {"secret": {"items": [{"path": "t"}]}},
                        ]
                    },
                }
            ]
        ),
        ['volume "a" (Projected): overlapping paths: "t" (Secret "") with "t" (ServiceAccountToken)'],
    ),
    "names twice": (
        whole(
            hostAliases=[{"ip": "::1"}, {"ip": "::1"}], imagePullSecrets=[{"name": "a"}, {"name": "a"}, {}]
        ),
        [
            'spec.hostAliases[1].ip: duplicate ip "::1"',
            'spec.imagePullSecrets[1].name: duplicate name "a"',
            'spec.imagePullSecrets[2].name: invalid empty name ""',
        ],
    ),
    "old labels": (
        whole(
            affinity={
                "nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [{"key": ZONE}]}]}}
            },
            topologySpreadConstraints=[{"topologyKey": ZONE}],
        ),
        [
            f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].key: {ZONE} is "
            f"{OLD_ZONE}",
            f"spec.topologySpreadConstraints[0].topologyKey: {ZONE} is {OLD_ZONE}",
            f"spec.topologySpreadConstraints[0].labelSelector: {NULL}",
        ],
    ),
    "labels nobody gives anymore": (
        whole(
            nodeSelector={
                "app.kubernetes.io/created-by": "a",
                "node-role.kubernetes.io/master": "",
                "scheduler.alpha.kubernetes.io/preferAvoidPods": "",
            }
        ),
        [
            "spec.nodeSelector[app.kubernetes.io/created-by]: deprecated since v1.9",
            "spec.nodeSelector[node-role.kubernetes.io/master]: use "
            '"node-role.kubernetes.io/control-plane" instead',
            "spec.nodeSelector[scheduler.alpha.kubernetes.io/preferAvoidPods]: deprecated since v1.22; use "
            "Taints and Tolerations instead",
        ],
    ),
    "values no label has": (
        whole(
            affinity={
                "nodeAffinity": {
                    PREFERRED: [
                        {"preference": {"matchExpressions": [{"key": "a", "values": ["b", "x" * 64]}]}}
                    ]
                }
            }
        ),
        [
            f"spec.affinity.nodeAffinity.{PREFERRED}[0].preference.matchExpressions[0].values[1]: "
            f"{'x' * 64} is invalid, must be no more than 63 bytes"
        ],
    ),
    "affinity to nobody": (
        whole(affinity={"podAffinity": {REQUIRED: [{}]}}),
        [f"spec.affinity.podAffinity.{REQUIRED}[0].labelSelector: {NULL}"],
    ),
    "grace": (
        whole(terminationGracePeriodSeconds=-1),
        [
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be "
            "treated as 1"
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CASES.values(), ids=CASES)
def test_pods(obj: dict[str, Any], expected: list[str]) -> None:
    assert pod_warnings(obj, None) == expected


def test_volumes_from_git_where_a_gate_lets_them_be() -> None:
    with using(FeatureGates({"GitRepoVolumeDriver": True})):
        found = spec_warnings({"volumes": [{"gitRepo": {}}]}, "spec")
    assert found == ["spec.volumes[0].gitRepo: deprecated in v1.11"]


def test_the_name_is_told_of_first() -> None:
    body = whole(terminationGracePeriodSeconds=-1)
    body["metadata"] = {"name": "a.b"}
    assert [text.partition(":")[0] for text in pod_warnings(body, None)] == [
        "metadata.name", "spec.terminationGracePeriodSeconds"
    ]  # fmt: skip


def test_names_matter_only_at_first() -> None:
    assert pod_warnings(pod("a.b"), pod("a.b")) == []


def test_templates() -> None:
    spec = {"containers": [], "nodeSelector": {"beta.kubernetes.io/os": "linux"}}
    text = 'nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'
    deployment = {"spec": {"template": {"spec": spec}}}
    assert template_warnings(deployment, None) == [f"spec.template.spec.{text}"]
    cron = {"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}
    assert template_warnings(cron, None) == [f"spec.jobTemplate.spec.template.spec.{text}"]
