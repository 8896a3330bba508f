"""What a StorageVersionMigration says of its course, and what is sent for each object. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from tiphys.apimachinery.meta import GVK, Object
from tiphys.controllers import conditions

RUNNING: Final = "Running"
SUCCEEDED: Final = "Succeeded"
FAILED: Final = "Failed"
_REASONS: Final = {
    RUNNING: "StorageVersionMigrationInProgress",
    SUCCEEDED: "StorageVersionMigrationSucceeded",
    FAILED: "StorageVersionMigrationFailed",
}


def has_ended(migration: Object) -> bool:
    """Say whether nothing is left to do: how a migration ended stays so."""
    told = _conditions(migration)
    return any((conditions.find(told, kind) or {}).get("status") == "True" for kind in (SUCCEEDED, FAILED))


def with_condition(migration: Object, kind: str, message: str, now: datetime) -> Object:
    """Return the migration as it is told: one that has ended runs no longer."""
    told = _conditions(migration)
    running = conditions.find(told, RUNNING)
    if kind != RUNNING and running is not None:
        told = conditions.put(told, {**running, "status": "False"})
    told = conditions.put(told, conditions.make(kind, "True", _REASONS[kind], message, now))
    return {**migration, "status": {**(migration.get("status") or {}), "conditions": told}}


def as_it_is(obj: Object, kind: GVK) -> Object:
    """Return what is applied to an object to have it written anew: nothing, to exactly this one.

    With its uid a deleted object is not made again; with its version one written since is left alone.
    """
    meta = obj["metadata"]
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
    }


def _conditions(migration: Object) -> list[Object]:
    return list((migration.get("status") or {}).get("conditions") or ())
