"""Who selects whom, by labels: looked up by one label, not by holding everything against everything.

With a thousand Services or Jobs in a namespace, each change of a pod would otherwise be held against each of
them, and each look of theirs against every pod. Controllers share the informers, and so these indexes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.labels import NOTHING, Requirement, Selector, from_set
from tiphys.apimachinery.meta import Object
from tiphys.client.informer import Informer

_BY_LABEL: Final = "label"
_BY_SELECTOR: Final = "selector"
_ANY: Final = ""
_FIXED: Final = ("=", "in")
"""Operators that say which values a label may have."""


class Selecting:
    """Finds the objects of an informer that select one with given labels, in their namespace."""

    def __init__(self, informer: Informer, selector_of: Callable[[Object], Selector]) -> None:
        self._selector_of = selector_of
        informer.add_index(_BY_SELECTOR, self._asked)
        self._owners = informer.index(_BY_SELECTOR)

    def of(self, obj: Object) -> list[Object]:
        """Return those that select ``obj``."""
        if not self._owners:
            return []
        namespace, labels = _namespace(obj), _labels_of(obj)
        keys = [_key(namespace, _ANY), *(_key(namespace, *pair) for pair in labels.items())]
        return [
            owner
            for key in keys
            if key in self._owners
            for owner in self._owners[key].values()
            if self._selector_of(owner).matches(labels)
        ]

    def of_change(self, old: Object | None, new: Object | None) -> list[Object]:
        """Return those that select an object before or after its change; some of them twice."""
        if old is None or new is None or _labels_of(old) == _labels_of(new):
            present = new or old
            return self.of(present) if present is not None else []
        return self.of(old) + self.of(new)

    def _asked(self, owner: Object) -> list[str]:
        """A label with its possible values is enough: who has none of these is not selected."""
        namespace = _namespace(owner)
        try:
            selector = self._selector_of(owner)
        except BadRequest:
            return []  # its own look tells what is wrong
        if selector.nothing:
            return []
        for requirement in selector.requirements:
            if requirement.operator in _FIXED:
                return [_key(namespace, *pair) for pair in _values(requirement)]
        return [_key(namespace, _ANY)]


def service_selector(service: Object) -> Selector:
    """Return what a Service selects; one without a selector selects nothing."""
    chosen = service["spec"].get("selector")
    return from_set(chosen) if chosen else NOTHING


def index_labels(informer: Informer) -> None:
    """Make objects findable by each of their labels; needed by ``selected_by``."""
    informer.add_index(_BY_LABEL, _label_keys)


def selected_by(informer: Informer, namespace: str, selector: Selector) -> list[Object]:
    """Return the objects of a namespace that a selector selects."""
    if selector.nothing:
        return []
    asked = [_values(requirement) for requirement in selector.requirements if requirement.operator in _FIXED]
    if not asked:
        found = informer.list(namespace)
    else:
        found = min(
            (
                [obj for pair in pairs for obj in informer.by_index(_BY_LABEL, _key(namespace, *pair))]
                for pairs in asked
            ),
            key=len,
        )
    return [obj for obj in found if selector.matches(_labels_of(obj))]


def _values(requirement: Requirement) -> list[tuple[str, str]]:
    return [(requirement.key, value) for value in dict.fromkeys(requirement.values)]


def _label_keys(obj: Object) -> list[str]:
    return [_key(_namespace(obj), *pair) for pair in _labels_of(obj).items()]


def _key(namespace: str, name: str, value: str = "") -> str:
    return f"{namespace}/{name}={value}"


def _namespace(obj: Object) -> str:
    return obj["metadata"].get("namespace") or ""


def _labels_of(obj: Object) -> dict[str, Any]:
    return obj["metadata"].get("labels") or {}
