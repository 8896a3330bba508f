"""Which writes a webhook or a policy means: rules, selectors, and versions that stand for each other.

Pure but for reading a namespace's labels. Source: the "Dynamic Admission Control" page, "Matching requests".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.labels import EVERYTHING, Selector, from_label_selector
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.lookup import find

_GROUP = "admissionregistration.k8s.io"
_OWN_KINDS = frozenset(
    {
        "validatingwebhookconfigurations", "mutatingwebhookconfigurations", "validatingadmissionpolicies",
        "validatingadmissionpolicybindings", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
    }
)  # fmt: skip

NamespaceLabels = dict[str, str] | NotFound | None
"""Of the namespace that counts. None: there is none to ask for; NotFound: it is not there."""


def is_exempt(attributes: Attributes) -> bool:
    """Tell whether this is about admission itself: nobody can shut himself in."""
    return attributes.group == _GROUP and attributes.plural in _OWN_KINDS


@dataclass(frozen=True, slots=True)
class Match:
    """What is meant, with its selectors read."""

    rules: Sequence[Object]
    exact: bool
    namespaces: Selector
    objects: Selector
    excluded: Sequence[Object] = ()
    every_object: bool = False

    def row(self, attributes: Attributes, others: Sequence[Resource]) -> Resource | None:
        """Return the row in whose version the write is meant; None: it is not, whatever its labels are.

        ``others`` are the rows that stand for the same kind, which count unless only exact matches do.
        """
        if not self.rules:
            return attributes.call.resource
        return matched_row(self.rules, attributes, () if self.exact else others)

    def selects(
        self,
        attributes: Attributes,
        others: Sequence[Resource],
        labels: NamespaceLabels,
        obj: Object | None = None,
    ) -> bool:
        """Tell whether the selectors let it through and no exclusion holds.

        ``obj``: what the object is by now, where that is not what is written.

        Raises:
            NotFound: all would hang on the labels of a namespace that is not there.
        """
        if isinstance(labels, dict) and not self.namespaces.matches(labels):
            return False
        if not self.every_object and not self._selects_object(attributes, obj):
            return False
        if self.excluded and matched_row(self.excluded, attributes, () if self.exact else others) is not None:
            return False
        if isinstance(labels, NotFound) and self.namespaces != EVERYTHING:
            raise labels
        return True

    def _selects_object(self, attributes: Attributes, now: Object | None) -> bool:
        """Tell whether the object as it is, or was, is selected; a Scale has no labels, options never are."""
        if attributes.scales:
            return self.objects.matches({})
        return any(
            obj is not None and "metadata" in obj and self.objects.matches(_labels(obj))
            for obj in (now or attributes.obj, attributes.old)
        )


def read_match(spec: Object, rules: str, excluded: str = "") -> Match:
    """Read the fields of a webhook, or of what a policy or a binding matches."""
    return Match(
        tuple(spec.get(rules) or ()),
        spec.get("matchPolicy") == "Exact",
        from_label_selector(spec.get("namespaceSelector") or {}),
        from_label_selector(spec.get("objectSelector") or {}),
        tuple(spec.get(excluded) or ()) if excluded else (),
        not spec.get("objectSelector"),
    )


def matched_row(
    rules: Sequence[Object], attributes: Attributes, others: Sequence[Resource]
) -> Resource | None:
    """Return the row that the first rule means: the request's own before those that stand for it."""
    own = attributes.call.resource
    if any(rule_matches(rule, own, attributes) for rule in rules):
        return own
    for rule in rules:
        for other in others:
            if rule_matches(rule, other, attributes):
                return other
    return None


def rule_matches(rule: Object, row: Resource, attributes: Attributes) -> bool:
    """Tell whether a rule means this operation on this row."""
    return (
        _listed(rule, "apiGroups", row.group)
        and _listed(rule, "apiVersions", row.version)
        and _listed(rule, "operations", attributes.operation)
        and _in_scope(rule.get("scope") or "*", attributes)
        and any(_names(text, row.plural, attributes.subresource) for text in rule.get("resources") or ())
        and (not rule.get("resourceNames") or attributes.request_name in rule["resourceNames"])
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


def _labels(obj: Object) -> dict[str, Any]:
    return (obj.get("metadata") or {}).get("labels") or {}


def equivalents(attributes: Attributes) -> Sequence[Resource]:
    """Return the other rows of the kind written: other versions, and groups that share its objects."""
    found: Sequence[Resource] = attributes.call.backend.table.equivalents(attributes.call.resource)
    return found


async def namespace_labels(attributes: Attributes) -> NamespaceLabels:
    """Return the labels of the namespace written in, or of the namespace written.

    A namespace whose status is written, say, is judged by the labels that it has.
    """
    if not attributes.group and attributes.plural == "namespaces":
        whole = attributes.obj is not None and not attributes.subresource
        obj = attributes.obj if whole else attributes.old
        return dict((obj or {"metadata": {}})["metadata"].get("labels") or {})
    if not attributes.call.resource.namespaced:
        return None
    found = await find(attributes.call.backend, "", "v1", "namespaces", attributes.namespace)
    if found is None:
        return NotFound.of("", "namespaces", attributes.namespace)
    return dict(found["metadata"].get("labels") or {})
