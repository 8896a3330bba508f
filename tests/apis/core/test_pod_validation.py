"""Faults of pods, each with the API's path and text."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apis.strategies import strategy_for

POD = strategy_for(GVK("", "v1", "Pod"))


def make(spec: dict[str, Any] | None = None, **container: Any) -> dict[str, Any]:
    """Return a defaulted pod: ``spec`` and ``container`` are laid over a pod that is fine."""
    first = {"name": "c", "image": "nginx", **container}
    pod = {"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [first], **(spec or {})}}
    pod = copy_object(pod)
    POD.default(pod)
    return pod


def faults(pod: dict[str, Any]) -> list[str]:
    return [str(fault) for fault in POD.validate(pod)]


LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and "
    "end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
QUALIFIED = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
ANTI = "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution"
C = "spec.containers[0]"
PROBE = {"tcpSocket": {"port": 80}}


def volume(**source: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "v", **source}]}


def env(**value: Any) -> dict[str, Any]:
    return {"env": [{"name": "E", **value}]}


SYSCTLS = "spec.securityContext.sysctls"
SYSCTL_TEXT = (
    "must have at most 253 characters and match regex"
    r" ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
)

CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "fine": (make(), []),
    "no containers": (make({"containers": []}), ["spec.containers: Required value"]),
    "no image": (make(image=""), [f"{C}.image: Required value"]),
    "padded image": (
        make(image=" nginx"),
        [f'{C}.image: Invalid value: " nginx": must not have leading or trailing whitespace'],
    ),
    "no name": (make(name=""), [f"{C}.name: Required value"]),
    "bad name": (make(name="A_b"), [f'{C}.name: Invalid value: "A_b": {LABEL}']),
    "same name twice": (
        make({"containers": [{"name": "c", "image": "a"}, {"name": "c", "image": "b"}]}),
        ['spec.containers[1].name: Duplicate value: "c"'],
    ),
    "init shares a name": (
        make({"initContainers": [{"name": "c", "image": "a"}]}),
        ['spec.initContainers[0].name: Duplicate value: "c"'],
    ),
    "init with probe": (
        make({"initContainers": [{"name": "i", "image": "a", "readinessProbe": PROBE}]}),
        [
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without "
            "restartPolicy=Always"
        ],
    ),
    "sidecar with probe": (
        make(
            {
                "initContainers": [
                    {"name": "i", "image": "a", "restartPolicy": "Always", "startupProbe": PROBE}
                ]
            }
        ),
        [],
    ),
    "all faults at once": (
        make({"restartPolicy": "X"}, image="", name=""),
        [
            f"{C}.name: Required value",
            f"{C}.image: Required value",
            'spec.restartPolicy: Unsupported value: "X": supported values: "Always", "OnFailure", "Never"',
        ],
    ),
    "dns policy": (
        make({"dnsPolicy": "X"}),
        [
            'spec.dnsPolicy: Unsupported value: "X": supported values: "ClusterFirstWithHostNet", '
            '"ClusterFirst", "Default", "None"'
        ],
    ),
    "dns none": (
        make({"dnsPolicy": "None"}),
        ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
    ),
    "dns servers": (
        make({"dnsConfig": {"nameservers": ["x"]}}),
        [
            'spec.dnsConfig.nameservers[0]: Invalid value: "x": must be a valid IP address, '
            "(e.g. 10.9.8.7 or 2001:db8::ffff)"
        ],
    ),
    "pull policy": (
        make(imagePullPolicy="X"),
        [f'{C}.imagePullPolicy: Unsupported value: "X": supported values: "Always", "IfNotPresent", "Never"'],
    ),
    "port": (
        make(ports=[{"containerPort": 70000}]),
        [f"{C}.ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
    ),
    "port missing": (make(ports=[{"name": "http"}]), [f"{C}.ports[0].containerPort: Required value"]),
    "port protocol": (
        make(ports=[{"containerPort": 1, "protocol": "X"}]),
        [f'{C}.ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"'],
    ),
    "port name": (
        make(ports=[{"containerPort": 1, "name": "1"}]),
        [f'{C}.ports[0].name: Invalid value: "1": must contain at least one letter (a-z)'],
    ),
    "port names clash": (
        make(ports=[{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]),
        [f'{C}.ports[1].name: Duplicate value: "a"'],
    ),
    "host ports clash": (
        make(ports=[{"containerPort": 1, "hostPort": 5}, {"containerPort": 2, "hostPort": 5}]),
        [f'{C}.ports[1].hostPort: Duplicate value: "TCP//5"'],
    ),
    "env name": (make(env=[{"name": ""}]), [f"{C}.env[0].name: Required value"]),
    "env two sources": (
        make(**env(value="x", valueFrom={"fieldRef": {"fieldPath": "metadata.name"}})),
        [f'{C}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
    ),
    "env field": (
        make(**env(valueFrom={"fieldRef": {"fieldPath": "status.phase"}})),
        [
            f'{C}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: '
            '"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", '
            '"spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"'
        ],
    ),
    "env unknown field": (
        make(**env(valueFrom={"fieldRef": {"fieldPath": "spec.foo"}})),
        [
            f'{C}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.foo": error converting '
            "fieldPath: "
            "field label not supported: spec.foo"
        ],
    ),
    "env label": (make(**env(valueFrom={"fieldRef": {"fieldPath": "metadata.labels['a']"}})), []),
    "env key": (
        make(**env(valueFrom={"secretKeyRef": {"name": "s", "key": ""}})),
        [f"{C}.env[0].valueFrom.secretKeyRef.key: Required value"],
    ),
    "env resource": (make(**env(valueFrom={"resourceFieldRef": {"resource": "limits.cpu"}})), []),
    "env from": (
        make(envFrom=[{}]),
        [f'{C}.envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`'],
    ),
    "request above limit": (
        make(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
        [f'{C}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
    ),
    "negative limit": (
        make(resources={"limits": {"cpu": "-1"}, "requests": {"cpu": "-1"}}),
        [
            f'{C}.resources.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
            f'{C}.resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0',
        ],
    ),
    "unknown resource": (
        make(resources={"requests": {"foo": "1"}}),
        [
            f'{C}.resources.requests[foo]: Invalid value: "foo": must be a standard resource type or fully '
            "qualified",
            f'{C}.resources.requests[foo]: Invalid value: "foo": must be a standard resource for containers',
        ],
    ),
    "extended resource": (make(resources={"limits": {"example.com/gpu": "1"}}), []),
    "extended resource in part": (
        make(resources={"limits": {"example.com/gpu": "500m"}}),
        [
            f'{C}.resources.limits[example.com/gpu]: Invalid value: "500m": must be an integer',
            f'{C}.resources.requests[example.com/gpu]: Invalid value: "500m": must be an integer',
        ],
    ),
    "extended request alone": (
        make(resources={"requests": {"example.com/gpu": "1"}}),
        [f"{C}.resources.limits: Required value: Limit must be set for non overcommitable resources"],
    ),
    "probe without handler": (
        make(livenessProbe={"periodSeconds": 5}),
        [f"{C}.livenessProbe: Required value: must specify a handler type"],
    ),
    "probe with two": (
        make(readinessProbe={"tcpSocket": {"port": 1}, "exec": {"command": ["x"]}}),
        [f"{C}.readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
    ),
    "liveness successes": (
        make(livenessProbe={**PROBE, "successThreshold": 2}),
        [f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1"],
    ),
    "readiness successes": (make(readinessProbe={**PROBE, "successThreshold": 2}), []),
    "probe numbers": (
        make(livenessProbe={**PROBE, "initialDelaySeconds": -1}),
        [f"{C}.livenessProbe.initialDelaySeconds: Invalid value: -1: must be greater than or equal to 0"],
    ),
    "probe scheme": (
        make(livenessProbe={"httpGet": {"port": 1, "scheme": "ftp"}}),
        [f'{C}.livenessProbe.httpGet.scheme: Unsupported value: "ftp": supported values: "HTTP", "HTTPS"'],
    ),
    "hook command": (
        make(lifecycle={"preStop": {"exec": {"command": []}}}),
        [f"{C}.lifecycle.preStop.exec.command: Required value"],
    ),
    "mount of nothing": (
        make(volumeMounts=[{"name": "v", "mountPath": "/x"}]),
        [f'{C}.volumeMounts[0].name: Not found: "v"'],
    ),
    "mount twice": (
        make(
            volume(emptyDir={}),
            volumeMounts=[{"name": "v", "mountPath": "/x"}, {"name": "v", "mountPath": "/x"}],
        ),
        [f'{C}.volumeMounts[1].mountPath: Invalid value: "/x": must be unique'],
    ),
    "sub path": (
        make(volume(emptyDir={}), volumeMounts=[{"name": "v", "mountPath": "/x", "subPath": "/a/../b"}]),
        [
            f'{C}.volumeMounts.subPath: Invalid value: "/a/../b": must be a relative path',
            f"{C}.volumeMounts.subPath: Invalid value: \"/a/../b\": must not contain '..'",
        ],
    ),
    "volume without a source is an emptyDir": (make(volume()), []),
    "volume with two": (
        make(volume(emptyDir={}, hostPath={"path": "/"})),
        ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
    ),
    "volume names clash": (
        make({"volumes": [{"name": "v"}, {"name": "v"}]}),
        ['spec.volumes[1].name: Duplicate value: "v"'],
    ),
    "host path": (make(volume(hostPath={})), ["spec.volumes[0].hostPath.path: Required value"]),
    "secret volume": (make(volume(secret={})), ["spec.volumes[0].secret.secretName: Required value"]),
    "secret mode": (
        make(volume(secret={"secretName": "s", "defaultMode": 512})),
        [
            "spec.volumes[0].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 "
            "(octal), both inclusive"
        ],
    ),
    "config map items": (
        make(volume(configMap={"name": "c", "items": [{"key": "", "path": "../x"}]})),
        [
            "spec.volumes[0].configMap.items[0].key: Required value",
            "spec.volumes[0].configMap.items[0].path: Invalid value: \"../x\": must not contain '..'",
        ],
    ),
    "claim": (
        make(volume(persistentVolumeClaim={})),
        ["spec.volumes[0].persistentVolumeClaim.claimName: Required value"],
    ),
    "downward": (
        make(volume(downwardAPI={"items": [{"path": "a"}]})),
        ["spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"],
    ),
    "token lifetime": (
        make(
            {
                "serviceAccountName": "a",
                **volume(
                    projected={"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 5}}]}
                ),
            }
        ),
        [
            "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: "
            "may "
            "not specify a duration less than 10 minutes"
        ],
    ),
    "deadline": (
        make({"activeDeadlineSeconds": 0}),
        ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
    ),
    "privileged but not": (
        make(securityContext={"privileged": True, "allowPrivilegeEscalation": False}),
        [
            f'{C}.securityContext: Invalid value: {{"Capabilities":null,"Privileged":true,"SELinuxOptions":'
            'null,"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":null,"RunAsNonRoot":null,'
            '"ReadOnlyRootFilesystem":null,"AllowPrivilegeEscalation":false,"ProcMount":null,'
            '"SeccompProfile":null,"AppArmorProfile":null}: cannot set `allowPrivilegeEscalation` to false '
            "and `privileged` to true"
        ],
    ),
    "user": (
        make(securityContext={"runAsUser": -1}),
        [f"{C}.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"],
    ),
    "toleration key": (
        make({"tolerations": [{"operator": "Equal"}]}),
        [
            'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is '
            'empty, which means "match all values and all keys"'
        ],
    ),
    "toleration seconds": (
        make({"tolerations": [{"key": "a", "tolerationSeconds": 1, "effect": "NoSchedule"}]}),
        [
            "spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when "
            "`tolerationSeconds` is set"
        ],
    ),
    "node affinity": (
        make({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}}),
        [
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: "
            "Required value: must have at least one node selector term"
        ],
    ),
    "pod affinity": (
        make({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}}),
        [
            f"{ANTI}[0].topologyKey: Required value: can not be empty",
            f'{ANTI}[0].topologyKey: Invalid value: "": name part must be non-empty',
            f'{ANTI}[0].topologyKey: Invalid value: "": name part {QUALIFIED}',
        ],
    ),
    "spread": (
        make({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "X"}]}),
        [
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
            'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "X": supported values: '
            '"DoNotSchedule", "ScheduleAnyway"',
        ],
    ),
    "hostname": (make({"hostname": "A"}), [f'spec.hostname: Invalid value: "A": {LABEL}']),
    "ephemeral on create": (
        make({"ephemeralContainers": [{"name": "e", "image": "i"}]}),
        ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    ),
    "gates clash": (
        make({"schedulingGates": [{"name": "a.b/c"}, {"name": "a.b/c"}]}),
        ['spec.schedulingGates[1]: Duplicate value: "a.b/c"'],
    ),
    "sysctls": (
        make(
            {
                "securityContext": {
                    "sysctls": [
                        {"name": name, "value": "1"}
                        for name in (
                            "foo-",
                            "kernel.shmmax",
                            "net/ipv4/ip_local_port_range",
                            "bar..",
                            "",
                            "kernel.shmmax",
                        )
                    ]
                }
            }
        ),
        [
            f'{SYSCTLS}[0].name: Invalid value: "foo-": {SYSCTL_TEXT}',
            f'{SYSCTLS}[3].name: Invalid value: "bar..": {SYSCTL_TEXT}',
            f"{SYSCTLS}[4].name: Required value",
            f'{SYSCTLS}[5].name: Duplicate value: "kernel.shmmax"',
        ],
    ),
    "host network": (make({"hostNetwork": True}, ports=[{"containerPort": 80}]), []),
    "host network ports": (
        make({"hostNetwork": True}, ports=[{"containerPort": 80, "hostPort": 81}]),
        [f"{C}.ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"],
    ),
    "env var anything": (make(env=[{"name": "a b/c", "value": "x"}]), []),
}


@pytest.mark.parametrize(("pod", "expected"), CASES.values(), ids=CASES)
def test_create(pod: dict[str, Any], expected: list[str]) -> None:
    assert faults(pod) == expected
