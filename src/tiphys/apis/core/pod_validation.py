"""Rules of pods and pod templates. What may change in a pod once it exists is ``pod_update``'s."""

from __future__ import annotations

from functools import partial

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, forbidden, invalid, invalid_all, required, too_long
from tiphys.apimachinery.memo import Checked
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.addresses import ip_faults
from tiphys.apis.core.affinity_validation import validate_affinity, validate_spread, validate_tolerations
from tiphys.apis.core.container_validation import padded_images, validate_containers
from tiphys.apis.core.env_validation import validate_file_volumes
from tiphys.apis.core.pod_annotations import MIRROR, validate_pod_annotations, validate_profiles_match
from tiphys.apis.core.resource_validation import validate_pod_resources, validate_resources
from tiphys.apis.core.security_validation import validate_host_users, validate_pod_security
from tiphys.apis.core.volume_validation import validate_volumes
from tiphys.apis.core.windows_validation import validate_host_process, validate_os
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import inside
from tiphys.apis.meta_validation import validate_annotations, validate_labels
from tiphys.apis.value_validation import deadline, one_of

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_MAX_NAMESERVERS = 3
_MAX_SEARCH_PATHS = 32
_MAX_SEARCH_CHARS = 2048
_MAX_HOST_NAME = 64


def validate_pod_spec(
    spec: Object, path: str, *, is_pod: bool = False, meta: Object | None = None
) -> list[FieldError]:
    """Return every fault of a pod's spec; ``is_pod``: not one within a template, it may have ``meta``."""
    faults: list[FieldError] = []
    if spec.get("terminationGracePeriodSeconds") is None:
        faults.append(required(f"{path}.terminationGracePeriodSeconds"))
    name = str((meta or {}).get("name") or "")
    found, volumes = validate_volumes(spec, f"{path}.volumes", pod_name=name)
    faults += found + _resource_claims(spec, f"{path}.resourceClaims", meta)
    faults += validate_containers(spec, volumes, path)
    faults += validate_pod_resources(spec, f"{path}.resources")
    faults += _host_network_ports(spec, f"{path}.containers", is_pod=is_pod)
    faults += one_of(spec.get("restartPolicy"), f"{path}.restartPolicy", RESTART_POLICIES, as_given=True)
    faults += one_of(spec.get("dnsPolicy"), f"{path}.dnsPolicy", _DNS_POLICIES, as_given=True)
    faults += validate_labels(peek(spec, "nodeSelector"), f"{path}.nodeSelector")
    faults += validate_pod_security(spec, path)
    faults += validate_affinity(peek(spec, "affinity"), f"{path}.affinity")
    faults += _dns(spec, f"{path}.dnsConfig")
    faults += _gates(spec, path)
    faults += validate_spread(spec, f"{path}.topologySpreadConstraints")
    faults += validate_host_process(spec, path)
    faults += validate_host_users(spec, path) + _host_name(spec, f"{path}.hostnameOverride")
    return faults + _rest(spec, path)


def _rest(spec: Object, path: str) -> list[FieldError]:
    faults = _names(spec, path, ("serviceAccountName", "nodeName"), names.is_dns1123_subdomain)
    faults += deadline(spec.get("activeDeadlineSeconds"), f"{path}.activeDeadlineSeconds")
    faults += _names(spec, path, ("hostname", "subdomain"), names.is_dns1123_label)
    faults += validate_tolerations(spec, f"{path}.tolerations")
    faults += _host_aliases(spec, f"{path}.hostAliases")
    faults += _names(spec, path, ("priorityClassName",), names.is_dns1123_subdomain)
    runtime = spec.get("runtimeClassName")
    if runtime is not None:
        faults += invalid_all(f"{path}.runtimeClassName", runtime, names.is_dns1123_subdomain(runtime))
    preemption = spec.get("preemptionPolicy")
    if preemption is not None:
        supported = ("PreemptLowerPriority", "Never")
        faults += one_of(preemption, f"{path}.preemptionPolicy", supported, as_given=True)
    if spec.get("overhead") is not None:
        faults += validate_resources({"limits": spec["overhead"]}, f"{path}.overhead")
    faults += validate_os(spec, path)
    faults += _scheduling_group(spec.get("schedulingGroup"), f"{path}.schedulingGroup.podGroupName")
    return faults + validate_file_volumes(spec, path)


def _host_name(spec: Object, path: str) -> list[FieldError]:
    """The whole name of a pod's host, where it is said."""
    name = spec.get("hostnameOverride")
    if name is None:
        return []
    faults = [
        forbidden(path, f"may not be specified when {key} is true")
        for key in ("setHostnameAsFQDN", "hostNetwork")
        if spec.get(key)
    ]
    if len(name.encode()) > _MAX_HOST_NAME:
        faults.append(too_long(path, _MAX_HOST_NAME))
    return faults + invalid_all(path, name, names.is_dns1123_subdomain(name))


def _scheduling_group(group: Object | None, path: str) -> list[FieldError]:
    """The group that a pod is scheduled with, where it has one; none of that name needs to exist."""
    if not isinstance(group, dict):
        return []
    name = group.get("podGroupName")
    if name is None:
        return [invalid(path, None, "must specify one of: `podGroupName`")]
    return invalid_all(path, name, names.is_dns1123_subdomain(name))


def _names(spec: Object, path: str, keys: tuple[str, ...], check: names.Check) -> list[FieldError]:
    return [
        fault
        for key in keys
        if spec.get(key)
        for fault in invalid_all(f"{path}.{key}", spec[key], check(spec[key]))
    ]


