"""The rules of a ClusterRole that gathers those of others. Pure. Source: rbac/v1 AggregationRule."""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.apimachinery.labels import from_label_selector
from tiphys.apimachinery.meta import Object


def aggregated_rules(role: Object, roles: Sequence[Object]) -> list[Object] | None:
    """Return each rule of every selected role once, by role name; None where nothing is gathered."""
    chosen = (role.get("aggregationRule") or {}).get("clusterRoleSelectors")
    if not chosen:
        return None
    selectors = [from_label_selector(item) for item in chosen]
    rules: list[Object] = []
    for selector in selectors:
        for other in sorted(roles, key=_name):
            if _name(other) == _name(role) or not selector.matches(other["metadata"].get("labels") or {}):
                continue
            rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules


def _name(role: Object) -> str:
    return str(role["metadata"]["name"])
