"""Whether what another server tells of its resources is what clients can read. Pure.

It becomes a part of one document, which clients read whole: what Go's types cannot hold would take the
resources of all servers from them.
"""

from __future__ import annotations

from typing import Any, Final

_TEXTS: Final = frozenset(
    {"name", "singularName", "group", "version", "kind", "storageVersionHash"}
    | {"resource", "scope", "singularResource", "subresource"}
)
_LISTS: Final = frozenset({"verbs", "shortNames", "categories"})
_OBJECTS: Final = frozenset({"subresources", "acceptedTypes"})


def is_readable(resource: Any) -> bool:
    """Tell whether every field of a resource, in either form of discovery, has its type; null has any."""
    if not isinstance(resource, dict):
        return resource is None
    return all(value is None or _fits(key, value) for key, value in resource.items())


def are_readable(resources: Any) -> bool:
    """The same of a list of them, which may be missing."""
    if not isinstance(resources, list):
        return resources is None
    return all(map(is_readable, resources))


def _fits(key: str, value: Any) -> bool:
    if key in _TEXTS:
        return isinstance(value, str)
    if key in _LISTS:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if key in _OBJECTS:
        return are_readable(value)
    if key == "responseKind":
        return is_readable(value)
    return key != "namespaced" or isinstance(value, bool)
