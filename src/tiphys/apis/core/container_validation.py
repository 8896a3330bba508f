"""Rules of containers: names, images, ports, probes, resources and what they may do to the node."""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, forbidden, invalid, invalid_all, not_found, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.env_validation import validate_env
from tiphys.apis.core.probe_validation import validate_handler, validate_probe
from tiphys.apis.core.resource_validation import validate_resources
from tiphys.apis.core.volume_validation import validate_mounts
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import one_of, port_number, user_id

PROTOCOLS = ("SCTP", "TCP", "UDP")
_POLICIES = ("Always", "IfNotPresent", "Never")
_PROBES = (("livenessProbe", True), ("readinessProbe", False), ("startupProbe", True))


def validate_containers(spec: Object, volumes: Mapping[str, Object], path: str) -> list[FieldError]:
    """Return every fault of a pod's containers of all three sorts."""
    faults: list[FieldError] = []
    containers = list(each(spec, "containers"))
    if not containers:
        faults.append(required(f"{path}.containers"))
    seen: set[str] = set()
    host_ports: set[str] = set()
    for index, container in enumerate(containers):
        at = f"{path}.containers[{index}]"
        faults += _common(container, volumes, at, host_ports)
        faults += _unique(container, seen, at)
        faults += _hooks(container, at)
    for index, container in enumerate(each(spec, "initContainers")):
        at = f"{path}.initContainers[{index}]"
        sidecar = container.get("restartPolicy") == "Always"
        faults += _common(container, volumes, at, host_ports if sidecar else set())
        faults += _unique(container, seen, at)
        faults += _hooks(container, at) if sidecar else _no_hooks(container, at)
    for index, container in enumerate(each(spec, "ephemeralContainers")):
        at = f"{path}.ephemeralContainers[{index}]"
        faults += validate_ephemeral(container, volumes, at, {c.get("name") for c in containers})
        faults += _unique(container, seen, at)
    return faults


def _unique(container: Object, seen: set[str], path: str) -> list[FieldError]:
    name = container.get("name") or ""
    if name and name in seen:
        return [duplicate(f"{path}.name", name)]
    seen.add(name)
    return []


