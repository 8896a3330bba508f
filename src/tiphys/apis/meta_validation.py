"""What every object's ``metadata`` must keep to, on create and on update.

The server calls it (through ``apis.strategies``) for all kinds alike; a kind says only what its names are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    Struct,
    forbidden,
    immutable,
    invalid,
    invalid_all,
    render,
    required,
    too_long,
)
from tiphys.apimachinery.meta import Object, split_api_version

ANNOTATIONS_MAX_BYTES = 256 * 1024
MANAGER_MAX_BYTES = 128
_SUBRESOURCE_MAX = 256
_MOST_TOLD_CHARS = 1_000_000
"""Of references that control beside another; no more of them are told then."""

_FOREGROUND = "foregroundDeletion"
_ORPHAN = "orphan"
_STANDARD_FINALIZERS = frozenset({"kubernetes", _ORPHAN, _FOREGROUND})

NameCheck = Callable[[str], list[str]]


def mask_trailing_dash(name: str) -> str:
    """Let a name prefix end in a dash, since random characters will follow."""
    return name[:-2] + "a" if len(name) > 1 and name.endswith("-") else name


def validate_meta(
    obj: Object, *, namespaced: bool, validate_name: NameCheck | None = None, path: str = "metadata"
) -> list[FieldError]:
    """Return every fault of a new object's metadata."""
    meta = obj.get("metadata") or {}
    check = validate_name or names.is_dns1123_subdomain
    faults: list[FieldError] = []
    prefix = meta.get("generateName")
    if prefix:
        faults += invalid_all(f"{path}.generateName", prefix, check(mask_trailing_dash(prefix)))
    name = meta.get("name")
    if not name:
        faults.append(required(f"{path}.name", "name or generateName is required"))
    elif texts := check(name):
        faults += invalid_all(f"{path}.name", name, texts)
    faults += _validate_namespace(meta.get("namespace") or "", path, namespaced=namespaced)
    if (meta.get("generation") or 0) < 0:
        faults.append(invalid(f"{path}.generation", meta["generation"], "must be greater than or equal to 0"))
    return faults + _validate_common(meta, path)


def named_faults(meta: Object, check: NameCheck) -> list[FieldError]:
    """Return the faults of a name, and of what one is generated from, where the rest of an object says what
    it has to be."""
    return [
        fault
        for key in ("generateName", "name")
        if (given := meta.get(key))
        for fault in invalid_all(f"metadata.{key}", given, check(given))
    ]


def _validate_namespace(namespace: str, path: str, *, namespaced: bool) -> list[FieldError]:
    if not namespaced:
        return [forbidden(f"{path}.namespace", "not allowed on this type")] if namespace else []
    if not namespace:
        return [required(f"{path}.namespace")]
    texts = names.is_dns1123_label(namespace)
    return invalid_all(f"{path}.namespace", namespace, texts) if texts else []


def _validate_common(meta: Object, path: str, *, finalizers: bool = True) -> list[FieldError]:
    faults: list[FieldError] = []
    if labels := meta.get("labels"):
        faults += validate_labels(labels, f"{path}.labels")
    if annotations := meta.get("annotations"):
        faults += validate_annotations(annotations, f"{path}.annotations")
    if owners := meta.get("ownerReferences"):
        faults += validate_owner_references(owners, f"{path}.ownerReferences")
    if finalizers and (given := meta.get("finalizers")):
        faults += validate_finalizers(given, f"{path}.finalizers")
    for index, entry in enumerate(meta.get("managedFields") or ()):
        faults += validate_manager(entry.get("manager") or "", f"{path}.managedFields[{index}].manager")
        if len(entry.get("subresource") or "") > _SUBRESOURCE_MAX:
            faults.append(too_long(f"{path}.managedFields[{index}].subresource", _SUBRESOURCE_MAX))
    return faults


def validate_manager(manager: str, path: str) -> list[FieldError]:
    """Return every fault of a field manager's name; what cannot be shown is told with its place in bytes."""
    faults = [too_long(path, MANAGER_MAX_BYTES)] if len(manager.encode()) > MANAGER_MAX_BYTES else []
    if not manager.isprintable():
        faults += [
            invalid(path, manager, f"invalid character U+{ord(char):04X} (at position {at})")
            for at, char in _bytewise(manager)
            if not char.isprintable()
        ]
    return faults


def _bytewise(text: str) -> Iterator[tuple[int, str]]:
    return ((len(text[:index].encode()), char) for index, char in enumerate(text))


def validate_labels(labels: Object, path: str) -> list[FieldError]:
    """Return every fault of a label map."""
    faults: list[FieldError] = []
    for key, value in labels.items():
        if texts := names.is_qualified_name(key):
            faults += invalid_all(path, key, texts)
        if texts := names.is_label_value(str(value or "")):
            faults += invalid_all(path, value, texts)
    return faults


def validate_annotations(annotations: Object, path: str) -> list[FieldError]:
    """Return every fault of an annotation map: keys, and the size of it all."""
    faults: list[FieldError] = []
    size = 0
    for key, value in annotations.items():
        if texts := names.is_qualified_name(key.lower()):
            faults += invalid_all(path, key, texts)
        size += len(key.encode()) + len(str(value or "").encode())
    if size > ANNOTATIONS_MAX_BYTES:
        faults.append(too_long(path, ANNOTATIONS_MAX_BYTES))
    return faults


