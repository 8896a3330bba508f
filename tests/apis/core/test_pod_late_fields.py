"""Rules of pods that came late: names of hosts, variables from files, users of their own, sizes of whole pods."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.apis.core.test_pod_validation import make

Pod = dict[str, Any]

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
BLOCK = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}
DEVICE = [{"name": "v", "devicePath": "/dev/x"}]
FILE = "spec.containers[0].env[0].valueFrom.fileKeyRef"


def pod(spec: Pod | None = None, **container: Any) -> Pod:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "ns"},
        **make(spec or {}, **container),
    }


def reads(volumes: list[Pod], **reference: str) -> Pod:
    source = {"valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "a/b", "key": "k", **reference}}}
    return pod({"volumes": volumes}, env=[{"name": "A", **source}])


def sized(limit: str, own: str, *, kind: str = "limits", name: str = "cpu") -> Pod:
    return pod({"resources": {kind: {name: limit}}}, resources={kind: {name: own}})


HUGE = "hugepages-2Mi"
CASES: dict[str, tuple[Pod, list[str]]] = {
    "host name": (pod({"hostnameOverride": "a.b"}), []),
    "host name that is none": (
        pod({"hostnameOverride": "A", "hostNetwork": True, "setHostnameAsFQDN": True}),
        [
            "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
            "spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true",
            f'spec.hostnameOverride: Invalid value: "A": {SUBDOMAIN}',
        ],
    ),
    "long host name": (
        pod({"hostnameOverride": "a" * 65}),
        ["spec.hostnameOverride: Too long: may not be more than 64 bytes"],
    ),
    "empty host name": (
        pod({"hostnameOverride": ""}),
        [f'spec.hostnameOverride: Invalid value: "": {SUBDOMAIN}'],
    ),
    "file": (reads([{"name": "v", "emptyDir": {}}]), []),
    "file of no volume": (reads([]), [f'{FILE}.volumeName: Not found: "v"']),
    "file of another volume": (
        reads([{"name": "v", "hostPath": {"path": "/"}}]),
        [f'{FILE}.volumeName: Invalid value: "v": referenced volume must be of type emptyDir'],
    ),
    "file that is none": (
        reads([{"name": "v", "emptyDir": {}}], path="../a", key="a=b"),
        [
            f"{FILE}.key: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII characters other than '='",
            f"{FILE}.path: Invalid value: \"../a\": must not contain '..'",
        ],
    ),
    "users of its own and devices": (
        pod({"hostUsers": False, **BLOCK}, volumeDevices=DEVICE),
        ["spec.containers[0].volumeDevices: Forbidden: when `hostUsers` is false"],
    ),
    "compared taints": (
        pod({"tolerations": [{"key": "a", "operator": "Lt", "value": "1"}]}),
        [
            'spec.tolerations[0].operator: Unsupported value: "Lt": supported values: "Equal", "Exists", "Lt", "Gt"'
        ],
    ),
    "unknown operator": (
        pod({"tolerations": [{"key": "a", "operator": "x"}]}),
        ['spec.tolerations[0].operator: Unsupported value: "x": supported values: "Equal", "Exists"'],
    ),
    "labels of files": (pod({"securityContext": {"seLinuxChangePolicy": "Recursive"}}), []),
    "mounted with labels": (
        pod({"securityContext": {"seLinuxChangePolicy": "MountOption"}}),
        [
            'spec.securityContext.seLinuxChangePolicy: Unsupported value: "MountOption": supported values: "Recursive"'
        ],
    ),
    "system of no name": (pod({"os": {}}), ["spec.os.name: Required value"]),
    "whole pod of windows": (
        pod({"os": {"name": "windows"}, "resources": {"claims": []}}),
        ["spec.resources: Forbidden: may not be set for a windows pod"],
    ),
    "devices of a whole pod": (
        pod({"resources": {"claims": []}}),
        ["spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level"],
    ),
    "whole pod": (sized("2", "1"), []),
    "container above its pod": (
        sized("1", "2"),
        [
            'spec.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
            'spec.resources.containers[0][cpu].limits: Invalid value: "2": must be less than or equal to pod limits of 1',
        ],
    ),
    "containers that ask for more than their pod": (
        pod({"resources": {"requests": {"cpu": "1"}}}, resources={"requests": {"cpu": "2"}}),
        [
            'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 2',
        ],
    ),
    "containers above their pod in what it does not say": (
        pod({"resources": {"requests": {"cpu": "1"}}}, resources={"requests": {"memory": "1Gi"}}),
        [],
    ),
    "huge pages above those of the pod": (
        pod(
            {"resources": {"limits": {HUGE: "2Mi", "cpu": "1"}}},
            resources={"limits": {HUGE: "4Mi"}, "requests": {"cpu": "1"}},
        ),
        [
            f'spec.resources.requests[{HUGE}]: Invalid value: "2Mi": must be greater than or equal to aggregate container requests of 4Mi',
            f'spec.resources.limits[{HUGE}]: Invalid value: "2Mi": must be greater than or equal to aggregate container limits of 4Mi',
            f'spec.resources.containers[0][{HUGE}].limits: Invalid value: "4Mi": must be less than or equal to pod limits of 2Mi',
        ],
    ),
    "rules of an init container without a policy": (
        pod({"initContainers": [{"name": "i", "image": "x", "restartPolicyRules": [{"action": "x"}]}]}),
        [
            "spec.initContainers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used"
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CASES.values(), ids=CASES)
def test_new(obj: Pod, expected: list[str], faults_of_new: Callable[[Pod], list[str]]) -> None:
    assert faults_of_new(obj) == expected


def deployed(spec: Pod) -> Pod:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }
    selector = {"matchLabels": {"a": "b"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {"selector": selector, "template": template},
    }


KEPT: dict[str, Pod] = {
    "mounted with labels": {"securityContext": {"seLinuxChangePolicy": "MountOption"}},
    "compared taints": {"tolerations": [{"key": "a", "operator": "Gt", "value": "1"}]},
    "users of its own on the host's network": {"hostUsers": False, "hostNetwork": True},
    "users of its own and devices": {
        "hostUsers": False,
        **BLOCK,
        "containers": [{"name": "c", "image": "i", "volumeDevices": DEVICE}],
    },
}


@pytest.mark.parametrize("spec", KEPT.values(), ids=KEPT)
def test_what_was_there_may_stay(spec: Pod, faults_of_change: Callable[[Pod, Pod], list[str]]) -> None:
    assert faults_of_change(deployed({}), deployed(spec))
    assert faults_of_change(deployed(spec), deployed({**spec, "priority": 1})) == []
