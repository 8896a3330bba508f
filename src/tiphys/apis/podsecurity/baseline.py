"""The checks of the baseline level: what gives a pod known ways out of its isolation.

Pure. Source: the "Pod Security Standards" page, Baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.apimachinery.field_errors import render
from tiphys.apimachinery.meta import Object
from tiphys.apis.podsecurity.finding import (
    Check,
    Finding,
    Pod,
    context,
    counted,
    names_where,
    plural,
    quoted,
    setters,
    uses,
)  # fmt: skip

_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
        "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
_PROFILES = ("RuntimeDefault", "Localhost")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_SYSCTLS = {
    "kernel.shm_rmid_forced": 0, "net.ipv4.ip_local_port_range": 0, "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0, "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.ip_local_reserved_ports": 27, "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_fin_timeout": 29, "net.ipv4.tcp_keepalive_intvl": 29, "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_rmem": 32, "net.ipv4.tcp_wmem": 32,
}  # fmt: skip
"""Safe kernel settings, by the minor version that first allows them."""
_SELINUX_TYPES = {
    "": 0,
    "container_t": 0,
    "container_init_t": 0,
    "container_kvm_t": 0,
    "container_engine_t": 31,
}


def bad_profiles(pod: Pod, field: str) -> tuple[bool, list[str], list[str]]:
    """Return who names a forbidden profile type (the pod, which containers) and which types."""
    values: set[str] = set()

    def bad(holder: Object) -> bool:
        profile = holder.get(field)
        if not isinstance(profile, dict) or profile.get("type") in _PROFILES:
            return False
        values.add(profile.get("type") or "")
        return True

    itself = bad(pod.security)
    return itself, names_where(pod, lambda one: bad(context(one))), sorted(values)


def apparmor(pod: Pod) -> Finding | None:
    """Only the runtime's or a local AppArmor profile."""
    itself, containers, values = bad_profiles(pod, "appArmorProfile")
    annotated = sorted(
        f"{key}={render(value)}"
        for key, value in pod.annotations.items()
        if key.startswith(_APPARMOR)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    who = setters(containers, pod_itself=itself)
    if annotated:
        values += annotated
        who = " and ".join(part for part in (who, plural("annotation", len(annotated))) if part)
    if not who:
        return None
    reason = plural("forbidden AppArmor profile", len(values))
    return Finding(reason, f"{who} must not set AppArmor profile type to {quoted(values)}")


def capabilities(pod: Pod) -> Finding | None:
    """No capabilities beyond the runtime's usual ones."""
    found: set[str] = set()

    def bad(container: Object) -> bool:
        wrong = set((context(container).get("capabilities") or {}).get("add") or ()) - _CAPABILITIES
        found.update(wrong)
        return bool(wrong)

    names = names_where(pod, bad)
    if not names:
        return None
    text = f"must not include {quoted(sorted(found))} in securityContext.capabilities.add"
    return Finding("non-default capabilities", f"{counted('container', names)} {text}")


def host_namespaces(pod: Pod) -> Finding | None:
    """None of the node's namespaces."""
    found = [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(key)]
    return Finding("host namespaces", ", ".join(found)) if found else None


def host_path(pod: Pod) -> Finding | None:
    """No folders of the node."""
    found = [one["name"] for one in pod.spec.get("volumes") or () if one.get("hostPath") is not None]
    return Finding("hostPath volumes", counted("volume", found)) if found else None


def host_ports(pod: Pod) -> Finding | None:
    """No ports of the node."""
    ports: set[int] = set()

    def bad(container: Object) -> bool:
        own = {one["hostPort"] for one in container.get("ports") or () if one.get("hostPort")}
        ports.update(own)
        return bool(own)

    names = names_where(pod, bad)
    if not names:
        return None
    verb = "uses" if len(names) == 1 else "use"
    listed = ", ".join(sorted(map(str, ports)))
    return Finding(
        "hostPort", f"{counted('container', names)} {verb} {plural('hostPort', len(ports))} {listed}"
    )


def host_probes(pod: Pod) -> Finding | None:
    """Probes and lifecycle hooks reach the pod itself only."""
    hosts: set[str] = set()

    def bad(container: Object) -> bool:
        lifecycle = container.get("lifecycle") or {}
        handlers = [container.get(key) for key in ("livenessProbe", "readinessProbe", "startupProbe")]
        handlers += [lifecycle.get("postStart"), lifecycle.get("preStop")]
        own = {
            host
            for handler in handlers
            for key in ("httpGet", "tcpSocket")
            if (host := ((handler or {}).get(key) or {}).get("host"))
        }
        hosts.update(own)
        return bool(own)

    names = sorted(set(names_where(pod, bad)))
    if not names:
        return None
    what = "probe or lifecycle host"
    return Finding(what, uses("container", names, what, sorted(hosts)))


def privileged(pod: Pod) -> Finding | None:
    """No privileged containers."""
    names = names_where(pod, lambda one: context(one).get("privileged") is True)
    text = "must not set securityContext.privileged=true"
    return Finding("privileged", f"{counted('container', names)} {text}") if names else None


def proc_mount(pod: Pod) -> Finding | None:
    """The runtime masks what it masks in /proc."""
    values: set[str] = set()

    def bad(container: Object) -> bool:
        value = context(container).get("procMount")
        if value in (None, "Default"):
            return False
        values.add(value)
        return True

    names = names_where(pod, bad)
    if not names:
        return None
    text = f"must not set securityContext.procMount to {quoted(sorted(values))}"
    return Finding("procMount", f"{counted('container', names)} {text}")


def selinux(minor: int) -> Check:
    """Return the check of SELinux options as of a version."""
    allowed = {name for name, since in _SELINUX_TYPES.items() if since <= minor}

    def check(pod: Pod) -> Finding | None:
        types: set[str] = set()
        given: set[str] = set()

        def bad(holder: Object) -> bool:
            options: dict[str, Any] = holder.get("seLinuxOptions") or {}
            wrong = {options.get("type") or ""} - allowed
            custom = {key for key in ("user", "role") if options.get(key)}
            types.update(wrong)
            given.update(custom)
            return bool(wrong or custom)

        who = setters(names_where(pod, lambda one: bad(context(one))), pod_itself=bad(pod.security))
        if not who:
            return None
        data = [counted("type", sorted(types))] if types else []
        data += [f"{key} may not be set" for key in ("user", "role") if key in given]
        return Finding(
            "seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}"
        )

    return check


def seccomp_annotations(pod: Pod) -> Finding | None:
    """No annotation turns seccomp off (before it had fields)."""
    keys = [_SECCOMP_POD, *(_SECCOMP_CONTAINER + one["name"] for one in pod.containers())]
    found = sorted(
        {
            f"{key}={render(value)}"
            for key in keys
            if (value := pod.annotations.get(key)) is not None
            and value not in ("runtime/default", "docker/default")
            and not value.startswith("localhost/")
        }
    )
    if not found:
        return None
    return Finding("seccompProfile", f"forbidden {plural('annotation', len(found))} {', '.join(found)}")


def seccomp(pod: Pod) -> Finding | None:
    """Nobody turns seccomp off."""
    itself, containers, values = bad_profiles(pod, "seccompProfile")
    who = setters(containers, pod_itself=itself)
    if not who:
        return None
    text = f"{who} must not set securityContext.seccompProfile.type to {quoted(values)}"
    return Finding("seccompProfile", text)


def sysctls(minor: int) -> Check:
    """Return the check of kernel settings as of a version."""
    allowed = {name for name, since in _SYSCTLS.items() if since <= minor}

    def check(pod: Pod) -> Finding | None:
        found = [one["name"] for one in pod.security.get("sysctls") or () if one["name"] not in allowed]
        return Finding("forbidden sysctls", ", ".join(found)) if found else None

    return check


def windows_host_process(pod: Pod) -> Finding | None:
    """No Windows containers that are processes of the node."""

    def bad(holder: Object) -> bool:
        return (holder.get("windowsOptions") or {}).get("hostProcess") is True

    who = setters(names_where(pod, lambda one: bad(context(one))), pod_itself=bad(pod.security))
    text = "must not set securityContext.windowsOptions.hostProcess=true"
    return Finding("hostProcess", f"{who} {text}") if who else None


def unless(exempt: Callable[[Pod], bool], check: Check) -> Check:
    """Return a check that some pods need not meet."""
    return lambda pod: None if exempt(pod) else check(pod)
