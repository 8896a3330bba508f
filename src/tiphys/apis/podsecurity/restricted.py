"""The checks that the restricted level adds: what hardening a pod must ask for itself.

Pure. Source: the "Pod Security Standards" page, Restricted.
"""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apis.podsecurity.baseline import seccomp as seccomp_baseline
from tiphys.apis.podsecurity.finding import (
    Finding,
    Pod,
    context,
    counted,
    names_where,
    quoted,
    setters,
    uses,
)  # fmt: skip

_VOLUMES = (
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected",
    "secret",
)  # fmt: skip
_OTHER_VOLUMES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs", "rbd",
    "flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk",
    "photonPersistentDisk", "portworxVolume", "scaleIO", "storageos",
)  # fmt: skip


def volumes(pod: Pod) -> Finding | None:
    """Only volumes that bring nothing of the node and no storage past the cluster's volumes."""
    names: list[str] = []
    kinds: set[str] = set()
    for volume in pod.spec.get("volumes") or ():
        if any(volume.get(kind) is not None for kind in _VOLUMES):
            continue
        names.append(volume["name"])
        kinds.add(next((kind for kind in _OTHER_VOLUMES if volume.get(kind) is not None), "unknown"))
    if not names:
        return None
    return Finding("restricted volume types", uses("volume", names, "restricted volume type", sorted(kinds)))


def privilege_escalation(pod: Pod) -> Finding | None:
    """No process gains more rights than its parent."""
    names = names_where(pod, lambda one: context(one).get("allowPrivilegeEscalation") is not False)
    if not names:
        return None
    text = f"{counted('container', names)} must set securityContext.allowPrivilegeEscalation=false"
    return Finding("allowPrivilegeEscalation != false", text)


def non_root(pod: Pod) -> Finding | None:
    """Containers promise to run as somebody else than root."""
    of_pod = pod.security.get("runAsNonRoot")
    explicit = names_where(pod, lambda one: context(one).get("runAsNonRoot") is False)
    who = setters(explicit, pod_itself=of_pod is False)
    if who:
        return Finding("runAsNonRoot != true", f"{who} must not set securityContext.runAsNonRoot=false")
    implicit = names_where(pod, lambda one: context(one).get("runAsNonRoot") is None and of_pod is not True)
    if not implicit:
        return None
    text = f"pod or {counted('container', implicit)} must set securityContext.runAsNonRoot=true"
    return Finding("runAsNonRoot != true", text)


def user_id(pod: Pod) -> Finding | None:
    """Nobody names root as the user."""
    containers = names_where(pod, lambda one: context(one).get("runAsUser") == 0)
    who = setters(containers, pod_itself=pod.security.get("runAsUser") == 0)
    return Finding("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def seccomp(pod: Pod) -> Finding | None:
    """Every container has a seccomp profile."""
    wrong = seccomp_baseline(pod)
    if wrong is not None:
        return wrong
    if isinstance(pod.security.get("seccompProfile"), dict):
        return None
    names = names_where(pod, lambda one: not isinstance(context(one).get("seccompProfile"), dict))
    if not names:
        return None
    text = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Finding("seccompProfile", f"pod or {counted('container', names)} {text}")


def capabilities(pod: Pod) -> Finding | None:
    """All capabilities are dropped; at most one comes back."""
    added: set[str] = set()

    def of(container: Object) -> Object:
        return context(container).get("capabilities") or {}

    def adds(container: Object) -> bool:
        wrong = set(of(container).get("add") or ()) - {"NET_BIND_SERVICE"}
        added.update(wrong)
        return bool(wrong)

    keeping = names_where(pod, lambda one: "ALL" not in (of(one).get("drop") or ()))
    adding = names_where(pod, adds)
    details = []
    if keeping:
        text = f'{counted("container", keeping)} must set securityContext.capabilities.drop=["ALL"]'
        details.append(text)
    if adding:
        text = f"must not include {quoted(sorted(added))} in securityContext.capabilities.add"
        details.append(f"{counted('container', adding)} {text}")
    return Finding("unrestricted capabilities", "; ".join(details)) if details else None
