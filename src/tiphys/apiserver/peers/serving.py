"""Who serves what: the resources of each peer, and which group versions a peer is never asked about.

Pure. Owns: that group versions of definitions and of aggregated APIs are this server's own affair, and stay
so for a while after they went: what a peer said of them was said before. Called by ``peers.controller``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object

GroupVersion = tuple[str, str]
Resource = tuple[str, str, str]
"""Group, version and plural name."""
GRACE_S: Final = 300.0
"""So long may a peer take to see that a definition or an APIService is gone."""
_MOST_REQUEUES: Final = 20
_FIRST_PAUSE_S: Final = 0.005
_LONGEST_PAUSE_S: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Peer:
    """What one peer serves."""

    resources: frozenset[Resource] = frozenset()
    groups: tuple[Object, ...] = ()
    """What of it discovery shows: not the core group, which ``/apis`` does not have."""

    def __bool__(self) -> bool:
        return bool(self.resources or self.groups)


def read(documents: Iterable[Object]) -> Peer:
    """Return what a peer serves by its aggregated discovery documents.

    Raises KeyError, TypeError, AttributeError: they are none.
    """
    resources: set[Resource] = set()
    groups: dict[str, Object] = {}
    for document in documents:
        for group in document.get("items") or ():
            name = group["metadata"].get("name") or ""
            for version in group.get("versions") or ():
                for one in version.get("resources") or ():
                    resources.add((name, version["version"], one["resource"]))
            if name:
                groups[name] = group
    return Peer(frozenset(resources), tuple(groups.values()))


def without(peer: Peer, excluded: frozenset[GroupVersion]) -> Peer:
    """Return what a peer serves beside some group versions."""
    if not any((group, version) in excluded for group, version, _ in peer.resources):
        return peer
    groups = []
    for group in peer.groups:
        name = group["metadata"]["name"]
        left = [one for one in group["versions"] if (name, one["version"]) not in excluded]
        if left:
            groups.append({**group, "versions": left})
    return Peer(frozenset(one for one in peer.resources if one[:2] not in excluded), tuple(groups))


def able(peers: Mapping[str, Peer], resource: Resource) -> list[str]:
    """Return the names of the peers that serve a resource."""
    return sorted(name for name, peer in peers.items() if resource in peer.resources)


@dataclass(frozen=True, slots=True)
class Exclusions:
    """The group versions that no peer is asked about."""

    active: frozenset[GroupVersion] = frozenset()
    gone: Mapping[GroupVersion, float] = field(default_factory=dict)
    """Since when."""

    def followed(self, active: frozenset[GroupVersion], now: float) -> Exclusions:
        """Return them after a change: these are active from now on."""
        kept = self.reaped(now).gone
        return replace(self, active=active, gone={**kept, **dict.fromkeys(self.active - active, now)})

    def reaped(self, now: float) -> Exclusions:
        """Return them without those that went long ago; the same where there are none."""
        left = {name: since for name, since in self.gone.items() if now - since <= GRACE_S}
        return self if len(left) == len(self.gone) else replace(self, gone=left)

    @property
    def all(self) -> frozenset[GroupVersion]:
        return self.active | self.gone.keys()

    def next_end(self) -> float | None:
        """Return when the first of those that went will have been gone for long."""
        return min(self.gone.values()) + GRACE_S if self.gone else None


def defined(definition: Object) -> frozenset[GroupVersion]:
    """Return the group versions that a CustomResourceDefinition stands for."""
    spec = definition.get("spec") or {}
    return frozenset((spec["group"], one["name"]) for one in spec.get("versions") or ())


def aggregated(service: Object) -> frozenset[GroupVersion]:
    """Return the group version of an APIService that another server answers; nothing for a local one."""
    spec = service.get("spec") or {}
    if spec.get("service") is None:
        return frozenset()
    return frozenset({(spec.get("group") or "", spec.get("version") or "")})


def pause_s(failures: int) -> float | None:
    """Return how long to wait after so many failures in a row; None: until something changes."""
    if failures > _MOST_REQUEUES:
        return None
    return min(_FIRST_PAUSE_S * 2.0 ** (failures - 1), _LONGEST_PAUSE_S)
