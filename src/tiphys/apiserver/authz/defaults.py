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
_READ: Final = ("get", "list", "watch")
_EVENTS: Final = {
    "apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch", "update"],
}  # fmt: skip
_SIGNERS: Final = "certificates.k8s.io"
_GATED: Final[Mapping[str, tuple[str, tuple[Mapping[str, Any], ...]]]] = {
    "kube-apiserver-serving-clustertrustbundle-publisher": (
        "ClusterTrustBundle",
        (
            {
                "apiGroups": [_SIGNERS],
                "resourceNames": ["kubernetes.io/kube-apiserver-serving"],
                "resources": ["signers"],
                "verbs": ["attest"],
            },
            {
                "apiGroups": [_SIGNERS],
                "resources": ["clustertrustbundles"],
                "verbs": ["create", "delete", "list", "update", "watch"],
            },
            _EVENTS,
        ),
    ),
    "podcertificaterequestcleaner": (
        "PodCertificateRequest",
        (
            {
                "apiGroups": [_SIGNERS],
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
_OF_NODES: Final = (
    ("ClusterTrustBundle", "clustertrustbundles", _READ),
    ("PodCertificateRequest", "podcertificaterequests", ("create", *_READ)),
)
"""What gates add to ``system:node``: resources of certificates."""


@cache
def default_policy() -> tuple[Object, ...]:
    """Return the default roles and bindings. Shared: read only."""
    text = package_files.files("tiphys.apiserver").joinpath("data/rbac/policy.json").read_bytes()
    return tuple(orjson.loads(text))


def policy(gates: FeatureGates) -> list[Object]:
    """Return the default roles and bindings, and what feature gates that are on add. Shared: read only."""
    more = [
        {"apiGroups": [_SIGNERS], "resources": [resource], "verbs": list(verbs)}
        for gate, resource, verbs in _OF_NODES
        if gates.enabled(gate)
    ]
    found = [_with_rules(obj, more) if more and _is_of_nodes(obj) else obj for obj in default_policy()]
    if gates.enabled("ClusterTrustBundle"):
        subject = {"apiGroup": _RBAC, "kind": "Group", "name": "system:serviceaccounts"}
        rule = {"apiGroups": [_SIGNERS], "resources": ["clustertrustbundles"], "verbs": list(_READ)}
        found += _role_and_binding("system:cluster-trust-bundle-discovery", [rule], subject)
    for account, (gate, rules) in _GATED.items():
        if gates.enabled(gate):
            subject = {"kind": "ServiceAccount", "name": account, "namespace": "kube-system"}
            name = f"system:controller:{account}"
            found += _role_and_binding(name, [dict(rule) for rule in rules], subject)
    return found


def _is_of_nodes(obj: Object) -> bool:
    return bool(obj["kind"] == "ClusterRole" and obj["metadata"]["name"] == "system:node")


def _with_rules(role: Object, more: list[Object]) -> Object:
    return {**role, "rules": [*role["rules"], *more]}


def _role_and_binding(name: str, rules: list[Object], subject: Object) -> list[Object]:
    about = {
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "name": name,
    }
    reference = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name}
    head = {"apiVersion": f"{_RBAC}/v1", "metadata": about}
    return [
        {**head, "kind": "ClusterRole", "rules": rules},
        {**head, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [subject]},
    ]


def node_rules() -> tuple[Rule, ...]:
    """Return what the node authorizer lets every kubelet do, whatever the stored role says."""
    return next((rules_of(obj) for obj in default_policy() if _is_of_nodes(obj)), ())
