"""Nobody grants through RBAC what they do not hold themselves.

Source: "Privilege escalation prevention and bootstrapping" of the RBAC page.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.rbac import is_master
from tiphys.apiserver.authz.rules import Rule, describe, rules_of, uncovered
from tiphys.apiserver.requestinfo import RequestInfo

GROUP = "rbac.authorization.k8s.io"


class RbacEscalation:
    """Checks roles against the writer's own rights, and bindings against the roles that they bind."""

    NAME = "RbacEscalation"

    async def validate(self, attributes: Attributes) -> None:
        if attributes.group != GROUP or attributes.obj is None or is_master(attributes.call.user):
            return
        if "RBAC" not in attributes.call.backend.options.authorization_modes:
            return
        if attributes.plural in ("roles", "clusterroles"):
            self._role(attributes, attributes.obj)
        elif attributes.plural in ("rolebindings", "clusterrolebindings"):
            self._binding(attributes, attributes.obj)

    def _role(self, attributes: Attributes, role: Object) -> None:
        old = attributes.old
        if old is not None and old.get("rules") == role.get("rules"):
            return
        if self._may(attributes, "escalate", attributes.plural, attributes.name):
            return
        self._check(attributes, rules_of(role))
        if role.get("aggregationRule"):
            everything = [
                Rule.of({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}),
                Rule.of({"nonResourceURLs": ["*"], "verbs": ["*"]}),
            ]
            owned = attributes.call.backend.authorizer.rbac.rules_for(attributes.call.user, "")
            if uncovered(owned, everything):
                raise attributes.refuse("must have cluster-admin privileges to use an aggregationRule")

    def _binding(self, attributes: Attributes, binding: Object) -> None:
        old = attributes.old
        if old is not None and all(old.get(key) == binding.get(key) for key in ("roleRef", "subjects")):
            return
        ref = binding["roleRef"]
        plural = "roles" if ref["kind"] == "Role" else "clusterroles"
        if self._may(attributes, "bind", plural, ref["name"]):
            return
        namespace = attributes.namespace if ref["kind"] == "Role" else ""
        rules = attributes.call.backend.authorizer.rbac.role_rules(namespace, ref["name"])
        if rules is None:
            raise NotFound.of(GROUP, plural, ref["name"])
        self._check(attributes, rules)

    def _may(self, attributes: Attributes, verb: str, plural: str, name: str) -> bool:
        info = RequestInfo(
            path="", verb=verb, is_resource=True, group=GROUP, version="v1",
            namespace=attributes.namespace, resource=plural, name=name,
        )  # fmt: skip
        return attributes.call.backend.authorizer.authorize(attributes.call.user, info).allowed

    def _check(self, attributes: Attributes, wanted: Iterable[Rule]) -> None:
        user = attributes.call.user
        rbac = attributes.call.backend.authorizer.rbac
        missing = uncovered(list(rbac.rules_for(user, attributes.namespace)), wanted)
        if missing:
            raise attributes.refuse(
                f"user {_describe_user(user)} is attempting to grant RBAC permissions not currently held:\n"
                + "\n".join(describe(rule) for rule in missing)
            )


def _describe_user(user: User) -> str:
    groups = " ".join(f'"{group}"' for group in user.groups)
    return f'"{user.name}" (groups=[{groups}])'
