"""Status conditions: set, remove, compare. Pure."""

from __future__ import annotations

from datetime import datetime

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.meta import Object


def find(conditions: list[Object], type_: str) -> Object | None:
    return next((item for item in conditions if item.get("type") == type_), None)


def make(
    type_: str, status: str, reason: str, message: str, now: datetime, *, updated: bool = False
) -> Object:
    """Build a condition; ``updated`` adds the lastUpdateTime that only some kinds have."""
    moment = rfc3339(now)
    condition = {"type": type_, "status": status}
    if updated:
        condition["lastUpdateTime"] = moment
    return {**condition, "lastTransitionTime": moment, "reason": reason, "message": message}


def put(conditions: list[Object], new: Object, *, on_message: bool = False) -> list[Object]:
    """Return the list with ``new`` in it; unchanged if status and reason (and message, if asked) are equal.

    A condition keeps its place, and its transition time while the status stays the same.
    """
    kept = _update(conditions, new, on_message=on_message)
    if kept is None:
        return conditions
    if find(conditions, new["type"]) is None:
        return [*conditions, kept]
    return [kept if item.get("type") == new["type"] else item for item in conditions]


def put_last(conditions: list[Object], new: Object) -> list[Object]:
    """Do as ``put``, but a condition that changes becomes the last one."""
    kept = _update(conditions, new, on_message=False)
    return conditions if kept is None else [*remove(conditions, new["type"]), kept]


def _update(conditions: list[Object], new: Object, *, on_message: bool) -> Object | None:
    """Return the condition as it is to be written, None when what is there says the same."""
    old = find(conditions, new["type"])
    fields = ("status", "reason", "message") if on_message else ("status", "reason")
    if old is not None and all(old.get(name) == new.get(name) for name in fields):
        return None
    if old is not None and old["status"] == new["status"]:
        return {**new, "lastTransitionTime": old.get("lastTransitionTime") or new["lastTransitionTime"]}
    return new


def remove(conditions: list[Object], type_: str) -> list[Object]:
    return [item for item in conditions if item.get("type") != type_]
