"""Rules of a pod's status, which a kubelet (or anybody with the right) writes."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import (
    duplicate,
    forbidden,
    immutable,
    internal,
    invalid,
    invalid_all,
    not_supported,
    required,
    too_long,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.addresses import ip_faults, read_address
from tiphys.apis.core.pod_restarts import restarts_all, starts_again
from tiphys.apis.core.pod_update import changed_annotations
from tiphys.apis.core.resource_validation import parse_amount
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import inside
from tiphys.apis.value_validation import user_id

_SYSTEM_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
_ONE_EACH = "may specify no more than one IP for each IP family"
_CONTAINERS = {"containerStatuses": "containers", "initContainerStatuses": "initContainers"}
_MAPPING = ("containerName", "resourceName", "requestName")
_NO_CONTAINER = "must match the name of an entry in spec.initContainers.name or spec.containers.name"
_NO_REQUEST = (
    "must match the extended resource name of an entry in spec.initContainers.resources.requests or "
    "spec.containers.resources.requests"
)
_MESSAGE_MAX = 1024
_IMAGE_MAX = 256
_HEALTH = ("Healthy", "Unhealthy", "Unknown")
_ASKED_REQUEST = "must match one of the container's resource requests"
_ASKED_CLAIM = (
    "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or "
    "'claim:<claimName>' if request is empty"
)


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of a new status."""
    spec, status, before = peek(new, "spec"), peek(new, "status"), peek(old, "status")
    faults = changed_annotations(new, old)
    faults += _conditions(status, "status.conditions")
    if spec.get("nodeName") != peek(old, "spec").get("nodeName"):
        faults.append(forbidden("status.nodeName", "may not be changed directly"))
    faults += _nominated(status, before, bound=bool(peek(old, "spec").get("nodeName")))
    faults += _generation(status, "status")
    faults += immutable("status.qosClass", status.get("qosClass") or "", before.get("qosClass") or "")
    faults += _no_revival(status, before, peek(old, "spec"))
    faults += _claims(status, spec)
    faults += _extended(status.get("extendedResourceClaimStatus"), spec, "status.extendedResourceClaimStatus")
    faults += _allocatable(status, spec)
    faults += _ips(status, before, "podIPs") + _host_ips(status, before)
    for key in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        faults += _users(status, key, windows=peek(spec, "os").get("name") == "windows")
    for key in _CONTAINERS:
        faults += _health(status, spec, key)
    text = "must not be specified in container status"
    faults += [
        forbidden(f"status.ephemeralContainerStatuses[{index}].allocatedResourcesStatus", text)
        for index, item in enumerate(each(status, "ephemeralContainerStatuses"))
        if item.get("allocatedResourcesStatus")
    ]
    return faults + _mounted_images(status)


def _mounted_images(status: Object) -> list[FieldError]:
    """What the images are that containers mount."""
    faults: list[FieldError] = []
    kinds = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    for key in kinds if on("ImageVolumeWithDigest") else ():
        for index, item in enumerate(each(status, key)):
            for place, mount in enumerate(each(item, "volumeMounts")):
                image = peek(mount, "volumeStatus").get("image")
                at = f"status.{key}[{index}].volumeMounts[{place}].volumeStatus.image.imageRef"
                if not isinstance(image, dict):
                    continue
                if not image.get("imageRef"):
                    faults.append(required(at, "imageRef must not be empty"))
                elif len(image["imageRef"].encode()) > _IMAGE_MAX:
                    faults.append(too_long(at, _IMAGE_MAX))
    return faults


def _allocatable(status: Object, spec: Object) -> list[FieldError]:
    """What of their node's own resources a pod's claims have been given."""
    claims = [*each(spec, "resourceClaims"), *each(status, "resourceClaimStatuses")]
    known = {claim["resourceClaimName"] for claim in claims if claim.get("resourceClaimName") is not None}
    faults: list[FieldError] = []
    for index, item in enumerate(each(status, "nodeAllocatableResourceClaimStatuses")):
        at, name = (
            f"status.nodeAllocatableResourceClaimStatuses[{index}]",
            item.get("resourceClaimName") or "",
        )
        if not name:
            faults.append(required(f"{at}.resourceClaimName", "must not be empty"))
        if name not in known:
            text = "no mapping found in pod reference"
            faults.append(invalid(f"{at}.resourceClaimName", name, text))
        absent = [key for key in ("containers", "resources") if not item.get(key)]
        faults += [required(f"{at}.{key}", "must not be empty") for key in absent]
        for resource, value in peek(item, "resources").items():
            where, parsed = f"{at}.resources[{resource}]", parse_amount(value)
            if "/" in resource and "kubernetes.io/" not in resource:
                faults.append(invalid(where, resource, "must be a node allocatable resource name"))
            if parsed is not None and parsed.amount < 0:
                faults.append(invalid(where, str(value), "must be non-negative"))
    return faults


def _generation(obj: Object, path: str) -> list[FieldError]:
    seen = obj.get("observedGeneration") or 0
    text = "must be a non-negative integer"
    return [invalid(f"{path}.observedGeneration", seen, text)] if seen < 0 else []


