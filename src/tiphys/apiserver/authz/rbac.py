"""RBAC from an in-memory index of roles and bindings.

Owns: the index, its decisions and why they are so. Refuses: reading the store itself: ``authz.feeds`` hands
it every change. A decision costs the rules bound to the asking user and groups, and is remembered until
RBAC changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.authn.user import MASTERS, User, service_account_name
from tiphys.apiserver.authz.attributes import NO_OPINION, Decision, aggregate
from tiphys.apiserver.authz.rules import Rule
from tiphys.apiserver.filters.requestinfo import RequestInfo

_MAX_REMEMBERED = 20_000
_MAX_NAMES = 4096
_MAX_CHARACTERS = 4096
"""Of all that a request says of what it is about, and of its user."""
_GROUP = "rbac.authorization.k8s.io"
_RoleKey = tuple[str, str]
"""(namespace, name); the namespace is empty for a ClusterRole."""


@dataclass(frozen=True, slots=True)
class _Bound:
    """A role as one binding gives it to one subject."""

    binding: _RoleKey
    role: _RoleKey
    source: str
    """The binding, the role and the subject in words."""

    @property
    def where(self) -> str:
        """The binding's namespace, empty for cluster-wide."""
        return self.binding[0]

    @property
    def missing(self) -> str:
        """What is said when the role is not there."""
        return f'{"role" if self.role[0] else "clusterrole"}.{_GROUP} "{self.role[1]}" not found'


