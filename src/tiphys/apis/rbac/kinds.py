"""Defaults and strategies of the ``rbac.authorization.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import each, fill, section
from tiphys.apis.ratchet import SELECTOR_VALUES, ratcheted
from tiphys.apis.rbac import validation
from tiphys.apis.rbac.validation import GROUP
from tiphys.apis.strategy import Strategy


def default_binding(binding: Object) -> None:
    """Roles, users and groups belong to this group; service accounts to the core one."""
    fill(section(binding, "roleRef"), "apiGroup", GROUP)
    for subject in each(binding, "subjects"):
        if subject.get("kind") in ("User", "Group"):
            fill(subject, "apiGroup", GROUP)


def default_role(role: Object) -> None:
    """A role always shows its rules, even when it has none."""
    role.setdefault("rules", None)


_RULES = {
    "Role": validation.validate_role,
    "ClusterRole": validation.validate_cluster_role,
    "RoleBinding": validation.validate_role_binding,
    "ClusterRoleBinding": validation.validate_cluster_role_binding,
}


def _strategy(kind: str) -> Strategy:
    validate = _RULES[kind]

    def validate_update(new: Object, old: Object) -> list[FieldError]:
        faults = validate(new) * 2  # as upstream does, all rules of a new one are told twice
        return faults + validation.same_role(new, old) if kind.endswith("Binding") else faults

    return Strategy(
        GVK(GROUP, "v1", kind),
        default=default_binding if kind.endswith("Binding") else default_role,
        validate=validate,
        validate_update=ratcheted(validate_update, validate, SELECTOR_VALUES),
        validate_name=names.is_path_segment_name,
        allow_create_on_update=True,
    )


STRATEGIES: tuple[Strategy, ...] = tuple(_strategy(kind) for kind in _RULES)
