"""Every check of the Pod Security Standards, with the words in which it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apis.podsecurity.evaluate import details, evaluate, reasons
from tiphys.apis.podsecurity.policy import LATEST, Policy, Standard, policy_of

HARDENED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def spec(context: dict[str, Any] | None = None, pod: dict[str, Any] | None = None, **more: Any) -> Any:
    """A pod whose one container is hardened, but for what is given."""
    container_fields: dict[str, Any] = {
        key: more.pop(key) for key in ("ports", "livenessProbe", "lifecycle") if key in more
    }
    container = {"name": "c", "securityContext": {**HARDENED, **(context or {})}, **container_fields}
    return {"containers": [container], "securityContext": pod or {}, **more}


def judge(level: str, pod_spec: Any, minor: int = LATEST, annotations: dict[str, str] | None = None) -> str:
    return details(evaluate(Standard(level, minor), {"annotations": annotations or {}}, pod_spec))


BASELINE = {
    "host network": (
        spec(hostNetwork=True, hostPID=True), "host namespaces (hostNetwork=true, hostPID=true)"
    ),
    "privileged": (
        spec({"privileged": True}), 'privileged (container "c" must not set securityContext.privileged=true)'
    ),
    "capabilities": (
        spec({"capabilities": {"add": ["SYS_ADMIN", "NET_RAW", "CHOWN"]}}),
        'non-default capabilities (container "c" must not include "NET_RAW", "SYS_ADMIN" in '
        "securityContext.capabilities.add)",
    ),
    "host path": (
        spec(volumes=[{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "hostPath": {"path": "/"}}]),
        'hostPath volumes (volumes "a", "b")',
    ),
    "host port": (
        spec(ports=[{"containerPort": 80, "hostPort": 8080}]), 'hostPort (container "c" uses hostPort 8080)'
    ),
    "probe host": (
        spec(livenessProbe={"httpGet": {"host": "10.0.0.1", "port": 80}}),
        'probe or lifecycle host (container "c" uses probe or lifecycle host "10.0.0.1")',
    ),
    "proc mount": (
        spec({"procMount": "Unmasked"}),
        'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
    ),
    "selinux": (
        spec({"seLinuxOptions": {"type": "spc_t"}}, {"seLinuxOptions": {"user": "x"}}),
        'seLinuxOptions (pod and container "c" set forbidden securityContext.seLinuxOptions: '
        'type "spc_t"; user may not be set)',
    ),
    "seccomp": (
        spec({"seccompProfile": {"type": "Unconfined"}}),
        'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
    ),
    "sysctl": (
        spec(pod={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}), "forbidden sysctls (kernel.msgmax)"
    ),
    "apparmor": (
        spec({"appArmorProfile": {"type": "Unconfined"}}),
        'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
    ),
    "windows": (
        spec(pod={"windowsOptions": {"hostProcess": True}}),
        "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
    ),
    "nothing": (spec(), ""),
}  # fmt: skip

RESTRICTED = {
    "bare pod": (
        {"containers": [{"name": "c"}]},
        'allowPrivilegeEscalation != false (container "c" must set '
        "securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "
        '"c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container '
        '"c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set '
        'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    ),
    "volume": (
        spec(volumes=[{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "nfs": {}}]),
        'restricted volume types (volumes "a", "b" use restricted volume types "hostPath", "nfs")',
    ),
    "root": (spec({"runAsUser": 0}), 'runAsUser=0 (container "c" must not set runAsUser=0)'),
    "not non-root": (
        spec({"runAsNonRoot": False}, {"runAsNonRoot": False}),
        'runAsNonRoot != true (pod and container "c" must not set securityContext.runAsNonRoot=false)',
    ),
    "adds": (
        spec({"capabilities": {"drop": ["ALL"], "add": ["CHOWN", "NET_BIND_SERVICE"]}}),
        'unrestricted capabilities (container "c" must not include "CHOWN" in '
        "securityContext.capabilities.add)",
    ),
    "hardened": (spec(), ""),
    "root in a user namespace": (spec({"runAsNonRoot": False, "runAsUser": 0}, hostUsers=False), ""),
}


@pytest.mark.parametrize("name", BASELINE)
def test_baseline(name: str) -> None:
    pod_spec, text = BASELINE[name]
    assert judge("baseline", pod_spec) == text
    assert judge("privileged", pod_spec) == ""


@pytest.mark.parametrize("name", RESTRICTED)
def test_restricted(name: str) -> None:
    pod_spec, text = RESTRICTED[name]
    assert judge("restricted", pod_spec) == text


@pytest.mark.parametrize(
    ("pod_spec", "level", "minor", "allowed"),
    [
        (spec(pod={"sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"}]}), "baseline", 31, False),
        (spec(pod={"sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"}]}), "baseline", 32, True),
        (spec({"capabilities": {}}), "restricted", 21, True),
        (spec({"capabilities": {}}), "restricted", 22, False),
        (spec({"capabilities": {}}, os={"name": "windows"}), "restricted", 25, True),
        (spec({"runAsUser": 0}), "restricted", 22, True),
        (spec({"runAsUser": 0}, hostUsers=False), "restricted", 34, False),
        (spec({"procMount": "Unmasked"}, hostUsers=False), "baseline", 34, False),
        (spec({"procMount": "Unmasked"}, hostUsers=False), "baseline", 35, True),
        (spec({"procMount": "Unmasked"}, hostUsers=False), "restricted", LATEST, False),
        (spec(livenessProbe={"tcpSocket": {"host": "x"}}), "baseline", 33, True),
    ],
)
def test_checks_have_versions(pod_spec: Any, level: str, minor: int, allowed: bool) -> None:
    assert (judge(level, pod_spec, minor) == "") is allowed


def test_annotations_of_old_versions() -> None:
    seccomp = {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}
    assert judge("baseline", spec(), 18, seccomp) == (
        'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")'
    )
    assert judge("baseline", spec(), 19, seccomp) == ""
    apparmor = {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}
    assert "forbidden AppArmor profile (annotation must not" in judge("baseline", spec(), LATEST, apparmor)
    key = "container.apparmor.security.beta.kubernetes.io/"
    found = {f"{key}{name}": value for name, value in (
        ("", "bogus"), ("a", ""), ("b", "runtime/default"), ("c", "localhost/"), ("e", "unconfined"),
    )}  # fmt: skip
    assert judge("baseline", spec(), LATEST, found) == (
        "forbidden AppArmor profiles (annotations must not set AppArmor profile type to "
        f'"{key}="bogus"", "{key}e="unconfined"")'
    )


def test_reasons_are_short() -> None:
    found = evaluate(Standard("baseline"), {}, spec({"privileged": True}, hostPID=True))
    assert reasons(found) == "host namespaces, privileged"


def test_labels_choose() -> None:
    prefix = "pod-security.kubernetes.io/"
    policy, faults = policy_of({prefix + "enforce": "baseline", prefix + "warn-version": "v1.20"})
    assert str(policy.enforce) == "baseline:latest"
    assert str(policy.warn) == "baseline:v1.20"
    assert not faults
    policy, faults = policy_of({prefix + "enforce": "strict", prefix + "warn": "x"})
    assert (policy.enforce.level, policy.warn.level) == ("restricted", "privileged")
    assert [str(fault) for fault in faults] == [
        'metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of '
        "privileged, baseline, restricted",
        'metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: "x": must be one of '
        "privileged, baseline, restricted",
    ]


def test_labels_of_others_ask_for_nothing() -> None:
    assert policy_of({"app": "x"}) == policy_of({}) == policy_of(None) == (Policy(), [])
