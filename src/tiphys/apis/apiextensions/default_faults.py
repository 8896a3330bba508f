"""What is wrong with the defaults of a definition: each must be a value that its schema lets through. Pure.

Source: apiextensions.k8s.io/v1, "Defaulting".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.apimachinery.cel import Budget
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.node import MISSING, Schema
from tiphys.apimachinery.schema.structural import prune
from tiphys.apimachinery.schema.validate import Validator
from tiphys.apis.apiextensions.embedded import value_faults
from tiphys.apis.apiextensions.rule_checks import Rules

_IMPLIED = ("apiVersion", "kind", "metadata")


def default_faults(
    source: Object, path: str, *, pruned: bool = True, budget: Budget | None = None
) -> list[FieldError]:
    """Return what is wrong with the defaults of a whole structural schema.

    They share one budget for rules; once it is overdrawn, no other default is looked at. Without ``pruned``
    they may have fields that are not specified: an older definition has them.
    """
    return _Defaults(budget or Budget(), pruned=pruned).node(source, path, _Around(source))


def has_unknown_fields(source: Object) -> bool:
    """Tell whether any default has fields that its schema does not specify."""
    return any(_unknown(node) for node in _with_defaults(source))


def _with_defaults(node: Object) -> Iterator[Object]:
    if node.get("default") is not None:
        yield node
    for child in (node.get("items"), *(node.get("properties") or {}).values()):
        if isinstance(child, dict):
            yield from _with_defaults(child)


def _unknown(node: Object) -> bool:
    value = node["default"]
    if type(value) not in (dict, list):
        return False
    kept = copy_object(value)
    prune(kept, _without_default(node), root=False)
    return bool(kept != value)


def _joined(faults: list[FieldError]) -> str:
    texts = list(dict.fromkeys(map(str, faults)))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _without_default(node: Object) -> Schema:
    return build_custom({key: said for key, said in node.items() if key != "default"})


@dataclass(frozen=True, slots=True)
class _Around:
    """The object that a default would be in: its schema, and the steps into it."""

    source: Object
    steps: tuple[str | None, ...] = ()
    """Keys; None for a list."""

    def into(self, step: str | None) -> _Around:
        return _Around(self.source, (*self.steps, step))

    def with_(self, value: Any) -> Object:
        """Return the object with a value in its place."""
        for step in reversed(self.steps):
            value = [value] if step is None else {step: value}
        return {"kind": "Validation", "apiVersion": "validation/v1", **value}


class _Defaults:
    def __init__(self, budget: Budget, *, pruned: bool) -> None:
        self._budget = budget
        self._pruned = pruned

    def node(self, node: Object, path: str, around: _Around, *, in_meta: bool = False) -> list[FieldError]:
        if node.get("x-kubernetes-embedded-resource"):
            in_meta, around = False, _Around(node)
        faults: list[FieldError] = []
        if node.get("default") is not None:
            faults += self._value(node, f"{path}.default", around if in_meta else None)
        for child, at, place, key in _children(node, path, around):
            if self._budget.overdrawn:
                break
            inner_meta = in_meta or (not around.steps and key in _IMPLIED)
            faults += self.node(child, at, place, in_meta=inner_meta)
        return faults

    def _value(self, node: Object, path: str, around: _Around | None) -> list[FieldError]:
        """``around`` is the object whose metadata, or name of a kind, a default is of."""
        value, schema = node["default"], _without_default(node)
        faults: list[FieldError] = []
        if around is not None:
            whole = around.with_(copy_object({"": value})[""])
            found = value_faults(whole, build_custom(around.source), "", root=True)
            if found:
                return [invalid(path, value, f"must result in valid metadata: {_joined(found)}")]
        else:
            if self._pruned and _unknown(node):
                faults.append(invalid(path, value, "must not have unknown fields"))
            embedded = bool(node.get("x-kubernetes-embedded-resource"))
            shaped = copy_object({"": value})[""]
            if wrong := value_faults(shaped, schema, path, root=embedded):
                return faults + wrong
        broken = Validator(schema).validate_value(value, path)
        return faults + (broken or self._rules(Rules(schema, root=False), value, path))

    def _rules(self, rules: Rules, value: object, path: str) -> list[FieldError]:
        """A default may change into itself, and come where there was nothing; the dearer run is paid."""
        if not rules:
            return []
        given = self._budget.remaining
        faults = rules.check(value, value, self._budget, path, ratchets=False)
        if faults:
            return faults
        left, self._budget.remaining = self._budget.remaining, given
        faults = rules.check(value, MISSING, self._budget, path)
        self._budget.remaining = min(left, self._budget.remaining)
        return faults


def _children(node: Object, path: str, around: _Around) -> Iterator[tuple[Object, str, _Around, str | None]]:
    """Yield the schemas below a node: each with its path, its place in the object, and its key."""
    if isinstance(node.get("items"), dict):
        yield node["items"], f"{path}.items", around.into(None), None
    for key, child in (node.get("properties") or {}).items():
        yield child, f"{path}.properties[{key}]", around.into(key), key
