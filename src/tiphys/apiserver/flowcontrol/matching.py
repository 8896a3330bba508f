"""Which FlowSchema a request belongs to. Pure.

Owns: the reading of subjects and rules, and the order in which schemas are tried. Called once for each kind
of request of each user; ``FlowControl`` remembers the answer.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.authn.user import User, service_account_name
from tiphys.apiserver.filters.requestinfo import RequestInfo

_ALL = "*"


@dataclass(frozen=True, slots=True)
class Schema:
    """A FlowSchema as it decides."""

    name: str
    uid: str
    level: str
    precedence: int
    distinguisher: str
    """ByUser, ByNamespace or empty."""
    rules: tuple[Object, ...]

    @classmethod
    def of(cls, obj: Object) -> Schema:
        spec = obj["spec"]
        return cls(
            name=obj["metadata"]["name"],
            uid=obj["metadata"].get("uid") or "",
            level=spec["priorityLevelConfiguration"]["name"],
            precedence=spec.get("matchingPrecedence") or 1000,
            distinguisher=(spec.get("distinguisherMethod") or {}).get("type") or "",
            rules=tuple(spec.get("rules") or ()),
        )

    def matches(self, user: User, info: RequestInfo) -> bool:
        return any(
            any(_is_subject(one, user) for one in rule.get("subjects") or ()) and _is_meant(rule, info)
            for rule in self.rules
        )

    def may_match(self, user: User) -> bool:
        """Tell whether any request of a user matches."""
        return any(_is_subject(one, user) for rule in self.rules for one in rule.get("subjects") or ())

    def flow(self, user: User, info: RequestInfo) -> str:
        """Return what tells one flow of this schema from another."""
        if self.distinguisher == "ByUser":
            return user.name
        return info.namespace if self.distinguisher == "ByNamespace" else ""


def in_order(schemas: Iterable[Schema]) -> list[Schema]:
    """Sort schemas into the order in which they are tried."""
    return sorted(schemas, key=lambda schema: (schema.precedence, schema.name))


def _has(values: Iterable[str] | None, value: str) -> bool:
    return any(one in (_ALL, value) for one in values or ())


def _is_subject(subject: Object, user: User) -> bool:
    match subject.get("kind"):
        case "User":
            return subject["user"]["name"] in (_ALL, user.name)
        case "Group":
            name = subject["group"]["name"]
            return name == _ALL or name in user.groups
        case "ServiceAccount":
            wanted = subject["serviceAccount"]
            start = service_account_name(wanted["namespace"], "")
            return user.name.startswith(start) and wanted["name"] in (_ALL, user.name[len(start) :])
    return False


def _is_meant(rule: Object, info: RequestInfo) -> bool:
    if info.is_resource:
        return any(_is_resource(one, info) for one in rule.get("resourceRules") or ())
    return any(
        _has(one.get("verbs"), info.verb) and _is_path(one.get("nonResourceURLs") or (), info.path)
        for one in rule.get("nonResourceRules") or ()
    )


def _is_resource(rule: Object, info: RequestInfo) -> bool:
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    if not (
        _has(rule.get("verbs"), info.verb)
        and _has(rule.get("apiGroups"), info.group)
        and _has(rule.get("resources"), resource)
    ):
        return False
    if info.namespace:
        return _has(rule.get("namespaces"), info.namespace)
    return bool(rule.get("clusterScope"))


def _is_path(patterns: Iterable[str], path: str) -> bool:
    return any(
        one in (_ALL, path) or (one.endswith("*") and path.startswith(one.rstrip("*"))) for one in patterns
    )