def _conditions(status: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for index, condition in enumerate(each(status, "conditions")):
        kind = condition.get("type") or ""
        faults += _generation(condition, f"{path}[{index}]")
        if kind not in _SYSTEM_CONDITIONS:
            faults += invalid_all(f"{path}[{index}].Type", kind, names.is_qualified_name(kind))
    return faults


def _nominated(status: Object, before: Object, *, bound: bool) -> list[FieldError]:
    """A node is named for a pod that has none yet."""
    name, path = status.get("nominatedNodeName"), "status.nominatedNodeName"
    if not name or name == before.get("nominatedNodeName"):
        return []
    faults = invalid_all(path, name, names.is_dns1123_subdomain(name))
    text = "may not be set on pods that are already bound to a node"
    clears = on("ClearingNominatedNodeNameAfterBinding")
    return [*faults, forbidden(path, text)] if bound and clears else faults


def _no_revival(status: Object, before: Object, spec: Object) -> list[FieldError]:
    """Containers that ended for good do not run again."""
    faults: list[FieldError] = []
    if not restarts_all(spec):
        for key, kind in _CONTAINERS.items():
            known = {str(one.get("name")): one for one in each(spec, kind)}
            faults += _revived(status, before, key, known, spec)
    return faults + _revived(status, before, "ephemeralContainerStatuses", {}, spec)


def _revived(
    status: Object, before: Object, key: str, known: dict[str, Object], spec: Object
) -> list[FieldError]:
    now = {item.get("name"): peek(item, "state") for item in each(status, key)}
    faults: list[FieldError] = []
    for index, earlier in enumerate(each(before, key)):
        name, ended = str(earlier.get("name")), peek(earlier, "state").get("terminated")
        if not isinstance(ended, dict) or name not in now:
            continue
        again = name in known and starts_again(known[name], spec, ended.get("exitCode") or 0)
        if not again and now[name].get("terminated") is None:
            text = "may not be transitioned to non-terminated state"
            faults.append(forbidden(f"status.{key}[{index}].state", text))
    return faults


def _claims(status: Object, spec: Object) -> list[FieldError]:
    known = {claim.get("name") for claim in each(spec, "resourceClaims")}
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, claim in enumerate(each(status, "resourceClaimStatuses")):
        at, name = f"status.resourceClaimStatuses[{index}]", str(claim.get("name") or "")
        if name not in known:
            text = "must match the name of an entry in `spec.resourceClaims`"
            faults.append(invalid(f"{at}.name", name, text))
        if name in seen:
            faults.append(duplicate(f"{at}.name", name))
        seen.add(name)
        made = claim.get("resourceClaimName")
        if made is not None:
            faults += invalid_all(f"{at}.resourceClaimName", made, names.is_dns1123_subdomain(made))
    return faults


def _extended(given: Object | None, spec: Object, path: str) -> list[FieldError]:
    """The claim that was made for what containers ask for as extended resources."""
    if not isinstance(given, dict):
        return []
    asked = {
        str(container.get("name")): peek(container, "resources", "requests")
        for kind in ("initContainers", "containers")
        for container in each(spec, kind)
    }
    mappings, at = list(each(given, "requestMappings")), f"{path}.requestMappings"
    faults = [] if mappings else [required(at, "at least one request mapping is required")]
    seen: set[tuple[str, ...]] = set()
    for index, mapping in enumerate(mappings):
        one = tuple(str(mapping.get(key) or "") for key in _MAPPING)
        if one[0] not in asked:
            faults.append(invalid(f"{at}[{index}].containerName", one[0], _NO_CONTAINER))
        elif one[1] not in asked[one[0]]:
            faults.append(invalid(f"{at}[{index}].resourceName", one[1], _NO_REQUEST))
        # The API's own path leaves out which one it is.
        faults += invalid_all(f"{path}.requestName", one[2], names.is_dns1123_label(one[2]))
        if one in seen:
            faults += [
                duplicate(f"{at}[{index}].{key}", value) for key, value in zip(_MAPPING, one, strict=True)
            ]
        seen.add(one)
    name = given.get("resourceClaimName") or ""
    if not name:
        return [*faults, required(f"{path}.resourceClaimName")]
    return faults + invalid_all(f"{path}.resourceClaimName", name, names.is_dns1123_subdomain(name))


def _ips(status: Object, before: Object, key: str) -> list[FieldError]:
    """Addresses of a pod or of its host: those it had before are not asked about again."""
    listed, known = list(each(status, key)), {item.get("ip") for item in each(before, key)}
    faults: list[FieldError] = []
    for index, item in enumerate(listed):
        if item.get("ip") not in known:
            faults += ip_faults(item.get("ip") or "", f"status.{key}[{index}]")
    if len(listed) < 2:
        return faults
    read = [read_address(item.get("ip") or "")[0] for item in listed]
    if None in read:
        place = read.index(None)
        text = f"invalid IP[{place}]: {listed[place].get('ip') or ''}"
        faults.append(internal(f"status.{key}", f"failed to check for dual stack with error:{text}"))
    versions = {address.version for address in read if address}
    if len(versions) < 2 or len(listed) > 2 or None in read:
        shown = [inside("PodAddress", item) for item in listed]
        faults.append(invalid(f"status.{key}", shown, _ONE_EACH))
    return faults


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
        name, told = str(device.get("resourceID") or ""), device.get("message")
        if health not in _HEALTH:
            faults.append(not_supported(f"{at}.health", health, _HEALTH))
        if told == "":
            faults.append(required(f"{at}.message", "must be non-empty if specified"))
        elif told is not None and len(told.encode()) > _MESSAGE_MAX:
            faults.append(too_long(f"{at}.message", _MESSAGE_MAX))
        if name in seen:
            faults.append(duplicate(f"{at}.resourceID", name))
        seen.add(name)
    return faults


def _users(status: Object, key: str, *, windows: bool) -> list[FieldError]:
    faults: list[FieldError] = []
    for index, item in enumerate(each(status, key)):
        linux, at = peek(item, "user").get("linux"), f"status.{key}[{index}].user.linux"
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
