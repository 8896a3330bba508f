"""One row for every resource that the server knows: built-in kinds and CRDs alike.

Rows are data; ``apis.table`` holds the built-in ones, CRDs add theirs at run time.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import GVK, GVR


@dataclass(frozen=True, slots=True)
class Subresource:
    """``status``, ``scale``, ``log``...: its own verbs and the kind it speaks."""

    name: str
    verbs: tuple[str, ...]
    kind: GVK


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource at one served version.

    ``storage_version`` is the version its objects are kept in; versions of one kind share ``storage_prefix``
    (and events share it across two groups).
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    verbs: tuple[str, ...]
    storage: GVK
    storage_prefix: str
    """``/registry/deployments/``-like, ends in a slash; namespaced keys go on with ``<namespace>/<name>``."""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    selectable_fields: tuple[str, ...] = ()
    """Dotted paths usable in fieldSelector beside metadata.name and metadata.namespace."""
    deprecation: str = ""
    """Every answer warns with this; empty where the kind is to stay."""
    custom: bool = field(default=False)
    """True for rows that a CustomResourceDefinition made."""
    told_verbs: tuple[str, ...] = ()
    """What discovery names, where that is less than ``verbs``; empty where it is the same."""
    stored_as: GVK | None = None
    """Of custom rows: the served version that objects are stored in, which ``storage`` does not tell."""
    gvr: GVR = field(init=False, compare=False, repr=False)
    gvk: GVK = field(init=False, compare=False, repr=False)
    api_version: str = field(init=False, compare=False, repr=False)
    _parts: dict[str, Subresource] = field(init=False, compare=False, repr=False)
    definition: Any = field(default=None, compare=False, repr=False)
    """What serves a custom row: ``apiserver.crd.kind.CustomKind``; None for built-in ones."""

    def __post_init__(self) -> None:
        # Every request asks for these several times.
        object.__setattr__(self, "gvr", GVR(self.group, self.version, self.plural))
        object.__setattr__(self, "gvk", GVK(self.group, self.version, self.kind))
        object.__setattr__(self, "api_version", self.gvk.api_version)
        object.__setattr__(self, "_parts", {part.name: part for part in self.subresources})

    @property
    def has_fractions(self) -> bool:
        """Whether objects may hold numbers that are no integers: few built-in kinds do."""
        return self.custom or self.kind == "CustomResourceDefinition"

    def subresource(self, name: str) -> Subresource | None:
        return self._parts.get(name)
