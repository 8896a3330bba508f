"""What one object counts for in a resource quota, and which quotas it falls under.

Pure. Source: the "Resource Quotas" page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from tiphys.apimachinery import quantity
from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import Quantity
from tiphys.apis.core.qos import pod_qos
from tiphys.apis.core.quota_devices import BY_CLASS, IMPLICIT, Devices, names_devices

Usage = dict[str, Quantity]
_ONE = quantity.parse("1")
_PLAIN = {"configmaps", "secrets", "replicationcontrollers", "resourcequotas", "services",
          "persistentvolumeclaims", "pods"}  # fmt: skip
_STORAGE_CLASS = ".storageclass.storage.k8s.io/"
_CLASS_ANNOTATION: Final = "volume.beta.kubernetes.io/storage-class"
_MOST_DEVICES: Final = 32
"""What a request for all devices of a class may come to."""
_BARE = ("cpu", "memory", "ephemeral-storage")
_POD: Final = frozenset(
    {"pods", "count/pods", *_BARE, *(f"{part}.{name}" for part in ("requests", "limits") for name in _BARE)}
)
_SERVICE: Final = frozenset({"services", "count/services", "services.nodeports", "services.loadbalancers"})
_CLAIM: Final = ("persistentvolumeclaims", "requests.storage")


def usage_of(
    group: str, plural: str, obj: Object | None, now: datetime | None = None, devices: Devices | None = None
) -> Usage:
    """Return what an object uses; nothing for None. ``now`` tells which pods should have gone by now.

    With ``devices``, claims count under the names of extended resources as well.
    """
    if obj is None:
        return {}
    if not group and plural == "pods":
        return _pod_usage(obj, now)
    found: Usage = {f"count/{plural}.{group}" if group else f"count/{plural}": _ONE}
    if not group and plural in _PLAIN:
        found[plural] = _ONE
    if not group and plural == "services":
        found |= _service_usage(obj)
    if not group and plural == "persistentvolumeclaims":
        found |= _claim_usage(obj)
    if (group, plural) == ("resource.k8s.io", "resourceclaims"):
        _add(found, _device_usage(obj))
        if devices is not None:
            payer = devices.payer(obj)
            found |= devices.more(found, _pod_usage(payer, now) if payer else {})
    return found


def measured(group: str, plural: str, names: Iterable[str], devices: Devices | None = None) -> set[str]:
    """Return those names of a quota that are about a kind of object."""
    counted = f"count/{plural}.{group}" if group else f"count/{plural}"
    match group, plural:
        case "", "pods":
            return {name for name in names if name in _POD or _of_pods(name)}
        case "", "services":
            return {name for name in names if name in _SERVICE}
        case "", "persistentvolumeclaims":
            ends = tuple(_STORAGE_CLASS + name for name in _CLAIM)
            return {name for name in names if name == counted or name in _CLAIM or name.endswith(ends)}
        case "resource.k8s.io", "resourceclaims":
            resources = {} if devices is None else devices.resources
            own = {name for name in names if name == counted or name.endswith(BY_CLASS)}
            return own | {name for name in names if names_devices(name, resources)}
    own = {counted, plural} if not group and plural in _PLAIN else {counted}
    return own.intersection(names)


def _of_pods(name: str) -> bool:
    """Tell whether this is of huge pages, or of what devices offer."""
    return name.startswith(("hugepages-", "requests.hugepages-")) or is_extended(name)


def is_extended(name: str) -> bool:
    """Tell whether a quota's name is of an extended resource: pods ask for it, and perhaps claims do."""
    if name.startswith(IMPLICIT):
        return True
    return name.startswith("requests.") and "/" in name and "kubernetes.io/" not in name


