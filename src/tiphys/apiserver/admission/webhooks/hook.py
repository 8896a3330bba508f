"""One webhook of a configuration, ready to be asked whether a write concerns it.

Pure but for reading a namespace's labels, which the caller brings. Source: the "Dynamic Admission Control"
page, "Matching requests".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tiphys.apimachinery.labels import Selector, from_label_selector
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.admission.attributes import Attributes

_OWN_KINDS = frozenset(
    {
        "validatingwebhookconfigurations", "mutatingwebhookconfigurations", "validatingadmissionpolicies",
        "validatingadmissionpolicybindings", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
    }
)  # fmt: skip
"""No webhook can shut itself in: nothing is asked about these."""


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook with its selectors read."""

    key: str
    """Unique: configuration, name and position."""
    name: str
    configuration: str
    spec: Object
    namespaces: Selector
    objects: Selector

    @property
    def ignores_failure(self) -> bool:
        return self.spec.get("failurePolicy") == "Ignore"

    @property
    def reinvocable(self) -> bool:
        return self.spec.get("reinvocationPolicy") == "IfNeeded"

    @property
    def timeout_s(self) -> int:
        return int(self.spec.get("timeoutSeconds") or 10)

    @property
    def without_side_effects(self) -> bool:
        return self.spec.get("sideEffects") in ("None", "NoneOnDryRun")


def read_hooks(configuration: Object) -> list[Hook]:
    """Return the webhooks of a configuration in its order."""
    name = configuration["metadata"]["name"]
    return [
        Hook(
            f"{name}/{spec['name']}/{position}",
            spec["name"],
            name,
            spec,
            from_label_selector(spec.get("namespaceSelector") or {}),
            from_label_selector(spec.get("objectSelector") or {}),
        )
        for position, spec in enumerate(configuration.get("webhooks") or ())
    ]


def is_exempt(attributes: Attributes) -> bool:
    """Tell whether webhooks are never asked about this kind."""
    return attributes.group == "admissionregistration.k8s.io" and attributes.plural in _OWN_KINDS


def matched_resource(hook: Hook, attributes: Attributes, equivalents: Iterable[Resource]) -> Resource | None:
    """Return the row in whose version the webhook wants to see the write; None: it is not concerned.

    ``equivalents`` are the other versions of the same kind, which count under matchPolicy Equivalent.
    """
    own = attributes.call.resource
    rules = hook.spec.get("rules") or ()
    if any(_matches(rule, own, attributes) for rule in rules):
        return own
    if hook.spec.get("matchPolicy") == "Exact":
        return None
    for other in equivalents:
        if any(_matches(rule, other, attributes) for rule in rules):
            return other
    return None


def _matches(rule: Object, row: Resource, attributes: Attributes) -> bool:
    return (
        _listed(rule, "apiGroups", row.group)
        and _listed(rule, "apiVersions", row.version)
        and _listed(rule, "operations", attributes.operation)
        and _in_scope(rule.get("scope") or "*", attributes)
        and any(_names(text, row.plural, attributes.subresource) for text in rule.get("resources") or ())
    )


def _listed(rule: Object, key: str, value: str) -> bool:
    values = rule.get(key) or ()
    return "*" in values or value in values


def _in_scope(scope: str, attributes: Attributes) -> bool:
    if scope == "*":
        return True
    return (scope == "Namespaced") == attributes.call.resource.namespaced


def _names(text: str, plural: str, subresource: str) -> bool:
    wanted, _, sub = text.partition("/")
    return wanted in ("*", plural) and sub in ("*", subresource)


def selects_namespace(hook: Hook, labels: dict[str, str] | None) -> bool:
    """Tell whether the namespace selector lets the webhook be asked; None: there is no namespace."""
    return labels is None or hook.namespaces.matches(labels)


def selects_object(hook: Hook, attributes: Attributes) -> bool:
    """Tell whether the new or the old object is selected."""
    if not hook.spec.get("objectSelector"):
        return True
    return any(
        obj is not None and hook.objects.matches(_labels(obj)) for obj in (attributes.obj, attributes.old)
    )


def _labels(obj: Object) -> dict[str, Any]:
    return (obj.get("metadata") or {}).get("labels") or {}
