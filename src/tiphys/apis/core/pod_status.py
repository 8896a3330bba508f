"""Rules of a pod's status, which a kubelet (or anybody with the right) writes."""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    forbidden,
    immutable,
    invalid,
    invalid_all,
    not_supported,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.addresses import ip_faults, read_address
from tiphys.apis.core.pod_annotations import validate_annotation_changes
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import inside
from tiphys.apis.value_validation import user_id

_SYSTEM_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
_ONE_EACH = "may specify no more than one IP for each IP family"
_CONTAINERS = {"containerStatuses": "containers", "initContainerStatuses": "initContainers"}
_HEALTH = ("Healthy", "Unhealthy", "Unknown")
_ASKED_REQUEST = "must match one of the container's resource requests"
_ASKED_CLAIM = (
    "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or "
    "'claim:<claimName>' if request is empty"
)


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of a new status."""
    spec, status, before = peek(new, "spec"), peek(new, "status"), peek(old, "status")
    faults = validate_annotation_changes(
        peek(new, "metadata", "annotations"), peek(old, "metadata", "annotations"), "metadata.annotations"
    )
    for index, condition in enumerate(each(status, "conditions")):
        kind = condition.get("type") or ""
        if kind not in _SYSTEM_CONDITIONS:
            texts = names.is_qualified_name(kind)
            faults += invalid_all(f"metadata.conditions[{index}].Type", kind, texts)
    if spec.get("nodeName") != peek(old, "spec").get("nodeName"):
        faults.append(forbidden("status.nodeName", "may not be changed directly"))
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        texts = names.is_dns1123_subdomain(nominated)
        faults += invalid_all("status.nominatedNodeName", nominated, texts)
    faults += immutable("status.qosClass", status.get("qosClass") or "", before.get("qosClass") or "")
    faults += _no_revival(status, before, peek(old, "spec"))
    faults += _claims(status, spec)
    faults += _ips(status, before, "podIPs") + _host_ips(status, before)
    for key in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        faults += _users(status, key, windows=peek(spec, "os").get("name") == "windows")
    for key in _CONTAINERS:
        faults += _health(status, spec, key)
    text = "must not be specified in container status"
    return faults + [
        forbidden(f"status.ephemeralContainerStatuses[{index}].allocatedResourcesStatus", text)
        for index, item in enumerate(each(status, "ephemeralContainerStatuses"))
        if item.get("allocatedResourcesStatus")
    ]


def _no_revival(status: Object, before: Object, spec: Object) -> list[FieldError]:
    """Containers that ended for good do not run again."""
    policy = spec.get("restartPolicy")
    own = {c.get("name") for c in each(spec, "containers") if c.get("restartPolicy")}
    sidecars = {c.get("name") for c in each(spec, "initContainers") if c.get("restartPolicy")}
    faults: list[FieldError] = []
    if policy != "Always":
        faults += _revived(status, before, "containerStatuses", policy, own)
        faults += _revived(status, before, "initContainerStatuses", policy, sidecars)
    return faults + _revived(status, before, "ephemeralContainerStatuses", "Never", set())


def _revived(status: Object, before: Object, key: str, policy: Any, free: set[Any]) -> list[FieldError]:
    now = {item.get("name"): peek(item, "state") for item in each(status, key)}
    faults: list[FieldError] = []
    for index, earlier in enumerate(each(before, key)):
        name, ended = earlier.get("name"), peek(earlier, "state").get("terminated")
        if not ended or name in free or (policy == "OnFailure" and ended.get("exitCode")):
            continue
        if name in now and not now[name].get("terminated"):
            text = "may not be transitioned to non-terminated state"
            faults.append(forbidden(f"status.{key}[{index}].state", text))
    return faults


def _claims(status: Object, spec: Object) -> list[FieldError]:
    known = {claim.get("name") for claim in each(spec, "resourceClaims")}
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, claim in enumerate(each(status, "resourceClaimStatuses")):
        at, name = f"status.resourceClaimStatuses[{index}].name", str(claim.get("name") or "")
        if name not in known:
            text = "must match the name of an entry in `spec.resourceClaims`"
            faults.append(invalid(at, name, text))
        if name in seen:
            faults.append(duplicate(at, name))
        seen.add(name)
        made = claim.get("resourceClaimName")
        if made is not None:
            faults += invalid_all(at, made, names.is_dns1123_subdomain(made))
    return faults


def _ips(status: Object, before: Object, key: str) -> list[FieldError]:
    """Addresses of a pod or of its host: those it had before are not asked about again."""
    listed, known = list(each(status, key)), {item.get("ip") for item in each(before, key)}
    faults: list[FieldError] = []
    for index, item in enumerate(listed):
        if item.get("ip") not in known:
            faults += ip_faults(item.get("ip") or "", f"status.{key}[{index}]")
    if faults or len(listed) < 2:
        return faults
    read = [read_address(item.get("ip") or "")[0] for item in listed]
    versions = {address.version for address in read if address}
    shown = [inside("PodAddress", item) for item in listed]
    if len(versions) < 2 or len(listed) > 2 or not all(read):
        faults.append(invalid(f"status.{key}", shown, _ONE_EACH))
    twice = [
        duplicate(f"status.{key}[{index}]", item) for index, item in enumerate(shown) if item in shown[:index]
    ]
    return twice + faults if key == "hostIPs" else faults + twice


def _host_ips(status: Object, before: Object) -> list[FieldError]:
    listed = list(each(status, "hostIPs"))
    if not listed:
        return []
    faults: list[FieldError] = []
    first = listed[0].get("ip") or ""
    if (status.get("hostIP") or "") != first:
        faults.append(invalid("status.hostIPs[0].ip", first, "must be equal to `hostIP`"))
    return faults + _ips(status, before, "hostIPs")


def _health(status: Object, spec: Object, key: str) -> list[FieldError]:
    """What a container's status says of the devices that it was given: of those it asked for."""
    containers = {container.get("name"): container for container in each(spec, _CONTAINERS[key])}
    faults: list[FieldError] = []
    for index, item in enumerate(each(status, key)):
        container = containers.get(item.get("name"))
        for place, given in enumerate(each(item, "allocatedResourcesStatus")):
            at = f"status.{key}[{index}].allocatedResourcesStatus[{place}]"
            if container is not None:
                faults += _asked_for(str(given.get("name") or ""), peek(container, "resources"), at)
            faults += _device_health(given, at)
    return faults


