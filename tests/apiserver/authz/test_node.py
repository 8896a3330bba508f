"""What a kubelet may read."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.node import NodeAuthorizer, node_of, references
from tiphys.apiserver.requestinfo import parse

KUBELET = User("system:node:n1", groups=("system:nodes",))
POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "a"},
    "spec": {
        "serviceAccountName": "sa",
        "imagePullSecrets": [{"name": "pull"}],
        "containers": [
            {
                "name": "c",
                "envFrom": [{"secretRef": {"name": "env"}}, {"configMapRef": {"name": "cm"}}],
                "env": [{"name": "x", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}],
            }
        ],
        "volumes": [
            {"name": "v", "secret": {"secretName": "vol"}},
            {"name": "e", "ephemeral": {}},
            {"name": "p", "projected": {"sources": [{"configMap": {"name": "root"}}]}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
        ],
    },
}


def test_references() -> None:
    assert set(references(POD)) == {
        ("serviceaccounts", "sa"), ("secrets", "pull"), ("secrets", "env"), ("configmaps", "cm"),
        ("secrets", "key"), ("secrets", "vol"), ("persistentvolumeclaims", "p-e"), ("configmaps", "root"),
        ("persistentvolumeclaims", "claim"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/v1/namespaces/a/secrets/vol", True),
        ("GET", "/api/v1/namespaces/a/secrets/other", False),
        ("GET", "/api/v1/namespaces/b/secrets/vol", False),
        ("GET", "/api/v1/namespaces/a/secrets", False),
        ("PUT", "/api/v1/namespaces/a/secrets/vol", False),
        ("GET", "/api/v1/namespaces/a/configmaps/root", True),
        ("POST", "/api/v1/namespaces/a/serviceaccounts/sa/token", True),
        ("POST", "/api/v1/namespaces/a/serviceaccounts/none/token", False),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1", True),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n2", False),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/default/leases/n1", False),
    ],
)
def test_decisions(method: str, path: str, allowed: bool) -> None:
    authorizer = NodeAuthorizer(lambda node: [POD] if node == "n1" else [])
    assert authorizer.authorize(KUBELET, parse(method, path)).allowed is allowed


def test_who_is_a_node() -> None:
    assert node_of(KUBELET) == "n1"
    assert node_of(User("system:node:n1")) == ""
    assert node_of(User("x", groups=("system:nodes",))) == ""
