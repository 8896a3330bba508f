"""Objects as they compare by what they mean, not by how that is written.

``1.500`` is as much as ``1500m``, and no list is an empty one: writing the one for the other changes nothing
that rules of updates look at. Owns: ``respelled``, which makes of two objects a pair that compares plainly,
so that no rule needs a comparison of its own. Refuses: what is stored, which stays as it was written.

Source: k8s.io/apimachinery ``pkg/api/equality``. Times are canonical by then, so their texts do.
"""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery import quantity
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.schema.node import Schema


def respelled(old: Object, new: Object, schema: Schema) -> Object:
    """Return the old object with all that is equal by its meaning written as the new one has it.

    Where nothing is, that is the old object itself; its parts may be shared in any case. Items of lists are
    compared with those of their name, if the list tells them apart by one, else in their order.
    """
    plan = _plan_for(schema)
    found: Object = old if plan is None else plan.respell(old, new)
    return found


class _Plan:
    """How to compare below one node. Only nodes have one below which a meaning has more than one text."""

    __slots__ = ("_children", "_schema")

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._children: dict[str, tuple[_Plan | None, bool]] | None = None
        """Of fields that are worth a look: the plan, and whether nothing is the same there as empty."""

    def respell(self, old: Any, new: Any) -> Any:
        """Return ``respelled`` of two values that are not equal."""
        if type(old) is not type(new):
            return old
        schema = self._schema
        if isinstance(old, str):
            return new if _is_amount(schema) and _as_much(old, new) else old
        if isinstance(old, list):
            return self._list(old, new)
        if isinstance(old, dict):
            return self._struct(old, new) if schema.additional is None else self._map(old, new)
        return old

    def _struct(self, old: Object, new: Object) -> Object:
        if self._children is None:
            self._children = _children(self._schema)
        result = old
        for key, (plan, may_lack) in self._children.items():
            before, after = old.get(key), new.get(key)
            if before is after or before == after:
                continue
            if before and after:
                kept = before if plan is None else plan.respell(before, after)
                if kept is before:
                    continue
                result = {**result, key: kept}
            elif may_lack and not before and not after:
                result = {name: value for name, value in result.items() if name != key}
                if key in new:
                    result[key] = after
        return result

    def _map(self, old: Object, new: Object) -> Object:
        values = self._schema.additional
        plan = None if values is None else _plan_for(values)
        if plan is None:
            return old
        result = old
        for key, value in old.items():
            if key in new and value != new[key]:
                kept = plan.respell(value, new[key])
                if kept is not value:
                    result = dict(old) if result is old else result
                    result[key] = kept
        return result

    def _list(self, old: list[Any], new: list[Any]) -> list[Any]:
        items = self._schema.items
        plan = None if items is None else _plan_for(items)
        if plan is None:
            return old
        result, named = old, self._named(new)
        for index, value in enumerate(old):
            other = named.get(self._name(value)) if named else None
            if other is None and index < len(new):
                other = new[index]
            if other is not None and value != other:
                kept = plan.respell(value, other)
                if kept is not value:
                    result = list(old) if result is old else result
                    result[index] = kept
        return result

    def _named(self, items: list[Any]) -> dict[tuple[Any, ...], Any]:
        """Return items by what tells them apart, none where nothing does; of several alike the first."""
        if not self._schema.list_map_keys:
            return {}
        return {self._name(item): item for item in reversed(items)}

    def _name(self, item: Any) -> tuple[Any, ...]:
        return tuple(item.get(key) for key in self._schema.list_map_keys) if isinstance(item, dict) else ()


def _as_much(old: str, new: str) -> bool:
    try:
        return quantity.parse(old).amount == quantity.parse(new).amount
    except quantity.QuantityError:
        return False


def _is_amount(schema: Schema) -> bool:
    return schema.type == "string" and schema.format == "quantity"


def _is_collection(schema: Schema) -> bool:
    return schema.type == "array" or schema.additional is not None


_PLANS: dict[str, tuple[Schema, _Plan | None]] = {}
"""Of named definitions, which are kept for ever (there are some hundreds)."""


def _plan_for(schema: Schema) -> _Plan | None:
    known = _PLANS.get(schema.name) if schema.name else None
    if known is not None and known[0] is schema:
        return known[1]
    plan = _Plan(schema) if _counts(schema, set()) else None
    if schema.name:
        _PLANS[schema.name] = (schema, plan)
    return plan


def _children(schema: Schema) -> dict[str, tuple[_Plan | None, bool]]:
    found = {}
    for key, child in schema.properties.items():
        plan, may_lack = _plan_for(child), _may_lack(schema, key)
        if plan is not None or may_lack:
            found[key] = plan, may_lack
    return found


def _may_lack(schema: Schema, key: str) -> bool:
    """Tell whether a list or map is written out though it is empty; others are left out by then."""
    return key in schema.required and _is_collection(schema.properties[key])


def _counts(schema: Schema, seen: set[int]) -> bool:
    """Tell whether anything that has more than one text lies at or below a node; cycles of nodes end."""
    if _is_amount(schema):
        return True
    if id(schema) in seen:
        return False
    seen.add(id(schema))
    known = _PLANS.get(schema.name) if schema.name else None
    if known is not None and known[0] is schema:
        return known[1] is not None
    if any(_may_lack(schema, key) for key in schema.properties):
        return True
    below = (*schema.properties.values(), schema.additional, schema.items)
    return any(_counts(child, seen) for child in below if child is not None)