def _device_usage(claim: Object) -> Usage:
    """Return how many devices of each class a claim may get, at most."""
    found: Usage = {}
    for request in ((claim.get("spec") or {}).get("devices") or {}).get("requests") or ():
        most: dict[str, int] = {}
        for one in request.get("firstAvailable") or [request.get("exactly") or {}]:
            name = one.get("deviceClassName")
            if not name:
                continue
            exact = (one.get("allocationMode") or "ExactCount") == "ExactCount"
            count = int(one.get("count") or 1) if exact else _MOST_DEVICES
            most[name] = max(most.get(name, 0), count)
        _add(found, {f"{name}{BY_CLASS}": _times(count) for name, count in most.items()})
    return found


def _times(number: int) -> Quantity:
    return quantity.from_value(number)


def _service_usage(service: Object) -> Usage:
    """Ports that get none by themselves are counted where they name one."""
    spec = service.get("spec") or {}
    kind, ports = spec.get("type"), len(spec.get("ports") or ())
    named = sum(1 for port in spec.get("ports") or () if port.get("nodePort"))
    if kind == "NodePort":
        return {"services.nodeports": _times(ports)}
    if kind == "LoadBalancer":
        held = ports if spec.get("allocateLoadBalancerNodePorts", True) else named
        return {"services.nodeports": _times(held), "services.loadbalancers": _ONE}
    return {}


def _claim_usage(claim: Object) -> Usage:
    spec = claim.get("spec") or {}
    asked = _storage(claim)
    found: Usage = {}
    if asked is not None:
        found["requests.storage"] = asked
    annotated = ((claim.get("metadata") or {}).get("annotations") or {}).get(_CLASS_ANNOTATION)
    name = annotated if annotated is not None else spec.get("storageClassName")
    if name:
        found[f"{name}{_STORAGE_CLASS}persistentvolumeclaims"] = _ONE
        if asked is not None:
            found[f"{name}{_STORAGE_CLASS}requests.storage"] = found["requests.storage"]
    return found


def _storage(claim: Object) -> Quantity | None:
    """Return the storage that is asked for, or that it is being expanded to; whole bytes."""
    asked = _section(claim.get("spec") or {}, "requests").get("storage")
    if asked is None:
        return None
    allocated = ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage")
    if allocated is not None:
        asked = max(asked, quantity.parse(str(allocated)))
    return asked if asked.amount.denominator == 1 else quantity.from_value(asked.value())


def _is_overdue(pod: Object, now: datetime | None) -> bool:
    """Tell whether a pod waits to go for longer than it had time; nobody pays for a node that is lost."""
    meta = pod.get("metadata") or {}
    since, grace_s = meta.get("deletionTimestamp"), meta.get("deletionGracePeriodSeconds")
    if now is None or not since or grace_s is None:
        return False
    return now > parse_time(since) + timedelta(seconds=int(grace_s))


def _pod_usage(pod: Object, now: datetime | None) -> Usage:
    found: Usage = {"count/pods": _ONE}
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") or _is_overdue(pod, now):
        return found
    found["pods"] = _ONE
    spec = pod.get("spec") or {}
    for section in ("requests", "limits"):
        for name, amount in pod_total(spec, section).items():
            if section == "requests" and name in _BARE:
                found[name] = amount
            if section == "requests" and name.startswith("hugepages-"):
                found[name] = amount
            found[f"{section}.{name}"] = amount
    return found


def _section(holder: Mapping[str, Any], section: str) -> Usage:
    values = (holder.get("resources") or {}).get(section) or {}
    return {name: quantity.parse(str(value)) for name, value in values.items()}


def _add(total: Usage, more: Usage) -> None:
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount


def pod_total(spec: Object, section: str) -> Usage:
    """Return a pod's requests or limits: its containers together, or its hungriest init container."""
    total: Usage = {}
    for container in spec.get("containers") or ():
        _add(total, _section(container, section))
    sidecars: Usage = {}
    peak: Usage = {}
    for container in spec.get("initContainers") or ():
        own = _section(container, section)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, own)
            own = dict(sidecars)
        else:
            _add(own, sidecars)
        for name, amount in own.items():
            peak[name] = max(peak.get(name, amount), amount)
    _add(total, sidecars)
    for name, amount in peak.items():
        total[name] = max(total.get(name, amount), amount)
    if spec.get("resources"):
        total |= _section(spec, section)
    overhead = {name: quantity.parse(str(value)) for name, value in (spec.get("overhead") or {}).items()}
    _add(total, {name: value for name, value in overhead.items() if section == "requests" or name in total})
    return total


