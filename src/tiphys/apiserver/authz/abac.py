"""Rights by attributes: a file with a policy on each line (mode ABAC, ``--authorization-policy-file``).

Owns: reading such a file, in both of its forms, and what its policies allow. A policy allows or says nothing.
Pure. Source: the "Using ABAC Authorization" page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tiphys.apimachinery import go_yaml
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.schema.type_meta import NO_KIND
from tiphys.apiserver.authn.user import AUTHENTICATED, User
from tiphys.apiserver.authz.attributes import Decision
from tiphys.apiserver.authz.rules import Rule
from tiphys.apiserver.filters.requestinfo import RequestInfo

_VERSION: Final = "abac.authorization.kubernetes.io/v1beta1"
_READ_ONLY: Final = ("get", "list", "watch")
_ALLOWED: Final = Decision(allowed=True)
_NO_MATCH: Final = Decision(reason="No policy matched.")
_ANY: Final = "*"


class BadPolicyFile(ValueError):
    """A line is no policy; the text says which."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may do what. Empty texts match nothing but what is empty; ``*`` matches everything."""

    user: str = ""
    group: str = ""
    readonly: bool = False
    api_group: str = ""
    resource: str = ""
    namespace: str = ""
    path: str = ""

    def is_about(self, user: User) -> bool:
        """Tell whether a user is meant: by name and group where both are given."""
        if self.user not in ("", _ANY, user.name):
            return False
        if self.group not in ("", _ANY) and self.group not in user.groups:
            return False
        return bool(self.user or self.group)

    def allows(self, info: RequestInfo) -> bool:
        """Tell whether a request of somebody who is meant is allowed."""
        if self.readonly and info.verb not in _READ_ONLY:
            return False
        if not info.is_resource:
            return self._has(info.path)
        return (
            self.namespace in (_ANY, info.namespace)
            and self.resource in (_ANY, info.resource)
            and self.api_group in (_ANY, info.group)
        )

    def _has(self, path: str) -> bool:
        if self.path in (_ANY, path):
            return True
        return self.path.endswith(_ANY) and path.startswith(self.path.rstrip(_ANY))

    def rules(self) -> Iterator[Rule]:
        """Yield it as rules of roles, for who asks what she may do."""
        verbs = _READ_ONLY if self.readonly else (_ANY,)
        if self.resource:
            yield Rule(verbs, (self.api_group,), (self.resource,))
        if self.path:
            yield Rule(verbs, urls=(self.path,))


class Abac:
    """The policies of one file."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = tuple(policies)

    def authorize(self, user: User, info: RequestInfo) -> Decision:
        """Return what the first policy that matches says."""
        found = any(one.is_about(user) and one.allows(info) for one in self._policies)
        return _ALLOWED if found else _NO_MATCH

    def rules_for(self, user: User, namespace: str) -> Iterator[Rule]:
        """Yield what the user may do in a namespace."""
        for one in self._policies:
            if one.is_about(user) and one.namespace in (_ANY, namespace):
                yield from one.rules()


def parse(text: str, path: str) -> tuple[Policy, ...]:
    """Return the policies of a file. Lines that are empty or begin with ``#`` say nothing.

    Raises:
        BadPolicyFile: in upstream's words, with the number of the line.
    """
    found: list[Policy] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.strip().startswith("#"):
            continue
        try:
            found.append(_policy(line))
        except ValueError as error:
            raise BadPolicyFile(
                f"error reading policy file {path}, line {number}: {line}: {error}"
            ) from error
    return tuple(found)


def _policy(line: str) -> Policy:
    document, _ = go_yaml.load(line)
    if not isinstance(document, dict):
        raise ValueError(f"{NO_KIND}: the line is no object")
    if (document.get("apiVersion"), document.get("kind")) != (_VERSION, "Policy"):
        return _unversioned(document)
    return _of_everybody(_read(document.get("spec") or {}))


def _read(fields: dict[str, Any]) -> Policy:
    """Return the policy that fields tell of. Raises ValueError for those of a wrong type."""
    names = ("user", "group", "apiGroup", "resource", "namespace", "nonResourcePath")
    texts: list[Any] = ["" if fields.get(name) is None else fields[name] for name in names]
    readonly = fields.get("readonly") or False
    if not all(isinstance(one, str) for one in texts) or not isinstance(readonly, bool):
        raise ValueError("a field of the Policy has the wrong type")
    user, group, api_group, resource, namespace, path = texts
    return Policy(user, group, readonly, api_group, resource, namespace, path)


def _of_everybody(one: Policy) -> Policy:
    """Return a policy of anybody as one of whoever is known."""
    if _ANY not in (one.user, one.group):
        return one
    return Policy("", AUTHENTICATED, one.readonly, one.api_group, one.resource, one.namespace, one.path)


def _unversioned(fields: dict[str, Any]) -> Policy:
    """Return a policy of the older form, where what is not said is everything."""
    one = _read(
        {name: value for name, value in fields.items() if name not in ("apiGroup", "nonResourcePath")}
    )
    everybody = not one.user and not one.group
    return _of_everybody(
        Policy(
            one.user,
            AUTHENTICATED if everybody else one.group,
            one.readonly,
            _ANY,
            one.resource or _ANY,
            one.namespace or _ANY,
            "" if one.resource or one.namespace else _ANY,
        )
    )
