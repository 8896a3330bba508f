"""Extended resources that devices serve: which class stands for a resource, and the claim a pod gets for it.

Pure. On a node where no device plugin offers the resource, the scheduler makes one claim for all such
resources of a pod, and tells in the pod's status which container has which request of it.
Source: KEP-5004 (extended resources through DRA).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tiphys.apimachinery import quantity
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object

ANNOTATION: Final = "resource.kubernetes.io/extended-resource-claim"
IMPLICIT: Final = "deviceclass.resource.kubernetes.io/"
"""A resource of this group means the class of the name that follows."""
UNMADE: Final = "<extended-resources>"
"""The name of a claim that is still to be made: none that the API server would take."""


@dataclass(frozen=True, slots=True)
class ExtendedClaim:
    """A claim to be made for a pod, what it gets, and which container has which of its requests."""

    claim: Object
    allocation: dict[str, Any]
    mappings: tuple[dict[str, str], ...]
    awaited: bool = False
    """Some of its devices must be made ready for the node first."""


def classes_by_resource(classes: Mapping[str, Object]) -> dict[str, str]:
    """Return the name of the class for each resource: of several the newest, then the first by name."""
    found: dict[str, str] = {}
    for name in sorted(classes, key=lambda one: (_created(classes[one]), _backwards(one))):
        explicit = (classes[name].get("spec") or {}).get("extendedResourceName")
        if explicit:
            found[str(explicit)] = name
    return {**found, **{f"{IMPLICIT}{name}": name for name in classes}}


def _created(obj: Object) -> str:
    return str(obj["metadata"].get("creationTimestamp") or "")


def _backwards(name: str) -> tuple[int, ...]:
    return (*(-ord(letter) for letter in name), 0)


def unmade_claim(pod: Object, requests: Sequence[Object]) -> Object:
    """Return the claim to make for the pod's extended resources."""
    meta = pod["metadata"]
    owner = {
        "apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"], "controller": True,
    }  # fmt: skip
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {
            "name": UNMADE,
            "namespace": meta["namespace"],
            "uid": f"{meta['uid']}/{UNMADE}",
            "generateName": f"{meta['name']}-extended-resources-",
            "ownerReferences": [owner],
            "annotations": {ANNOTATION: "true"},
        },
        "spec": {"devices": {"requests": list(requests)}},
    }


def made_claim(pod: Object, claims: Iterable[Object]) -> Object | None:
    """Return the claim that was made for the pod's extended resources, if there is one."""
    uid = pod["metadata"].get("uid")
    for claim in claims:
        meta = claim["metadata"]
        if (meta.get("annotations") or {}).get(ANNOTATION) == "true" and any(
            owner.get("controller") and owner.get("uid") == uid for owner in meta.get("ownerReferences") or ()
        ):
            return claim
    return None


def requests_and_mappings(
    spec: Object, classes: Mapping[str, str]
) -> tuple[list[Object], tuple[dict[str, str], ...]]:
    """Return what to ask of devices for a pod's resources (by class), and who gets which request.

    Containers that run to their end before the next one starts share the largest of their requests, and use
    what later ones have anyway.
    """
    requests: list[Object] = []
    mappings: list[dict[str, str]] = []
    for resource in sorted(classes):
        asked = _Asked(spec, resource, classes[resource])
        requests += asked.requests()
        mappings += asked.mappings
    return sorted(requests, key=lambda one: str(one["name"])), tuple(mappings)


class _Asked:
    """What a pod's containers ask of one resource."""

    def __init__(self, spec: Object, resource: str, device_class: str) -> None:
        starting = list(spec.get("initContainers") or ())
        self._containers = [*starting, *(spec.get("containers") or ())]
        self._short = [index for index, one in enumerate(starting) if one.get("restartPolicy") != "Always"]
        self._resource, self._class = resource, device_class
        self.mappings: list[dict[str, str]] = []

    def requests(self) -> Iterator[Object]:
        kept: dict[int, Object] = {}
        for index in range(len(self._containers)):
            if index not in self._short and (count := self._count(index)):
                kept[index] = self._request(index, count)
                self._map(index, kept[index])
        largest: Object | None = None
        short: list[tuple[int, Object | None]] = []
        for index in self._short:
            missing = self._count(index)
            for other in sorted(one for one in kept if one >= index):
                if missing > 0:
                    short.append((index, kept[other]))
                    missing -= kept[other]["exactly"]["count"]
            if missing > 0:
                short.append((index, None))
                if largest is None or missing > largest["exactly"]["count"]:
                    largest = self._request(index, missing)
        for index, request in short:
            self._map(index, request or largest or {})
        if largest is not None:
            yield largest
        yield from kept.values()

    def _count(self, index: int) -> int:
        asked = (self._containers[index].get("resources") or {}).get("requests") or {}
        return quantity.parse(str(asked[self._resource])).value() if self._resource in asked else 0

    def _request(self, index: int, count: int) -> Object:
        names = sorted(self._containers[index]["resources"]["requests"])
        return {
            "name": f"container-{index}-request-{names.index(self._resource)}",
            "exactly": {
                "deviceClassName": self._class, "allocationMode": "ExactCount", "count": count,
            },
        }  # fmt: skip

    def _map(self, index: int, request: Object) -> None:
        self.mappings.append(
            {
                "containerName": self._containers[index]["name"],
                "resourceName": self._resource,
                "requestName": str(request["name"]),
            }
        )