def missing_compute(spec: Object, constrained: set[str]) -> list[str]:
    """Return ``requests.cpu for: c``-like texts of what a quota demands and containers leave out.

    Containers need not say anything where their pod does as a whole, of whatever.
    """
    if any(_of_whole_pods(name) for part in ("requests", "limits") for name in _section(spec, part)):
        return []
    faults = []
    for name in sorted(constrained):
        section, _, resource = name.rpartition(".")
        if name in ("cpu", "memory"):
            section, resource = "requests", name
        if section not in ("requests", "limits") or resource not in ("cpu", "memory"):
            continue
        lacking = sorted(
            container["name"]
            for key in ("containers", "initContainers")
            for container in spec.get(key) or ()
            if resource not in _section(container, section)
        )
        if lacking:
            faults.append(f"{name} for: {','.join(lacking)}")
    return faults


def _of_whole_pods(name: str) -> bool:
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def scopes_of(quota: Object) -> list[Mapping[str, Any]]:
    """Return what the objects of a quota must be like, as requirements."""
    spec = quota.get("spec") or {}
    wanted: list[Mapping[str, Any]] = [
        {"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()
    ]
    return wanted + ((spec.get("scopeSelector") or {}).get("matchExpressions") or [])


def matching_scopes(
    requirements: Iterable[Mapping[str, Any]], group: str, plural: str, obj: Object
) -> list[Mapping[str, Any]]:
    """Return the requirements that an object meets."""
    return [one for one in requirements if _scope_holds(one, group, plural, obj)]


def in_scope(quota: Object, group: str, plural: str, obj: Object) -> bool:
    """Tell whether a quota is about an object: one with scopes is about some pods, or some claims, only."""
    return all(_scope_holds(one, group, plural, obj) for one in scopes_of(quota))


def _scope_holds(requirement: Mapping[str, Any], group: str, plural: str, obj: Object) -> bool:
    if (group, plural) == ("", "pods"):
        return _pod_scope_holds(requirement, obj)
    if (group, plural) == ("", "persistentvolumeclaims"):
        return requirement["scopeName"] == "VolumeAttributesClass" and any(
            _class_matches(requirement, name) for name in _attributes_classes(obj) or [""]
        )
    return False


def _attributes_classes(claim: Object) -> list[str]:
    """Return the VolumeAttributesClasses that a claim has, wants, or is changing to."""
    status = claim.get("status") or {}
    names = (
        (claim.get("spec") or {}).get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return sorted({name for name in names if name})


def _pod_scope_holds(requirement: Mapping[str, Any], pod: Object) -> bool:
    spec, name = pod.get("spec") or {}, requirement["scopeName"]
    match name:
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return pod_qos(pod) == "BestEffort"
        case "NotBestEffort":
            return pod_qos(pod) != "BestEffort"
        case "CrossNamespacePodAffinity":
            return _crosses_namespaces(spec)
        case "PriorityClass":
            return _class_matches(requirement, spec.get("priorityClassName") or "")
    return False


def _class_matches(requirement: Mapping[str, Any], name: str) -> bool:
    values = requirement.get("values") or ()
    match requirement.get("operator"):
        case "In":
            return name in values
        case "NotIn":
            return name not in values
        case "DoesNotExist":
            return not name
    return bool(name)


def _crosses_namespaces(spec: Object) -> bool:
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        required = list(terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        for term in required + [item.get("podAffinityTerm") or {} for item in preferred]:
            if term.get("namespaces") or term.get("namespaceSelector") is not None:
                return True
    return False
