"""PodTolerationRestriction: tolerations that a namespace's pods get, and those that they may have.

Both come from annotations of the namespace or else from the plugin's configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apis.core.affinity_validation import validate_toleration
from tiphys.apis.core.qos import pod_qos
from tiphys.apis.core.tolerations import all_covered, merge
from tiphys.apis.defaulting import each, peek
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.configuration import of_kind
from tiphys.apiserver.admission.lookup import find
from tiphys.apiserver.config_files import BadConfiguration, joined

_DEFAULTS: Final = "scheduler.alpha.kubernetes.io/defaultTolerations"
_ALLOWED: Final = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
_PRESSURE: Final = {
    "key": "node.kubernetes.io/memory-pressure",
    "operator": "Exists",
    "effect": "NoSchedule",
}
"""Pods that have been promised memory do not mind that their node is short of it."""


class PodTolerationRestriction:
    """Merges tolerations into new pods; refuses those that are not allowed."""

    NAME = "PodTolerationRestriction"
    RESOURCES = frozenset({("", "pods")})
    SUBRESOURCES = frozenset({""})
    ADMITS = VALIDATES = frozenset({"CREATE", "UPDATE"})

    def __init__(self, defaults: Sequence[Object] = (), allowed: Sequence[Object] = ()) -> None:
        self._defaults = defaults
        self._allowed = allowed

    @classmethod
    def configured(cls, document: Object | None) -> PodTolerationRestriction:
        """Raises BadConfiguration."""
        said = of_kind(document, "Configuration", "podtolerationrestriction.admission.k8s.io/v1alpha1")
        lists = {name: list(each(said, name)) for name in ("default", "whitelist")}
        faults = [
            fault
            for name, tolerations in lists.items()
            for number, one in enumerate(tolerations)
            for fault in validate_toleration(one, f"{name}[{number}]")
        ]
        if faults:
            raise BadConfiguration(joined(faults))
        return cls(lists["default"], lists["whitelist"])

    async def admit(self, attributes: Attributes) -> None:
        pod = attributes.obj
        if pod is None:
            return
        added: list[Object] = []
        if attributes.operation == "CREATE":
            given = await _annotated(attributes, _DEFAULTS)
            added += self._defaults if given is None else given
        if pod_qos(pod) != "BestEffort":
            added.append(_PRESSURE)
        if added:
            spec = pod["spec"]
            spec["tolerations"] = merge(spec.get("tolerations") or (), [copy_object(one) for one in added])
        await self.validate(attributes)

    async def validate(self, attributes: Attributes) -> None:
        tolerations = list(each(attributes.obj or {}, "spec", "tolerations"))
        if not tolerations:
            return
        given = await _annotated(attributes, _ALLOWED)
        allowed, scope = (self._allowed, "cluster") if given is None else (given, "namespace")
        if not all_covered(tolerations, allowed):
            raise StatusError(
                "pod tolerations (possibly merged with namespace default tolerations) conflict with its "
                f"{scope} whitelist",
                code=500,
            )


async def _annotated(attributes: Attributes, key: str) -> list[Object] | None:
    """Return the tolerations in an annotation of the namespace, None without one.

    Raises:
        StatusError: it is no list of tolerations.
    """
    namespace = await find(attributes.call.backend, "", "v1", "namespaces", attributes.namespace)
    text = peek(namespace or {}, "metadata", "annotations").get(key)
    if text is None:
        return None
    try:
        found = orjson.loads(text or "[]")
    except orjson.JSONDecodeError as error:
        raise StatusError(f"annotation {key} cannot be read: {error}", code=500) from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise StatusError(f"annotation {key} is no list of tolerations", code=500)
    return found
