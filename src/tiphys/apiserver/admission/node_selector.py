"""PodNodeSelector: the nodes that a namespace's pods may run on, by its annotation or by configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import peek
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.lookup import find

_ANNOTATION: Final = "scheduler.alpha.kubernetes.io/node-selector"
_DEFAULT: Final = "clusterDefaultNodeSelector"
_FIELD: Final = "podNodeSelectorPluginConfig"


class PodNodeSelector:
    """Adds a namespace's selector to its new pods, and refuses what goes against it."""

    NAME = "PodNodeSelector"
    RESOURCES = frozenset({("", "pods")})
    SUBRESOURCES = frozenset({""})
    ADMITS = VALIDATES = frozenset({"CREATE"})

    def __init__(self, selectors: Mapping[str, str] | None = None) -> None:
        self._selectors = dict(selectors or {})
        """By namespace: all that its pods may select; one more for namespaces without an annotation."""

    @classmethod
    def configured(cls, document: Object | None) -> PodNodeSelector:
        """Return a plugin; a field that is no text counts for nothing."""
        given = (document or {}).get(_FIELD)
        found = given if isinstance(given, dict) else {}
        return cls({str(key): value for key, value in found.items() if isinstance(value, str)})

    async def admit(self, attributes: Attributes) -> None:
        if attributes.obj is None:
            return
        spec = attributes.obj["spec"]
        wanted = await self._wanted(attributes)
        _refuse_conflict(attributes, wanted, spec)
        if wanted:
            spec["nodeSelector"] = {**wanted, **(spec.get("nodeSelector") or {})}
        await self.validate(attributes)

    async def validate(self, attributes: Attributes) -> None:
        if attributes.obj is None:
            return
        spec = attributes.obj["spec"]
        _refuse_conflict(attributes, await self._wanted(attributes), spec)
        allowed = _labels(self._selectors.get(attributes.namespace, ""))
        selected = spec.get("nodeSelector") or {}
        if allowed and not selected.items() <= allowed.items():
            raise attributes.refuse("pod node label selector labels conflict with its namespace whitelist")

    async def _wanted(self, attributes: Attributes) -> dict[str, str]:
        namespace = await find(attributes.call.backend, "", "v1", "namespaces", attributes.namespace)
        annotations = peek(namespace or {}, "metadata", "annotations")
        return _labels(str(annotations.get(_ANNOTATION, self._selectors.get(_DEFAULT, ""))))


def _refuse_conflict(attributes: Attributes, wanted: dict[str, str], spec: dict[str, Any]) -> None:
    selected = spec.get("nodeSelector") or {}
    if any(selected.get(key, value) != value for key, value in wanted.items()):
        raise attributes.refuse("pod node label selector conflicts with its namespace node label selector")


def _labels(text: str) -> dict[str, str]:
    """Read ``a=b,c=d``.

    Raises:
        StatusError: it is none; a namespace in which that stands takes no pods.
    """
    found = {}
    for part in text.split(",") if text else ():
        key, separator, value = part.partition("=")
        if not separator or "=" in value:
            raise StatusError(f"invalid selector: [{' '.join(text.split(','))}]", code=500)
        key, value = key.strip(), value.strip()
        for shown, faults in (
            (key, names.is_qualified_name(key)),
            (value, names.is_label_value(value)),
        ):
            if faults:
                raise StatusError(f'invalid label "{shown}": {"; ".join(faults)}', code=500)
        found[key] = value
    return found
