"""The roles and bindings that every cluster has, as this release ships them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources as package_files
from typing import Any, Final

import orjson

from tiphys.apimachinery.featuregates import FeatureGates
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.authz.rules import Rule, rules_of

_RBAC: Final = "rbac.authorization.k8s.io"
_GATED: Final[Mapping[str, tuple[str, tuple[Mapping[str, Any], ...]]]] = {
    "podcertificaterequestcleaner": (
        "PodCertificateRequest",
        (
            {
                "apiGroups": ["certificates.k8s.io"],
                "resources": ["podcertificaterequests"],
                "verbs": ["delete", "get", "list", "watch"],
            },
        ),
    ),
    "podgroup-protection-controller": (
        "GenericWorkload",
        (
            {
                "apiGroups": ["scheduling.k8s.io"],
                "resources": ["podgroups"],
                "verbs": ["get", "list", "update", "watch"],
            },
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        ),
    ),
    "storage-version-migrator-controller": (
        "StorageVersionMigrator",
        (
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["create", "list", "patch"]},
            {
                "apiGroups": ["storagemigration.k8s.io"],
                "resources": ["storageversionmigrations/status"],
                "verbs": ["update"],
            },
        ),
    ),
}
"""Controllers that need a feature gate: its name, and what they may do."""


@cache
def default_policy() -> tuple[Object, ...]:
    """Return the default roles and bindings. Shared: read only."""
    text = package_files.files("tiphys.apiserver").joinpath("data/rbac/policy.json").read_bytes()
    return tuple(orjson.loads(text))


def gated_policy(gates: FeatureGates) -> list[Object]:
    """Return the roles and bindings of those controllers whose feature gates are on."""
    found: list[Object] = []
    for account, (gate, rules) in _GATED.items():
        if gates.enabled(gate):
            found += _of_controller(account, [dict(rule) for rule in rules])
    return found


def _of_controller(account: str, rules: list[Object]) -> list[Object]:
    name = f"system:controller:{account}"
    about = {
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "name": name,
    }
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "kube-system"}
    reference = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name}
    head = {"apiVersion": f"{_RBAC}/v1", "metadata": about}
    return [
        {**head, "kind": "ClusterRole", "rules": rules},
        {**head, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [subject]},
    ]


def node_rules() -> tuple[Rule, ...]:
    """Return what the node authorizer lets every kubelet do, whatever the stored role says."""
    roles = (obj for obj in default_policy() if obj["kind"] == "ClusterRole")
    return next((rules_of(role) for role in roles if role["metadata"]["name"] == "system:node"), ())