class Rbac:
    """Roles and bindings by subject."""

    def __init__(self) -> None:
        self._roles: dict[_RoleKey, tuple[Rule, ...] | list[Object]] = {}
        """Rules are read when first asked for: most default roles never are."""
        self._bindings: dict[_RoleKey, list[str]] = {}
        self._by_subject: dict[str, dict[_RoleKey, _Bound]] = {}
        self.changes = 0
        """How many roles and bindings were taken in or went."""
        self._remembered: dict[tuple[User, str, str, str, str, str, str], Decision | dict[str, Decision]] = {}
        """By all of a request but the object's name; where a rule speaks of names, by name in turn."""
        self._decisions: dict[str, Decision] = {}
        """By their reasons: thousands that are remembered are a few dozen."""

    def _forget(self) -> None:
        self.changes += 1
        self._remembered.clear()
        self._decisions.clear()

    def set_role(self, role: Object) -> None:
        """Take in a Role or ClusterRole."""
        meta = role["metadata"]
        self._roles[(meta.get("namespace", ""), meta["name"])] = role.get("rules") or []
        self._forget()

    def remove_role(self, namespace: str, name: str) -> None:
        self._roles.pop((namespace, name), None)
        self._forget()

    def set_binding(self, binding: Object) -> None:
        """Take in a RoleBinding or ClusterRoleBinding."""
        meta = binding["metadata"]
        namespace = meta.get("namespace", "")
        key = (namespace, meta["name"])
        self.remove_binding(*key)
        ref = binding["roleRef"]
        role = (namespace if ref["kind"] == "Role" else "", ref["name"])
        named = f'RoleBinding "{key[1]}/{namespace}"' if namespace else f'ClusterRoleBinding "{key[1]}"'
        given = f'{named} of {ref["kind"]} "{ref["name"]}" to '
        subjects = self._bindings[key] = []
        for subject in binding.get("subjects") or ():
            who = _subject(subject, namespace)
            subjects.append(who)
            bound = _Bound(key, role, given + _describe(subject, namespace))
            self._by_subject.setdefault(who, {}).setdefault(key, bound)

    def remove_binding(self, namespace: str, name: str) -> None:
        self._forget()
        for subject in self._bindings.pop((namespace, name), ()):
            bound = self._by_subject.get(subject)
            if bound is not None:
                bound.pop((namespace, name), None)
                if not bound:
                    del self._by_subject[subject]

    def role_rules(self, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """Return a role's rules (empty namespace: a ClusterRole), None when there is none of that name."""
        found = self._roles.get((namespace, name))
        if isinstance(found, list):
            found = self._roles[(namespace, name)] = tuple(Rule.of(rule) for rule in found)
        return found

    def rules_for(self, user: User, namespace: str) -> Iterator[Rule]:
        """Yield every rule that binds the user cluster-wide or in ``namespace``."""
        for bound in self._bound(user, namespace):
            yield from self.role_rules(*bound.role) or ()

    def faults_for(self, user: User, namespace: str) -> list[str]:
        """Return what keeps the user's rules from being complete: roles that are bound and not there."""
        missing = [bound.missing for bound in self._bound(user, namespace) if bound.role not in self._roles]
        return list(dict.fromkeys(missing))

    def _bound(self, user: User, namespace: str) -> Iterator[_Bound]:
        """Yield what binds the user, each binding once, those of the whole cluster first."""
        local: dict[_RoleKey, _Bound] = {}
        seen: set[_RoleKey] = set()
        for subject in _subjects_of(user):
            for key, bound in self._by_subject.get(subject, {}).items():
                if not bound.where and key not in seen:
                    seen.add(key)
                    yield bound
                elif bound.where == namespace:
                    local.setdefault(key, bound)
        yield from local.values()

    def _source(self, bound: _Bound, user: User) -> str:
        """Say why a binding is the user's: the first of its subjects counts that the user is."""
        own = set(_subjects_of(user))
        first = next(one for one in self._bindings[bound.binding] if one in own)
        return self._by_subject[first][bound.binding].source

    def authorize(self, user: User, info: RequestInfo) -> Decision:
        """Return allowed or no opinion: RBAC never denies."""
        namespace = info.namespace if info.is_resource else ""
        key = (
            user, info.verb, info.group, info.resource, info.subresource, namespace,
            "" if info.is_resource else info.path,
        )  # fmt: skip
        found = self._remembered.get(key)
        if found is None:
            if _is_long(user, info):
                return self._decide(user, info, namespace)
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            found = {} if self.names_matter(user, info) else self._decide(user, info, namespace)
            self._remembered[key] = found
        if isinstance(found, Decision):
            return found
        decision = found.get(info.name)
        if decision is None:
            if len(info.name) > _MAX_CHARACTERS:
                return self._decide(user, info, namespace)
            if len(found) >= _MAX_NAMES:
                found.clear()
            decision = found[info.name] = self._decide(user, info, namespace)
        return decision

    def names_matter(self, user: User, info: RequestInfo) -> bool:
        """Tell whether a rule of the user's allows such requests for some names alone."""
        rules = self.rules_for(user, info.namespace if info.is_resource else "")
        return any(rule.names and replace(rule, names=()).allows(info) for rule in rules)

    def _decide(self, user: User, info: RequestInfo, namespace: str) -> Decision:
        for bound in self._bound(user, namespace):
            if any(rule.allows(info) for rule in self.role_rules(*bound.role) or ()):
                reason = f"RBAC: allowed by {self._source(bound, user)}"
                return self._decisions.setdefault(reason, Decision(allowed=True, reason=reason))
        faults = self.faults_for(user, namespace)
        return Decision(reason=f"RBAC: {aggregate(faults)}") if faults else NO_OPINION


def _is_long(user: User, info: RequestInfo) -> bool:
    """Tell whether a request's words or its user would fill the memory: strangers, too, ask with any path."""
    words = (info.verb, info.group, info.resource, info.subresource, info.namespace, info.name, info.path)
    extra = (value for key, values in user.extra for value in (key, *values))
    return sum(map(len, (*words, user.name, user.uid, *user.groups, *extra))) > _MAX_CHARACTERS


def _subject(subject: Object, namespace: str) -> str:
    kind, name = subject.get("kind"), str(subject.get("name", ""))
    if kind == "ServiceAccount":
        return "u:" + service_account_name(subject.get("namespace") or namespace, name)
    return ("g:" if kind == "Group" else "u:") + name


def _describe(subject: Object, namespace: str) -> str:
    kind, name = subject.get("kind", ""), subject.get("name", "")
    if kind == "ServiceAccount":
        name = f"{name}/{subject.get('namespace') or namespace}"
    return f'{kind} "{name}"'


def _subjects_of(user: User) -> Iterable[str]:
    yield "u:" + user.name
    for group in user.groups:
        yield "g:" + group


def is_master(user: User) -> bool:
    """Tell whether the user may do everything, whatever RBAC says."""
    return MASTERS in user.groups
