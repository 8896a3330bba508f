"""The schema node that every walker shares: type checks, pruning, defaulting, patches, apply, explain.

Nodes form a graph, not a tree: ``JSONSchemaProps`` refers to itself, and one node stands for each named
definition. They are read-only once built.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Final

from tiphys.apimachinery.dataclass import dataclass


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"

    def __deepcopy__(self, memo: object) -> _Missing:
        return self


MISSING: Final = _Missing()
"""Stands for "no default given" (null is a value)."""


@dataclass(slots=True, eq=False)
class Schema:
    """One node. Field names follow OpenAPI; ``x-kubernetes-*`` extensions lose their prefix."""

    type: str | None = None
    """object, array, string, integer, number, boolean; None takes anything."""
    format: str | None = None
    name: str | None = None
    """The definition's full name (``io.k8s.api.core.v1.PodSpec``) where it has one."""
    description: str = ""
    properties: dict[str, Schema] = field(default_factory=dict)
    additional: Schema | None = None
    """Schema of a map's values (``additionalProperties``)."""
    items: Schema | None = None
    required: tuple[str, ...] = ()
    omitted: frozenset[str] = frozenset()
    """Fields that Go leaves out when they are ``""``, ``0`` or ``false``: there that means "not set"."""
    shown: dict[str, Any] = field(default_factory=dict)
    """Plain fields that Go writes out in any case, with what they are when nobody said: zero."""
    default: Any = MISSING
    enum: tuple[Any, ...] | None = None
    nullable: bool = False

    list_type: str = "atomic"
    """atomic, set or map; OpenAPI's default for lists is atomic."""
    list_map_keys: tuple[str, ...] = ()
    map_type: str = "granular"
    """granular or atomic."""
    patch_strategies: tuple[str, ...] = ()
    """Strategic merge: any of merge, retainKeys, replace."""
    patch_merge_key: str | None = None

    preserve_unknown: bool = False
    int_or_string: bool = False
    embedded_resource: bool = False

    constraints: dict[str, Any] = field(default_factory=dict)
    """The rest of JSON schema as written (minimum, pattern, oneOf, x-kubernetes-validations ...)."""

    any_value: bool = False
    """Values of a map of which nothing is said (``additionalProperties: true`` of a custom kind)."""

    def child(self, key: str) -> Schema | None:
        """Return the schema of a field or map value, or None where the key is unknown here."""
        return self.properties.get(key) or self.additional
