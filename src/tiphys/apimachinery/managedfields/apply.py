"""Server-side apply: an object says what its manager wants, the server merges it and keeps the accounts.

Owns: the merge of live and applied, conflicts, the removal of what is no longer applied. Refuses: defaulting,
admission and storing. Called by the PATCH handler.

Source: KEP-555, server-side apply.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeAlias

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import BadRequest, Conflict, StatusError
from tiphys.apimachinery.go_text import without_markup
from tiphys.apimachinery.managedfields import entries, fieldset
from tiphys.apimachinery.managedfields.compare import (
    UNOWNED,
    Difference,
    applied_fields,
    difference_of,
    fields_of,
    named_members,
)
from tiphys.apimachinery.managedfields.entries import APPLY, UPDATE, Entry, Managed, Manager
from tiphys.apimachinery.managedfields.fieldset import FieldsError, Node
from tiphys.apimachinery.managedfields.merging import merged, without_fields
from tiphys.apimachinery.managedfields.structure import Shape, root_shape
from tiphys.apimachinery.managedfields.update import followed, lost_at, reset_fields
from tiphys.apimachinery.managedfields.versions import Comparison, Versions, reconciled
from tiphys.apimachinery.meta import Object, copy_object, split_api_version
from tiphys.apimachinery.schema.node import Schema

BEFORE_FIRST_APPLY: Final = "before-first-apply"
Settle: TypeAlias = Callable[[Object], object]
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL = "kubectl"
_ANNOTATIONS_MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Request:
    """One apply, apart from the live object."""

    applied: Object
    schema: Schema | None
    shape: Shape
    who: Manager
    api_version: str
    fields: Node
    ignored: Node
    time: str
    versions: Versions | None
    settle: Settle | None

    def at(self, obj: Object, api_version: str) -> Object | None:
        """Return an object of the request's version at another one, None when that is served no more."""
        if self.versions is None or obj.get("apiVersion") == api_version:
            return obj
        return self.versions.convert(obj, api_version)

    def shape_at(self, api_version: str) -> Shape:
        if self.versions is None or api_version == self.api_version:
            return self.shape
        return root_shape(self.versions.schema(api_version))


@dataclass(frozen=True, slots=True)
class _Conflict:
    manager: Manager
    fields: Node


def apply(
    live: Object | None,
    applied: Object,
    schema: Schema | None,
    *,
    manager: str,
    api_version: str,
    now: datetime,
    force: bool = False,
    subresource: str = "",
    fields: Node | None = None,
    ignored: Node | None = None,
    versions: Versions | None = None,
    settle: Settle | None = None,
) -> Object:
    """Return the object that results, with its managedFields; the arguments are not changed.

    ``fields`` are those that the manager claims, where ``applied`` has no longer all that was written (a null
    is not kept, and is somebody's all the same). None: those of ``applied``. ``settle`` brings what results
    into its kind's shape, in place: what means nothing (``""``, ``[]``) replaces what was there, and is not
    kept itself.

    ``live`` is None when the object does not exist. An apply that changes nothing gives back an object
    equal to ``live``. ``ignored`` is the set of fields that the endpoint resets; None takes
    ``reset_fields(subresource)``. ``versions`` None: all sets are of one version.

    Raises:
        BadRequest: the version is not ``api_version``, or managedFields are set.
        Conflict: others own fields that would change; ``details.causes`` names each.
        StatusError: 500, as upstream answers: a field is not in the schema, or a list's items have no names.
    """
    _check_applied(applied, api_version)
    request = _Request(
        applied=applied,
        schema=schema,
        shape=root_shape(schema),
        who=entries.identity(manager, APPLY, api_version, subresource),
        api_version=api_version,
        fields=claimed_fields(applied, schema) if fields is None else fields,
        ignored=reset_fields(subresource) if ignored is None else ignored,
        time=entries.stamp(now),
        versions=versions,
        settle=settle,
    )
    base = _bare(live) if live is not None else _new_object(applied)
    try:
        managed = _managers(live, base, request)
        result, managed = _applied_or_upgraded(base, managed, request, force=force)
    except FieldsError as error:
        why = _misfits(base, schema) or error
        raise StatusError(f"failed to create typed live object ({described_object(base)}): {why}") from error
    if manager == _KUBECTL:
        _renew_last_applied(result, applied)
    entries.put(result, managed)
    return result


