"""LimitRanges: defaults for containers that say nothing, and bounds for all.

Source: the "Limit Ranges" page; texts are upstream's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tiphys.apimachinery import quantity
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.pod_requests import aggregate_requests
from tiphys.apiserver.admission.attributes import Attributes

_ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger:
    """Defaults pods on creation; checks pods (also their resizes) and claims."""

    NAME = "LimitRanger"
    RESOURCES = frozenset({("", "pods"), ("", "persistentvolumeclaims")})
    SUBRESOURCES = frozenset({"", "resize"})
    ADMITS = frozenset({"CREATE"})
    VALIDATES = frozenset({"CREATE", "UPDATE"})
    REPEATS = True

    async def admit(self, attributes: Attributes) -> None:
        if not attributes.core("pods") or attributes.obj is None:
            return
        for item in await self._ranges(attributes):
            for limit in _limits(item, "Container"):
                _default_containers(attributes.obj, limit)

    async def validate(self, attributes: Attributes) -> None:
        if attributes.obj is None:
            return
        if (attributes.old or {}).get("metadata", {}).get("deletionTimestamp"):
            return
        created = attributes.core("pods") and attributes.operation == "CREATE"
        if created or attributes.core("pods", "resize"):
            check: Callable[[Object, Object], list[str]] = _pod_faults
        elif attributes.core("persistentvolumeclaims"):
            check = _claim_faults
        else:
            return
        for item in await self._ranges(attributes):
            if faults := list(dict.fromkeys(check(attributes.obj, item))):
                raise attributes.refuse(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")

    async def _ranges(self, attributes: Attributes) -> list[Object]:
        return await attributes.find_all("", "v1", "limitranges", attributes.namespace)


def _limits(item: Object, *kinds: str) -> Iterator[Object]:
    for limit in (item.get("spec") or {}).get("limits") or ():
        if limit.get("type") in kinds:
            yield limit


def _default_containers(pod: Object, limit: Object) -> None:
    limits, requests = limit.get("default") or {}, limit.get("defaultRequest") or {}
    notes = []
    for key in ("containers", "initContainers"):
        kind = "init container" if key == "initContainers" else "container"
        for container in pod["spec"].get(key) or ():
            resources = container.setdefault("resources", {})
            for section, defaults, word in (("requests", requests, "request"), ("limits", limits, "limit")):
                missing = sorted(set(defaults) - set(resources.get(section) or {}))
                if missing:
                    values = resources.setdefault(section, {})
                    values.update({name: defaults[name] for name in missing})
                    notes.append(f"{', '.join(missing)} {word} for {kind} {container['name']}")
            if not resources:
                del container["resources"]
    if notes:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[_ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)


def _parse(value: Any) -> Any:
    return quantity.parse(str(value))


def _bounds(limit: Object, kind: str, requests: Object, limits: Object) -> list[str]:
    faults = []
    for name, bound in (limit.get("min") or {}).items():
        request, top = requests.get(name), limits.get(name)
        if request is None:
            faults.append(f"minimum {name} usage per {kind} is {bound}.  No request is specified")
        elif _parse(request) < _parse(bound):
            faults.append(f"minimum {name} usage per {kind} is {bound}, but request is {request}")
        elif top is not None and _parse(top) < _parse(bound):
            faults.append(f"minimum {name} usage per {kind} is {bound}, but limit is {top}")
    for name, bound in (limit.get("max") or {}).items():
        request, top = requests.get(name), limits.get(name)
        if top is None:
            faults.append(f"maximum {name} usage per {kind} is {bound}.  No limit is specified")
        elif _parse(top) > _parse(bound):
            faults.append(f"maximum {name} usage per {kind} is {bound}, but limit is {top}")
        elif request is not None and _parse(request) > _parse(bound):
            faults.append(f"maximum {name} usage per {kind} is {bound}, but request is {request}")
    for name, bound in (limit.get("maxLimitRequestRatio") or {}).items():
        request, top = requests.get(name), limits.get(name)
        about = f"{name} max limit to request ratio per {kind} is {bound}, but"
        if request is None or not _parse(request).amount:
            faults.append(f"{about} no request is specified or request is 0")
        elif top is None or not _parse(top).amount:
            faults.append(f"{about} no limit is specified or limit is 0")
        elif _parse(top).amount > _parse(request).amount * _parse(bound).amount:
            faults.append(f"{about} provided ratio is {float(_parse(top).amount / _parse(request).amount):f}")
    return faults


def _pod_faults(pod: Object, item: Object) -> list[str]:
    faults: list[str] = []
    spec = pod["spec"]
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for limit in _limits(item, "Container", "Pod"):
        if limit["type"] == "Pod":
            faults += _bounds(limit, "Pod", _sum(spec, "requests"), _sum(spec, "limits"))
            continue
        for container in containers:
            resources = container.get("resources") or {}
            faults += _bounds(
                limit, "Container", resources.get("requests") or {}, resources.get("limits") or {}
            )
    return faults


def _sum(spec: Object, section: str) -> Object:
    """Return what a pod asks for: its containers together, or what it says itself as a whole."""
    total: Object = {name: str(amount) for name, amount in aggregate_requests(spec, section).items()}
    for name, value in ((spec.get("resources") or {}).get(section) or {}).items():
        if name in ("cpu", "memory") or name.startswith("hugepages-"):
            total[name] = value
    return total


def _claim_faults(claim: Object, item: Object) -> list[str]:
    faults: list[str] = []
    requests = ((claim["spec"].get("resources") or {}).get("requests")) or {}
    for limit in _limits(item, "PersistentVolumeClaim"):
        for word, below in (("minimum", True), ("maximum", False)):
            for name, bound in (limit.get(word[:3]) or {}).items():
                about = f"{word} {name} usage per PersistentVolumeClaim is {bound}"
                if name not in requests:
                    faults.append(f"{about}.  No request is specified")
                    continue
                asked, allowed = _parse(requests[name]), _parse(bound)
                if asked < allowed if below else asked > allowed:
                    faults.append(f"{about}, but request is {requests[name]}")
    return faults
