"""Label and field selectors of a request as a ``Selection`` of the store, with upstream's refusals."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from tiphys.apimachinery import fields, labels
from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.objects import Cached, Predicate, Selection

_COMMON_FIELDS = ("metadata.name", "metadata.namespace")
_CLUSTER_FIELDS = ("metadata.name",)


def check_field(resource: Resource, path: str) -> None:
    """Raises BadRequest for a field that this resource cannot be selected by."""
    if path in _COMMON_FIELDS or path in resource.selectable_fields:
        return
    if resource.kind == "Job" and not resource.custom:
        raise BadRequest(f'field label "{path}" not supported for Job')
    if resource.selectable_fields:
        raise BadRequest(f"field label not supported: {path}")
    raise BadRequest(f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"')


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
    requirements = list(fields.parse_field_selector(field_selector)) if field_selector else []
    field_equals = None
    left = []
    for requirement in requirements:
        check_field(resource, requirement.path)
        named = bool(requirement.value)  # an empty name or namespace is none that there is: it takes nothing
        if requirement.negated:
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