def _check_applied(applied: Object, api_version: str) -> None:
    if entries.given(applied) is not None:
        raise BadRequest("metadata.managedFields must be nil")
    if applied.get("apiVersion") != api_version:
        raise BadRequest(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {applied.get('apiVersion')}, expected: {api_version}"
        )


def _misfits(live: Object, schema: Schema | None) -> str:
    """Return all that does not fit the schema, each with its path; nothing where another version is meant."""
    try:
        applied_fields(live, schema)
    except FieldsError as error:
        return str(error)
    return ""


def claimed_fields(applied: Object, schema: Schema | None) -> Node:
    """Return the fields that an applied object claims. Raises StatusError for what the schema has not."""
    try:
        return applied_fields(applied, schema)
    except FieldsError as error:
        described = described_object(applied)
        raise StatusError(f"failed to create typed patch object ({described}): {error}") from error


def described_object(obj: Object) -> str:
    """Return an object's name and kind as the API's faults of apply show them."""
    metadata = obj.get("metadata") or {}
    metadata = metadata if isinstance(metadata, dict) else {}
    version = obj.get("apiVersion", "")
    group, plain = split_api_version(version)
    kind = f"{group}/{plain}, Kind={obj.get('kind', '')}"
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {kind}"


def _bare(live: Object) -> Object:
    """Return the live object without managedFields, sharing the rest."""
    metadata = {key: value for key, value in (live.get("metadata") or {}).items() if key != "managedFields"}
    return {**live, "metadata": metadata}


def _new_object(applied: Object) -> Object:
    return {"apiVersion": applied.get("apiVersion"), "kind": applied.get("kind")}


def _managers(live: Object | None, base: Object, request: _Request) -> Managed:
    """Read the managers; an object that has none is put to the account of one from before."""
    managed = reconciled(entries.read(entries.given(live), trusted=True), request.versions, live)
    if managed or live is None:
        return managed
    difference = difference_of({}, base, request.schema)
    changed = fieldset.union(difference.added, difference.modified)
    changed = fieldset.ordered(fieldset.without(changed, request.ignored))
    who = entries.identity(BEFORE_FIRST_APPLY, UPDATE, request.api_version, request.who.subresource)
    compared = Comparison({}, base, difference, request.api_version, None)
    return followed({}, compared, changed, who, Entry(changed, request.api_version, request.time))


def _applied_or_upgraded(
    base: Object, managed: Managed, request: _Request, *, force: bool
) -> tuple[Object, Managed]:
    """Apply; kubectl may take what its own client-side apply wrote, without force."""
    result, after, conflicts = _merge(base, managed, request)
    if not conflicts or force:
        return result, after
    if request.who.name == _KUBECTL:
        allowed = _last_applied_fields(base, request)
        if allowed is not None:
            conflicts = [
                _Conflict(conflict.manager, left)
                for conflict in conflicts
                if (left := fieldset.difference(conflict.fields, allowed))
            ]
            if not conflicts:
                return result, after
    raise _conflict_error(conflicts)


def _merge(base: Object, managed: Managed, request: _Request) -> tuple[Object, Managed, list[_Conflict]]:
    """Return the merged object, the managers once it is stored, and whom that would rob."""
    last = managed.get(request.who)
    claimed = fieldset.without(request.fields, request.ignored)
    managed = {**managed, request.who: Entry(claimed, request.api_version, last.time if last else None)}
    result = merged(base, request.applied, request.shape)
    if last is not None and last.fields:
        result = _pruned(result, managed, last, request)
    difference = difference_of(base, result, request.schema)
    if request.settle is not None:
        request.settle(result)
        difference = _settled(difference, difference_of(base, result, request.schema))
    compared = Comparison(base, result, difference, request.api_version, request.versions)
    lost = lost_at(compared, request.ignored)
    conflicts = []
    for other in sorted(managed):
        found = None if other == request.who else lost(managed[other].api_version)
        robbed = fieldset.EMPTY if found is None else fieldset.intersection(managed[other].fields, found[0])
        if robbed:
            conflicts.append(_Conflict(other, robbed))
    after = entries.take(managed, lost, spare=request.who)
    owned = fieldset.difference(claimed, UNOWNED)
    same = result == base
    time = (last.time if last else None) if same else request.time
    if owned:
        after[request.who] = Entry(fieldset.ordered(owned), request.api_version, time)
    else:
        after.pop(request.who, None)
    return result, after, conflicts


