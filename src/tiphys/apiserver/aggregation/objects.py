"""APIService objects: the local ones that a resource table stands for, and conditions of the others.

Pure. Called by the aggregation controller. Source: apiregistration.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tiphys.apimachinery.meta import Object, copy_object, get_condition

AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"
LOCAL = "Local APIServices are always available"
ALWAYS, ON_START = "true", "onstart"
_CUSTOM_GROUP_PRIORITY = 1000
_CUSTOM_VERSION_PRIORITY = 100
_STABLE_PRIORITY, _OTHER_PRIORITY = 15, 9
_PRIORITIES = {
    ("", "v1"): 1,
    ("autoscaling", "v2"): 30,
    ("certificates.k8s.io", "v1alpha1"): 1,
    ("admissionregistration.k8s.io", "v1beta1"): 12,
    ("coordination.k8s.io", "v1beta1"): 13,
    ("coordination.k8s.io", "v1alpha2"): 12,
    ("resource.k8s.io", "v1"): 20,
    ("resource.k8s.io", "v1beta2"): 15,
    ("resource.k8s.io", "v1alpha3"): 1,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
}
"""Of versions that count neither as stable ones nor as others do."""
_OWN_GROUP = "apiregistration.k8s.io"


def local_services(table: Any) -> Iterator[Object]:
    """Yield the APIService of every group version that is served or defined, but of that of APIServices.

    A definition has its own from the first, whether its names are accepted and its kind is served or not.
    """
    served = [(group, version) for group in table.groups() for version in table.versions(group)]
    for group, version in [*served, *sorted(table.declared().difference(served))]:
        if group == _OWN_GROUP:
            continue
        custom = _is_custom(table, group, version)
        least, priority = local_priority(table, group, version)
        yield {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {
                "name": f"{version}.{group}",
                "labels": {AUTOMANAGED: ALWAYS if custom else ON_START},
            },
            "spec": {
                **({"group": group} if group else {}),
                "version": version,
                "groupPriorityMinimum": least,
                "versionPriority": priority,
            },
        }


def _is_custom(table: Any, group: str, version: str) -> bool:
    return all(row.custom for row in table.resources(group, version))


def local_priority(table: Any, group: str, version: str) -> tuple[int, int]:
    """Return what the APIService of a local group version says of its group's priority and of its own."""
    if _is_custom(table, group, version):
        return _CUSTOM_GROUP_PRIORITY, _CUSTOM_VERSION_PRIORITY
    usual = _STABLE_PRIORITY if version == "v1" else _OTHER_PRIORITY
    return table.group_priority(group), _PRIORITIES.get((group, version), usual)


def in_process_service(spec: Object) -> Object:
    """Return the APIService of an API that this server answers itself, without the resource table."""
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{spec['version']}.{spec['group']}", "labels": {AUTOMANAGED: ON_START}},
        "spec": dict(spec),
    }


def next_step(current: Object | None, wanted: Object | None, *, at_start: bool, done: bool) -> str:
    """Return what to do about a local APIService: ``create``, ``update``, ``delete`` or nothing.

    ``at_start`` are those that were there as the server started, ``done`` those that were in order since.
    What has no label, or came since with the label of the start, is somebody's own.
    """
    label = "" if current is None else (current["metadata"].get("labels") or {}).get(AUTOMANAGED, "")
    once = wanted is not None and wanted["metadata"]["labels"][AUTOMANAGED] == ON_START
    if current is None:
        return "" if wanted is None or (once and done) else "create"
    if label not in (ALWAYS, ON_START) or (label == ON_START and not at_start):
        return ""
    if wanted is None:
        return "" if label == ON_START and done else "delete"
    if done and (label == ON_START or once):
        return ""
    return "update" if current.get("spec") != wanted["spec"] else ""


def path_of(service: Object) -> str:
    """Return where the resources of an APIService are served."""
    spec = service["spec"]
    group = spec.get("group") or ""
    return f"/apis/{group}/{spec['version']}" if group else f"/api/{spec['version']}"


def by_priority(services: Iterable[Object]) -> list[Object]:
    """Return APIServices in the order in which their documents count: the groups of most first."""
    found = list(services)
    most: dict[str, int] = {}
    for spec in (one["spec"] for one in found):
        group = spec.get("group") or ""
        most[group] = max(most.get(group, 0), int(spec.get("groupPriorityMinimum") or 0))
    return sorted(found, key=lambda one: (-most[one["spec"].get("group") or ""], one["metadata"]["name"]))


def is_remote(service: Object) -> bool:
    return (service.get("spec") or {}).get("service") is not None


def is_available(service: Object) -> bool:
    condition = get_condition(service, "Available")
    return condition is not None and condition.get("status") == "True"


def with_condition(service: Object, *, ok: bool, reason: str, message: str, now: str) -> Object | None:
    """Return a copy with its Available condition set, None when it says so already."""
    wanted = {"type": "Available", "status": "True" if ok else "False", "reason": reason, "message": message}
    found = get_condition(service, "Available")
    if found is not None and {key: found.get(key) for key in wanted} == wanted:
        return None
    same = found is not None and found.get("status") == wanted["status"]
    since = found.get("lastTransitionTime") if found is not None and same else None
    changed: Object = copy_object(service)
    changed["metadata"].pop("resourceVersion", None)
    status = changed.setdefault("status", {})
    others = [one for one in status.get("conditions") or () if one.get("type") != "Available"]
    status["conditions"] = [*others, {**wanted, "lastTransitionTime": since or now}]
    return changed
