"""What a quota's namespace uses, counted anew. Pure. Source: core/v1 ResourceQuota."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from tiphys.apimachinery import quantity
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.quota import Usage, in_scope, is_extended, measured, usage_of
from tiphys.apis.core.quota_devices import Devices, names_by_class

Kind = tuple[str, str]
"""Group and resource, as in ``("apps", "deployments")``."""

PODS: Kind = ("", "pods")
SERVICES: Kind = ("", "services")
CLAIMS: Kind = ("", "persistentvolumeclaims")
DEVICE_CLAIMS: Kind = ("resource.k8s.io", "resourceclaims")
_CLASS_MARK = ".storageclass.storage.k8s.io/"
_DEVICES_MARK = ".deviceclass.resource.k8s.io/devices"
_PLAIN = ("configmaps", "secrets", "replicationcontrollers", "resourcequotas")
_POD_NAMES = ("pods", "cpu", "memory", "ephemeral-storage")
_POD_PREFIXES = ("requests.", "limits.", "hugepages-")


def kind_counted(name: str) -> Kind | None:
    """Return what kind of object a quota's resource name is about; None for one that nobody counts."""
    if name.startswith("count/"):
        plural, _, group = name.removeprefix("count/").partition(".")
        return group, plural
    if name in _PLAIN:
        return "", name
    if name.startswith("services"):
        return SERVICES
    if name in ("persistentvolumeclaims", "requests.storage") or _CLASS_MARK in name:
        return CLAIMS
    if name.endswith(_DEVICES_MARK):
        return DEVICE_CLAIMS
    if name in _POD_NAMES or name.startswith(_POD_PREFIXES):
        return PODS
    return None


def kinds_counted(quota: Object) -> set[Kind]:
    """Return all kinds whose objects a quota counts."""
    names = (quota["spec"].get("hard") or {}) if quota.get("spec") else {}
    kinds = {kind for name in names if (kind := kind_counted(name)) is not None}
    return kinds | {DEVICE_CLAIMS} if any(map(is_extended, names)) else kinds


def plan_status(
    quota: Object,
    objects: Mapping[Kind, Sequence[Object]],
    now: datetime,
    classes: Iterable[Object] | None = None,
) -> Object:
    """Return the status; ``objects`` holds the namespace's objects by kind, for each kind counted.

    Of kinds that it has nothing of, what was used before still counts. ``classes`` are those of devices, None
    where claims count for nothing under the names of extended resources.
    """
    hard = dict(quota["spec"].get("hard") or {})
    used = {name: quantity.ZERO for name in hard if kind_counted(name) in objects}
    before = (quota.get("status") or {}).get("used") or {}
    kept = {name: str(amount) for name, amount in before.items() if name in hard and name not in used}
    devices = None if classes is None else _devices(objects, classes)
    for (group, plural), items in objects.items():
        for item in items:
            if in_scope(quota, group, plural, item):
                usage = usage_of(group, plural, item, now, devices)
                if (group, plural) == DEVICE_CLAIMS:
                    about = measured(group, plural, usage, devices)
                    usage = {name: amount for name, amount in usage.items() if name in about}
                _add(used, usage)
    counted = {name: str(amount) for name, amount in used.items()}
    return {"hard": hard, "used": dict(sorted({**kept, **counted}.items()))}


def differs(status: Object, planned: Object) -> bool:
    """Tell whether two statuses say different amounts, in whatever notation."""
    return any(_amounts(status.get(part)) != _amounts(planned.get(part)) for part in ("hard", "used"))


def frees_room(kind: Kind, old: Object | None, new: Object | None) -> bool:
    """Tell whether an event can lower what is used: a deletion, or an object that counts for less or else.

    Creations were charged at admission; counting them again from a cache that lags would undo a charge.
    """
    if old is None:
        return False
    if new is None:
        return True
    return usage_of(*kind, old) != usage_of(*kind, new)


def _devices(objects: Mapping[Kind, Sequence[Object]], classes: Iterable[Object]) -> Devices:
    pods = {str(pod["metadata"]["name"]): pod for pod in objects.get(PODS, ())}
    return Devices(names_by_class(classes), pods, objects.get(DEVICE_CLAIMS, ()))


def _add(used: Usage, more: Usage) -> None:
    for name, amount in more.items():
        if name in used:
            used[name] = used[name] + amount


def _amounts(values: Mapping[str, object] | None) -> Iterable[tuple[str, object]]:
    return sorted((name, quantity.parse(str(value)).amount) for name, value in (values or {}).items())
