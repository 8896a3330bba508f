"""The objects of a write in the versions that somebody outside wants to see, and back.

Owns: conversion (of custom objects by their definition's webhook), decoding and defaults around what
webhooks and policies change. Source: the "Dynamic Admission Control" page, "matchPolicy".
"""

from __future__ import annotations

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import BadRequest, InternalError, StatusError
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.resource import Resource
from tiphys.apimachinery.schema.structural import settle_numbers
from tiphys.apis.scale import apply_scale, scale_of
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.changed_kind import (
    check_custom_kind,
    check_typed_kind,
    is_custom_kind,
    typed_kind,
)
from tiphys.apiserver.evaluating import aside
from tiphys.apiserver.registry import machinery
from tiphys.apiserver.registry.ownership import SCALE


@dataclass(frozen=True, slots=True)
class Shown:
    """The objects of a write in the version of one row. Read-only."""

    row: Resource
    obj: Object | None
    old: Object | None


class Versions:
    """What a write looks like in each version that is asked for; every conversion is made once."""

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes
        self._shown: dict[GVK, Shown] = {}
        self._old: dict[GVK, Object | None] = {}
        self._later: Shown | None = None
        """What a patch made another kind or version of it, and is not yet what is written."""

    @property
    def obj(self) -> Object | None:
        """What the object is now, whatever kind that is."""
        return self._later.obj if self._later is not None else self._attributes.obj

    async def at(self, row: Resource) -> Shown:
        """Return the objects in the version of a row.

        Raises:
            InternalError: a definition's webhook does not convert them, or a patch made the object of another
                kind, and of that there is no such version.
        """
        if self._later is not None:
            if self._later.row.gvk == row.gvk:
                return self._later
            try:
                await self.settle()
            except StatusError as error:
                raise InternalError.of(InternalError.of(error.message).message) from error
        found = self._shown.get(row.gvk)
        if found is None:
            if row.gvk not in self._old:
                self._old[row.gvk] = await self._seen(self._attributes.old, row)
            obj = await self._seen(self._attributes.obj, row)
            found = self._shown[row.gvk] = Shown(row, obj, self._old[row.gvk])
        return found

    async def _seen(self, obj: Object | None, row: Resource) -> Object | None:
        if obj is not None and self._attributes.scales:
            return scale_of(obj, machinery.scale_paths(self._attributes.call.resource))
        if obj is not None and row.custom:
            return await _custom(self._attributes, obj, row)
        own = shown_kind(self._attributes, row)
        if obj is not None and own != row.gvk and self._attributes.operation == "CREATE":
            return machinery.shown_as(obj, own)
        return seen_as(obj, row)

    async def settle(self) -> None:
        """Make what a patch made of another kind or version what is written. Raises as ``take``."""
        if self._later is not None and self._later.obj is not None:
            await self.take(self._later.obj, self._later.row)

    async def take_later(self, changed: Object, row: Resource) -> bool:
        """As ``take``; but an object of another kind or version stays that until ``settle``.

        Raises:
            BadRequest, InternalError: as ``take``.
        """
        self._complete(changed)
        was, own = self._later, shown_kind(self._attributes, row)
        if row.custom and own == row.gvk:
            fits = is_custom_kind(changed, row)
        else:
            table = self._attributes.call.backend.table
            found = typed_kind(changed, own, table)
            changed |= {"kind": found.kind, "apiVersion": found.api_version}
            fits = found == own
            if not fits and (foreign := table.by_kind(found)) is not None:
                machinery.decode_in_place(changed, found, foreign)
                machinery.strategy_for(foreign).default(changed)
        if fits:
            return await self.take(changed, row) or was is not None
        before = await self.at(row)
        self._later = Shown(row, changed, before.old)
        return changed != before.obj

    async def take(self, changed: Object, row: Resource, *, strict: bool = False) -> bool:
        """Make the object what ``changed`` says, in the version of ``row``. Tells whether it differs.

        ``changed`` is the caller's own. What it left open gets defaults, and what is not in the schema goes.

        Raises:
            BadRequest: a value has the wrong type; where ``strict``, also for what is not in the schema.
            InternalError: a definition's webhook does not convert it back; nobody knows its kind.
            NotConvertible, Invalid: it is of another kind.
        """
        obj, resource = self._attributes.obj, self._attributes.call.resource
        assert obj is not None
        self._complete(changed)
        self._later = None
        table, own = self._attributes.call.backend.table, shown_kind(self._attributes, row)
        if row.custom and own == row.gvk:
            check_custom_kind(changed, row, self._attributes.name, table)
            found, changed = own, await _custom(self._attributes, changed, row)
        else:
            found = typed_kind(changed, own, table)
            check_typed_kind(found, own, table)
            changed |= {"kind": found.kind, "apiVersion": found.api_version}
        if self._attributes.scales:
            return self._take_scale(obj, changed)
        if own != row.gvk:  # of a subresource: it has no versions, and nobody stores it
            if self._attributes.operation != "CONNECT":
                machinery.decode_in_place(changed, own)
            return self._replace(obj, changed)
        size = self._attributes.call.size
        unknown = await aside(size, _decode, changed, found, row)
        if strict and unknown and not row.custom:
            raise BadRequest(f"strict decoding error: {', '.join(unknown)}")
        if not row.custom:
            after = await aside(size, machinery.convert, changed, resource.storage)
        elif row.gvk == resource.gvk:
            after = changed
        else:
            await aside(size, machinery.strategy_for(row).default, changed)
            after = await _custom(self._attributes, changed, resource)
            await aside(size, machinery.decode_in_place, after, resource.gvk, resource)
        await aside(size, machinery.strategy_for(resource).default, after)
        return self._replace(obj, after)

    def _complete(self, changed: Object) -> None:
        """Put back the metadata that a patch took away: in Go there is always some, if only empty."""
        if self._attributes.operation != "CONNECT" and changed.get("metadata") is None:
            changed["metadata"] = {}

    def _take_scale(self, obj: Object, scale: Object) -> bool:
        """Bring the object's replicas to those of a Scale."""
        machinery.decode_in_place(scale, SCALE)
        return self._replace(
            obj, apply_scale(obj, scale, machinery.scale_paths(self._attributes.call.resource))
        )

    def _replace(self, obj: Object, after: Object) -> bool:
        if after == obj:
            return False
        obj.clear()
        obj.update(after)
        self._shown.clear()
        return True


