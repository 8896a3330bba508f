"""RBAC from an in-memory index of roles and bindings.

Owns: the index and its decisions. Refuses: reading the store itself: ``apiserver.authz.feed`` hands it every
change. A decision costs the rules bound to the asking user and groups, and is remembered until RBAC changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.authn.user import MASTERS, User, service_account_name
from tiphys.apiserver.authz.attributes import NO_OPINION, Decision
from tiphys.apiserver.authz.rules import Rule, rules_of
from tiphys.apiserver.requestinfo import RequestInfo

_MAX_REMEMBERED = 50_000
_RoleKey = tuple[str, str]
"""(namespace, name); the namespace is empty for a ClusterRole."""
_Bound = tuple[str, _RoleKey]
"""(namespace of the binding, empty for cluster-wide; role)."""
_ALLOWED = Decision(allowed=True)


class Rbac:
    """Roles and bindings by subject."""

    def __init__(self) -> None:
        self._roles: dict[_RoleKey, tuple[Rule, ...]] = {}
        self._bindings: dict[_RoleKey, tuple[list[str], _Bound]] = {}
        self._by_subject: dict[str, dict[_RoleKey, _Bound]] = {}
        self._remembered: dict[tuple[User, str, str, str, str, str, str, str], Decision] = {}

    def set_role(self, role: Object) -> None:
        """Take in a Role or ClusterRole."""
        meta = role["metadata"]
        self._roles[(meta.get("namespace", ""), meta["name"])] = rules_of(role)
        self._remembered.clear()

    def remove_role(self, namespace: str, name: str) -> None:
        self._roles.pop((namespace, name), None)
        self._remembered.clear()

    def set_binding(self, binding: Object) -> None:
        """Take in a RoleBinding or ClusterRoleBinding."""
        meta = binding["metadata"]
        namespace = meta.get("namespace", "")
        key = (namespace, meta["name"])
        self.remove_binding(*key)
        ref = binding["roleRef"]
        role = (namespace if ref["kind"] == "Role" else "", ref["name"])
        subjects = [_subject(subject, namespace) for subject in binding.get("subjects") or ()]
        bound = (namespace, role)
        self._bindings[key] = (subjects, bound)
        for subject in subjects:
            self._by_subject.setdefault(subject, {})[key] = bound

    def remove_binding(self, namespace: str, name: str) -> None:
        self._remembered.clear()
        found = self._bindings.pop((namespace, name), None)
        if found is None:
            return
        for subject in found[0]:
            bound = self._by_subject.get(subject)
            if bound is not None:
                bound.pop((namespace, name), None)
                if not bound:
                    del self._by_subject[subject]

    def role_rules(self, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """Return a role's rules (empty namespace: a ClusterRole), None when there is none of that name."""
        return self._roles.get((namespace, name))

    def rules_for(self, user: User, namespace: str) -> Iterator[Rule]:
        """Yield every rule that binds the user cluster-wide or in ``namespace``."""
        for subject in _subjects_of(user):
            for where, role in self._by_subject.get(subject, {}).values():
                if not where or where == namespace:
                    yield from self._roles.get(role, ())

    def authorize(self, user: User, info: RequestInfo) -> Decision:
        """Return allowed or no opinion: RBAC never denies."""
        namespace = info.namespace if info.is_resource else ""
        key = (
            user, info.verb, info.group, info.resource, info.subresource, namespace, info.name,
            "" if info.is_resource else info.path,
        )  # fmt: skip
        decision = self._remembered.get(key)
        if decision is None:
            allowed = any(rule.allows(info) for rule in self.rules_for(user, namespace))
            decision = _ALLOWED if allowed else NO_OPINION
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = decision
        return decision


def _subject(subject: Object, namespace: str) -> str:
    kind, name = subject.get("kind"), str(subject.get("name", ""))
    if kind == "ServiceAccount":
        return "u:" + service_account_name(subject.get("namespace") or namespace, name)
    return ("g:" if kind == "Group" else "u:") + name


def _subjects_of(user: User) -> Iterable[str]:
    yield "u:" + user.name
    for group in user.groups:
        yield "g:" + group


def is_master(user: User) -> bool:
    """Tell whether the user may do everything, whatever RBAC says."""
    return MASTERS in user.groups
