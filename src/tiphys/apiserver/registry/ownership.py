"""Managed fields of one request: which version and schema they are judged at, and what a Scale shows of them.

Owns: the choice of version for every kind, and the mapping of ``/scale``. The bookkeeping itself is
``apimachinery.managedfields``. Called by every write handler.

Source: KEP-555, server-side apply.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from tiphys.apimachinery import managedfields
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.managedfields import entries, fieldset
from tiphys.apimachinery.managedfields.entries import Entry, Managed, Manager
from tiphys.apimachinery.managedfields.fieldset import Node
from tiphys.apimachinery.managedfields.update import SPEC, reset_fields
from tiphys.apimachinery.managedfields.versions import Versions
from tiphys.apimachinery.meta import GVK, Object, split_api_version
from tiphys.apimachinery.resource import Resource
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis import conversion, schemas
from tiphys.apis.scale import BUILT_IN
from tiphys.apis.strategies import strategy_for
from tiphys.apis.strategy import USERS_METADATA

SCALE: Final = GVK("autoscaling", "v1", "Scale")
_STATUS_RESETS: Final = fieldset.from_paths(("metadata",), ("spec",))
_OWN_RESETS: Final[dict[tuple[str, str], Node]] = {
    ("CertificateSigningRequest", ""): fieldset.from_paths(("spec",), ("status",)),
    ("CertificateSigningRequest", "status"): fieldset.from_paths(("spec",), ("status", "conditions")),
    ("CertificateSigningRequest", "approval"): fieldset.from_paths(("spec",), ("status", "certificate")),
    ("Namespace", "finalize"): fieldset.from_paths(("status",)),
}
"""What nobody comes to own at these endpoints, whatever their kinds reset."""
_RESIZED: Final = ("resources", "resizePolicy")
_CLAIMABLE: Final[dict[tuple[str, str], Node]] = {
    ("Pod", "ephemeralcontainers"): fieldset.from_paths(("spec", "ephemeralContainers")),
    ("Pod", "resize"): {
        "f:spec": {
            key: {fieldset.ANY: {f"f:{field}": fieldset.LEAF for field in _RESIZED}}
            for key in ("f:containers", "f:initContainers")
        }
    },
}
"""All that an apply to these endpoints can claim."""
_SCALE_REPLICAS: Final = fieldset.from_paths(("spec", "replicas"))


class Write(NamedTuple):
    """Who writes, when, and through which subresource."""

    manager: str
    now: datetime
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class _BuiltInVersions:
    """The versions of a built-in kind, whose schemas never change."""

    kind: str
    may_change: bool = False

    def convert(self, obj: Object, api_version: str) -> Object | None:
        to = self._gvk(api_version)
        return conversion.convert(obj, to) if schemas.has_schema(to) else None

    def schema(self, api_version: str) -> Schema | None:
        gvk = self._gvk(api_version)
        return schemas.schema_for(gvk) if schemas.has_schema(gvk) else None

    def _gvk(self, api_version: str) -> GVK:
        return GVK(*split_api_version(api_version), self.kind)


Converted = dict[tuple[bytes, str], Object]
"""What webhooks have made of objects, by their bytes and the version asked for."""


class Unconverted(Exception):
    """An object is needed at another version, which only a webhook can bring it to."""

    def __init__(self, obj: Object, api_version: str, key: tuple[bytes, str]) -> None:
        super().__init__(api_version)
        self.obj = obj
        self.api_version = api_version
        self.key = key


@dataclass(frozen=True, slots=True)
class _CustomVersions:
    """The versions of a custom kind. Without ``converted`` no webhook is asked: names of fields stay."""

    definition: Any
    converted: Converted | None = None
    may_change: bool = True

    def convert(self, obj: Object, api_version: str) -> Object | None:
        if self.schema(api_version) is None:
            return None
        if self.converted is None or obj.get("apiVersion") == api_version:
            return {**obj, "apiVersion": api_version}
        key = (orjson.dumps(obj, option=orjson.OPT_SORT_KEYS), api_version)
        if key not in self.converted:
            raise Unconverted(obj, api_version, key)
        return self.converted[key]

    def schema(self, api_version: str) -> Schema | None:
        found: Schema | None = self.definition.schema_at(api_version)
        return found


def _versions(resource: Resource, converted: Converted | None) -> Versions:
    if resource.definition is not None:
        return _CustomVersions(resource.definition, converted)
    return _built_in(resource.kind)


@lru_cache(maxsize=1024)
def _built_in(kind: str) -> Versions:
    return _BuiltInVersions(kind)


def _schema(resource: Resource) -> Schema:
    if resource.definition is not None:
        return resource.definition.schema  # type: ignore[no-any-return]
    return schemas.schema_for(resource.gvk)


def _reset(resource: Resource, subresource: str) -> Node:
    own = None if resource.custom else _OWN_RESETS.get((resource.kind, subresource))
    if own is not None:
        return own
    if subresource == "status":
        return _STATUS_RESETS if resource.custom else _status_resets(resource.storage)
    return reset_fields(subresource, has_status=resource.subresource("status") is not None)


@lru_cache(maxsize=256)
def _status_resets(gvk: GVK) -> Node:
    """Return what a write of the status leaves as it was, so that its writer does not own it."""
    kept = strategy_for(gvk).status_resets
    if kept == USERS_METADATA:
        return _STATUS_RESETS
    return fieldset.union(SPEC, fieldset.from_paths(*(("metadata", key) for key in kept))) if kept else SPEC


def manage_update(
    old: Object | None, new: Object, resource: Resource, write: Write, converted: Converted | None = None
) -> None:
    """Note in ``new`` which fields this write made its manager's. Both are in the storage version.

    Raises:
        Unconverted: ``converted`` is given, and has not what is needed. Nothing was changed.
    """
    seen = new
    if resource.gvk != resource.storage:  # what was written is judged as its writer sees it
        old = None if old is None else conversion.convert(old, resource.gvk)
        seen = conversion.convert(new, resource.gvk)
        seen = {**seen, "metadata": dict(seen["metadata"])}
    managedfields.update(
        old,
        seen,
        _schema(resource),
        manager=write.manager,
        api_version=resource.api_version,
        now=write.now,
        subresource=write.subresource,
        ignored=_reset(resource, write.subresource),
        versions=_versions(resource, converted),
    )
    if seen is not new:
        _set(new, entries.given(seen))


def _set(obj: Object, managed_fields: Any) -> None:
    if managed_fields:
        obj["metadata"]["managedFields"] = managed_fields
    else:
        obj["metadata"].pop("managedFields", None)


Settle: TypeAlias = Callable[[Object], object]


class Applied(NamedTuple):
    """What somebody applies, and the fields that they claim by it, empty ones among them."""

    object: Object
    fields: Node
    settle: Settle | None = None
    """Brings what it leads to into the kind's shape."""


