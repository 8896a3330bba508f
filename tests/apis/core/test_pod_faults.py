"""Faults of pods where the API's way of telling them is its own: what they are told of, and in which order."""

# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest
from tests.apis.core.test_pod_validation import LABEL, QUALIFIED, C, env, faults, make, volume

from tiphys.apis.core.pod_update import validate_ephemeral_update

Body = dict[str, Any]
AT = f"{C}.env[0].valueFrom"
BYTES = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei"
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def field(path: str, version: str = "v1") -> Body:
    return env(valueFrom={"fieldRef": {"apiVersion": version, "fieldPath": path}})


def resource(name: str, divisor: str) -> Body:
    return env(valueFrom={"resourceFieldRef": {"resource": name, "divisor": divisor}})


def ephemeral(**template: Any) -> Body:
    return {"ephemeral": {"volumeClaimTemplate": {"spec": CLAIM, **template}}}


def mounting(**mount: Any) -> Body:
    return {"volumeMounts": [{"name": "v", "mountPath": "/x", **mount}]}


def devices(*given: Body) -> Body:
    return make(volume(persistentVolumeClaim={"claimName": "p"}), volumeDevices=list(given))


CASES: dict[str, tuple[Body, list[str]]] = {
    "nobody mounts a volume with a fault": (
        make({"volumes": [{"name": "v", "hostPath": {}}]}, **mounting()),
        ["spec.volumes[0].hostPath.path: Required value", f'{C}.volumeMounts[0].name: Not found: "v"'],
    ),
    "a second volume of a name, the first with a fault": (
        make({"volumes": [{"name": "v", "hostPath": {}}, {"name": "v", "emptyDir": {}}]}, **mounting()),
        ["spec.volumes[0].hostPath.path: Required value"],
    ),
    "a name and a source at fault": (
        make({"volumes": [{"name": "V", "hostPath": {}}]}),
        ["spec.volumes[0].hostPath.path: Required value", f'spec.volumes[0].name: Invalid value: "V": {LABEL}'],
    ),
    "propagation, of all mounts": (
        make(volume(emptyDir={}), **mounting(mountPropagation="X")),
        [f'{C}.volumeMounts.mountPropagation: Unsupported value: "X": supported values: "Bidirectional", "HostToContainer", "None"'],
    ),
    "propagation that needs privileges": (
        make(volume(emptyDir={}), **mounting(mountPropagation="Bidirectional")),
        [f"{C}.volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers"],
    ),
    "sub paths, of all mounts and of the one": (
        make(volume(emptyDir={}), **mounting(subPath="a", subPathExpr="/b")),
        [
            f'{C}.volumeMounts[0].subPathExpr: Invalid value: "/b": subPathExpr and subPath are mutually exclusive',
            f'{C}.volumeMounts.subPathExpr: Invalid value: "/b": must be a relative path',
        ],
    ),
    "devices without names and paths": (
        devices({}, {}),
        [
            f"{C}.volumeDevices[0].name: Required value", f'{C}.volumeDevices[0].name: Not found: ""',
            f"{C}.volumeDevices[0].devicePath: Required value", f"{C}.volumeDevices[1].name: Required value",
            f'{C}.volumeDevices[1].name: Not found: ""', f"{C}.volumeDevices[1].devicePath: Required value",
            f'{C}.volumeDevices[1].devicePath: Invalid value: "": must be unique',
        ],
    ),
    "a device that steps back": (
        devices({"name": "v", "devicePath": "/a/../b"}),
        [f"{C}.volumeDevices[0].devicePath: Invalid value: \"/a/../b\": can not contain backsteps ('..')"],
    ),
    "a claim of the pod's own": (
        make({"volumes": [{"name": "v", **ephemeral()}, {"name": "w", "persistentVolumeClaim": {"claimName": "p-v"}}]}),
        ['spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "p-v": must not reference a PVC that gets created for an ephemeral volume'],
    ),
    "a template that says more than it may": (
        make(volume(**ephemeral(metadata={"name": "n", "uid": "u", "labels": {"a": "b"}, "finalizers": ["x/y"]}))),
        [f"spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.{key}: Forbidden: cannot be set" for key in ("name", "uID", "finalizers")],
    ),
    "initiators": (
        make(volume(iscsi={"targetPortal": "t", "iqn": "iqn.2026-01.io.k8s", "initiatorName": "naa.0123456789abcdef"})),
        [f'spec.volumes[0].iscsi.{key}: Invalid value: "{value}": must be valid format' for key, value in (("iqn", "iqn.2026-01.io.k8s"), ("initiatorname", "naa.0123456789abcdef"))],
    ),
    "an annotation": (make(**field("metadata.annotations['A/b']")), []),
    "no annotation's name": (
        make(**field("metadata.annotations['A/']")),
        [f'{AT}.fieldRef: Invalid value: "a/": name part must be non-empty', f'{AT}.fieldRef: Invalid value: "a/": name part {QUALIFIED}'],
    ),
    "a subscript too many": (
        make(**field("spec.nodeName['a']")),
        [f"{AT}.fieldRef.fieldPath: Invalid value: \"spec.nodeName['a']\": error converting fieldPath: field label does not support subscript: spec.nodeName['a']"],
    ),
    "a field of another version": (
        make(**field("metadata.name", "v2")),
        [f'{AT}.fieldRef.fieldPath: Invalid value: "metadata.name": error converting fieldPath: unsupported pod version: v2'],
    ),
    "a field's old name": (make(**field("spec.host")), []),
    "a field that none may see": (
        make(**field("status.nominatedNodeName")),
        [f'{AT}.fieldRef.fieldPath: Invalid value: "status.nominatedNodeName": error converting fieldPath: field label not supported: status.nominatedNodeName'],
    ),
    "a divisor": (make(**resource("limits.cpu", "1m")), []),
    "a divisor of processors": (
        make(**resource("limits.cpu", "2m")),
        [f"{AT}.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource"],
    ),
    "a divisor of memory": (
        make(**resource("requests.memory", "1m")),
        [f"{AT}.resourceFieldRef.divisor: Invalid value: \"requests.memory\": only divisor's values {BYTES} are supported with the memory resource"],
    ),
    "a divisor of disks": (
        make(**resource("limits.ephemeral-storage", "3")),
        [f"{AT}.resourceFieldRef.divisor: Invalid value: \"limits.ephemeral-storage\": only divisor's values {BYTES} are supported with the local ephemeral storage resource"],
    ),
    "a divisor of huge pages": (
        make(**resource("limits.hugepages-2Mi", "3")),
        [f"{AT}.resourceFieldRef.divisor: Invalid value: \"limits.hugepages-2Mi\": only divisor's values {BYTES} are supported with the hugepages resource"],
    ),
    "names that something follows": (make(envFrom=[{"configMapRef": {"name": "a-"}}]), []),
    "two sources for all": (
        make(envFrom=[{"configMapRef": {"name": "a"}, "secretRef": {"name": "A"}}]),
        [
            f'{C}.envFrom[0].secretRef.name: Invalid value: "A": {SUBDOMAIN}',
            f'{C}.envFrom: Invalid value: "": may not have more than one field specified at a time',
        ],
    ),
    "two handlers": (
        make(livenessProbe={"exec": {}, "tcpSocket": {"port": 1}}),
        [f"{C}.livenessProbe.exec.command: Required value", f"{C}.livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
    ),
    "readiness that would end": (
        make(readinessProbe={"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 0}),
        [f"{C}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be {text}" for text in ("greater than 0",)]
        + [f"{C}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 0: must not be set for readinessProbes"],
    ),
    "a field of a node that is none": (
        make({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [{}]}]}}}}),
        [
            f'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].{key}: Invalid value: "": not a valid {text}'
            for key, text in (("operator", "selector operator"), ("key", "field selector key"))
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_faults(name: str) -> None:
    pod, expected = CASES[name]
    assert faults(pod) == expected


def test_the_name_of_a_claim_is_the_pods() -> None:
    pod = make(volume(**ephemeral()))
    pod["metadata"]["name"] = name = ".".join(["p" * 63] * 4)[:252]
    assert faults(pod) == [
        f'spec.volumes[0].name: Invalid value: "v": PVC name "{name}-v": must be no more than 253 bytes'
    ]


def test_ephemeral_containers_may_not_restart() -> None:
    extra = {
        "name": "e",
        "image": "i",
        "restartPolicy": "Always",
        "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
        "livenessProbe": {},
        "ports": [],
        "resources": {},
    }
    new = make({"ephemeralContainers": [extra]})
    found = [str(fault) for fault in validate_ephemeral_update(new, make())]
    assert found == [
        f"spec.ephemeralContainers[0].{key}: Forbidden: cannot be set for an Ephemeral Container"
        for key in ("ports", "resizePolicy", "restartPolicy", "livenessProbe")
    ]
