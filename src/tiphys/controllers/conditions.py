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

    The transition time is kept while the status stays the same.
    """
    old = find(conditions, new["type"])
    fields = ("status", "reason", "message") if on_message else ("status", "reason")
    if old is not None and all(old.get(name) == new.get(name) for name in fields):
        return conditions
    if old is not None and old["status"] == new["status"]:
        new = {**new, "lastTransitionTime": old.get("lastTransitionTime", new["lastTransitionTime"])}
    return [*(item for item in conditions if item.get("type") != new["type"]), new]


def remove(conditions: list[Object], type_: str) -> list[Object]:
    return [item for item in conditions if item.get("type") != type_]
