"""NodeDeclaredFeatureValidator: a bound pod changes only in ways that its node says it can follow.

Source: KEP-5328.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import peek
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.lookup import find


def _resizes_pod(new: Object, old: Object) -> bool:
    return peek(new, "spec", "resources") != peek(old, "spec", "resources")


_FEATURES: Final[tuple[tuple[str, Callable[[Object, Object], bool]], ...]] = (
    ("InPlacePodLevelResourcesVerticalScaling", _resizes_pod),
)
"""What a node may declare, and which updates need it."""


class NodeDeclaredFeatureValidator:
    """Compares what an update needs with ``status.declaredFeatures`` of the pod's node."""

    NAME = "NodeDeclaredFeatureValidator"
    RESOURCES = frozenset({("", "pods")})
    SUBRESOURCES = frozenset({"", "resize"})
    VALIDATES = frozenset({"UPDATE"})

    async def validate(self, attributes: Attributes) -> None:
        new, old = attributes.obj, attributes.old
        if new is None or old is None or new["spec"] == old["spec"]:
            return
        name = new["spec"].get("nodeName")
        needed = [feature for feature, needs in _FEATURES if needs(new, old)] if name else []
        if not needed:
            return
        node = await find(attributes.call.backend, "", "v1", "nodes", name)
        if node is None:
            raise attributes.refuse(f'node "{name}" not found')
        declared = peek(node, "status").get("declaredFeatures") or ()
        lacking = [feature for feature in needed if feature not in declared]
        if lacking:
            raise attributes.refuse(
                f'pod update requires features {", ".join(lacking)} which are not available on node "{name}"'
            )
