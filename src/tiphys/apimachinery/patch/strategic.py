"""Strategic merge patch: a merge that knows from the schema which lists to merge, and by which key.

Owns: the merge and its directives (``$patch``, ``$setElementOrder``,
``$deleteFromPrimitiveList``, ``$retainKeys``). Refuses: making patches, kinds without a schema. Called by
the PATCH handler with decoded JSON.

Where an item of a merged list lands: items that the patch names come in the patch's order, the others keep
theirs; two items whose old order is known stay in it, otherwise the patch's item goes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, cast

from tiphys.apimachinery.errors import BadRequest, Invalid, StatusError
from tiphys.apimachinery.go_text import plain, type_name
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apimachinery.schema.node import Schema

_PATCH = "$patch"
_RETAIN_KEYS = "$retainKeys"
_DELETE_FROM = "$deleteFromPrimitiveList/"
_SET_ORDER = "$setElementOrder/"


def apply(obj: Object, patch: Any, schema: Schema) -> Object:
    """Return ``obj`` with ``patch`` merged in as ``schema`` says; neither is changed.

    What the patch does not reach is the very same in both: whoever changes the result copies it first.

    Raises:
        BadRequest: a directive is malformed, or the patch has fields that its ``$retainKeys`` leaves out.
        Invalid: an item of a merged list is a list.
        StatusError: 500, as upstream answers, for a list item without its merge key or an unknown directive.

    Source: API conventions, strategic merge patch.
    """
    if not isinstance(patch, dict):
        raise BadRequest("Invalid JSON Patch")
    return _merge_map(_opened(obj, patch), copy_object(patch), schema)


def _opened(obj: Object, patch: Object) -> Object:
    """Return a copy of ``obj`` as deep as a patch reaches; a directive may reach anything beside it."""
    if any(key.startswith("$") for key in patch):
        return cast(Object, copy_object(obj))
    made = dict(obj)
    for key, value in patch.items():
        current = made.get(key)
        if isinstance(current, dict) and isinstance(value, dict):
            made[key] = _opened(current, value)
        elif isinstance(current, (dict, list)):
            made[key] = copy_object(current)
    return made


def _merge_map(original: Object, patch: Object, schema: Schema | None) -> Object:
    """Merge in place; both arguments belong to this run."""
    directed = "$" in "".join(patch)  # one look at all keys: few patches have directives
    if directed:
        if _PATCH in patch:
            return _whole_map(patch)
        _retain_keys(original, patch)
        for key in [key for key in patch if key.startswith(_SET_ORDER)]:
            _merge_ordered(original, patch, key, schema)
    for key, value in patch.items():
        if directed and key.startswith(_DELETE_FROM):
            _delete_primitives(original, key, value)
        elif value is None:
            original.pop(key, None)
        elif type(original.get(key)) is not type(value):
            original[key] = _new_value(value)
        elif isinstance(value, dict):
            child = _child(schema, key)
            replace = child is not None and "replace" in child.patch_strategies
            original[key] = value if replace else _merge_map(original[key], value, child)
        elif isinstance(value, list):
            original[key] = _merge_list(original[key], value, _child(schema, key))
        else:
            original[key] = value
    return original


def _whole_map(patch: Object) -> Object:
    directive = patch.pop(_PATCH)
    if directive == "replace":
        return patch
    if directive == "delete":
        return {}
    raise _unknown_directive(directive, patch)


def _retain_keys(original: Object, patch: Object) -> None:
    if _RETAIN_KEYS not in patch:
        return
    keep = patch.pop(_RETAIN_KEYS)
    if not isinstance(keep, list):
        raise BadRequest("invalid patch format of retainKeys")
    kept = {key for key in keep if isinstance(key, str)}
    for key, value in patch.items():
        if value is not None and key not in kept and not key.startswith((_DELETE_FROM, _SET_ORDER)):
            raise BadRequest("invalid patch format of retainKeys")
    for key in [key for key in original if key not in kept]:
        del original[key]


def _delete_primitives(original: Object, key: str, value: Any) -> None:
    name = key.removeprefix(_DELETE_FROM)
    if not isinstance(value, list):
        raise BadRequest("invalid patch format of primitive list")
    current = original.get(name)
    if isinstance(current, list):
        gone = {item for item in value if not isinstance(item, (dict, list))}
        others = [item for item in value if isinstance(item, (dict, list))]
        original[name] = [
            item for item in current if item not in (others if isinstance(item, (dict, list)) else gone)
        ]


def _merge_ordered(original: Object, patch: Object, key: str, schema: Schema | None) -> None:
    """Merge the list that a ``$setElementOrder`` directive speaks of, and put it in that order."""
    order = patch.pop(key)
    name = key.removeprefix(_SET_ORDER)
    live, given = original.get(name), patch.get(name)
    for value in (order, original.get(name, []), patch.get(name, [])):
        if not isinstance(value, list):
            raise _not_taken("[]interface {}", value)
    child = _child(schema, name)
    if child is None and schema is not None and schema.properties:
        struct = (schema.name or "").rpartition(".")[2]
        raise StatusError(f'unable to find api field in struct {struct} for the json field "{name}"')
    merge_key = child.patch_merge_key if child is not None else None
    _check_order(given or [], order, merge_key)
    if live is None and given is None:
        return
    live_order = _places_freed(live or [], given or [], merge_key)
    if live is None:
        merged = _new_value(given)
    elif given is None:
        merged = live
    else:
        merged = _merge_list(live, given, child)
    patch.pop(name, None)
    original[name] = _arranged(merged, order, live_order, merge_key)


def _places_freed(live: list[Any], given: list[Any], merge_key: str | None) -> list[Any]:
    """Return the live order that a patch is woven into: new items take the places of those it deletes."""
    gone = [item for item in given if isinstance(item, dict) and item.get(_PATCH) == "delete"]
    if not gone or not merge_key:
        return live
    leaving = {_merge_value(item, merge_key) for item in gone}
    stay = [item for item in live if _merge_value(item, merge_key) not in leaving]
    known = {_merge_value(item, merge_key) for item in stay}
    come = [item for item in given if _PATCH not in item and _merge_value(item, merge_key) not in known]
    return [*stay, *come][: len(live)]


def _check_order(given: list[Any], order: list[Any], merge_key: str | None) -> None:
    """Every item of the patch must stand in the directive, in the same order and as often."""
    if not order:
        return
    identify = _identity(merge_key)
    places = iter(order)
    for item in given:
        if isinstance(item, dict) and _PATCH in item:
            continue
        if not any(identify(item) == identify(place) for place in places):
            wanted = f"$setElementOrder list:\n{plain(order)}\n"
            raise StatusError(f"The order in patch list:\n{plain(given)}\n doesn't match {wanted}")


def _merge_list(original: list[Any], patch: list[Any], schema: Schema | None) -> list[Any]:
    if schema is None or "merge" not in schema.patch_strategies:
        return patch
    if not original and not patch:
        return original
    _check_alike(original, patch)
    if not any(isinstance(item, dict) for item in (*original, *patch)):
        merged = list(dict.fromkeys((*original, *patch)))
        return _arranged(merged, patch, original, None)
    key = schema.patch_merge_key
    if not key:
        raise StatusError("cannot merge lists without merge key for struct")
    original, patch = _obey_item_directives(original, patch, key)
    merged = list(original)
    positions = _first_places(_merge_value(item, key) for item in merged)
    last, in_order = 0, True
    for item in patch:
        wanted = _merge_value(item, key)
        position = positions.get(wanted)
        if position is None:
            positions[wanted] = len(merged)
            merged.append(_new_value(item))
            in_order = False
        else:
            merged[position] = _merge_map(merged[position], item, schema.items)
            in_order = in_order and position >= last
            last = position
    # A status names some or all of its conditions as they stand: they stay there.
    return merged if in_order else _arranged(merged, patch, original, key)


def _check_alike(original: list[Any], patch: list[Any]) -> None:
    """All items of lists that are merged are of one type, and no lists."""
    items = (*original, *patch)
    if isinstance(items[0], list):
        raise Invalid("the server rejected our request due to an error in our request", details={})
    if len(set(map(type, items))) > 1:
        raise StatusError(f"list element types are not identical: {plain([original, patch])}")


def _obey_item_directives(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Take items marked ``$patch`` out of the patch, doing what they say to the original."""
    if not any(_PATCH in item for item in patch if isinstance(item, dict)):
        return original, patch
    plain: list[Any] = []
    gone: set[Any] = set()
    replace = False
    for item in patch:
        directive = item.get(_PATCH) if isinstance(item, dict) else None
        if directive is None:
            plain.append(item)
        elif directive == "delete":
            gone.add(_merge_value(item, key))
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise StatusError("merging lists cannot yet be specified in the patch")
        else:
            raise _unknown_directive(directive, item)
    if gone:
        original = [current for current in original if _merge_value(current, key) not in gone]
    return (plain, []) if replace else (original, plain)