def shown_kind(attributes: Attributes, row: Resource) -> GVK:
    """Return of which kind the objects are, in the version of a row; subresources may have their own."""
    sub = row.subresource(attributes.subresource) if attributes.subresource else None
    if sub is not None and (attributes.scales or attributes.operation in ("CONNECT", "CREATE")):
        return sub.kind
    return row.gvk


def _decode(changed: Object, found: GVK, row: Resource) -> list[str]:
    """Bring a patched object into the form of its kind, in place; return what is not in its schema."""
    if row.custom:
        settle_numbers(changed)  # a patch is read and written by Go on its way
    return machinery.decode_in_place(changed, found, row)


async def _custom(attributes: Attributes, obj: Object, row: Resource) -> Object:
    if obj.get("apiVersion") == row.api_version or obj.get("kind") != row.kind:
        return obj
    backend = attributes.call.backend.custom or attributes.call.backend
    return await backend.store.at(obj, row.definition, row.gvk)  # type: ignore[attr-defined, no-any-return]


def seen_as(obj: Object | None, row: Resource) -> Object | None:
    """Return a built-in object in the version of a row; others and CONNECT's options stay as they are."""
    if obj is None or row.custom or obj.get("kind") != row.kind:
        return obj
    return machinery.convert(obj, row.gvk)
