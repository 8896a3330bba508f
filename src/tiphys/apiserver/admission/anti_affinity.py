"""LimitPodHardAntiAffinityTopology: pods keep others away from their node at most, not from a whole zone."""

from __future__ import annotations

from tiphys.apis.defaulting import each
from tiphys.apiserver.admission.attributes import Attributes

_HOST = "kubernetes.io/hostname"


class LimitPodHardAntiAffinityTopology:
    """Refuses required anti-affinity over any topology but the node."""

    NAME = "LimitPodHardAntiAffinityTopology"
    RESOURCES = frozenset({("", "pods")})
    SUBRESOURCES = frozenset({""})
    VALIDATES = frozenset({"CREATE", "UPDATE"})

    async def validate(self, attributes: Attributes) -> None:
        terms = each(
            attributes.obj or {}, "spec", "affinity", "podAntiAffinity",
            "requiredDuringSchedulingIgnoredDuringExecution",
        )  # fmt: skip
        for term in terms:
            key = term.get("topologyKey")
            if key != _HOST:
                raise attributes.refuse(
                    f"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key "
                    f"{_HOST} is allowed"
                )
