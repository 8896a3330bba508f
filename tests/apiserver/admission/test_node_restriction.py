"""What a kubelet may not write, though it may write such objects."""
# ruff: noqa: E501

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for them all; each finds it as it was at first."""
    return swept_api


PODS = "/api/v1/namespaces/default/pods"
NODE = {"metadata": {"name": "n1", "labels": {"kubernetes.io/os": "linux"}}}


@pytest.fixture
async def node(api: Any) -> Any:
    return await api.create("/api/v1/nodes", NODE, user="node")


async def refused(api: Any, method: str, path: str, body: Any, text: str, **rest: Any) -> None:
    answer = await api(method, path, body, user="node", **rest)
    assert answer.status == 403, answer.raw
    assert answer.message.endswith(text), answer.message


@pytest.mark.parametrize(
    ("label", "allowed"),
    [
        ("example.com/x", True), ("x", True), ("kubernetes.io/hostname", True),
        ("topology.kubernetes.io/zone", True), ("node.kubernetes.io/x", True), ("a.kubelet.kubernetes.io/x", True),
        ("kubernetes.io/x", False), ("node-role.kubernetes.io/control-plane", False), ("x.k8s.io/y", False),
        ("node-restriction.kubernetes.io/x", False), ("a.node-restriction.kubernetes.io/x", False),
    ],
)  # fmt: skip
async def test_labels_of_a_new_node(api: Any, label: str, allowed: bool) -> None:
    body = {"metadata": {"name": "n1", "labels": {label: "v"}}}
    if allowed:
        await api.create("/api/v1/nodes", body, user="node")
    else:
        text = f'node "n1" is not allowed to set the following labels: {label}'
        await refused(api, "POST", "/api/v1/nodes", body, text)


async def test_its_own_node_and_no_other(api: Any, node: Any) -> None:
    text = 'node "n1" is not allowed to modify node "n2"'
    await refused(api, "POST", "/api/v1/nodes", {"metadata": {"name": "n2"}}, text)
    changes: list[tuple[Any, str]] = [
        ({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}, 'node "n1" is not allowed to modify taints'),
        ({"metadata": {"labels": {"kubernetes.io/x": "1"}}}, "is not allowed to modify labels: kubernetes.io/x"),
        ({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u"}]}},
         'node "n1" is not allowed to modify ownerReferences'),
    ]  # fmt: skip
    for patch, text in changes:
        await refused(
            api, "PATCH", "/api/v1/nodes/n1", patch, text, content_type="application/merge-patch+json"
        )
    answer = await api("PATCH", "/api/v1/nodes/n1", {"metadata": {"labels": {"a": "b"}}}, user="node",
                       content_type="application/merge-patch+json")  # fmt: skip
    assert answer.status == 200


def mirror(uid: str, **changes: Any) -> dict[str, Any]:
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": True}
    spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}], **changes.pop("spec", {})}
    meta = {
        "name": "m",
        "annotations": {"kubernetes.io/config.mirror": "x"},
        "ownerReferences": [owner],
        **changes,
    }
    return {"metadata": meta, "spec": spec}


async def test_mirror_pods(api: Any, node: Any) -> None:
    uid = node["metadata"]["uid"]
    owner = mirror(uid)["metadata"]["ownerReferences"][0]
    cases: list[tuple[dict[str, Any], str]] = [
        (mirror(uid, annotations={}), 'pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods'),
        (mirror(uid, spec={"nodeName": "n2"}), 'node "n1" can only create pods with spec.nodeName set to itself'),
        (mirror(uid, ownerReferences=[]), 'node "n1" can only create pods with an owner reference set to itself'),
        (mirror(uid, ownerReferences=[owner, {**owner, "uid": "x", "controller": False}]), 'node "n1" can only create pods with a single owner reference set to itself'),
        (mirror(uid, ownerReferences=[{**owner, "controller": False}]), 'node "n1" can only create pods with a controller owner reference set to itself'),
        (mirror(uid, ownerReferences=[{**owner, "blockOwnerDeletion": True}]), 'node "n1" must not set blockOwnerDeletion on an owner reference'),
        (mirror("other"), f"node n1 UID mismatch: expected other got {uid}"),
        (mirror(uid, spec={"containers": [{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": "s"}}]}]}), 'a mirror pod may not reference secrets'),
        (mirror(uid, spec={"volumes": [{"name": "v", "configMap": {"name": "s"}}]}), 'node "n1" can not create pods that reference configmaps'),
        (mirror(uid, spec={"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "s"}}]}), 'node "n1" can not create pods that reference persistentvolumeclaims'),
    ]  # fmt: skip
    for body, text in cases:
        if body["metadata"]["annotations"] == {}:
            body["metadata"].pop("annotations")
        await refused(api, "POST", PODS, body, text)
    await api.create(PODS, mirror(uid), user="node")
    assert (await api("DELETE", f"{PODS}/m?gracePeriodSeconds=0", user="node")).status == 200


async def test_pods_of_others(api: Any, node: Any, make_pod: Any) -> None:
    await api.create(PODS, make_pod("theirs", nodeName="n2"))
    await api.create(PODS, make_pod("mine", nodeName="n1"))
    await api.settle()
    text = 'node "n1" can only delete pods with spec.nodeName set to itself'
    await refused(api, "DELETE", f"{PODS}/theirs", None, text)
    merge = {"content_type": "application/merge-patch+json"}
    text = 'node "n1" can only update pod status for pods with spec.nodeName set to itself'
    await refused(api, "PATCH", f"{PODS}/theirs/status", {"status": {"reason": "x"}}, text, **merge)
    text = 'node "n1" cannot update labels through pod status'
    await refused(api, "PATCH", f"{PODS}/mine/status", {"metadata": {"labels": {"a": "b"}}}, text, **merge)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "theirs"}}
    text = "node n1 can only evict pods with spec.nodeName set to itself"
    await refused(api, "POST", f"{PODS}/theirs/eviction", eviction, text)
    eviction["metadata"] = {"name": "mine"}
    await api.create(f"{PODS}/mine/eviction", eviction, user="node")


async def test_tokens(api: Any, node: Any, make_pod: Any) -> None:
    theirs = await api.create(PODS, make_pod("theirs", nodeName="n2"))
    mine = await api.create(PODS, make_pod("mine", nodeName="n1"))
    await api.settle()
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"

    def bound(pod: Any = None, **changes: Any) -> dict[str, Any]:
        meta = pod["metadata"] if pod else {}
        ref = {"apiVersion": "v1", "kind": "Pod", "name": meta.get("name"), "uid": meta.get("uid"), **changes}
        return {"spec": {"boundObjectRef": {k: v for k, v in ref.items() if v}} if pod else {}}

    await refused(api, "POST", path, bound(), "node requested token not bound to a pod")
    await refused(
        api, "POST", path, bound(mine, uid=""), "node requested token with a pod binding without a uid"
    )
    await refused(api, "POST", path, bound(mine, uid="x"),
                  "the UID in the bound object reference (x) does not match the UID in record. The object might have been deleted and then recreated")  # fmt: skip
    await refused(
        api, "POST", path, bound(theirs), "node requested token bound to a pod scheduled on a different node"
    )
    made = await api.create(path, bound(mine), user="node")
    assert made["status"]["token"]


async def test_leases(api: Any, node: Any) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    await refused(
        api,
        "POST",
        path,
        {"metadata": {"name": "n2"}},
        "can only access node lease with the same name as the requesting node",
    )
    await api.create(path, {"metadata": {"name": "n1"}, "spec": {}}, user="node")


def certificate_request(name: str, signer: str) -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
    usages = ["digital signature", "server auth" if signer == SERVING else "client auth"]
    return {
        "metadata": {"generateName": "csr-"},
        "spec": {"request": pem, "signerName": signer, "usages": usages},
    }


REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
SERVING = "kubernetes.io/kubelet-serving"
KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"
OTHER = "kubernetes.io/kube-apiserver-client"


@pytest.mark.parametrize(
    ("name", "signer", "allowed"),
    [
        ("system:node:n1", SERVING, True), ("system:node:n1", KUBELET, True), ("system:node:n2", OTHER, True),
        ("system:node:n2", SERVING, False), ("system:node:n2", KUBELET, False), ("n1", KUBELET, False),
    ],
)  # fmt: skip
async def test_certificates_in_its_own_name(api: Any, name: str, signer: str, allowed: bool) -> None:
    body = certificate_request(name, signer)
    if allowed:
        await api.create(REQUESTS, body, user="node")
    else:
        await refused(api, "POST", REQUESTS, body, "can only create a node CSR with CN=system:node:n1")
