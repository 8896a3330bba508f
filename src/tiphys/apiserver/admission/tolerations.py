"""Pods outlive a short failure of their node: five minutes, unless they say otherwise."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.attributes import Attributes

_NOT_READY = "node.kubernetes.io/not-ready"
_UNREACHABLE = "node.kubernetes.io/unreachable"


def _tolerates(tolerations: list[Object], key: str) -> bool:
    return any(
        toleration.get("key") in (key, None, "") and toleration.get("effect") in ("NoExecute", None, "")
        for toleration in tolerations
    )


class DefaultTolerationSeconds:
    """Adds tolerations of not-ready and unreachable nodes."""

    NAME = "DefaultTolerationSeconds"
    RESOURCES = frozenset({("", "pods")})
    SUBRESOURCES = frozenset({""})
    ADMITS = frozenset({"CREATE", "UPDATE"})
    REPEATS = True

    async def admit(self, attributes: Attributes) -> None:
        if attributes.obj is None:
            return
        spec = attributes.obj.setdefault("spec", {})
        tolerations: list[Object] = list(spec.get("tolerations") or ())
        not_ready_s, unreachable_s = attributes.call.backend.options.default_tolerations_s
        usual = ((_NOT_READY, not_ready_s), (_UNREACHABLE, unreachable_s))
        missing = [one for one in usual if not _tolerates(tolerations, one[0])]
        if missing:
            spec["tolerations"] = tolerations + [
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
                for key, seconds in missing
            ]
