"""Security contexts of pods and containers as CRI takes them. Pure.

Source: "Configure a Security Context for a Pod or Container"; the masked paths of OCI runtimes.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.cm.qos import spec_containers
from tiphys.kubelet.runtime import Config, Image

POD, CONTAINER, NODE, TARGET = 0, 1, 2, 3
_RUNTIME_DEFAULT, _UNCONFINED, _LOCALHOST = 0, 1, 2

MASKED_PATHS = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


class SecurityProblem(TiphysError):
    """A container that its security context forbids to run."""


def effective(pod: Object, container: dict[str, Any]) -> dict[str, Any]:
    """Return the container's security context with the pod's values where it has none of its own."""
    shared = (
        "runAsUser",
        "runAsGroup",
        "runAsNonRoot",
        "seLinuxOptions",
        "seccompProfile",
        "appArmorProfile",
    )
    from_pod = pod["spec"].get("securityContext") or {}
    merged = {key: from_pod[key] for key in shared if from_pod.get(key) is not None}
    own = container.get("securityContext") or {}
    merged.update({key: value for key, value in own.items() if value is not None})
    return merged


def pod_text(pod: Object) -> str:
    """Return ``name_namespace(uid)``: how messages name a pod."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta.get('uid', '')})"


def no_users_of_its_own(handler: str, known: Iterable[str]) -> str:
    """Return why a pod that asks for a user namespace is refused: it must not run as the node's root instead.

    ``handler`` is what its RuntimeClass asks for, ``known`` what the runtime says it has.
    """
    whose = f'RuntimeClass handler "{handler}"' if handler else "runtime"
    text = f"can't set `spec.hostUsers: false`, {whose} does not support user namespaces"
    return text if handler in known else f'{text}: the handler "{handler}" is not known'


def verify_non_root(pod: Object, container: dict[str, Any], image: Image) -> None:
    """Check ``runAsNonRoot``. Raises SecurityProblem."""
    context = effective(pod, container)
    if not context.get("runAsNonRoot"):
        return
    where = f'(pod: "{pod_text(pod)}", container: {container["name"]})'
    user = context.get("runAsUser")
    if user is not None:
        if user == 0:
            raise SecurityProblem(f"container's runAsUser breaks non-root policy {where}")
        return
    if image.uid == 0 or (image.uid is None and not image.username):
        raise SecurityProblem(f"container has runAsNonRoot and image will run as root {where}")
    if image.uid is None:
        raise SecurityProblem(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}),"
            f" cannot verify user is non-root {where}"
        )


def namespace_options(pod: Object, target_id: str = "") -> Config:
    """Return which namespaces are the pod's, the node's, or the container's own."""
    spec = pod["spec"]
    pid = CONTAINER
    if spec.get("hostPID"):
        pid = NODE
    elif spec.get("shareProcessNamespace"):
        pid = POD
    options: Config = {
        "network": NODE if spec.get("hostNetwork") else POD,
        "pid": pid,
        "ipc": NODE if spec.get("hostIPC") else POD,
    }
    if target_id and pid == CONTAINER:
        options.update(pid=TARGET, target_id=target_id)
    return options


def seccomp_profile(profile: dict[str, Any] | None, root: str, *, default: bool = False) -> Config:
    """Return CRI's profile; without one a container runs unconfined unless ``default`` asks otherwise."""
    kind = (profile or {}).get("type", "")
    if kind == "Localhost":
        reference = f"{root.rstrip('/')}/{(profile or {}).get('localhostProfile', '')}"
        return {"profile_type": _LOCALHOST, "localhost_ref": reference}
    if kind == "RuntimeDefault" or (not kind and default):
        return {"profile_type": _RUNTIME_DEFAULT}
    return {"profile_type": _UNCONFINED}


def _apparmor(profile: dict[str, Any] | None) -> str:
    kind = (profile or {}).get("type", "")
    names = {"RuntimeDefault": "runtime/default", "Unconfined": "unconfined"}
    if kind == "Localhost":
        return f"localhost/{(profile or {}).get('localhostProfile', '')}"
    return names.get(kind, "")


def supplemental_groups(pod: Object) -> list[int]:
    """Return the groups that every container of the pod belongs to."""
    context = pod["spec"].get("securityContext") or {}
    groups = [] if context.get("fsGroup") is None else [int(context["fsGroup"])]
    return list(dict.fromkeys([*groups, *(int(item) for item in context.get("supplementalGroups") or ())]))


def _users(context: dict[str, Any], image: Image | None) -> Config:
    result: Config = {}
    if context.get("runAsUser") is not None:
        result["run_as_user"] = {"value": int(context["runAsUser"])}
    elif image is not None and image.uid is not None:
        result["run_as_user"] = {"value": image.uid}
    elif image is not None and image.username:
        result["run_as_username"] = image.username
    # Runtimes take a group only together with a user.
    if context.get("runAsGroup") is not None:
        if not result:
            result["run_as_user"] = {"value": 0}
        result["run_as_group"] = {"value": int(context["runAsGroup"])}
    return result


def container_security(
    pod: Object, container: dict[str, Any], image: Image | None, seccomp_root: str, target_id: str = ""
) -> Config:
    """Return ``LinuxContainerSecurityContext``."""
    context = effective(pod, container)
    privileged = bool(context.get("privileged"))
    capabilities = context.get("capabilities") or {}
    result: Config = {
        "namespace_options": namespace_options(pod, target_id),
        "privileged": privileged,
        "readonly_rootfs": bool(context.get("readOnlyRootFilesystem")),
        "no_new_privs": context.get("allowPrivilegeEscalation") is False,
        "supplemental_groups": supplemental_groups(pod),
        "seccomp": seccomp_profile(context.get("seccompProfile"), seccomp_root),
        **_users(context, image),
    }
    if privileged:
        result["seccomp"] = {"profile_type": _UNCONFINED}
    if capabilities:
        result["capabilities"] = {
            "add_capabilities": [_capability(name) for name in capabilities.get("add") or ()],
            "drop_capabilities": [_capability(name) for name in capabilities.get("drop") or ()],
        }
    if profile := _apparmor(context.get("appArmorProfile")):
        result["apparmor_profile"] = profile
    if not privileged and context.get("procMount") != "Unmasked":
        result["masked_paths"] = list(MASKED_PATHS)
        result["readonly_paths"] = list(READONLY_PATHS)
    return result


def _capability(name: str) -> str:
    """Runtimes want the name without its prefix."""
    return name.upper().removeprefix("CAP_")


def sandbox_security(pod: Object, seccomp_root: str) -> Config:
    """Return ``LinuxSandboxSecurityContext``; the sandbox is privileged when any container is.

    Ephemeral ones count as well: with each container the runtime is told anew what its sandbox may hold.
    """
    context = pod["spec"].get("securityContext") or {}
    containers = chain(spec_containers(pod), pod["spec"].get("ephemeralContainers") or ())
    privileged = any((item.get("securityContext") or {}).get("privileged") for item in containers)
    result: Config = {
        "namespace_options": namespace_options(pod),
        "privileged": bool(privileged),
        "supplemental_groups": supplemental_groups(pod),
        "seccomp": seccomp_profile(None, seccomp_root, default=not privileged),
    }
    if context.get("runAsUser") is not None:
        result["run_as_user"] = {"value": int(context["runAsUser"])}
        if context.get("runAsGroup") is not None:
            result["run_as_group"] = {"value": int(context["runAsGroup"])}
    return result