def _arranged(merged: list[Any], order: list[Any], live_order: list[Any], merge_key: str | None) -> list[Any]:
    """Put the items that ``order`` names in its order, and weave the others in by the live order."""
    identify = _identity(merge_key)
    wanted = _first_places(map(identify, order))
    live = _first_places(map(identify, live_order))
    named: list[tuple[int, int, Any]] = []  # place in the order, in the live list (or -1), item
    others: list[tuple[int, Any]] = []  # place in the live list (or -1), item
    for item in merged:
        identity = identify(item)
        at, place = wanted.get(identity), live.get(identity, -1)
        if at is None:
            others.append((place, item))
        else:
            named.append((at, place, item))
    named.sort(key=_first)
    others.sort(key=_first)
    result: list[Any] = []
    at = 0
    for place, other in others:
        while at < len(named):
            rival = named[at][1]
            if place >= 0 and rival >= 0 and place < rival:
                break
            result.append(named[at][2])
            at += 1
        result.append(other)
    return result + [item for _, _, item in named[at:]]


_first = itemgetter(0)


def _first_places(identities: Iterable[Any]) -> dict[Any, int]:
    """Return where each first comes."""
    places: dict[Any, int] = {}
    for at, identity in enumerate(identities):
        places.setdefault(identity, at)
    return places


