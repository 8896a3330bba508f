"""One RBAC rule, ready to be matched, and whether rules cover others (escalation).

Pure. Source: rbac.authorization.k8s.io/v1 PolicyRule.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.requestinfo import RequestInfo


@dataclass(frozen=True, slots=True)
class Rule:
    """A PolicyRule as sets."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: tuple[str, ...]

    @classmethod
    def of(cls, rule: Object) -> Rule:
        return cls(
            verbs=frozenset(rule.get("verbs") or ()),
            groups=frozenset(rule.get("apiGroups") or ()),
            resources=frozenset(rule.get("resources") or ()),
            names=frozenset(rule.get("resourceNames") or ()),
            urls=tuple(rule.get("nonResourceURLs") or ()),
        )

    def to_object(self) -> Object:
        """Render as a PolicyRule again, with sorted lists."""
        pairs = (
            ("apiGroups", self.groups), ("nonResourceURLs", self.urls), ("resourceNames", self.names),
            ("resources", self.resources),
        )  # fmt: skip
        rule: Object = {key: sorted(values) for key, values in pairs if values}
        rule["verbs"] = sorted(self.verbs)
        return rule

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
    for verb in sorted(rule.verbs):
        one = frozenset((verb,))
        for url in rule.urls:
            yield Rule(one, frozenset(), frozenset(), frozenset(), (url,))
        for group, resource in product(sorted(rule.groups), sorted(rule.resources)):
            for name in sorted(rule.names) or [""]:
                names = frozenset((name,)) if name else frozenset[str]()
                yield Rule(one, frozenset((group,)), frozenset((resource,)), names, ())


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
    return not owner.names or (bool(piece.names) and piece.names <= owner.names)


def uncovered(owned: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """Return the pieces of ``wanted`` that ``owned`` does not grant: what would be an escalation."""
    owned = list(owned)
    return [
        piece for rule in wanted for piece in _split(rule) if not any(_covers_one(o, piece) for o in owned)
    ]


def describe(rule: Rule) -> str:
    """Return a rule as escalation errors print it: ``{APIGroups:[""], Verbs:["get"]}``."""
    parts = []
    for label, values in (
        ("APIGroups", sorted(rule.groups)), ("Resources", sorted(rule.resources)),
        ("ResourceNames", sorted(rule.names)), ("NonResourceURLs", list(rule.urls)),
        ("Verbs", sorted(rule.verbs)),
    ):  # fmt: skip
        if values:
            quoted = " ".join(f'"{value}"' for value in values)
            parts.append(f"{label}:[{quoted}]")
    return "{" + ", ".join(parts) + "}"
