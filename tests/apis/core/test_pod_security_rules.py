"""Faults of pods' security: users, profiles, capabilities, systems' own options."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apis.core.test_pod_rules import Pod
from tests.apis.core.test_pod_validation import C, faults, make

SYSCTL = (
    r"must have at most 253 characters and match regex "
    r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
)
WINDOWS = "cannot be set for a windows pod"


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


@pytest.mark.parametrize(("pod", "expected"), SECURITY.values(), ids=SECURITY)
def test_security(pod: Pod, expected: list[str]) -> None:
    assert faults(pod) == expected
