"""Faults of pods beyond their basics: security, systems, annotations, placement, devices."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apis.core.test_pod_validation import ANTI, QUALIFIED, C, faults, make

Pod = dict[str, Any]
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/c"
COST = "controller.kubernetes.io/pod-deletion-cost"
SYSCTL = (
    r"must have at most 253 characters and match regex "
    r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
)
WINDOWS = "cannot be set for a windows pod"


def annotated(annotations: dict[str, str], spec: Pod | None = None, **container: Any) -> Pod:
    pod = make(spec, **container)
    pod["metadata"]["annotations"] = annotations
    return pod


def secured(**context: Any) -> Pod:
    return make({"securityContext": context})


def contained(**context: Any) -> Pod:
    return make(securityContext=context)


def windows(**options: Any) -> Pod:
    return contained(windowsOptions=options)


USER = f"{C}.securityContext.windowsOptions.runAsUserName"
SECURITY: dict[str, tuple[Pod, list[str]]] = {
    "users": (
        secured(fsGroup=-1, supplementalGroups=[1, -2]),
        [
            "spec.securityContext.fsGroup: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            "spec.securityContext.supplementalGroups[1]: Invalid value: -2: must be between 0 and "
            "2147483647, inclusive",
        ],
    ),
    "choices": (
        secured(fsGroupChangePolicy="x", supplementalGroupsPolicy="x", seLinuxChangePolicy="x"),
        [
            'spec.securityContext.fsGroupChangePolicy: Unsupported value: "x": supported values: "Always", '
            '"OnRootMismatch"',
            'spec.securityContext.supplementalGroupsPolicy: Unsupported value: "x": supported values: '
            '"Merge", "Strict"',
            'spec.securityContext.seLinuxChangePolicy: Unsupported value: "x": supported values: "Recursive"',
        ],
    ),
    "shared processes": (
        make({"hostPID": True, "shareProcessNamespace": True}),
        [
            "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and "
            "HostPID cannot both be enabled"
        ],
    ),
    "sysctls": (
        secured(sysctls=[{"name": "A"}, {"name": "net.ipv4.x"}, {"name": "net.ipv4.x"}, {"name": ""}]),
        [
            f'spec.securityContext.sysctls[0].name: Invalid value: "A": {SYSCTL}',
            'spec.securityContext.sysctls[2].name: Duplicate value: "net.ipv4.x"',
            "spec.securityContext.sysctls[3].name: Required value",
        ],
    ),
    "sysctls of the host": (
        make(
            {
                "hostNetwork": True,
                "hostIPC": True,
                "securityContext": {
                    "sysctls": [
                        {"name": "net/ipv4/x"},
                        {"name": "kernel.shmmax"},
                        {"name": "kernel.sem"},
                        {"name": "kernel.sem2"},
                    ]
                },
            }
        ),
        [
            'spec.securityContext.sysctls[0].name: Invalid value: "net/ipv4/x": may not be specified when '
            "'hostNetwork' is true",
            'spec.securityContext.sysctls[1].name: Invalid value: "kernel.shmmax": may not be specified when '
            "'hostIPC' is true",
            'spec.securityContext.sysctls[2].name: Invalid value: "kernel.sem": may not be specified when '
            "'hostIPC' is true",
        ],
    ),
    "no more rights than its parent": (
        contained(
            allowPrivilegeEscalation=False,
            capabilities={"add": ["CAP_SYS_ADMIN", "SYS_ADMIN", "CAP_SYS_ADMIN"]},
        ),
        [
            'spec.containers[0].securityContext: Invalid value: {"Capabilities":{"Add":["CAP_SYS_ADMIN",'
            '"SYS_ADMIN","CAP_SYS_ADMIN"],"Drop":null},"Privileged":null,"SELinuxOptions":null,'
            '"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":null,"RunAsNonRoot":null,'
            '"ReadOnlyRootFilesystem":null,"AllowPrivilegeEscalation":false,"ProcMount":null,'
            '"SeccompProfile":null,"AppArmorProfile":null}: cannot set `allowPrivilegeEscalation` to false '
            "and `capabilities.Add` CAP_SYS_ADMIN"
        ]
        * 2,
    ),
    "seccomp": (
        contained(seccompProfile={"type": "x"}),
        [
            f'{C}.securityContext.seccompProfile.type: Unsupported value: "x": supported values: '
            '"Localhost", "RuntimeDefault", "Unconfined"'
        ],
    ),
    "seccomp without type": (
        secured(seccompProfile={}),
        [
            "spec.securityContext.seccompProfile.type: Required value: type is required when seccompProfile "
            "is set"
        ],
    ),
    "seccomp file": (
        contained(seccompProfile={"type": "Localhost"}),
        [
            f"{C}.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp "
            "type is Localhost"
        ],
    ),
    "apparmor file for nothing": (
        secured(appArmorProfile={"type": "Unconfined", "localhostProfile": "x"}),
        [
            'spec.securityContext.appArmorProfile.localhostProfile: Invalid value: "x": can only be set when '
            "AppArmor type is Localhost"
        ],
    ),
    "apparmor padded": (
        secured(appArmorProfile={"type": "Localhost", "localhostProfile": " x"}),
        [
            'spec.securityContext.appArmorProfile.localhostProfile: Invalid value: " x": must not be padded '
            "with whitespace"
        ],
    ),
    "unmasked": (
        contained(procMount="Unmasked"),
        [
            f'{C}.securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use '
            "`Unmasked`"
        ],
    ),
    "unmasked with users of its own": (
        make({"hostUsers": False}, securityContext={"procMount": "Unmasked"}),
        [],
    ),
    "users of its own and the host's namespaces": (
        make({"hostUsers": False, "hostNetwork": True, "hostPID": True, "hostIPC": True}),
        [
            "spec.hostNetwork: Forbidden: when `hostUsers` is false",
            "spec.HostPID: Forbidden: when `hostUsers` is false",
            "spec.HostIPC: Forbidden: when `hostUsers` is false",
        ],
    ),
    "windows user": (windows(runAsUserName="DOMAIN\\user"), []),
    "windows user, empty": (
        windows(runAsUserName=""),
        [f'{USER}: Invalid value: "": runAsUserName cannot be an empty string'],
    ),
    "windows user, backslashes": (
        windows(runAsUserName="a\\b\\c"),
        [f'{USER}: Invalid value: "a\\\\b\\\\c": runAsUserName cannot contain more than one backslash'],
    ),
    "windows user, all else": (
        windows(runAsUserName=":\\.."),
        [
            f"{USER}: Invalid value: \":\\\\..\": runAsUserName's Domain doesn't match the NetBios nor the "
            "DNS format",
            f'{USER}: Invalid value: ":\\\\..": runAsUserName\'s User cannot contain only periods or spaces',
        ],
    ),
    "host process": (
        make({"securityContext": {"windowsOptions": {"hostProcess": True}}}),
        [
            "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any "
            "hostProcess containers"
        ],
    ),
    "host process said twice": (
        make(
            {"hostNetwork": True, "securityContext": {"windowsOptions": {"hostProcess": True}}},
            securityContext={"windowsOptions": {"hostProcess": False}},
        ),
        [
            f"{C}.securityContext.windowsOptions.hostProcess: Invalid value: false: pod hostProcess value "
            "must be identical if both are specified, was true"
        ],
    ),
    "system": (
        make({"os": {"name": "x"}}),
        ['spec.os: Unsupported value: "x": supported values: "linux", "windows"'],
    ),
    "windows on linux": (
        make({"os": {"name": "linux"}}, securityContext={"windowsOptions": {}}),
        [f"{C}.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"],
    ),
    "linux on windows": (
        make(
            {"os": {"name": "windows"}, "hostPID": True, "securityContext": {"fsGroup": 1}},
            securityContext={"privileged": False},
        ),
        [
            f"spec.hostPID: Forbidden: {WINDOWS}",
            f"spec.securityContext.fsGroup: Forbidden: {WINDOWS}",
            f"{C}.securityContext.privileged: Forbidden: {WINDOWS}",
        ],
    ),
}
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
        make({"dnsConfig": {"searches": ["a_b.example.", ".", "-"]}}),
        [
            'spec.dnsConfig.searches[2]: Invalid value: "-": a lowercase RFC 1123 subdomain must consist of '
            "lower case alphanumeric characters, '_', '-' or '.', and must start and end with an "
            "alphanumeric character (e.g. 'example.com', regex used for validation is "
            r"'[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')"
        ],
    ),
    "pull secrets without a name": (make({"imagePullSecrets": [{}]}), []),
}


@pytest.mark.parametrize(("pod", "expected"), SECURITY.values(), ids=SECURITY)
def test_security(pod: Pod, expected: list[str]) -> None:
    assert faults(pod) == expected


@pytest.mark.parametrize(("pod", "expected"), ANNOTATIONS.values(), ids=ANNOTATIONS)
def test_annotations(pod: Pod, expected: list[str]) -> None:
    assert faults(pod) == expected


@pytest.mark.parametrize(("pod", "expected"), PLACEMENT.values(), ids=PLACEMENT)
def test_placement(pod: Pod, expected: list[str]) -> None:
    assert faults(pod) == expected


@pytest.mark.parametrize(("pod", "expected"), RESOURCES.values(), ids=RESOURCES)
def test_resources_and_the_rest(pod: Pod, expected: list[str]) -> None:
    assert faults(pod) == expected
