"""What a kubelet may do, and what it hears when it asks for more."""
# ruff: noqa: E501

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.defaults import node_rules
from tiphys.apiserver.authz.graph import NodeGraph, references, volume_secrets
from tiphys.apiserver.authz.node import NodeAuthorizer, node_of
from tiphys.apiserver.filters.requestinfo import RequestInfo, parse

KUBELET = User("system:node:n1", groups=("system:nodes",))


@dataclass
class Stored:
    """As much of a cached object as the graph reads."""

    object: dict[str, Any]
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return str(self.object["metadata"].get("namespace", ""))

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])


def stored(name: str, namespace: str = "", node: str = "", **rest: Any) -> Any:
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return Stored({"metadata": meta, **rest}, {"spec.nodeName": node})


POD: dict[str, Any] = {
    "spec": {
        "serviceAccountName": "sa",
        "imagePullSecrets": [{"name": "pull"}],
        "resourceClaims": [{"name": "r", "resourceClaimName": "given"}, {"name": "t"}],
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
            {"name": "d", "csi": {"nodePublishSecretRef": {"name": "driver"}}},
        ],
    },
    "status": {
        "resourceClaimStatuses": [{"name": "t", "resourceClaimName": "made"}],
        "extendedResourceClaimStatus": {"resourceClaimName": "extended"},
    },
}
VOLUME: dict[str, Any] = {
    "claimRef": {"namespace": "a", "name": "claim"},
    "csi": {
        "nodeStageSecretRef": {"namespace": "drivers", "name": "stage"},
        "controllerPublishSecretRef": {"namespace": "drivers", "name": "controller"},
    },
    "azureFile": {"secretName": "azure"},
}


def test_references() -> None:
    assert {one for one in references({"metadata": {"name": "p"}, **POD}) if one[1]} == {
        ("serviceaccounts", "sa"), ("secrets", "pull"), ("secrets", "env"), ("configmaps", "cm"),
        ("secrets", "key"), ("secrets", "vol"), ("persistentvolumeclaims", "p-e"), ("configmaps", "root"),
        ("persistentvolumeclaims", "claim"), ("secrets", "driver"), ("resourceclaims", "given"),
        ("resourceclaims", "made"), ("resourceclaims", "extended"),
    }  # fmt: skip


def test_a_mirror_pod_gives_no_right() -> None:
    meta = {"name": "p", "annotations": {"kubernetes.io/config.mirror": "x"}}
    assert list(references({"metadata": meta, **POD})) == []


def test_secrets_of_volumes() -> None:
    assert set(volume_secrets(VOLUME, "a")) == {("drivers", "stage"), ("a", "azure")}


@pytest.fixture
def graph() -> NodeGraph:
    found = NodeGraph()
    found.observe_pod(None, stored("p", "a", "n1", **POD))
    found.observe_pod(None, stored("q", "b", "n2", **POD))
    found.observe_volume(None, stored("pv", spec=VOLUME))
    found.observe_volume(None, stored("free", spec={"azureFile": {"secretName": "lost"}}))
    found.observe_attachment(None, stored("va", spec={"nodeName": "n1"}))
    found.observe_attachment(None, stored("other", spec={"nodeName": "n2"}))
    found.observe_slice(None, stored("slice", spec={"nodeName": "n1"}))
    found.observe_pod_certificate(None, stored("mine", "a", spec={"nodeName": "n1"}))
    found.observe_pod_certificate(None, stored("theirs", "a", spec={"nodeName": "n2"}))
    return found


