"""One RBAC rule, ready to be matched, and whether rules cover others (escalation).

Pure. Source: rbac.authorization.k8s.io/v1 PolicyRule.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.filters.requestinfo import RequestInfo


@dataclass(frozen=True, slots=True)
class Rule:
    """A PolicyRule. Lists keep their order, which is how they are shown again."""

    verbs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    @classmethod
    def of(cls, rule: Object) -> Rule:
        return cls(
            verbs=tuple(rule.get("verbs") or ()),
            groups=tuple(rule.get("apiGroups") or ()),
            resources=tuple(rule.get("resources") or ()),
            names=tuple(rule.get("resourceNames") or ()),
            urls=tuple(rule.get("nonResourceURLs") or ()),
        )

    def to_object(self) -> Object:
        """Render as a PolicyRule again."""
        pairs = (
            ("verbs", self.verbs), ("apiGroups", self.groups), ("resources", self.resources),
            ("resourceNames", self.names), ("nonResourceURLs", self.urls),
        )  # fmt: skip
        return {key: list(values) for key, values in pairs if values}

    def allows(self, info: RequestInfo) -> bool:
        """Tell whether this rule lets the request through."""
        if "*" not in self.verbs and info.verb not in self.verbs:
            return False
        if not info.is_resource:
            return any(_url_matches(url, info.path) for url in self.urls)
        if "*" not in self.groups and info.group not in self.groups:
            return False
        if not self._resource(info.resource, info.subresource):
            return False
        return not self.names or info.name in self.names

    def _resource(self, resource: str, subresource: str) -> bool:
        if "*" in self.resources:
            return True
        if not subresource:
            return resource in self.resources
        return f"{resource}/{subresource}" in self.resources or f"*/{subresource}" in self.resources


def _url_matches(pattern: str, path: str) -> bool:
    if pattern == "*" or pattern == path:
        return True
    return pattern.endswith("*") and path.startswith(pattern.rstrip("*"))


def rules_of(role: Object) -> tuple[Rule, ...]:
    """Return the rules of a Role or ClusterRole."""
    return tuple(Rule.of(rule) for rule in role.get("rules") or ())


def _split(rule: Rule) -> Iterable[Rule]:
    """Break a rule into ones with a single verb, group, resource, name or URL each."""
    for group, resource, verb in product(rule.groups, rule.resources, rule.verbs):
        for name in rule.names or ("",):
            yield Rule((verb,), (group,), (resource,), (name,) if name else ())
    for url, verb in product(rule.urls, rule.verbs):
        yield Rule((verb,), urls=(url,))


def _covers_one(owner: Rule, piece: Rule) -> bool:
    (verb,) = piece.verbs
    if "*" not in owner.verbs and verb not in owner.verbs:
        return False
    if piece.urls:
        return any(_url_matches(url, piece.urls[0]) for url in owner.urls)
    (group,), (resource,) = piece.groups, piece.resources
    if "*" not in owner.groups and group not in owner.groups:
        return False
    _, _, sub = resource.partition("/")
    if (
        "*" not in owner.resources
        and resource not in owner.resources
        and not (sub and f"*/{sub}" in owner.resources)
    ):
        return False
    return not owner.names or (bool(piece.names) and set(piece.names) <= set(owner.names))


def uncovered(owned: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """Return the pieces of ``wanted`` that ``owned`` does not grant: what would be an escalation."""
    owned = list(owned)
    return [
        piece for rule in wanted for piece in _split(rule) if not any(_covers_one(o, piece) for o in owned)
    ]


def compact(pieces: Iterable[Rule]) -> list[Rule]:
    """Join pieces that differ in their verb only."""
    joined: dict[tuple[object, ...], Rule] = {}
    for piece in pieces:
        key = (piece.groups, piece.resources, piece.names, piece.urls, piece.verbs if piece.urls else ())
        known = joined.get(key)
        joined[key] = piece if known is None else replace(known, verbs=(*known.verbs, *piece.verbs))
    return list(joined.values())


def describe(rule: Rule) -> str:
    """Return a rule as escalation errors print it: ``{APIGroups:[""], Verbs:["get"]}``."""
    parts = []
    for label, values in (
        ("APIGroups", rule.groups), ("Resources", rule.resources), ("NonResourceURLs", rule.urls),
        ("ResourceNames", rule.names), ("Verbs", rule.verbs),
    ):  # fmt: skip
        if values:
            quoted = " ".join(f'"{value}"' for value in values)
            parts.append(f"{label}:[{quoted}]")
    return "{" + ", ".join(parts) + "}"