def _resource_claims(spec: Object, path: str, meta: Object | None) -> list[FieldError]:
    faults: list[FieldError] = []
    if MIRROR in peek(meta or {}, "annotations"):
        text = "static pods do not support resource claims"
        return [forbidden("", text) for _ in each(spec, "resourceClaims")]
    seen: set[str] = set()
    for index, claim in enumerate(each(spec, "resourceClaims")):
        at, name = f"{path}[{index}]", claim.get("name") or ""
        if not name:
            faults.append(required(f"{at}.name"))
        elif name in seen:
            faults.append(duplicate(f"{at}.name", name))
        else:
            faults += invalid_all(f"{at}.name", name, names.is_dns1123_label(name))
            seen.add(name)
        keys = ("resourceClaimName", "resourceClaimTemplateName")
        given = [key for key in keys if claim.get(key) is not None]
        if len(given) == 2:
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            faults.append(invalid(at, inside("PodResourceClaim", claim), text))
        elif not given:
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            faults.append(invalid(at, inside("PodResourceClaim", claim), text))
        for key in given:
            faults += invalid_all(f"{at}.{key}", claim[key], names.is_dns1123_subdomain(claim[key]))
    return faults


def _host_network_ports(spec: Object, path: str, *, is_pod: bool) -> list[FieldError]:
    """On the host's network a port is the host's; templates may leave that to be filled in."""
    if not spec.get("hostNetwork"):
        return []
    text = "must match `containerPort` when `hostNetwork` is true"
    return [
        invalid(f"{path}[{index}].ports[{place}].hostPort", port.get("hostPort") or 0, text)
        for index, container in enumerate(each(spec, "containers"))
        for place, port in enumerate(each(container, "ports"))
        if (is_pod or port.get("hostPort"))
        and (port.get("hostPort") or 0) != (port.get("containerPort") or 0)
    ]


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
    for index, server in enumerate(servers):
        faults += ip_faults(server, f"{path}.nameservers[{index}]")
    if len(searches) > _MAX_SEARCH_PATHS:
        text = f"must not have more than {_MAX_SEARCH_PATHS} search paths"
        faults.append(invalid(f"{path}.searches", searches, text))
    if len(" ".join(searches)) > _MAX_SEARCH_CHARS:
        text = f"must not have more than {_MAX_SEARCH_CHARS} characters (including spaces) in the search list"
        faults.append(invalid(f"{path}.searches", searches, text))
    for index, search in enumerate(searches):
        if search != ".":
            name = search.removesuffix(".")
            texts = names.is_dns1123_subdomain_with_underscore(name)
            faults += invalid_all(f"{path}.searches[{index}]", name, texts)
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
        faults += ip_faults(alias.get("ip") or "", f"{path}[{index}].ip")
        for place, hostname in enumerate(alias.get("hostnames") or ()):
            at = f"{path}[{index}].hostnames[{place}]"
            faults += invalid_all(at, hostname, names.is_dns1123_subdomain(hostname))
    return faults


def validate_template(template: Object, path: str) -> list[FieldError]:
    """Return every fault of a pod template."""
    meta, spec = peek(template, "metadata"), peek(template, "spec")
    annotations = peek(meta, "annotations")
    faults = validate_labels(peek(meta, "labels"), f"{path}.labels")
    faults += validate_annotations(annotations, f"{path}.annotations")
    faults += validate_pod_annotations(annotations, spec, f"{path}.annotations")
    faults += validate_pod_spec(spec, f"{path}.spec")
    faults += validate_profiles_match(annotations, spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        at = f"{path}.spec.ephemeralContainers"
        faults.append(forbidden(at, "ephemeral containers not allowed in pod template"))
    return faults


def validate_pod_parts(pod: Object) -> list[FieldError]:
    """Return the faults of a pod's annotations and spec, whether it is new or has changed."""
    spec, meta = peek(pod, "spec"), peek(pod, "metadata")
    annotations = peek(meta, "annotations")
    faults = validate_pod_annotations(annotations, spec, "metadata.annotations")
    named = any(volume.get("ephemeral") is not None for volume in each(spec, "volumes"))
    if named or MIRROR in annotations:
        return faults + _spec_faults(spec, meta)
    return faults + _own_spec_faults(spec)


def _spec_faults(spec: Object, meta: Object | None) -> list[FieldError]:
    faults = validate_pod_spec(spec, "spec", is_pod=True, meta=meta)
    if not spec.get("serviceAccountName"):
        text = "must not be specified when serviceAccountName is not set"
        faults += [
            forbidden(f"spec.volumes[{index}].projected.sources[{place}].serviceAccountToken", text)
            for index, volume in enumerate(each(spec, "volumes"))
            for place, source in enumerate(each(volume, "projected", "sources"))
            if source.get("serviceAccountToken") is not None
        ]
    return faults + padded_images(spec, "spec")


_own_spec_faults = Checked(partial(_spec_faults, meta=None))
"""The faults of a real pod's spec that depend on nothing else: what passed is remembered."""


def validate_pod(pod: Object) -> list[FieldError]:
    """Return every fault of a new pod."""
    spec = peek(pod, "spec")
    faults = validate_pod_parts(pod)
    if spec.get("ephemeralContainers"):
        faults.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("schedulingGates") and spec.get("nodeName"):
        text = "cannot be set until all schedulingGates have been cleared"
        faults.append(forbidden("spec.nodeName", text))
    return faults + validate_profiles_match(peek(pod, "metadata", "annotations"), spec, "spec")