def claimed(applied: Object, gvk: GVK, resource: Resource) -> Node:
    """Return the fields that an applied object claims, as it was written. Raises StatusError.

    It may have no field that its schema has not, whatever ``fieldValidation`` says: nobody can be the manager
    of such a field.
    """
    schema = _schema(resource) if gvk == resource.gvk else schemas.schema_for(gvk)
    return managedfields.claimed_fields(applied, schema)


def apply_managed(
    live: Object | None,
    applied: Applied,
    resource: Resource,
    write: Write,
    converted: Converted | None = None,
    *,
    force: bool,
) -> Object:
    """Return the result of a server-side apply.

    Raises:
        Conflict: naming the fields that others own.
        Unconverted: ``converted`` is given, and has not what is needed.
    """
    claimable = None if resource.custom else _CLAIMABLE.get((resource.kind, write.subresource))
    return managedfields.apply(
        live,
        applied.object,
        _schema(resource),
        fields=applied.fields if claimable is None else fieldset.below(applied.fields, claimable),
        settle=applied.settle,
        manager=write.manager,
        api_version=resource.api_version,
        now=write.now,
        force=force,
        subresource=write.subresource,
        ignored=_reset(resource, write.subresource),
        versions=_versions(resource, converted),
    )


def update_scale(live: Object, scale: Object, write: Write) -> Object:
    """Note in a written Scale whose its replicas are now; ``live`` is the Scale before."""
    return managedfields.update(
        live,
        scale,
        schemas.schema_for(SCALE),
        manager=write.manager,
        api_version=SCALE.api_version,
        now=write.now,
        subresource="scale",
        ignored=fieldset.EMPTY,
    )


def apply_scale(live: Object, applied: Applied, write: Write, *, force: bool) -> Object:
    """Return the Scale that an apply makes of the live one. Raises Conflict."""
    return managedfields.apply(
        live,
        applied.object,
        schemas.schema_for(SCALE),
        fields=applied.fields,
        settle=applied.settle,
        manager=write.manager,
        api_version=SCALE.api_version,
        now=write.now,
        force=force,
        subresource="scale",
        ignored=fieldset.EMPTY,
    )


def _replicas(resource: Resource, api_version: str) -> Node | None:
    """Return where a version keeps its replicas: empty without a Scale, None for a version that is gone."""
    paths = BUILT_IN
    if resource.definition is not None:
        if resource.definition.schema_at(api_version) is None:
            return None
        found = resource.definition.scale_paths_at(api_version)
        if found is None:
            return fieldset.EMPTY
        paths = found
    elif not schemas.has_schema(GVK(*split_api_version(api_version), resource.kind)):
        return None
    return fieldset.from_paths(tuple(paths.spec_replicas.split(".")))


def _at(manager: Manager, api_version: str) -> Manager:
    """Name a manager at another version; appliers are the same at all."""
    return manager._replace(api_version=api_version) if manager.api_version else manager


def scale_managers(obj: Object, resource: Resource) -> list[Object]:
    """Return the ``managedFields`` that the Scale of an object has: those who own its replicas."""
    shown: Managed = {}
    for manager, entry in entries.read(entries.given(obj), trusted=True).items():
        path = _replicas(resource, entry.api_version)
        if path and fieldset.intersection(entry.fields, path):
            shown[_at(manager, SCALE.api_version)] = Entry(_SCALE_REPLICAS, SCALE.api_version, entry.time)
    return entries.write(shown)


def object_managers(obj: Object, scale: Object, resource: Resource) -> list[Object]:
    """Return an object's ``managedFields`` after its Scale was written: who took the replicas owns them.

    Since when is not told of those who took them by the Scale, as upstream has it.
    """
    theirs = entries.read(entries.given(scale), trusted=True)
    managed: Managed = {}
    for manager, entry in entries.read(entries.given(obj), trusted=True).items():
        path = _replicas(resource, entry.api_version)
        if path is None:
            continue
        if (
            not path
            or not fieldset.intersection(entry.fields, path)
            or theirs.pop(_at(manager, SCALE.api_version), None) is not None
        ):
            managed[manager] = entry
        elif left := fieldset.difference(entry.fields, path):
            managed[manager] = entry._replace(fields=left)
    own = _replicas(resource, resource.api_version)
    for manager, entry in theirs.items():
        if own and fieldset.intersection(entry.fields, _SCALE_REPLICAS):
            managed[_at(manager, resource.api_version)] = Entry(own, resource.api_version, None)
    return entries.write(managed)
