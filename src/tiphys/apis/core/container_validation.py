"""Rules of containers: names, images, ports, probes and hooks, in a pod and in a template."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tiphys.apimachinery import names
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, forbidden, invalid, invalid_all, not_found, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.env_validation import validate_env
from tiphys.apis.core.probe_validation import validate_handler, validate_probe, validate_stop_signal
from tiphys.apis.core.resource_validation import validate_claim_names, validate_resources
from tiphys.apis.core.restart_validation import restart_faults
from tiphys.apis.core.security_validation import validate_container_security
from tiphys.apis.core.volume_validation import validate_mounts
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import one_of, port_number

PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_PROBES = (("livenessProbe", True), ("readinessProbe", False), ("startupProbe", True))
_EPHEMERAL_FORBIDDEN = (
    "ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", "livenessProbe",
    "readinessProbe", "startupProbe", "lifecycle",
)  # fmt: skip
_PLAIN = ("resources",)
"""A struct that is never absent: empty is not given."""
_NOT_EPHEMERAL = "cannot be set for an Ephemeral Container"


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What the rules of a container need to know of its pod."""

    volumes: Mapping[str, Object]
    claims: frozenset[str]
    """Names in ``resourceClaims``."""
    grace_s: int | None
    restart_policy: str
    host_users: bool
    os: str | None
    """What ``os`` names; None without one."""


def facts_of(spec: Object, volumes: Mapping[str, Object]) -> PodFacts:
    """Gather the facts of a pod's spec."""
    return PodFacts(
        volumes,
        frozenset(str(claim["name"]) for claim in each(spec, "resourceClaims") if claim.get("name")),
        spec.get("terminationGracePeriodSeconds"),
        str(spec.get("restartPolicy") or ""),
        spec.get("hostUsers") is not False,
        None if spec.get("os") is None else str(peek(spec, "os").get("name") or ""),
    )


def validate_containers(spec: Object, volumes: Mapping[str, Object], path: str) -> list[FieldError]:
    """Return every fault of a pod's containers of all three sorts."""
    facts = facts_of(spec, volumes)
    faults = _regular(spec, facts, f"{path}.containers")
    faults += _init(spec, facts, f"{path}.initContainers")
    return faults + validate_ephemeral(spec, facts, f"{path}.ephemeralContainers")


def _regular(spec: Object, facts: PodFacts, path: str) -> list[FieldError]:
    containers = list(each(spec, "containers"))
    if not containers:
        return [required(path)]
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, container in enumerate(containers):
        at = f"{path}[{index}]"
        faults += _common(container, facts, at) + _unique(container, seen, at)
        seen.add(str(container.get("name") or ""))
        faults += _hooks(container, facts, at)
        faults += restart_faults(container, at)
    return faults + _host_port_clashes(containers, path)


