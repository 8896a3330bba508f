"""Label and field selectors of a request as a ``Selection`` of the store, with upstream's refusals."""

from __future__ import annotations

from functools import lru_cache
from weakref import WeakValueDictionary

from tiphys.apimachinery import fields, labels
from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.resource import Resource
from tiphys.apimachinery.short_memory import LONGEST
from tiphys.apiserver.evaluating import aside
from tiphys.apiserver.registry.objects import Cached, Predicate, Selection

_NAME, _NAMESPACE = "metadata.name", "metadata.namespace"
_OLD_NAMES = {("", "Pod", "spec.host"): "spec.nodeName"}
"""What fields were once called, by the group and kind."""
DEAR = 16
"""A selector's text takes as long to read as so many times as much of an object."""
_FEW = 8
_LONG: WeakValueDictionary[tuple[str, tuple[fields.FieldRequirement, ...]], Predicate] = WeakValueDictionary()
_EMPTY = {("", "Pod", "status.podIPs")}
"""Fields that may be named but are empty in the eyes of selectors."""


def check_field(resource: Resource, path: str) -> None:
    """Raises BadRequest for a field that this resource cannot be selected by.

    Kinds with fields of their own take a namespace only where they are in one; others do not look.
    """
    chooses = bool(resource.selectable_fields) or resource.custom
    known = path in resource.selectable_fields or (resource.group, resource.kind, path) in _EMPTY
    if path == _NAME or known:
        return
    if path == _NAMESPACE and (resource.namespaced or not chooses):
        return
    if resource.kind == "Job" and not resource.custom:
        raise BadRequest(f'field label "{path}" not supported for Job')
    if resource.kind == "ResourceSlice" and not resource.custom:
        raise BadRequest(f"field label not supported for {resource.api_version}, Kind=ResourceSlice: {path}")
    if chooses:
        raise BadRequest(f"field label not supported: {path}")
    raise BadRequest(f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"')


def _renamed(resource: Resource, requirement: fields.FieldRequirement) -> fields.FieldRequirement:
    path = _OLD_NAMES.get((resource.group, resource.kind, requirement.path))
    return requirement._replace(path=path) if path else requirement


async def select_aside(
    resource: Resource, namespace: str, name: str, label_selector: str, field_selector: str
) -> Selection:
    """As ``select``; what is long is read aside."""
    size = DEAR * (len(label_selector) + len(field_selector))
    return await aside(size, select, resource, namespace, name, label_selector, field_selector)


def select(
    resource: Resource, namespace: str, name: str, label_selector: str, field_selector: str
) -> Selection:
    """Build the selection of a list or watch.

    Raises:
        BadRequest: a selector does not parse or names a field that is not served.
    """
    if not label_selector and not field_selector:
        return Selection(namespace=namespace, name=name)
    if label_selector:
        labels.parse_selector(label_selector)  # its faults come first
    requirements = [_renamed(resource, one) for one in fields.parse_field_selector(field_selector or "")]
    field_equals = None
    left = []
    for requirement in requirements:
        check_field(resource, requirement.path)
        named = bool(requirement.value)  # an empty name or namespace is none that there is: it takes nothing
        if requirement.negated or requirement.path not in (_NAME, _NAMESPACE, *resource.selectable_fields):
            left.append(requirement)
        elif requirement.path == "metadata.name" and named:
            if name and name != requirement.value:
                left.append(requirement)
            else:
                name = requirement.value
        elif requirement.path == "metadata.namespace" and named and resource.namespaced and not namespace:
            namespace = requirement.value
        else:
            field_equals = field_equals or (requirement.path, requirement.value)
            left.append(requirement)
    matches = _predicate(label_selector, tuple(left)) if label_selector or left else None
    return Selection(namespace=namespace, name=name, matches=matches, field_equals=field_equals)


def _predicate(label_selector: str, left: tuple[fields.FieldRequirement, ...]) -> Predicate:
    """Return what judges objects: the same for equal texts, so that their watchers are told together.

    A long one, of which there may be any number, is kept for as long as somebody goes by it.
    """
    if len(label_selector) <= LONGEST and len(left) <= _FEW:
        return _short_predicate(label_selector, left)
    found = _LONG.get((label_selector, left))
    if found is None:
        found = _LONG[(label_selector, left)] = _made(label_selector, left)
    return found


@lru_cache(maxsize=1024)
def _short_predicate(label_selector: str, left: tuple[fields.FieldRequirement, ...]) -> Predicate:
    return _made(label_selector, left)


def _made(label_selector: str, left: tuple[fields.FieldRequirement, ...]) -> Predicate:
    selector = labels.parse_selector(label_selector) if label_selector else None
    wanted = {one.path: one.value for one in left if not one.negated}
    contradictory = any(wanted[one.path] != one.value for one in left if not one.negated)
    refused: dict[str, set[str]] = {}
    for one in left:
        if one.negated:
            refused.setdefault(one.path, set()).add(one.value)

    def matches(cached: Cached) -> bool:
        if contradictory or (selector is not None and not selector.matches(cached.labels)):
            return False
        values = cached.fields
        if any(values.get(path, "") != value for path, value in wanted.items()):
            return False
        return not any(values.get(path, "") in others for path, others in refused.items())

    return matches
