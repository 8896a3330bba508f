"""Rules of pods and pod templates, and of what may change in a pod once it exists."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, forbidden, invalid, invalid_all, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.addresses import IP_TEXT
from tiphys.apis.core.affinity_validation import validate_affinity, validate_spread, validate_tolerations
from tiphys.apis.core.container_validation import seccomp_faults, validate_containers
from tiphys.apis.core.resource_validation import validate_resources
from tiphys.apis.core.volume_validation import validate_volumes
from tiphys.apis.defaulting import each, peek
from tiphys.apis.meta_validation import validate_annotations, validate_labels
from tiphys.apis.value_validation import deadline, one_of, user_id

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_MAX_NAMESERVERS = 3
_MAX_SEARCH_PATHS = 32


def validate_pod_spec(spec: Object, path: str, *, extra_volumes: Iterable[str] = ()) -> list[FieldError]:
    """Return every fault of a pod's spec. ``extra_volumes``: names that claim templates will provide."""
    faults, volumes = validate_volumes(spec, f"{path}.volumes")
    volumes |= {name: {"persistentVolumeClaim": {}} for name in extra_volumes}
    faults += validate_containers(spec, volumes, path)
    faults += one_of(spec.get("restartPolicy"), f"{path}.restartPolicy", RESTART_POLICIES)
    faults += one_of(spec.get("dnsPolicy"), f"{path}.dnsPolicy", _DNS_POLICIES)
    faults += validate_labels(peek(spec, "nodeSelector"), f"{path}.nodeSelector")
    faults += _security(peek(spec, "securityContext"), f"{path}.securityContext")
    faults += _pull_secrets(spec, f"{path}.imagePullSecrets")
    faults += validate_affinity(peek(spec, "affinity"), f"{path}.affinity")
    faults += _dns(spec, f"{path}.dnsConfig")
    faults += _gates(spec, path)
    faults += validate_spread(spec, f"{path}.topologySpreadConstraints")
    if isinstance(spec.get("resources"), dict):
        faults += validate_resources(spec["resources"], f"{path}.resources")
    faults += _names(spec, path)
    faults += deadline(spec.get("activeDeadlineSeconds"), f"{path}.activeDeadlineSeconds")
    faults += validate_tolerations(spec, f"{path}.tolerations")
    faults += _host_aliases(spec, f"{path}.hostAliases")
    faults += one_of(
        spec.get("preemptionPolicy"),
        f"{path}.preemptionPolicy",
        ("Never", "PreemptLowerPriority"),
        optional=True,
    )
    return faults + _host_namespaces(spec, path)