def _settled(said: Difference, left: Difference) -> Difference:
    """Return what an apply changes: a value that nothing has replaced is modified, not removed."""
    replaced = fieldset.intersection(said.modified, left.removed)
    if not replaced:
        return left
    return Difference(
        left.added, fieldset.difference(left.removed, replaced), fieldset.union(left.modified, replaced)
    )


def _pruned(result: Object, managed: Managed, last: Entry, request: _Request) -> Object:
    """Take out what the manager applied last time, does not now, and no other holds."""
    whole = request.at(result, last.api_version)
    if whole is None:
        return result
    shape = request.shape_at(last.api_version)
    last_named = named_members(last.fields, shape)
    pruned: Object = without_fields(whole, last_named, shape) or _new_object(whole)
    held: dict[str, Node] = {}
    for entry in managed.values():
        so_far = held.get(entry.api_version, fieldset.EMPTY)
        held[entry.api_version] = fieldset.union(so_far, entry.fields)
    # At the version that was pruned first: what others hold may be needed to convert at all.
    for version in sorted(held, key=lambda version: (version != last.api_version, version)):
        pruned = _with_owned(result, pruned, held[version], request, version)
    pruned = request.at(pruned, last.api_version) or {}
    everything = named_members(fields_of(whole, shape), shape)
    left = named_members(fields_of(pruned, shape), shape)
    gone = fieldset.intersection(fieldset.difference(everything, left), last_named)
    kept: Object = without_fields(whole, gone, shape) or _new_object(whole)
    return request.at(kept, request.api_version) or result


def _with_owned(result: Object, pruned: Object, held: Node, request: _Request, version: str) -> Object:
    """Put back into ``pruned`` what managers hold at a version; what is served no more changes nothing."""
    whole, less = request.at(result, version), request.at(pruned, version)
    if whole is None or less is None:
        return pruned
    shape = request.shape_at(version)
    everything = named_members(fields_of(whole, shape), shape)
    keep = fieldset.union(named_members(fields_of(less, shape), shape), named_members(held, shape))
    return without_fields(whole, fieldset.difference(everything, keep), shape) or _new_object(whole)


def _last_applied_fields(base: Object, request: _Request) -> Node | None:
    """Return what the last-applied annotation holds unchanged, which is kubectl's own; None without one."""
    text = ((base.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return None
    try:
        last: Any = orjson.loads(text)
        if not isinstance(last, dict) or last.get("apiVersion") != request.api_version:
            return None
        fields = applied_fields(last, request.schema)
        difference = difference_of(last, base, request.schema)
    except (orjson.JSONDecodeError, FieldsError):
        return None
    for changed in difference:
        fields = fieldset.difference(fields, changed)
    return fields


def _renew_last_applied(result: Object, applied: Object) -> None:
    """Keep the client-side apply annotation in step where an object has one."""
    annotations = (result.get("metadata") or {}).get("annotations")
    if not annotations or not annotations.get(LAST_APPLIED):
        return
    record = copy_object(applied)
    own = (record.get("metadata") or {}).get("annotations")
    if own is not None:
        own.pop(LAST_APPLIED, None)
    text = without_markup(orjson.dumps(record, option=orjson.OPT_SORT_KEYS)).decode() + "\n"
    annotations[LAST_APPLIED] = text
    if (
        sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
        > _ANNOTATIONS_MAX_BYTES
    ):
        del annotations[LAST_APPLIED]


def _conflict_error(conflicts: list[_Conflict]) -> Conflict:
    found = [(conflict.manager, path) for conflict in conflicts for path in fieldset.paths(conflict.fields)]
    if len(found) == 1:
        manager, path = found[0]
        message = f"Apply failed with 1 conflict: conflict with {manager}: {path}"
    else:
        lines = []
        for conflict in conflicts:
            lines.append(f"conflicts with {conflict.manager}:")
            lines.extend(f"- {path}" for path in fieldset.paths(conflict.fields))
        message = f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, path in found
    ]
    return Conflict(message, details={"causes": causes})
