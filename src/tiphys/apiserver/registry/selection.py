"""Label and field selectors of a request as a ``Selection`` of the store, with upstream's refusals."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from tiphys.apimachinery import fields, labels
from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.registry.objects import Cached, Predicate, Selection

_NAME, _NAMESPACE = "metadata.name", "metadata.namespace"
_OLD_NAMES = {("", "Pod", "spec.host"): "spec.nodeName"}
"""What fields were once called, by the group and kind."""
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


@lru_cache(maxsize=1024)
def _predicate(label_selector: str, left: tuple[fields.FieldRequirement, ...]) -> Predicate:
    """Return what judges objects: the same for equal texts, so that their watchers are told together."""
    selector = labels.parse_selector(label_selector) if label_selector else None

    def matches(cached: Cached) -> bool:
        if selector is not None and not selector.matches(cached.labels):
            return False
        return all(_holds(cached.fields, r.path, r.value, negated=r.negated) for r in left)

    return matches


def _holds(values: Mapping[str, str], path: str, value: str, *, negated: bool) -> bool:
    return (values.get(path, "") == value) != negated
