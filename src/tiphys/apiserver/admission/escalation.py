"""Nobody grants through RBAC what they do not hold themselves.

Source: "Privilege escalation prevention and bootstrapping" of the RBAC page.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.attributes import aggregate
from tiphys.apiserver.authz.rbac import is_master
from tiphys.apiserver.authz.rules import Rule, compact, describe, rules_of, uncovered
from tiphys.apiserver.filters.requestinfo import RequestInfo

GROUP = "rbac.authorization.k8s.io"
_PLURALS = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")


_EVERYTHING = (
    Rule(("*",), ("*",), ("*",)),
    Rule(("*",), urls=("*",)),
)
_AGGREGATES = "must have cluster-admin privileges to use an aggregationRule"


class RbacEscalation:
    """Checks roles against the writer's own rights, and bindings against the roles that they bind."""

    NAME = "RbacEscalation"
    RESOURCES = frozenset((GROUP, plural) for plural in _PLURALS)

    async def validate(self, attributes: Attributes) -> None:
        if attributes.group != GROUP or attributes.obj is None or is_master(attributes.call.user):
            return
        if "RBAC" not in attributes.call.backend.authorizer.modes:
            return
        if attributes.plural in ("roles", "clusterroles"):
            await self._role(attributes, attributes.obj)
        elif attributes.plural in ("rolebindings", "clusterrolebindings"):
            await self._binding(attributes, attributes.obj)

    async def _role(self, attributes: Attributes, role: Object) -> None:
        old = attributes.old or {}
        same = {key: old.get(key) == role.get(key) for key in ("rules", "aggregationRule")}
        if attributes.old is not None and all(same.values()):
            return
        if await self._may(attributes, "escalate", attributes.plural, attributes.call.info.name):
            return
        if attributes.old is None or not same["rules"]:
            self._check(attributes, rules_of(role))
        if role.get("aggregationRule") or old.get("aggregationRule"):
            owned = list(attributes.call.backend.authorizer.rbac.rules_for(attributes.call.user, ""))
            if uncovered(owned, _EVERYTHING):
                raise attributes.refuse(_AGGREGATES)

    async def _binding(self, attributes: Attributes, binding: Object) -> None:
        old = attributes.old
        if old is not None and all(old.get(key) == binding.get(key) for key in ("roleRef", "subjects")):
            return
        ref = binding["roleRef"]
        plural = "roles" if ref["kind"] == "Role" else "clusterroles"
        if await self._may(attributes, "bind", plural, ref["name"]):
            return
        namespace = attributes.namespace if ref["kind"] == "Role" else ""
        rules = attributes.call.backend.authorizer.rbac.role_rules(namespace, ref["name"])
        if rules is None:
            raise NotFound.of(GROUP, plural, ref["name"])
        self._check(attributes, rules)

    async def _may(self, attributes: Attributes, verb: str, plural: str, name: str) -> bool:
        info = RequestInfo(
            path="", verb=verb, is_resource=True, group=GROUP, version="*",
            namespace=attributes.namespace, resource=plural, name=name,
        )  # fmt: skip
        decision = await attributes.call.backend.authorizer.decide(attributes.call.user, info)
        return decision.allowed

    def _check(self, attributes: Attributes, wanted: Iterable[Rule]) -> None:
        user = attributes.call.user
        rbac = attributes.call.backend.authorizer.rbac
        missing = uncovered(list(rbac.rules_for(user, attributes.namespace)), wanted)
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
