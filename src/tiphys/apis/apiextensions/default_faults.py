"""What is wrong with the defaults of a definition: each must be a value that its schema lets through. Pure.

Source: apiextensions.k8s.io/v1, "Defaulting".
"""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.cel import Budget
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.node import MISSING, Schema
from tiphys.apimachinery.schema.structural import prune
from tiphys.apimachinery.schema.validate import Validator
from tiphys.apis.apiextensions.rule_checks import Rules

_IMPLIED = ("apiVersion", "kind", "metadata")


def default_faults(source: Object, path: str, *, pruned: bool = True) -> list[FieldError]:
    """Return what is wrong with the defaults of a whole structural schema.

    They share one budget for rules. Without ``pruned`` they may have fields that are not specified: an older
    definition has them.
    """
    return _Defaults(pruned=pruned).node(source, path, root=True)


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


def _without_default(node: Object) -> Schema:
    return build_custom({key: said for key, said in node.items() if key != "default"})


class _Defaults:
    def __init__(self, *, pruned: bool) -> None:
        self._pruned = pruned
        self._budget = Budget()

    def node(self, node: Object, path: str, *, root: bool = False, in_meta: bool = False) -> list[FieldError]:
        resource = root or node.get("x-kubernetes-embedded-resource")
        in_meta = in_meta and not resource
        faults = [] if node.get("default") is None else self._value(node, f"{path}.default", in_meta=in_meta)
        if isinstance(node.get("items"), dict):
            faults += self.node(node["items"], f"{path}.items", in_meta=in_meta)
        for key, child in (node.get("properties") or {}).items():
            inner_meta = in_meta or bool(resource and key in _IMPLIED)
            faults += self.node(child, f"{path}.properties[{key}]", in_meta=inner_meta)
        return faults

    def _value(self, node: Object, path: str, *, in_meta: bool) -> list[FieldError]:
        value, schema = node["default"], _without_default(node)
        faults: list[FieldError] = []
        if self._pruned and not in_meta and _unknown(node):
            faults.append(invalid(path, value, "must not have unknown fields"))
        broken = Validator(schema).validate_value(value, path)
        return faults + (broken or self._rules(Rules(schema, root=False), value, path))

    def _rules(self, rules: Rules, value: object, path: str) -> list[FieldError]:
        """A default may come in as a change of itself, and where there was nothing."""
        if not rules:
            return []
        return rules.check(value, value, self._budget, path, ratchets=False) or rules.check(
            value, MISSING, self._budget, path
        )