def _asked_for(name: str, resources: Object, path: str) -> list[FieldError]:
    if not name.startswith("claim:"):
        asked, text = set(peek(resources, "requests")), _ASKED_REQUEST
    else:
        claims = [
            (claim.get("name") or "", claim.get("request") or "") for claim in each(resources, "claims")
        ]
        asked, text = {f"claim:{name}/{part}".removesuffix("/") for name, part in claims}, _ASKED_CLAIM
    return [] if name in asked else [invalid(f"{path}.name", name, text)]


def _device_health(given: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, device in enumerate(each(given, "resources")):
        at, health = f"{path}.resources[{index}]", device.get("health") or ""
        name = str(device.get("resourceID") or "")
        if health not in _HEALTH:
            faults.append(not_supported(f"{at}.health", health, _HEALTH))
        if name in seen:
            faults.append(duplicate(f"{at}.resourceID", name))
        seen.add(name)
    return faults


def _users(status: Object, key: str, *, windows: bool) -> list[FieldError]:
    faults: list[FieldError] = []
    for index, item in enumerate(each(status, key)):
        linux, at = peek(item, "user").get("linux"), f"status.{key}[{index}].linux"
        if not isinstance(linux, dict):
            continue
        if windows:
            faults.append(forbidden(at, "cannot be set for a windows pod"))
            continue
        for name in ("uid", "gid"):
            faults += user_id(linux.get(name) or 0, f"{at}.{name}")
        for place, group in enumerate(linux.get("supplementalGroups") or ()):
            faults += user_id(group, f"{at}.supplementalGroups[{place}]")
    return faults