def _init(spec: Object, facts: PodFacts, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    seen = {str(container.get("name") or "") for container in each(spec, "containers")}
    for index, container in enumerate(each(spec, "initContainers")):
        at = f"{path}[{index}]"
        faults += _common(container, facts, at)
        faults += restart_faults(container, at, init=True)
        faults += _unique(container, seen, at)
        seen |= {str(name) for name in (container.get("name"),) if name}
        faults += _host_port_clashes([container], path)
        sidecar = container.get("restartPolicy") == "Always"
        if sidecar:
            faults += _hooks(container, facts, at)
        else:
            faults += _no_hooks(container, at) + _no_restart(container, f"{at}.resizePolicy")
    return faults


def _unique(container: Object, seen: set[str], path: str) -> list[FieldError]:
    name = container.get("name") or ""
    return [duplicate(f"{path}.name", name)] if name in seen else []


def _common(container: Object, facts: PodFacts, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    name = container.get("name") or ""
    if not name:
        faults.append(required(f"{path}.name"))
    else:
        faults += invalid_all(f"{path}.name", name, names.is_dns1123_label(name))
    if not container.get("image"):
        faults.append(required(f"{path}.image"))
    faults += one_of(
        container.get("terminationMessagePolicy"),
        f"{path}.terminationMessagePolicy",
        ("File", "FallbackToLogsOnError"),
        as_given=True,
    )
    faults += _ports(container, f"{path}.ports")
    faults += validate_env(container, path)
    faults += validate_mounts(container, facts.volumes, path)
    faults += one_of(container.get("imagePullPolicy"), f"{path}.imagePullPolicy", _PULL_POLICIES)
    resources = peek(container, "resources")
    faults += validate_resources(resources, f"{path}.resources")
    faults += validate_claim_names(resources, facts.claims, f"{path}.resources.claims")
    faults += _resize(container, f"{path}.resizePolicy", facts)
    security = peek(container, "securityContext")
    return faults + validate_container_security(
        security, f"{path}.securityContext", host_users=facts.host_users
    )


def _hooks(container: Object, facts: PodFacts, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for key in ("postStart", "preStop"):
        handler = peek(container, "lifecycle").get(key)
        if isinstance(handler, dict):
            faults += validate_handler(handler, f"{path}.lifecycle.{key}", facts.grace_s)
    signal = peek(container, "lifecycle").get("stopSignal")
    if signal is not None:
        faults += validate_stop_signal(str(signal), f"{path}.lifecycle.stopSignal", facts.os)
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


def _ports(container: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, port in enumerate(each(container, "ports")):
        at, name = f"{path}[{index}]", port.get("name")
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
        if port.get("hostPort"):
            faults += port_number(port["hostPort"], f"{at}.hostPort")
        faults += one_of(port.get("protocol"), f"{at}.protocol", PROTOCOLS)
    return faults


def _host_port_clashes(containers: Iterable[Object], path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    used: set[str] = set()
    for index, container in enumerate(containers):
        for place, port in enumerate(each(container, "ports")):
            if not port.get("hostPort"):
                continue
            shown = f"{port.get('protocol') or ''}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if shown in used:
                faults.append(duplicate(f"{path}[{index}].ports[{place}].hostPort", shown))
            used.add(shown)
    return faults


def _no_restart(container: Object, path: str) -> list[FieldError]:
    """What ends before the others start is not started again to have its size changed."""
    text = "must not be set to 'RestartContainer' for non-sidecar initContainers"
    return [
        invalid(f"{path}[{index}].restartPolicy", "RestartContainer", text)
        for index, policy in enumerate(each(container, "resizePolicy"))
        if policy.get("restartPolicy") == "RestartContainer"
    ]


def _resize(container: Object, path: str, facts: PodFacts) -> list[FieldError]:
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, policy in enumerate(each(container, "resizePolicy")):
        name, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if name in seen:
            faults.append(duplicate(f"{path}[{index}]", name))
        seen.add(name)
        faults += one_of(name, path, ("cpu", "memory"))
        faults += one_of(restart, path, ("NotRequired", "RestartContainer"))
        if facts.restart_policy == "Never" and restart != "NotRequired":
            text = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            faults.append(invalid(path, restart, text))
    return faults


def padded_images(spec: Object, path: str) -> list[FieldError]:
    """Return the faults of images with blanks around them, which templates may have and pods may not."""
    faults: list[FieldError] = []
    for key in ("containers", "initContainers"):
        for index, container in enumerate(each(spec, key)):
            faults += _padded(container, f"{path}.{key}[{index}].image")
    return faults


def _padded(container: Object, path: str) -> list[FieldError]:
    image = str(container.get("image") or "")
    if image == image.strip():
        return []
    return [invalid(path, image, "must not have leading or trailing whitespace")]


def validate_ephemeral(spec: Object, facts: PodFacts, path: str) -> list[FieldError]:
    """Return every fault of a pod's ephemeral containers."""
    faults: list[FieldError] = []
    kinds = ("containers", "initContainers")
    others = {str(item.get("name") or "") for kind in kinds for item in each(spec, kind)}
    seen = set(others)
    for index, container in enumerate(each(spec, "ephemeralContainers")):
        at = f"{path}[{index}]"
        faults += _common(container, facts, at)
        faults += _padded(container, f"{at}.image")
        faults += _unique(container, seen, at)
        seen.add(str(container.get("name") or ""))
        target = container.get("targetContainerName")
        if target and target not in others:
            faults.append(not_found(f"{at}.targetContainerName", target))
        faults += [
            forbidden(f"{at}.{key}", _NOT_EPHEMERAL)
            for key in _EPHEMERAL_FORBIDDEN
            if container.get(key) or (container.get(key) is not None and key not in _PLAIN)
        ]
        for place, mount in enumerate(each(container, "volumeMounts")):
            for key in ("subPath", "subPathExpr"):
                if mount.get(key):
                    faults.append(forbidden(f"{at}.volumeMounts[{place}].{key}", _NOT_EPHEMERAL))
    return faults
