"""What is wrong with the defaults of a definition: each must be a value that its schema lets through. Pure.

Source: apiextensions.k8s.io/v1, "Defaulting".
"""

from __future__ import annotations

from tiphys.apimachinery.cel import Budget
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.node import MISSING
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


class _Defaults:
    def __init__(self, *, pruned: bool) -> None:
        self._pruned = pruned
        self._budget = Budget()

    def node(self, node: Object, path: str, *, root: bool = False) -> list[FieldError]:
        faults = [] if node.get("default") is None else self._value(node, f"{path}.default")
        if isinstance(node.get("items"), dict):
            faults += self.node(node["items"], f"{path}.items")
        resource = root or node.get("x-kubernetes-embedded-resource")
        for key, child in (node.get("properties") or {}).items():
            if isinstance(child, dict) and not (resource and key in _IMPLIED):
                faults += self.node(child, f"{path}.properties[{key}]")
        return faults

    def _value(self, node: Object, path: str) -> list[FieldError]:
        value = node["default"]
        schema = build_custom({key: said for key, said in node.items() if key != "default"})
        faults: list[FieldError] = []
        if self._pruned and type(value) in (dict, list):
            kept = copy_object(value)
            prune(kept, schema, root=False)
            if kept != value:
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