def _common(
    container: Object, volumes: Mapping[str, Object], path: str, host_ports: set[str]
) -> list[FieldError]:
    faults: list[FieldError] = []
    name, image = container.get("name") or "", container.get("image") or ""
    if not name:
        faults.append(required(f"{path}.name"))
    else:
        faults += invalid_all(f"{path}.name", name, names.is_dns1123_label(name))
    if not image:
        faults.append(required(f"{path}.image"))
    elif image != image.strip():
        faults.append(invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    policies = ("FallbackToLogsOnError", "File")
    faults += one_of(container.get("terminationMessagePolicy"), f"{path}.terminationMessagePolicy", policies)
    faults += _ports(container, f"{path}.ports", host_ports)
    faults += validate_env(container, path)
    faults += validate_mounts(container, volumes, path)
    faults += one_of(container.get("imagePullPolicy"), f"{path}.imagePullPolicy", _POLICIES)
    faults += validate_resources(peek(container, "resources"), f"{path}.resources")
    faults += _resize(container, f"{path}.resizePolicy")
    return faults + _security(peek(container, "securityContext"), f"{path}.securityContext")


def _hooks(container: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for key in ("postStart", "preStop"):
        handler = peek(container, "lifecycle").get(key)
        if isinstance(handler, dict):
            faults += validate_handler(handler, f"{path}.lifecycle.{key}")
    for key, once in _PROBES:
        probe = container.get(key)
        if isinstance(probe, dict):
            faults += validate_probe(probe, f"{path}.{key}", once=once)
    return faults


def _no_hooks(container: Object, path: str) -> list[FieldError]:
    text = "may not be set for init containers without restartPolicy=Always"
    return [
        forbidden(f"{path}.{key}", text)
        for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
        if container.get(key) is not None
    ]


def _ports(container: Object, path: str, host_ports: set[str]) -> list[FieldError]:
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, port in enumerate(each(container, "ports")):
        at = f"{path}[{index}]"
        name = port.get("name")
        if name:
            texts = names.is_port_name(name)
            faults += invalid_all(f"{at}.name", name, texts)
            if not texts and name in seen:
                faults.append(duplicate(f"{at}.name", name))
            seen.add(name)
        if not port.get("containerPort"):
            faults.append(required(f"{at}.containerPort"))
        else:
            faults += port_number(port["containerPort"], f"{at}.containerPort")
        faults += one_of(port.get("protocol"), f"{at}.protocol", PROTOCOLS)
        host_port = port.get("hostPort")
        if host_port:
            faults += port_number(host_port, f"{at}.hostPort")
            used = f"{port.get('protocol')}/{port.get('hostIP') or ''}/{host_port}"
            if used in host_ports:
                faults.append(duplicate(f"{at}.hostPort", used))
            host_ports.add(used)
    return faults


def _resize(container: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, policy in enumerate(each(container, "resizePolicy")):
        at = f"{path}[{index}]"
        name = policy.get("resourceName") or ""
        if name in seen:
            faults.append(duplicate(at, name))
        seen.add(name)
        faults += one_of(name, at, ("cpu", "memory"))
        faults += one_of(policy.get("restartPolicy"), at, ("NotRequired", "RestartContainer"))
    return faults


def _security(security: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for key in ("runAsUser", "runAsGroup"):
        faults += user_id(security.get(key), f"{path}.{key}")
    faults += seccomp_faults(security, path)
    if security.get("allowPrivilegeEscalation") is not False:
        return faults
    if security.get("privileged"):
        text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        faults.append(invalid(path, security, text))
    if "CAP_SYS_ADMIN" in (peek(security, "capabilities").get("add") or ()):
        text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
        faults.append(invalid(path, security, text))
    return faults


def seccomp_faults(security: Object, path: str) -> list[FieldError]:
    """Return every fault of seccomp and AppArmor profiles, of a container or of a pod."""
    faults: list[FieldError] = []
    for key, supported in (
        ("seccompProfile", ("Localhost", "RuntimeDefault", "Unconfined")),
        ("appArmorProfile", ("Localhost", "RuntimeDefault", "Unconfined")),
    ):
        profile = security.get(key)
        if not isinstance(profile, dict):
            continue
        at = f"{path}.{key}"
        kind, local = profile.get("type"), profile.get("localhostProfile")
        faults += one_of(kind, f"{at}.type", supported)
        if kind == "Localhost" and not local:
            text = (
                "must be set when seccomp type is Localhost"
                if key.startswith("seccomp")
                else ("must be set when AppArmor type is Localhost")
            )
            faults.append(required(f"{at}.localhostProfile", text))
        elif kind != "Localhost" and local:
            text = (
                "can only be set when seccomp type is Localhost"
                if key.startswith("seccomp")
                else "can only be set when AppArmor type is Localhost"
            )
            faults.append(invalid(f"{at}.localhostProfile", local, text))
    return faults


_EPHEMERAL_FORBIDDEN = ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources")


def validate_ephemeral(
    container: Object, volumes: Mapping[str, Object], path: str, targets: set[object]
) -> list[FieldError]:
    """Return every fault of one ephemeral container; ``targets`` are the pod's containers."""
    faults = _common(container, volumes, path, set())
    for key in _EPHEMERAL_FORBIDDEN:
        if container.get(key):
            faults.append(forbidden(f"{path}.{key}", "cannot be set for an Ephemeral Container"))
    for index, mount in enumerate(each(container, "volumeMounts")):
        for key in ("subPath", "subPathExpr"):
            if mount.get(key):
                at = f"{path}.volumeMounts[{index}].{key}"
                faults.append(forbidden(at, "cannot be set for an Ephemeral Container"))
    target = container.get("targetContainerName")
    if target and target not in targets:
        faults.append(not_found(f"{path}.targetContainerName", target))
    return faults
