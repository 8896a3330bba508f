"""Defaults and strategies of the ``rbac.authorization.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import each, fill, section
from tiphys.apis.strategy import Strategy

GROUP = "rbac.authorization.k8s.io"


def default_binding(binding: Object) -> None:
    """Roles, users and groups belong to this group; service accounts to the core one."""
    fill(section(binding, "roleRef"), "apiGroup", GROUP)
    for subject in each(binding, "subjects"):
        if subject.get("kind") in ("User", "Group"):
            fill(subject, "apiGroup", GROUP)


def default_role(role: Object) -> None:
    """A role always shows its rules, even when it has none."""
    role.setdefault("rules", None)


def _strategy(kind: str) -> Strategy:
    default = default_binding if kind.endswith("Binding") else default_role
    return Strategy(GVK(GROUP, "v1", kind), default=default, allow_create_on_update=True)


STRATEGIES: tuple[Strategy, ...] = (
    _strategy("Role"),
    _strategy("ClusterRole"),
    _strategy("RoleBinding"),
    _strategy("ClusterRoleBinding"),
)