def _names(spec: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for key, check in (
        ("serviceAccountName", names.is_dns1123_subdomain),
        ("nodeName", names.is_dns1123_subdomain),
        ("hostname", names.is_dns1123_label),
        ("subdomain", names.is_dns1123_label),
        ("priorityClassName", names.is_dns1123_subdomain),
        ("runtimeClassName", names.is_dns1123_subdomain),
    ):
        value = spec.get(key)
        if value:
            faults += invalid_all(f"{path}.{key}", value, check(value))
    scheduler = spec.get("schedulerName") or ""
    if not scheduler:
        faults.append(required(f"{path}.schedulerName"))
    return faults


def _security(security: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        faults += user_id(security.get(key), f"{path}.{key}")
    for index, group in enumerate(security.get("supplementalGroups") or ()):
        faults += user_id(group, f"{path}.supplementalGroups[{index}]")
    seen: set[str] = set()
    for index, sysctl in enumerate(each(security, "sysctls")):
        name = sysctl.get("name") or ""
        if not name:
            faults.append(required(f"{path}.sysctls[{index}].name"))
        elif name in seen:
            faults.append(duplicate(f"{path}.sysctls[{index}].name", name))
        seen.add(name)
    policies = ("Always", "OnRootMismatch")
    faults += one_of(
        security.get("fsGroupChangePolicy"), f"{path}.fsGroupChangePolicy", policies, optional=True
    )
    return faults + seccomp_faults(security, path)


def _pull_secrets(spec: Object, path: str) -> list[FieldError]:
    return [
        required(f"{path}[{index}].name")
        for index, secret in enumerate(each(spec, "imagePullSecrets"))
        if not secret.get("name")
    ]


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _dns(spec: Object, path: str) -> list[FieldError]:
    config = peek(spec, "dnsConfig")
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    faults: list[FieldError] = []
    if spec.get("dnsPolicy") == "None":
        if spec.get("dnsConfig") is None:
            return [required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not servers:
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [required(f"{path}.nameservers", text)]
    if len(servers) > _MAX_NAMESERVERS:
        text = f"must not have more than {_MAX_NAMESERVERS} nameservers"
        faults.append(invalid(f"{path}.nameservers", servers, text))
    faults += [
        invalid(f"{path}.nameservers[{index}]", server, IP_TEXT)
        for index, server in enumerate(servers)
        if not _is_ip(str(server))
    ]
    if len(searches) > _MAX_SEARCH_PATHS:
        text = f"must not have more than {_MAX_SEARCH_PATHS} search paths"
        faults.append(invalid(f"{path}.searches", searches, text))
    for index, search in enumerate(searches):
        name = search.removesuffix(".")
        if name:
            faults += invalid_all(
                f"{path}.searches[{index}]", search, names.is_dns1123_subdomain(name.replace("_", "-"))
            )
    faults += [
        required(f"{path}.options[{index}]", "must not be empty")
        for index, option in enumerate(each(config, "options"))
        if not option.get("name")
    ]
    return faults


def _gates(spec: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for index, gate in enumerate(each(spec, "readinessGates")):
        kind = gate.get("conditionType") or ""
        at = f"{path}.readinessGates[{index}].conditionType"
        faults += invalid_all(at, kind, names.is_qualified_name(kind))
    seen: set[str] = set()
    for index, gate in enumerate(each(spec, "schedulingGates")):
        name = gate.get("name") or ""
        at = f"{path}.schedulingGates[{index}]"
        faults += invalid_all(at, name, names.is_qualified_name(name))
        if name in seen:
            faults.append(duplicate(at, name))
        seen.add(name)
    return faults


def _host_aliases(spec: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for index, alias in enumerate(each(spec, "hostAliases")):
        if not _is_ip(str(alias.get("ip") or "")):
            faults.append(invalid(f"{path}[{index}].ip", alias.get("ip") or "", IP_TEXT))
        for hostname in alias.get("hostnames") or ():
            faults += invalid_all(
                f"{path}[{index}].hostnames", hostname, names.is_dns1123_subdomain(hostname)
            )
    return faults


def _host_namespaces(spec: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        at = f"{path}.shareProcessNamespace"
        faults.append(invalid(at, True, "ShareProcessNamespace and HostPID cannot both be enabled"))
    if spec.get("hostNetwork"):
        for name in ("containers", "initContainers"):
            for index, container in enumerate(each(spec, name)):
                faults += _same_host_ports(container, f"{path}.{name}[{index}].ports")
    if spec.get("hostUsers") is False:
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(key):
                faults.append(forbidden(f"{path}.{key}", "when `hostUsers` is false"))
    return faults


def _same_host_ports(container: Object, path: str) -> list[FieldError]:
    return [
        invalid(
            f"{path}[{index}].containerPort",
            port.get("containerPort"),
            "must match `hostPort` when `hostNetwork` is true",
        )
        for index, port in enumerate(each(container, "ports"))
        if port.get("hostPort") and port["hostPort"] != port.get("containerPort")
    ]


def validate_template(template: Object, path: str, *, extra_volumes: Iterable[str] = ()) -> list[FieldError]:
    """Return every fault of a pod template."""
    meta, spec = peek(template, "metadata"), peek(template, "spec")
    faults = validate_labels(peek(meta, "labels"), f"{path}.labels")
    faults += validate_annotations(peek(meta, "annotations"), f"{path}.annotations")
    faults += validate_pod_spec(spec, f"{path}.spec", extra_volumes=extra_volumes)
    if spec.get("ephemeralContainers"):
        at = f"{path}.spec.ephemeralContainers"
        faults.append(forbidden(at, "ephemeral containers not allowed in pod template"))
    return faults


def validate_pod(pod: Object) -> list[FieldError]:
    """Return every fault of a new pod."""
    spec = peek(pod, "spec")
    faults = validate_pod_spec(spec, "spec")
    if spec.get("ephemeralContainers"):
        faults.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("schedulingGates") and spec.get("nodeName"):
        text = "cannot be set until all schedulingGates have been cleared"
        faults.append(forbidden("spec.nodeName", text))
    return faults
