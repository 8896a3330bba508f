"""One RBAC rule, ready to be matched, and whether rules cover others (escalation).

Pure. Source: rbac.authorization.k8s.io/v1 PolicyRule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.filters.requestinfo import RequestInfo

PIECES: Final = 20_000
"""What a role may grant that its writer does not hold by one rule, each verb of each resource by itself."""
_COMPARISONS: Final = 5_000_000


class TooMany(Exception):
    """Rules have more pieces than can be compared with those that somebody holds."""


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


class _Held:
    """A rule that somebody holds, ready to be asked about many pieces."""

    __slots__ = ("_groups", "_prefixes", "_resources", "_urls", "_verbs", "names")

    def __init__(self, rule: Rule) -> None:
        self._verbs, self._groups = frozenset(rule.verbs), frozenset(rule.groups)
        self._resources, self._urls = frozenset(rule.resources), frozenset(rule.urls)
        self._prefixes = tuple(url.rstrip("*") for url in rule.urls if url.endswith("*"))
        self.names = frozenset(rule.names)

    def covers(self, rule: Rule) -> bool:
        """Tell whether all of a rule is granted by this one alone."""
        if "*" not in self._verbs and not self._verbs.issuperset(rule.verbs):
            return False
        if not all(url in self._urls or url.startswith(self._prefixes) for url in rule.urls):
            return False
        if rule.urls and not rule.resources:
            return True
        if "*" not in self._groups and not self._groups.issuperset(rule.groups):
            return False
        if not all(map(self._has_resource, rule.resources)):
            return False
        if not self.names:
            return True
        return bool(rule.names) and "" not in rule.names and self.names.issuperset(rule.names)

    def _has_resource(self, resource: str) -> bool:
        if "*" in self._resources or resource in self._resources:
            return True
        _, _, sub = resource.partition("/")
        return bool(sub) and f"*/{sub}" in self._resources


def combinations(rules: Iterable[Rule]) -> int:
    """Return of how many pieces rules are made: each verb of each group, resource, name or URL."""
    return sum(
        len(rule.verbs) * (len(rule.groups) * len(rule.resources) * max(len(rule.names), 1) + len(rule.urls))
        for rule in rules
    )


def not_whole(owned: Sequence[Rule], wanted: Sequence[Rule]) -> list[Rule]:
    """Return those of ``wanted`` that no single rule of ``owned`` grants.

    Raises:
        TooMany: that cannot be told, nor of which pieces they are, in bearable time.
    """
    known = {rule for rule in owned if "" not in rule.names}
    left = [rule for rule in wanted if rule not in known]
    _bound(len(left), len(owned))
    everything = [held for held in map(_Held, owned) if not held.names]
    left = [rule for rule in left if not any(held.covers(rule) for held in everything)]
    _bound(combinations(left), len(owned))
    return left


def _bound(wanted: int, owned: int) -> None:
    if wanted > PIECES or wanted * owned > _COMPARISONS:
        raise TooMany


def uncovered(owned: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """Return the pieces of ``wanted`` that ``owned`` does not grant: what would be an escalation.

    It takes as long as there are ``combinations`` of what is wanted, times the rules that are owned.
    """
    of_all: list[_Held] = []
    by_name: dict[str, list[_Held]] = {}
    for held in map(_Held, owned):
        for name in held.names:
            by_name.setdefault(name, []).append(held)
        if not held.names:
            of_all.append(held)

    def granted(piece: Rule) -> bool:
        if any(held.covers(piece) for held in of_all):
            return True
        return any(held.covers(piece) for name in piece.names for held in by_name.get(name, ()))

    return [piece for rule in wanted for piece in _split(rule) if not granted(piece)]


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
