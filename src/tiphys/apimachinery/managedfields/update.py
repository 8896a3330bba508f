"""Following creates, updates and patches: the writer comes to own what it changed.

Owns: that bookkeeping. Refuses: changing anything but ``metadata.managedFields``. Called by every write.

Source: KEP-555, server-side apply.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import orjson

from tiphys.apimachinery.managedfields import entries, fieldset
from tiphys.apimachinery.managedfields.compare import created_fields, difference_of
from tiphys.apimachinery.managedfields.entries import UPDATE, Entry, Managed
from tiphys.apimachinery.managedfields.fieldset import FieldsError, Node
from tiphys.apimachinery.managedfields.versions import Comparison, Versions, reconciled
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.schema.node import Schema

STATUS: Final = fieldset.from_paths(("status",))
SPEC: Final = fieldset.from_paths(("spec",))
_INTERNED_MAX = 2048
_interned: dict[bytes, Node] = {}


def reset_fields(subresource: str, *, has_status: bool = True) -> Node:
    """Return what a write to this endpoint cannot change, so does not own.

    ``has_status`` False: the kind has no status subresource, its status is like any field.
    """
    if not has_status:
        return fieldset.EMPTY
    if subresource == "status":
        return SPEC
    return STATUS if not subresource else fieldset.EMPTY


def update(
    live: Object | None,
    new: Object,
    schema: Schema | None,
    *,
    manager: str,
    api_version: str,
    now: datetime,
    subresource: str = "",
    operation: str = UPDATE,
    ignored: Node | None = None,
    versions: Versions | None = None,
) -> Object:
    """Set ``metadata.managedFields`` of ``new``, which is the caller's own, and return it.

    ``live`` is None for a create. All three are at ``api_version``. ``ignored`` is the set of fields that the
    endpoint resets; None takes ``reset_fields(subresource)``. ``versions`` None: all sets are of one version.
    A request whose managedFields are ``[]`` or ``[{}]`` forgets all managers; an existing object without
    managers stays so until something is applied to it. An object whose lists cannot be told apart keeps the
    live managers.
    """
    # A subresource cannot set managers.
    asked = None if subresource and live is not None else entries.given(new)
    metadata = new.setdefault("metadata", {})
    kept = entries.given(live)
    if ignored is None:
        ignored = reset_fields(subresource)
    who, time = entries.identity(manager, operation, api_version, subresource), entries.stamp(now)
    try:
        if live is None and asked is None:
            # Objects of one shape, a ReplicaSet's pods say, own one set together.
            changed = _shared(fieldset.without(created_fields(new, schema), ignored))
            entries.put(new, {who: Entry(changed, api_version, time)} if changed else {})
            return new
        difference = difference_of(live or {}, new, schema)
        if difference.empty and (asked is None or asked == kept):
            _keep(metadata, kept)
            return new
        managed = reconciled(_managers(kept, asked), versions, live)
        if managed or live is None:
            changed = fieldset.without(fieldset.union(difference.added, difference.modified), ignored)
            managed = followed(
                managed,
                Comparison(live or {}, new, difference, api_version, versions),
                changed,
                who,
                Entry(changed, api_version, time),
            )
    except FieldsError:
        _keep(metadata, kept)
        return new
    entries.put(new, managed)
    return new


def _keep(metadata: Object, kept: Any) -> None:
    if kept:
        metadata["managedFields"] = kept
    else:
        metadata.pop("managedFields", None)


def _managers(kept: Any, asked: Any) -> Managed:
    """Read the managers that the request names, or else those that the live object has."""
    if asked is not None and asked != kept:  # as they are, they were stored by us
        if entries.is_reset(asked):
            return {}
        try:
            managed = entries.read(asked)
        except FieldsError:
            managed = {}
        if managed:
            return managed
    try:
        return entries.read(kept, trusted=True)
    except FieldsError:
        return {}


def _shared(node: Node) -> Node:
    """Return the one node that stands for all equal ones, in order."""
    text = orjson.dumps(node)
    found = _interned.get(text)
    if found is None:
        if len(_interned) >= _INTERNED_MAX:
            _interned.clear()
        found = _interned[text] = fieldset.ordered(node)
    return found


def lost_at(comparison: Comparison, ignored: Node = fieldset.EMPTY) -> entries.Lost:
    """Return what others lose by a write, at any version; of what the endpoint resets, nothing."""
    found: dict[str, tuple[Node, Node] | None] = {}

    def lost(api_version: str) -> tuple[Node, Node] | None:
        if api_version not in found:
            difference = comparison.at(api_version)
            found[api_version] = (
                None
                if difference is None
                else (
                    fieldset.without(fieldset.union(difference.added, difference.modified), ignored),
                    fieldset.without(difference.removed, ignored),
                )
            )
        return found[api_version]

    return lost


def followed(
    managed: Managed, comparison: Comparison, changed: Node, who: entries.Manager, entry: Entry
) -> Managed:
    """Return the managers after ``who`` changed an object: fields move to it, those gone leave all."""
    own = comparison.at(entry.api_version)
    lost, before = lost_at(comparison), managed.get(who)
    if own is None or own.empty:  # what owns nothing, or only in versions that are no more, goes all the same
        return entries.cap_updaters(entries.take(managed, lost))
    same = before is not None and changed and lost(entry.api_version) == (changed, {})
    if before is not None and same and fieldset.covers(before.fields, changed):
        # It changed again what is its own: its set stays as it is.
        result = entries.take(managed, lost, spare=who)
        result[who] = entry._replace(fields=before.fields)
        return entries.cap_updaters(result)
    result = entries.take(managed, lost)
    if changed:
        before = result.get(who)
        both = changed if before is None else fieldset.union(changed, before.fields)
        result[who] = entry._replace(fields=fieldset.ordered(both))
    return entries.cap_updaters(result)
