"""Resource quotas: nothing is created that a namespace has no room for.

Owns: charging a quota (its ``status.used``) before the object is written. The quota controller recounts, so
what was charged for a write that failed comes back.
"""

from __future__ import annotations

import asyncio

from tiphys.apimachinery import quantity
from tiphys.apimachinery.errors import Conflict
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apimachinery.quantity import Quantity
from tiphys.apis.core.quota import Usage, in_scope, missing_compute, usage_of
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.objects import Cached

_ATTEMPTS = 5


class ResourceQuota:
    """Last in the list: only what everybody else let through is charged."""

    NAME = "ResourceQuota"
    SUBRESOURCES = frozenset({"", "resize"})
    VALIDATES = frozenset({"CREATE", "UPDATE"})

    async def validate(self, attributes: Attributes) -> None:
        if attributes.obj is None or not attributes.call.resource.namespaced:
            return
        backend = attributes.call.backend
        row = backend.table.by_path("", "v1", "resourcequotas")
        for _ in range(_ATTEMPTS):
            quotas = await backend.store.all(row, attributes.namespace)
            charges = [charge for item in quotas if (charge := _charge(attributes, item)) is not None]
            if not charges or attributes.dry_run:
                return
            try:
                await asyncio.gather(*(backend.store.update(row, obj, rev) for obj, rev in charges))
                return
            except Conflict:
                continue
        raise attributes.refuse("exceeded quota: the quota is being updated by others; try again")


def _delta(attributes: Attributes) -> Usage:
    """Return what this write adds; shrinking is free."""
    after = usage_of(attributes.group, attributes.plural, attributes.obj)
    before = usage_of(attributes.group, attributes.plural, attributes.old)
    found: Usage = {}
    for name, amount in after.items():
        change = amount - before[name] if name in before else amount
        if change.amount > 0:
            found[name] = change
    return found


def _charge(attributes: Attributes, cached: Cached) -> tuple[Object, int] | None:
    """Return the quota with the write charged to it, None where it is not about the write.

    Raises:
        Forbidden: there is no room, or the object does not say what it needs.
    """
    quota, obj = cached.object, attributes.obj or {}
    if not in_scope(quota, attributes.group, attributes.plural, obj):
        return None
    name = quota["metadata"]["name"]
    status = quota.get("status") or {}
    hard = {key: quantity.parse(str(value)) for key, value in (status.get("hard") or {}).items()}
    declared: set[str] = set((quota.get("spec") or {}).get("hard") or ())
    if attributes.core("pods") and attributes.operation == "CREATE":
        missing = missing_compute(obj["spec"], declared)
        if missing:
            raise attributes.refuse(f"failed quota: {name}: must specify {'; '.join(missing)}")
    delta = _delta(attributes)
    unknown = sorted(key for key in delta if key in declared and key not in hard)
    if unknown:
        raise attributes.refuse(f"status unknown for quota: {name}, resources: {','.join(unknown)}")
    asked = {key: amount for key, amount in delta.items() if key in hard}
    if not asked:
        return None
    used = {key: quantity.parse(str(value)) for key, value in (status.get("used") or {}).items()}
    total = {key: used[key] + amount if key in used else amount for key, amount in asked.items()}
    over = sorted(key for key in asked if total[key].amount > hard[key].amount)
    if over:
        zero = quantity.from_value(0)
        raise attributes.refuse(
            f"exceeded quota: {name}, requested: {_show({k: asked[k] for k in over})}, "
            f"used: {_show({k: used.get(k, zero) for k in over})}, "
            f"limited: {_show({k: hard[k] for k in over})}"
        )
    changed = copy_object(quota)
    changed["metadata"].pop("resourceVersion", None)
    changed.setdefault("status", {}).setdefault("used", {}).update(
        {key: str(amount) for key, amount in total.items()}
    )
    return changed, cached.revision


def _show(values: dict[str, Quantity]) -> str:
    return ",".join(f"{key}={values[key]}" for key in sorted(values))