def validate_owner_references(references: list[Any], path: str) -> list[FieldError]:
    """Return every fault of the owner references; at most one owner controls.

    Each that controls besides is told with all references there are: of a great many only some are told, lest
    what a request is refused with grows with the square of what it sent.
    """
    faults: list[FieldError] = []
    controller: str | None = None
    told_chars = 0
    for reference in references:
        api_version = reference.get("apiVersion") or ""
        if not split_api_version(api_version)[1] or api_version.count("/") > 1:
            faults.append(invalid(f"{path}.apiVersion", api_version, "version must not be empty"))
        faults += [
            invalid(f"{path}.{key}", "", "must not be empty")
            for key in ("kind", "name", "uid")
            if not reference.get(key)
        ]
        if api_version in ("v1", "/v1") and reference.get("kind") == "Event":
            faults.append(
                invalid(path, _shown_owner(reference), "/v1, Kind=Event is disallowed from being an owner")
            )
        if reference.get("controller"):
            own = f"{reference.get('kind') or ''}/{reference.get('name') or ''}"
            if controller is not None and told_chars < _MOST_TOLD_CHARS:
                text = (
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {own}"
                )
                faults.append(invalid(path, [*map(_shown_owner, references)], text))
                told_chars += len(faults[-1].detail)
            elif controller is None:
                controller = own
    return faults


def _shown_owner(reference: Object) -> Struct:
    keys = ("apiVersion", "kind", "name", "uid")
    shown = Struct({key: reference.get(key) or "" for key in keys})
    given = [key for key in ("controller", "blockOwnerDeletion") if reference.get(key) is not None]
    return Struct({**shown, **{key: reference[key] for key in given}})


def validate_finalizers(finalizers: Iterable[str], path: str) -> list[FieldError]:
    """Return every fault of the finalizers, whatever they are of."""
    finalizers = list(finalizers)
    faults = [fault for one in finalizers for fault in invalid_all(path, one, names.is_qualified_name(one))]
    if _FOREGROUND in finalizers and _ORPHAN in finalizers:
        text = f"finalizer {_ORPHAN} and {_FOREGROUND} cannot be both set"
        faults.append(invalid(path, finalizers, text))
    return faults


def standard_finalizers(obj: Object, path: str = "metadata.finalizers") -> list[FieldError]:
    """Return the faults of finalizers that name no domain and are none of the standard ones."""
    text = "name is neither a standard finalizer name nor is it fully qualified"
    return [
        invalid(f"{path}[{index}]", finalizer, text)
        for index, finalizer in enumerate((obj.get("metadata") or {}).get("finalizers") or ())
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS
    ]


def validate_meta_update(
    new: Object, old: Object, *, namespaced: bool, path: str = "metadata"
) -> list[FieldError]:
    """Return every fault of the metadata that would replace ``old``'s: as of any object, then as changed."""
    meta, before = new.get("metadata") or {}, old.get("metadata") or {}
    prefix, faults = meta.get("generateName"), _validate_common(meta, path)
    again = _validate_common(meta, path, finalizers=False) if faults else faults
    if prefix and prefix != before.get("generateName"):
        texts = names.is_path_segment_name(mask_trailing_dash(prefix))
        faults = invalid_all(f"{path}.generateName", prefix, texts) + faults
    return faults + _must_stay(meta, before, path, namespaced=namespaced) + again


def validate_meta_change(
    new: Object, old: Object, *, namespaced: bool, path: str = "metadata"
) -> list[FieldError]:
    """Return every fault of metadata as changed: what must stay; names and finalizers are not read anew."""
    meta, before = new.get("metadata") or {}, old.get("metadata") or {}
    faults = _must_stay(meta, before, path, namespaced=namespaced)
    return faults + _validate_common(meta, path, finalizers=False)


def _must_stay(meta: Object, before: Object, path: str, *, namespaced: bool) -> list[FieldError]:
    faults: list[FieldError] = []
    if before.get("deletionTimestamp"):
        faults += _no_new_finalizers(meta, before, f"{path}.finalizers")
    if not meta.get("resourceVersion"):
        faults.append(invalid(f"{path}.resourceVersion", "", "must be specified for an update"))
    if (meta.get("generation") or 0) < (before.get("generation") or 0):
        faults.append(invalid(f"{path}.generation", meta.get("generation") or 0, "must not be decremented"))
    for key in ("name", "namespace", "uid", "creationTimestamp"):
        if key == "namespace" and not namespaced:
            continue
        faults += immutable(f"{path}.{key}", meta.get(key) or "", before.get(key) or "")
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        faults += immutable(f"{path}.{key}", meta.get(key), before.get(key))
    return faults


def _no_new_finalizers(meta: Object, before: Object, path: str) -> list[FieldError]:
    added = sorted(set(meta.get("finalizers") or ()) - set(before.get("finalizers") or ()))
    if not added:
        return []
    shown = ", ".join(json.dumps(name) for name in added)
    text = (
        "no new finalizers can be added if the object is being deleted, found new finalizers "
        f"[]string{{{shown}}}"
    )
    return [forbidden(path, text)]


def finalizer_warnings(obj: Object, old: Object | None) -> list[str]:
    """Return the warnings about finalizers that a write to a custom resource adds."""
    had = ((old or {}).get("metadata") or {}).get("finalizers") or ()
    found: list[str] = []
    for finalizer in sorted(set((obj.get("metadata") or {}).get("finalizers") or ()) - set(had)):
        at = f"metadata.finalizers: {render(finalizer)}: "
        found += [at + text for text in names.is_qualified_name(finalizer)]
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            found.append(
                f"{at}prefer a domain-qualified finalizer name including a path (/) to avoid accidental "
                "conflicts with other finalizer writers"
            )
    return found
