"""Nobody grants through RBAC what they do not hold themselves.

Source: "Privilege escalation prevention and bootstrapping" of the RBAC page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.attributes import aggregate
from tiphys.apiserver.authz.rbac import is_master
from tiphys.apiserver.authz.rules import (
    PIECES,
    Rule,
    TooMany,
    combinations,
    compact,
    describe,
    not_whole,
    rules_of,
    uncovered,
)
from tiphys.apiserver.evaluating import aside
from tiphys.apiserver.filters.requestinfo import RequestInfo

GROUP = "rbac.authorization.k8s.io"
_PLURALS = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
_ROLES = {"Role": "roles", "ClusterRole": "clusterroles"}
_OF_THE_COLLECTOR = frozenset({"ownerReferences", "finalizers", "managedFields"})
"""What the garbage collector changes of objects, so that they can go."""


_EVERYTHING = (
    Rule(("*",), ("*",), ("*",)),
    Rule(("*",), urls=("*",)),
)
_TOO_MANY = (
    f"rules of which their writer does not hold each as a whole may have {PIECES} combinations"
    " of verbs, groups, resources and names at most"
)
_ONE: Final = 10
"""What one comparison takes, in bytes that are looked through."""
_AGGREGATES = "must have cluster-admin privileges to use an aggregationRule"


class RbacEscalation:
    """Checks roles against the writer's own rights, and bindings against the roles that they bind.

    It is asked of the object as admission has made it, before anybody looks whether that is valid.
    """

    NAME = "RbacEscalation"
    RESOURCES = frozenset((GROUP, plural) for plural in _PLURALS)
    ADMITS = frozenset({"CREATE", "UPDATE"})

    async def admit(self, attributes: Attributes) -> None:
        obj = attributes.obj
        if obj is None or is_master(attributes.call.user) or _lets_go(obj, attributes.old):
            return
        if attributes.plural in ("roles", "clusterroles"):
            await self._role(attributes, obj)
        else:
            await self._binding(attributes, obj)

    async def _role(self, attributes: Attributes, role: Object) -> None:
        """All rules count, also those that were there: who changes a role might as well have written it."""
        if await self._may(attributes, "escalate", attributes.plural, attributes.call.info.name):
            return
        await self._check(attributes, rules_of(role))
        if _aggregates(role) or _aggregates(attributes.old or {}):
            owned = list(attributes.call.backend.authorizer.rbac.rules_for(attributes.call.user, ""))
            if uncovered(owned, _EVERYTHING):
                raise attributes.refuse(_AGGREGATES)

    async def _binding(self, attributes: Attributes, binding: Object) -> None:
        ref = peek(binding, "roleRef")
        plural, name = _ROLES.get(str(ref.get("kind"))), str(ref.get("name") or "")
        if plural is None:
            return  # no such kind can be bound
        if await self._may(attributes, "bind", plural, name):
            return
        of_namespace = plural == "roles"
        rules = None
        if attributes.namespace or not of_namespace:
            namespace = attributes.namespace if of_namespace else ""
            rules = attributes.call.backend.authorizer.rbac.role_rules(namespace, name)
        if rules is None:
            raise NotFound.of(GROUP, plural, name)
        await self._check(attributes, rules)

    async def _may(self, attributes: Attributes, verb: str, plural: str, name: str) -> bool:
        info = RequestInfo(
            path="", verb=verb, is_resource=True, group=GROUP, version="*",
            namespace=attributes.namespace, resource=plural, name=name,
        )  # fmt: skip
        decision = await attributes.call.backend.authorizer.decide(attributes.call.user, info)
        return decision.allowed

    async def _check(self, attributes: Attributes, wanted: Sequence[Rule]) -> None:
        user = attributes.call.user
        rbac = attributes.call.backend.authorizer.rbac
        owned = list(rbac.rules_for(user, attributes.namespace))
        try:
            left = await aside(_ONE * len(wanted) * len(owned), not_whole, owned, wanted)
            missing = await aside(_ONE * combinations(left) * len(owned), uncovered, owned, left)
        except TooMany:
            raise attributes.refuse(_TOO_MANY) from None
        if not missing:
            return
        lines = sorted({describe(rule) for rule in compact(missing)})
        text = (
            f"user {_describe_user(user)} is attempting to grant RBAC permissions not currently held:\n"
            + "\n".join(lines)
        )
        faults = rbac.faults_for(user, attributes.namespace)
        if faults:
            text += f"; resolution errors: [{aggregate(faults)}]"
        raise attributes.refuse(text)


def _describe_user(user: User) -> str:
    groups = " ".join(f'"{group}"' for group in user.groups)
    return f'"{user.name}" (groups=[{groups}])'


def _aggregates(role: Object) -> bool:
    """Tell whether a role takes over the rules of others."""
    return any(True for _ in each(role, "aggregationRule", "clusterRoleSelectors"))


def _lets_go(new: Object, old: Object | None) -> bool:
    """Tell whether a write changes nothing but what may have to go before the object can."""
    return old is not None and _rest(new) == _rest(old)


def _rest(obj: Object) -> Object:
    meta = {
        key: value for key, value in peek(obj, "metadata").items() if value and key not in _OF_THE_COLLECTOR
    }
    return {key: value for key, value in {**obj, "metadata": meta}.items() if value}
