"""Does a node fit a term? Pure rules over API objects.

Source: core/v1 NodeSelector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.meta import Object


def node_labels(node: Object | None) -> dict[str, str]:
    """Return a node's labels ({} for an empty row)."""
    labels: dict[str, str] = (node or {}).get("metadata", {}).get("labels") or {}
    return labels


_SET_OPERATORS: dict[str, Callable[[str | None, list[str]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _values: value is not None,
    "DoesNotExist": lambda value, _values: value is None,
}


def _matches_requirement(requirement: dict[str, Any], have: str | None) -> bool:
    operator, values = requirement["operator"], requirement.get("values") or []
    test = _SET_OPERATORS.get(operator)
    if test is not None:
        return test(have, values)
    left, right = atoi(have or ""), atoi(values[0]) if values else None
    if left is None or right is None:
        return False
    return left > right if operator == "Gt" else left < right


def matches_node_term(term: dict[str, Any], node: dict[str, Any]) -> bool:
    """Say whether a NodeSelectorTerm takes the node; an empty term takes none."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    labels = node_labels(node)
    name = node["metadata"]["name"]
    return all(_matches_requirement(one, labels.get(one["key"])) for one in expressions) and all(
        one["key"] == "metadata.name" and _matches_requirement(one, name) for one in fields
    )


def matches_node_selector(selector: dict[str, Any], node: dict[str, Any]) -> bool:
    """Say whether any term of a NodeSelector takes the node."""
    return any(matches_node_term(term, node) for term in selector.get("nodeSelectorTerms") or ())