UNRELATED = "no relationship found between node 'n1' and this object"
INDIVIDUAL = "can only get individual resources of this type"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
PCRS = "/apis/certificates.k8s.io/v1beta1/namespaces/a/podcertificaterequests"
ACCOUNTS = "/api/v1/namespaces/a/serviceaccounts"
CASES: list[tuple[str, str, str | None]] = [
    ("GET", "/api/v1/namespaces/a/secrets/vol", None),
    ("GET", "/api/v1/namespaces/a/secrets/azure", None),
    ("GET", "/api/v1/namespaces/drivers/secrets/stage", None),
    ("GET", "/api/v1/namespaces/drivers/secrets/controller", UNRELATED),
    ("GET", "/api/v1/namespaces/a/secrets/other", UNRELATED),
    ("GET", "/api/v1/namespaces/b/secrets/vol", UNRELATED),
    ("GET", "/api/v1/namespaces/a/secrets", "No Object name found"),
    ("GET", "/api/v1/secrets", "can only read namespaced object of this type"),
    ("PUT", "/api/v1/namespaces/a/secrets/vol", "can only read resources of this type"),
    ("GET", "/api/v1/namespaces/a/secrets?fieldSelector=metadata.name%3Dvol&watch=1", None),
    ("GET", "/api/v1/namespaces/a/configmaps/root", None),
    ("GET", "/api/v1/namespaces/a/configmaps/x", UNRELATED),
    ("GET", "/api/v1/namespaces/a/persistentvolumeclaims/claim", None),
    ("GET", "/api/v1/namespaces/a/persistentvolumeclaims", INDIVIDUAL),
    ("PATCH", "/api/v1/namespaces/a/persistentvolumeclaims/claim/status", None),
    ("GET", "/api/v1/namespaces/a/persistentvolumeclaims/claim/status", "can only get/update/patch this type"),
    ("GET", "/api/v1/persistentvolumes/pv", None),
    ("GET", "/api/v1/persistentvolumes/free", UNRELATED),
    ("GET", "/apis/storage.k8s.io/v1/volumeattachments/va", None),
    ("GET", "/apis/storage.k8s.io/v1/volumeattachments/other", UNRELATED),
    ("GET", "/apis/resource.k8s.io/v1/namespaces/a/resourceclaims/made", None),
    ("GET", "/apis/resource.k8s.io/v1/namespaces/a/resourceclaims/x", UNRELATED),
    ("POST", f"{ACCOUNTS}/sa/token", None),
    ("POST", f"{ACCOUNTS}/other/token", UNRELATED),
    ("GET", f"{ACCOUNTS}/sa", None),
    ("GET", f"{ACCOUNTS}/other", UNRELATED),
    ("GET", ACCOUNTS, "can only create tokens for individual service accounts"),
    ("GET", f"{LEASES}/n1", None),
    ("POST", LEASES, None),
    ("GET", f"{LEASES}/n2", "can only access node lease with the same name as the requesting node"),
    ("GET", LEASES, "can only get, create, update, patch, or delete a node lease"),
    ("GET", "/apis/coordination.k8s.io/v1/namespaces/a/leases/n1",
     'can only access leases in the "kube-node-lease" system namespace'),
    ("PATCH", "/apis/storage.k8s.io/v1/csinodes/n1", None),
    ("PATCH", "/apis/storage.k8s.io/v1/csinodes/n2",
     "can only access CSINode with the same name as the requesting node"),
    ("GET", "/apis/storage.k8s.io/v1/csinodes",
     "can only get, create, update, patch, or delete a CSINode"),
    ("POST", SLICES, None),
    ("PUT", f"{SLICES}/slice", None),
    ("PUT", f"{SLICES}/x", UNRELATED),
    ("GET", f"{SLICES}?fieldSelector=spec.nodeName%3Dn1", None),
    ("GET", SLICES, "can only list/watch/deletecollection resourceslices with nodeName field selector"),
    ("POST", PCRS, None),
    ("GET", f"{PCRS}/mine", None),
    ("GET", f"{PCRS}/theirs", UNRELATED),
    ("GET", f"{PCRS}?fieldSelector=spec.nodeName%3Dn1", None),
    ("GET", f"{PCRS}?fieldSelector=spec.nodeName%3Dn2", "can only list/watch podcertificaterequests with spec.nodeName field selector"),
    ("GET", f"{PCRS}?fieldSelector=spec.nodeName%3Dn2&fieldSelector=spec.nodeName%3Dn1", "can only list/watch podcertificaterequests with spec.nodeName field selector"),
    ("DELETE", f"{PCRS}/mine", "can only get, list, watch, or create a PodCertificateRequest"),
    ("PUT", f"{PCRS}/mine/status", "cannot authorize PodCertificateRequest subresources"),
    ("GET", "/apis/certificates.k8s.io/v1beta1/clustertrustbundles", None),
    ("POST", "/apis/certificates.k8s.io/v1beta1/clustertrustbundles", ""),
    ("GET", "/api/v1/nodes/n1", None),
    ("GET", "/api/v1/nodes?fieldSelector=metadata.name%3Dn1&watch=1", None),
    ("GET", "/api/v1/nodes", "node 'n1' cannot read all nodes, only its own Node object"),
    ("GET", "/api/v1/nodes/n2", "node 'n1' cannot read 'n2', only its own Node object"),
    ("PATCH", "/api/v1/nodes/n1/status", None),
    ("DELETE", "/api/v1/nodes/n1", ""),
    ("GET", "/api/v1/namespaces/a/pods/p", None),
    ("GET", "/api/v1/namespaces/b/pods/q", UNRELATED),
    ("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", None),
    ("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2", "can only list/watch pods with spec.nodeName field selector"),
    ("GET", "/api/v1/pods?fieldSelector=spec.nodeName!%3Dn1", "can only list/watch pods with spec.nodeName field selector"),
    ("POST", "/api/v1/namespaces/a/pods", None),
    ("PUT", "/api/v1/namespaces/a/pods/p", ""),
    ("PATCH", "/api/v1/namespaces/a/pods/p/status", None),
    ("POST", "/api/v1/namespaces/a/pods/p/eviction", None),
    ("POST", "/api/v1/namespaces/a/pods/p/exec", ""),
    ("GET", "/api/v1/services", None),
    ("POST", "/api/v1/namespaces/a/services", ""),
    ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", None),
    ("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", None),
]  # fmt: skip