def _identity(merge_key: str | None) -> Callable[[Any], Any]:
    if not merge_key:
        return lambda item: repr(item) if isinstance(item, (dict, list)) else item
    return lambda item: _merge_value(item, merge_key)


def _merge_value(item: Any, key: str) -> Any:
    if not isinstance(item, dict):
        raise _not_taken("map[string]interface {}", item)
    if key not in item:
        raise StatusError(f"map: {plain(item)} does not contain declared merge key: {key}")
    value = item[key]
    return repr(value) if isinstance(value, (dict, list)) else value


def _not_taken(wanted: str, value: Any) -> StatusError:
    """Return the fault of a value of another type, as Go names types."""
    number = {int: "int64", float: "float64", type(None): "%!s(<nil>)"}
    return StatusError(f"expected a {wanted}, but received a {number.get(type(value)) or type_name(value)}")


def _unknown_directive(directive: Any, patch: Object) -> StatusError:
    return StatusError(f"unknown patch type: {directive} in map: {plain(patch)}")


def _new_value(value: Any) -> Any:
    """Return a value that meets nothing in the original: without nulls and directives."""
    if isinstance(value, dict):
        return {
            key: _new_value(item)
            for key, item in value.items()
            if item is not None
            and key not in (_PATCH, _RETAIN_KEYS)
            and not key.startswith((_DELETE_FROM, _SET_ORDER))
        }
    if isinstance(value, list):
        return [_new_value(item) for item in value if not _deletes(item)]
    return value


def _deletes(item: Any) -> bool:
    return isinstance(item, dict) and item.get(_PATCH) in ("delete", "replace")


def _child(schema: Schema | None, key: str) -> Schema | None:
    return schema.child(key) if schema is not None else None
