"""What admission has looked up on the way to an outcome, and whether it is all still there and the same.

Pure bookkeeping over the cache's entries, each of which is one version of one object. ``Attributes.find``
notes, ``apiserver.shortcuts.molds`` asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.registry.objects import Cached, ObjectStore
from tiphys.client.counting import Count


@dataclass(slots=True, eq=False)
class Reads:
    """The objects and lists that were read."""

    objects: dict[tuple[int, str], tuple[Resource, Cached]] = field(default_factory=dict)
    """By resource (its id: hashing a row walks all of it) and key."""
    lists: dict[tuple[int, str], tuple[Resource, Sequence[Cached]]] = field(default_factory=dict)
    """By resource and namespace."""
    counted: list[Count] = field(default_factory=list)
    """What was counted on the way: the same counts again for whoever comes to the same outcome."""
    complete: bool = True
    """False: the outcome depends on something else as well, or on an object that was not there."""

    def found(self, resource: Resource, cached: Cached) -> None:
        known = self.objects.setdefault((id(resource), cached.key), (resource, cached))
        self.complete &= known[1] is cached

    def listed(self, resource: Resource, namespace: str, items: Sequence[Cached]) -> None:
        known = self.lists.setdefault((id(resource), namespace), (resource, items))
        self.complete &= known[1] == items

    def unchanged(self, store: ObjectStore) -> bool:
        """Tell whether reading everything again would find the very same."""
        for (_, key), (resource, cached) in self.objects.items():
            if store.at_hand(resource, key) is not cached:
                return False
        for (_, namespace), (resource, items) in self.lists.items():
            if store.all_at_hand(resource, namespace) != items:
                return False
        return True