def ask(graph: NodeGraph, method: str, path: str, user: User = KUBELET) -> tuple[bool, str]:
    path, _, query = path.partition("?")
    decision = NodeAuthorizer(graph, node_rules()).authorize(user, parse(method, path, query))
    return decision.allowed, decision.reason


@pytest.mark.parametrize(("method", "path", "want"), CASES, ids=[f"{m} {p}" for m, p, _ in CASES])
def test_a_kubelet(graph: NodeGraph, method: str, path: str, want: str | None) -> None:
    assert ask(graph, method, path) == (want is None, want or "")


def test_what_goes_takes_its_rights_along(graph: NodeGraph) -> None:
    path = "/api/v1/namespaces/a/secrets/vol"
    pod = stored("p", "a", "n1", **POD)
    assert ask(graph, "GET", path)[0]
    less = stored("p", "a", "n1", spec={"containers": []})
    graph.observe_pod(pod, less)
    assert not ask(graph, "GET", path)[0]
    graph.observe_pod(less, None)
    assert ask(graph, "GET", "/api/v1/namespaces/a/pods/p")[1] == UNRELATED


def test_a_volume_that_is_released(graph: NodeGraph) -> None:
    bound = stored("pv", spec=VOLUME)
    graph.observe_volume(bound, stored("pv", spec={key: VOLUME[key] for key in ("csi",)}))
    assert not ask(graph, "GET", "/api/v1/persistentvolumes/pv")[0]
    assert not ask(graph, "GET", "/api/v1/namespaces/drivers/secrets/stage")[0]


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        (User("alice", groups=("system:nodes",)), ""),
        (User("system:node:n1"), ""),
        (User("system:node:", groups=("system:nodes",)), 'unknown node for user "system:node:"'),
    ],
)
def test_who_is_no_kubelet(graph: NodeGraph, user: User, reason: str) -> None:
    assert ask(graph, "GET", "/api/v1/services", user) == (False, reason)
    assert node_of(user) == ""


def test_nothing_beside_resources(graph: NodeGraph) -> None:
    info = RequestInfo(path="/metrics", verb="get")
    assert not NodeAuthorizer(graph, node_rules()).authorize(KUBELET, info).allowed
